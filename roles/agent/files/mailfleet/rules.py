# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When an event suppresses its recipient. Pure: what is known goes in, a change of the list or nothing comes out."""

from __future__ import annotations

import dataclasses
import typing as t

from .event import UNPROVED, Event
from .finding import Kind, Scope
from .settings import Rules
from .unsigned import SOURCE as UNSIGNED

DAY = 86400
ALL = "*"  # the stream of an entry that holds for all of them
# What says something of the mailbox; blocks, verdicts on content and faults of the network never suppress a person.
OF_THE_RECIPIENT = (Scope.RECIPIENT, Scope.DOMAIN)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the suppression list.

    ``until`` is in seconds of UTC, 0 is for ever; ``removed`` the day on which somebody took it off the list, -1 where
    nobody did; ``event`` the key of the event behind it, if any; ``changed`` its number among all changes.
    """

    stream: str
    recipient: str
    cause: str
    detail: str
    event: str
    since: int
    until: int
    removed: int = -1
    changed: int = 0

    def holds(self, now: float) -> bool:
        """Whether mail is refused at a moment."""
        return self.removed < 0 and (self.until == 0 or now < self.until)


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """An earlier event of the same recipient and stream: its kind, the day of its token or of itself, its number."""

    kind: str
    day: int
    number: int


def decide(event: Event, known: Entry | None, past: t.Sequence[Past], rules: Rules) -> Entry | None:
    """The entry that an event makes, or None.

    Days are those on which the messages were sent, by their tokens; so one token, however often somebody repeats what
    came of it, never makes more than one day of soft failures. Nor does a token bring an entry back that was removed on
    its day or later.

    :arg known: the entry that there is, holding, expired or removed.
    :arg past: the soft failures and deliveries within ``soft_within`` days, this event with them; for soft events only.
    """
    # Anybody can write such a return path. A complaint wants to be signed for, whatever the operator trusts.
    if event.source == UNSIGNED and not (rules.unsigned and event.kind != Kind.COMPLAINT):
        return None
    if event.source == UNPROVED:
        return None
    if known and known.removed >= 0 and 0 <= event.day <= known.removed:
        return None
    detail = " ".join(part for part in (event.reason, event.status, event.text) if part)[:300]
    # A report that a signature failed (RFC 6591) complains of the sender, and nobody asked for anything.
    if event.kind == Kind.COMPLAINT and event.scope == Scope.RECIPIENT:
        days = rules.complaint_days
    elif event.kind == Kind.HARD and event.scope in OF_THE_RECIPIENT:
        days = rules.hard_days
    elif event.kind == Kind.SOFT and event.scope in OF_THE_RECIPIENT:
        delivered = max((each.number for each in past if each.kind == Kind.DELIVERED), default=-1)
        failures = [each.day for each in past if each.kind == Kind.SOFT and each.number > delivered]
        if len(failures) < rules.soft_failures or len(set(failures)) < rules.soft_days:
            return None
        days = rules.soft_suppressed
        detail = f"{len(failures)} failures of {len(set(failures))} days, the last: {detail}"
    else:
        return None
    until = event.at + days * DAY if days else 0
    if known and known.holds(event.at) and (known.until == 0 or 0 < until <= known.until):
        return None
    return Entry(event.stream, event.recipient, event.kind, detail, event.key, event.at, until)
