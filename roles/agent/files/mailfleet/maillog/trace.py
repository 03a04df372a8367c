# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One message's whole story: all its lines in order, across the instances of a host.

A message changes its queue id where one instance passes it on to another ("queued as …", a lane), and a notice of it
has one of its own. So the files are read until no new id turns up; only lines that belong to a story are kept.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..errors import Trouble
from ..event import clean
from . import lines
from .files import blocks
from .sources import instance_of

MOST = 2000  # queue ids
_PASSES = 10
_NEXT = re.compile(rb"queued as ([0-9A-Za-z]{5,40})\)?\Z")
_NOTICE = re.compile(rb"notification: ([0-9A-Za-z]{5,40})\Z")
_ID = re.compile(rb"[0-9A-Za-z]{5,40}")
_TOKEN = re.compile(r"(?:b\+)?([a-z2-7]{26})(?:@.*)?")

# What stands around an address in the log.
_BEFORE = (b"<", b"=", b" ")
_BEHIND = (b">", b",", b" ", b"@", b":", b"")

Key = tuple[bytes, bytes, bytes]  # host, instance, queue id


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a story: when, who, and what was said, as it may be shown."""

    at: str
    who: str
    said: str


@dataclasses.dataclass
class Story:
    """The lines of one message, or of one that was refused before it had a queue id, which has but one."""

    ids: tuple[str, ...]
    lines: list[Line]


def trace(paths: t.Sequence[str], wanted: str) -> list[Story]:
    """The stories of an address, a queue id or a token of a return path, in the order in which they begin.

    Raises Trouble where there are too many, or standard input is to be read, which cannot be read again.
    """
    if "-" in paths:
        raise Trouble("-", "standard input", "files, since they are read more than once")
    search = _Search(wanted)
    for _pass in range(_PASSES):
        known = len(search.keys) + len(search.passed_on)
        for path in paths:
            for block in blocks(path):
                search.look(block)
        if len(search.keys) + len(search.passed_on) == known:
            break
    return _Collector(search).stories(paths)


class _Search:
    """The queue ids of what is looked for, and which of them are one message."""

    def __init__(self, wanted: str) -> None:
        wanted = wanted.strip()
        token = _TOKEN.fullmatch(wanted.lower())
        self.needle = b""
        self.first_id = b""
        if token and ("@" not in wanted or wanted.startswith("b+")):
            self.needle = b"b+" + token[1].encode()
        elif "@" in wanted:
            self.needle = wanted.lower().strip("<>").encode("utf-8", "surrogateescape")
        elif _ID.fullmatch(wanted.encode("utf-8", "replace")):
            self.first_id = wanted.encode()
        else:
            raise Trouble("ADDRESS|QUEUE-ID|TOKEN", repr(wanted[:100]),
                          "an address such as user@example.com, a queue id or a token of 26 characters")
        self.keys: set[Key] = set()
        self.ids: set[bytes] = {self.first_id} - {b""}
        # Ids in other instances of a host, by host and id: whom they were queued by.
        self.passed_on: dict[tuple[bytes, bytes], Key] = {}
        # And whether these may be of the same instance.
        self.same: dict[tuple[bytes, bytes], bool] = {}
        self.one: dict[Key, Key] = {}

    def root(self, key: Key) -> Key:
        """The first of the ids that are one message."""
        while self.one.get(key, key) != key:
            key = self.one[key]
        return key

    def add(self, key: Key, same_as: Key | None = None) -> None:
        """Note an id, of the same message as another."""
        self.keys.add(key)
        self.ids.add(key[2])
        if same_as is not None and self.root(key) != self.root(same_as):
            self.one[self.root(key)] = self.root(same_as)
        if len(self.keys) > MOST:
            raise Trouble("log trace", f"more than {MOST} messages", "fewer of them",
                          "Name one by its queue id or token, or fewer files")

    def names(self, said: bytes) -> bool:
        """Whether a line names the address or token: the whole of it, not the end or beginning of another."""
        if not self.needle:
            return False
        folded, at = said.lower(), -1
        while (at := folded.find(self.needle, at + 1)) >= 0:
            end = at + len(self.needle)
            if folded[at - 1 : at] in _BEFORE and folded[end : end + 1] in _BEHIND:
                return True
        return False

    def look(self, block: bytes) -> None:
        """Look for ids in lines."""
        folded = block.lower()
        if not (self.needle and self.needle in folded) and not self.ids:
            return
        for line in block.split(b"\n"):
            place = place_of(line)
            if place is None or place.queue_id in (b"", b"NOQUEUE") or not place.tag.startswith(b"postfix"):
                continue
            key = place.key
            if key not in self.keys:
                by = self.passed_on.get((key[0], key[2]))
                if by and by != key and (self.same[key[0], key[2]] or by[1] != key[1]):
                    self.add(key, by)
                elif key[2] == self.first_id or self.names(line[place.begin :]):
                    self.add(key)
            self._follow(line, key)

    def _follow(self, line: bytes, key: Key) -> None:
        """What a line says of another id."""
        if following := _NEXT.search(line[-60:]):
            if not _within(line):
                return
            if key in self.keys:
                self.passed_on.setdefault((key[0], following[1]), key)
                self.same.setdefault((key[0], following[1]), _may_be_same(line))
                self.ids.add(following[1])
            elif following[1] in self.ids:
                # It is the one before.
                for found in [each for each in self.keys if each[0] == key[0] and each[2] == following[1]]:
                    if _may_be_same(line) or found[1] != key[1]:
                        self.add(key, found)
        elif notice := _NOTICE.search(line[-60:]):
            other = key[0], key[1], notice[1]
            if key in self.keys:
                self.add(other, key)
            elif other in self.keys:
                self.add(key, other)


def _within(line: bytes) -> bytes:
    """The address on this host that a message was passed on to; empty where it left."""
    at = line.find(b", relay=")
    found = lines.LOOPBACK.match(line, at + len(b", relay=")) if at > 0 else None
    return found[1] if found else b""


def _may_be_same(line: bytes) -> bool:
    """Whether the same instance may have taken a message that was passed on, as it does from a content filter; a lane,
    which has an address of its own, is always another. Short queue ids of two instances may be equal."""
    return _within(line).startswith((b"127.0.", b"::1"))


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Whose line it is: host, name before the process id, instance, where what it says begins, its queue id or none."""

    stamp: bytes
    host: bytes
    tag: bytes
    instance: bytes
    begin: int
    queue_id: bytes

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.host, self.instance, self.queue_id


