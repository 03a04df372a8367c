# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store in one file, for a host that is both the only submission server and the only bounce host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import typing as t

from .store import Store


class SqliteStore(Store):
    """SQLite with a write-ahead log; what is committed is on the disk (``synchronous=FULL``)."""

    # A writer waits for its turn when it begins, not in the middle, where SQLite could only refuse.
    BEGIN = "BEGIN IMMEDIATE"
    ERRORS = (sqlite3.Error, OSError)
    # A log of changes that stays beside another database would become part of that.
    DAMAGED = "It is damaged: put a copy back in its place, without {0}-wal and {0}-shm"

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.name = f"the database {path}"
        self._file = (0, 0)  # which one it is connected to

    def scrub(self) -> None:
        """What was deleted is overwritten (``secure_delete``); the log still has it as it was."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def _mend(self, error: BaseException) -> str:
        damaged = getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
        return self.DAMAGED.format(self.path) if damaged else super()._mend(error)

    def _connect(self) -> t.Any:
        with self._errors():
            if not os.path.exists(self.path):
                self._create()
            # The policy service reads in threads, one after the other.
            self._file = self._there()
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            return connection

    def _open(self) -> t.Any:
        # Where a copy was put back while we run, what we had is nobody's any more, as all that we would commit there.
        if self._connection is not None and not self._inside and self._there() != self._file:
            self.close()
        return super()._open()

    def _there(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def _create(self) -> None:
        """Have a file that is its user's alone, as the log and the index beside it are then, too.

        The umask is of all threads, and not ours to change. The file itself is not opened for it either: to close it
        would let go of the locks that other threads hold on it (fcntl(2)). And it has its log from the beginning: of
        several who change to it at once, SQLite turns all but one away.
        """
        handle, staged = tempfile.mkstemp(dir=os.path.dirname(self.path), prefix=".new-")
        os.close(handle)
        try:
            with contextlib.closing(sqlite3.connect(staged)) as made:
                made.execute("PRAGMA journal_mode=WAL").fetchall()
            with contextlib.suppress(FileExistsError):
                os.link(staged, self.path)
        finally:
            os.unlink(staged)

    def _has_tables(self, connection: t.Any) -> bool:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'counters'").fetchall())
