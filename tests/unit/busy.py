# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What name servers of the tests need on a busy machine: time to answer, and ports that others have for a moment."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_transport
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

PATIENCE = 60  # seconds for what takes a moment


class Answering(Protocol):
    """A name server of this process."""

    def leaves_unanswered(self, wire: bytes) -> bool:
        """Return whether it is by a fault where no answer, or no whole one, comes to a query."""


def patient(exchange: Callable, running: Mapping[tuple[str, int], Answering]) -> Callable:
    """Return dns_transport.exchange() that asks a name server of the tests again which has not answered in time.

    Tests that wait a fault out have short timeouts, in which a busy machine may not have got to other questions: then
    they would find silence that is this machine's, and no fault. C(running) are the servers by address and port.
    """

    def asked(server: Server, wire: bytes, parse: Callable, timeout: float, *more: object) -> object:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return exchange(server, wire, parse, timeout, *more)
            except dns_transport.Silence as error:
                there = running.get((server.address, server.port))
                late = error.waited and (not error.heard or "over TCP: no answer" in str(error))
                # Less than 0.2 s is meant to be too short.
                if not late or timeout < 0.2 or time.monotonic() > end or not there or there.leaves_unanswered(wire):
                    raise

    return asked


def bound(address: str, port: int = 0, streams: bool = True) -> tuple[socket.socket | None, socket.socket]:
    """Return a socket that listens for TCP, None where no C(streams) are wanted, and one for UDP of the same port.

    A port that is wanted may be for a moment that of another test beside this process; one that TCP was given may be
    taken over UDP, and then another is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    end = time.monotonic() + PATIENCE
    while True:
        stream, datagrams = None, socket.socket(family, socket.SOCK_DGRAM)
        try:
            stream = socket.create_server((address, port), family=family, backlog=64) if streams else None
            datagrams.bind((address, stream.getsockname()[1] if stream else port))
            return stream, datagrams
        except OSError as error:
            for each in filter(None, (stream, datagrams)):
                each.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(0.05 if port else 0)
