# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS messages as bytes: a question written, an answer read (RFC 1035, 4.1; RFC 6891, 6).

dnspython does this too. It takes four times as long, which was most of what the verification of a fleet took.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Mx

# The types whose values are read, all others are skipped.
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "DNAME": 39, "SPF": 99}
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, DNAME, SPF = TYPES.values()
OPT, IN = 41, 1
QR, AA, RD, RA = 0x8000, 0x0400, 0x0100, 0x0080
EXPLAINED = 15  # the option that holds an extended error (RFC 8914, 2)
MAXIMUM_NAME = 255  # bytes (RFC 1035, 2.3.4)
MAXIMUM_LABELS = 127  # that fit into these, and so the pointers that a name may need
PAYLOAD = 1232  # bytes over UDP that no path fragments (DNS flag day 2020)
EDNS = struct.pack("!BHHIH", 0, OPT, PAYLOAD, 0, 0)  # version 0, no flags, no options (RFC 6891, 6.1.2)

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")  # of a record behind its owner: type, class, TTL, length of the rest
_PLAIN = re.compile(rb"[a-z0-9_-]+\Z")
_SPECIAL = frozenset(b'"().;\\@$')  # what a zone file has a backslash before (RFC 1035, 5.1)

# The labels of a name in lower case, the root's left out: so names are compared as DNS does (RFC 4343).
Name = tuple[bytes, ...]


class FormatError(ValueError):
    """The bytes are no DNS message."""


class Record(NamedTuple):
    """A record: C(value) is a text, a Name, an Mx with a Name, or of a SOA the last number."""

    owner: Name
    rdtype: int
    ttl: int
    value: object


class Message(NamedTuple):
    """A message. C(question) is (name, type, class), None where there is none; C(errors) the extended errors, each a
    code and a text."""

    identifier: int
    flags: int
    rcode: int
    question: tuple[Name, int, int] | None
    answer: list[Record]
    authority: list[Record]
    additional: list[Record]
    errors: list[tuple[int, str]]


def query(identifier: int, name: Name, rdtype: int, recursive: bool, edns: bool) -> bytes:
    """Return a question as it is sent."""
    header = _HEADER.pack(identifier, RD if recursive else 0, 1, 0, 0, int(edns))
    labels = b"".join(bytes([len(label)]) + label for label in name)
    return header + labels + b"\0" + struct.pack("!HH", rdtype, IN) + (EDNS if edns else b"")


def text(name: Name) -> str:
    """Return a name as a zone file has it, absolute."""
    return "".join(map(_label, name)) or "."


def _label(label: bytes) -> str:
    if _PLAIN.match(label):
        return f"{label.decode('ascii')}."
    return "".join(f"\\{chr(byte)}" if byte in _SPECIAL else chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03d}"
                   for byte in label) + "."


def within(name: Name, zone: Name) -> bool:
    """Return whether a name is that of the zone, or below it."""
    return len(name) >= len(zone) and name[len(name) - len(zone):] == zone


def parse(data: bytes) -> Message:
    """Return the message that the bytes are. Records of other classes than IN, and of types not read, are left out.

    Raises: FormatError.
    """
    try:
        return _Reader(data).message()
    except (IndexError, struct.error, OSError) as error:
        raise FormatError("it ends too early") from error


