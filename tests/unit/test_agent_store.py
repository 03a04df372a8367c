# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store, SQLite and PostgreSQL alike: events once, in the order of commits, and the list that they make."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sqlite3
import threading
import time
import uuid

import pytest
from agent_world import DAY, NOW, postgresql_schema, store, stores
from mailfleet import events, schema, suppressions
from mailfleet.errors import Unavailable
from mailfleet.event import Event
from mailfleet.rules import ALL, Entry
from mailfleet.settings import Rules
from mailfleet.store import Damaged
from mailfleet.store_sqlite import SqliteStore

__all__ = ["store", "stores"]
TODAY = NOW // DAY
RULES = Rules()


def event(key: str, kind="hard", *, scope="recipient", recipient="u@acme.test", stream="news", day=TODAY, at=NOW,
          token="t") -> Event:
    return Event(key, at, "mta1", "bounce", kind, "reason", scope, "5.1.1", stream, recipient, "", f"{token}{day}", day,
                 "no 100% such user?", "rule")


def record(store, *found: Event, rules=RULES, now=NOW) -> events.Recorded:
    with store.transaction():
        return events.record(store, found, rules, now)


def entry(recipient="u@acme.test", stream="news", until=0, **changes) -> Entry:
    return dataclasses.replace(Entry(stream, recipient, "manual", "asked to", "", NOW, until), **changes)


def put(store, *entries: Entry) -> None:
    with store.transaction():
        suppressions.put(store, entries, "admin", NOW)


def test_an_event_counts_once(store):
    first = record(store, event("k1"), event("k2", "soft"), event("k1"))
    assert [(each.key, each.number) for each in first.events] == [("k1", 1), ("k2", 2)]
    again = record(store, event("k2", "soft"), event("k1"), event("k3", "auto-reply"))
    assert [(each.key, each.number) for each in again.events] == [("k3", 3)]
    assert again.entries == ()
    assert [each.key for each in events.after(store, 0, 10)] == ["k1", "k2", "k3"]
    assert events.after(store, 1, 1) == [events.get(store, "k2")]
    assert [each.key for each in events.last(store, 2)] == ["k2", "k3"]


def test_what_a_transaction_did_is_gone_where_it_fails(store):
    with pytest.raises(KeyError), store.transaction():
        events.record(store, [event("k1")], RULES, NOW)
        raise KeyError
    assert events.after(store, 0, 10) == [] and suppressions.of(store, "u@acme.test") == []
    assert record(store, event("k1")).events[0].number == 1


def test_a_hard_failure_suppresses_at_once_with_its_trail(store):
    found = record(store, event("k1")).entries
    kept = suppressions.of(store, "u@acme.test")
    assert [(each.stream, each.cause, each.event, each.until) for each in kept] == [
        ("news", "hard", "k1", NOW + 365 * DAY)]
    assert dataclasses.replace(found[0], changed=1) == kept[0]
    trail = suppressions.audit(store, "u@acme.test")
    assert [(each.change, each.action, each.actor, each.cause) for each in trail] == [(1, "added", "rules", "hard")]
    assert suppressions.get(store, {("news", "u@acme.test"), ("shop", "u@acme.test")}) == {
        ("news", "u@acme.test"): kept[0]}


def test_soft_failures_suppress_by_days_across_batches_and_within_one(store):
    early = [event(f"k{day}", "soft", day=TODAY - day, token="x") for day in (4, 3, 2)]
    assert record(store, *early).entries == ()
    assert record(store, event("again", "soft", day=TODAY - 2)).entries == ()  # a day that was counted
    found = record(store, event("k1", "soft", day=TODAY - 1), event("k0", "soft")).entries
    assert [(each.cause, each.until) for each in found] == [("soft", NOW + 30 * DAY)]
    assert found[0].detail.startswith("6 failures of 5 days, the last: reason 5.1.1")


def test_a_delivery_lets_soft_failures_begin_anew(store):
    record(store, *[event(f"k{day}", "soft", day=TODAY - day) for day in (4, 3, 2, 1)])
    record(store, event("ok", "delivered"))
    assert record(store, event("k0", "soft")).entries == ()


