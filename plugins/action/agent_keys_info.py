# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the digests that the server tells of its keys with those of the controller's keys."""

from __future__ import annotations

import secrets
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_keys
from ansible_collections.mailfleet.sending.plugins.plugin_utils import token_keys


class ActionModule(ActionBase):
    """No key is handed over, and no digest handed on."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        directory = self._task.args.get("secrets_directory")
        if not directory:
            raise AnsibleActionFail("secrets_directory is missing; name the folder of the fleet's secrets")
        nonce = secrets.token_hex(16)
        made = self._execute_module(
            "mailfleet.sending.agent_keys_info", module_args={**self._task.args, "nonce": nonce}, task_vars=task_vars
        )
        found = {"changed": False, "known": False, "failure": "", "states": {}, "current": {}}
        if "digests" not in made:
            return result | found | {"failure": made.get("failure") or made.get("msg") or "the module said nothing"}
        try:
            ours = token_keys.read(self._loader, directory)
        except AnsibleActionFail as error:
            return result | found | {"failure": str(error)}
        if ours:
            states = agent_keys.compare(ours["keys"], made["digests"], nonce)
            found |= {"known": True, "states": {name: state.value for name, state in states.items()},
                      "current": {"controller": ours["current"], "server": made["current"]}}
        return result | found
