# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counting outcomes: a row for all that share what is told of them, put among the totals once an hour of the log."""

from __future__ import annotations

import collections
import dataclasses

from . import delays
from .log_event import DELIVERED, LogEvent
from .totals import MOST_SAMPLES, OTHER, Totals
from .totals import Row as RowKey
from .view import LOCAL, NONE
from .why import shown

HOUR = 3600  # seconds
_MOST_ROWS = 5000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which outcomes are counted: from ``since`` to before ``until``, in seconds of UTC, at some providers and of some
    recipient domains (in lower case); empty for all."""

    since: int = 0
    until: int = 1 << 62
    providers: frozenset[str] = frozenset()
    domains: frozenset[bytes] = frozenset()

    def takes(self, at: int, provider: str, domain: bytes) -> bool:
        """Whether an outcome counts."""
        return (self.since <= at < self.until and (not self.providers or provider in self.providers)
                and (not self.domains or domain.lower() in self.domains))


class Row:
    """What is counted of one hour: a domain for each outcome, and of what was delivered `delays=` and `delay=`, all as
    the log has them. Lists are counted faster at once than one by one."""

    __slots__ = ("key", "over_tls", "domains", "stages", "whole")

    def __init__(self, key: RowKey) -> None:
        self.key = key
        self.over_tls = 0
        self.domains: list[bytes] = []
        self.stages: list[bytes] = []
        self.whole: list[bytes] = []


class Counting:
    """The rows of the hour, and the totals that they go to.

    :arg wanted: which outcomes are counted; None for all.
    """

    def __init__(self, wanted: Wanted | None) -> None:
        self.wanted = wanted
        self.totals = Totals()
        self.events: list[LogEvent] = []
        self.touched: list[Row] = []
        self.hour = -1
        self._rows: dict[RowKey, Row] = {}
        self._texts: dict[tuple[str, str], dict[bytes, bytes]] = {}

    def tick(self, at: int) -> None:
        """The clock of the log says another second."""
        if at // HOUR != self.hour:
            self.flush()
            self.hour = at // HOUR
        if self.wanted is None or self.wanted.since <= at < self.wanted.until:
            self.totals.saw(at)

    def row(self, key: RowKey) -> Row:
        """The row of a key."""
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) >= _MOST_ROWS:
                self.flush()
                self._rows.clear()
            found = self._rows[key] = Row(key)
        return found

    def count(self, key: RowKey, at: int, domain: bytes, text: bytes = b"", gist: bytes = b"") -> bool:
        """Count an outcome, if it is wanted; the second that it is of must have been told by ``tick``.

        :arg text: what was said, kept as a sample where there are few of another gist.
        """
        if self.wanted is not None and not self.wanted.takes(at, key[0], domain):
            return False
        row = self.row(key)
        if not row.domains:
            self.touched.append(row)
        row.domains.append(domain)
        if text:
            texts = self._texts.setdefault((key[0], key[3]), {})
            if len(texts) < MOST_SAMPLES:
                texts.setdefault(gist, text)
        return True

    def flush(self) -> None:
        """Put the rows of the hour among the totals."""
        totals, hour = self.totals, self.hour * HOUR
        for row in self.touched:
            provider, address, outcome, *_rest = row.key
            totals.count(row.key, hour, len(row.domains))
            for domain, many in collections.Counter(row.domains).items():
                name = domain.decode("utf-8", "replace").lower()
                totals.count_domain(name[:255] or OTHER, {outcome: many})
            if outcome == DELIVERED:
                stages = b"/".join(row.stages).split(b"/")
                if len(stages) != 4 * len(row.stages):
                    stages = [part for each in row.stages if each.count(b"/") == 3 for part in each.split(b"/")]
                for at, stage in enumerate(delays.STAGES):
                    self._delays(provider, stage, stages[at::4] if at < 4 else row.whole)
                row.stages.clear()
                row.whole.clear()
            if outcome == DELIVERED and address not in (LOCAL, NONE):
                over = totals.tls.setdefault(provider, [0, 0])
                over[0] += row.over_tls
                over[1] += len(row.domains)
            row.over_tls = 0
            row.domains.clear()
        self.touched.clear()

    def _delays(self, provider: str, stage: str, texts: list[bytes]) -> None:
        buckets: dict[int, int] = {}
        for text, many in collections.Counter(texts).items():
            number = delays.of_text(text)
            buckets[number] = buckets.get(number, 0) + many
        if buckets:
            self.totals.count_delays((provider, stage), buckets)

    def settle(self) -> None:
        """Put all that was counted among the totals."""
        self.flush()
        for place, texts in self._texts.items():
            for text in texts.values():
                self.totals.sample(place, shown(text))
        self._texts.clear()
        self.totals.bound()

    def take(self) -> tuple[Totals, list[LogEvent]]:
        """What was counted since it was taken last."""
        self.settle()
        found = self.totals, self.events
        self.totals, self.events = Totals(), []
        return found


def domain_of(recipient: bytes) -> bytes:
    """The domain of a recipient as the log has it; empty where it has none."""
    return recipient.rpartition(b"@")[2] if b"@" in recipient else b""
