# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail server's side of the milter protocol, version 6: enough to hand a message to a filter and hear its answer.

The protocol has no standard; this speaks what libmilter (include/libmilter/mfdef.h) and Postfix speak.
"""
from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

PROTOCOL_VERSION = 6
ACTIONS = 0x1FF  # everything that a filter may do to a message: headers, recipients, body, quarantine
LEADING_SPACE = 0x100000  # the filter wants header values with the space after the colon
CHUNK = 65535  # bytes of a body in one packet
LONGEST_REPLY = 1 << 20

_FINAL = {b"a": "accept", b"c": "accept", b"r": "reject", b"t": "tempfail", b"d": "discard"}


class MilterError(ValueError):
    """The filter did not answer as the protocol wants."""


@dataclass(frozen=True)
class Message:
    """A message and how it came: C(client) the address it was submitted from, C(macros) what Postfix tells by name."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    sender: str
    recipients: tuple[str, ...]
    client: str = "127.0.0.1"
    helo: str = "localhost"
    macros: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What the filter said: C(action) accept, reject, tempfail or discard; C(reply) the SMTP reply it chose, or empty;
    C(headers) the (name, value) pairs that it added, in their order."""

    action: str
    reply: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def submit(connection: socket.socket, message: Message) -> Outcome:
    """Hand a message to the filter behind a connected socket, and return what it says.

    The socket's own timeout holds for each packet. The connection serves one message.
    Raises: MilterError where the filter breaks the protocol or hangs up, OSError where the connection fails.
    """
    session = _Session(connection)
    space = session.negotiate()
    macros = message.macros
    steps = [
        (b"C", _connect(message.client)),
        (b"H", _strings(message.helo)),
        (b"M", _strings(f"<{message.sender}>")),
        *[(b"R", _strings(f"<{recipient}>")) for recipient in message.recipients],
        (b"T", b""),
        *[(b"L", _strings(name, " " * space + value)) for name, value in message.headers],
        (b"N", b""),
        *[(b"B", message.body[at:at + CHUNK]) for at in range(0, len(message.body), CHUNK)],
    ]
    for command, data in steps:
        if command in b"CM" and macros:
            session.send(b"D", command + _strings(*[text for pair in macros.items() for text in pair]))
        session.send(command, data)
        outcome = session.answer()
        if outcome is not None:
            return outcome
    session.send(b"E", b"")
    headers: list[tuple[str, str]] = []
    while True:
        command, data = session.receive()
        if command in _FINAL or command == b"y":
            session.send(b"Q", b"")
            return _outcome(command, data, headers)
        if command in (b"h", b"i"):
            name, value = _pair(data[4:] if command == b"i" else data)
            headers.append((name, value[1:] if space and value.startswith(" ") else value))


class _Session:
    """Packets over a socket: a length of four bytes, a command of one, its data."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def negotiate(self) -> bool:
        """Agree on what the filter may do; return whether it wants headers with their leading space."""
        self.send(b"O", struct.pack("!III", PROTOCOL_VERSION, ACTIONS, LEADING_SPACE))
        command, data = self.receive()
        if command != b"O" or len(data) < 12:
            raise MilterError(f"found {command!r} with {len(data)} bytes, expected the answer to the negotiation")
        _version, _actions, steps = struct.unpack("!III", data[:12])
        if steps & ~LEADING_SPACE:
            raise MilterError(f"the filter takes liberties that were not offered: {steps:#x}")
        return bool(steps & LEADING_SPACE)

    def send(self, command: bytes, data: bytes) -> None:
        """Send one packet."""
        self._connection.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def receive(self) -> tuple[bytes, bytes]:
        """Return the command and data of the next packet; progress reports are passed over."""
        while True:
            (length,) = struct.unpack("!I", self._exactly(4))
            if not 1 <= length <= LONGEST_REPLY:
                raise MilterError(f"a packet says that it has {length} bytes")
            packet = self._exactly(length)
            if packet[:1] != b"p":
                return packet[:1], packet[1:]

    def answer(self) -> Outcome | None:
        """Return the filter's last word on the message, None where it wants to go on."""
        command, data = self.receive()
        if command in b"cs":
            return None
        return _outcome(command, data, ())

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._connection.recv(length - len(data))
            if not piece:
                raise MilterError("the filter closed the connection")
            data += piece
        return data


def _outcome(command: bytes, data: bytes, headers: Iterable[tuple[str, str]]) -> Outcome:
    if command == b"y":
        reply = data.split(b"\0")[0].decode("utf-8", "replace")
        return Outcome("tempfail" if reply.startswith("4") else "reject", reply, tuple(headers))
    if command not in _FINAL:
        raise MilterError(f"found the answer {command!r}, expected a verdict")
    return Outcome(_FINAL[command], "", tuple(headers))


def _connect(client: str) -> bytes:
    family = b"4" if ipaddress.ip_address(client).version == 4 else b"6"
    return _strings(f"[{client}]") + family + struct.pack("!H", 25) + _strings(client)


def _strings(*texts: str) -> bytes:
    return b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)


def _pair(data: bytes) -> tuple[str, str]:
    pieces = data.split(b"\0")
    if len(pieces) < 2:
        raise MilterError("a header without a value")
    return pieces[0].decode("utf-8", "replace"), pieces[1].decode("utf-8", "replace")
