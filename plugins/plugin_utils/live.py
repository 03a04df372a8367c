# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that waits, run by the controller in Ansible's own process, so that each try shows as it ends.

    from ansible_collections.mailfleet.sending.plugins.modules import dkim_verify

    class ActionModule(LiveAction):
        module = dkim_verify

The module then has C(ARGUMENTS), its argument_spec, and C(result(params, show)), which returns what the module returns,
calls C(show) with each C(waiting.Try) and raises ValueError; its C(main) is the same with nothing shown.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import DNSPYTHON_ERROR
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try


class LiveAction(ActionBase):
    """See above. It asks from the controller, whatever the task is delegated to."""

    _supports_check_mode = True
    _requires_connection = False
    module: t.Any

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(self.module.ARGUMENTS)
        if DNSPYTHON_ERROR:
            raise AnsibleActionFail(missing_required_lib("dnspython"))
        try:
            return {**result, **self.module.result(arguments, self._show)}
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error

    def _show(self, tried: Try) -> None:
        """Show a try, but not the only one of a task that found all at once, or that does not wait."""
        if not self._task.no_log and (tried.number > 1 or tried.pause is not None):
            Display().display(f"{self._task.action.rpartition('.')[2]} {tried}")
