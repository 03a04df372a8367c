# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the desired state of what the inventory, the state and the observations say."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.hosting import hosted
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_names import GROUP
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import observations
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, zone_text
from ansible_collections.mailfleet.sending.plugins.module_utils.signing import Key, register
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError, today
from ansible_collections.mailfleet.sending.plugins.plugin_utils.controller_files import ControllerFiles
from ansible_collections.mailfleet.sending.plugins.plugin_utils.inventory_variables import read_variables


class ActionModule(ActionBase):
    """Reads the variables of the whole group, whatever ``--limit`` says."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        try:
            # Before the task's own arguments, which come of the inventory too, so that its mistakes are told together.
            # What only DNS is verified by needs none of the files that servers or probes get.
            files = None if self._task.args.get("dns_only") else ControllerFiles(self._loader)
            fleet = read_variables(self._templar, task_vars, files, self._task.args.get("date"))
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
        _checked, arguments = self.validate_argument_spec(
            {
                "state": {"type": "path", "required": True},
                "secrets": {"type": "path", "default": ""},
                "date": {"type": "str"},
                "keys": {"type": "list", "elements": "dict", "no_log": False},
                "dns_only": {"type": "bool", "default": False},
            }
        )
        try:
            state = State(arguments["state"], dry=self._task.check_mode)
            known = state.keys()
            published = state.published()
            date = datetime.date.fromisoformat(arguments["date"]) if arguments["date"] else today()
            day = date.isoformat()
            made = [_key(entry, None, day) for entry in arguments["keys"] or []]
            made += self._keys_of_servers(task_vars, day)
            # Without a public half is what check mode would make: it is shown, and must never be published.
            known = register(known, [key for key in made if key.public or self._task.check_mode], (), day)
            if arguments["dns_only"]:
                return {**result, "changed": False, **desired_state(fleet, known, published, date, dns_only=True)}
            desired = desired_state(fleet, known, published, date, hosted=hosted(fleet, observations(state)))
            if arguments["keys"] is not None:
                records = [Record.from_dict(entry) for entry in desired["records"]]
                state.write_json("keys.json", known)
                state.write_json("records.json", desired["records"])
                state.write_text("records.zone", zone_text(records, fleet.zones))
        except (Mistakes, StateError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from error
        desired["secrets"] = arguments["secrets"]
        desired["known_keys"] = known
        desired["submissions"] = self._submissions(desired["servers"], task_vars)
        return {**result, "changed": bool(state.changed), "written": state.changed, **desired}

    def _submissions(self, servers: dict[str, t.Any], task_vars: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """Where the probe submits: where Ansible reaches the server, and the name that its certificate bears."""
        authority = self._templar.template(task_vars.get("sending_tls_ca")) or None
        return [
            {
                "server": name,
                "host": task_vars["hostvars"][name].get("ansible_host") or name,
                "tls_name": server["hostname"],
                "ca_file": authority,
                # Debian's self-made certificate names nobody whom the controller could trust.
                "verify": bool(server["tls_certificate"]),
            }
            for name, server in servers.items()
            if server["submission"]
        ]

    @staticmethod
    def _keys_of_servers(task_vars: dict[str, t.Any], day: str) -> list[Key]:
        """With scope ``server`` each server made its own keys and told their public halves."""
        found = []
        for host in task_vars.get("groups", {}).get(GROUP, []):
            made = task_vars["hostvars"][host].get("sending_server_keys") or {}
            found += [_key(entry, host, day) for entry in made.get("public_keys", [])]
        return found


def _key(entry: dict[str, t.Any], server: str | None, day: str) -> Key:
    scope = "server" if server else "fleet"
    return Key(entry["domain"], entry["selector"], entry["public"] or "", entry["created"] or day, scope, server)
