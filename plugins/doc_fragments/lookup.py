# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of all modules that ask DNS."""

from __future__ import annotations


class ModuleDocFragment:
    """`mailfleet.sending.lookup`: the options, and what is always true of a module that only asks.

    `mailfleet.sending.lookup.authoritative` and `.wait` are the options that some of them have besides.
    """

    DOCUMENTATION = r"""
options:
  resolvers:
    description:
      - The resolvers to ask, each as C(address), C(address:port) or C([IPv6 address]:port).
      - They are asked in their order, the next one where one does not say. One that left several questions in a row
        unanswered is asked last, and not at all where it does not even answer what it has to know.
      - Without any, those that the system is configured with.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - How many seconds one server may take for one question, in which it is asked up to three times.
      - A resolver that is the only one gets this time twice. It looks on while it meets dead servers.
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
  - Letters of domains and hosts that are not ASCII are taken as A-labels, as DNS has them (RFC 5890). A name with one
    that is read in two ways, as C(ß) is, has to be given as A-labels.
"""

    AUTHORITATIVE = r"""
options:
  authoritative:
    description:
      - V(yes) asks every authoritative server of each name, found through the resolvers, and says where they differ.
        One that does not answer makes the verdict C(unknown).
      - The zone above is asked too whom it delegates the zone to, since receivers begin there. Servers and addresses
        that it alone names are asked like the others. Where both sides differ, one verdict, C(name servers), says so
        with C(warn), and C(unknown) where such a server does not serve the zone.
      - V(no) asks the resolvers only.
      - V(auto) asks the authoritative servers, and the resolvers where none of those says anything. The verdict then is
        C(warn) at best and says so.
      - Where V(auto) finds after a few servers that this machine hears none at all, as behind a firewall, it asks the
        resolvers for all the rest. One verdict, C(name servers), says so with C(warn), and the others are on what the
        resolvers say.
    type: str
    choices: ["yes", "no", auto]
    default: auto
"""

    WAIT = r"""
options:
  wait:
    description:
      - For how many seconds what is not as it should be (C(fail), C(absent) or C(unknown)) is asked for again, with
        growing pauses. V(0) asks once.
      - Each try is shown as it ends, and returned in RV(ignore:tries), with the time at which caches forget that there
        was no such record.
      - This time comes on top of O(deadline).
    type: float
    default: 0.0
"""