def test_in_a_batch_each_event_sees_what_was_before_it(store):
    soft = [event(f"k{day}", "soft", day=TODAY - day) for day in (4, 3, 2, 1, 0)]
    assert [each.cause for each in record(store, *soft, event("ok", "delivered")).entries] == ["soft"]
    twice = record(store, event("h1", recipient="v@acme.test"), event("h2", recipient="v@acme.test")).entries
    assert [each.event for each in twice] == ["h1"]


def test_failures_count_beside_days(store):
    rules = Rules(soft_failures=4, soft_days=2)
    assert record(store, *[event(f"k{day}", "soft", day=TODAY - day) for day in (2, 1, 0)], rules=rules).entries == ()
    assert len(record(store, event("more", "soft"), rules=rules).entries) == 1


def test_what_is_older_than_the_window_does_not_count(store):
    record(store, *[event(f"k{day}", "soft", day=TODAY - day, at=NOW - 31 * DAY) for day in (4, 3, 2, 1)])
    assert record(store, event("k0", "soft")).entries == ()


def test_what_was_removed_comes_back_by_later_tokens_only(store):
    record(store, event("k1"))
    kept = suppressions.of(store, "u@acme.test")[0]
    put(store, dataclasses.replace(kept, removed=TODAY))
    assert record(store, event("k2"), event("k3", day=TODAY - 3)).entries == ()
    assert [each.cause for each in record(store, event("k4", day=TODAY + 1)).entries] == ["hard"]
    assert [each.action for each in suppressions.audit(store, "u@acme.test")] == ["added", "removed", "added"]


def test_of_one_token_so_many_events_are_kept(store, monkeypatch):
    monkeypatch.setattr(events, "MOST_OF_A_TOKEN", 3)
    assert len(record(store, event("k1"), event("k2")).events) == 2
    assert len(record(store, event("k3"), event("k4")).events) == 1
    assert len(record(store, event("k5", token="y"), event("k6", token="")).events) == 2


def test_a_batch_of_thousands_is_recorded(store):
    found = record(store, *[event(f"k{n}", recipient=f"u{n}@acme.test", token=f"t{n}") for n in range(1500)])
    assert (len(found.events), len(found.entries), store.counter("events"), store.counter("changes")) == (
        1500, 1500, 1500, 1500)
    assert len(list(suppressions.holding(store, NOW))) == 1500
    assert [each.changed for each in suppressions.changed(store, 1497)] == [1498, 1499, 1500]


def test_only_what_holds_is_listed(store):
    put(store, entry("a@acme.test"), entry("b@acme.test", until=NOW), entry("c@acme.test", until=NOW + 1),
        entry("d@acme.test", removed=TODAY), entry("e@acme.test", ALL))
    assert [(each.stream, each.recipient) for each in suppressions.holding(store, NOW)] == [
        ("*", "e@acme.test"), ("news", "a@acme.test"), ("news", "c@acme.test")]


def test_tokens_tell_whose_they_are_by_earlier_events(store):
    record(store, event("k1", token="x"))
    assert events.recipients(store, {f"x{TODAY}", "nobody's"}) == {f"x{TODAY}": "u@acme.test"}


def test_texts_of_every_language_and_percent_signs_are_kept(store):
    odd = dataclasses.replace(event("k1"), text="100% voll? \u00e9 \u6f22 \U0001f4ec '", recipient="j%'?@acme.test")
    record(store, odd)
    assert dataclasses.replace(events.get(store, "k1"), number=0) == odd


def test_what_is_too_old_goes_and_copies_learn_of_it(store):
    old = NOW - 100 * DAY
    put(store, entry("for-ever@acme.test"), entry("ended@acme.test", until=old),
        entry("removed@acme.test", removed=TODAY - 100))
    record(store, event("old", at=old), event("new"))
    with store.transaction():
        suppressions.tidy(store, NOW - 90 * DAY)
        assert events.tidy(store, NOW - 90 * DAY) == 1
    assert [each.key for each in events.after(store, 0, 10)] == ["new"]
    assert suppressions.of(store, "ended@acme.test") == suppressions.of(store, "removed@acme.test") == []
    assert suppressions.of(store, "for-ever@acme.test") != []
    assert store.counter("floor") == 3


