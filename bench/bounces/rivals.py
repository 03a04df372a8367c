# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others make of a message that came back, as findings of ours: a recipient, and hard or soft."""

from __future__ import annotations

import email
import email.policy

from flufl.bounce import all_failures
from mailfleet.finding import Finding, Kind, Scope


def failed(recipient: str, kind: Kind, rule: str) -> Finding:
    """Return a finding without a reason: neither of them tells one."""
    return Finding(recipient, kind, "", Scope.RECIPIENT, "", "", rule)


def flufl(raw: bytes) -> tuple[Finding, ...]:
    """Read a message with flufl.bounce, as Mailman does: its permanent failures are hard."""
    temporary, permanent = all_failures(email.message_from_bytes(raw))
    return (*(failed(address.decode(errors="replace"), Kind.HARD, "permanent") for address in sorted(permanent)),
            *(failed(address.decode(errors="replace"), Kind.SOFT, "temporary") for address in sorted(temporary)))


def plain(raw: bytes) -> tuple[Finding, ...]:
    """Read the delivery status of RFC 3464 with the standard library, as programs of one's own do: 5.x.x is hard."""
    found = []
    for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk():
        if part.get_content_type() != "message/delivery-status" or not part.is_multipart():
            continue
        for group in part.get_payload():
            recipient = str(group.get("Final-Recipient", "")).partition(";")[2].strip()
            if recipient:
                kind = Kind.HARD if str(group.get("Status", "")).strip().startswith("5") else Kind.SOFT
                found.append(failed(recipient, kind, "RFC 3464"))
    return tuple(found)
