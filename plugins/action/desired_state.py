# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the desired state: the only place where Ansible's variables become the fleet."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_names import FLEET_WIDE, GROUP, OF_HOST
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, zone_text
from ansible_collections.mailfleet.sending.plugins.module_utils.signing import Key, register
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError, today
from ansible_collections.mailfleet.sending.plugins.plugin_utils.controller_files import ControllerFiles


class ActionModule(ActionBase):
    """Reads the variables of the whole group, whatever ``--limit`` says."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        try:
            # Before the task's own arguments, which come of the inventory too, so that its mistakes are told together.
            fleet = self._fleet(task_vars)
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
            desired = desired_state(fleet, known, published, date)
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

    def _fleet(self, task_vars: dict[str, t.Any]) -> Fleet:
        """The fleet; raises Mistakes."""
        hosts, hostvars = task_vars.get("groups", {}).get(GROUP, []), task_vars["hostvars"]
        # What only DNS is verified by needs none of the files that servers or probes get.
        files = None if self._task.args.get("dns_only") else ControllerFiles(self._loader)
        unfilled: dict[str, Mistake] = {}

        def filled(path: str, fill: t.Callable[[], t.Any]) -> t.Any:
            try:
                return fill()
            except AnsibleError as error:
                unfilled[path] = Mistake(path, f"cannot be filled in: {' '.join(str(error).split())}", "")
                return None

        variables = {
            name: filled(name, lambda name=name: self._templar.template(task_vars[name]))
            for name in FLEET_WIDE
            if name in task_vars
        }
        # Ansible puts the variables of a host together anew for each time that the host is named.
        of_host = {host: (hostvars[host], hostvars.raw_get(host)) for host in hosts}
        own = {
            host: {name: filled(f"{host}: {name}", lambda of=of, name=name: of.get(name)) for name in OF_HOST}
            for host, (of, _raw) in of_host.items()
        }
        try:
            inventory = {host: raw for host, (_of, raw) in of_host.items()}
            fleet = read_fleet(variables, own, inventory, files, self._day())
            mistakes: tuple[Mistake, ...] = ()
        except Mistakes as error:
            # What no value could be made of was read as nothing, which is not the mistake.
            mistakes = tuple(mistake for mistake in error.mistakes if mistake.path not in unfilled)
        if unfilled or mistakes:
            raise Mistakes([*unfilled.values(), *mistakes])
        return fleet

    def _day(self) -> datetime.date:
        """The day that the task was given, today where that is none: its arguments are judged behind the inventory."""
        try:
            return datetime.date.fromisoformat(self._task.args["date"])
        except (KeyError, TypeError, ValueError):
            return today()

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
