# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A firewall that lets this machine ask its resolvers and nobody else: found out once, and told once."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest
from nameserver import Nameserver
from silent import Silent

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS, Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF, NOBODY_AFTER
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import EVERY, verify_authorities

DOMAINS, EACH = 60, 4  # so many domains, each with so many servers at addresses of their own
LIVING = "127.0.0.2"


def world(domains=DOMAINS, each=EACH):
    """Return the zones of domains at different providers as a resolver knows them; one more lives, and serves one below
    the first."""
    zones = {"": {}, "living.example": {"living.example": {"NS": ["ns.living.example."], "TXT": ["lives"]},
                                        "ns.living.example": {"A": [LIVING]}},
             "below.d0.example": {"below.d0.example": {"NS": ["ns.living.example."]}}}
    for number in range(domains):
        hosts = {f"ns{at}.p{number}.example": {"A": [f"127.1.{number}.{at + 1}"]} for at in range(each)}
        zones[f"p{number}.example"] = hosts
        zones[f"d{number}.example"] = {f"d{number}.example": {"NS": [f"{host}." for host in hosts],
                                                              "TXT": [f"text {number}"]}}
    return zones


def names(domains=DOMAINS):
    return [f"d{number}.example" for number in range(domains)]


class Run:
    """A resolver, silence at the addresses of all providers but one, and that one, with faults of its own."""

    def __init__(self, stack, monkeypatch, faults=None, domains=DOMAINS, each=EACH):
        zones = world(domains, each)
        self.resolver = stack.enter_context(Nameserver(zones))
        self.living = stack.enter_context(Nameserver(zones, faults, address=LIVING))
        places = [f"127.1.{number}.{at + 1}" for number in range(domains) for at in range(each)]
        self.silent = stack.enter_context(Silent(places, self.living.port))
        self.silent.hasten(monkeypatch)
        self.lookup = stack.enter_context(Lookup([self.resolver.server], authority_port=self.living.port))

    def ask(self, authoritative="auto"):
        """Ask for the text of every domain at once; return the answers, each the outcomes and why."""
        return self.lookup.each(lambda name: self.lookup.ask_by(authoritative, name, "TXT"), names())


def told(lookup):
    """Return what is said of all authoritative servers, and not of the zone above one."""
    return [verdict for verdict in verify_authorities(lookup) if verdict.subjects == (EVERY,)]


@pytest.fixture
def run(monkeypatch):
    with ExitStack() as stack:
        yield lambda *size, **options: Run(stack, monkeypatch, *size, **options)


def test_no_authority_is_asked_any_more_once_none_was_heard(run):
    each = run()
    answers = each.ask()
    assert [outcome.values for outcomes, _why in answers for outcome in outcomes] == [
        (f"text {number}",) for number in range(DOMAINS)]
    # Those that were under way, and the next question of some that had ended before it was known; not the rest of 240.
    assert each.silent.questions() <= WORKERS + 1 + NOBODY_AFTER
    assert CUT_OFF in {why for _outcomes, why in answers}
    (verdict,) = told(each.lookup)
    assert (verdict.check, verdict.status) == ("name servers", Status.WARN)
    assert verdict.cause.startswith(f"{CUT_OFF}: none of ") and "no answer within 0.3 s" in verdict.cause
    assert verdict.found == f"only the resolvers were asked: {each.resolver.server}"
    # Nor is one that would answer: nothing is known of it.
    assert each.lookup.ask_by("auto", "living.example", "TXT")[1] == CUT_OFF and each.living.queries == 0


def test_who_wants_every_authority_asked_gets_that(run):
    each = run()
    answers = each.ask("yes")
    assert {outcome.kind for outcomes, _why in answers for outcome in outcomes} == {Kind.SILENT}
    assert each.silent.questions() >= DOMAINS * EACH
    assert not any(rdtype == "TXT" for _name, rdtype in each.resolver.asked)
    assert told(each.lookup) == []


def test_a_firewall_that_refuses_is_found_out_too(run):
    with Nameserver({}) as closed:
        pass
    with Lookup([run().resolver.server], timeout=5, authority_port=closed.port) as lookup:
        answers = lookup.each(lambda name: lookup.ask_by("auto", name, "TXT"), names())
        assert all(outcome.said for outcomes, _why in answers for outcome in outcomes)
        assert CUT_OFF in {why for _outcomes, why in answers}
        assert "Connection refused" in told(lookup)[0].cause


