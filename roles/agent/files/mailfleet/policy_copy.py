# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The copy of the suppression list that mail is judged by: in memory, and on the disk for a start without the database.

It is asked for what changed since, by the number of the last change, which costs one row where nothing did. The file's
time is when the list was last known to be so.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from . import suppressions
from .recipients import domain_of
from .rules import ALL
from .spool import write_file
from .store import Store

SAVE = 10000  # entries that are written in a second, since the file has the whole list: a long one is written seldom


class Copy:
    """The list as it was known at ``known_at`` (seconds of UTC; 0: never).

    :arg place: the file.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.known_at = 0.0
        self._change = -1
        self._until: dict[tuple[str, str], int] = {}
        self._saved = (-1, 0.0)

    def __len__(self) -> int:
        return len(self._until)

    def refuses(self, stream: str, recipient: str, now: float) -> bool:
        """Whether the list has a recipient (folded) in a stream, or in all of them."""
        for key in ((stream, recipient), (ALL, recipient)):
            until = self._until.get(key)
            if until is not None and (until == 0 or now < until):
                return True
        return False

    def refresh(self, store: Store, now: float) -> None:
        """Bring it up to date; raises Unavailable where the store does not answer, and then stays as it was."""
        change, floor = store.counter("changes"), store.counter("floor")
        if self._change < floor or change < self._change:
            until = {(each.stream, each.recipient): each.until for each in suppressions.holding(store, int(now))}
            # One assignment: who asks meanwhile sees the old or the new.
            self._until, self._change = until, change
        while self._change < change:
            changed = suppressions.changed(store, self._change)
            for each in changed:
                if each.removed < 0:
                    self._until[each.stream, each.recipient] = each.until
                else:
                    self._until.pop((each.stream, each.recipient), None)
            self._change = changed[-1].changed if changed else change
        self.known_at = now
        self._save(now)

    def load(self) -> str:
        """Take up what the disk has; what is wrong with it, or an empty text."""
        try:
            known_at = os.stat(self.place).st_mtime
            with open(self.place, encoding="utf-8") as file:
                head, _end, body = file.read().partition("\n")
            change, digest = json.loads(head)
            if hashlib.sha256(body.encode()).hexdigest() != digest:
                raise ValueError("its content is not what was written")
            until = {(stream, recipient): ends for stream, recipient, ends in map(json.loads, body.splitlines())}
            if any(isinstance(each, bool) or not isinstance(each, int) for each in (change, *until.values())):
                raise ValueError("numbers of another kind than were written")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, TypeError, RecursionError) as error:
            return f"{self.place} cannot be used: {error}"
        self._until, self._change, self.known_at = until, change, known_at
        self._saved = (change, known_at)
        return ""

    def _save(self, now: float) -> None:
        change, saved = self._saved
        if change == self._change and os.path.exists(self.place):
            os.utime(self.place, (now, now))
        elif not len(self) // SAVE > now - saved >= 0 or change < 0:
            body = "".join(json.dumps([*key, until]) + "\n" for key, until in sorted(self._until.items()))
            head = json.dumps([self._change, hashlib.sha256(body.encode()).hexdigest()])
            write_file(self.place, f"{head}\n{body}".encode())
            os.utime(self.place, (now, now))
            self._saved = (self._change, now)


def stream_of(sender: str, streams: t.Mapping[str, str]) -> str:
    """The stream of a MAIL FROM: that of its domain; the null sender has none but those that hold for all."""
    domain = domain_of(sender)
    return streams.get(domain, domain) or ALL
