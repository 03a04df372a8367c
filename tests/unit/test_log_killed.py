# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wherever who follows a log is killed, every line is counted once, and every event is there once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time

import pytest
from agent_world import NOW, postgresql_schema
from cut_off import steps_until
from followed_log import Server, message, outcome, server
from mailfleet import events
from mailfleet.errors import Unavailable
from mailfleet.maillog import follower

__all__ = ["server"]


def mail(server: Server, number: int) -> bytes:
    """A message of one of four fates."""
    queue_id, to = f"A{number:07}", f"u{number}@acme.test"
    fate = ("sent", "bounced", "deferred", "sent")[number % 4]
    lines = message(queue_id, to, fate, sender=server.token(to))
    return lines + (outcome(queue_id, to, "sent") if fate == "deferred" and number % 8 == 2 else b"")


def fill(server: Server, since: int, until: int) -> None:
    for number in range(since, until):
        server.write(mail(server, number))


def cut_off(server: Server, at: int) -> list[str]:
    """Follow in a process of its own, which kills itself at a step; the steps that it came to."""
    server.close()

    def run(step) -> None:
        server.start(step)
        server.run()

    return steps_until(at, run)


def filled(folder, **changes) -> Server:
    folder.mkdir()
    made = Server(folder, **changes)
    fill(made, 0, 10)
    made.log.rotate()
    fill(made, 10, 14)
    return made


def told(server: Server) -> dict:
    """What is known, without the place, in which inodes are."""
    found = server.state
    found.pop("place")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def servers(request, tmp_path):
    """A maker of servers with the same log, each with a store of its own."""
    made, drops = [], []

    def make() -> Server:
        more = {}
        if request.param == "postgresql":
            conninfo, drop = postgresql_schema()
            drops.append(drop)
            more = {"store": {"postgresql": conninfo}}
        made.append(filled(tmp_path / str(len(made)), **more))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.log.close()
    for drop in drops:
        drop()


def test_killed_at_every_step_nothing_is_lost_and_nothing_counts_twice(servers, monkeypatch):
    monkeypatch.setattr(follower, "AT_ONCE", 5)
    whole = servers()
    steps = cut_off(whole, 1000)
    assert set(steps) == {"read", "recorded", "told", "committed"} and steps.count("recorded") == 4
    wanted = told(whole)
    assert len(wanted["events"]) == 16 and len(wanted["list"]) == 4
    assert sum(row[-1] for row in wanted["totals"]["rows"]) == 16
    assert sum(wanted["totals"]["lines"].values()) == len(whole.log.lines)
    for at in range(len(steps)):
        server = servers()
        assert cut_off(server, at) == steps[:at + 1]
        for _again in range(2):
            server.start()
            server.run()
            assert told(server) == wanted


