# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was counted of this server's log, and how far it was read: a database of its own, in one file.

Counts are a server's own, written every second and asked for where they are; the store of events is the fleet's, and
may be a PostgreSQL that is down. So they are two databases always, also where the store is a file, and no transaction
spans both. It needs none: place, open messages and counts are one transaction here, and events go to the store before
it. Cut off in between, the same lines are read again from the place that is committed, make the same events, and those
are known by their keys; the counts were not there yet. So either half is exact by itself.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ..rules import DAY
from ..store import Damaged
from ..store_sqlite import SqliteStore
from .totals import OTHER, Totals
from .why import SHOWN

HOUR = 3600
# Counts of hours are kept as long; older ones are put together by days of UTC.
HOURLY = 8 * DAY
FORGOTTEN = "forgotten@invalid"
# Rows of sums of one name: whoever may write to syslog chooses the names of services.
MOST_SUMS = 3000

_VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        # commits: how many changes there were, of place or counts; whoever has another number knows of fewer.
        "INSERT INTO counters (name, value) VALUES ('events', 0), ('commits', 0)",
        "CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, place TEXT NOT NULL, "
        "open TEXT NOT NULL)",
        # What was counted in the seconds from begin to before ends.
        "CREATE TABLE totals (begin INTEGER NOT NULL, ends INTEGER NOT NULL, totals TEXT NOT NULL, "
        "PRIMARY KEY (begin, ends))",
        # The same since the beginning, and never less: for counters that a monitoring system takes differences of.
        "CREATE TABLE sums (name TEXT NOT NULL, labels TEXT NOT NULL, many INTEGER NOT NULL, "
        "PRIMARY KEY (name, labels))",
    ),
)
_ADD = ("INSERT INTO sums (name, labels, many) VALUES (?, ?, ?) "
        "ON CONFLICT (name, labels) DO UPDATE SET many = many + excluded.many")
_PUT = "INSERT OR REPLACE INTO totals (begin, ends, totals) VALUES (?, ?, ?)"


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """What is known of a log: the ``number`` of the commit, when it was (``at``), the place, and open messages."""

    number: int
    at: int = 0
    place: dict[str, t.Any] | None = None
    open: bytes = b""


