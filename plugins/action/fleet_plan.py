# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what the inventory, the state and the observations come to, and writes it as JSON."""

from __future__ import annotations

import collections
import datetime
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet_plan
from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.hosting import hosted
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import observations
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.signing import Key, register
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, today
from ansible_collections.mailfleet.sending.plugins.module_utils.wanted_keys import wanted_keys
from ansible_collections.mailfleet.sending.plugins.plugin_utils.controller_files import ControllerFiles
from ansible_collections.mailfleet.sending.plugins.plugin_utils.inventory_variables import read_variables
from ansible_collections.mailfleet.sending.plugins.plugin_utils.told_files import write_told

ARGUMENTS = {"state": {"type": "path", "required": True}, "path": {"type": "path"}, "date": {"type": "str"}}


class ActionModule(ActionBase):
    """Prints by itself: a callback would show the text as one long string with escaped newlines."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        try:
            # Before the task's own arguments, which come of the inventory too, so that its mistakes are told together.
            files, date = ControllerFiles(self._loader), self._task.args.get("date")
            fleet = read_variables(self._templar, task_vars or {}, files, date)
            _checked, arguments = self.validate_argument_spec(ARGUMENTS)
            made = _plan(fleet, State(arguments["state"], dry=True), arguments["date"])
        except ValueError as error:
            self._take_back()
            raise AnsibleActionFail(str(error)) from error
        Display().display("\n" + fleet_plan.text(made))
        path = self._write(made.to_dict(), arguments["path"])
        hosts = dict(collections.Counter(made.hosted.values()))
        return {**result, "changed": False, "path": path, "plan_warnings": list(made.warnings), "hosted": hosts}

    def _take_back(self) -> None:
        """Leave no plan of before behind that is none of this inventory."""
        path = self._task.args.get("path")
        if isinstance(path, str) and os.path.exists(self._loader.path_dwim(path)):
            self._write({"providers": [], "warnings": ["no plan: the inventory has mistakes"]}, path)

    def _write(self, made: dict[str, t.Any], path: str | None) -> str:
        """Write the JSON file; return its path, "" where none is written."""
        if not path or self._task.check_mode:
            return ""
        return write_told("plan", made, self._loader.path_dwim(path))


def _plan(fleet: Fleet, state: State, date: str | None) -> fleet_plan.Plan:
    """Make the plan of a fleet. Raises: ValueError."""
    day = datetime.date.fromisoformat(date) if date else today()
    known, published, observed = state.keys(), state.published(), observations(state)
    new = [Key(key.domain, key.selector, "", day.isoformat(), "server" if key.server else "fleet", key.server or None)
           for key in wanted_keys(fleet, known, day) if not key.public]
    known = register(known, new, (), day.isoformat())
    # All of it, so that what it refuses is told here too.
    desired = desired_state(fleet, known, published, day, hosted=hosted(fleet, observed))
    return fleet_plan.plan(fleet, observed, [Record.from_dict(each) for each in desired["records"]], published, day)
