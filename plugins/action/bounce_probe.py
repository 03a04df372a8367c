# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Submits a message to nobody and asks all servers from the controller; a server tells what became of it."""

from __future__ import annotations

import secrets
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils import probe_bounces
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_bounces import Told, Trip
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_message import Probe, build
from ansible_collections.mailfleet.sending.plugins.module_utils.state import today
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import Login, endpoints_of
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.modules import bounce_probe
from ansible_collections.mailfleet.sending.plugins.plugin_utils import agent_program, probe_login, token_keys


class ActionModule(ActionBase):
    """No key leaves the controller, and no password is in the output, whoever repeats it."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(bounce_probe.ARGUMENTS)
        entries = {entry["server"]: entry for entry in arguments["submissions"]}
        if self._task.check_mode or not entries:
            why = "not sent in check mode" if entries else "no server takes messages from logins"
            mend = "run without --check" if entries else "let one take them (sending_submission)"
            verdict = probe_bounces.not_sent(entries or ["submission"], why, mend)
            return result | {"changed": False, "recipient": "", **as_result([verdict])}
        password, run, trip = self._prepare(arguments)
        endpoints = endpoints_of(arguments["submissions"])
        probe = Probe(run, 0, arguments["domain"], trip.recipient, next(iter(entries)), "any of its addresses")

        def show(line: str) -> None:
            if not self._task.no_log:
                Display().display(f"bounce_probe {line}")

        probe_bounces.travel(trip, build(probe, time.time()), endpoints, Login(PROBE_LOGIN, password),
                             arguments["timeout"], show)
        told = self._look(arguments, trip, task_vars)
        made = as_result(probe_bounces.verdicts(trip, told, arguments["timeout"]))
        return remove_values(result | {"changed": False, "recipient": trip.recipient, **made}, {password})

    def _prepare(self, arguments: dict[str, Any]) -> tuple[str, str, Trip]:
        """Return the password of the probe's login, what names this run, and the message's way."""
        directory = arguments["secrets_directory"]
        if not directory:
            raise AnsibleActionFail("secrets_directory is missing; name the folder of the fleet's secrets")
        login, keys = probe_login.read(self._loader, directory), token_keys.read(self._loader, directory)
        if not login or not keys:
            lacking = "logins/probe" if not login else token_keys.NAME
            raise AnsibleActionFail(f"{directory} has no {lacking}; run site.yml, which makes it")
        known = arguments["bounce_domains"]
        paths = [(each["bounce_domain"] or each["domain"], each["domain"]) for each in arguments["domains"]]
        found = next((path for path in paths if path[0] in known), None)
        if found is None:
            raise AnsibleActionFail(f"domains: none has a bounce domain of {', '.join(known) or 'bounce_domains'}")
        bounce_domain, arguments["domain"] = found
        run = secrets.token_hex(8)
        recipient = probe_bounces.nobody(run, arguments["nobody_at"])
        sender = agent_program.return_path(
            keys["current"], keys["keys"][keys["current"]], bounce_domain, recipient, today()
        )
        return login[0], run, Trip(sender, recipient)

    def _look(self, arguments: dict[str, Any], trip: Trip, task_vars: dict[str, Any] | None) -> Told:
        host = (task_vars or {}).get("inventory_hostname", "the server")
        if not trip.server:
            return Told(host)
        asked = {"submissions": [], "domains": [], "nobody_at": arguments["nobody_at"], "recipient": trip.recipient}
        made = self._execute_module("mailfleet.sending.bounce_probe", module_args=asked, task_vars=task_vars)
        if "events" not in made:
            return Told(host, failure=made.get("msg") or "the module said nothing")
        return Told(host, tuple(made["events"]), made["suppressed"], made["failure"])
