# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that the log says of one recipient of one message."""

from __future__ import annotations

import dataclasses

DELIVERED = "delivered"
DEFERRED = "deferred"
BOUNCED = "bounced"
REJECTED = "rejected"
EXPIRED = "expired"
# Refused by our own suppression list: it says nothing of the recipient, and is no event.
SUPPRESSED = "suppressed"
OUTCOMES = (DELIVERED, DEFERRED, BOUNCED, EXPIRED, REJECTED, SUPPRESSED)


@dataclasses.dataclass(frozen=True, slots=True)
class LogEvent:
    """What became of a recipient.

    ``host`` is the myhostname of whose log it is, ``queue_id`` empty for what was refused before it had one; ``at`` is
    in seconds of UTC; ``recipient`` and ``original`` (what it was before aliases, where that is another) as the log has
    them, ``sender`` the return path, empty where it is not known or is the null one; ``address`` the sending address;
    ``status`` the enhanced status code; ``reason``, ``kind``, ``scope``, ``text`` and ``rule`` as a ``Finding`` has
    them, of what was delivered empty save ``kind``; ``delay`` in seconds since the message came.
    """

    host: str
    queue_id: str
    at: int
    outcome: str
    recipient: str
    original: str
    sender: str
    provider: str
    address: str
    relay: str
    status: str
    reason: str
    kind: str
    scope: str
    text: str
    rule: str
    delay: float
