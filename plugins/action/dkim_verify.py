# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module dkim_verify in Ansible's process, so that each try shows as it ends."""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.modules import dkim_verify
from ansible_collections.mailfleet.sending.plugins.plugin_utils.at_once import WaitingAction
from ansible_collections.mailfleet.sending.plugins.plugin_utils.run_command import run_command


class ActionModule(WaitingAction):
    """The module."""

    module = dkim_verify

    def result(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        return dkim_verify.result(arguments, Programs(run_command), self.show)
