# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run found out, kept for as long as it holds, and made once however many threads ask for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

# Seconds. One run is one view of DNS: a TTL of 0 would otherwise cost a question for every address of the fleet.
MINIMUM_HOLD = 5


class _Making:
    """What a thread is making. C(done) is there where others wait for it; then one of the others."""

    __slots__ = ("done", "error", "made")

    def __init__(self) -> None:
        self.done: threading.Event | None = None
        self.made: object = None
        self.error: BaseException | None = None


class Cache:
    """All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[float, object]] = {}
        self._making: dict[Hashable, _Making] = {}

    def known(self, key: Hashable) -> object:
        """Return what is kept, None where there is nothing."""
        until, kept = self._kept.get(key, (0.0, None))
        return kept if until > time.monotonic() else None

    def get(self, key: Hashable, make: Callable[[], tuple[object, float]]) -> object:
        """Return what is kept, what another thread is making, or what make() returns with the seconds it holds."""
        with self._lock:
            until, kept = self._kept.get(key, (0.0, None))
            if until > time.monotonic():
                return kept
            if theirs := self._making.get(key):
                theirs.done = theirs.done or threading.Event()
            else:
                mine = self._making[key] = _Making()
        if theirs:
            theirs.done.wait()
            if theirs.error:
                raise theirs.error
            return theirs.made
        try:
            mine.made, hold = make()
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                if not mine.error:
                    self._kept[key] = time.monotonic() + max(hold, MINIMUM_HOLD), mine.made
                del self._making[key]
                if mine.done:
                    mine.done.set()
        return mine.made

    def items(self) -> list[tuple[Hashable, float, object]]:
        """Return all keys, until when each is kept (time.monotonic()), and what is."""
        with self._lock:
            return [(key, *entry) for key, entry in self._kept.items()]

    def forget(self) -> None:
        """Drop all."""
        with self._lock:
            self._kept.clear()