class Counts(SqliteStore):
    """The counts of this server."""

    DAMAGED = "Move {0} away, with {0}-wal and {0}-shm: the log is then counted anew, as far as it is there"

    def load(self) -> Committed:
        """What was committed last."""
        number = self.counter("commits")
        found = self.rows("SELECT at, place, open FROM place")
        if not found:
            return Committed(number)
        at, place, open_ = found[0]
        return Committed(number, at, self._read(json.loads, place), open_.encode())

    def commit(self, before: int, place: dict[str, t.Any], open_: bytes,
               totals: t.Sequence[tuple[int, Totals]], now: int) -> int | None:
        """Commit how far the log was read with what was counted on the way.

        :arg before: the number of the commit that this goes on from.
        :arg totals: what was counted, by the beginning of its hour in seconds of UTC.
        :returns: its number; None where something else was committed meanwhile (another reader of the log, or an
            address was forgotten): then nothing is changed, and the lines have to be read again from there.
        """
        with self.transaction():
            if self.counter("commits") != before:
                return None
            self.advance("commits", 1)
            self.run("INSERT OR REPLACE INTO place (one, at, place, open) VALUES (1, ?, ?, ?)",
                     (now, json.dumps(place), open_.decode()))
            for begin, counted in totals:
                self._add(begin, begin + HOUR, counted)
                for name, sums in _sums(counted):
                    self._add_sums(name, sums)
        return before + 1

    def totals(self, since: int = 0, until: int = 1 << 62) -> Totals:
        """What was counted in some time, in seconds of UTC; hours and, of older times, days that are partly in it are
        counted whole."""
        found = Totals()
        for (text,) in self.rows("SELECT totals FROM totals WHERE ends > ? AND begin < ? ORDER BY begin",
                                 (since, until)):
            found.add(self._read(_totals, text))
        return found

    def sums(self) -> dict[str, dict[tuple[str, ...], int]]:
        """What was counted since the beginning: by name, by the values of its labels."""
        found: dict[str, dict[tuple[str, ...], int]] = {}
        for name, labels, many in self.rows("SELECT name, labels, many FROM sums ORDER BY name, labels"):
            found.setdefault(name, {})[tuple(json.loads(labels))] = many
        return found

    def tidy(self, now: int, days: int) -> None:
        """Drop counts that are older than some days, and put older hours together by days."""
        with self.transaction():
            self.run("DELETE FROM totals WHERE ends <= ?", (now - days * DAY,))
            old = self.rows("SELECT begin, ends FROM totals WHERE ends - begin = ? AND ends <= ? ORDER BY begin",
                            (HOUR, (now - HOURLY) // DAY * DAY))
            for begin, ends in old:
                text = self.rows("SELECT totals FROM totals WHERE begin = ? AND ends = ?", (begin, ends))[0][0]
                self.run("DELETE FROM totals WHERE begin = ? AND ends = ?", (begin, ends))
                day = begin // DAY * DAY
                self._add(day, day + DAY, self._read(_totals, text))

    def forget(self, address: str) -> int:
        """Put another address in the place of one (folded) in all that is kept: texts of receivers, messages that are
        not done with. How many rows had it. Counts stay as they are.

        A reader of the log that is running finds that something was committed, and goes on from there.
        """
        changed = 0
        with self.transaction():
            for begin, ends, text in self.rows("SELECT begin, ends, totals FROM totals"):
                if (new := without(text, address)) != text:
                    self.run(_PUT, (begin, ends, new))
                    changed += 1
            for (text,) in self.rows("SELECT open FROM place"):
                if (new := without(text, address)) != text:
                    self.run("UPDATE place SET open = ?", (new,))
                    changed += 1
            if changed:
                self.advance("commits", 1)
        self.scrub()
        return changed

    def _add_sums(self, name: str, sums: t.Mapping[tuple[str, ...], int]) -> None:
        known = {row[0] for row in self.rows("SELECT labels FROM sums WHERE name = ?", (name,))}
        rows: dict[str, int] = {}
        for labels, many in sums.items():
            text = json.dumps(labels)
            if text not in known and len(known) >= MOST_SUMS:
                text = json.dumps([OTHER] * len(labels))
            known.add(text)
            rows[text] = rows.get(text, 0) + many
        self.many(_ADD, [(name, text, many) for text, many in rows.items()])

    def _add(self, begin: int, ends: int, counted: Totals) -> None:
        known = self.rows("SELECT totals FROM totals WHERE begin = ? AND ends = ?", (begin, ends))
        if known:
            counted = self._read(_totals, known[0][0]) + counted
        self.run(_PUT, (begin, ends, json.dumps(counted.as_json(), separators=(",", ":"))))

    def _read(self, reader: t.Callable[[str], t.Any], text: str) -> t.Any:
        try:
            return reader(text)
        except (ValueError, RecursionError) as error:
            raise Damaged(self.name, f"what it has of the log cannot be read: {error}", "what was written",
                          self.DAMAGED.format(self.path)) from error

    def _versions(self) -> tuple[tuple[str, ...], ...]:
        return _VERSIONS


def _totals(text: str) -> Totals:
    return Totals.from_json(json.loads(text))


def _sums(counted: Totals) -> t.Iterator[tuple[str, dict[tuple[str, ...], int]]]:
    """What counts add to sums: by name, by the values of its labels."""
    yield "outcomes", counted.by("provider", "reason", "outcome", "address")
    yield "tls", {(provider,): over for provider, (over, _all) in counted.tls.items()}
    yield "lines", {(service,): many for service, many in counted.lines.items()}
    yield "unknown", {(service,): many for service, many in counted.unknown.items()}


def without(text: str, address: str) -> str:
    """A JSON text in which another address stands in the place of one, however it is written."""
    written = {address, address.encode("utf-8").decode("latin-1")}  # open messages are kept as the bytes of the log
    begins = [each[:each.rfind("@") + 1] or each for each in written]  # what is behind it may be cut off
    if not any(each in text.lower() or json.dumps(each)[1:-1] in text.lower() for each in begins):
        return text
    return json.dumps(_without(json.loads(text), written), separators=(",", ":"))


def _without(value: t.Any, written: t.Collection[str]) -> t.Any:
    if isinstance(value, str):
        # As long as a text is kept, it may end within an address.
        whole = len(value) < SHOWN
        for each in written:
            # A line of a reply that others follow has a hyphen behind its code.
            before = r"(?:(?<![\w.+-])|(?<=\b[245]\d\d-))"
            value = re.sub(rf"(?ai){before}{re.escape(each)}(?!-*[^\W_]|\.\w)", FORGOTTEN, value)
            if not whole and "@" in each:
                ends = "|".join(re.escape(each[:end]) for end in range(len(each) - 1, each.rfind("@"), -1))
                value = re.sub(rf"(?ai){before}(?:{ends})\Z", FORGOTTEN, value)
        return value
    if isinstance(value, list):
        return [_without(each, written) for each in value]
    if isinstance(value, dict):
        return {_without(name, written): _without(each, written) for name, each in value.items()}
    return value
