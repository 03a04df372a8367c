# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tolerant, bounded reader of MIME: what a notice says, without building what it brings.

It takes bytes as they come: CRLF, LF or CR, NULs, 8-bit in headers, wrong boundaries. It does not descend into a
message inside the message: what stands there was said of another one.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import html
import re
from collections.abc import Iterator
from functools import cached_property

# What a notice says stands before the message that it returns, and the returned header is at that message's beginning;
# with 64 KiB of text and some of Exchange's pages before it, a MiB holds all that is ever looked at.
LONGEST = 1 << 20
LONGEST_HEAD = LONGEST_TEXT = 1 << 16
DEEPEST, MOST_PARTS = 6, 60

BOUNDARY = re.compile(rb"(\n--[^\s-][^\n]{3,90})\n(?=content-)", re.IGNORECASE)
FOLD = re.compile(rb"\n[ \t]+")
PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
WORD = re.compile(r"=\?([\w-]+)(?:\*[\w-]*)?\?([bqBQ])\?([^?\s]*)\?=(?:\s+(?==\?))?")
# Codecs of other names are no character sets, or take their time.
CHARSETS = re.compile(r"(utf-?8|us-ascii|iso-?8859-?\w+|iso-2022-\w+|windows-\d+|cp\d+|koi8-\w|euc-?\w+|shift[_-]?jis"
                      r"|sjis|gb\w+|big5\w*|utf-?16\w*|tis-620)$")
TYPE = re.compile(r"[^;\s]*")
UNSEEN = re.compile(r"<(style|script)\b", re.IGNORECASE)
TAG = re.compile(r"<(br|p|div|tr|li|h\d|/p|/div|/tr|/table)\b[^<>]{0,2000}>|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)


def decoded(data: bytes, charset: str) -> str:
    """Return the bytes as text, in a character set or what can be made of them; never raises."""
    charset = charset.lower()
    if charset in ("", "us-ascii", "ascii", "utf8", "utf-8"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            # ISO-2022-JP needs no 8-bit bytes, so what is left is a single-byte set; or damage.
            return data.decode("latin-1") if not charset else data.decode("utf-8", "replace")
    if CHARSETS.match(charset):
        try:
            return data.decode(charset, "replace")
        except LookupError:
            pass
    return data.decode("latin-1")


def plain(data: bytes, encoding: str) -> bytes:
    """Return the bytes without their transfer encoding, as far as they can be read."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(data)
    if encoding == "base64":
        data = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
        return base64.b64decode(data[: len(data) & ~3])
    return data


def words(value: str) -> str:
    """Return a header's value with its encoded words (RFC 2047) read."""
    def read(word: re.Match[str]) -> str:
        data = word[3].encode("latin-1", "replace")
        if word[2] in "qQ":
            return decoded(binascii.a2b_qp(data, header=True), word[1])
        return decoded(plain(data, "base64"), word[1])

    return WORD.sub(read, value) if "=?" in value else value


def seen(text: str) -> str:
    """Return HTML without its styles and scripts. Where one of them has no end, it is looked for once."""
    kept, at = [], 0
    ends = {name: [found.start() for found in re.finditer(f"</{name}>", text, re.IGNORECASE)]
            for name in ("style", "script")}
    for begun in UNSEEN.finditer(text):
        name = begun[1].lower()
        following = bisect.bisect_left(ends[name], begun.end())
        if begun.start() >= at and following < len(ends[name]):
            kept += (text[at : begun.start()], " ")
            at = ends[name][following] + len(f"</{name}>")
    return "".join((*kept, text[at:]))


class Headers:
    """The fields of a header, by name in small letters."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[str, list[str]] = {}
        for line in FOLD.sub(b" ", data[:LONGEST_HEAD]).split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and name and b" " not in name.rstrip():
                self._fields.setdefault(decoded(name.strip().lower(), ""), []).append(decoded(value.strip(), ""))

    def get(self, name: str) -> str:
        """Return the first value of a field, or ""."""
        values = self._fields.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self._fields.get(name, [])

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        return iter(self._fields.items())

    def __contains__(self, name: str) -> bool:
        return name in self._fields


class Part:
    """A leaf of a message: its header, its type and its content."""

    def __init__(self, headers: Headers, data: bytes) -> None:
        self.headers, self.data = headers, data
        content = headers.get("content-type")
        self.type = (TYPE.match(content.lower())[0] or "text/plain") if content else "text/plain"

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Return those of its Content-Type."""
        content = self.headers.get("content-type")
        return {name.lower().rstrip("*"): quoted or bare for name, quoted, bare in PARAMETER.findall(content[:4000])}

    @cached_property
    def text(self) -> str:
        """Return its content as text, decoded, without the tags of HTML."""
        encoding = self.headers.get("content-transfer-encoding").strip().lower()
        data = plain(self.data[:LONGEST_TEXT], encoding)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        text = decoded(data, self.parameters.get("charset", ""))
        # Some name no character set, or the wrong one, for ISO-2022-JP, which shows itself.
        if "\x1b$" in text:
            text = decoded(data, "iso-2022-jp")
        if self.type == "text/html":
            text = html.unescape(TAG.sub(lambda tag: "\n" if tag[1] else " ", seen(text)))
        return text

    @cached_property
    def inside(self) -> bytes:
        """Return the message that it holds. RFC 2046 section 5.2.1 has none encoded, and some are; RFC 6532 section 3.5
        lets those of message/global be so."""
        encoding = self.headers.get("content-transfer-encoding").strip().lower()
        if encoding == "base64" and b":" not in self.data[:1000]:
            return plain(self.data, encoding).replace(b"\r\n", b"\n").lstrip(b"\n")
        if encoding == "quoted-printable" and self.type == "message/global":
            return plain(self.data, encoding).lstrip(b"\n")
        return self.data.lstrip(b"\n")


class Message(Part):
    """A message: its header, and its parts that are no multiparts."""

    def __init__(self, raw: bytes) -> None:
        raw = raw[:LONGEST]
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\0" in raw:
            raw = raw.replace(b"\0", b"")
        raw = raw.lstrip(b"\n")
        if raw.startswith((b"From ", b">From ")):
            raw = raw.partition(b"\n")[2]
        super().__init__(*split(raw))
        self.parts: list[Part] = []
        self._walk(self, 0)

    def _walk(self, part: Part, depth: int) -> None:
        if not part.type.startswith("multipart/"):
            self.parts.append(part)
            return
        boundary = part.parameters.get("boundary", "")
        body = b"\n" + part.data
        mark = b"\n--" + boundary.encode("utf-8", "replace") if boundary else b""
        if not mark or mark not in body:
            # A gateway changed or lost one of the two: what looks like a boundary before a header is taken for it.
            seen = BOUNDARY.search(body, 0, LONGEST_TEXT)
            mark = seen[1] if seen else b""
        if not mark or depth >= DEEPEST:
            part.type = "text/plain"
            self.parts.append(part)
            return
        for piece in body.split(mark, MOST_PARTS)[1:]:
            rest, _end, piece = piece.partition(b"\n")
            if rest.startswith(b"--") or len(self.parts) >= MOST_PARTS:
                break
            self._walk(Part(*split(piece)), depth + 1)


def split(data: bytes) -> tuple[Headers, bytes]:
    """Return the header and the content of a message or part."""
    if data.startswith(b"\n"):
        return Headers(b""), data[1:]
    head, _blank, body = data.partition(b"\n\n")
    return Headers(head), body
