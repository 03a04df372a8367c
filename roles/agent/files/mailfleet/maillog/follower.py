# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The follower: reads the log, has it counted, and commits counts, events and the place in an order that is exact.

A batch ends after some MiB, or when there is nothing more. Its events are recorded in the store, some hundreds in a
transaction; then the counts, with the place and the open messages, in the database of this server (``counts.py`` says
why that is enough). While the store does not answer the batch waits, and so does the log, which is on the disk;
nothing further is read. Wherever it is cut off, and after every error of its own database, it goes on from what is
committed.

What a commit costs grows with the messages that are open, so where the log is read to its end there is a pause behind
each of ten times what it took: a second mostly, ten at most. Where there is more to read there is none.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .. import events
from ..errors import Unavailable
from ..event import Event
from ..finding import Kind
from ..rules import DAY
from ..settings import Settings
from ..store import Store
from .counts import HOUR, Committed, Counts
from .follow import Files, Say
from .journal import NAME as JOURNAL
from .journal import Journal
from .log_event import LogEvent
from .stream import event_of
from .totals import Totals

LOOK = 1.0  # seconds between two looks at a log that has nothing new
BATCH = 8 << 20  # bytes
AT_ONCE = 500  # events in a transaction: of all hosts one writes at a time
PATIENCE = (5, 60)  # seconds until a store that did not answer is asked again, at first and at most
PAUSE = 10  # times what a commit took
LONGEST_PAUSE = 10.0  # seconds
MOST_TOLD = 20_000  # deferrals that need not be told again


class Reader(t.Protocol):
    """What reads lines (``reader.LogReader``)."""

    def feed(self, block: bytes) -> None:
        """Read whole lines."""

    def take(self) -> tuple[Totals, list[LogEvent]]:
        """What was counted since it was taken last."""

    def state(self) -> bytes:
        """What has to be known of the lines before to go on."""

    def restore(self, state: bytes) -> None:
        """Go on from a state; raises ValueError where it is none."""


class Lines(t.Protocol):
    """A log as a stream of lines (``follow.Files``, ``journal.Journal``)."""

    lost: int
    cut: int

    def read(self) -> bytes:
        """Whole lines that are new."""

    def place(self) -> dict[str, t.Any]:
        """How far it was read."""

    def behind(self) -> int:
        """How many bytes were not read yet."""

    def to_end(self) -> None:
        """Pass by what is there already."""

    def close(self) -> None:
        """Let go of it."""


@dataclasses.dataclass
class Batch:
    """What was read and is not committed."""

    totals: list[tuple[int, Totals]]
    events: list[Event]
    place: dict[str, t.Any]
    open: bytes
    full: bool


