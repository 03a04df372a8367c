# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask again with growing pauses until all is as it should be, each try told as it ends.

A check that waits gives its items to C(until_good) and hands C(show) through, which is called with each Try in the
caller's thread:

    found, tries = until_good(lookup, keys, check=lambda key: _verify(lookup, key), waits=lambda made: not made.ok,
                              question=lambda key: (key.owner, "TXT"), wait=300, show=show)

C(found) has the last result of each item, C(tries) go into the module's return value as C(Try.to_dict).

A module's own process cannot show anything before it ends. So the tries of a task show live only where an action plugin
of the module's name runs the check in Ansible's process (C(plugin_utils/at_once.py)) and hands C(show) to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Held

PAUSES = (1, 2, 4, 8, 15)  # seconds between tries; the last one is repeated
NAMED = 3  # as many of what is missing are named in a line, the rest is counted

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")


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


def until_good(lookup: Lookup, items: Iterable[Item], check: Callable[[Item], Result], waits: Callable[[Result], bool],
               question: Callable[[Item], tuple[str, str]], wait: float = 0, show: Callable[[Try], None] | None = None,
               sleep: Callable[[float], None] = time.sleep) -> tuple[dict[Item, Result], tuple[Try, ...]]:
    """Return the last result of each item, in their order, and the tries.

    Arguments: C(check) makes the result of one item, run by many threads; C(waits) says whether a result is to be made
    anew; C(question) the name and type that stand for an item, whose negative answers are looked at; C(wait) seconds
    for which it is tried again, 0 for once; C(show) takes each try as it ends; C(sleep) pauses for seconds.
    """
    began = time.monotonic()
    found: dict[Item, Result] = {}
    tries: list[Try] = []
    missing = list(dict.fromkeys(items))
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        asked = len(missing)
        found.update(zip(missing, lookup.each(check, missing)))
        missing = [item for item in missing if waits(found[item])]
        elapsed = time.monotonic() - began
        last = not missing or elapsed >= wait
        held = tuple(kept for item in missing for kept in lookup.held(*question(item)))
        names = tuple(question(item)[0] for item in missing)
        tries.append(Try(elapsed, asked, names, held, None if last else min(pause, wait - elapsed),
                         len(tries) + 1))
        if show:
            show(tries[-1])
        if last:
            return found, tuple(tries)
        sleep(tries[-1].pause)
        lookup.forget()
    raise AssertionError("the pauses never end")


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
