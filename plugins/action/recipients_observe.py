# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes where recipient domains are hosted, shows how far it is and what it found, and keeps it in the state."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup, mail_log, observe_report, wording
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import FILE, observations
from ansible_collections.mailfleet.sending.plugins.module_utils.observe import Log, observe
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, today
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import NO_DNSPYTHON
from ansible_collections.mailfleet.sending.plugins.plugin_utils.inventory_variables import read_variables

ARGUMENTS = lookup.OPTIONS | {
    "state": {"type": "path", "required": True},
    "domains": {"type": "list", "elements": "str", "default": []},
    "logs": {"type": "dict", "default": {}},
    "date": {"type": "str"},
    "deadline": {"type": "float", "default": 600.0},
}


class ActionModule(ActionBase):
    """Asks from the controller, whatever the task is delegated to."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        try:
            # Before the task's own arguments, which come of the inventory too, so that its mistakes are told together.
            fleet = read_variables(self._templar, task_vars or {})
            _checked, arguments = self.validate_argument_spec(ARGUMENTS)
            if lookup.DNSPYTHON_ERROR:
                raise AnsibleActionFail(NO_DNSPYTHON)
            return {**result, **self._observe(fleet, arguments)}
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error

    def _observe(self, fleet: Fleet, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        state = State(arguments["state"], dry=self._task.check_mode)
        before = observations(state)
        date = datetime.date.fromisoformat(arguments["date"]) if arguments["date"] else today()
        logs, lines = _logs(arguments["logs"])
        display = Display()
        with lookup.from_options(arguments) as dns:
            now, left_out = observe(dns, fleet, before, _domains(arguments["domains"]), logs, date,
                                    lambda text: display.display(f"recipients_observe {text}"))
        told = observe_report.tell(fleet, before, now, lines, left_out)
        display.display("\n" + observe_report.text(told, now, fleet))
        state.write_json(FILE, now.to_dict())
        made = {
            "changed": bool(state.changed),
            "path": str(state.directory / FILE),
            "providers": {name: len(domains) for name, domains in told.providers.items()},
            "moves": [move.to_dict() for move in told.moves],
            "astray": [each.to_dict() for each in told.astray],
            "silent": dict(told.silent),
            "refusing": {why: list(domains) for why, domains in told.refusing.items()},
        }
        if self._task.diff and state.changed:
            made["diff"] = [{"prepared": observe_report.diff(before, now)}]
        return made


def _domains(names: t.Sequence[str]) -> list[str]:
    """The domains as DNS has them; raises Mistakes."""
    reader = Reader()
    found = [reader.domain(name, f"domains[{index}]") for index, name in enumerate(names)]
    if reader.mistakes:
        raise Mistakes(reader.mistakes, "these are no domains")
    return found


def _logs(results: t.Mapping[str, t.Any]) -> tuple[dict[str, Log], list[str]]:
    """What servers counted, and a line on each: what it read, or why it did not."""
    found: dict[str, Log] = {}
    lines = []
    for server, result in sorted(results.items()):
        if isinstance(result, dict) and "counts" in result:
            try:
                found[server] = mail_log.from_text(result)
            except ValueError as error:
                lines.append(f"{server}: not used, {error}")
                continue
            done = sum(sum(counts.values()) for counts in found[server].values())
            recipients, days = (wording.many(done, "recipient"), wording.many(len(found[server]), "day"))
            lines.append(f"{server}: {recipients} in {days}, by {', '.join(result.get('read') or ['no log'])}")
            lines += [f"{server}: {note}" for note in result.get("notes") or ()]
        elif result:
            said = str(result.get("msg", "")) if isinstance(result, dict) else ""
            lines.append(f"{server}: not read: {' '.join(said.split()) or 'the server did not answer'}")
    return found, lines
