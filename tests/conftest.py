# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests share: the clone as a collection on sys.path, their short and long form, an orderly end by SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
LINK = ROOT / ".collections" / "ansible_collections" / "mailfleet" / "sending"

LINK.parent.mkdir(parents=True, exist_ok=True)
if not LINK.is_symlink():
    LINK.symlink_to(os.path.relpath(ROOT, LINK.parent), target_is_directory=True)
sys.path.insert(0, str(ROOT / ".collections"))

# Two cores that others share make single examples slow now and then: time is watched by --durations, not by a deadline.
# A short run takes the same examples every time and fails by the change, not by chance; a long one looks for new ones.
settings.register_profile("short", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=2000)
LONG = bool(os.environ.get("MAILFLEET_LONG"))
settings.load_profile("long" if LONG else "short")


class Ending:
    """SIGTERM ends a run as an interrupt does: what tests changed is put back, and that is never cut short."""

    def __init__(self) -> None:
        self._asked = False
        self._putting_back = False

    def ask(self, _number: int, _frame: object) -> None:
        """End now, or once the fixtures at work have put back what they changed; who asks twice is not heard."""
        first, self._asked = not self._asked, True
        if first and not self._putting_back:
            raise KeyboardInterrupt("SIGTERM")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self):
        """An interrupt in here would lose the finalizers that are still to come."""
        self._putting_back = True
        try:
            return (yield)
        finally:
            self._putting_back = False
            if self._asked:
                raise KeyboardInterrupt("SIGTERM")


def pytest_configure(config: pytest.Config) -> None:
    if LONG and config.option.markexpr == "not long":
        config.option.markexpr = ""
    ending = Ending()
    config.pluginmanager.register(ending)
    signal.signal(signal.SIGTERM, ending.ask)
