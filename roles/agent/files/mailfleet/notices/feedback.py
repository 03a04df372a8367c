# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complaints: feedback reports (RFC 5965), those on authentication (RFC 6591), and Hotmail's without such a part."""

from __future__ import annotations

from ..finding import Finding, Kind, Scope
from .addresses import WHOLE, address_of, addresses_in, unique
from .mime import Headers, Message, Part

TYPE = "message/feedback-report"
# A recipient who takes the message out of spam complains of nothing.
NO_COMPLAINTS = ("not-spam", "dismissed")
RECIPIENTS = ("original-rcpt-to", "removal-recipient", "original-recipient", "final-recipient", "redacted-address",
              "x-original-rcpt-to", "original-to")
RETURNED = ("x-hmxmroriginalrecipient", "to", "envelope-to", "x-original-to", "delivered-to")


def complaints_of(parts: list[Part], returned: Headers) -> list[Finding]:
    """Return what feedback reports say, one finding a recipient; where they name none, the returned message does.

    A report of the type `auth-failure` is the receiver's, not the recipient's: it is told as a complaint, but about the
    sender, for the reason `authentication`, so nobody is suppressed for it.
    """
    found = []
    for part in parts:
        fields = Headers(part.text.strip("\n").encode())
        kind = fields.get("feedback-type").strip().lower() or "abuse"
        if kind in NO_COMPLAINTS:
            continue
        reason, scope = ("authentication", Scope.SENDER) if kind == "auth-failure" else ("complaint", Scope.RECIPIENT)
        recipients = recipients_in(fields, returned)
        text = " ".join(fields.get(name) for name in ("user-agent", "auth-failure", "abuse-type") if name in fields)
        found += [Finding(recipient, Kind.COMPLAINT, reason, scope, "", f"{kind} {text}".strip(), f"RFC 5965: {kind}")
                  for recipient in recipients or [""]]
    return found


def return_paths(message: Message) -> list[tuple[str, str]]:
    """Return what feedback reports say to be the return path of the message, with the names of the fields."""
    parts = [part for part in message.parts if part.type == TYPE]
    return [(name, value) for part in parts for name in ("original-mail-from", "original-envelope-id")
            for value in Headers(part.text.strip("\n").encode()).all(name)]


def recipients_in(fields: Headers, returned: Headers) -> list[str]:
    """Return the recipients that a report names, else those of the returned message, else one made illegible."""
    named = [address_of(value, WHOLE) for name in RECIPIENTS for value in fields.all(name)]
    if any(named):
        return unique(named)
    for name in RETURNED:
        found = unique(each for value in returned.all(name) for each in addresses_in(value) or [address_of(value)])
        if found:
            return found
    # RFC 6590 section 3: what is redacted may stand without its domain.
    return [f"{value.rstrip('@')}@{fields.get('reported-domain')}" for value in fields.all("redacted-address")[:1]
            if address_of(f"{value.rstrip('@')}@{fields.get('reported-domain')}")]


def without_report(message: Message, returned: Headers) -> list[Finding]:
    """Return the complaints of a message of Hotmail's: what it is about, and the recipient in its header."""
    recipient = address_of(returned.get("x-hmxmroriginalrecipient"), WHOLE)
    subject = message.headers.get("subject").lower()
    if not recipient and not subject.startswith("complaint about message from"):
        return []
    recipients = [recipient] if recipient else recipients_in(Headers(b""), returned)
    return [Finding(each, Kind.COMPLAINT, "complaint", Scope.RECIPIENT, "", subject, "complaint without a report")
            for each in recipients]
