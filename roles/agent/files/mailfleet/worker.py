# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resident worker: takes messages in batches, commits what they say, and only then lets go of them.

New mail is seen by a look at the folder twice a second: inotify would have to be reached through ctypes, does not see
what another host writes to a network file system, and may lose events, so that the look would be needed beside it. An
empty folder costs 20 microseconds.

The order of a batch is what promises that nothing is lost and nothing counts twice: what changes nothing is renamed
into the quarantine; events, and what they do to the list, are committed in one transaction, which is on the disk when
the commit returns; then the messages are removed. Cut off anywhere, the next run finds the messages that are left, and
knows by their keys the events that are committed.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from . import events, feedback
from .errors import Unavailable
from .event import Event
from .intake import Judged, Read, Source, judge, make
from .quarantine import Quarantine
from .settings import Settings
from .spool import Spool, is_fetched
from .store import Store
from .verifier import Verifier

LOOK = 0.5  # seconds between two looks at an empty folder
MOST_TOLD = 20  # places at which the reader failed
PATIENCE = (5, 60)  # seconds until a store that did not answer is asked again, at first and at most
# Complaints of which nobody could say yet who signed them: how many wait, for how many seconds since they came.
MOST_UNVERIFIED, UNVERIFIED = 1000, 86400


@dataclasses.dataclass
class Counts:
    """What was done."""

    messages: int = 0
    events: int = 0
    entries: int = 0
    quarantined: int = 0