def test_what_the_resolver_does_not_say_stays_unknown(run):
    each = run()
    each.ask()
    each.resolver.faults["d1.example", "MX"] = "servfail"
    (outcome,), why = each.lookup.ask_by("auto", "d1.example", "MX")
    assert (outcome.kind, outcome.server, why) == (Kind.SILENT, str(each.resolver.server), CUT_OFF)


@pytest.mark.parametrize("fault", [None, "refused", "lame", "garbage", "wrong id", "truncated, no tcp", "cut"])
def test_dead_servers_are_no_firewall_where_one_was_heard_whatever_it_said(run, fault):
    each = run({"living.example": fault}, domains=20)
    (living,) = each.lookup.authorities("living.example").servers
    each.lookup.timeout = 0.5  # rubbish is waited out
    each.lookup.ask("living.example", "TXT", living)
    each.lookup.timeout = 5.0
    answers = [each.lookup.ask_by("auto", name, "TXT") for name in names(3)]
    assert all(why.startswith("no authoritative server could be asked (") for _outcomes, why in answers)
    assert told(each.lookup) == []
    assert each.silent.questions() >= 3 * EACH


def test_two_dead_servers_with_two_addresses_each_are_no_firewall_before_any_answers(run):
    each = run(domains=1, each=NOBODY_AFTER - 1)
    (outcome,), why = each.lookup.ask_by("auto", "d0.example", "TXT")
    assert outcome.said and why.startswith("no authoritative server could be asked (")
    assert [outcome.values for outcome in each.lookup.ask_by("auto", "living.example", "TXT")[0]] == [("lives",)]
    assert told(each.lookup) == []
    one_more = run(domains=1, each=NOBODY_AFTER)
    assert one_more.lookup.ask_by("auto", "d0.example", "TXT")[1] == CUT_OFF


def test_who_waits_for_a_record_asks_all_again_and_is_told_what_was(run):
    each = run()
    each.ask()
    assert each.lookup.ask_by("auto", "living.example", "TXT")[1] == CUT_OFF
    each.lookup.forget()
    (outcome,), why = each.lookup.ask_by("auto", "living.example", "TXT")
    assert (outcome.values, outcome.server, why) == (
        ("lives",), f"ns.living.example. ({LIVING}:{each.living.port})", "")
    assert len(told(each.lookup)) == 1


def test_the_reason_is_not_said_with_every_answer(run):
    answer = run(domains=1, each=NOBODY_AFTER).lookup.ask_by("auto", "d0.example", "TXT")
    assert answer[1] == CUT_OFF
    agreed = agree(*answer)
    assert (agreed.statement, agreed.instead) == ("", "")


def test_a_zone_above_that_was_silent_before_all_were_given_up_is_not_told_besides(run):
    each = run(domains=2)
    below = each.lookup.authorities("below.d0.example")
    found = each.lookup.delegation(below, auto=True)
    assert found.parent == "d0.example." and not found.said.said and found.said.cause != CUT_OFF
    assert [verdict.subjects for verdict in verify_authorities(each.lookup)] == [("below.d0.example.",)]
    assert each.lookup.ask_by("auto", "d1.example", "TXT")[1] == CUT_OFF and each.living.queries == 0
    assert [verdict.subjects for verdict in verify_authorities(each.lookup)] == [(EVERY,)]


def test_a_question_that_the_deadline_cut_short_is_no_sign_of_a_firewall(run):
    each = run(domains=1, each=NOBODY_AFTER)
    with Lookup([each.resolver.server], timeout=9, deadline=8, authority_port=each.living.port) as lookup:
        (outcome,), why = lookup.ask_by("auto", "d0.example", "TXT")
        assert outcome.said and why.startswith("no authoritative server could be asked (")
        assert told(lookup) == []


class NoIpv4(socket.socket):
    """What the kernel says where there is no route, but for the resolver."""

    def connect(self, address):
        if address[0].startswith("127.1."):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        super().connect(address)


def test_addresses_without_a_way_to_them_are_no_sign_of_a_firewall(run, monkeypatch):
    each = run()
    monkeypatch.setattr(socket, "socket", NoIpv4)
    assert CUT_OFF not in {why for _outcomes, why in each.ask()}
    assert told(each.lookup) == []
