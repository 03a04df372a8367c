# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The round trip of a bounce: who is asked until when, and what is said of each server."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import probe_bounces
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_bounces import Told, Trip
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import Endpoint, Login, Reply

NOBODY = probe_bounces.nobody("0a1b2c3d", "gmail.com")
PATH = "b+" + "a" * 26 + "@e.example.com"
ENDPOINTS = {name: Endpoint(f"{name}.test") for name in ("mta1", "mta2")}
REFUSED = f"550 5.7.1 <{NOBODY}>: Recipient address rejected: mailfleet-suppressed: not sent"
TAKEN = Reply(True, "250 2.0.0 Ok: queued as 4ZxYw1")
HARD = {"recipient": NOBODY, "kind": "hard", "reason": "user-unknown", "status": "5.1.1", "rule": "r", "text": "no"}
SOFT = HARD | {"kind": "soft", "reason": "undetermined", "status": "4.2.0", "text": "odd words"}


class World:
    """Servers that refuse from a moment on, or answer RCPT in another way, and a clock for all."""

    def __init__(self, refuse: dict[str, float], taken: tuple[str, ...] = ("mta1", "mta2"), other: str = "") -> None:
        self.refuse, self.taken, self.other = refuse, taken, other
        self.now, self.asked, self.sent, self.slept = 0.0, [], [], []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def submit(self, endpoint, _login, envelopes) -> list[Reply]:
        (envelope,) = envelopes
        server = endpoint.host.removesuffix(".test")
        self.sent.append((server, envelope.sender, envelope.recipient))
        return [TAKEN if server in self.taken else Reply(False, "554 5.7.1 no")]

    def ask(self, endpoint, _login, sender, recipient) -> Reply:
        server = endpoint.host.removesuffix(".test")
        self.asked.append((server, sender, recipient))
        if self.now >= self.refuse.get(server, 1e9):
            return Reply(False, REFUSED)
        return Reply(not self.other, self.other or "250 2.1.5 Ok")


def travelled(monkeypatch, world: World, timeout: float = 60, shown: list | None = None) -> Trip:
    for name, value in (("time", world), ("submit", world.submit), ("ask", world.ask)):
        monkeypatch.setattr(probe_bounces, name, value)
    trip = Trip(PATH, NOBODY)
    show = None if shown is None else shown.append
    probe_bounces.travel(trip, b"Subject: x\r\n\r\n", ENDPOINTS, Login("probe", "hunter2"), timeout, show)
    return trip


def judged(trip: Trip, *events: dict, **more) -> dict:
    """What is said of each server: status, found, cause and mend."""
    verdicts = probe_bounces.verdicts(trip, Told("mta1", events, **more), 60)
    assert all(verdict.check == "bounces" and verdict.source for verdict in verdicts)
    return {verdict.subjects[0]: verdict for verdict in verdicts}


def test_one_message_is_sent_and_servers_are_asked_until_all_refuse(monkeypatch):
    world, shown = World({"mta1": 1, "mta2": 4}), []
    trip = travelled(monkeypatch, world, shown=shown)
    assert world.sent == [("mta1", PATH, NOBODY)] and trip.server == "mta1"
    assert [server for server, _sender, _recipient in world.asked] == ["mta1", "mta2", "mta2", "mta2"]
    assert {each[1:] for each in world.asked} == {(PATH, NOBODY)} and set(trip.refused) == {"mta1", "mta2"}
    assert shown[0] == f"after 1.0 s: 1 of 2 servers refuse {NOBODY}" and shown[-1].startswith("after 4.8 s: 2 of 2")


def test_who_never_refuses_is_asked_to_the_end_and_no_longer(monkeypatch):
    world = World({"mta1": 1})
    trip = travelled(monkeypatch, world)
    assert set(trip.refused) == {"mta1"} and world.now == 60
    assert world.slept[:2] == [1.0, 1.5] and max(world.slept) == 10 and len(world.asked) == len(world.slept) + 1


def test_without_time_each_is_asked_once(monkeypatch):
    world = World({})
    assert travelled(monkeypatch, world, timeout=0).refused == {} and len(world.asked) == 2 and world.now == 0


def test_a_server_that_takes_nothing_is_no_reason_to_send_nothing(monkeypatch):
    trip = travelled(monkeypatch, World({"mta1": 1, "mta2": 1}, taken=("mta2",)))
    assert trip.server == "mta2" and {each.status for each in judged(trip, HARD).values()} == {"ok"}


def test_where_none_takes_it_nobody_is_asked(monkeypatch):
    world = World({}, taken=())
    told = judged(travelled(monkeypatch, world))
    assert not world.asked and {(each.status, each.found) for each in told.values()} == {("fail", "554 5.7.1 no")}


