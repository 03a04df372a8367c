# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers in the fleet's state what was published, and decides whether what is wanted no more may go."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils import removals
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State


class ActionModule(ActionBase):
    """Hands what was published before, and what speaks against removals, to the module; keeps what is published now."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder, proof, expanded = (arguments.pop(name, None) for name in ("state", "proof", "expanded"))
        gated = arguments.get("phase") == "contract" and proof is not None
        try:
            # A fleet has thousands of verdicts, of which most say nothing against it and need not travel.
            if gated and (speaking := self._against(proof, expanded)):
                arguments["proof"] = speaking
            if not folder:
                result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            else:
                result.update(self._remembering(State(folder, dry=self._task.check_mode), arguments, task_vars))
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
        if gated and self._task.check_mode and result.get("changed"):
            result["not_checked"] = [removals.NOT_PROVED_YET]
        return result

    def _against(self, proof: list[dict[str, t.Any]], expanded: dict[str, t.Any] | None) -> list[dict[str, t.Any]]:
        speaking = removals.against(proof, expanded, check=self._task.check_mode)
        return [verdict.to_dict() for verdict in speaking]

    def _remembering(
        self, state: State, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        published = state.read("published.json", [])
        result = self._execute_module(module_args={**arguments, "published": published}, task_vars=task_vars)
        # Also where the task failed: one zone may have been updated before another refused.
        if "published" in result and result["published"] != published:
            state.write_json("published.json", result["published"])
        return result
