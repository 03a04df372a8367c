# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that count: who connected, when, how often, and what came; they may be slow, and refuse what they are told.

As a program: `counting.py PLACES CERTIFICATE KEY`, PLACES being JSON, address -> habits; each event is one JSON line.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import ssl
import sys
import time
import typing as t
from pathlib import Path

from aiosmtpd.smtp import SMTP

PORT = 25
ESTABLISHED = "01"  # as /proc/net/tcp has it
OPEN, CLOSE, MESSAGE, LATER, BUSY = "open", "close", "message", "later", "busy"


@dataclasses.dataclass(frozen=True)
class Habits:
    """What a receiver does.

    ``hold``: seconds that it takes for a message. ``busy``: every so manieth connection gets 421 for a greeting.
    ``later``: every so manieth message gets 451 when it comes for the first time.
    """

    hold: float = 0.0
    busy: int = 0
    later: int = 0


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened at a place at a time (seconds since 1970), on which connection, and from whom it came.

    When one opens: how many then stood of the same peer, and of all.
    """

    kind: str
    place: str
    time: float
    connection: int
    peer: str
    recipients: tuple[str, ...] = ()
    of_peer: int = 0
    of_all: int = 0


@dataclasses.dataclass
class Memory:
    """What a place remembers: how many connections there were, and the messages that it has seen."""

    connections: int = 0
    messages: dict[str, int] = dataclasses.field(default_factory=dict)


class Receiver(SMTP):
    """One connection."""

    numbers = itertools.count(1)

    def __init__(self, place: str, habits: Habits, memory: Memory, **options: t.Any):
        super().__init__(self, hostname=place, **options)
        self.place, self.habits, self.memory = place, habits, memory
        self.number, self.peer = 0, ""

    def tell(self, kind: str, **more: t.Any) -> None:
        event = Event(kind, self.place, time.time(), self.number, self.peer, **more)
        print(json.dumps(dataclasses.asdict(event)), flush=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self.number:  # after STARTTLS it is called again
            self.number, self.peer = next(self.numbers), transport.get_extra_info("peername")[0]
            peers = standing(self.place)
            self.tell(OPEN, of_peer=peers.count(self.peer), of_all=len(peers))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.tell(CLOSE)
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        self.memory.connections += 1
        if self.habits.busy and self.memory.connections % self.habits.busy == 0:
            self.tell(BUSY)
            await self.push("421 4.7.0 too busy")
            self.transport.close()
            return
        await super()._handle_client()

    async def handle_DATA(self, _server: SMTP, _session: t.Any, envelope: t.Any) -> str:
        await asyncio.sleep(self.habits.hold)
        # Recipients tell messages apart: the tests give each message others.
        key = " ".join(sorted(envelope.rcpt_tos))
        new = key not in self.memory.messages
        number = self.memory.messages.setdefault(key, len(self.memory.messages) + 1)
        if new and self.habits.later and number % self.habits.later == 0:
            self.tell(LATER, recipients=tuple(envelope.rcpt_tos))
            return "451 4.7.1 come again"
        self.tell(MESSAGE, recipients=tuple(envelope.rcpt_tos))
        return "250 2.0.0 taken"


def standing(place: str) -> list[str]:
    """Who has a connection to a place, as the kernel knows; a program learns of ends and beginnings in any order."""
    local = f"{_hexadecimal(place)}:{PORT:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    # While connections come and go, a line may stand there twice.
    return [_dotted(peer[:8]) for peer in {line[2] for line in lines if line[1] == local and line[3] == ESTABLISHED}]


def _hexadecimal(address: str) -> str:
    return bytes(map(int, reversed(address.split(".")))).hex().upper()


def _dotted(text: str) -> str:
    return ".".join(map(str, reversed(bytes.fromhex(text))))


async def serve(places: dict[str, Habits], certificate: str, key: str) -> None:
    """Serve all places until the program is ended; says so once all listen."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    for place, habits in places.items():
        memory = Memory()
        await loop.create_server(
            lambda place=place, habits=habits, memory=memory: Receiver(
                place, habits, memory, tls_context=context, loop=loop, timeout=600
            ),
            place, PORT, backlog=500,
        )
    print("ready", flush=True)
    await asyncio.Event().wait()


def most_at_once(events: t.Iterable[Event]) -> dict[str, int]:
    """The most connections that stood at once, for each peer."""
    most: dict[str, int] = {}
    for event in events:
        if event.kind == OPEN:
            most[event.peer] = max(most.get(event.peer, 0), event.of_peer)
    return most


def most_of_all(events: t.Iterable[Event]) -> int:
    """The most connections that stood at once, of all peers together."""
    return max(event.of_all for event in events if event.kind == OPEN)


def most_a_connection(events: t.Iterable[Event]) -> int:
    """The most messages that one connection carried, refused ones among them."""
    count: dict[int, int] = {}
    for event in events:
        if event.kind in (MESSAGE, LATER):
            count[event.connection] = count.get(event.connection, 0) + 1
    return max(count.values(), default=0)


def rate(events: t.Iterable[Event], peer: str, seconds: float) -> float | None:
    """Messages a second that came from a peer in so many seconds since the first; None where it sent for less long."""
    times = [event.time for event in events if event.kind in (MESSAGE, LATER) and event.peer == peer]
    within = [time for time in times if time <= times[0] + seconds]
    return (len(within) - 1) / (within[-1] - within[0]) if len(within) < len(times) else None


def taken(events: t.Iterable[Event]) -> float:
    """Seconds from the beginning of a connection to its first message, on average: on a busy machine more than the
    receiver holds a message."""
    begun: dict[int, float] = {}
    found = []
    for event in events:
        if event.kind == OPEN:
            begun[event.connection] = event.time
        elif event.kind == MESSAGE and event.connection in begun:
            found.append(event.time - begun.pop(event.connection))
    return sum(found) / len(found)


if __name__ == "__main__":
    told = {place: Habits(**habits) for place, habits in json.loads(sys.argv[1]).items()}
    asyncio.run(serve(told, *sys.argv[2:4]))
