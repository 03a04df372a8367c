# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of all modules that ask DNS."""

from __future__ import annotations


class ModuleDocFragment:
    """`mailfleet.sending.lookup`: the options, and what is always true of a module that only asks."""

    DOCUMENTATION = r"""
options:
  resolvers:
    description:
      - The resolvers to ask, each as C(address), C(address:port) or C([IPv6 address]:port).
      - They are asked in their order, the next one where one does not say.
      - Without any, those that the system is configured with.
    type: list
    elements: str
    default: []
  timeout:
    description: How many seconds one server may take for one question, in which it is asked up to three times.
    type: float
    default: 5.0
  deadline:
    description:
      - How many seconds all questions together may take. What is not answered by then is C(unknown).
    type: float
    default: 60.0
requirements:
  - dnspython >= 2.3
attributes:
  check_mode:
    support: full
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: There is nothing to compare.
notes:
  - A verdict is C(unknown) where DNS did not say (no answer, SERVFAIL, REFUSED, no authority, rubbish), and names
    the server that did not. It is C(absent) only where DNS said that there is no such name or record.
  - Bad verdicts do not fail the task. A task that should, asserts that RV(ignore:faults) is empty.
"""
