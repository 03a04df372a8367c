# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Return paths that Postfix makes of the recipient (XVERP): ``bounces+user=example.net@<bounce domain>``.

They are unsigned: whoever can write an address can write one, for anybody. So what comes back to them is recorded and
marked, and suppresses nobody unless the operator says so (``suppression.unsigned``), a complaint not even then.
"""

from __future__ import annotations

import re
import typing as t

from .recipients import fold, is_address

SOURCE = "unsigned"  # of an event
MOST_A_DAY = 10000  # events that are recorded, of all hosts: nobody signed for how many there are


def recipient_of(address: str, local: str, domains: t.Collection[str]) -> tuple[str, str]:
    """The recipient (folded) that a return path names, and the bounce domain; two empty texts where it is none.

    :arg local: what stands before the ``+``; where it is empty there are no such return paths.
    :arg domains: the bounce domains.
    """
    name, _at, domain = fold(address).rpartition("@")
    if not local or not name.startswith(f"{local}+") or domain not in domains:
        return "", ""
    recipient = "@".join(name.removeprefix(f"{local}+").rsplit("=", 1))
    return (recipient, domain) if is_address(recipient) else ("", "")


def pattern(local: str) -> str:
    """What they look like, for Postfix' tables of the types regexp and pcre."""
    return rf"/^{re.escape(local)}\+[^@]+=[a-z0-9.-]+@/"
