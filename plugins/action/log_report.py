# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the reports of all servers' mail logs together, prints them as text, and writes them as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import KEEP, write
from ansible_collections.mailfleet.sending.plugins.plugin_utils import agent_program

ARGUMENTS = {"reports": {"type": "dict", "required": True}, "path": {"type": "path"}}


class ActionModule(ActionBase):
    """Prints by itself: a callback would show the text as one long string with escaped newlines."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(ARGUMENTS)
        told = {server: each for server, each in arguments["reports"].items() if _report_of(each)}
        missing = {server: _why(each) for server, each in arguments["reports"].items() if server not in told}
        if not told:
            reasons = "; ".join(f"{server}: {why}" for server, why in missing.items()) or "there is none"
            raise AnsibleActionFail(f"no server's log is known: {reasons}")
        try:
            made = agent_program.log_report([_report_of(each) for each in told.values()])
        except ValueError as error:
            raise AnsibleActionFail(f"the report cannot be made: {error}") from error
        display = Display()
        display.display("\n" + made.text)
        for server, why in missing.items():
            display.display(f"Not told of: {server}: {why}", color=C.COLOR_ERROR)
        path = self._write(made, arguments["path"])
        if path:
            display.display(f"The same as a page: {path}")
        return result | {"changed": False, "servers": list(told), "missing": missing, "outcomes": made.outcomes,
                         "path": path}

    def _write(self, made: agent_program.LogReport, path: str | None) -> str:
        if not path or self._task.check_mode:
            return ""
        folder = Path(self._loader.path_dwim(path))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(folder / "log.json", json.dumps(made.plain, ensure_ascii=False).encode() + b"\n", 0o600, KEEP)
            write(folder / "log.html", made.page.encode(), 0o600, KEEP)
        except OSError as error:
            raise AnsibleActionFail(f"the report cannot be written to {folder}: {error}; give another path") from error
        return str(folder / "log.html")


def _report_of(result: Any) -> dict[str, Any] | None:
    found = result.get("report") if isinstance(result, dict) else None
    return found if isinstance(found, dict) and found else None


def _why(result: Any) -> str:
    found = result.get("msg") if isinstance(result, dict) else None
    return str(found or "it was not asked")
