# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers in the fleet's state what was published, so that the next run knows what is ours."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError


class ActionModule(ActionBase):
    """Hands what was published before to the module, and keeps what it says is published now."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder = arguments.pop("state", None)
        if not folder:
            return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}
        try:
            state = State(folder, dry=self._task.check_mode)
            published = state.read("published.json", [])
            result.update(self._execute_module(module_args={**arguments, "published": published}, task_vars=task_vars))
            # Also where the task failed: one zone may have been updated before another refused.
            if "published" in result and result["published"] != published:
                state.write_json("published.json", result["published"])
        except StateError as error:
            raise AnsibleActionFail(str(error)) from error
        return result
