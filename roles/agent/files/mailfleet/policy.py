# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy service: Postfix asks at RCPT of submission whether a recipient is on the suppression list.

It answers from its copy alone, so an answer never waits for the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import typing as t

from .errors import Trouble
from .policy_copy import Copy, stream_of
from .policy_protocol import Garbage, Question, Requests, answer, question
from .recipients import spellings
from .refusal import TEXT, WAIT
from .settings import Policy
from .store import Store

IDLE = 1000  # seconds; Postfix lets go of a connection after 300, and of any after 1000
PASS = "DUNNO"


class Service:
    """Answers questions, and keeps the copy up to date."""

    def __init__(
        self, policy: Policy, streams: t.Mapping[str, str], store: Store, say: t.Callable[[str], None],
        clock: t.Callable[[], float] = time.time,
    ) -> None:
        self.policy, self.streams, self.store, self.say, self.clock = policy, streams, store, say, clock
        self.copy = Copy(policy.copy)
        self.connections = 0
        self._failing = False
        if wrong := self.copy.load():
            say(wrong)

    @property
    def sure(self) -> bool:
        """Whether there is a copy that is young enough."""
        return 0 <= self.clock() - self.copy.known_at <= self.policy.oldest

    def decide(self, asked: Question) -> str:
        """The action for a question."""
        if asked.login in self.policy.logins or asked.port in self.policy.ports:
            return PASS
        stream = stream_of(asked.sender, self.streams)
        if any(self.copy.refuses(stream, each, self.clock()) for each in spellings(asked.recipient)):
            return TEXT
        return PASS if self.sure or self.policy.unsure == "open" else WAIT

    def refresh(self) -> None:
        """Bring the copy up to date, if the store answers."""
        try:
            self.copy.refresh(self.store, self.clock())
        except (Trouble, OSError) as error:  # a younger version's tables among them: the copy is still good
            if not self._failing:
                self.say(f"{error}; answers come from the copy that is {self._age()}")
            self._failing = True
        else:
            if self._failing:
                self.say("the suppression list is read again")
            self._failing = False

    async def serve(self, stop: asyncio.Event, ready: t.Callable[[], None] = lambda: None) -> None:
        """Answer until told to stop."""
        await asyncio.to_thread(self.refresh)
        server = await self._listen()
        keeping, stopping = asyncio.create_task(self._keep(stop)), asyncio.create_task(stop.wait())
        try:
            ready()
            # A copy that nobody brings up to date any more ends the service, so that it is started anew.
            await asyncio.wait((keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.close()
            keeping.cancel()
            stopping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self.policy.refresh)
            await asyncio.to_thread(self.refresh)

    async def _listen(self) -> asyncio.Server:
        kind, _colon, place = self.policy.listen.partition(":")
        if kind == "inet":
            host, _colon, port = place.rpartition(":")
            return await asyncio.start_server(self._session, host.strip("[]"), int(port), limit=1 << 16)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(place)
        # The folder says whose group it is, and lets in nobody else.
        os.chmod(place, 0o660)
        return await asyncio.start_unix_server(self._session, sock=listener, limit=1 << 16)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; Postfix takes one that is closed for a service that is not there, and tries again."""
        self.connections += 1
        try:
            if self.connections <= self.policy.connections:
                await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError):  # a TimeoutError; or it is open when the service ends
            pass
        except Garbage as error:
            self.say(f"the policy service was sent {error}")
        finally:
            self.connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = Requests()
        while octets := await asyncio.wait_for(reader.read(1 << 14), IDLE):
            for request in requests.feed(octets):
                asked = question(request)
                writer.write(answer(self.decide(asked) if asked else PASS))
            await asyncio.wait_for(writer.drain(), IDLE)

    def _age(self) -> str:
        return f"{int(self.clock() - self.copy.known_at)} s old" if self.copy.known_at else "not there yet"
