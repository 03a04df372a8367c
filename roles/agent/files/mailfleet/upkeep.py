# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Letting go: of what is older than it is kept, and of all that is known of an address."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from . import events, suppressions
from .quarantine import Quarantine
from .rules import DAY
from .settings import Settings
from .spool import Spool
from .store import Store
from .tokens import Keys

EVERY = 3600  # seconds between two rounds of a resident worker
FIRST = 600  # seconds until its first one: by then the clock of a host that has just started is right


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten:
    """What was dropped of an address."""

    events: int
    entries: int
    trail: int
    messages: int


class Steady:
    """Whether the clock is to be believed where things go by age: one that was set by more than an hour is so once it
    went on for a day, since what went because of a wrong one does not come back.

    :arg clock: seconds of UTC.
    :arg even: seconds of a clock that nobody sets, and that goes on while the host sleeps.
    """

    def __init__(
        self, clock: t.Callable[[], float] = time.time,
        even: t.Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._clock, self._even = clock, even
        self._apart = clock() - even()
        self._set_at: float | None = None

    def __call__(self) -> bool:
        even = self._even()
        apart = self._clock() - even
        if abs(apart - self._apart) > EVERY:
            self._apart, self._set_at = apart, even
        return self._set_at is None or even - self._set_at >= DAY


def tidy(settings: Settings, store: Store, spool: Spool, quarantine: Quarantine, now: float | None = None) -> int:
    """Drop what is older than ``retention_days``, in the store and beside it; how many events those were.

    An event that a webhook did not take in all that time goes too.
    """
    now = time.time() if now is None else now
    quarantine.tidy(now)
    spool.tidy(now)
    before = int(now) - settings.retention_days * DAY
    with store.transaction():
        suppressions.tidy(store, before)
        return events.tidy(store, before)


def forget(address: str, store: Store, quarantine: Quarantine, keys: Keys) -> Forgotten:
    """Drop all that is known of an address (folded): events, and so what webhooks did not take yet, entries and their
    trail, messages in this host's quarantine that name it or carry a token of its."""
    with store.transaction():
        dropped = events.forget(store, address)
        entries, trail = suppressions.forget(store, address)
    store.scrub()
    return Forgotten(dropped, entries, trail, quarantine.forget(address, lambda token: keys.is_of(token, address)))
