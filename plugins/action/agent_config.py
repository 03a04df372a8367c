# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands over what the controller has: the program's files, and the keys that sign return paths."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.plugin_utils import agent_program, token_keys


class ActionModule(ActionBase):
    """Reads or makes the keys on the controller; they travel in an option that is never logged."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("settings"):
            arguments |= self._of_the_controller(arguments)
        return result | self._execute_module(
            "mailfleet.sending.agent_config", module_args=arguments, task_vars=task_vars
        )

    def _of_the_controller(self, arguments: dict[str, Any]) -> dict[str, Any]:
        directory = arguments.get("secrets_directory")
        if not directory:
            raise AnsibleActionFail("secrets_directory is missing; name the folder of the fleet's secrets")
        if self._task.check_mode:
            # Nothing is made in check mode: keys that are missing are imagined, so that they show as new.
            keys = token_keys.read(self._loader, directory) or token_keys.imagine()
        else:
            keys = token_keys.read_or_make(self._loader, directory)
        token = {**(arguments["settings"].get("token") or {}), "current": keys["current"]}
        return {
            "settings": {**arguments["settings"], "token": token},
            "token_keys": keys["keys"],
            "dropped_keys": keys.get("dropped", []),
            "program": agent_program.sources(),
        }
