# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking again until a record is there, and what is told meanwhile."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from nameserver import NEGATIVE_TTL, Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import waiting
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Held, Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import PAUSES, Try, Waiting

ZONES = {"example.com": {"a.example.com": {"TXT": ["here"]}, "far.example.com": {"CNAME": ["gone.example.com."]}}}
NAMES = ["a.example.com", "b.example.com"]


@pytest.fixture
def server():
    with Nameserver(ZONES) as started:
        yield started


@pytest.fixture
def lookup(server):
    with Lookup([server.server], timeout=0.4) as made:
        yield made


def wait_for(lookup, names, wait=0, **options):
    patience = Waiting(wait, **options)
    found = patience.each_good(lookup, names, lambda names: [lookup.ask(name, "TXT") for name in names],
                               lambda name, outcome: [] if outcome.values else [(name, "TXT")])
    return found, tuple(patience.tries)


def test_what_is_there_is_asked_for_once(server, lookup):
    found, tries = wait_for(lookup, ["a.example.com", "a.example.com"], wait=60)
    assert found["a.example.com"].values == ("here",)
    assert [(each.asked, each.waiting, each.pause) for each in tries] == [(1, (), None)]
    assert server.queries == 1


def test_only_what_is_missing_is_asked_for_again_and_each_try_is_shown_as_it_ends(server, lookup):
    shown, paused = [], []

    def sleep(seconds):
        assert len(shown) == len(paused) + 1
        paused.append(seconds)
        if len(paused) == 3:
            server.change("example.com", "b.example.com", TXT=["there"])

    found, tries = wait_for(lookup, NAMES, wait=60, show=shown.append, sleep=sleep)
    assert [outcome.values for outcome in found.values()] == [("here",), ("there",)]
    assert paused == list(PAUSES[:3])
    assert [each.asked for each in tries] == [2, 1, 1, 1]
    assert [each.waiting for each in tries] == [("b.example.com",)] * 3 + [()]
    assert tuple(shown) == tries
    assert server.asked["a.example.com", "TXT"] == 1 and server.asked["b.example.com", "TXT"] == 4


def test_the_last_pause_ends_with_the_time(server, lookup, monkeypatch):
    paused, now = [], [100.0]
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def sleep(seconds):
        paused.append(seconds)
        now[0] += seconds

    _found, tries = wait_for(lookup, NAMES, wait=2.5, sleep=sleep)
    assert paused == [1, 1.5]
    assert tries[-1].pause is None and tries[-1].waiting == ("b.example.com",)


def test_a_negative_answer_says_when_it_runs_out(server, lookup):
    began = time.time()
    _found, tries = wait_for(lookup, ["b.example.com"])
    ended = time.time()
    (held,) = tries[0].held
    assert (held.name, held.kind, held.server, held.authoritative) == (
        "b.example.com.", Kind.NO_NAME, str(server.server), False)
    assert began - 1 < held.until - NEGATIVE_TTL < ended + 1 and held.seconds == NEGATIVE_TTL
    assert f"{server.server} holds 'no such name' of b.example.com. TXT until " in str(tries[0])
    assert str(tries[0]).endswith(f", {NEGATIVE_TTL} s; the time is up")


def test_a_negative_answer_behind_an_alias_is_found(server, lookup):
    _found, tries = wait_for(lookup, ["far.example.com"])
    assert [str(held.server) for held in tries[0].held] == [str(server.server)]


def test_what_an_authoritative_server_denied_others_may_hold(server, lookup):
    lookup.ask("b.example.com", "TXT", server.server)
    (held,) = lookup.held("B.example.com.", "TXT")
    assert held.authoritative
    assert str(held).startswith(f"resolvers that asked {server.server} may hold 'no such name' of b.example.com. TXT")
    assert lookup.held("a.example.com", "TXT") == []


def test_a_line_names_some_and_counts_the_rest():
    names = tuple(f"n{number}" for number in range(9))
    held = Held("n0.", "TXT", Kind.NO_DATA, "192.0.2.53", 1_800_000_000.0, 240)
    line = str(Try(3.21, 12, names, (held,), 8))
    assert line.startswith("after 3.2 s: 9 of 12 not yet (n0, n1, n2 and 6 more); 192.0.2.53 holds 'no data' of n0.")
    assert line.endswith(", 240 s; next try in 8 s")
    assert str(Try(1, 3, ())) == "after 1.0 s: all are as they should be"
    assert held.to_dict()["until"] == "2027-01-15T08:00:00Z"
