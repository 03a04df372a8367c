# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module mail_probe in Ansible's process, with passwords from files on the controller, and shows each look."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN
from ansible_collections.mailfleet.sending.plugins.module_utils.probe import Look
from ansible_collections.mailfleet.sending.plugins.modules import mail_probe
from ansible_collections.mailfleet.sending.plugins.plugin_utils import probe_login
from ansible_collections.mailfleet.sending.plugins.plugin_utils.controller_files import ControllerFiles


class ActionModule(ActionBase):
    """Vaulted files are decrypted in memory; passwords are in no output, whoever repeats them."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(mail_probe.ARGUMENTS)
        self._read_passwords(arguments)
        holders = [arguments["login"] or {}, *(mailbox["imap"] for mailbox in arguments["mailboxes"])]
        passwords = {holder["password"] for holder in holders if holder.get("password")}

        def show(look: Look) -> None:
            if not self._task.no_log:
                Display().display(f"mail_probe {remove_values(str(look), passwords)}")

        try:
            return {**result, **remove_values(mail_probe.result(arguments, self._task.check_mode, show), passwords)}
        except ValueError as error:
            raise AnsibleActionFail(remove_values(str(error), passwords)) from None

    def _read_passwords(self, arguments: dict[str, Any]) -> None:
        """Fill in the passwords that are in files."""
        if not arguments["login"] and arguments["secrets_directory"]:
            found = probe_login.read(self._loader, arguments["secrets_directory"])
            arguments["login"] = {"user": PROBE_LOGIN, "password": found[0]} if found else None
        files = ControllerFiles(self._loader)
        for mailbox in arguments["mailboxes"]:
            imap = mailbox["imap"]
            if imap["password"] or not imap["password_file"]:
                continue
            try:
                imap["password"] = files(imap["password_file"], vaulted=True).strip()
            except (OSError, ValueError) as error:
                raise AnsibleActionFail(f"the password of {mailbox['address']} cannot be read: {error}") from error
