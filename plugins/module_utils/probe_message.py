# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The message that a probe sends, and how it is known again."""

from __future__ import annotations

import datetime
import email.utils
import re
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.judgement import header_fields

NONCE_FIELD = "X-Mailfleet-Probe"

_NONCE = re.compile(r"[a-z0-9]{8,32}-[0-9]{1,6}\Z")


@dataclass(frozen=True)
class Probe:
    """One message: `nonce` is unlike any other, `run` is the part of it that all messages of a run share."""

    run: str
    number: int
    domain: str
    recipient: str
    server: str
    address: str

    @property
    def nonce(self) -> str:
        """Return what the message is known by."""
        return f"{self.run}-{self.number}"


def build(probe: Probe, seconds: float, text: str = "") -> bytes:
    """Return the message as it is submitted, with CRLF at the line ends.

    `seconds` is the time since 1970 that the Date says; `text` is put into the body, and may hold any characters: it is
    sent as it is, in 8 bits. Both fields of one-click unsubscribe (RFC 8058) are there, as they are in bulk mail.
    """
    sent = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    lines = [
        f"From: Probe <probe@{probe.domain}>",
        f"To: <{probe.recipient}>",
        f"Subject: Probe {probe.nonce} from {probe.address}",
        f"Date: {email.utils.format_datetime(sent)}",
        f"Message-ID: <probe.{probe.nonce}@{probe.domain}>",
        f"{NONCE_FIELD}: {probe.nonce}",
        "Auto-Submitted: auto-generated",
        f"List-Unsubscribe: <https://{probe.domain}/unsubscribe?probe={probe.nonce}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {'7bit' if text.isascii() else '8bit'}",
        "",
        f"{probe.server} sent this message from {probe.address} for {probe.domain},",
        "to see by what its receiver writes on it whether mail arrives as it should.",
        "It is deleted once it was read. If you find it, nobody read it,",
        "and you may delete it.",
        *(["", *text.splitlines()] if text else []),
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def nonce_of(message: bytes) -> str:
    """Return the nonce of a message that arrived, "" where it has none."""
    values = [body.strip() for name, body in header_fields(message) if name == NONCE_FIELD.lower()]
    return values[0] if len(values) == 1 and _NONCE.match(values[0]) else ""
