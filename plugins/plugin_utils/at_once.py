# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run by the controller in Ansible's own process, which saves the half second that a module takes to start.

    from ansible_collections.mailfleet.sending.plugins.modules import ptr_verify

    class ActionModule(AtOnceAction):
        module = ptr_verify

The module then has C(ARGUMENTS), its argument_spec, and C(result(params)), which returns what the module returns, with
its warnings as C(warnings), and raises ValueError; its C(main) is the same.

A module that waits has C(result(params, show)), C(show) taking each try as it ends, and a WaitingAction.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import DNSPYTHON_ERROR
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import NO_DNSPYTHON
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try


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


class WaitingAction(AtOnceAction):
    """The same of a module that waits, with its tries shown."""

    def result(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.module.result(arguments, show=self.show)

    def show(self, tried: Try) -> None:
        """Show a try, but not the only one of a task that found all at once, or that does not wait."""
        if not self._task.no_log and (tried.number > 1 or tried.pause is not None):
            Display().display(f"{self.module.__name__.rpartition('.')[2]} {tried}")
