# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery status notifications: message/delivery-status (RFC 3464) and message/global-delivery-status (RFC 6533)."""

from __future__ import annotations

import dataclasses
import re

from .addresses import address_of, addresses_in
from .mime import Headers, Message, Part

TYPES = ("message/delivery-status", "message/global-delivery-status", "message/delivery-status-report")
# Some put the fields into a text; all others have them in a part of their own.
IN_TEXT = re.compile(r"^(?:final|original)-recipient: ?(?:rfc822|utf-8);|^action: ?(?:failed|delayed)",
                     re.IGNORECASE | re.MULTILINE)
RECIPIENTS = ("final-recipient", "original-recipient", "x-actual-recipient")
OF_ONE = (*RECIPIENTS, "action", "status")
FIELD = re.compile(r"^(?:reporting-mta|final-recipient|action|original-recipient):", re.IGNORECASE | re.MULTILINE)
# So begins a comment that only names what the code means (RFC 3463), or who said it.
OF_THE_CODE = ("permanent", "persistent", "remote", "lmtp", "temporary")
SUPPLEMENTS = ("x400-supplementary-info", "x-supplementary-info")
STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
XTEXT = re.compile(r"\+([0-9A-F]{2})")
UNITEXT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
MOST_GROUPS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """What is said of one recipient; `action` is of RFC 3464 section 2.3.3, or empty where it is none of those."""

    recipient: str
    original: str
    action: str
    status: str
    diagnostic: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All that the status parts of a message say."""

    groups: tuple[Group, ...]
    envelope_ids: tuple[str, ...]


def report_of(message: Message, parts: list[Part]) -> Report:
    """Read the status parts of a message."""
    groups, unnamed, ids = [], [], []
    for part in parts:
        text = part.text
        if part.type not in TYPES:
            text = text[FIELD.search(text).start() :] if FIELD.search(text) else text
        previous: Headers | None = None
        for block in re.split(r"\n[ \t]*\n", text, maxsplit=MOST_GROUPS):
            fields = Headers(block.strip("\n").encode())
            ids += fields.all("original-envelope-id")
            if any(name in fields for name in OF_ONE):
                said_of_all = "reporting-mta" in fields and not any(name in fields for name in RECIPIENTS)
                found = [group for each in several_in(block) or [fields] if (group := group_of(each))]
                (unnamed if said_of_all else groups).extend(found)
                previous = fields
            elif previous is not None and groups and "diagnostic-code" in fields and not groups[-1].diagnostic:
                # A blank line in the midst of a group.
                groups[-1] = dataclasses.replace(groups[-1], diagnostic=said(fields.get("diagnostic-code")))
    # Some write among the fields of the message what belongs to those of a recipient, or is all that they say.
    return Report(tuple(groups or unnamed), tuple(ids))


def several_in(block: str) -> list[Headers]:
    """Return the groups of a block in which no blank line stands between them, or none where it is one group."""
    starts = [found.start() for found in re.finditer(r"^final-recipient:", block, re.IGNORECASE | re.MULTILINE)]
    if len(starts) < 2:
        return []
    return [Headers(block[start:end].encode()) for start, end in zip(starts, [*starts[1:], len(block)])]


def group_of(fields: Headers) -> Group | None:
    """Return what the fields of one recipient say, or None where they say nothing of one."""
    final, original = recipient_in(fields.get("final-recipient")), recipient_in(fields.get("original-recipient"))
    actual = recipient_in(fields.get("x-actual-recipient"))
    routed = fields.get("final-recipient").partition(";")[2].strip().startswith("@")
    recipient = (original if routed else "") or final or original or actual
    found = STATUS.search(fields.get("status"))
    status = found[0] if found else ""
    action = fields.get("action").partition(" ")[0].strip("<>;,.").lower()
    diagnostic = said(" ".join(fields.all("diagnostic-code")))
    # Gateways to X.400, and Exchange, put there what the server said.
    diagnostic = " ".join([diagnostic, *(value for name in SUPPLEMENTS for value in fields.all(name))]).strip()
    if not action and not status and not diagnostic:
        return None
    # The comment of a status (`5.2.1 (mailbox disabled, not accepting messages)`) is said as well as a diagnostic.
    comment = fields.get("status").partition("(")[2].rstrip(") ")
    if len(comment) > 3 and not comment.lower().startswith(OF_THE_CODE):
        diagnostic = f"({comment}) {diagnostic}"
    other = next((each for each in (original, actual) if each and each.lower() != recipient.lower()), "")
    if action not in ("failed", "delayed", "delivered", "relayed", "expanded"):
        action = {"5": "failed", "4": "failed", "2": "delivered"}.get(status[:1], "failed" if diagnostic else "")
    return Group(recipient, other, action, status, diagnostic)


def recipient_in(value: str) -> str:
    """Return the address in a recipient field: its type away, xtext (RFC 3461) and utf-8-addr-xtext (RFC 6533) read."""
    kind, semicolon, address = value.partition(";")
    if not semicolon:
        kind, address = "", value
    if kind.strip().lower() not in ("", "rfc822", "utf-8", "utf8", "dns", "smtp", "local", "unknown", "822"):
        return ""
    if kind.strip().lower() == "utf-8":
        address = UNITEXT.sub(lambda code: chr(min(int(code[1], 16), 0x10FFFF)), address)
    found = address_of(address)
    if not found and "+" in address:
        found = address_of(XTEXT.sub(lambda code: chr(int(code[1], 16)), address))
    if not found and "|" not in address and "/" not in address:
        found = next(iter(addresses_in(address)), "")
    return found


def said(value: str) -> str:
    """Return what a Diagnostic-Code says, without its type."""
    kind, semicolon, text = value.partition(";")
    return (text if semicolon and re.fullmatch(r"[\w-]{1,40}", kind.strip()) else value).strip()
