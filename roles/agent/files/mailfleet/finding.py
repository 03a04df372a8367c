# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a message that came back says of one recipient."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.StrEnum):
    """What it means for the recipient: only ``hard`` says that mail to it is useless."""

    HARD = "hard"
    SOFT = "soft"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto-reply"
    DELIVERED = "delivered"
    DEFERRED = "deferred"  # told by the mail log alone: it is tried again, and no failure yet


class Scope(enum.StrEnum):
    """What the reason is about; ``sender`` is the sending domain or address."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"
    SENDER = "sender"
    MESSAGE = "message"
    NETWORK = "network"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One recipient, and what is said of it.

    ``recipient`` is the address as the notice names it, valid in form, or empty where none is named; ``original`` the
    one that the message was addressed to, where it is said to be another; ``status`` an enhanced status code of
    RFC 3463 or empty; ``text`` what was said, in one line; ``rule`` which rule decided.
    """

    recipient: str
    kind: Kind
    reason: str
    scope: Scope
    status: str
    text: str
    rule: str
    original: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Mention:
    """An address that may be a return path of ours: where it was read, best place first, and the address."""

    place: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """A message that was read: its findings, the return paths that it mentions, and every recipient it names.

    ``findings`` is empty for what is no notice. ``mentions`` are in the order in which they are to be believed:
    envelope recipient, Original-Envelope-Id, headers of the returned message. ``addressed`` are all the addresses to
    which the returned message can have been sent: a token's recipient is looked for among them. ``to`` are those of
    its header that its sender wrote there.
    """

    findings: tuple[Finding, ...]
    mentions: tuple[Mention, ...]
    addressed: tuple[str, ...]
    to: tuple[str, ...] = ()