class Follower:
    """Follows the log of this server.

    :arg store: where events go.
    :arg reader: makes a reader of lines.
    :arg say: tells a line to the log.
    :arg steps: is called with the name of each step when it is done; tests cut the follower off in it.
    """

    def __init__(
        self, settings: Settings, counts: Counts, store: Store, reader: t.Callable[[], Reader],
        say: Say = lambda _line: None, steps: t.Callable[[str], None] = lambda _name: None,
        clock: t.Callable[[], float] = time.time, follows: bool = True,
    ) -> None:
        self.settings, self.counts, self.store, self.say, self.steps = settings, counts, store, say, steps
        self.clock, self.follows = clock, follows
        self._make = reader
        self._reader: Reader | None = None
        self.lines: Lines | None = None
        self.committed = Committed(0)
        self._batch: Batch | None = None
        self._told: dict[str, None] = {}
        self._patience = self._not_before = 0.0
        self._blind = ""
        self._moved = False

    @property
    def waits(self) -> str:
        """What it waits for, in words; empty where it waits for nothing."""
        return self._blind or (f"{self.store.name} did not answer" if self._patience else "")

    def work(self, stopped: t.Callable[[float], bool]) -> None:
        """Work until told to stop; ``stopped`` waits some seconds, and tells whether to."""
        while not stopped(self.round()):
            pass
        self.close()

    def round(self) -> float:
        """Read and commit what is there now, a batch at most; how many seconds there are to wait."""
        try:
            began = self.clock()
            if began < self._not_before <= began + PATIENCE[1]:
                return min(LOOK, self._not_before - began)
            pause = self._commit() if self._batch is not None or self._read() else LOOK
            if self._patience:
                self._blind, self._patience = "", 0.0
                self.say("the log is read again")
            return pause
        except Unavailable as error:
            if self._batch is None:
                # The log, or the database of this server: what is committed is what is known.
                self.close()
                if not self._blind:
                    self.say(str(error))
                self._blind = str(error)
            elif not self._patience:
                self.say(f"{error}; the log waits")
            self._patience = min(PATIENCE[1], self._patience * 2 or PATIENCE[0])
            self._not_before = self.clock() + self._patience
            return LOOK

    def close(self) -> None:
        """Let go of the log; what is not committed is read again."""
        if self.lines is not None:
            self.lines.close()
        self.lines, self._reader, self._batch = None, None, None

    def tidy(self) -> None:
        """Drop counts that are older than they are kept."""
        try:
            self.counts.tidy(int(self.clock()), self.settings.retention_days)
        except Unavailable as error:
            self.say(str(error))

    def _start(self) -> None:
        """Take up what is committed."""
        self.committed = self.counts.load()
        place, settings = self.committed.place, self.settings
        since = self.clock() - settings.retention_days * DAY
        where = JOURNAL if settings.log.source == "journal" else settings.log.file
        self._moved = bool(place) and place.get("path") != where
        if place and self._moved:
            self.say(f"{where} is followed from now on, and not {place.get('path')}; a stretch of the log may be lost")
            place = {"lost": int(place.get("lost", 0)) + 1, "cut": int(place.get("cut", 0))}
        self.lines = (Journal(place, since, self.say, follows=self.follows) if where == JOURNAL
                      else Files(where, place, since, self.say))
        if self._moved:
            self.lines.to_end()  # what is in both is not to be counted twice
        self._reader = self._make()
        if self.committed.open:
            try:
                self._reader.restore(self.committed.open)
            except ValueError as error:
                self.say(f"{self.counts.name}: {error}; messages that were open are not known any more")
                self._reader = self._make()

    def _read(self) -> bool:
        """Read a batch; whether there was anything."""
        if self.lines is None:
            self._start()
        assert self.lines is not None and self._reader is not None
        lost, size, now = self.lines.lost, 0, int(self.clock())
        totals: dict[int, Totals] = {}
        found: list[Event] = []
        hour = now // HOUR * HOUR
        while size < BATCH and (block := self.lines.read()):
            size += len(block)
            for part in by_hour(block):
                self._reader.feed(part)
                counted, told = self._reader.take()
                hour = counted.first // HOUR * HOUR if counted.first >= 0 else hour
                if hour in totals:
                    totals[hour].add(counted)
                else:
                    totals[hour] = counted
                found += filter(None, (event_of(each, self.settings, now) for each in told))
        self.steps("read")
        if not size and self.lines.lost == lost and not self._moved:
            return False
        self._moved = False
        self._batch = Batch(sorted(totals.items()), [each for each in found if each.key not in self._told],
                            self.lines.place(), self._reader.state(), size >= BATCH)
        return True

    def _commit(self) -> float:
        assert self._batch is not None
        batch, now = self._batch, int(self.clock())
        for start in range(0, len(batch.events), AT_ONCE):
            with self.store.transaction():
                events.record(self.store, batch.events[start:start + AT_ONCE], self.settings.rules, now)
                self.steps("recorded")
            self.steps("told")
        self._batch = None  # from here on an error is one of our own database
        began = time.monotonic()
        number = self.counts.commit(self.committed.number, batch.place, batch.open, batch.totals, now)
        self.steps("committed")
        if number is None:
            self.say(f"{self.counts.name} was changed meanwhile: the log is read again from what is committed")
            self.close()
            return 0
        self.committed = dataclasses.replace(self.committed, number=number, at=now, place=None, open=b"")
        for each in batch.events:
            if each.kind == Kind.DEFERRED:
                self._told[each.key] = None
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        if batch.full or not self.follows:
            return 0
        return max(LOOK, min(LONGEST_PAUSE, PAUSE * (time.monotonic() - began)))


def by_hour(block: bytes) -> t.Iterator[bytes]:
    """The lines of a block in parts, each of one hour by its time stamps, traditional ones or those of RFC 3339."""
    start, last = 0, block.rfind(b"\n", 0, len(block) - 1) + 1
    while start < len(block):
        stamp = block[start:start + (13 if block[start:start + 1].isdigit() else 9)]
        if block.startswith(stamp, last) or b"\n" in stamp:
            yield block[start:]
            return
        end = start
        while block.startswith(stamp, end):
            end = block.find(b"\n", end) + 1
        yield block[start:end]
        start = end
