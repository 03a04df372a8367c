# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the returned message begins in a notice, and what its header says of its way."""

from __future__ import annotations

import re

from ..finding import Mention
from .addresses import WHOLE, address_of, addresses_in, unique
from .mime import Headers, Message

RETURNED = ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "message/partial",
            "text/rfc822", "message/rfc822-headers")
# What mail systems write before the message that they return in plain text, in a line of its own.
BEFORE = (
    r"this is a copy of (?:the|your) (?:message|header)", r"below this line is", r"message headers follow",
    r"(?:original|unsent|returned|undelivered) (?:e-?mail |mail )?message(?: headers?)? *(?:follows|[-:.= ]*$|"
    r"is attached|text)",
    r"(?:enclosed|included) is a copy", r"the header and (?:top|first)", r"below is a copy of",
    r"copy of the original", r"original mail as follows", r"original headers",
    r"(?:the )?(?:text|headers?|body|beginning|first part) of the (?:original|returned|message)",
    r"your original message", r"message (?:header|text) follows", r"received message:",
    r"(?:ursprüngliche|originale?) (?:nachricht|message|kopfzeilen)", r"message original", r"mensaje original",
    r"original message headers:", r"start of (?:original|returned)",
)
# Or its header, which begins at once.
FIELDS = r"(?:received|return-path|x-received|dkim-signature|delivered-to|received-spf): ?\S"
MARK = re.compile(rf"^(?:[-=_*>. \t]{{0,80}}(?:{'|'.join(BEFORE)})|[ \t>]{{0,8}}{FIELDS})",
                  re.IGNORECASE | re.MULTILINE)
SENDERS = ("return-path", "x-envelope-from", "x-mailfleet-return-path", "errors-to", "sender", "x-original-from")
RECIPIENTS = (
    "original-recipient", "x-failed-recipients", "x-original-to", "delivered-to", "envelope-to", "to", "cc",
    "resent-to", "apparently-to", "x-envelope-to", "x-rcpt-to", "x-receive", "bcc",
    "x-hmxmroriginalrecipient", "x-failed-recipient",
)
WRITTEN = ("to", "cc")
ENVELOPE = ("delivered-to", "x-original-to", "x-envelope-to", "envelope-to", "x-rcpt-to", "to")


def divided(text: str) -> tuple[str, str]:
    """Return what a mail system says in a text, and the message that it returns behind that."""
    mark = MARK.search(text)
    return (text[: mark.start()], text[mark.start() :]) if mark else (text, "")


def returned_headers(message: Message, rest: str) -> Headers:
    """Return the header of the returned message: of its part, or of `rest`, the end of a plain text."""
    for part in message.parts:
        if part.type in RETURNED and part is not message:
            data = part.inside
            if part.type.endswith("headers") and part.headers.get("content-transfer-encoding"):
                data = part.text.encode()
            return Headers(data.partition(b"\n\n")[0])
    return Headers(re.sub(r"^[ \t>]{1,8}(?=[A-Z][\w-]+:)", "", rest, flags=re.MULTILINE).encode())


def mentions(message: Message, reported: list[tuple[str, str]], returned: Headers) -> tuple[Mention, ...]:
    """Return all that may be a return path of ours, in the order in which it is to be believed.

    `reported` are fields of a report that name one.

    What a forwarder made of one (SRS0=...) stays as it is: only the owner of the token can tell what it was.
    """
    places = [(name, value) for name in ENVELOPE for value in message.headers.all(name)]
    places += reported
    places += [(f"returned {name}", value) for name in SENDERS for value in returned.all(name)]
    found: dict[tuple[str, str], Mention] = {}
    for place, value in places:
        whole = address_of(value, WHOLE)
        for address in [whole] if whole else addresses_in(value):
            found.setdefault((place, address.lower()), Mention(place, address))
    return tuple(found.values())


def written(returned: Headers) -> list[str]:
    """Return the addresses that the sender of the returned message wrote into its header."""
    return unique([address for name in WRITTEN for value in returned.all(name) for address in addresses_in(value)])


def addressed(message: Message, groups: list[str], returned: Headers) -> list[str]:
    """Return all addresses to which the returned message can have been sent; `groups` are those the notice names."""
    values = [value for name in RECIPIENTS for value in returned.all(name)]
    values += message.headers.all("x-failed-recipients")
    return unique(groups + [address for value in values for address in addresses_in(value) or [address_of(value)]])