class _Reader:
    """Reads one message. What lies outside of the bytes raises IndexError or struct.error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.names: dict[int, Name] = {}
        self.extended = 0
        self.errors: list[tuple[int, str]] = []
        self.seen_edns = False

    def message(self) -> Message:
        identifier, flags, questions, *counts = _HEADER.unpack_from(self.data)
        at, question = _HEADER.size, None
        if questions > 1:
            raise FormatError("it holds several questions")
        if questions:
            name, at = self.name(at)
            question = name, *struct.unpack_from("!HH", self.data, at)
            at += 4
        sections: list[list[Record]] = []
        for section, count in enumerate(counts):
            records: list[Record] = []
            for _number in range(count):
                at = self.record(at, records, last=section == 2)
            sections.append(records)
        if at != len(self.data):
            raise FormatError("something stands behind it")
        return Message(identifier, flags, self.extended << 4 | flags & 0xF, question, *sections, self.errors)

    def record(self, at: int, records: list[Record], last: bool) -> int:
        """Read a record and add it, if it is to be read. Return where it ends."""
        owner, at = self.name(at)
        rdtype, rdclass, ttl, length = _FIXED.unpack_from(self.data, at)
        at += _FIXED.size
        end = at + length
        if end > len(self.data):
            raise FormatError("a record is longer than the message")
        if rdtype == OPT:
            self.edns(owner, ttl, at, end, last)
        elif rdclass == IN:
            value = self.value(rdtype, at, end)
            if value is not None:
                # A TTL with its highest bit set counts as 0 (RFC 2181, 8).
                records.append(Record(owner, rdtype, 0 if ttl & 0x80000000 else ttl, value))
        return end

    def edns(self, owner: Name, ttl: int, at: int, end: int, last: bool) -> None:
        if owner or not last or self.seen_edns:
            raise FormatError("EDNS stands where it must not (RFC 6891, 6.1.1)")
        self.seen_edns, self.extended = True, ttl >> 24
        while at < end:
            code, length = struct.unpack_from("!HH", self.data, at)
            at += 4
            if at + length > end:
                raise FormatError("an option is longer than its record")
            if code == EXPLAINED and length >= 2:
                said = self.data[at + 2 : at + length].decode("utf-8", "replace").rstrip("\0")
                self.errors.append((int.from_bytes(self.data[at : at + 2], "big"), said))
            at += length

    def value(self, rdtype: int, at: int, end: int) -> object:
        """Return the value of a record, None where its type is not read."""
        data = self.data
        if rdtype in (A, AAAA):
            if end - at != (4 if rdtype == A else 16):
                raise FormatError("an address has the wrong length")
            return socket.inet_ntop(socket.AF_INET if rdtype == A else socket.AF_INET6, data[at:end])
        if rdtype in (NS, CNAME, PTR, DNAME):
            return self.last_name(at, end)
        if rdtype == MX:
            return Mx(int.from_bytes(data[at : at + 2], "big"), self.last_name(at + 2, end))
        if rdtype in (TXT, SPF):
            return self.strings(at, end)
        if rdtype == SOA:
            _primary, at = self.name(at)
            _contact, at = self.name(at)
            if end - at != 20:
                raise FormatError("a SOA has the wrong length")
            return int.from_bytes(data[end - 4 : end], "big")
        return None

    def strings(self, at: int, end: int) -> str:
        """Return the strings of a TXT, joined without anything between (RFC 7208, 3.3; RFC 6376, 3.6.2.2).

        Bytes that are not UTF-8 are read as Latin-1: every value can be shown, and none that is not ASCII turns into
        one that is.
        """
        parts = []
        while at < end:
            length = self.data[at]
            parts.append(self.data[at + 1 : at + 1 + length])
            at += 1 + length
        if at != end or not parts:
            raise FormatError("the strings of a TXT do not end where it does")
        joined = b"".join(parts)
        try:
            return joined.decode("utf-8")
        except UnicodeDecodeError:
            return joined.decode("latin-1")

    def last_name(self, at: int, end: int) -> Name:
        name, at = self.name(at)
        if at != end:
            raise FormatError("a name does not end where its record does")
        return name

    def name(self, at: int) -> tuple[Name, int]:
        """Return the name at a place, and where what stands there ends. Pointers only lead back (RFC 1035, 4.1.4)."""
        data, start = self.data, at
        labels: list[bytes] = []
        length, behind, before, jumps = 1, 0, at, 0
        while size := data[at]:
            if size >= 0xC0:
                target = (size & 0x3F) << 8 | data[at + 1]
                behind = behind or at + 2
                jumps += 1
                if target >= before or jumps > MAXIMUM_LABELS:
                    raise FormatError("a pointer in a name does not lead back")
                if known := self.names.get(target):
                    labels += known
                    length += sum(map(len, known)) + len(known)
                    break
                at = before = target
                continue
            if size > 63:
                raise FormatError("a label is of a kind that is none")
            label = data[at + 1 : at + 1 + size]
            if len(label) != size:
                raise FormatError("a label is longer than the message")
            labels.append(label.lower())
            at += 1 + size
            length += 1 + size
            if length > MAXIMUM_NAME:
                break
        if length > MAXIMUM_NAME:
            raise FormatError("a name is too long")
        name = tuple(labels)
        if name:
            self.names[start] = name
        return name, behind or at + 1
