# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What waits in Postfix' queues, as postqueue(1) tells it: by state and provider, and since when.

The folders of the queues are Postfix' own and nobody else's to look into; ``postqueue -j`` tells every user that
``authorized_mailq_users`` names. It costs some 10 microseconds a message, so it is asked once a minute, in a thread.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import threading
import time
import typing as t

from .view import View

EVERY = 60  # seconds
TIMEOUT = 20  # seconds that one instance has to answer
STATES = ("incoming", "active", "deferred", "hold")
_HOST = re.compile(r"\(?host ([A-Za-z0-9.-]{1,253})\[")


@dataclasses.dataclass
class Depth:
    """What waits: ``messages`` by state, ``recipients`` by state and provider, ``oldest`` when the oldest deferred
    message came, in seconds of UTC (0: none is), ``failed`` the instances that did not answer, ``at`` when it was."""

    messages: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(STATES, 0))
    recipients: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    oldest: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    at: float = 0

    def add(self, line: bytes, view: View) -> None:
        """Count one line of postqueue's; raises ValueError where it is none."""
        found = json.loads(line)
        try:
            state, came = str(found["queue_name"]), int(found["arrival_time"])
            recipients = [(str(each["address"]), str(each.get("delay_reason", ""))) for each in found["recipients"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"found no message of a queue: {error!r}") from error
        if state not in self.messages:
            return
        self.messages[state] += 1
        if state == "deferred":
            self.oldest = min(self.oldest or came, came)
        for address, reason in recipients:
            host = _HOST.search(reason)
            provider = view.provider(host[1].lower() if host else "", address.rpartition("@")[2].lower())
            self.recipients[state, provider] = self.recipients.get((state, provider), 0) + 1


def ask(folders: t.Sequence[str], view: View, command: str = "postqueue", timeout: float = TIMEOUT) -> Depth:
    """Ask the instances of some configuration folders; what one does not say is in ``failed``, and counts nowhere."""
    depth = Depth(at=time.time())
    for folder in folders:
        part = Depth()
        try:
            with subprocess.Popen([command, "-c", folder, "-j"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL) as process:
                end = threading.Timer(timeout, process.kill)
                end.start()
                try:
                    for line in t.cast("t.IO[bytes]", process.stdout):
                        part.add(line, view)
                except BaseException:
                    process.kill()
                    raise
                finally:
                    end.cancel()
            if process.returncode:
                raise ValueError(f"status {process.returncode}")
        except (OSError, ValueError, RecursionError):
            depth.failed.append(folder)
            continue
        for state, many in part.messages.items():
            depth.messages[state] += many
        for key, many in part.recipients.items():
            depth.recipients[key] = depth.recipients.get(key, 0) + many
        depth.oldest = min(filter(None, (depth.oldest, part.oldest)), default=0)
    return depth


class Queues:
    """Asks now and then, beside what else there is to do; ``depth`` is the last answer, None before the first."""

    def __init__(self, folders: t.Sequence[str], view: View, asks: t.Callable[..., Depth] = ask) -> None:
        self.depth: Depth | None = None
        self._folders, self._view, self._ask = folders, view, asks
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Ask, if it is time to; returns at once."""
        if time.monotonic() < self._next or (self._thread and self._thread.is_alive()) or not self._folders:
            return
        self._next = time.monotonic() + EVERY
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the answer that was asked for."""
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        self.depth = self._ask(self._folders, self._view)
