# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests share: the clone as a collection on sys.path, and the two lengths of property tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
settings.load_profile("long" if os.environ.get("MAILFLEET_LONG") else "short")