def test_all_refuse_what_came_back_as_hard(monkeypatch):
    told = judged(travelled(monkeypatch, World({"mta1": 1, "mta2": 4})), HARD, suppressed=True)
    assert {server: each.status for server, each in told.items()} == {"mta1": "ok", "mta2": "ok"}
    assert told["mta2"].found == f"{REFUSED}, after 5 s; hard, user-unknown 5.1.1 (rule r)"


@pytest.mark.parametrize(("events", "failure", "why"), [
    ([], "the store: gone", "the store: gone"), ([HARD], "the store: gone", "the store: gone"),
    ([], "", "none of the last 2000 events is about it")])
def test_a_refusal_whose_bounce_was_not_seen_is_a_warning_and_names_what_is_left(monkeypatch, events, failure, why):
    told = judged(travelled(monkeypatch, World({"mta1": 1, "mta2": 1})), *events, failure=failure)["mta1"]
    assert told.status == "warn" and told.cause.endswith(why) and told.mend.endswith(f"mailfleet forget {NOBODY}")


def test_a_refusal_for_what_was_not_hard_is_none_that_proves_it(monkeypatch):
    assert judged(travelled(monkeypatch, World({"mta1": 1, "mta2": 1})), SOFT)["mta1"].status == "fail"


def test_what_did_not_come_back_is_unknown_with_the_place_to_look(monkeypatch):
    told = judged(travelled(monkeypatch, World({})))["mta2"]
    assert told.status == "unknown" and "mta1 took the message as 4ZxYw1" in told.cause
    assert told.mend.startswith("look for 4ZxYw1 in the mail log of mta1") and told.found == "250 2.1.5 Ok"


def test_what_cannot_be_looked_at_is_unknown(monkeypatch):
    told = judged(travelled(monkeypatch, World({})), failure="timed out")["mta1"]
    assert told.status == "unknown" and told.cause.endswith("timed out")


def test_what_came_back_as_soft_is_a_fault_of_the_domain_or_of_a_rule(monkeypatch):
    told = judged(travelled(monkeypatch, World({})), SOFT)["mta1"]
    assert told.status == "fail" and told.found.endswith("soft, undetermined 4.2.0 (rule r): odd words")
    assert "sending_probe_nobody_at" in told.mend


def test_a_server_that_lets_through_who_is_on_the_list(monkeypatch):
    told = judged(travelled(monkeypatch, World({"mta1": 1})), HARD, suppressed=True)
    assert told["mta1"].status == "ok" and told["mta2"].status == "fail"
    assert "mailfleet-policy at mta2" in told["mta2"].mend and not told["mta2"].cause.endswith("list")
    told = judged(travelled(monkeypatch, World({})), HARD)
    assert told["mta1"].cause.endswith("it is not on the list")


def test_another_refusal_is_not_ours_and_silence_is_unknown(monkeypatch):
    other = "550 5.1.1 <x>: Recipient address rejected: mailfleet-suppressed"
    assert judged(travelled(monkeypatch, World({}, other=other)), HARD)["mta1"].status == "fail"
    told = judged(travelled(monkeypatch, World({}, other="mta1.test port 587: timed out")), HARD)["mta1"]
    assert told.status == "unknown" and told.found == "mta1.test port 587: timed out"


def test_check_mode_is_unknown():
    verdict = probe_bounces.not_sent(["mta1", "mta2"], "not sent in check mode", "run without --check")
    assert (verdict.status, verdict.subjects) == ("unknown", ("mta1", "mta2"))


class Node:
    """The program on a server, as far as it is asked."""

    def __init__(self, **statuses: int) -> None:
        self.statuses, self.asked = statuses, []

    def run_command(self, command, **_more):
        words = command[3:]
        self.asked.append(" ".join(words))
        status = self.statuses.get(words[0] if words[0] == "forget" else words[1], 0)
        other = {**HARD, "recipient": "other@gmail.com"}
        lines = [json.dumps(other), json.dumps(HARD), "no json", "[]"] if words[1] == "tail" and status == 0 else []
        return status, "\n".join(lines).encode(), b"mailfleet: no" if status > 1 else b""


def test_the_server_tells_what_became_of_it_and_forgets_it():
    node = Node()
    assert probe_bounces.look(Programs(node.run_command), NOBODY) == {
        "events": [HARD], "suppressed": True, "failure": ""}
    assert node.asked == ["events tail --lines 2000", f"suppress why {NOBODY}", f"forget {NOBODY}"]


@pytest.mark.parametrize(("statuses", "suppressed", "failure"), [
    ({"why": 1}, False, ""), ({"tail": 4}, True, "mailfleet: no"), ({"why": 4}, False, "mailfleet: no"),
    ({"forget": 4}, True, "mailfleet: no"), ({"tail": 127, "why": 127, "forget": 127}, False, "mailfleet: no"),
])
def test_what_it_cannot_tell_is_told(statuses, suppressed, failure):
    found = probe_bounces.look(Programs(Node(**statuses).run_command), NOBODY)
    assert (found["suppressed"], found["failure"]) == (suppressed, failure)
