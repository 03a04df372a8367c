# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of the agent share: settings, messages with a trivial reader of them, and both stores."""

from __future__ import annotations

import copy
import datetime
import json
import os
import uuid

import pytest
from mailfleet.finding import Finding, Kind, Mention, Notice, Scope
from mailfleet.settings import Mistaken, Settings, load
from mailfleet.store_sqlite import SqliteStore

NOW = 1_795_000_000
TODAY = datetime.datetime.fromtimestamp(NOW, datetime.UTC).date()
DAY = 86400
KEYS = {"a": "0123456789abcdef0123456789abcdef", "b": "fedcba9876543210fedcba9876543210"}
POSTGRESQL = "MAILFLEET_TEST_POSTGRESQL"
FEEDBACK = {"authserv_id": "bounce.example.com", "sources": ["feedback.example"]}
PASSED = "Authentication-Results: bounce.example.com;\n\tdkim=pass (2048-bit) header.d=feedback.example header.i=@x\n"

CONFIG = {
    "host": "mta1.example.com",
    "streams": {
        "news": {"bounce_domains": ["e.example.com"], "senders": ["example.com"]},
        "shop": {"bounce_domains": ["e.example.us"]},
    },
    "token": {"current": "a", "days": 30},
    "store": {},
}


def config(folder, **changes) -> str:
    """Write a configuration with its secrets into a folder; its path."""
    wanted = copy.deepcopy(CONFIG) | {
        "secrets": str(folder / "secrets.json"),
        "store": {"sqlite": str(folder / "mailfleet.db")},
        "intake": {"maildir": str(folder / "spool")},
        "quarantine": {"folder": str(folder / "quarantine")},
        "policy": {"copy": str(folder / "copy"), "listen": f"unix:{folder}/policy"},
    }
    secrets = {"token_keys": KEYS} | changes.pop("secrets", {})
    for name, value in changes.items():
        wanted[name] = wanted.get(name, {}) | value if isinstance(value, dict) and name != "store" else value
    (folder / "secrets.json").write_text(json.dumps(secrets))
    (folder / "secrets.json").chmod(0o600)
    (folder / "agent.json").write_text(json.dumps(wanted))
    return str(folder / "agent.json")


def settings_in(folder, **changes) -> Settings:
    return load(config(folder, **changes))


def mistakes_of(folder, **changes) -> str:
    with pytest.raises(Mistaken) as found:
        settings_in(folder, **changes)
    return str(found.value)


def message(recipient="u@acme.test", kind=Kind.HARD, *, to="", scope=Scope.RECIPIENT, reason="userunknown",
            status="5.1.1", addressed=(), text="no such user", extra="", findings=None, written=()) -> bytes:
    """A message for ``read``: what a notice says, as JSON behind an empty line."""
    if findings is None:
        findings = [[recipient, kind, reason, scope, status, text, "rule", ""]]
    told = {"findings": findings, "mentions": [["envelope", to]] if to else [], "addressed": list(addressed),
            "extra": extra, "to": list(written)}
    return b"Received: by mta1\nSubject: x\n\n" + json.dumps(told).encode()


def read(raw: bytes) -> Notice:
    """The trivial reader."""
    found = json.loads(raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2])
    findings = tuple(Finding(each[0], Kind(each[1]), each[2], Scope(each[3]), *each[4:]) for each in found["findings"])
    return Notice(findings, tuple(Mention(*each) for each in found["mentions"]), tuple(found["addressed"]),
                  tuple(found["to"]))


def postgresql_schema():
    """A schema of its own in the server that MAILFLEET_TEST_POSTGRESQL names: its conninfo, and how to drop it."""
    conninfo = os.environ.get(POSTGRESQL)
    if not conninfo:
        pytest.skip(f"{POSTGRESQL} names no server")
    from mailfleet.store_postgresql import psycopg
    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")

    def drop() -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")

    return f"{conninfo} options='-c search_path={schema}'", drop


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request, tmp_path):
    """A maker of stores that are one database: each as another host sees it."""
    made = []
    if request.param == "sqlite":
        def make():
            made.append(SqliteStore(str(tmp_path / "stores.db")))
            return made[-1]
        yield make
    else:
        conninfo, drop = postgresql_schema()
        from mailfleet.store_postgresql import PostgresqlStore

        def make():
            made.append(PostgresqlStore(conninfo))
            return made[-1]
        try:
            yield make
        finally:
            for each in made:
                each.close()
            drop()
    for each in made:
        each.close()


@pytest.fixture
def store(stores):
    return stores()