def test_killed_under_load_with_rotation_every_total_is_exact(tmp_path):
    """Who writes and rotates goes on, while who follows is killed again and again, at any moment."""
    chance = random.Random(7)
    server = Server(tmp_path)
    many, done = 2000, threading.Event()

    def write() -> None:
        for start in range(0, many, 20):
            fill(server, start, start + 20)
            if start % 300 == 280:
                server.log.rotate(lambda: time.sleep(0.002))
                if start % 600 == 580:
                    server.log.pack()
            time.sleep(0.004)
        done.set()

    writer = threading.Thread(target=write)
    server.close()
    writer.start()
    kills = 0
    while not done.is_set():
        child = os.fork()
        if not child:
            try:
                server.start()
                while True:
                    server.run()
            finally:
                os._exit(0)
        time.sleep(0.005 + chance.random() * 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    writer.join()
    server.start()
    server.run()
    found = server.counts.totals()
    assert kills > 5 and server.follower.lines.lost == 0
    assert sum(found.lines.values()) == len(server.log.lines) and found.unknown == {}
    assert {key[0]: value for key, value in found.by("outcome").items()} == {
        "delivered": many // 2 + many // 8, "bounced": many // 4, "deferred": many // 4}
    assert found.counts["removed"] == many * 3 // 4
    rows = server.store.rows("SELECT kind, COUNT(*) FROM events GROUP BY kind")
    assert dict(rows) == {"delivered": many // 2 + many // 8, "hard": many // 4, "deferred": many // 4}
    server.close()
    server.log.close()


def test_while_the_store_is_down_the_log_waits(server, monkeypatch):
    fill(server, 0, 8)
    transaction, asked = type(server.store).transaction, []

    def down(store):
        if store is not server.store:
            return transaction(store)
        asked.append(server.now)
        raise Unavailable("the store", "it is down")

    monkeypatch.setattr(type(server.store), "transaction", down)
    for _each in range(300):
        assert server.follower.round() <= follower.LOOK
        server.now += 1
    fill(server, 8, 12)
    assert 5 <= len(asked) <= 12  # less and less often
    assert server.follower.waits == f"{server.store.name} did not answer" and len(server.told) == 1
    assert server.counts.load().place is None and server.counts.totals().lines == {}
    monkeypatch.undo()
    server.now += 100
    server.run()
    assert len(server.events) == 14 and sum(server.counts.totals().lines.values()) == len(server.log.lines)
    assert server.follower.waits == "" and server.told[1:] == ["the log is read again"]


def test_an_error_of_the_counts_goes_on_from_what_is_committed(server, monkeypatch):
    fill(server, 0, 4)
    server.run()
    commit = type(server.counts).commit

    def full(_counts, *_more):
        raise Unavailable("the database", "the disk is full")

    fill(server, 4, 8)
    monkeypatch.setattr(type(server.counts), "commit", full)
    for _each in range(3):
        server.follower.round()
        server.now += 61
    assert "the disk is full" in server.follower.waits and len(server.told) == 1
    monkeypatch.setattr(type(server.counts), "commit", commit)
    server.run()
    assert sum(server.counts.totals().lines.values()) == len(server.log.lines)
    assert len(server.events) == 9 and server.follower.waits == "" and server.told[1:] == ["the log is read again"]


def test_two_who_follow_one_log_count_it_once(server):
    other = Server.__new__(Server)
    other.__dict__.update(server.__dict__)
    other.start()
    for start in range(0, 40, 4):
        fill(server, start, start + 4)
        for each in (server, other) if start % 8 else (other, server):
            each.follower.round()
    for each in (server, other):
        each.run()
    assert sum(server.counts.totals().lines.values()) == len(server.log.lines)
    assert len(events.after(server.store, 0, 100)) == 45
    assert any("changed meanwhile" in each for each in server.told)
    other.close()


def test_what_is_committed_is_on_the_disk(server):
    fill(server, 0, 4)
    server.run()
    assert server.counts.rows("PRAGMA synchronous") == [(2,)]
    with contextlib.closing(sqlite3.connect(server.settings.log.counts)) as other:
        assert other.execute("SELECT at FROM place").fetchall() == [(server.now,)]


def test_open_messages_live_over_a_restart(server):
    path = server.token("u@acme.test")
    server.write(message("A0000001", "u@acme.test", "deferred", sender=path, at=NOW - 100))
    server.run()
    server.close()
    server.start()
    server.write(outcome("A0000001", "u@acme.test", "bounced"))
    server.run()
    assert [(each.kind, each.token) for each in events.after(server.store, 0, 9)] == [
        ("deferred", path[2:28]), ("hard", path[2:28])]


def test_a_state_that_cannot_be_used_is_told_and_the_log_is_read_on(server):
    fill(server, 0, 4)
    server.run()
    with server.counts.transaction():
        server.counts.run("UPDATE place SET open = '{}'")
    server.close()
    server.start()
    fill(server, 4, 8)
    server.run()
    assert "messages that were open are not known any more" in server.told[0]
    assert sum(server.counts.totals().lines.values()) == len(server.log.lines)


def test_a_log_that_is_followed_elsewhere_is_not_counted_twice(server, tmp_path):
    fill(server, 0, 4)
    server.run()
    server.close()
    content = server.log.path.read_bytes()
    other = tmp_path / "other.log"
    other.write_bytes(content)
    log = type(server.settings.log)(**{**{name: getattr(server.settings.log, name)
                                          for name in server.settings.log.__dataclass_fields__}, "file": str(other)})
    object.__setattr__(server.settings, "log", log)
    server.start()
    server.run()
    server.close()
    server.start()
    with other.open("ab") as file:
        file.write(mail(server, 5))
    server.run()
    lines = len(content.splitlines()) + len(mail(server, 5).splitlines())
    assert sum(server.counts.totals().lines.values()) == lines
    assert server.counts.load().place["lost"] == 1 and "is followed from now on" in server.told[0]
