# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following the files of a log: every line once, whatever logrotate(8) does to them, and over restarts.

How far it was read is a place: the file that is being read, by device, inode and offset, and by two digests, of its
first line and of the bytes before the offset; and the first lines of the files that were read to their end. An inode
alone is no file: it is used again once its file is gone, and copytruncate leaves it while the lines move elsewhere. By
its digests a file is known again under another name, as a copy, and packed.

A file that was renamed is read to its end before the next one is begun: once the next one has a line, who writes has
let go of the former. A file that was truncated goes on in its copy; what was written between the copy and the
truncation is lost to everybody, which is in the nature of copytruncate.

What cannot be known is counted: a stretch that may be lost (a file that vanished or was emptied, and of which there is
no copy; a packed one that is damaged; one that was changed where it was read already). Where it is not certain whether
lines were read, they are not read again.

The log is looked at once a second: a stat(2) and a read where nothing came. inotify would have to be reached through
ctypes, and the look would be needed beside it.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ..errors import Unavailable
from .places import DAMAGE, HEAD, TAIL, Found, Source, chain, digest, head

BLOCK = 1 << 20  # bytes that are read at once, and the longest line
MOST_DONE = 100  # files that are known to be read
Say = t.Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, behind its first byte: ``head`` is the digest of its first line, ``tail`` of what is before
    the offset."""

    device: int
    inode: int
    offset: int
    head: str
    tail: str


class Files:
    """The files of a log as one stream of lines.

    :arg path: the file that is written.
    :arg place: what ``place`` returned before; None to begin with the oldest file.
    :arg since: seconds of UTC; files that were last written before are left out, to begin with.
    :ivar lost: stretches that may be lost; ``cut`` lines that were longer than a MiB, and came in pieces.
    """

    def __init__(self, path: str, place: dict[str, t.Any] | None = None, since: float = 0,
                 say: Say = lambda _line: None) -> None:
        self.path, self.say = path, say
        place = place or {}
        self.since = float(place.get("since", since))
        self.lost, self.cut = int(place.get("lost", 0)), int(place.get("cut", 0))
        self._done: list[str] = list(place.get("done", ()))
        self._mark = Mark(**place["mark"]) if place.get("mark") else None
        self._source: Source | None = None
        self._identity = (0, 0)
        self._offset, self._head, self._tail = 0, "", b""
        self._ended = self._changed = self._damaged = self._missed = False

    def read(self) -> bytes:
        """Whole lines that are new, at most about a MiB; nothing where there are none now.

        Raises Unavailable where the log cannot be read; it goes on where it was when it is called again.
        """
        while True:
            if self._source is None and not self._open():
                return b""
            if lines := self._lines():
                return lines
            if not self._go_on():
                return b""

    def place(self) -> dict[str, t.Any]:
        """How far it was read, as JSON has it."""
        mark = self._mark
        if self._source is not None and self._offset:
            mark = Mark(*self._identity, self._offset, self._head, digest(self._tail))
        return {"path": self.path, "since": self.since, "done": self._done,
                "mark": dataclasses.asdict(mark) if mark else None, "lost": self.lost, "cut": self.cut}

    def behind(self) -> int:
        """How many bytes are there that were not read yet; of packed files those of the disk."""
        files = chain(self.path)
        at = self._known(files, self._heads_of(files))
        waiting = sum(each.size for each in files[at + 1:])
        if self._source is not None and not self._source.found.packed:
            waiting += max(0, self._source.size - self._offset)
        return waiting

    def close(self) -> None:
        """Let go of the files."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def to_end(self) -> None:
        """Pass by what is there already; before anything is read."""
        files = chain(self.path)
        if files and files[-1].path == self.path and (head_ := self._heads_of(files)[-1]):
            self._end_of(files[-1], head_)

    # Reading the file at hand.

    def _lines(self) -> bytes:
        """The next whole lines of the file at hand, and its last one without an end where nothing is added to it."""
        assert self._source is not None
        if self._damaged:
            return b""
        packed = self._source.found.packed
        before = b"" if packed else self._tail
        try:
            data = self._source.at(self._offset - len(before), len(before) + BLOCK)
        except DAMAGE as error:
            if not packed:
                raise Unavailable(self._source.found.path, str(error), "a file of the log") from error
            self._damaged = True
            self._lose(f"{self._source.found.path} is damaged ({error}): its end cannot be read")
            return b""
        same = data[:len(before)] == before
        data = data[len(before):]
        # The first line is looked at last: was the file emptied and filled anew before, what was read is not believed.
        if not same or (data and before and head(self._source.at(0, HEAD), True) != self._head):
            self._changed = True
            return b""
        end = data.rfind(b"\n") + 1
        if end:
            return self._take(data[:end])
        if len(data) >= BLOCK:
            self.cut += 1
            return self._take(data) + b"\n"
        return self._take(data) + b"\n" if data and self._ended else b""

    def _take(self, data: bytes) -> bytes:
        if not self._offset:
            self._head = head(data[:HEAD], True)
        self._offset += len(data)
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]
        return data

    # Going from one file to the next.

    def _go_on(self) -> bool:
        """See whether the log goes on, now that the file at hand has no more; whether there may be something to read.
        """
        assert self._source is not None
        if self._changed:
            return self._find_again()
        if self._ended:
            self._finish()
            return True
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                return False
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unreadable(self.path, error) from error
        files = chain(self.path)
        heads = self._heads_of(files)
        if self._offset and files and files[-1].path == self.path and heads[-1] == self._head and (
                files[-1].identity != self._identity):
            # What is at hand is an unfinished copy of the file that is written, or was written anew.
            return self._find_again()
        at = self._known(files, heads)
        if self._source.found.packed or any(heads[at + 1:]):
            self._ended = True  # what was added until now is read, and then it is done with
            return True
        return False

    def _finish(self) -> None:
        if self._offset:
            self._read(self._head)
        self.close()
        self._mark = None

    def _read(self, head_: str) -> None:
        """Note that a file was read."""
        self._done = [each for each in self._done if each != head_][-MOST_DONE + 1:] + [head_]

    def _begin(self, source: Source, offset: int, head_: str, tail: bytes) -> None:
        self.close()
        self._source, self._identity = source, source.found.identity
        self._offset, self._head, self._tail = offset, head_, tail
        self._ended = self._changed = self._damaged = False

    def _find_again(self) -> bool:
        """Look for the file at hand elsewhere, since what is under its name is another one."""
        self._mark = Mark(*self._identity, self._offset, self._head, digest(self._tail)) if self._offset else None
        self.close()
        return self._open()

    def _open(self) -> bool:
        """Open the file that is to be read next, if there is one."""
        files = chain(self.path)
        if not files and not self._mark and not self._done and not self._missed:
            self._missed = True
            self.say(f"{self.path}: no such file, nor one that it was rotated to; expected the mail log, which is "
                     "waited for. It is rsyslog's; where that is not installed, log.source is to be journal")
        if self._mark:
            if self._locate(self._mark, files):
                self._mark = None
                return True
            self._read(self._mark.head)
            self._mark = None
        heads = self._heads_of(files)
        damaged: list[Found] = []
        for found, head_ in list(zip(files, heads))[self._known(files, heads) + 1:]:
            if not self._done and found.mtime < self.since * 1e9:
                continue
            if not head_:
                damaged += [found] if found.packed and found.size else []
                continue
            try:
                source = Source(found)
            except FileNotFoundError:
                return self._open()
            except OSError as error:
                raise self._unreadable(found.path, error) from error
            for each in damaged:
                self._lose(f"{each.path} is damaged: nothing of it can be read")
            self._begin(source, 0, head_, b"")
            return True
        return False

    def _known(self, files: t.Sequence[Found], heads: t.Sequence[str]) -> int:
        """Which is the last file that was read, or is being read; -1 where none is there."""
        known = {*self._done, self._head if self._source is not None and self._offset else ""} - {""}
        here = self._identity if self._source is not None else None
        return max((place for place, (found, head_) in enumerate(zip(files, heads))
                    if head_ in known or found.identity == here), default=-1)

    # Knowing a file again.

    def _locate(self, mark: Mark, files: t.Sequence[Found]) -> bool:
        """Open the file of a mark at its place, wherever it is now; False where there is nothing more of it."""
        # The one that is written first, since of what is being copied the copy has less; then its own; then newer ones.
        order = sorted(range(len(files)), reverse=True, key=lambda each: (
            files[each].path == self.path, files[each].identity == (mark.device, mark.inode), each))
        for found in [files[each] for each in order]:
            if source := self._matching(found, mark):
                length = min(TAIL, mark.offset)
                before = b"" if found.packed else source.at(mark.offset - length, length)
                self._begin(source, mark.offset, mark.head, before)
                return True
        heads = self._heads_of(files)
        like = [found for found, head_ in zip(files, heads) if head_ == mark.head]
        if like and like[-1].path == self.path:
            return self._at_end(like[-1], mark)
        if not like:
            self._lose(f"{self.path}: the file that was read last, up to byte {mark.offset}, is gone, and no copy of "
                       "it is there")
        # A copy that is shorter than what was read was made before that: all of it was read.
        return False

    def _at_end(self, found: Found, mark: Mark) -> bool:
        """Go on at the end of a file that was changed where it was read: what is there is not counted again."""
        end = self._end_of(found, mark.head)
        self._lose(f"{found.path} was changed: it is read on from byte {end}")
        return end > 0

    def _end_of(self, found: Found, head_: str) -> int:
        """Open a plain file behind its last whole line; the place, 0 where there is none."""
        try:
            source = Source(found)
        except OSError as error:
            raise self._unreadable(found.path, error) from error
        size = source.size
        start = max(0, size - BLOCK)
        data = source.at(start, size - start)
        end = start + data.rfind(b"\n") + 1
        if data.rfind(b"\n") < 0:
            source.close()
            return 0
        self._begin(source, end, head_, source.at(max(0, end - TAIL), min(TAIL, end)))
        return end

    def _matching(self, found: Found, mark: Mark) -> Source | None:
        """A file, opened, if a mark is one of it."""
        try:
            source = Source(found)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(found.path, error) from error
        try:
            length = min(TAIL, mark.offset)
            if (head(source.at(0, HEAD), True) == mark.head and (found.packed or source.size >= mark.offset)
                    and digest(source.at(mark.offset - length, length)) == mark.tail):
                return source
        except DAMAGE:
            pass
        source.close()
        return None

    def _heads_of(self, files: t.Sequence[Found]) -> list[str]:
        """The digests of the first lines of files; empty where there is none yet, or it cannot be read."""
        # They are not kept: within a tick of its clock a file system may give the same inode and time to another file.
        return [self._head_of(found, bool(found.packed) or any(each.size for each in files[place + 1:]))
                for place, found in enumerate(files)]

    def _head_of(self, found: Found, ended: bool) -> str:
        try:
            with Source(found) as source:
                return head(source.at(0, HEAD), ended)
        except FileNotFoundError:
            return ""
        except DAMAGE as error:
            if found.packed and not isinstance(error, PermissionError):
                return ""
            raise self._unreadable(found.path, error) from error

    def _lose(self, told: str) -> None:
        self.lost += 1
        self.say(f"{told}; a stretch of the log may be lost")

    def _unreadable(self, path: str, error: BaseException) -> Unavailable:
        return Unavailable(path, getattr(error, "strerror", "") or str(error), "a log that the agent's user may read",
                           "On Debian it is one that is in the group adm")
