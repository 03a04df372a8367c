# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store that a fleet shares: PostgreSQL, by Debian's python3-psycopg."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import typing as t

from .errors import Status, Trouble, Unavailable
from .store import Store

try:
    import psycopg
except ImportError as error:
    problem = Trouble("the store", f"psycopg cannot be imported ({error})", "Debian's package python3-psycopg",
                      "apt install python3-psycopg")
    problem.status = Status.SETTINGS
    raise problem from error

# A server that is gone without a word must not hold a worker for the quarter of an hour that TCP takes.
LIMITS = {
    "connect_timeout": "5", "tcp_user_timeout": "20000", "keepalives_idle": "10", "keepalives_interval": "5",
    "keepalives_count": "3", "application_name": "mailfleet", "client_encoding": "UTF8",
    "options": "-c statement_timeout=60000 -c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000"
               " -c synchronous_commit=on",
}
MIGRATION = 0x6D61696C666C65
# A server that hangs while its kernel still answers meets none of these limits, nor does a commit that waits for a
# standby: after so many seconds the connection is cut from here. A look as often finds it.
PATIENCE, LOOK = 90.0, 5.0
ROWS_AT_ONCE = 1000
# Texts are of every language: any other encoding refuses some, and with one of them its batch, for ever.
ENCODINGS = ("UTF8", "SQL_ASCII")


class PostgresqlStore(Store):
    """PostgreSQL; ``conninfo`` is libpq's, such as ``host=db1 dbname=mailfleet user=mailfleet sslmode=verify-full``."""

    ERRORS = (psycopg.Error,)

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self._conninfo = conninfo
        self.name = "the PostgreSQL database"
        try:
            found = psycopg.conninfo.conninfo_to_dict(conninfo)
        except psycopg.Error as error:
            wrong = Trouble("store.postgresql", " ".join(str(error).split()), "a connection string of libpq's, such as "
                            "host=db1.example.com dbname=mailfleet user=mailfleet sslmode=verify-full")
            wrong.status = Status.SETTINGS
            raise wrong from error
        self.name = f"the database {found.get('dbname', '')} at {found.get('host', 'the local socket')}"
        self._limits = {name: value for name, value in LIMITS.items() if name not in found}
        self._asked = 0.0  # when the server was asked for what it does now; 0 where it is asked for nothing
        self._closed = threading.Event()

    def _sql(self, sql: str) -> str:
        return sql.replace("?", "%s")

    def close(self) -> None:
        self._closed.set()
        super().close()

    @contextlib.contextmanager
    def _errors(self) -> t.Iterator[None]:
        before, self._asked = self._asked, time.monotonic()
        try:
            with super()._errors():
                yield
        finally:
            self._asked = before

    def _roll_back(self) -> None:
        self._asked = time.monotonic()
        super()._roll_back()
        self._asked = 0.0

    def _connect(self) -> t.Any:
        with self._errors():
            connection = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=3, **self._limits)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in ENCODINGS:
            connection.close()
            wrong = Unavailable(self.name, f"its encoding is {encoding}", "UTF8",
                                "Make another: createdb -T template0 -E UTF8; pg_dump and psql bring over what it has")
            wrong.status = Status.SETTINGS
            raise wrong
        self._closed = threading.Event()
        threading.Thread(target=self._watch, args=(connection, self._closed), daemon=True).start()
        return connection

    def _watch(self, connection: t.Any, closed: threading.Event) -> None:
        """Cut off a connection at which the server does not answer, so that whoever waits goes on."""
        while not closed.wait(LOOK):
            if self._asked and time.monotonic() - self._asked > PATIENCE:
                with (contextlib.suppress(OSError, psycopg.Error),
                      socket.socket(fileno=os.dup(connection.fileno())) as hung):
                    hung.shutdown(socket.SHUT_RDWR)
                return

    def _lock_schema(self) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION,))

    def _many(self, sql: str, rows: t.Sequence[t.Sequence[t.Any]]) -> None:
        with self._open().cursor() as cursor:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                self._asked = time.monotonic()
                cursor.executemany(sql, rows[start:start + ROWS_AT_ONCE])

    def _has_tables(self, connection: t.Any) -> bool:
        return connection.execute("SELECT to_regclass('counters')").fetchall()[0][0] is not None
