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

from ansible.utils.display import Display

from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try
from ansible_collections.mailfleet.sending.plugins.plugin_utils.at_once import AtOnceAction


class LiveAction(AtOnceAction):
    """See above."""

    def result(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.module.result(arguments, self._show)

    def _show(self, tried: Try) -> None:
        """Show a try, but not the only one of a task that found all at once, or that does not wait."""
        if not self._task.no_log and (tried.number > 1 or tried.pause is not None):
            Display().display(f"{self._task.action.rpartition('.')[2]} {tried}")
