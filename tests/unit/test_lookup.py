# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookups against a real name server on loopback."""

from __future__ import annotations

import errno
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import NEGATIVE_TTL, TTL, Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup as lookup_module
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup, absolute, resolvers
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Server

ZONE = {
    "example.com": {"TXT": ["v=spf1 -all", ["one ", "value"]], "MX": ["10 MX1.example.com.", "20 ."]},
    "a.example.com": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "alias.example.com": {"CNAME": ["a.example.com."]},
    "out.example.com": {"CNAME": ["target.example.net."]},
    "nowhere.example.com": {"CNAME": ["none.example.com."]},
    "loop1.example.com": {"CNAME": ["loop2.example.com."]},
    "loop2.example.com": {"CNAME": ["loop1.example.com."]},
    "self.example.com": {"CNAME": ["self.example.com."]},
    "utf8.example.com": {"TXT": [["v=café ".encode(), b"\x00"]]},
    "latin.example.com": {"TXT": [b"caf\xe9"]},
    "huge.example.com": {"TXT": ["x" * 60000]},
    "deep.empty.example.com": {"A": ["192.0.2.9"]},
    **{f"hop{number}.example.com": {"CNAME": [f"hop{number + 1}.example.com."]} for number in range(12)},
}
ZONES = {
    "example.com": ZONE,
    "example.net": {"target.example.net": {"TXT": ["far"]}},
    "2.0.192.in-addr.arpa": {"1.2.0.192.in-addr.arpa": {"PTR": ["A.example.com."]}},
}


@pytest.fixture
def run():
    """Return a function that starts a server with faults and gives it and a lookup that asks it."""
    started = []

    def start(faults=None, timeout=5.0, zones=None, **options):
        server = Nameserver(zones or ZONES, faults, **options).__enter__()
        lookup = Lookup([server.server], timeout=timeout).__enter__()
        started.extend([lookup, server])
        return server, lookup

    yield start
    for item in started:
        item.__exit__()


@pytest.mark.parametrize(
    "name, rdtype, kind, values, chain",
    [
        ("a.example.com", "A", Kind.VALUES, ("192.0.2.1", "192.0.2.2"), ()),
        ("A.EXAMPLE.com.", "AAAA", Kind.VALUES, ("2001:db8::1",), ()),
        ("example.com", "TXT", Kind.VALUES, ("v=spf1 -all", "one value"), ()),
        ("example.com", "MX", Kind.VALUES, (Mx(10, "mx1.example.com."), Mx(20, ".")), ()),
        ("1.2.0.192.in-addr.arpa", "PTR", Kind.VALUES, ("a.example.com.",), ()),
        ("alias.example.com", "A", Kind.VALUES, ("192.0.2.1", "192.0.2.2"), ("a.example.com.",)),
        ("out.example.com", "TXT", Kind.VALUES, ("far",), ("target.example.net.",)),
        ("a.example.com", "TXT", Kind.NO_DATA, (), ()),
        ("alias.example.com", "TXT", Kind.NO_DATA, (), ("a.example.com.",)),
        ("empty.example.com", "A", Kind.NO_DATA, (), ()),
        ("none.example.com", "A", Kind.NO_NAME, (), ()),
        ("nowhere.example.com", "A", Kind.NO_NAME, (), ("none.example.com.",)),
        ("utf8.example.com", "TXT", Kind.VALUES, ("v=café \0",), ()),
        ("latin.example.com", "TXT", Kind.VALUES, ("café",), ()),
        ("huge.example.com", "TXT", Kind.VALUES, ("x" * 60000,), ()),
    ],
)
def test_outcome(run, name, rdtype, kind, values, chain):
    server, lookup = run()
    outcome = lookup.ask(name, rdtype)
    assert (outcome.kind, outcome.values, outcome.chain) == (kind, tuple(sorted(values)), chain)
    assert outcome.server == str(server.server) and outcome.said


