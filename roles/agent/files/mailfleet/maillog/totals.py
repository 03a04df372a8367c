# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was counted: exact integers, which can be added up, over servers as over time.

Memory is bounded. Where a table is full, its smallest rows are put together in one named ``other`` (of hours: the
oldest, in hour 0): sums over all rows stay exact, and what is told of a domain that was put there once and came again
is too low by what stands under ``other``.
"""

from __future__ import annotations

import collections
import typing as t

from . import delays
from .why import gist

OTHER = "other"
ROW = ("provider", "address", "outcome", "reason", "kind", "scope")
HOUR = ("hour", "provider", "outcome", "reason")
MOST_ROWS = 10_000
MOST_HOURS = 40_000  # rows: a month of hours with some fifty of each
MOST_DOMAINS = 5_000
MOST_NAMES = 200  # of services and programs
MOST_SAMPLES = 3  # of a reason at a provider
COUNTS = ("removed", "handed_over", "signed", "signing_errors", "tls_lines", "forgotten")

Row = tuple[str, str, str, str, str, str]
Hour = tuple[int, str, str, str]


class Totals:
    """What became of mail.

    ``rows`` and ``hours`` count outcomes of recipients by ROW and by HOUR (the beginning of an hour in seconds of UTC);
    a deferral is one attempt. ``domains`` has the outcomes of each recipient domain; ``deferred`` how many messages
    were deferred at all, each once, at the provider that did it first; ``samples`` texts of a reason at a provider;
    ``delays`` buckets of each provider and stage, of what was delivered; ``tls`` of each provider how many recipients
    were delivered to over TLS, and how many by SMTP; ``lines`` all lines by service, ``unknown`` those of no known
    kind; ``counts`` the rest, by COUNTS; ``first`` and ``last`` the moments of outcomes, -1 where there are none.
    """

    def __init__(self) -> None:
        self.rows: dict[Row, int] = {}
        self.hours: dict[Hour, int] = {}
        self.domains: dict[str, dict[str, int]] = {}
        self.deferred: dict[str, int] = {}
        self.samples: dict[tuple[str, str], list[str]] = {}
        self.delays: dict[tuple[str, str], dict[int, int]] = {}
        self.tls: dict[str, list[int]] = {}
        self.lines: dict[str, int] = {}
        self.unknown: dict[str, int] = {}
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.first = self.last = -1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self.as_json() == other.as_json()

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Totals) -> Totals:
        found = Totals()
        found.add(self)
        found.add(other)
        return found

    def add(self, other: Totals) -> None:
        """Add what another has."""
        for name in ("rows", "hours", "deferred", "lines", "unknown", "counts"):
            mine = getattr(self, name)
            for key, many in getattr(other, name).items():
                mine[key] = mine.get(key, 0) + many
        for domain, outcomes in other.domains.items():
            self.count_domain(domain, outcomes)
        for place, texts in other.samples.items():
            for text in texts:
                self.sample(place, text)
        for stage, buckets in other.delays.items():
            self.count_delays(stage, buckets)
        for provider, (over, all_) in other.tls.items():
            mine = self.tls.setdefault(provider, [0, 0])
            mine[0] += over
            mine[1] += all_
        self.saw(other.first)
        self.saw(other.last)
        self.bound()

    def saw(self, at: int) -> None:
        """Widen the time that is told of."""
        if at >= 0:
            self.first = at if self.first < 0 else min(self.first, at)
            self.last = max(self.last, at)

    def count(self, row: Row, hour: int, many: int) -> None:
        """Count outcomes of one hour."""
        self.rows[row] = self.rows.get(row, 0) + many
        key = hour, row[0], row[2], row[3]
        self.hours[key] = self.hours.get(key, 0) + many

    def count_domain(self, domain: str, outcomes: t.Mapping[str, int]) -> None:
        """Count outcomes of a recipient domain."""
        mine = self.domains.setdefault(domain, {})
        for outcome, many in outcomes.items():
            mine[outcome] = mine.get(outcome, 0) + many
        if len(self.domains) > 2 * MOST_DOMAINS:
            self._fold_domains()

    def count_delays(self, stage: tuple[str, str], buckets: t.Mapping[int, int]) -> None:
        """Count delays of a provider and stage."""
        mine = self.delays.setdefault(stage, {})
        for number, many in buckets.items():
            mine[number] = mine.get(number, 0) + many

    def sample(self, place: tuple[str, str], text: str) -> None:
        """Keep a text of a provider and reason, if there are few of them yet."""
        texts = self.samples.setdefault(place, [])
        if len(texts) < MOST_SAMPLES and gist(text) not in map(gist, texts):
            texts.append(text)

    def bound(self) -> None:
        """Put together what is too much."""
        if len(self.domains) > MOST_DOMAINS:
            self._fold_domains()
        if len(self.hours) > MOST_HOURS:
            for hour, *rest in sorted(self.hours)[: len(self.hours) - MOST_HOURS // 2]:
                if hour:
                    key = 0, *rest
                    self.hours[key] = self.hours.get(key, 0) + self.hours.pop((hour, *rest))
        if len(self.rows) > MOST_ROWS:
            for row in sorted(self.rows, key=self.rows.__getitem__)[: len(self.rows) - MOST_ROWS // 2]:
                if row[1] != OTHER:
                    key = (row[0], OTHER, *row[2:])
                    self.rows[key] = self.rows.get(key, 0) + self.rows.pop(row)
        for table in (self.lines, self.unknown):
            if len(table) > MOST_NAMES:
                for name in sorted(set(table) - {OTHER}, key=lambda each: (table[each], each))[: -MOST_NAMES // 2]:
                    table[OTHER] = table.get(OTHER, 0) + table.pop(name)

    def _fold_domains(self) -> None:
        by_size = sorted(set(self.domains) - {OTHER}, key=lambda each: (-sum(self.domains[each].values()), each))
        into = self.domains.setdefault(OTHER, {})
        for domain in by_size[MOST_DOMAINS - 1 :]:
            for outcome, many in self.domains.pop(domain).items():
                into[outcome] = into.get(outcome, 0) + many

    def total(self, **wanted: str) -> int:
        """How many outcomes there are with some values of ROW: ``total(outcome="delivered", provider="google")``."""
        places = [(ROW.index(name), value) for name, value in wanted.items()]
        return sum(many for row, many in self.rows.items() if all(row[at] == value for at, value in places))

    def by(self, *names: str) -> dict[tuple[str, ...], int]:
        """Outcomes by some names of ROW."""
        places = [ROW.index(name) for name in names]
        found: dict[tuple[str, ...], int] = collections.Counter()
        for row, many in self.rows.items():
            found[tuple(row[at] for at in places)] += many
        return dict(found)

    def as_json(self) -> dict[str, t.Any]:
        """All of it as plain data, in an order that does not depend on how it was counted."""
        return {
            "version": 1,
            "rows": [[*row, many] for row, many in sorted(self.rows.items())],
            "hours": [[*hour, many] for hour, many in sorted(self.hours.items())],
            "domains": {name: dict(sorted(found.items())) for name, found in sorted(self.domains.items())},
            "deferred": dict(sorted(self.deferred.items())),
            "samples": [[*place, *texts] for place, texts in sorted(self.samples.items())],
            "delays": [[*stage, {str(number): many for number, many in sorted(found.items())}]
                       for stage, found in sorted(self.delays.items())],
            "tls": dict(sorted(self.tls.items())),
            "lines": dict(sorted(self.lines.items())),
            "unknown": dict(sorted(self.unknown.items())),
            "counts": dict(self.counts),
            "first": self.first,
            "last": self.last,
        }

    @classmethod
    def from_json(cls, found: t.Any) -> Totals:
        """What as_json made; raises ValueError where it is nothing of the kind: it may come from a server."""
        made = cls()
        try:
            if found["version"] != 1:
                raise ValueError(f"version {found['version']!r}; expected 1")
            made.rows = {t.cast("Row", _words(row, len(ROW))): _number(row[-1]) for row in found["rows"]}
            made.hours = {(_number(hour), *_words(rest, 3)): _number(rest[-1])  # type: ignore[misc]
                          for hour, *rest in found["hours"]}
            made.domains = {name: _counts(each) for name, each in found["domains"].items()}
            made.samples = {(provider, reason): [_text(each) for each in texts[:MOST_SAMPLES]]
                            for provider, reason, *texts in found["samples"]}
            made.delays = {(provider, stage): {int(number): _number(many) for number, many in buckets.items()}
                           for provider, stage, buckets in found["delays"] if stage in delays.STAGES}
            made.tls = {name: [_number(each[0]), _number(each[1])] for name, each in found["tls"].items()}
            made.deferred, made.lines = _counts(found["deferred"]), _counts(found["lines"])
            made.unknown = _counts(found["unknown"])
            made.counts |= {name: _number(found["counts"][name]) for name in COUNTS}
            made.first, made.last = (_number(found[name], -1) for name in ("first", "last"))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"found no totals: {type(error).__name__} {error}") from error
        made.bound()
        return made


def _number(value: t.Any, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"found {str(value)[:80]!r}, expected a whole number from {least}")
    return value


def _text(value: t.Any) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError(f"found {str(value)[:80]!r}, expected a text of 2000 characters at most")
    return value


def _words(values: t.Any, many: int) -> tuple[str, ...]:
    if len(values) != many + 1:
        raise ValueError(f"found {str(values)[:80]}, expected {many} texts and a number")
    return tuple(_text(each) for each in values[:many])


def _counts(found: t.Any) -> dict[str, int]:
    return {_text(name): _number(many) for name, many in found.items()}
