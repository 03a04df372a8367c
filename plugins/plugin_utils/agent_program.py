# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the servers as the controller has it: its own reader judges the inventory, its files are laid down."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib
import importlib.util
import sys
import types
import typing as t
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "roles/agent/files/mailfleet"
# A name of its own: another package on the controller may be called as the program is.
_NAME = "mailfleet_sending_agent"
_KEY = "k" * 32  # stands for the keys, which are made by the run


def judge(settings: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Return what the program's own reader says of a configuration: paths in the inventory, and what is wrong there.

    Arguments: C(settings) what would become agent.json; C(secrets) those of the inventory. No secret is shown.
    """
    reader, settings_module = _module("settings_reader"), _module("settings")
    top = reader.Reader(dict(settings))
    token = settings["token"]
    key_id = token["current"] if isinstance(token, dict) else "a"
    hidden = reader.Reader({**secrets, "token_keys": {key_id: _KEY}}, "secrets", top.mistakes, hidden=True)
    settings_module.read(top, hidden)
    found = []
    for mistake in top.mistakes:
        path, _colon, said = mistake.partition(": ")
        where = f"sending_agent_{path}" if path.partition(".")[0] == "secrets" else f"sending_agent.{path}"
        found.append((where, f"found {said.replace('; expected ', ', expected ', 1)}"))
    return found


def sources() -> dict[str, str]:
    """Return the program's files, by their names within its package."""
    return {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def return_path(key_id: str, key: str, bounce_domain: str, recipient: str, day: datetime.date) -> str:
    """Return the signed return path of a message, as C(mailfleet token new) makes it.

    Arguments: C(key) of the fleet, with its id; C(bounce_domain) of the message's sender; C(day) of UTC.
    """
    keys = _module("tokens").Keys({key_id: key}, key_id, (bounce_domain,), 1)
    return keys.new(recipient, bounce_domain, day)


@dataclasses.dataclass(frozen=True)
class LogReport:
    """The report on the logs of a fleet: as plain data, as text, as a page, and how many had which outcome."""

    plain: dict[str, t.Any]
    text: str
    page: str
    outcomes: dict[str, int]


def log_report(reports: t.Sequence[t.Mapping[str, t.Any]]) -> LogReport:
    """Put together what C(mailfleet log report --json) prints on each server.

    Raises: ValueError where one is no such report.
    """
    report, page, log_event = _module("maillog.report"), _module("maillog.page"), _module("maillog.log_event")
    plain = report.merged(reports)
    totals = _module("maillog.totals").Totals.from_json(plain["totals"])
    outcomes = {outcome: many for outcome in log_event.OUTCOMES if (many := totals.total(outcome=outcome))}
    return LogReport(plain, report.text(plain), page.page(plain), outcomes)


@functools.cache
def _module(name: str) -> types.ModuleType:
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(_NAME, SOURCE / "__init__.py",
                                                      submodule_search_locations=[str(SOURCE)])
        package = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_NAME}.{name}")