def test_forgetting_leaves_nothing_of_an_address(store):
    record(store, event("k1"), event("k2", recipient="v@acme.test"),
           dataclasses.replace(event("k3", recipient="w@acme.test"), text="forwarded to U@acme.test"),
           dataclasses.replace(event("k4", recipient="x@acme.test"), text="u!acme.test u%acme.test"))
    with store.transaction():
        assert events.forget(store, "u@acme.test") == 2
        assert suppressions.forget(store, "u@acme.test") == (1, 1)
    assert [each.key for each in events.after(store, 0, 10)] == ["k2", "k4"]
    assert suppressions.of(store, "u@acme.test") == suppressions.audit(store, "u@acme.test") == []
    assert store.counter("floor") == store.counter("changes") == 5
    record(store, *[dataclasses.replace(event(key, recipient="y@acme.test"), text=text) for key, text in (
        ("k5", "for a_b%!@acme.test"), ("k6", "for axb%!@acme.test"), ("k7", "for a_bx!@acme.test"))])
    with store.transaction():
        assert events.forget(store, "a_b%!@acme.test") == 1


def test_writers_take_turns_and_numbers_are_in_the_order_of_commits(stores):
    seen, wrong = [], []

    def write(name: str) -> None:
        one = stores()
        try:
            for n in range(10):
                own = event(f"{name}{n}", recipient=f"{name}{n}@acme.test", token=f"{name}{n}")
                record(one, own, event(f"both{n}"))
        except Exception as error:
            wrong.append(error)

    stores().counter("events")  # the tables are there
    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    watcher, at = stores(), 0
    while any(thread.is_alive() for thread in threads) or events.after(watcher, at, 1):
        for each in events.after(watcher, at, 100):
            seen.append(each.number)
            at = each.number
    assert wrong == []
    assert seen == list(range(1, 31))  # one that became visible late would be missed


def test_tables_are_made_once_whoever_comes_first(stores):
    wrong, made = [], [stores() for _each in range(4)]

    def look(one) -> None:
        try:
            assert one.counter("events") == 0
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=look, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert made[0].rows("SELECT COUNT(*) FROM counters") == [(4,)]


def test_an_older_store_becomes_a_newer_one_and_a_newer_one_is_left_alone(stores, monkeypatch):
    record(stores(), event("k1"))
    newer = (*schema.VERSIONS, ("ALTER TABLE events ADD COLUMN more TEXT", "UPDATE events SET more = 'yes'"))
    monkeypatch.setattr("mailfleet.store.VERSIONS", newer)
    assert stores().rows("SELECT key, more FROM events") == [("k1", "yes")]
    assert stores().rows("SELECT key, more FROM events") == [("k1", "yes")]
    monkeypatch.setattr("mailfleet.store.VERSIONS", schema.VERSIONS)
    with pytest.raises(Damaged, match=r"tables of version 2; expected 1 at most\. Install a newer mailfleet"):
        stores().counter("events")


def test_a_lost_connection_is_told_and_made_anew(stores):
    one = stores()
    record(one, event("k1"))
    lost = one._connection
    lost.close()
    with pytest.raises(Unavailable):
        one.counter("events")
    assert one.counter("events") == 1


def test_a_connection_lost_within_a_transaction_commits_nothing(stores):
    one = stores()
    one.counter("events")
    with pytest.raises(Unavailable), one.transaction():
        events.record(one, [event("k1")], RULES, NOW)
        one._connection.close()
        for _each in range(2):
            with pytest.raises(Unavailable):
                one.run("UPDATE counters SET value = 7 WHERE name = 'events'")
    assert stores().counter("events") == 0
    assert one.counter("events") == 0


