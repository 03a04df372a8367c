# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module dkim_verify in Ansible's process, so that each try shows as it ends."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.modules import dkim_verify
from ansible_collections.mailfleet.sending.plugins.plugin_utils.live import LiveAction


class ActionModule(LiveAction):
    """The module, with its tries shown."""

    module = dkim_verify
