# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a log as blocks of whole lines, plain or packed."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import typing as t

from ..errors import Trouble
from .journal import Journal
from .places import DAMAGE, OPENERS

FILE = "/var/log/mail.log"
JOURNAL = "journal:"  # in the place of a file: what journald has
BLOCK = 1 << 18  # bytes
LONGEST = 1 << 16  # bytes of a line; of a longer one the rest is left out


def of_log(path: str = FILE) -> list[str]:
    """A log and what it was rotated to, the oldest first; the journal where there is no such file, as on a Debian
    without rsyslog. Raises Trouble where there is neither."""
    found = []
    for each in glob.glob(f"{glob.escape(path)}*"):
        try:
            status = os.stat(each)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size:  # a pipe would never end
            found.append((status.st_mtime, each))
    if not found and path == FILE and shutil.which("journalctl"):
        return [JOURNAL]
    if not found:
        raise Trouble(path, "no such log", mend="Name its files, or - for standard input: "
                      "journalctl -o short-iso SYSLOG_FACILITY=2 | mailfleet log report -")
    return [each for _time, each in sorted(found)]


def is_plain(path: str) -> bool:
    """Whether a file can be read from any place on."""
    return path not in ("-", JOURNAL) and os.path.splitext(path)[1] not in OPENERS


def opened(path: str) -> t.BinaryIO:
    """A file to read, unpacked where it is packed; ``-`` is standard input. Raises Trouble where it cannot be read."""
    try:
        if path == "-":
            return open(0, "rb", closefd=False)
        return t.cast("t.BinaryIO", OPENERS.get(os.path.splitext(path)[1], open)(path, "rb"))
    except OSError as error:
        mend = "Run this as root, or as a member of the group adm" if isinstance(error, PermissionError) else ""
        raise Trouble(path, error.strerror or str(error), "a file of a mail log", mend) from error


def blocks(path: str, start: int = 0, end: int = -1) -> t.Iterator[bytes]:
    """The lines of a file, or of a range of a plain one that begins with a line, some hundreds at a time.

    What a packed file holds before a damage is read; then Trouble is raised.
    """
    if path == JOURNAL:
        yield from _journal()
        return
    with opened(path) as file:
        if start:
            file.seek(start)
        left = end - start if end >= 0 else 1 << 62
        carried, skipping = b"", False
        while left > 0:
            try:
                data = file.read(min(BLOCK, left))
            except DAMAGE as error:
                raise Trouble(path, f"cannot be read whole: {error}") from error
            if not data:
                break
            left -= len(data)
            if skipping:
                _rest, ended, data = data.partition(b"\n")
                if not ended:
                    continue
                skipping = False
            cut = data.rfind(b"\n") + 1
            if cut:
                yield carried + data[:cut]
                carried = data[cut:]
            else:
                carried += data
            if len(carried) > LONGEST:
                yield carried[:LONGEST] + b"\n"
                carried, skipping = b"", True
        if carried:
            yield carried + b"\n"


def _journal() -> t.Iterator[bytes]:
    journal = Journal(follows=False)
    try:
        while block := journal.read():
            yield block
    finally:
        journal.close()


def cuts(path: str, size: int) -> list[tuple[int, int]]:
    """The ranges of a plain file, of about some size each, that begin with lines."""
    found, start = [], 0
    with opened(path) as file:
        whole = os.fstat(file.fileno()).st_size
        while start < whole:
            end = min(start + size, whole)
            if end < whole:
                file.seek(end)
                while (piece := file.readline(BLOCK)) and not piece.endswith(b"\n"):
                    continue
                end = file.tell()
            found.append((start, end))
            start = end
    return found
