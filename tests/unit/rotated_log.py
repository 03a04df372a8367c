# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A log in a folder, written and rotated as syslog and logrotate do it, for the tests of who follows it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
from pathlib import Path

PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


class Log:
    """A log: every line has a number of its own; who writes it keeps it open until told to open it anew."""

    def __init__(self, folder: Path, name: str = "mail.log") -> None:
        self.path = folder / name
        self.lines: list[bytes] = []  # all that were ever ended
        self.made = 0
        self._rest = b""
        self._file = io.FileIO(self.path, "ab")

    def line(self, length: int = 0) -> bytes:
        self.made += 1
        return b"Nov 28 13:00:00 mta1 postfix/smtp[%d]: a line of the log %s\n" % (self.made, b"x" * length)

    def write(self, data: bytes) -> None:
        self._file.write(data)
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        self.lines += [each + b"\n" for each in (whole + end).split(b"\n")[:-1]]

    def append(self, many: int = 1, length: int = 0) -> None:
        self.write(b"".join(self.line(length) for _each in range(many)))

    def reopen(self) -> None:
        self._file.close()
        self._file = io.FileIO(self.path, "ab")
        if self._rest:  # the file that it is in has no more
            self.lines.append(self._rest + b"\n")
            self._rest = b""

    def shift(self) -> None:
        """Make room for mail.log.1, as logrotate does."""
        names = sorted((each for each in self.path.parent.iterdir() if each.name.startswith("mail.log.")),
                       key=lambda each: -int(each.name.split(".")[2]))
        for each in names:
            parts = each.name.split(".")
            parts[2] = str(int(parts[2]) + 1)
            each.rename(each.with_name(".".join(parts)))

    def rotate(self, between=lambda: None, create: bool = True) -> None:
        """Rotate by renaming; what is written until syslog opens its file anew still goes to the old one."""
        self.shift()
        self.path.rename(self.path.with_name("mail.log.1"))
        if create:
            self.path.touch()
        between()
        self.reopen()

    def copytruncate(self, between=lambda: None) -> None:
        self.shift()
        shutil.copyfile(self.path, self.path.with_name("mail.log.1"))
        between()
        os.truncate(self.path, 0)
        if self._rest:  # its beginning is in the copy, its end will be a line of its own
            self.lines.append(self._rest + b"\n")
            self._rest = b""

    def pack(self, number: int = 1, ending: str = ".gz") -> None:
        plain = self.path.with_name(f"mail.log.{number}")
        status = plain.stat()
        packed = plain.with_name(plain.name + ending)
        packed.write_bytes(PACK[ending](plain.read_bytes()))
        os.utime(packed, ns=(status.st_mtime_ns, status.st_mtime_ns))
        plain.unlink()

    def close(self) -> None:
        self._file.close()


def all_of(files) -> list[bytes]:
    """All lines that are there."""
    found: list[bytes] = []
    while block := files.read():
        assert block.endswith(b"\n")
        found += block.splitlines(keepends=True)
    return found
