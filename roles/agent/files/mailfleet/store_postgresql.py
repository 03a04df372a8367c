# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store that a fleet shares: PostgreSQL, by Debian's python3-psycopg."""

from __future__ import annotations

import typing as t

from .errors import Status, Trouble
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

    def _sql(self, sql: str) -> str:
        return sql.replace("?", "%s")

    def _connect(self) -> t.Any:
        with self._errors():
            return psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=3, **self._limits)

    def _lock_schema(self) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION,))

    def _many(self, sql: str, rows: t.Sequence[t.Sequence[t.Any]]) -> None:
        with self._open().cursor() as cursor:
            cursor.executemany(sql, rows)

    def _has_tables(self, connection: t.Any) -> bool:
        return connection.execute("SELECT to_regclass('counters')").fetchall()[0][0] is not None
