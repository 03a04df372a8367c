# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the fleet's own login to those of the task, and hands all of them to the module."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.dovecot_auth import ssha512
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN
from ansible_collections.mailfleet.sending.plugins.plugin_utils import probe_login


class ActionModule(ActionBase):
    """Reads or makes the secret on the controller; only its hash is written on the server."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if boolean(arguments.get("probe_login", True)):
            arguments |= self._with_probe(arguments)
        return result | self._execute_module(
            "mailfleet.sending.submission_auth", module_args=arguments, task_vars=task_vars
        )

    def _with_probe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        directory = arguments.get("secrets_directory")
        if not directory:
            raise AnsibleActionFail(
                "secrets_directory is missing; name the secrets folder, or set probe_login to false"
            )
        users = arguments.get("users") or []
        if any(user.get("name") == PROBE_LOGIN for user in users):
            raise AnsibleActionFail(
                f"users has a login {PROBE_LOGIN!r}, which is the fleet's own; give it another name"
            )
        if self._task.check_mode:
            # Nothing is made in check mode: a secret that is missing is imagined, so that the login shows as new.
            password, salt = probe_login.read(self._loader, directory) or probe_login.imagine()
        else:
            password, salt = probe_login.read_or_make(self._loader, directory)
        probe = {"name": PROBE_LOGIN, "password_hash": ssha512(password, salt)}
        return {"users": [*users, probe], "proof": {"name": PROBE_LOGIN, "password": password}}
