# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenDKIM asked about one message: the mail server's side of the milter protocol, version 6.

The protocol has no standard; this speaks what libmilter (include/libmilter/mfdef.h) and Postfix speak.
"""

from __future__ import annotations

import re
import socket
import struct
import time
import typing as t

PLACE = "/run/mailfleet-verify/socket"
PATIENCE = 8.0  # seconds for one message; OpenDKIM gives name servers five of them
REST = 5  # times as long as was waited in vain, nobody is asked
_LEADING_SPACE = 0x100000  # values are to be told with the space behind their colon
_ACTIONS = 0x1FF  # all that a filter may do; OpenDKIM insists on some, and what it does but for its result is not heard
_CHUNK = 65535
_LONGEST = 1 << 20
# Nobody's address (RFC 5737): what came from the host itself would be taken for mail to be signed.
_CLIENT = b"[192.0.2.1]\0" + b"4" + struct.pack("!H", 25) + b"192.0.2.1\0"
_RESULT = re.compile(rb"^Authentication-Results\0[^;]*;\s*dkim=([a-z]+)\b", re.IGNORECASE)


class Verifier:
    """Says whether a signature holds.

    Each signature that is handed over is of a source, so its key is asked of that source's name servers. While they are
    silent, an answer takes seconds, and strangers can claim such signatures as often as they like: so that bounces do
    not wait behind them, five sixths of the time are kept free of waiting in vain.

    :arg place: the socket of OpenDKIM.
    """

    def __init__(self, place: str = PLACE, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._place, self._clock, self._rested = place, clock, 0.0

    def __call__(self, fields: t.Sequence[bytes], body: bytes) -> str:
        """The DKIM result of a message with one signature; empty where OpenDKIM or the key's name server is silent.

        :arg fields: the header, each field as it came without its last line end.
        :arg body: the body, with CRLF.
        """
        begun = self._clock()
        if begun < self._rested:
            return ""
        try:
            result = _ask(self._place, fields, body)
        except (OSError, ValueError, struct.error):
            result = ""
        if not result:
            self._rested = self._clock() + REST * (self._clock() - begun)
        return result


def _ask(place: str, fields: t.Sequence[bytes], body: bytes) -> str:
    until = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as filter_:

        def patience() -> None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            filter_.settimeout(left)

        def send(command: bytes, data: bytes = b"") -> None:
            patience()
            filter_.sendall(struct.pack("!I", len(data) + 1) + command + data)

        def exactly(length: int) -> bytes:
            data = b""
            while len(data) < length:
                patience()
                piece = filter_.recv(length - len(data))
                if not piece:
                    raise ValueError("hung up")
                data += piece
            return data

        def receive() -> tuple[bytes, bytes]:
            while True:
                (length,) = struct.unpack("!I", exactly(4))
                if not 1 <= length <= _LONGEST:
                    raise ValueError("a packet of no size")
                packet = exactly(length)
                if packet[:1] != b"p":  # a report of progress
                    return packet[:1], packet[1:]

        patience()
        filter_.connect(place)
        send(b"O", struct.pack("!III", 6, _ACTIONS, _LEADING_SPACE))
        command, data = receive()
        if command != b"O" or struct.unpack("!III", data[:12])[2] & ~_LEADING_SPACE:
            raise ValueError("another protocol")
        space = struct.unpack("!III", data[:12])[2] & _LEADING_SPACE
        for step in _steps(fields, body, bool(space)):
            if step[0] == b"M":
                send(b"D", b"Mi\0complaint\0")  # OpenDKIM logs it as the queue id
            send(*step)
            if receive()[0] not in (b"c", b"s"):
                return ""
        send(b"E")
        result = ""
        while True:
            command, data = receive()
            if command not in (b"h", b"i"):
                send(b"Q")
                return result
            if found := _RESULT.match(data[4:] if command == b"i" else data):
                result = found[1].decode("ascii").lower()


def _steps(fields: t.Sequence[bytes], body: bytes, space: bool) -> t.Iterator[tuple[bytes, bytes]]:
    yield b"C", _CLIENT
    yield b"H", b"localhost\0"
    yield b"M", b"<>\0"
    yield b"R", b"<postmaster>\0"
    yield b"T", b""
    for field in fields:
        name, _colon, value = field.partition(b":")
        yield b"L", name.rstrip() + b"\0" + (value if space else value.removeprefix(b" ")) + b"\0"
    yield b"N", b""
    for at in range(0, len(body), _CHUNK):
        yield b"B", body[at:at + _CHUNK]
