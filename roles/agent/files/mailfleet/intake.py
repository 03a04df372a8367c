# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a message that came to a bounce host amounts to: an event, or a reason to keep it in quarantine.

The token is the proof. Whoever has it had the message, and it is believed of its own recipient, and of nobody else.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import os
import re
import typing as t

from . import event as events
from .event import Event
from .finding import Finding, Kind, Mention, Notice
from .recipients import domain_of, fold, plain
from .rules import ALL
from .settings import Settings
from .tokens import Checked, Result
from .unsigned import SOURCE as UNSIGNED
from .unsigned import recipient_of

Read = t.Callable[[bytes], Notice]
# The known feedback source that signed a message, an empty text where none did; None where that cannot be told yet.
Source = t.Callable[[bytes], str | None]

_RETURN_PATH = re.compile(rb"\bb\+[a-z2-7]{26}@[a-z0-9.-]{1,253}", re.IGNORECASE)

# The harm that comes of believing it: where a notice says several things and none of them of the recipient by name,
# the least of them counts.
_HARM = (Kind.DELIVERED, Kind.AUTO_REPLY, Kind.SOFT, Kind.HARD, Kind.COMPLAINT)


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The outcome: ``event``, or, where it is None, ``reason`` for the quarantine.

    ``unresolved`` is a finding of a notice that names nobody at all, while its token is valid: an earlier event of that
    token may tell. ``unverified``: it is a complaint, and who signed it cannot be told yet. ``checked`` is a valid
    token of the message, if any; ``failure`` where the reader failed.
    """

    event: Event | None = None
    reason: str = ""
    checked: Checked | None = None
    unresolved: Finding | None = None
    failure: str = ""
    unverified: bool = False


def judge(raw: bytes, read: Read, settings: Settings, now: int, source: Source = lambda _raw: "") -> Judged:
    """Judge one message.

    :arg raw: the message, or the beginning of a very large one.
    :arg read: the reader of notices; what it raises is a message that cannot be read.
    :arg now: when it came, in seconds of UTC: while it waited for the store, its token did not grow older.
    :arg source: is asked about a complaint without a valid token.
    """
    try:
        return _judge(raw, read(raw), settings, now, source)
    except Exception as error:  # whatever it is: one message never stops the others
        return Judged(reason="unreadable", checked=_anywhere(raw, settings, now), failure=_place(error))


def _judge(raw: bytes, notice: Notice, settings: Settings, now: int, source: Source) -> Judged:
    today = _day(now)
    addresses = _addresses(notice)
    checks = [settings.keys.check(mention.address, today) for mention in notice.mentions[:50]]
    first: dict[str, Checked] = {}  # a token may be written in many ways
    for checked in checks:
        if checked:
            first.setdefault(checked.token, checked)
    valid = list(first.values())
    if not valid:
        return _without(raw, notice, checks, settings, now, source)
    for checked in valid:
        if recipient := settings.keys.recipient(checked, addresses):
            break
    else:
        checked = valid[0]
    if not notice.findings:
        return Judged(reason="no-notice", checked=checked)
    finding = _about(notice.findings, recipient)
    if recipient and _beside(finding, recipient, notice):
        return Judged(reason="other-recipient", checked=checked)
    if not recipient and finding.kind != Kind.AUTO_REPLY:
        return Judged(reason="other-recipient", checked=checked, unresolved=None if addresses else finding)
    return Judged(make(raw, finding, recipient, checked, settings, now), checked=checked)


def make(raw: bytes, finding: Finding, recipient: str, checked: Checked, settings: Settings, now: int) -> Event:
    """The event of a finding that is believed of a recipient, by its token."""
    stream = settings.stream(checked.domain)
    return _event(raw, finding, recipient, stream, settings.host, now, token=checked.token, day=checked.day)


def _without(raw: bytes, notice: Notice, checks: t.Sequence[Checked], settings: Settings, now: int,
             source: Source) -> Judged:
    """Judge a message without a valid token: a complaint of a known source counts, and what nobody signed may be noted.
    """
    complaints = [finding for finding in notice.findings if finding.kind == Kind.COMPLAINT]
    finding = next((each for each in complaints if each.recipient or each.original), None)
    if finding:
        signer = source(raw)
        if signer is None:
            return Judged(reason="unverified", checked=_anywhere(raw, settings, now), unverified=True)
        if signer:
            recipient = fold(finding.original or finding.recipient)
            stream = _stream(notice.mentions, settings)
            return Judged(_event(raw, finding, recipient, stream, settings.host, now, from_="feedback"))
    told = [checked.result for checked in checks if checked.result is not Result.MALFORMED]
    if not told and (judged := _unsigned(raw, notice, settings, now)):
        return judged
    checked = _anywhere(raw, settings, now)
    return Judged(reason=told[0].lower().replace(" ", "-") if told else "no-token", checked=checked)


def _unsigned(raw: bytes, notice: Notice, settings: Settings, now: int) -> Judged | None:
    """Judge by a return path that names its recipient and that nobody signed; None where there is none."""
    paths = (recipient_of(each.address, settings.unsigned, settings.keys.domains) for each in notice.mentions[:50])
    recipient, domain = next((each for each in paths if each[0]), ("", ""))
    if not recipient or not notice.findings:
        return None
    finding, addresses = _about(notice.findings, recipient), _addresses(notice)
    if addresses and recipient not in addresses and finding.kind != Kind.AUTO_REPLY:
        return Judged(reason="other-recipient")
    return Judged(_event(raw, finding, recipient, settings.stream(domain), settings.host, now, from_=UNSIGNED))


def _anywhere(raw: bytes, settings: Settings, now: int) -> Checked | None:
    """A valid token anywhere in a message that changes nothing: enough to keep it where no junk displaces it."""
    found = {each.group().decode("ascii"): None for each in itertools.islice(_RETURN_PATH.finditer(raw), 20)}
    return next((checked for each in found if (checked := settings.keys.check(each, _day(now)))), None)


def _day(now: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).date()


def _place(error: Exception) -> str:
    """What the reader failed with, and where: nothing of the message."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "an unknown place"
    return f"{type(error).__name__} at {where}"


