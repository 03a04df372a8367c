# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that happened to one recipient of one message, and what makes it the same thing when it is told again."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
import typing as t

# Sources of events: our own mail log, and what it tells of mail whose return path is not to be believed.
LOG = "log"
UNPROVED = "log-unproved"

# What a host writes on top of a message that passes it: the same notice may come by two ways.
_TRACE = re.compile(
    rb"^(?:Return-Path|Received|Delivered-To|X-Original-To|Authentication-Results|Received-SPF|X-Spam-[A-Za-z]+"
    rb"|Envelope-To|Delivery-date|X-Envelope-[A-Za-z]+)[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)
_QUEUE_ID = re.compile(rb"^X-Postfix-Queue-ID:[ \t]*([0-9A-Za-z]{5,20})[ \t]*$", re.MULTILINE)
_REPORTER = re.compile(rb"^Reporting-MTA:[ \t]*dns;[ \t]*([0-9A-Za-z.-]{1,253})[ \t]*$", re.IGNORECASE | re.MULTILINE)
# No database takes NUL in a text, and half a surrogate pair is no text at all. What else steers a terminal, or turns
# around what stands behind it (UAX 9), is some stranger's, and would be shown to root.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What the store keeps of it.

    ``key`` says which thing it is; ``at`` when we learned of it, in seconds of UTC; ``host`` who did; ``source`` from
    what (``bounce``, ``feedback``, ``unsigned``, ``log``, ``log-unproved``); ``kind``, ``reason``, ``scope``,
    ``status``, ``text`` and ``rule`` as a ``Finding`` has them; ``recipient`` whom the message was for, folded;
    ``named`` the address that the notice names instead, where it does; ``token`` and ``day`` those of the return path,
    days since 1970-01-01 (without a token -1, in the log the day on which the message came); ``number`` the place in
    the order of commits, given by the store.
    """

    key: str
    at: int
    host: str
    source: str
    kind: str
    reason: str
    scope: str
    status: str
    stream: str
    recipient: str
    named: str
    token: str
    day: int
    text: str
    rule: str
    number: int = 0

    def as_json(self) -> dict[str, t.Any]:
        """What applications get: the time is of RFC 3339, the token's day a date."""
        found = {name: getattr(self, name) for name in FIELDS}
        found["at"] = datetime.datetime.fromtimestamp(self.at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found["day"] = str(datetime.date(1970, 1, 1) + datetime.timedelta(days=self.day)) if self.day >= 0 else None
        return found


FIELDS = tuple(field.name for field in dataclasses.fields(Event))


def clean(text: str, most: int = 1000) -> str:
    """A text as every database takes it, in one line and bounded."""
    return " ".join(_NO_TEXT.sub("\ufffd", text[:4 * most]).split())[:most]


def key(kind: str, recipient: str, occurrence: str) -> str:
    """The key of an event: the same for all that tell of the same.

    Who reads the mail log makes the same key by ``occurrence_in_log``, so that a bounce that Postfix logs and the
    notice that it sends of it are one event, whichever comes first.
    """
    text = f"mailfleet event 1\n{kind}\n{recipient}\n{occurrence}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:40]


def occurrence_in_log(host: str, queue_id: str) -> str:
    """Which delivery it was: the reporting host's name (``myhostname``) and its queue id."""
    return f"queue {host.lower()} {queue_id}"


def occurrence(raw: bytes) -> str:
    """Which delivery a notice tells of: the queue id of the Postfix that reports, or else a digest of the message.

    The digest leaves out what hosts on the way write on top, and how lines end: one notice that came twice is one.
    """
    reporter, queue_id = _REPORTER.search(raw), _QUEUE_ID.search(raw)
    if not (reporter and queue_id) and b"\r\n" in raw:
        raw = raw.replace(b"\r\n", b"\n")
        reporter, queue_id = _REPORTER.search(raw), _QUEUE_ID.search(raw)
    if reporter and queue_id:
        return occurrence_in_log(reporter[1].decode("ascii"), queue_id[1].decode("ascii"))
    return "digest " + hashlib.sha256(without_trace(raw)).hexdigest()


def without_trace(raw: bytes) -> bytes:
    """A message without what hosts on the way write on top of it, its lines ending alike: the same by every way."""
    if b"\r\n" in raw:
        raw = raw.replace(b"\r\n", b"\n")
    head, blank, body = raw.partition(b"\n\n")
    return _TRACE.sub(b"", head + b"\n") + blank + body
