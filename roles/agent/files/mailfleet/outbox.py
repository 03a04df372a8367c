# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durable outbox of the webhooks: for each hook, how far it has the events.

Events are numbered in the order of commits, so one number a hook is an outbox: nothing is written for an event, and
what is forgotten is no longer sent. A hook gets events in order, each at least once: what was taken and not noted
because somebody was cut off in between is sent again. Who receives knows an event by its ``key``.

Of all hosts that share the store one delivers to a hook at a time; it holds the hook for a while that is longer than a
delivery may take, and another goes on when it does not come back.
"""

from __future__ import annotations

import time
import typing as t

from . import events
from .errors import Unavailable
from .event import Event
from .settings import Hook
from .store import Store
from .webhook import Delivery, post

PAUSES = (5, 3600)  # seconds after the first failure and at most; each is twice the one before
MOST_REFUSALS = 24  # tries of one event that the application refuses, about half a day; then the others go on
HOLD = 60  # seconds beyond the time that a delivery may take

Post = t.Callable[[Hook, t.Sequence[Event], int], Delivery]


class Sender:
    """Delivers to one hook.

    :arg holder: a name that is this process' alone.
    """

    def __init__(
        self, hook: Hook, store: Store, holder: str, say: t.Callable[[str], None],
        clock: t.Callable[[], float] = time.time, post_to: Post = post,
        steps: t.Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.hook, self.store, self.holder, self.say = hook, store, holder, say
        self.clock, self.post, self.steps = clock, post_to, steps
        self._singly = 0  # a batch up to here was refused: which of its events is it?
        self._failing = False

    def round(self) -> float:
        """Deliver once, if there is something and it is time; seconds until another round makes sense."""
        try:
            return self._round()
        except Unavailable as error:
            if not self._failing:
                self.say(f"webhook {self.hook.name}: {error}")
            self._failing = True
            return PAUSES[0]

    def _round(self) -> float:
        now = int(self.clock())
        found = self._take(now)
        if found is None:
            return 1
        upto, tries = found
        last = self.store.counter("events")  # what another host commits from here on is not passed by
        batch = events.after(self.store, upto, 1 if upto < self._singly else self.hook.batch)
        if not batch:  # they were forgotten, or grew too old
            self._note(last, 0, 0)
            return 1
        delivery = self.post(self.hook, batch, now)
        self.steps("posted")
        if delivery.taken:
            self._note(batch[-1].number, 0, 0)
            self.steps("noted")
            if self._failing:
                self.say(f"webhook {self.hook.name} takes events again")
            self._failing = False
            return 0
        if not self._failing:
            self.say(f"webhook {self.hook.name}: {delivery.told}; events wait, and are tried again")
        self._failing = True
        if delivery.refused and len(batch) > 1:
            self._singly = batch[-1].number
            self._note(upto, tries, now)
            return 0
        if delivery.refused and tries + 1 >= MOST_REFUSALS:
            self.say(f"webhook {self.hook.name}: event {batch[0].key} was refused {tries + 1} times "
                     f"({delivery.told}); it is left out, and stays in the store")
            self._note(batch[0].number, 0, 0)
            return 0
        pause = min(PAUSES[1], PAUSES[0] << min(tries, 20))
        self._note(upto, tries + 1, now + pause)
        return 1

    def _take(self, now: int) -> tuple[int, int] | None:
        """Hold the hook; how far it is, and how often the next delivery failed. None: not now, or another has it."""
        if not self._due(now):
            return None
        with self.store.transaction():
            self.store.run(
                "INSERT INTO outbox (hook, upto, tries, next_at, holder, held_until) "
                "SELECT ?, value, 0, 0, '', 0 FROM counters WHERE name = 'events' AND NOT EXISTS "
                "(SELECT 1 FROM outbox WHERE hook = ?)", (self.hook.name, self.hook.name))
            held = self.store.run(
                "UPDATE outbox SET holder = ?, held_until = ? WHERE hook = ? AND (next_at <= ? OR next_at > ?) "
                "AND (holder = ? OR held_until <= ? OR held_until > ?)",
                (self.holder, now + self._longest, self.hook.name, now, now + PAUSES[1], self.holder, now,
                 now + self._longest))
            if not held:
                return None
            return self.store.rows("SELECT upto, tries FROM outbox WHERE hook = ?", (self.hook.name,))[0]

    def _due(self, now: int) -> bool:
        """Whether there is something to do for somebody: a look that writes nothing."""
        found = self.store.rows("SELECT upto, next_at, holder, held_until FROM outbox WHERE hook = ?",
                                (self.hook.name,))
        if not found:
            return True
        upto, next_at, holder, held_until = found[0]
        # What is further ahead than we ever say was said by a clock that has been set back.
        ours = holder in ("", self.holder) or not now < held_until <= now + self._longest
        return ours and not now < next_at <= now + PAUSES[1] and self.store.counter("events") > upto

    @property
    def _longest(self) -> int:
        """Seconds for which a hook is held."""
        return self.hook.timeout * 3 + HOLD

    def _note(self, upto: int, tries: int, next_at: int) -> None:
        """Note how far the hook is, and let go of it, if it is still ours."""
        with self.store.transaction():
            self.store.run("UPDATE outbox SET upto = ?, tries = ?, next_at = ?, holder = '', held_until = 0 "
                           "WHERE hook = ? AND holder = ?", (upto, tries, next_at, self.hook.name, self.holder))
