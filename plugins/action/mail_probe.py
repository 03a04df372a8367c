# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the passwords that a probe needs from files on the controller, and hands them to the module."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN
from ansible_collections.mailfleet.sending.plugins.plugin_utils import probe_login
from ansible_collections.mailfleet.sending.plugins.plugin_utils.controller_files import ControllerFiles


class ActionModule(ActionBase):
    """Vaulted files are decrypted in memory; passwords reach the module as arguments that are never logged."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not arguments.get("login") and arguments.get("secrets_directory"):
            found = probe_login.read(self._loader, arguments["secrets_directory"])
            arguments["login"] = {"user": PROBE_LOGIN, "password": found[0]} if found else None
        arguments["mailboxes"] = [self._with_password(mailbox) for mailbox in arguments.get("mailboxes") or []]
        return result | self._execute_module(
            "mailfleet.sending.mail_probe", module_args=arguments, task_vars=task_vars
        )

    def _with_password(self, mailbox: dict[str, Any]) -> dict[str, Any]:
        imap = mailbox.get("imap") or {}
        if imap.get("password") or not imap.get("password_file"):
            return mailbox
        try:
            password = ControllerFiles(self._loader)(imap["password_file"], vaulted=True).strip()
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(f"the password of {mailbox.get('address')} cannot be read: {error}") from error
        return {**mailbox, "imap": {**imap, "password": password}}
