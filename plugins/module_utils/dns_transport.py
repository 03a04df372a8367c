# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One DNS query taken to one server: UDP with retransmission, TCP where the answer is truncated (RFC 1035, 4.2)."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

SENDINGS = (1, 2, 4)  # the shares of the timeout that follow each sending
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

Answer = TypeVar("Answer")


class Silence(Exception):
    """The server did not say, and why.

    C(unroutable): this machine has no way to its address; C(waited): all the time was spent on it; C(heard): something
    came from it that was no answer.
    """

    def __init__(self, cause: str, unroutable: bool = False, waited: bool = False, heard: bool = False) -> None:
        super().__init__(cause)
        self.unroutable = unroutable
        self.waited = waited
        self.heard = heard


class Sockets:
    """UDP sockets that had an answer, kept for further queries to their servers: to connect one takes as long as to
    send. Each keeps a port of its own that the kernel chose, and for a few queries only (RFC 5452, 9.2).
    """

    USES = 16

    def __init__(self) -> None:
        # Lists are safe among threads: what is appended is popped once.
        self._kept: dict[Server, list[tuple[socket.socket, int]]] = {}

    def take(self, server: Server) -> tuple[socket.socket, int]:
        """Return a connected socket, and how often it has been used."""
        try:
            return self._kept[server].pop()
        except (KeyError, IndexError):
            # It blocks, and the kernel keeps the time: Python's own timeouts ask poll() before each call, and with many
            # threads each call more is a fight for the interpreter.
            return _connect(server, socket.SOCK_DGRAM, None), 0

    def give(self, server: Server, connection: socket.socket, uses: int) -> None:
        """Take back a socket whose query was answered."""
        if uses < self.USES:
            self._kept.setdefault(server, []).append((connection, uses))
        else:
            connection.close()

    def close(self) -> None:
        """Close all that are kept."""
        for kept in self._kept.values():
            while kept:
                kept.pop()[0].close()


class _Truncated(Exception):
    """The answer did not fit; TCP is to be used."""


def exchange(
    server: Server, wire: bytes, parse: Callable[[bytes], Answer], timeout: float, sockets: Sockets
) -> Answer:
    """Return what parse made of the server's answer.

    Arguments: C(wire) the query; C(parse) raises ValueError for what is no answer to it; C(timeout) seconds in all;
    C(sockets) of the whole run.
    Raises: Silence.
    """
    end = time.monotonic() + timeout
    truncated = ""
    try:
        try:
            return _udp(server, wire, parse, end, timeout, sockets)
        except _Truncated:
            truncated = "truncated over UDP, and over TCP: "
            return _tcp(server, wire, parse, end)
    except TimeoutError as error:
        raise Silence(f"{truncated}no answer within {timeout:g} s", waited=True, heard=bool(truncated)) from error
    except OSError as error:
        cause = f"{truncated}{error.strerror or error}"
        raise Silence(cause, error.errno in _NO_WAY, heard=bool(truncated)) from error


def _connect(server: Server, kind: socket.SocketKind, timeout: float | None) -> socket.socket:
    """Return a connected socket: the kernel then drops what other addresses send, and reports a closed port."""
    connection = socket.socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET, kind)
    try:
        connection.settimeout(timeout)
        connection.connect((server.address, server.port))
    except BaseException:
        connection.close()
        raise
    return connection


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _udp(
    server: Server, wire: bytes, parse: Callable[[bytes], Answer], end: float, timeout: float, sockets: Sockets
) -> Answer:
    connection, uses = sockets.take(server)
    try:
        answer, sendings = _ask(connection, wire, parse, end, timeout)
    except BaseException:
        # Whatever still comes for it is for nobody.
        connection.close()
        raise
    if sendings == 1:
        sockets.give(server, connection, uses + 1)
    else:
        connection.close()  # the other answers may still come, and are to none of the next questions
    return answer


def _ask(
    connection: socket.socket, wire: bytes, parse: Callable[[bytes], Answer], end: float, timeout: float
) -> tuple[Answer, int]:
    """Return the answer, and how often the question was sent for it."""
    heard = ""
    until = end - timeout
    for sendings, share in enumerate(SENDINGS, 1):
        until += timeout * share / sum(SENDINGS)
        connection.send(wire)
        for data in _datagrams(connection, until):
            # The header of an answer: the query's identifier, then the bit that says it is one.
            if len(data) < 12 or data[:2] != wire[:2] or not data[2] & 0x80:
                heard = "it sent an answer with another identifier, or none"
                continue
            if data[2] & 0x02:
                raise _Truncated
            try:
                return parse(data), sendings
            except ValueError as error:
                heard = str(error)  # perhaps forged: the real answer may still come
    raise Silence(heard or f"no answer within {timeout:g} s", waited=True, heard=bool(heard))


def _datagrams(connection: socket.socket, until: float) -> Iterator[bytes]:
    """Yield what arrives until then, and one that came in time while a busy machine let this thread wait."""
    flags = 0
    while not flags:
        left = until - time.monotonic()
        flags = 0 if left > 0 else socket.MSG_DONTWAIT
        if not flags:
            wait = struct.pack("ll", int(left), max(int(left % 1 * 1_000_000), 1))  # a timeval; 0 is for ever
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        try:
            yield connection.recv(65535, flags)
        except BlockingIOError:
            return


def _tcp(server: Server, wire: bytes, parse: Callable[[bytes], Answer], end: float) -> Answer:
    with _connect(server, socket.SOCK_STREAM, _left(end)) as connection:
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        data = _receive(connection, int.from_bytes(_receive(connection, 2, end), "big"), end)
    if len(data) >= 12 and data[2] & 0x02:
        raise Silence("its answer is truncated over TCP too", heard=True)
    try:
        return parse(data)
    except ValueError as error:
        raise Silence(str(error), heard=True) from error


def _receive(connection: socket.socket, length: int, end: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        # Without time it does not block: what came in time while a busy machine let this thread wait is there.
        connection.settimeout(max(end - time.monotonic(), 0))
        try:
            piece = connection.recv(length - len(data))
        except BlockingIOError as error:
            raise TimeoutError from error
        if not piece:
            raise Silence("it closed the TCP connection before its answer ended", heard=True)
        data += piece
    return bytes(data)