class Worker:
    """Works off a spool.

    :arg read: the reader of notices.
    :arg say: tells a line to the log.
    :arg steps: is called with the name of each step when it is done; tests cut the worker off in it.
    :arg ask: says whether a DKIM signature holds.
    """

    def __init__(
        self, settings: Settings, store: Store, spool: Spool, quarantine: Quarantine, read: Read,
        say: t.Callable[[str], None] = lambda _line: None, steps: t.Callable[[str], None] = lambda _name: None,
        clock: t.Callable[[], float] = time.time, ask: feedback.Ask | None = None,
    ) -> None:
        self.settings, self.store, self.spool, self.quarantine = settings, store, spool, quarantine
        self.read, self.say, self.steps, self.clock = read, say, steps, clock
        self._ask_signed = ask or Verifier()
        self.counts = Counts()
        self._waiting: set[str] = set()  # messages with events, until the store answers again
        self._failures: set[str] = set()
        self._patience = 0.0
        self._ask_again = 0.0
        self._left: set[str] = set()  # messages that the disk refused something of, until they are looked at again
        self._look_again = 0.0
        self._unverified: set[str] = set()  # complaints, until it is asked again who signed them
        self._verify_again = 0.0
        self._told = False  # that there are some

    @property
    def waiting(self) -> int:
        """How many messages wait for the store."""
        return len(self._waiting)

    @property
    def left(self) -> int:
        """How many messages the disk refused something of."""
        return len(self._left)

    @property
    def unverified(self) -> int:
        """How many complaints wait until it can be told who signed them."""
        return len(self._unverified)

    def work(self, stopped: t.Callable[[float], bool]) -> None:
        """Work until told to stop; ``stopped`` waits some seconds, and tells whether to."""
        while not stopped(0 if self.round() else LOOK):
            pass

    def round(self) -> int:
        """Work off what is there now, but for what waits; how many messages that were."""
        if self._waiting and not self._patient():
            self._ask()
        if self._left and not self._early(self._look_again):
            self._left.clear()
        if again := bool(self._unverified) and not self._early(self._verify_again):
            self._unverified.clear()
        names = self.spool.names(self._waiting | self._left | self._unverified)
        for start in range(0, len(names), self.settings.batch):
            self._batch(names[start:start + self.settings.batch])
            self.quarantine.save()
        if again and not self._unverified:
            self.say("no complaint waits any more for who signed it")
            self._told = False
        return len(names)

    def _batch(self, names: t.Sequence[str]) -> None:
        now = int(self.clock())
        events_of: dict[str, Event] = {}
        unresolved: dict[str, tuple[int, Judged]] = {}
        for name in names:
            try:
                found = self.spool.read(name, self.settings.largest)
            except OSError as error:
                self._leave(name, error)
                continue
            if found is None:
                continue
            raw, came = found[0], max(0, min(now, found[1]))
            judged = judge(raw, self.read, self.settings, came, self._source(name))
            if judged.unverified and self._may_wait(name, now - came):
                continue
            if judged.event:
                events_of[name] = judged.event
            elif judged.unresolved:
                unresolved[name] = (came, judged)  # and not its content: a batch of large ones would be too much
            else:
                self._judged(name, raw, judged)
        self.steps("read")
        wanted = [*events_of, *unresolved]
        if not wanted:
            return
        if self._patient():
            self._waiting.update(wanted)
            return
        try:
            self._resolve(unresolved, events_of)
            with self.store.transaction():
                recorded = events.record(self.store, list(events_of.values()), self.settings.rules, now)
                self.steps("recorded")
            self.steps("committed")
        except Unavailable as error:
            self._wait(wanted, error)
            return
        if self._patience:
            self._patience = 0.0
            self.say(f"{self.store.name} answers again")
        self.counts.events += len(recorded.events)
        self.counts.entries += len(recorded.entries)
        for name, event in events_of.items():
            if event.key in recorded.beyond:
                self._beyond(name, event)
                continue
            self.spool.remove(name)
            self.counts.messages += 1
            self.steps("removed")

    def _source(self, name: str) -> Source:
        """Who says which known source signed a message."""
        settings = self.settings
        if not settings.authserv_id:
            return lambda raw: feedback.verified(raw, settings.sources, self._ask_signed)
        if is_fetched(name):  # it never passed the operator's filter: whoever wrote it wrote its header
            return lambda _raw: ""
        return lambda raw: feedback.named(raw, settings.authserv_id, settings.sources)

    def _may_wait(self, name: str, age: float) -> bool:
        """Leave a complaint where it is until it can be told who signed it, for a day at most."""
        if age >= UNVERIFIED or len(self._unverified) >= MOST_UNVERIFIED:
            return False
        if not self._unverified:
            self._verify_again = self.clock() + PATIENCE[1]
        if not self._told:
            self._told = True
            self.say(f"complaints wait in {self.spool.new}: mailfleet-verify.service, or a name server behind it, does"
                     " not say whether their signatures hold; it is asked again every minute")
        self._unverified.add(name)
        return True

    def _resolve(self, unresolved: dict[str, tuple[int, Judged]], events_of: dict[str, Event]) -> None:
        """Find whose the tokens are that came without their recipient, by other events; the rest is put aside."""
        tokens = {judged.checked.token for _came, judged in unresolved.values() if judged.checked}
        if not tokens:
            return
        known = events.recipients(self.store, tokens)
        known |= {event.token: event.recipient for event in events_of.values() if event.recipient}
        for name, (came, judged) in unresolved.items():
            assert judged.checked and judged.unresolved
            address = known.get(judged.checked.token, "")
            recipient = self.settings.keys.recipient(judged.checked, [address] if address else [])
            if (raw := self._again(name)) is None:
                continue
            if recipient:
                events_of[name] = make(raw, judged.unresolved, recipient, judged.checked, self.settings, came)
            else:
                self._judged(name, raw, judged)

    def _again(self, name: str) -> bytes | None:
        """A message that was read before; None where it is not there or cannot be read any more."""
        try:
            found = self.spool.read(name, self.settings.largest)
        except OSError as error:
            self._leave(name, error)
            return None
        return found[0] if found else None

    def _judged(self, name: str, raw: bytes, judged: Judged) -> None:
        """Put aside what changes nothing."""
        if judged.failure and judged.failure not in self._failures and len(self._failures) < MOST_TOLD:
            self._failures.add(judged.failure)
            self.say(f"the reader failed with {judged.failure}; such messages are in {self.quarantine.folder}")
        self._put_aside(name, raw, judged.reason, judged.checked.token if judged.checked else "")

    def _beyond(self, name: str, event: Event) -> None:
        """Put aside an event of which there are as many as may be."""
        raw = self._again(name)
        if raw is not None:
            self._put_aside(name, raw, "too-many", event.token)

    def _put_aside(self, name: str, raw: bytes, reason: str, token: str) -> None:
        try:
            self.quarantine.take(self.spool.path(name), raw, reason, token)
        except OSError as error:
            self._leave(name, error)
            return
        self.counts.messages += 1
        self.counts.quarantined += 1
        self.steps("quarantined")

    def _patient(self) -> bool:
        """Whether it is too early to ask the store again."""
        return self._early(self._ask_again)

    def _early(self, moment: float) -> bool:
        """Whether a moment of ours is still to come; a clock that was set back does not make it longer."""
        return 0 < moment - self.clock() <= PATIENCE[1]

    def _leave(self, name: str, error: OSError) -> None:
        """Leave a message where it is: one that cannot be read, or a disk that is full, stops none of the others."""
        if not self._left:
            self.say(f"{name} stays in {self.spool.new}: {error.strerror or error}; it is looked at again")
            self._look_again = self.clock() + PATIENCE[1]
        self._left.add(name)

    def _ask(self) -> None:
        """Ask the store whether it is there again, before all that waits for it is read anew."""
        try:
            self.store.counter("events")
        except Unavailable as error:
            self._wait((), error)
        else:
            self._waiting.clear()

    def _wait(self, names: t.Iterable[str], error: Unavailable) -> None:
        if not self._patience:
            self.say(f"{error}; messages wait in {self.spool.folder}")
        self._patience = min(PATIENCE[1], self._patience * 2 or PATIENCE[0])
        self._ask_again = self.clock() + self._patience
        self._waiting.update(names)
