# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask again with growing pauses until all is as it should be, each try told as it ends.

This is how every check waits. A task has one C(Waiting), made of its option C(wait):

    waiting = Waiting(params["wait"], show)
    found = waiting.each_good(lookup, keys, check=lambda keys: [verify(key) for key in keys],
                              lacks=lambda key, verdict: [(key.owner, "TXT")] if is_bad(verdict) else [])

C(each_good) checks only those items anew that are not good yet; C(until_good) checks all anew, where what is said of
one depends on others. C(show) is called with each Try in the caller's thread, and C(waiting.told) goes into the
module's return value as C(tries).

A module's own process cannot show anything before it ends. So the tries of a task show live only where an action plugin
of the module's name runs the check in Ansible's process: see C(WaitingAction) of C(plugin_utils/at_once.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TypeVar

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Held
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

PAUSES = (1, 2, 4, 8, 15)  # seconds between tries; the last one is repeated
NAMED = 3  # as many of what is missing are named in a line, the rest is counted

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")
Question = tuple[str, str]  # a name and a type
# What is not as it should be, by the questions whose answers may mend it. The first one names it.
Lack = Sequence[Question]


@dataclass(frozen=True)
class Try:
    """What one try brought.

    Attributes: C(after) seconds since the beginning when it ended; C(asked) how many items were asked for;
    C(waiting) the names of those that are still not as they should be; C(held) the negative answers about them that
    caches may keep, and until when; C(pause) the seconds until the next try, None after the last; C(number) counts
    the tries from 1.
    """

    after: float
    asked: int
    waiting: tuple[str, ...]
    held: tuple[Held, ...] = ()
    pause: float | None = None
    number: int = 1

    def to_dict(self) -> dict[str, object]:
        """Return the try as plain data for JSON."""
        return {"after": round(self.after, 1), "asked": self.asked, "waiting": list(self.waiting),
                "held": [held.to_dict() for held in self.held],
                "pause": None if self.pause is None else round(self.pause, 1)}

    def __str__(self) -> str:
        """Return the try as one line for people."""
        if not self.waiting:
            return f"after {self.after:.1f} s: all are as they should be"
        parts = [f"after {self.after:.1f} s: {len(self.waiting)} of {self.asked} not yet ({_some(self.waiting)})"]
        # The last to run out is the one that matters.
        latest = sorted(self.held, key=lambda held: -held.until)
        parts += [str(held) for held in latest[:NAMED]]
        parts.append("the time is up" if self.pause is None else f"next try in {self.pause:g} s")
        return "; ".join(parts)


def is_bad(verdict: Verdict) -> bool:
    """Return whether a verdict is one to wait for, since what it is about is not as it should be."""
    return verdict.status not in (Status.OK, Status.WARN)


@dataclass
class Waiting:
    """The patience of one task.

    Attributes: C(seconds) for which what is not good is tried again, 0 for once; C(show) takes each try as it ends;
    C(sleep) pauses for seconds; C(tries) are those that ended.
    """

    seconds: float = 0
    show: Callable[[Try], None] | None = None
    sleep: Callable[[float], None] = time.sleep
    tries: list[Try] = field(default_factory=list)

    @property
    def told(self) -> list[dict[str, object]]:
        """Return the tries as plain data for JSON."""
        return [tried.to_dict() for tried in self.tries]

    def each_good(self, lookup: Lookup, items: Iterable[Item], check: Callable[[list[Item]], Iterable[Result]],
                  lacks: Callable[[Item, Result], Lack]) -> dict[Item, Result]:
        """Return the last result of each item, in their order.

        Arguments: C(check) makes the results of items, in their order; C(lacks) returns what an item with its result
        lacks, nothing where it is good.
        """
        found: dict[Item, Result] = {}
        missing = list(dict.fromkeys(items))

        def attempt() -> tuple[int, list[Lack]]:
            nonlocal missing
            asked = len(missing)
            found.update(zip(missing, check(missing), strict=True))
            lacking = {item: lack for item in missing if (lack := lacks(item, found[item]))}
            missing = list(lacking)
            return asked, list(lacking.values())

        self._again(lookup, attempt)
        return found

    def until_good(self, lookup: Lookup, asked: int, check: Callable[[], Result],
                   lacks: Callable[[Result], Sequence[Lack]]) -> Result:
        """Return the last result of a check of everything.

        Arguments: C(asked) how many things it checks; C(lacks) returns what its result lacks of them.
        """
        found: list[Result] = []

        def attempt() -> tuple[int, Sequence[Lack]]:
            found[:] = [check()]
            return asked, lacks(found[0])

        self._again(lookup, attempt)
        return found[0]

    def _again(self, lookup: Lookup, attempt: Callable[[], tuple[int, Sequence[Lack]]]) -> None:
        """Try until nothing is lacking or the time is up. Each attempt returns how many it asked for, and the lack."""
        began = time.monotonic()
        for number, pause in enumerate(chain(PAUSES, repeat(PAUSES[-1])), 1):
            asked, lacking = attempt()
            elapsed = time.monotonic() - began
            last = not lacking or elapsed >= self.seconds
            # Several may lack the same, and one be told twice.
            questions = dict.fromkeys(question for lack in lacking for question in lack)
            held = tuple(kept for question in questions for kept in _held(lookup, question))
            names = tuple(dict.fromkeys(lack[0][0] for lack in lacking))
            tried = Try(elapsed, asked, names, held, None if last else min(pause, self.seconds - elapsed), number)
            self.tries.append(tried)
            if self.show:
                self.show(tried)
            if last:
                return
            self.sleep(tried.pause)
            lookup.forget()


def _held(lookup: Lookup, question: Question) -> list[Held]:
    try:
        return lookup.held(*question)
    except ValueError:  # strangers' records lead to what cannot be a name
        return []


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