def place_of(line: bytes) -> Place | None:
    """Whose line it is; None where that cannot be told."""
    space = line.find(b" ", 15)
    bracket = line.find(b"[", space)
    end = line.find(b"]: ", bracket)
    if not 0 < space < bracket < end:
        return None
    host, _space, tag = line[space + 1 : bracket].partition(b" ")
    colon = line.find(b": ", end + 3)
    queue_id = line[end + 3 : colon] if colon > 0 else b""
    if not _ID.fullmatch(queue_id) or queue_id in (b"warning", b"fatal", b"error", b"statistics"):
        queue_id = b""
    return Place(line[:space], host, tag, instance_of(tag), end + 3, queue_id)


class _Collector:
    """Puts the lines of what was found into stories."""

    def __init__(self, search: _Search) -> None:
        self._search = search

    def stories(self, paths: t.Sequence[str]) -> list[Story]:
        """Read the files once more."""
        found: dict[object, list[Line]] = {}
        ids: dict[object, dict[str, None]] = {}
        for path in paths:
            for block in blocks(path):
                for line in block.split(b"\n"):
                    place = place_of(line)
                    if place is None:
                        continue
                    story = self._story(line, place)
                    if story is not None:
                        found.setdefault(story, []).append(_line(line, place))
                        if place.queue_id not in (b"", b"NOQUEUE"):
                            ids.setdefault(story, {})[place.queue_id.decode()] = None
        return [Story(tuple(ids.get(story, ())), each) for story, each in found.items()]

    def _story(self, line: bytes, place: Place) -> object | None:
        """Which story a line belongs to; None for none."""
        search = self._search
        if place.queue_id == b"NOQUEUE":
            return object() if search.names(line[place.begin :]) else None
        if place.key in search.keys:
            return search.root(place.key)
        if place.tag == b"opendkim" and place.queue_id in search.ids:
            # It does not say which instance's milter it is.
            theirs = (key for key in search.keys if key[0] == place.host and key[2] == place.queue_id)
            return next((search.root(key) for key in theirs), None)
        return None


def _line(line: bytes, place: Place) -> Line:
    def shown(text: bytes) -> str:
        return clean(text.decode("utf-8", "replace"), 4000)
    return Line(shown(place.stamp), shown(place.tag), shown(line[place.begin :]))
