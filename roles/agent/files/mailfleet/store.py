# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store: what SQLite and PostgreSQL have in common. What differs is in their two files."""

from __future__ import annotations

import contextlib
import typing as t

from .errors import Status, Trouble, Unavailable
from .schema import COUNTERS, VERSIONS

if t.TYPE_CHECKING:
    from .settings import Settings

Row = tuple[t.Any, ...]


class Damaged(Trouble):
    """A store that is not what it must be."""

    status = Status.SETTINGS


class Store:
    """A connection that is made when it is needed, and made anew once it was lost. SQL is written with ``?``.

    Every method raises Unavailable where the database does not answer; what was not committed is then gone, or, where
    the connection broke at the commit, perhaps not: whoever repeats a batch repeats all of it, and what is known is
    known by its key.
    """

    name = "the store"

    def __init__(self) -> None:
        self._connection: t.Any = None
        self._inside = False

    def rows(self, sql: str, parameters: t.Sequence[t.Any] = ()) -> list[Row]:
        """What a query returns."""
        with self._errors():
            return self._open().execute(self._sql(sql), parameters).fetchall()

    def run(self, sql: str, parameters: t.Sequence[t.Any] = ()) -> int:
        """Run a statement; the number of rows that it changed. Within a transaction only."""
        assert self._inside
        with self._errors():
            return self._open().execute(self._sql(sql), parameters).rowcount

    def many(self, sql: str, rows: t.Sequence[t.Sequence[t.Any]]) -> None:
        """Run a statement for each of some rows. Within a transaction only."""
        assert self._inside
        if rows:
            with self._errors():
                self._many(self._sql(sql), rows)

    def matching(self, sql: str, values: t.Sequence[t.Sequence[t.Any]]) -> list[Row]:
        """What a query with ``IN (VALUES ...)`` in the place of ``{values}`` returns for all the values together."""
        found: list[Row] = []
        for start in range(0, len(values), 200):
            part = values[start:start + 200]
            places = ", ".join("(" + ", ".join("?" for _each in value) + ")" for value in part)
            found += self.rows(sql.format(values=f"IN (VALUES {places})"), [each for value in part for each in value])
        return found

    @contextlib.contextmanager
    def transaction(self) -> t.Iterator[None]:
        """Do all or nothing. One writer at a time, of all hosts: so numbers are in the order of commits."""
        with self._errors():
            self._open().execute(self.BEGIN)
        self._inside = True
        try:
            self.run("UPDATE counters SET value = value WHERE name = 'events'")
            yield
            with self._errors():
                self._open().execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._inside = False

    def counter(self, name: str) -> int:
        """The value of a counter."""
        return self.rows("SELECT value FROM counters WHERE name = ?", (name,))[0][0]

    def advance(self, name: str, by: int) -> int:
        """Let a counter go on; its value before. Within a transaction only."""
        before = self.counter(name)
        if by:
            self.run("UPDATE counters SET value = value + ? WHERE name = ?", (by, name))
        return before

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*self.ERRORS):
                connection.close()

    def scrub(self) -> None:
        """Leave nothing of what was deleted, as far as the database lets us."""

    # What the two files fill in.
    BEGIN = "BEGIN"
    ERRORS: tuple[type[Exception], ...] = ()

    def _sql(self, sql: str) -> str:
        return sql

    def _versions(self) -> tuple[tuple[str, ...], ...]:
        """The statements that make its tables, by versions."""
        return VERSIONS

    def _connect(self) -> t.Any:
        raise NotImplementedError

    def _lock_schema(self) -> None:
        """Let nobody else change the tables during this transaction."""

    def _many(self, sql: str, rows: t.Sequence[t.Sequence[t.Any]]) -> None:
        self._open().executemany(sql, rows)

    def _open(self) -> t.Any:
        if self._connection is None:
            if self._inside:
                raise Unavailable(self.name, "the connection was lost within a transaction")
            self._connection = self._connect()
            try:
                self._migrate()
            except BaseException:
                self.close()
                raise
        return self._connection

    def _migrate(self) -> None:
        connection = self._connection
        versions = self._versions()
        if self._version(connection) == len(versions):
            return
        connection.execute(self.BEGIN)
        self._lock_schema()
        connection.execute(COUNTERS)
        version = self._version(connection)
        if version > len(versions):
            raise Damaged(self.name, f"tables of version {version}", f"{len(versions)} at most",
                          "Install a newer mailfleet on this host")
        for statements in versions[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("DELETE FROM counters WHERE name = 'schema'")
        connection.execute(self._sql("INSERT INTO counters (name, value) VALUES ('schema', ?)"), (len(versions),))
        connection.execute("COMMIT")

    def _version(self, connection: t.Any) -> int:
        if not self._has_tables(connection):
            return 0
        found = connection.execute("SELECT value FROM counters WHERE name = 'schema'").fetchall()
        return found[0][0] if found else 0

    def _has_tables(self, connection: t.Any) -> bool:
        raise NotImplementedError

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._connection.execute("ROLLBACK")
            except self.ERRORS:
                self.close()

    @contextlib.contextmanager
    def _errors(self) -> t.Iterator[None]:
        try:
            yield
        except self.ERRORS as error:
            self._failed()
            raise Unavailable(self.name, " ".join(str(error).split()) or type(error).__name__, "an answer",
                              self._mend(error)) from error

    def _mend(self, _error: BaseException) -> str:
        return "What waits for it is kept and tried again"

    def _failed(self) -> None:
        """The connection is not used again; what it had not committed goes with it."""
        self.close()


def open_store(settings: Settings) -> Store:
    """The store that the configuration names; nothing is connected yet."""
    if settings.sqlite:
        from .store_sqlite import SqliteStore
        return SqliteStore(settings.sqlite)
    from .store_postgresql import PostgresqlStore
    return PostgresqlStore(settings.postgresql)