def _stream(mentions: t.Sequence[Mention], settings: Settings) -> str:
    """The stream that a complaint is about, by the return paths that it shows; all of them where it shows none."""
    domains = (domain_of(mention.address) for mention in mentions)
    return next((settings.streams[domain] for domain in domains if domain in settings.streams), ALL)


def _addresses(notice: Notice) -> list[str]:
    """The addresses that a notice names, each once."""
    named = [address for finding in notice.findings for address in (finding.recipient, finding.original)]
    found = dict.fromkeys(fold(address) for address in (*named, *notice.addressed) if address)
    return list(found | dict.fromkeys(plain(address) for address in found if address[0] == '"'))[:1000]


def _about(findings: t.Sequence[Finding], recipient: str) -> Finding:
    """The finding that is about a recipient: the one that names it, or the one that does the least harm."""
    key = plain(recipient)
    named = [each for each in findings if key and key in (plain(each.recipient), plain(each.original))]
    return min(named or findings, key=lambda each: _HARM.index(each.kind))


def _beside(finding: Finding, recipient: str, notice: Notice) -> bool:
    """Whether a finding is about another recipient of the same message: one that its own header names beside ours.

    An address that stands in no header is one that our recipient's mail is forwarded to.
    """
    named = {plain(address) for address in (finding.recipient, finding.original) if address}
    return bool(named) and plain(recipient) not in named and not named.isdisjoint(map(plain, notice.to))


def _event(raw: bytes, finding: Finding, recipient: str, stream: str, host: str, now: int, *, from_: str = "bounce",
           token: str = "", day: int = -1) -> Event:
    named = "" if fold(finding.recipient) == recipient else events.clean(fold(finding.recipient), 320)
    recipient = events.clean(recipient, 320)
    # An automatic reply may not say whose it is.
    occurrence = events.occurrence(raw)
    if from_ == UNSIGNED:  # what anybody can write is never taken for what somebody signed for
        occurrence = f"{UNSIGNED} {occurrence}"
    key = events.key(finding.kind, recipient or token, occurrence)
    return Event(key, now, host, from_, finding.kind, events.clean(finding.reason, 100), finding.scope,
                 events.clean(finding.status, 20), stream, recipient, named, token, day, events.clean(finding.text),
                 events.clean(finding.rule, 200))
