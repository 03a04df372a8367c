# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet log follow``: the resident command that reads the mail log."""

from __future__ import annotations

import argparse
import functools
import time
import typing as t

from . import upkeep
from .cli_settings import settings_of
from .errors import Status, Unavailable
from .maillog import metrics
from .maillog.counts import Counts
from .maillog.follower import Follower
from .maillog.queues import Queues
from .maillog.reader import LogReader
from .settings import Settings
from .store import open_store
from .unit import Stop, ready, say

EVERY = 15  # seconds between two files of metrics


def add(_commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the command."""
    command = groups["log"].add_parser("follow", help="count what the mail log says, until told to stop")
    command.add_argument("--once", action="store_true", help="what is there now, and then end")
    command.set_defaults(run=_follow)


def _follow(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    reader = functools.partial(LogReader, settings.log.view, host=settings.host, events=bool(settings.log.events))
    follower = Follower(settings, Counts(settings.log.counts), open_store(settings), reader, say,
                        follows=not asked.once)
    teller = Teller(settings, follower)
    if asked.once:
        _once(follower)
        teller.queues.look()
        teller.queues.wait()
        teller.tell()
        return Status.DONE
    stop, due, steady = Stop(), time.monotonic() + upkeep.FIRST, upkeep.Steady()

    def stopped(seconds: float) -> bool:
        nonlocal due
        teller.look()
        if time.monotonic() >= due:
            due = time.monotonic() + upkeep.EVERY
            if steady():
                follower.tidy()
        return stop(seconds)

    ready()
    follower.work(stopped)
    return Status.DONE


def _once(follower: Follower) -> None:
    """Read what is there; raises Unavailable where something does not answer."""
    while True:
        before = follower.committed.number
        pause = follower.round()
        if follower.waits:
            raise Unavailable("the log", follower.waits, "all of it to be read", "Run this again later")
        if pause and follower.committed.number == before:
            follower.close()
            return


class Teller:
    """Writes the file of metrics now and then."""

    def __init__(self, settings: Settings, follower: Follower, clock: t.Callable[[], float] = time.time) -> None:
        self.path, self.follower, self.clock = settings.log.metrics, follower, clock
        self.queues = Queues(settings.log.queues, settings.log.view)
        self._next = 0.0
        self._failed = False

    def look(self) -> None:
        """Write it, if it is time to and a file is wanted."""
        if not self.path or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        self.queues.look()
        self.tell()

    def tell(self) -> None:
        """Write it, if a file is wanted; what cannot be written stops nothing else."""
        if not self.path:
            return
        follower = self.follower
        try:
            place = follower.counts.load()
            behind = follower.lines.behind() if follower.lines else 0
            metrics.write(self.path, metrics.text(
                follower.counts.sums(), lost=int((place.place or {}).get("lost", 0)),
                cut=int((place.place or {}).get("cut", 0)), behind=behind, committed=place.at, now=self.clock(),
                waiting=bool(follower.waits), depth=self.queues.depth))
            self._failed = False
        except (OSError, Unavailable) as error:
            if not self._failed:
                say(f"{self.path} cannot be written: {error}")
            self._failed = True
