# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wherever the worker is killed, nothing is lost and nothing counts twice."""

from __future__ import annotations

import os

import pytest
from agent_host import Host, host
from agent_world import message, postgresql_schema
from cut_off import steps_until
from mailfleet import events
from mailfleet.finding import Kind
from mailfleet.store import open_store

__all__ = ["host"]


def batch_for(host: Host) -> list[bytes]:
    return [message(to=host.token()), message("v@acme.test", Kind.SOFT, to=host.token("v@acme.test")),
            message(), message("w@acme.test", to=host.token()), message("", Kind.COMPLAINT, to=host.token())]


def cut_off(host: Host, at: int) -> list[str]:
    """Run a worker in a process of its own, which kills itself at a step; the steps that it came to."""
    return steps_until(at, lambda step: host.start(step).round())


@pytest.fixture(params=["sqlite", "postgresql"])
def hosts(request, tmp_path):
    """A maker of hosts, each with a store of its own."""
    drops = []

    def make() -> Host:
        folder = tmp_path / str(len(drops))
        folder.mkdir()
        if request.param == "sqlite":
            drops.append(lambda: None)
            return Host(folder)
        conninfo, drop = postgresql_schema()
        drops.append(drop)
        return Host(folder, store={"postgresql": conninfo})

    yield make
    for drop in drops:
        drop()


def test_killed_at_every_step_nothing_is_lost_and_nothing_counts_twice(hosts):
    whole = hosts()
    whole.put(*batch_for(whole))
    steps = cut_off(whole, 1000)
    assert set(steps) == {"read", "quarantined", "recorded", "committed", "removed"}
    wanted = whole.state
    whole.store.close()
    assert len(wanted["events"]) == 3 and wanted["trail"] == 1 and wanted["spool"] == []
    for at in range(len(steps)):
        host = hosts()
        host.put(*batch_for(host))
        assert cut_off(host, at) == steps[:at + 1]
        for _again in range(2):
            host.start().round()
            assert host.state == wanted
        host.store.close()


def test_killed_again_and_again_it_comes_to_the_same_end(tmp_path):
    host = Host(tmp_path)
    host.put(*[message(f"u{n}@acme.test", to=host.token(f"u{n}@acme.test")) for n in range(5)])
    for at in (0, 1, 2, 3, 3, 4):
        cut_off(host, at)
    host.start().round()
    state = host.state
    assert (len(state["events"]), len(state["list"]), state["trail"], state["spool"]) == (5, 5, 5, [])


def test_nothing_is_removed_before_its_event_is_committed(host, monkeypatch):
    host.put(*[message(f"u{n}@acme.test", to=host.token(f"u{n}@acme.test")) for n in range(3)])
    seen, removing = [], os.unlink

    def unlink(path, **more):
        if "/spool/new/" in str(path):
            other = open_store(host.settings)
            seen.append((len(events.after(other, 0, 10)), other.rows("PRAGMA synchronous")))
            other.close()
        removing(path, **more)

    monkeypatch.setattr(os, "unlink", unlink)
    host.worker.round()
    # 2 is FULL: a commit returns when the log of the database is on the disk.
    assert seen == [(3, [(2,)])] * 3
