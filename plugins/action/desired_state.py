# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the desired state: the only place where Ansible's variables become the fleet."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, zone_text
from ansible_collections.mailfleet.sending.plugins.module_utils.signing import Key, register
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError, today

GROUP = "sending_servers"
FLEET_WIDE = (
    "sending_domains",
    "sending_providers",
    "sending_networks",
    "sending_users",
    "sending_zones",
    "sending_dkim_scope",
    "sending_dkim_selector",
    "sending_dkim_bits",
    "sending_unsigned",
    "sending_message_size",
    "sending_dns_ttl",
)
OF_HOST = ("sending_addresses", "sending_submission", "sending_tls_certificate", "sending_tls_key")


class ActionModule(ActionBase):
    """Reads the variables of the whole group, whatever ``--limit`` says."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
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
            fleet = read_fleet(*self._variables(task_vars))
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

    def _variables(self, task_vars: dict[str, t.Any]) -> tuple[dict[str, t.Any], dict[str, dict[str, t.Any]]]:
        hosts = task_vars.get("groups", {}).get(GROUP, [])
        self._agree(task_vars["hostvars"], hosts)
        variables = {name: self._templar.template(task_vars[name]) for name in FLEET_WIDE if name in task_vars}
        return variables, {host: _of_host(task_vars["hostvars"][host]) for host in hosts}

    @staticmethod
    def _agree(hostvars: t.Any, hosts: list[str]) -> None:
        """A fleet-wide variable that differs from server to server would make the records depend on who is asked."""
        mistakes = []
        raw = {host: hostvars.raw_get(host) for host in hosts}
        for name in FLEET_WIDE:
            first = next((host for host in hosts if name in raw[host]), None)
            other = next((host for host in hosts if first and raw[host].get(name) != raw[first].get(name)), None)
            if other:
                mistakes.append(
                    Mistake(
                        f"{other}: {name}",
                        "a value of its own",
                        f"the value that {first} has",
                        f"set it once, in group_vars/{GROUP}.yml",
                    )
                )
        if mistakes:
            raise Mistakes(mistakes)

    @staticmethod
    def _keys_of_servers(task_vars: dict[str, t.Any], day: str) -> list[Key]:
        """With scope ``server`` each server made its own keys and told their public halves."""
        found = []
        for host in task_vars.get("groups", {}).get(GROUP, []):
            made = task_vars["hostvars"][host].get("sending_server_keys") or {}
            found += [_key(entry, host, day) for entry in made.get("public_keys", [])]
        return found


def _of_host(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The variables of one host, which Ansible puts together anew for each time that the host is named."""
    return {name: values.get(name) for name in OF_HOST}


def _key(entry: dict[str, t.Any], server: str | None, day: str) -> Key:
    scope = "server" if server else "fleet"
    return Key(entry["domain"], entry["selector"], entry["public"] or "", entry["created"] or day, scope, server)
