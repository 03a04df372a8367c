# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One DNS query taken to one server: UDP with retransmission, TCP where the answer is truncated (RFC 1035, 4.2)."""

from __future__ import annotations

import errno
import socket
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


class _Truncated(Exception):
    """The answer did not fit; TCP is to be used."""


def exchange(server: Server, wire: bytes, parse: Callable[[bytes], Answer], timeout: float) -> Answer:
    """Return what parse made of the server's answer.

    Arguments: C(wire) the query; C(parse) raises ValueError for what is no answer to it; C(timeout) seconds in all.
    Raises: Silence.
    """
    end = time.monotonic() + timeout
    truncated = ""
    try:
        try:
            return _udp(server, wire, parse, end, timeout)
        except _Truncated:
            truncated = "truncated over UDP, and over TCP: "
            return _tcp(server, wire, parse, end)
    except TimeoutError as error:
        raise Silence(f"{truncated}no answer within {timeout:g} s", waited=True, heard=bool(truncated)) from error
    except OSError as error:
        cause = f"{truncated}{error.strerror or error}"
        raise Silence(cause, error.errno in _NO_WAY, heard=bool(truncated)) from error


def _connect(server: Server, kind: socket.SocketKind, end: float) -> socket.socket:
    """Return a connected socket: the kernel then drops what other addresses send, and reports a closed port."""
    connection = socket.socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET, kind)
    try:
        connection.settimeout(_left(end))
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


def _udp(server: Server, wire: bytes, parse: Callable[[bytes], Answer], end: float, timeout: float) -> Answer:
    heard = ""
    until = end - timeout
    with _connect(server, socket.SOCK_DGRAM, end) as connection:
        for share in SENDINGS:
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
                    return parse(data)
                except ValueError as error:
                    heard = str(error)  # perhaps forged: the real answer may still come
    raise Silence(heard or f"no answer within {timeout:g} s", waited=True, heard=bool(heard))


def _datagrams(connection: socket.socket, until: float) -> Iterator[bytes]:
    """Yield what arrives until then, and one that came in time while a busy machine let this thread wait."""
    left = 1.0
    while left > 0:
        left = until - time.monotonic()
        connection.settimeout(max(left, 0.0))
        try:
            yield connection.recv(65535)
        except (TimeoutError, BlockingIOError):
            return


def _tcp(server: Server, wire: bytes, parse: Callable[[bytes], Answer], end: float) -> Answer:
    with _connect(server, socket.SOCK_STREAM, end) as connection:
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
        connection.settimeout(_left(end))
        piece = connection.recv(length - len(data))
        if not piece:
            raise Silence("it closed the TCP connection before its answer ended", heard=True)
        data += piece
    return bytes(data)