def test_an_outcome_in_words_is_short(run):
    _server, lookup = run()
    assert str(lookup.ask("a.example.com", "A")) == "192.0.2.1, 192.0.2.2"
    assert str(lookup.ask("example.com", "MX")) == "10 mx1.example.com., 20 ."
    assert str(lookup.ask("huge.example.com", "TXT")) == "x" * 1000 + "… (1 values, 60,000 characters)"


@pytest.mark.parametrize("name", ["a..example.com", f"{'a' * 64}.example.com", ".".join(["a" * 60] * 5), ".a"])
def test_a_name_that_nobody_can_publish_is_no_such_name(run, name):
    server, lookup = run()
    assert lookup.ask(name, "A").kind is Kind.NO_NAME
    assert server.queries == 0


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("timeout", "no answer within 0.6 s"),
        ("servfail", "SERVFAIL"),
        ("refused", "REFUSED"),
        ("wrong id", "it sent an answer with another identifier, or none"),
        ("other question", "it answered another question"),
        ("garbage", "it sent what is no DNS message"),
        ("cut", "it sent what is no DNS message"),
        ("lame", "it refers to other servers instead of answering"),
        ("truncated for ever", "its answer is truncated over TCP too"),
        ("truncated, no tcp", "it closed the TCP connection before its answer ended"),
    ],
)
def test_did_not_say(run, fault, cause):
    server, lookup = run({"a.example.com": fault}, timeout=0.6)
    outcome = lookup.ask("a.example.com", "A")
    assert (outcome.kind, outcome.cause, outcome.server) == (Kind.SILENT, cause, str(server.server))
    assert str(outcome) == f"{server.server} did not say: {cause}"


@pytest.mark.parametrize("fault", ["first lost", "formerr edns", "truncated", "wrong id first", "garbage first"])
def test_faults_that_are_overcome(run, fault):
    server, lookup = run({"a.example.com": fault}, timeout=3)
    assert lookup.ask("a.example.com", "A").values == ("192.0.2.1", "192.0.2.2")
    assert server.tcp["a.example.com", "A"] == (fault == "truncated")
    assert server.asked["a.example.com", "A"] == (1 if "first" in fault else 2)
    assert server.again["a.example.com", "A"] >= (fault == "first lost")


@pytest.mark.parametrize("name", ["loop1.example.com", "self.example.com", "hop0.example.com"])
def test_aliases_without_end(run, name):
    _server, lookup = run()
    outcome = lookup.ask(name, "A")
    assert outcome.kind is Kind.SILENT and "CNAMEs lead in a loop or through over 10 names" in outcome.cause
    assert lookup.ask("hop4.example.com", "A").kind is Kind.NO_NAME  # 8 names are not too many


def test_closed_port_is_silence_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    began = time.monotonic()
    with Lookup([Server("127.0.0.1", port)], timeout=60) as lookup:
        assert lookup.ask("a.example.com", "A").cause == "Connection refused"
    assert time.monotonic() - began < 50


class NoIpv6(socket.socket):
    """What the kernel says where there is no route; a real packet to a foreign address must not leave a test."""

    def connect(self, address):
        if self.family == socket.AF_INET6:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        super().connect(address)


def test_an_address_family_without_a_way_is_said_so(two, monkeypatch):
    first, _second, lookup = two
    monkeypatch.setattr(socket, "socket", NoIpv6)
    outcome = lookup.ask("a.example.com", "A", Server("::1", first.port))
    assert (outcome.kind, outcome.cause, outcome.unroutable) == (Kind.SILENT, "Network is unreachable", True)
    # ns2 has an IPv6 address, too; it answered over IPv4.
    assert [outcome.said for outcome in lookup.ask_authorities("example.com", "TXT")] == [True, True]


def test_the_next_resolver_is_asked_where_one_does_not_say(run):
    broken, _lookup = run({"*": "refused"})
    good, _lookup = run()
    with Lookup([broken.server, good.server]) as lookup:
        outcome = lookup.ask("a.example.com", "A")
        assert (outcome.kind, outcome.server) == (Kind.VALUES, str(good.server))
    with Lookup([broken.server, broken.server]) as lookup:
        assert lookup.ask("a.example.com", "A").cause == "; ".join([f"{broken.server}: REFUSED"] * 2)


