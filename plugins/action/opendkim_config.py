# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands the fleet's keys over from the controller: read, decrypted in memory, and passed as an argument with no_log."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault, check_name
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import Signing


class ActionModule(ActionBase):
    """Fills in the private keys and runs the module of the same name."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the server, with the private keys of scope fleet among its arguments."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder = arguments.pop("secrets_directory", None)
        private_keys, faults = dict(arguments.get("private_keys") or {}), []
        for entry in arguments.get("signing") or []:
            if not isinstance(entry, dict) or entry.get("scope", "fleet") != "fleet":
                continue  # the module says what is wrong with an entry of another kind
            name = Signing(str(entry.get("domain", "")), str(entry.get("selector", ""))).key
            try:
                if name not in private_keys and (private := self._private(folder, entry)) is not None:
                    private_keys[name] = private
            except (KeyFault, AnsibleError) as fault:
                faults.append(str(fault))
        if faults:
            raise AnsibleActionFail("\n".join(faults))
        arguments["private_keys"] = private_keys
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)

    def _private(self, folder: str | None, entry: dict[str, Any]) -> str | None:
        """Return a key's PEM; None in check mode where it is yet to be made."""
        domain = check_name("domain", str(entry.get("domain", "")))
        selector = check_name("selector", str(entry.get("selector", "")))
        if not folder:
            raise KeyFault(f"{selector}._domainkey.{domain}: its scope is fleet, but secrets_directory is not given")
        path = Path(folder, "dkim", domain, f"{selector}.pem")
        if not path.exists():
            if self._task.check_mode:
                return None
            raise KeyFault(f"{path}: the key of scope fleet is not there; make it with dkim_key on the controller")
        return str(self._loader.get_text_file_contents(str(path)))
