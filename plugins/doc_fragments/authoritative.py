# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of all modules that can ask the authoritative servers."""

from __future__ import annotations


class ModuleDocFragment:
    """`mailfleet.sending.authoritative`: who is asked."""

    DOCUMENTATION = r"""
options:
  authoritative:
    description:
      - V(yes) asks every authoritative server, found through the resolvers, and tells where they differ; one that does
        not answer makes the verdict C(unknown).
      - V(no) asks the resolvers only.
      - V(auto) asks the authoritative servers, and the resolvers where none of those says anything, as behind a
        firewall. The verdict then is C(warn) at best and says so.
    type: str
    choices: ["yes", "no", auto]
    default: auto
"""
