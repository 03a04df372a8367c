# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run by the controller in Ansible's own process, which saves the half second that a module takes to start.

    from ansible_collections.mailfleet.sending.plugins.modules import ptr_verify

    class ActionModule(AtOnceAction):
        module = ptr_verify

The module then has C(ARGUMENTS), its argument_spec, and C(result(params)), which returns what the module returns, with
its warnings as C(warnings), and raises ValueError; its C(main) is the same.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import DNSPYTHON_ERROR
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import NO_DNSPYTHON


class AtOnceAction(ActionBase):
    """See above. It asks from the controller, whatever the task is delegated to."""

    _supports_check_mode = True
    _requires_connection = False
    module: t.Any

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(self.module.ARGUMENTS)
        if DNSPYTHON_ERROR:
            raise AnsibleActionFail(NO_DNSPYTHON)
        try:
            return {**result, **self.result(arguments)}
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None

    def result(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return what the module returns."""
        return self.module.result(arguments)
