# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading big files with all cores: ranges of a file at a time, and what spans two of them.

A range is read without what is before it. What it cannot tell alone, it keeps: which messages were deferred first here
if they were not before, who waited before and is done with here, what expired, and deliveries by processes whose
connection was made before. Ranges are put together in their order, and then all of this is known: the counts are those
of one reader.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import typing as t

from .counting import Wanted
from .files import blocks, cuts, is_plain
from .reader import MOST_PROCESSES, LogReader
from .totals import Totals
from .view import View
from .waiting import PartWaiting

RANGE = 16 << 20  # bytes: what is kept of a range is bounded by its size
LEAST = 4 * RANGE  # bytes of a file from which on processes are worth their start


@dataclasses.dataclass(frozen=True)
class How:
    """How a log is read, as LogReader takes it; without a ``reference`` each file has its own: when it was written."""

    view: View
    host: str
    reference: float | None = None
    wanted: Wanted | None = None

    def reader(self) -> LogReader:
        """A reader."""
        return LogReader(self.view, host=self.host, reference=self.reference, wanted=self.wanted)


@dataclasses.dataclass
class Part:
    """What a range says: its totals, and what is to be settled with what was before it."""

    totals: Totals
    waiting: PartWaiting
    tls: dict[bytes, dict[bytes, bytes]]
    unsure: dict[tuple[bytes, bytes, bytes], dict[str, int]]


def read(how: How, paths: t.Sequence[str], processes: int = 0, reader: LogReader | None = None) -> LogReader:
    """Read files, the oldest first, with so many processes (0: one for each core).

    :arg reader: what reads them; one of its own kind needs one process.
    :returns: the reader, which knows all of them.
    """
    reader = reader or how.reader()
    processes = processes or len(os.sched_getaffinity(0))
    for path in paths:
        reference = how.reference
        if reference is None and path != "-" and os.path.isfile(path):
            reference = os.path.getmtime(path)
        reader.refer(reference)
        if processes > 1 and is_plain(path) and os.path.isfile(path) and os.path.getsize(path) >= LEAST:
            ours = dataclasses.replace(how, reference=reference)
            read_ranges(reader, ours, path, cuts(path, RANGE), processes)
        else:
            for block in blocks(path):
                reader.feed(block)
    return reader


def read_ranges(reader: LogReader, how: How, path: str, ranges: t.Sequence[tuple[int, int]], processes: int) -> None:
    """Read ranges of a file that follow each other, side by side, into a reader that knows what is before them."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(processes, context, _begin, (how,)) as pool:
        rest = iter(ranges)
        # Never more of them than can be put together soon: they take memory.
        running = [pool.submit(_read, path, *each) for each in itertools.islice(rest, 2 * processes)]
        while running:
            absorb(reader, running.pop(0).result())
            running += [pool.submit(_read, path, *each) for each in itertools.islice(rest, 1)]


_reader: LogReader | None = None


def _begin(how: How) -> None:
    """Each process has one reader, which knows more replies and relays with every range."""
    global _reader
    _reader = how.reader()


def _read(path: str, start: int, end: int) -> Part:
    assert _reader is not None
    return part_of(_reader, blocks(path, start, end))


def part_of(reader: LogReader, lines: t.Iterable[bytes]) -> Part:
    """Read a range of a log beside others; of the reader nothing but what it has learned of names is used."""
    waiting = reader.waiting = PartWaiting()
    unsure = reader.unsure = {}
    for processes in reader.tls.values():
        processes.clear()
    for block in lines:
        reader.feed(block)
    totals, _events = reader.take()
    return Part(totals, waiting, {host: dict(found) for host, found in reader.tls.items()}, unsure)


def absorb(reader: LogReader, part: Part) -> None:
    """Put a range behind what a reader has read."""
    reader.counting.settle()
    totals, waiting, of_part = part.totals, reader.waiting, part.waiting
    for (host, process, relay), counts in part.unsure.items():
        if reader.tls.get(host, {}).get(process) == relay:
            for provider, many in counts.items():
                totals.tls[provider][0] += many
    for key, provider in of_part.firsts.items():
        if key in waiting.messages:
            totals.deferred[provider] -= 1
    reader.counting.totals.add(totals)
    for key, at, touched, others in of_part.given_up:
        before = [each for each in waiting.expired(key, at) or () if each[0] not in touched]
        for recipient, last, arrived in before or ([] if others else [(b"", None, at)]):
            reader.give_up(key, recipient, last, arrived, at)
    for key, recipients in of_part.touched.items():
        for recipient in recipients:
            waiting.done(key, recipient)
    for key in of_part.gone:
        waiting.removed(key)
    for key, message in of_part.messages.items():
        waiting.adopt(key, message)
    for host, processes in part.tls.items():
        known = reader.tls.setdefault(host, {})
        known.update(processes)
        while len(known) > MOST_PROCESSES:
            del known[next(iter(known))]
