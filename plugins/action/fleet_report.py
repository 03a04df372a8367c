# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the report on a fleet as text, and writes it as JSON."""

from __future__ import annotations

import os
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils import report
from ansible_collections.mailfleet.sending.plugins.plugin_utils.told_files import write_told

ARGUMENTS = {
    "desired": {"type": "dict", "default": {}},
    "verdicts": {"type": "list", "elements": "dict", "default": []},
    "probe": {"type": "dict", "default": {}},
    "published": {"type": "dict", "default": {}},
    "deployed": {"type": "dict", "default": {}},
    "tokens": {"type": "dict", "default": {}},
    "not_checked": {"type": "list", "elements": "str", "default": []},
    "path": {"type": "path"},
    "begins": {"type": "bool", "default": False},
    "fail": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):
    """Prints by itself: a callback would show the text as one long string with escaped newlines."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(ARGUMENTS)
        if arguments["begins"]:
            return result | self._begin(arguments["path"])
        try:
            names = ("desired", "verdicts", "probe", "published", "not_checked", "deployed", "tokens")
            made = report.make(**{name: arguments[name] for name in names})
        except ValueError as error:
            raise AnsibleActionFail(f"the report cannot be made: {error}") from error
        display = Display()
        *lines, conclusion = report.text(made).splitlines()
        display.display("\n" + "\n".join(lines) + "\n")
        display.display(conclusion, color=C.COLOR_OK if made.proved else C.COLOR_ERROR)
        path = self._write(made, arguments["path"])
        result |= _returned(made, path)
        if arguments["fail"] and not made.proved:
            result |= {
                "failed": True,
                "msg": f"{conclusion}; the faults are listed above{f' and in {path}' if path else ''}",
            }
        return result

    def _begin(self, path: str | None) -> dict[str, Any]:
        """Take back what the last report says, until this run has made its own."""
        begun = report.begun()
        there = path and os.path.exists(self._loader.path_dwim(path))
        return _returned(begun, self._write(begun, path if there else None))

    def _write(self, made: report.Report, path: str | None) -> str:
        """Write the JSON file; return its path, "" where none is written."""
        if not path or self._task.check_mode:
            return ""
        return write_told("report", made.to_dict(), self._loader.path_dwim(path))


def _returned(made: report.Report, path: str) -> dict[str, Any]:
    return {
        "changed": False,
        "proved": made.proved,
        "summary": made.counts,
        "conclusion": made.conclusion(),
        "path": path,
    }
