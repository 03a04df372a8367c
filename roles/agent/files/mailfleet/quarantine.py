# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages that change nothing, kept for people to look at, and counted: two folders, each with bounds of its own.

``other`` has what came without a valid token, from whoever likes: it is bounded by octets, and the oldest go.

``token`` has what carries a valid one, and nothing of it goes but by age. Its bound is one of each token, which is one
recipient's of one day, so who had ten messages of ours can have ten times as much kept, and nobody else anything. The
first messages of a token are kept; the same one again is counted; what is beyond them is kept as junk is. Where many
tokens together exceed the folder's octets, all of its files are cut to one length, the largest first: a notice is short
and says what it has to say at its beginning, where a flood is not. Where even beginnings are too much, a token that has
nothing there yet still has its first.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import typing as t

from .errors import Status, Trouble
from .event import without_trace
from .spool import FETCHED, Spool, is_fetched, write_file

if t.TYPE_CHECKING:
    from .settings import Settings

DAY = 86400
FOLDERS = ("token", "other")
MOST_OF_A_TOKEN = 10  # messages
ROOM_OF_A_TOKEN = 256 << 10  # octets on the disk; a message that finds none left is cut to its beginning
BEGINNING = 4096  # octets: what a file takes at least, on most file systems
_NAME = re.compile(rf"(?:([a-z2-7]{{26}})\.)?([a-z-]+)\.([0-9a-f]+)({re.escape(FETCHED)})?\.eml\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A message in quarantine: where it is, the valid token that it carries, why it is here, what its content is known
    by, whether it came from a mailbox elsewhere, since when (seconds of UTC), and its octets on the disk."""

    path: str
    token: str
    reason: str
    digest: str
    fetched: bool
    since: float
    size: int


class Quarantine:
    """The folder. Messages come by a rename within one file system: at every moment they are in one of both places.

    :arg most: octets on the disk for each of the two folders.
    :arg days: after which junk goes.
    :arg token_days: after which a message with a valid token goes.
    """

    def __init__(self, folder: str, most: int, days: int, token_days: int) -> None:
        self.folder, self.most = folder, most
        self.days = {"token": token_days, "other": days}
        for each in FOLDERS:
            os.makedirs(os.path.join(folder, each), mode=0o700, exist_ok=True)
        self._size = {each: sum(kept.size for kept in self.kept(each)) for each in FOLDERS}
        self._limit, self._full = most, False  # of the folder of tokens
        self._fresh = {"gone": collections.Counter(), "again": collections.Counter()}  # not written yet

    @classmethod
    def of(cls, settings: Settings) -> Quarantine:
        """The quarantine of a configuration."""
        return cls(settings.quarantine, settings.quarantine_bytes, settings.quarantine_days, settings.retention_days)

    def check(self, spool: str) -> None:
        """Raise Trouble where messages of a spool could not be renamed to here."""
        if os.stat(self.folder).st_dev != os.stat(spool).st_dev:
            wrong = Trouble("quarantine.folder", f"{self.folder} is on another file system than {spool}",
                            "one file system, so that no moment has a message in neither")
            wrong.status = Status.SETTINGS
            raise wrong

    def take(self, path: str, raw: bytes, reason: str, token: str = "") -> None:
        """Move a message here.

        :arg raw: its content, as far as it was read; the same content is kept once, whatever hosts wrote on top of it.
        :arg reason: in lower-case letters and hyphens.
        :arg token: a valid token that it carries.
        """
        digest = hashlib.sha256(without_trace(raw)).hexdigest()[:32]
        name = f"{reason}.{digest}{FETCHED if is_fetched(path) else ''}.eml"
        try:
            if not token or not self._take_token(path, reason, digest, token, name):
                self._take_other(path, reason, name)
        except FileNotFoundError:
            return

    def tidy(self, now: float) -> None:
        """Let go what is too old."""
        self._tidy_tokens(now - self.days["token"] * DAY)
        self._shrink(self.most, now - self.days["other"] * DAY)

    def kept(self, place: str) -> t.Iterator[Kept]:
        """The messages of a folder, in no order."""
        inside = os.path.join(self.folder, place)
        if place == "other":
            return _kept(inside)
        with os.scandir(inside) as found:
            parts = sorted(each.path for each in found if each.is_dir(follow_symlinks=False))
        return (each for part in parts for each in _kept(part))

    def messages(self) -> t.Iterator[Kept]:
        """The messages of both folders."""
        return (each for place in FOLDERS for each in self.kept(place))

    def release(self, reasons: t.Collection[str], spool: Spool) -> int:
        """Give the messages that are here for some reasons back to the spool, to be judged anew; how many.

        They keep their time, so that their tokens are as old as when they came.
        """
        self.check(spool.folder)
        released = 0
        for kept in [each for each in self.messages() if each.reason in reasons]:
            name = f"{int(kept.since)}.Q{kept.digest}{FETCHED if kept.fetched else ''}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(kept.path, spool.path(name))
                released += 1
        return released

    def counts(self) -> dict[str, dict[str, int]]:
        """How many messages there are for each reason, how many went for lack of room or by age, and how many came that
        were there already."""
        there = collections.Counter(kept.reason for kept in self.messages())
        told = self._told()
        return {reason: {"kept": there[reason], **{name: told[name][reason] for name in told}}
                for reason in sorted({*there, *told["gone"], *told["again"]})}

    def save(self) -> None:
        """Write down what was counted, if there is something. A full disk shall stop no more than that."""
        if any(self._fresh.values()):
            told = self._told()
            with contextlib.suppress(OSError):
                write_file(os.path.join(self.folder, "counts.json"), json.dumps(told).encode())
                for each in self._fresh.values():
                    each.clear()

    def forget(self, address: str, whose: t.Callable[[str], bool] = lambda _token: False) -> int:
        """Remove the messages that name an address, or that carry a token of its; how many.

        :arg whose: whether a token is that of the address.
        """
        wanted, removed = address.lower().encode("utf-8", "replace"), 0
        for kept in self.messages():
            try:
                with open(kept.path, "rb") as file:
                    names = kept.token and whose(kept.token) or wanted in file.read().lower()
                if names:
                    os.unlink(kept.path)
                    removed += 1
            except FileNotFoundError:
                continue
        return removed

    def _take_token(self, path: str, reason: str, digest: str, token: str, name: str) -> bool:
        """Keep a message with a token, if there is room for it among those of that token."""
        # A token ends with its MAC, which nobody chooses: so a folder has one of a thousand messages, and is soon read.
        part = os.path.join(self.folder, "token", token[-2:])
        os.makedirs(part, mode=0o700, exist_ok=True)
        others = [each for each in _kept(part) if each.token == token]
        if any(each.digest == digest for each in others):
            os.unlink(path)
            self._fresh["again"][reason] += 1
            return True
        if len(others) >= (1 if self._full else MOST_OF_A_TOKEN):
            return False
        room = 0 if self._full else ROOM_OF_A_TOKEN - sum(each.size for each in others)
        place = os.path.join(part, f"{token}.{name}")
        os.rename(path, place)
        self._size["token"] += _cut(place, room)
        if self._size["token"] > self._limit:
            self._level()
        return True

    def _take_other(self, path: str, reason: str, name: str) -> None:
        place = os.path.join(self.folder, "other", name)
        size = _size(os.stat(path))
        try:
            size -= _size(os.stat(place))
            self._fresh["again"][reason] += 1
        except FileNotFoundError:
            pass
        os.rename(path, place)
        self._size["other"] += size
        if self._size["other"] > self.most:
            self._shrink(self.most * 9 // 10, 0)

    def _level(self) -> None:
        """Cut the files of the folder of tokens to one length, so that nine tenths of its octets hold them all."""
        sizes = collections.Counter(each.size for each in self.kept("token"))
        wanted = self.most * 9 // 10

        def cut_to(blocks: int) -> int:
            return sum(min(size, blocks * BEGINNING) * many for size, many in sizes.items())

        length = BEGINNING * bisect.bisect_right(range(1, max(sizes, default=0) // BEGINNING + 1), wanted, key=cut_to)
        self._size["token"] = sum(_cut(each.path, length) if each.size > length else each.size
                                  for each in self.kept("token"))
        self._full = self._size["token"] > wanted
        self._limit = max(self.most, self._size["token"] * 11 // 10)

    def _tidy_tokens(self, since: float) -> None:
        size = 0
        for each in self.kept("token"):
            if each.since < since:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
                    self._fresh["gone"][each.reason] += 1
            else:
                size += each.size
        self._size["token"] = size
        self._full = self._full and size > self.most * 9 // 10
        self._limit = max(self.most, size * 11 // 10) if self._full else self.most
        self.save()

    def _shrink(self, most: int, since: float) -> None:
        kept = sorted(self.kept("other"), key=lambda each: each.since, reverse=True)
        size = 0
        for each in kept:
            if each.since < since or size + each.size > most:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
                    self._fresh["gone"][each.reason] += 1
            else:
                size += each.size
        self._size["other"] = size
        self.save()

    def _told(self) -> dict[str, collections.Counter[str]]:
        """All that was counted: what is written down, as far as it can be read, and what is not yet."""
        try:
            with open(os.path.join(self.folder, "counts.json"), "rb") as file:
                found = json.load(file)
        except (FileNotFoundError, ValueError, RecursionError):
            found = {}
        told = {}
        for name, fresh in self._fresh.items():
            part = found.get(name) if isinstance(found, dict) else None
            many = part.items() if isinstance(part, dict) else ()
            counts = {reason: each for reason, each in many if isinstance(each, int) and not isinstance(each, bool)}
            told[name] = collections.Counter(counts) + fresh
        return told


def _kept(folder: str) -> t.Iterator[Kept]:
    with os.scandir(folder) as found:
        for each in found:
            if name := _NAME.match(each.name):
                try:
                    status = each.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield Kept(each.path, name[1] or "", name[2], name[3], bool(name[4]), status.st_mtime, _size(status))


def _size(status: os.stat_result) -> int:
    """What a file takes on the disk; some file systems have small ones in places that they do not count."""
    return max(BEGINNING, status.st_blocks * 512)


def _cut(path: str, room: int) -> int:
    """Cut a file to what there is room for, or else to its beginning; what it then takes. Its time stays."""
    length = max(BEGINNING, room // BEGINNING * BEGINNING)
    try:
        status = os.stat(path)
        if _size(status) <= length or status.st_size <= length:
            return _size(status)
        os.truncate(path, length)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return length
    except FileNotFoundError:
        return 0