@pytest.fixture
def postgresql(monkeypatch):
    """A maker of stores in a server that is soon waited for in vain, and the conninfo."""
    conninfo, drop = postgresql_schema()
    from mailfleet import store_postgresql
    monkeypatch.setattr(store_postgresql, "PATIENCE", 2)
    monkeypatch.setattr(store_postgresql, "LOOK", 0.1)
    made = []

    def make(conninfo=conninfo):
        made.append(store_postgresql.PostgresqlStore(conninfo))
        return made[-1]
    yield make, conninfo
    for each in made:
        each.close()
    drop()


def test_a_postgresql_that_hangs_is_given_up(postgresql):
    one = postgresql[0]()
    assert one.counter("events") == 0
    for _time in range(2):
        begun = time.monotonic()
        with pytest.raises(Unavailable), one.transaction():
            one.rows("SELECT pg_sleep(8)")
        assert time.monotonic() - begun < 7
        assert one.counter("events") == 0


def test_a_postgresql_that_goes_on_or_is_asked_nothing_is_not_taken_for_one_that_hangs(postgresql, monkeypatch):
    from mailfleet import store_postgresql
    monkeypatch.setattr(store_postgresql, "ROWS_AT_ONCE", 2)
    one = postgresql[0]()
    with one.transaction():
        rows = [(f"c{each}",) for each in range(9)]
        one.many("INSERT INTO counters (name, value) SELECT ?, 1 FROM pg_sleep(0.3)", rows)
    time.sleep(2.5)
    assert one.counter("c8") == 1


def test_a_postgresql_that_refuses_texts_is_told_before_one_comes(postgresql):
    from mailfleet.store_postgresql import psycopg
    make, conninfo = postgresql
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(Unavailable, match=r"its encoding is LATIN1; expected UTF8\. Make another") as found:
                make(f"{conninfo} dbname={name}").counter("events")
            assert found.value.status == 3
        finally:
            connection.execute(f"DROP DATABASE {name}")


def test_sqlite_has_committed_what_it_says_it_has(tmp_path):
    one = SqliteStore(str(tmp_path / "x.db"))
    record(one, event("k1"))
    assert one.rows("PRAGMA synchronous") == [(2,)] and one.rows("PRAGMA journal_mode") == [("wal",)]
    assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0
    one.close()


def test_what_sqlite_was_told_to_forget_is_gone_from_its_files(tmp_path):
    one, reader = SqliteStore(str(tmp_path / "x.db")), SqliteStore(str(tmp_path / "x.db"))
    record(one, event("k1"), event("k2", recipient="v@acme.test"))
    reader.counter("events")  # a connection that stays keeps the log of the database
    with one.transaction():
        events.forget(one, "u@acme.test")
        suppressions.forget(one, "u@acme.test")
    one.scrub()
    left = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"v@acme.test" in left and b"u@acme.test" not in left
    for each in (one, reader):
        each.close()


def test_a_file_that_was_replaced_is_the_store_from_then_on(tmp_path):
    one, place = SqliteStore(str(tmp_path / "x.db")), tmp_path / "x.db"
    record(one, event("k1"))
    one.close()
    shutil.copy(place, tmp_path / "copy")
    record(one, event("k2"))
    for name in ("x.db-wal", "x.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "copy").rename(place)
    record(one, event("k3"))
    with contextlib.closing(SqliteStore(str(place))) as other:
        assert [each.key for each in events.after(other, 0, 9)] == ["k1", "k3"]
    place.unlink()
    for name in ("x.db-wal", "x.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    record(one, event("k4"))
    with contextlib.closing(SqliteStore(str(place))) as other:
        assert [each.key for each in events.after(other, 0, 9)] == ["k4"]
    one.close()


def test_a_damaged_file_and_a_folder_that_is_not_there_are_told(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match="x.db: file is not a database; .* It is damaged: put a copy back .*x.db-wal"):
        SqliteStore(str(tmp_path / "x.db")).counter("events")
    with pytest.raises(Unavailable, match="No such file or directory.*; expected an answer. .* tried again"):
        SqliteStore(str(tmp_path / "no" / "x.db")).counter("events")
    assert issubclass(sqlite3.OperationalError, SqliteStore.ERRORS)
