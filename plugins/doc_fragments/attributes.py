# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the collection says about itself in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    """`mailfleet.sending.attributes` for all modules; `.controller` besides for those that never reach a server."""

    # Which support a module has for check mode and diff mode is its own to say: a default would hide that it did not.
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode, and then tells what it would do without doing it.
  diff_mode:
    description: Shows in diff mode what changes, and never a secret.
  platform:
    description: The systems on which it runs.
    platforms: posix
    support: full
"""

    CONTROLLER = r"""
attributes:
  controller:
    description:
      - Runs on the controller and needs no connection to a server.
      - A task that uses it says C(run_once), C(delegate_to=localhost) and C(become=false), unless an action plugin
        does so for it.
    support: full
"""