def test_ipv6_server(run):
    server, lookup = run(address="::1")
    assert lookup.ask("a.example.com", "A").kind is Kind.VALUES
    assert str(server.server) == f"[::1]:{server.port}"


def test_every_answer_is_asked_for_once(run):
    server, lookup = run()
    for _round in range(3):
        for name in ("a.example.com", "A.Example.Com.", "none.example.com"):
            lookup.ask(name, "A")
        lookup.ask("a.example.com", "TXT")
    assert server.queries == 3
    assert lookup.ask("a.example.com", "A").ttl == TTL and lookup.ask("none.example.com", "A").ttl == NEGATIVE_TTL
    lookup.forget()
    lookup.ask("a.example.com", "A")
    assert server.queries == 4


def test_answers_run_out(run, monkeypatch):
    server, lookup = run()
    lookup.ask("a.example.com", "A")
    lookup.ask("none.example.com", "A")
    now = time.monotonic()
    monkeypatch.setattr(lookup_module.time, "monotonic", lambda: now + NEGATIVE_TTL + 1)
    lookup.ask("a.example.com", "A")
    lookup.ask("none.example.com", "A")
    assert server.asked["a.example.com", "A"] == 1 and server.asked["none.example.com", "A"] == 2


def test_one_question_is_in_flight_once(run):
    server, lookup = run(latency=0.1, timeout=5)
    threads = [threading.Thread(target=lookup.ask, args=("a.example.com", "A")) for _number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.queries == 1


def test_questions_run_side_by_side_and_may_nest(run):
    server, lookup = run(latency=0.05)
    outcomes = lookup.each(
        lambda outer: lookup.each(lambda inner: lookup.ask(f"{outer}.{inner}.example.com", "A"), range(10)), range(20)
    )
    assert all(outcome.kind is Kind.NO_NAME for inner in outcomes for outcome in inner)
    assert server.queries == 200
    assert server.most_at_once > 4


def test_the_run_has_a_deadline(run):
    server, _lookup = run({"*": "timeout"})
    began = time.monotonic()
    with Lookup([server.server], timeout=60, deadline=0.3) as lookup:
        outcomes = lookup.each(lambda number: lookup.ask(f"{number}.example.com", "A"), range(200))
        # A server that was not given its time is not called dead.
        assert lookup.ask("last.example.com", "A").cause == "the deadline of 0.3 s for the whole run had passed"
    assert time.monotonic() - began < 60  # 200 questions of 60 s
    assert {outcome.kind for outcome in outcomes} == {Kind.SILENT}
    assert "the deadline of 0.3 s for the whole run had passed" in {outcome.cause for outcome in outcomes}


DELEGATION = {
    "": {"": {}, "ns1.example.com": {"A": ["127.0.0.1"]}},
    "example.com": {
        "example.com": {"NS": ["ns1.example.com.", "ns2.example.com."], "TXT": ["here"]},
        "ns1.example.com": {"A": ["127.0.0.1"]},
        "ns2.example.com": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
        "alias.example.com": {"CNAME": ["elsewhere.example.net."]},
    },
    "example.net": {
        "example.net": {"NS": ["ns3.example.net.", "ns4.example.net."]},
        "elsewhere.example.net": {"TXT": ["there"]},
        "ns3.example.net": {"A": ["127.0.0.9"]},
    },
}


@pytest.fixture
def two(run):
    """Return two authoritative servers on one port, the second with another value, and a lookup that asks them."""
    first, _lookup = run(zones=DELEGATION)
    other = {
        "example.com": DELEGATION["example.com"]
        | {"example.com": {"NS": ["ns1.example.com.", "ns2.example.com."], "TXT": ["other"]}}
    }
    second, _lookup = run(zones=other, address="127.0.0.2", port=first.port)
    with Lookup([first.server], timeout=5, authority_port=first.port) as lookup:
        yield first, second, lookup


def test_authorities_are_found_and_asked(two):
    first, second, lookup = two
    authorities = lookup.authorities("selector._domainkey.example.com")
    assert authorities.zone == "example.com."
    assert {server.address for server in authorities.servers} == {"127.0.0.1", "127.0.0.2", "::1"}
    assert authorities.silent == ()
    outcomes = {
        outcome.server: outcome.values for outcome in lookup.ask_authorities("example.com", "TXT") if outcome.said
    }
    assert outcomes == {
        f"ns1.example.com. (127.0.0.1:{first.port})": ("here",),
        f"ns2.example.com. (127.0.0.2:{first.port})": ("other",),
    }


def test_an_authoritative_alias_is_followed_through_the_resolver(two):
    _first, _second, lookup = two
    outcome = lookup.ask("alias.example.com", "TXT", Server("127.0.0.2", lookup.authority_port, "ns2.example.com."))
    assert (outcome.values, outcome.chain) == (("there",), ("elsewhere.example.net.",))
    assert outcome.server.startswith("ns2.example.com.")


def test_a_server_without_authority_is_lame(two):
    _first, second, lookup = two
    second.faults["example.com"] = "lame"
    silent = [outcome for outcome in lookup.ask_authorities("example.com", "TXT") if not outcome.said]
    assert "lame: it does not answer with authority" in [outcome.cause for outcome in silent]


def test_name_servers_that_cannot_be_found_are_named(two):
    first, _second, lookup = two
    first.faults["ns3.example.net", "A"] = "servfail"
    silent = lookup.authorities("www.example.net").silent
    assert {(outcome.name, outcome.cause) for outcome in silent} == {
        ("ns3.example.net.", "SERVFAIL"),
        ("ns4.example.net.", "the name server has no address"),
    }
    first.faults["*"] = "timeout"
    lookup.timeout = 0.3
    lookup.forget()
    assert lookup.authorities("www.example.net").silent[0].kind is Kind.SILENT


@pytest.mark.parametrize(
    "text, server",
    [
        ("192.0.2.1", Server("192.0.2.1")),
        ("192.0.2.1:5353", Server("192.0.2.1", 5353)),
        ("2001:DB8::1", Server("2001:db8::1")),
        ("[2001:db8::1]:5353", Server("2001:db8::1", 5353)),
        ("[2001:db8::1]", Server("2001:db8::1")),
    ],
)
def test_resolver_texts(text, server):
    assert Server.parse(text) == server
    assert Server.parse(str(server)) == server


def test_wrong_resolver_texts_are_all_named():
    texts = ["ns.example.com", "192.0.2.1:0", "192.0.2.1:99999", "[192.0.2.1]:53", "", "192.0.2.256", "1:2:3"]
    with pytest.raises(ValueError) as caught:
        resolvers(["192.0.2.1", *texts])
    assert all(repr(text) in str(caught.value) for text in texts)


def test_names_are_compared_as_dns_does():
    assert absolute("WWW.Example.COM") == absolute("www.example.com.") == "www.example.com."


class Mangler(Nameserver):
    """A name server that damages its answers: what is written at a place, and where they are cut."""

    damage: tuple[int, bytes, int] = (0, b"", 65535)

    def answers(self, wire, over_tcp):
        at, octets, end = self.damage
        return [
            bytes(answer[:2]) + (answer[2 : 2 + at] + octets + answer[2 + at + len(octets) :])[:end]
            for answer in super().answers(wire, over_tcp)
        ]


@given(
    st.integers(0, 200),
    st.binary(max_size=6),
    st.one_of(st.just(65535), st.integers(0, 200)),
    st.sampled_from([("a.example.com", "A"), ("example.com", "TXT"), ("example.com", "MX"), ("hop4.example.com", "A")]),
)
def test_damaged_answers_end_in_an_outcome_in_bounded_time(at, octets, end, question):
    with Mangler(ZONES) as server, Lookup([server.server], timeout=0.03) as lookup:
        server.damage = at, octets, end
        began = time.monotonic()
        outcome = lookup.ask(*question)
        assert time.monotonic() - began < 20
        assert outcome.said or outcome.cause
