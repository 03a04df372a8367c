# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files hold a log: the one that is written, and those that it was rotated to, in the order of time.

logrotate(8) names them ``mail.log.1``, ``mail.log.2.gz`` or, with ``dateext``, ``mail.log-20261128.gz``. They are
renamed, packed and removed while we look, so a list is only believed once two looks agree.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import typing as t
import zlib

from ..errors import Unavailable

OPENERS: dict[str, t.Callable[[t.Any], t.Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# What reading a packed file fails with where it is not whole.
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError)
HEAD = 4096  # bytes of a first line by which a file is known again
TAIL = 256  # bytes before a place by which it is known that it is still the same
_ROTATED = re.compile(r"(?:\.([0-9]{1,9})|-([0-9]{8}(?:[0-9T_-]{0,12})))(\.gz|\.xz|\.bz2)?\Z")
LOOKS = 50  # until two of them agree


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A file of the log: its path, how it is packed (empty where it is not), and what fstat(2) says of it."""

    path: str
    packed: str
    device: int
    inode: int
    size: int
    mtime: int

    @property
    def identity(self) -> tuple[int, int]:
        """By what a file that is renamed is the same."""
        return self.device, self.inode


class Source:
    """A file of the log that is open: it stays readable when it is renamed, packed or removed.

    Of a packed one offsets are those of what it holds; they are cheap to read in their order only.
    """

    def __init__(self, found: Found) -> None:
        """Raises OSError where it cannot be opened, or is another file by now."""
        self.found = found
        self._file = io.FileIO(found.path)
        self._unpacked: t.Any = None
        status = os.fstat(self._file.fileno())
        if (status.st_dev, status.st_ino) != found.identity:
            self._file.close()
            raise FileNotFoundError(2, "another file by now", found.path)
        if found.packed:
            self._unpacked = io.BufferedReader(OPENERS[found.packed](self._file), 1 << 18)

    def at(self, offset: int, many: int) -> bytes:
        """Bytes from an offset on, as many as there are up to ``many``; raises one of DAMAGE where it cannot be read.
        """
        if self._unpacked is None:
            return os.pread(self._file.fileno(), many, offset)
        if self._unpacked.seek(offset) != offset:
            return b""
        pieces: list[bytes] = []
        while many > 0:
            try:
                piece = self._unpacked.read1(min(many, 1 << 18))
            except DAMAGE:
                if pieces:
                    break  # what there is before the damage; the next call raises
                raise
            if not piece:
                break
            pieces.append(piece)
            many -= len(piece)
        return b"".join(pieces)

    @property
    def size(self) -> int:
        """How long a plain file is now."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Let go of it."""
        if self._unpacked is not None:
            self._unpacked.close()
        self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def chain(path: str) -> list[Found]:
    """The files of a log, the oldest first and the one that is written, if it is there, last; empty ones with them.

    Where a file is there both plain and packed, the packed one is not whole yet. Raises Unavailable where the folder
    cannot be read.
    """
    before: list[Found] | None = None
    for _look in range(LOOKS):
        found = _look_at(path)
        # What is written grows between two looks, and that is no other list.
        if before is not None and [(each.path, each.identity) for each in found] == [
                (each.path, each.identity) for each in before]:
            return found
        before = found
    return before or []


def _look_at(path: str) -> list[Found]:
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise Unavailable(folder, error.strerror or str(error), "the folder of the log",
                          "Let the agent's user read it, or name another log.file") from error
    numbered: dict[int, Found] = {}
    dated: dict[str, Found] = {}
    live: list[Found] = []
    for each in names:
        rotated = _ROTATED.fullmatch(each[len(name):]) if each.startswith(name) else None
        if not rotated and each != name:
            continue
        number, date, packed = rotated.groups() if rotated else (None, None, "")
        found = _of(os.path.join(folder, each), packed or "")
        if found is None:
            continue
        if not rotated:
            live.append(found)
        elif number is not None:
            _put(numbered, int(number), found)
        else:
            _put(dated, date, found)
    old = [[numbered[number] for number in sorted(numbered, reverse=True)], [dated[date] for date in sorted(dated)]]
    # Who changed from one kind of names to the other has the older files under the former.
    old.sort(key=lambda files: max((each.mtime for each in files), default=0))
    return [*old[0], *old[1], *live]


def _put(files: dict[t.Any, Found], key: t.Any, found: Found) -> None:
    if key not in files or files[key].packed:
        files[key] = found


def _of(path: str, packed: str) -> Found | None:
    """What fstat says of a regular file; None for what is none, or not there any more."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(path, error.strerror or str(error), "a file of the log") from error
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe would never end
    return Found(path, packed, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def head(data: bytes, ended: bool) -> str:
    """By what a file is known again: a digest of its first line, of HEAD bytes at most.

    :arg data: its first HEAD bytes.
    :arg ended: whether nothing is added to it any more.
    :returns: an empty text where the line has no end yet.
    """
    line = data[:HEAD]
    if (end := line.find(b"\n")) >= 0:
        line = line[:end + 1]
    elif len(line) < HEAD and not (ended and line):
        return ""
    return digest(line)


def digest(data: bytes) -> str:
    """A short digest."""
    return hashlib.sha256(data).hexdigest()[:32]
