# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Emptying mailboxes elsewhere into the spool: a message is removed there once it is on the disk here."""

from __future__ import annotations

import time
import typing as t

from .errors import Unavailable
from .mailboxes import LARGEST, MOST_AT_ONCE, Mailbox, errors, open_mailbox
from .settings import Remote
from .spool import Spool

SPARE = 256 << 20  # octets that are left free: a mailbox that somebody floods is not to fill the disk here


def fetch(
    remote: Remote, spool: Spool, say: t.Callable[[str], None], *, opened: t.Callable[[Remote], Mailbox] = open_mailbox,
    steps: t.Callable[[str], None] = lambda _name: None,
) -> int:
    """Fetch what a mailbox has now, a few hundred messages at most; how many came.

    Cut off between the disk and the removal, the messages come again, with the same content, and tell nothing new.
    """
    with errors(remote):
        mailbox = opened(remote)
    try:
        with errors(remote):
            there = mailbox.messages()
        here: list[str] = []
        for name, size in _within(remote, there):
            if (free := spool.free()) < SPARE + size:
                if here:
                    break
                raise Unavailable(spool.folder, f"{free >> 20} MiB are free on its file system", f"{SPARE >> 20} MiB "
                                  "beside the next message", f"Mailbox {remote.name} keeps what it has until then")
            if size > LARGEST:
                say(f"mailbox {remote.name}: message {name} has {size} octets, over {LARGEST}; it stays there")
                continue
            with errors(remote):
                raw = mailbox.content(name)
            if raw is None:
                say(f"mailbox {remote.name}: the server does not give message {name}; it stays there")
                continue
            # What the disk says is not the mailbox's fault.
            spool.deliver(raw)
            here.append(name)
            steps("stored")
            if len(here) == MOST_AT_ONCE:
                break
        if here:
            with errors(remote):
                mailbox.remove(here)
            steps("removed")
        return len(here)
    finally:
        mailbox.close()


def _within(remote: Remote, there: t.Iterator[tuple[str, int]]) -> t.Iterator[tuple[str, int]]:
    """The messages, as the server tells of one after the other."""
    while True:
        with errors(remote):
            found = next(there, None)
        if found is None:
            return
        yield found


class Fetcher:
    """Looks into mailboxes, each as often as it says."""

    def __init__(
        self, remotes: t.Sequence[Remote], spool: Spool, say: t.Callable[[str], None],
        clock: t.Callable[[], float] = time.monotonic, one: t.Callable[..., int] = fetch,
    ) -> None:
        self._due = {remote: clock() for remote in remotes}
        self._failing: set[Remote] = set()
        self._spool, self._say, self._clock, self._fetch = spool, say, clock, one

    def round(self) -> float:
        """Fetch from those whose time has come; seconds until the next one's."""
        for remote, due in list(self._due.items()):
            if self._clock() < due:
                continue
            try:
                more = self._fetch(remote, self._spool, self._say) >= MOST_AT_ONCE
            except Unavailable as error:
                if remote not in self._failing:
                    self._say(str(error))
                self._failing.add(remote)
                more = False
            else:
                if remote in self._failing:
                    self._say(f"mailbox {remote.name} can be read again")
                self._failing.discard(remote)
            self._due[remote] = self._clock() + (0 if more else remote.every)
        return max(0.0, min(self._due.values(), default=self._clock() + 60) - self._clock())
