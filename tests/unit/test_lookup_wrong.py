# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name servers that are half right: what they do not say is never missing, and what they say counts for their zone."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Server

ROOT = {"": {"": {"NS": ["ns1.example.net."]}}}
SERVERS = {"ns1.example.net": {"A": ["127.0.0.1"]}, "ns2.example.net": {"A": ["127.0.0.2"]},
           "six.example.net": {"AAAA": ["::1"]}}
BOTH = ["ns1.example.net.", "ns2.example.net."]


def zone(names, servers=None, **more):
    return {"example.com": {"example.com": {"NS": servers or BOTH}, **names},
            "example.net": {"example.net": {"NS": BOTH}} | SERVERS | more}


@pytest.fixture
def run():
    """Return a function that starts a resolver that is the first name server, and the second one with its own zones
    and faults; and a lookup that asks the first."""
    with ExitStack() as stack:
        def start(zones, other=None, faults=None, timeout=5.0, address="127.0.0.2"):
            first = stack.enter_context(Nameserver(ROOT | zones))
            second = Nameserver(ROOT | (zones if other is None else other), faults, address=address, port=first.port)
            lookup = Lookup([first.server], timeout, authority_port=first.port)
            return first, stack.enter_context(second), stack.enter_context(lookup)

        yield start


def said(outcomes):
    """Return what each server says, by its name."""
    return {outcome.server.partition(" (")[0]: outcome.values or outcome.cause or outcome.kind for outcome in outcomes}


TEXT = {"a.example.com": {"TXT": ["here"]}}


@pytest.mark.parametrize("fault, cause", [
    ("lame", "lame: it does not answer with authority"), ("refused", "REFUSED"), ("servfail", "SERVFAIL"),
])
@pytest.mark.parametrize("names, right", [(TEXT, ("here",)), ({}, Kind.NO_NAME)])
def test_one_of_two_that_is_lame_is_silent_whatever_the_other_says(run, fault, cause, names, right):
    _first, _second, lookup = run(zone(names), faults={"*": fault})
    outcomes, why = lookup.ask_by("auto", "a.example.com", "TXT")
    assert (said(outcomes), why) == ({"ns1.example.net.": right, "ns2.example.net.": cause}, "")


def test_one_that_lost_the_zone_and_has_the_one_above_denies_nothing(run):
    without = {"com": {"com": {"NS": BOTH}}, "example.net": zone({})["example.net"]}
    _first, _second, lookup = run(zone(TEXT), without)
    assert said(lookup.ask_authorities("a.example.com", "TXT")) == {
        "ns1.example.net.": ("here",), "ns2.example.net.": "lame: it answers for com., which is above example.com."}


def test_name_servers_with_ipv6_alone_are_asked(run):
    zones = zone(TEXT, ["six.example.net."])
    _first, second, lookup = run(zones, address="::1")
    (outcome,) = lookup.ask_authorities("a.example.com", "TXT")
    assert (outcome.values, outcome.server) == (("here",), f"six.example.net. ([::1]:{second.port})")


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS])
@pytest.mark.parametrize("bare", [True, False])
def test_servers_older_than_edns_are_asked_without_it(run, rcode, bare):
    """Some send their refusal without the question."""
    def old(query, answer):
        if query.edns < 0:
            return [answer]
        refusal = dns.message.make_response(query)
        if rcode < 16:
            refusal.use_edns(False)
        if bare:
            refusal.question = []
        refusal.set_rcode(rcode)
        return [refusal]

    _first, second, lookup = run(zone(TEXT), faults={"*": old})
    assert said(lookup.ask_authorities("a.example.com", "TXT")) == {
        "ns1.example.net.": ("here",), "ns2.example.net.": ("here",)}
    assert second.asked["a.example.com", "TXT"] == 2


def test_servers_that_ignore_edns_are_heard(run):
    def ignorant(_query, answer):
        answer.use_edns(False)
        return [answer]

    _first, _second, lookup = run(zone(TEXT), faults={"*": ignorant})
    assert {outcome.values for outcome in lookup.ask_authorities("a.example.com", "TXT")} == {("here",)}


def test_servers_that_drop_edns_are_silent_for_us_as_for_others(run):
    _first, _second, lookup = run(zone({}), faults={"*": lambda query, answer: [] if query.edns >= 0 else [answer]})
    lookup.authorities("example.com")
    lookup.timeout = 0.3
    assert said(lookup.ask_authorities("a.example.com", "TXT")) == {
        "ns1.example.net.": Kind.NO_NAME, "ns2.example.net.": "no answer within 0.3 s"}


