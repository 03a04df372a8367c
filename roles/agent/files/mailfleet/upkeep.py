# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Letting go: of what is older than it is kept, and of all that is known of an address."""

from __future__ import annotations

import dataclasses
import time

from . import events, suppressions
from .quarantine import Quarantine
from .rules import DAY
from .settings import Settings
from .spool import Spool
from .store import Store
from .tokens import Keys

EVERY = 3600  # seconds between two rounds of a resident worker


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten:
    """What was dropped of an address."""

    events: int
    entries: int
    trail: int
    messages: int


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
