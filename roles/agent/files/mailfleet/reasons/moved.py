# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipient is gone to another address, which mail does not follow."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "moved", Kind.HARD, Scope.RECIPIENT,
    phrases={
        "{has been |was |is }replaced by": "551 a@example.com has been replaced by b@example.com",
        "{user|recipient|mailbox|account|address|@} {has |have |}{moved|changed}": "551 recipient has moved",
        "no longer on server": "550 5.1.6 recipient no longer on server: a@example.com",
        "{new|changed} address is": "550 the new address is b@example.com",
        "please {use|try} * new {address|e-mail|email}": "550 please use his new address",
        "user not local{;|,} please try": "551 User not local; please try b@example.com",
    },
    never=("450 4.2.1 the mailbox was moved to another store, try later", "550 5.1.1 user unknown",
           "550 the message was moved to quarantine"),
    statuses=(".1.6",),
    unless=("moved * {new|another} {server|store|host}",),
)
