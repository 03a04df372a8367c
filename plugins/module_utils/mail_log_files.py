# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a server's mail log is: files that syslog writes, with the rotated ones, or the journal."""

from __future__ import annotations

import bz2
import datetime
import glob
import gzip
import io
import lzma
import os
import stat
import subprocess
import time
import typing as t
import zlib

from ansible_collections.mailfleet.sending.plugins.module_utils.mail_log import PAIRS, Tally

FILES = "/var/log/mail.log*"
JOURNAL = "the journal"
# Newest first, so that what there is no time for is the oldest; facility 2 is mail (RFC 5424 6.2.1).
JOURNALCTL = ("journalctl", "--quiet", "--no-pager", "--reverse", "--output=short-iso", "SYSLOG_FACILITY=2")
LONGEST = 65536  # bytes of a line; what is longer comes in pieces
OPENERS: dict[str, t.Callable[..., t.Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)


class Reading:
    """What was read, what could not be, and whether time was short.

    :arg tally: takes the lines.
    :arg seconds: how long reading may take.
    """

    def __init__(self, tally: Tally, seconds: float) -> None:
        self.tally = tally
        self.read: list[str] = []
        self.notes: list[str] = []
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def files(self, pattern: str = FILES) -> None:
        """Read the files of a pattern, the newest first, until one has nothing of the days that count."""
        for path in _newest_first(pattern):
            before, inside = self.tally.before, self.tally.lines
            ending = os.path.splitext(path)[1]
            try:
                with OPENERS.get(ending, open)(path, "rb") as file:
                    if not self._lines(io.BufferedReader(file, 1 << 18) if ending in OPENERS else file, path):
                        return
            except DAMAGE as error:
                self.notes.append(f"{path} cannot be read whole: {error}")
            self.read.append(path)
            if self.tally.before > before and self.tally.lines == inside:
                return

    def journal(self, command: t.Sequence[str] = JOURNALCTL) -> None:
        """Read the journal from its end, back to the first day that counts."""
        since = f"--since={self.tally.first.isoformat()}"
        try:
            # run_command would keep all of the output in memory.
            with subprocess.Popen(  # pylint: disable=ansible-bad-function
                [*command, since], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    whole = self._lines(t.cast("t.BinaryIO", process.stdout), JOURNAL)
                except BaseException:
                    process.kill()
                    raise
                if not whole:
                    process.kill()
        except OSError as error:
            self.notes.append(f"{JOURNAL} cannot be read: {error}")
            return
        if whole and process.returncode:
            self.notes.append(f"{JOURNAL} cannot be read: {command[0]} ended with exit status {process.returncode}")
        else:
            self.read.append(JOURNAL)

    def _lines(self, file: t.BinaryIO, name: str) -> bool:
        """Read lines while there is time; return whether there was for all."""
        add = self.tally.add
        number = 0
        while line := file.readline(LONGEST):
            add(line)
            number += 1
            if not number % 4096 and time.monotonic() > self._end:
                self.notes.append(f"{name} was not read to its end: {self._seconds:g} s had passed")
                return False
        return True


def read(today: datetime.date, days: int, seconds: float, pattern: str = FILES,
         command: t.Sequence[str] = JOURNALCTL) -> tuple[dict[str, dict[str, int]], list[str], list[str]]:
    """Count the deliveries of some days.

    :arg today: the date of the server.
    :arg days: how many days.
    :arg seconds: how long reading may take.
    :returns: for each day the domains with their counts (Tally.days); what was read; and notes on what was not. The
        journal is read where the files say nothing of today and yesterday; of each day the fuller one of both counts.
    """
    found = Tally(today, days)
    reading = Reading(found, seconds)
    reading.files(pattern)
    counted, more = found.days, found.more
    yesterday = (today - datetime.timedelta(days=1)).isoformat()
    if not any(day >= yesterday for day in counted):
        totals = found.totals
        reading.tally = found = Tally(today, days)
        reading.journal(command)
        fuller = {day for day, total in found.totals.items() if total > totals.get(day, -1)}
        counted |= {day: counts for day, counts in found.days.items() if day in fuller}
        more += found.more
    if more:
        reading.notes.append(f"{more:,} deliveries were not counted: there is room for {PAIRS:,} domains of all days")
    return dict(sorted(counted.items())), reading.read, reading.notes


def _newest_first(pattern: str) -> list[str]:
    """The regular files of a pattern that are not empty: a pipe would never end."""
    found = []
    for path in glob.glob(pattern):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size:
            found.append((status.st_mtime, path))
    return [path for _time, path in sorted(found, reverse=True)]
