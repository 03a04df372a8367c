# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module dmarc_verify in Ansible's process, where it starts at once and each try shows as it ends."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.modules import dmarc_verify
from ansible_collections.mailfleet.sending.plugins.plugin_utils.at_once import WaitingAction


class ActionModule(WaitingAction):
    """The module."""

    module = dmarc_verify