@pytest.mark.parametrize("shape", [str.upper, str.title, str.swapcase])
def test_servers_that_repeat_the_question_in_another_case_are_heard(run, shape):
    def shouting(_query, answer):
        wire, name = answer.to_wire(), b"\1a\7example\3com"
        return [wire.replace(name, bytes(shape(name.decode()), "ascii"), 1)]

    _first, _second, lookup = run(zone(TEXT), faults={("a.example.com", "TXT"): shouting})
    assert {outcome.values for outcome in lookup.ask_authorities("a.example.com", "TXT")} == {("here",)}


class OverUdpOnly:
    """A server that cuts every answer, and does not listen for TCP."""

    def __init__(self):
        self._stream = socket.socket()  # nobody else listens there either
        self._stream.bind(("127.0.0.1", 0))
        self.server = Server(*self._stream.getsockname())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(self._stream.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, place = self._socket.recvfrom(65535)
            except OSError:
                return
            answer = dns.message.make_response(dns.message.from_wire(query))
            answer.flags |= dns.flags.TC | dns.flags.AA
            self._socket.sendto(answer.to_wire(), place)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._socket.close()
        self._stream.close()


def test_a_truncated_answer_without_tcp_is_silence():
    with OverUdpOnly() as cut, Lookup([cut.server]) as lookup:
        outcome = lookup.ask("a.example.com", "TXT")
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, "truncated over UDP, and over TCP: Connection refused")


def test_what_an_alias_leads_to_is_asked_of_its_own_servers_only(run):
    """A server may still have what another zone had long ago."""
    zones = zone({"b.example.com": {"CNAME": ["b.example.org."]}, "x.example.com": {"DNAME": ["example.org."]}})
    there = {"example.org": {"example.org": {"NS": ["ns1.example.net."]}, "b.example.org": {"TXT": ["new"]}}}
    stale = {"example.org": {"example.org": {"NS": BOTH}, "b.example.org": {"TXT": ["old"]}}}
    _first, second, lookup = run(zones | there, zones | stale)
    for name in ("b.example.com", "b.x.example.com"):
        outcomes = lookup.ask_authorities(name, "TXT")
        assert {outcome.values for outcome in outcomes} == {("new",)}
        assert {outcome.chain for outcome in outcomes} == {("b.example.org.",)}
    assert ("b.example.org", "TXT") not in second.asked


def test_who_said_what_an_alias_leads_to_is_told_where_its_own_servers_are_silent(run):
    zones = zone({"b.example.com": {"CNAME": ["b.example.org."]}}, ["ns1.example.net."])
    there = {"example.org": {"example.org": {"NS": ["gone.example.net."]}, "b.example.org": {"TXT": ["x"]}}}
    first, _second, lookup = run(zones | there)
    (outcome,) = lookup.ask_authorities("b.example.com", "TXT")
    assert outcome.values == ("x",)
    assert outcome.server == f"ns1.example.net. ({first.server}), and of {first.server} for b.example.org."


def test_what_stands_beside_an_answer_counts_for_nothing(run):
    """Addresses of other names, given unasked, lead nobody astray."""
    def generous(query, answer):
        owner = query.question[0].name
        if owner.to_text() != "ns1.example.net.":
            answer.answer.append(dns.rrset.from_text("ns1.example.net.", 60, "IN", "A", "127.0.0.66"))
            answer.additional.append(dns.rrset.from_text("ns1.example.net.", 60, "IN", "A", "127.0.0.66"))
        answer.authority.append(dns.rrset.from_text("com.", 60, "IN", "NS", "evil.example."))
        answer.additional.append(dns.rrset.from_text(owner, 60, "IN", "TXT", "forged"))
        return [answer]

    first, _second, lookup = run(zone(TEXT), faults={"*": generous})
    first.faults["*"] = generous
    assert {outcome.values for outcome in lookup.ask_authorities("a.example.com", "TXT")} == {("here",)}
    assert {server.address for server in lookup.authorities("example.com").servers} == {"127.0.0.1", "127.0.0.2"}


@pytest.mark.parametrize("minimum", [0, 1, 2**31, 2**32 - 1])
def test_a_soa_of_any_minimum_denies_and_is_asked_once(run, minimum):
    zones = zone({})
    zones["example.com"]["example.com"]["SOA"] = [f"ns1.example.net. h.example.net. 1 1 1 1 {minimum}"]
    _first, second, lookup = run(zones)
    for _again in range(2):
        assert {outcome.kind for outcome in lookup.ask_authorities("a.example.com", "TXT")} == {Kind.NO_NAME}
    assert second.asked["a.example.com", "TXT"] == 1
