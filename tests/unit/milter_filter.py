# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A milter that says what it was told to, at a pair of sockets or at one of its own."""

from __future__ import annotations

import socket
import struct
import threading


def packet(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


AGREED = packet(b"O" + struct.pack("!III", 6, 0x1F, 0x100000))
GOES_ON = packet(b"c")


def added(name: str, value: str, at: int | None = 1) -> bytes:
    """A field is added, and the message accepted."""
    place = b"h" if at is None else b"i" + struct.pack("!I", at)
    return packet(place + f"{name}\0 {value}\0".encode()) + packet(b"a")


class Filter(threading.Thread):
    """Answers with the given packets in turn, one for each command but macros, and keeps what it was told.

    Without `place`, where it listens for one connection, `client` is the other end.
    """

    def __init__(self, answers, place: str = ""):
        super().__init__(daemon=True)
        self.heard: list[bytes] = []
        self._answers = list(answers)
        if place:
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(place)
            self._server.listen()
            self._own = None
        else:
            self.client, self._own = socket.socketpair()
            self.client.settimeout(60)
        self.start()

    def run(self):
        if not self._own:
            self._own, _whence = self._server.accept()
            self._server.close()
        with self._own, self._own.makefile("rb") as stream:
            while size := stream.read(4):
                content = stream.read(struct.unpack("!I", size)[0])
                self.heard.append(content)
                if content[:1] == b"Q":
                    return
                if content[:1] != b"D":
                    if not self._answers:
                        return
                    self._own.sendall(self._answers.pop(0))
