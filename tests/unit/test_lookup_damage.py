# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers that are damaged or hostile end in an outcome, in bounded time."""

from __future__ import annotations

import socket
import struct
import time
from types import SimpleNamespace

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver, cut, rdata

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_message, dns_transport, dns_wire
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome

NAME = "a.example.com."
BY_NUMBER = {number: name for name, number in dns_message.TYPES.items()}
TYPES = ["A", "AAAA", "MX", "TXT", "PTR", "NS", "CNAME", "SOA", "DNAME", "SPF"]
ZONES = {
    "example.com": {
        "a.example.com": {"A": ["192.0.2.1"]},
        "huge.example.com": {"TXT": [cut("x" * 64000)]},
        "bytes.example.com": {"TXT": [[b"v=spf1 \x00\x1b\xff\xc3", b"\xa9 -all"]]},
    }
}


def whole(rdtype, answer=(), authority=(), rcode=0, options=()):
    """Return the query for a name and what answers it with these sections; a line is `owner ttl type value`."""
    query = dns_wire.Query(NAME, rdtype, True)
    message = dns.message.make_response(dns.message.from_wire(query.wire), recursion_available=True)
    for section, lines in ((message.answer, answer), (message.authority, authority)):
        for line in lines:
            owner, ttl, kind, value = line.split(" ", 3)
            section.append(dns.rrset.from_rdata(owner, int(ttl), rdata(kind, value)))
    message.set_rcode(rcode)
    if options:
        message.use_edns(0, options=list(options))
    return query, message.to_wire()


SOA = "example.com. 60 SOA ns.example.com. h.example.com. 1 2 3 4 5"
WHOLE = [
    whole("A", ["a.example.com. 60 A 192.0.2.1"]),
    whole("MX", ["a.example.com. 60 MX 10 mx.example.com.", "a.example.com. 60 MX 20 ."]),
    whole("TXT", ["a.example.com. 60 TXT v=spf1 -all", SOA], options=[dns.edns.EDEOption(3, "stale")]),
    whole("A", ["a.example.com. 60 CNAME b.example.com.", "b.example.com. 60 CNAME c.example.net."], [SOA], 3),
    whole("PTR", ["example.com. 60 DNAME example.net.", "a.example.net. 60 PTR a."]),
    whole("TXT", [], [SOA, "example.com. 60 NS ns.example.com."], 0),
    whole("A", [], [], 2, [dns.edns.EDEOption(6, "bogus"), dns.edns.EDEOption(22)]),
]


def read(query, wire, zone=None, rdtype="TXT"):
    """Return the outcome, or None where the bytes are no answer."""
    try:
        message = query.parse(wire)
    except ValueError:
        return None
    rdtype = BY_NUMBER[message.question[1]] if message.question else rdtype
    return dns_wire.read(message, Outcome(NAME, rdtype, Kind.VALUES, server="ns"), zone)


def holds(result):
    """Assert what is true of every outcome, whatever it was made of."""
    if result is None:
        return
    outcome, target = result
    assert outcome.said or outcome.cause
    assert not (outcome.values and target)
    assert bool(outcome.values) == (outcome.kind is Kind.VALUES and not target)
    assert 0 <= outcome.ttl <= 2**31 and len(outcome.chain) <= dns_wire.MAXIMUM_CHAIN + 1
    assert all(isinstance(value, str | Mx) for value in outcome.values)
    assert all(name == name.lower() and name.endswith(".") for name in (*outcome.chain, target or "."))


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=4)), max_size=4),
       st.one_of(st.none(), st.integers(0, 300)), st.sampled_from([None, "", "example.com.", "example.net."]))
def test_a_damaged_answer_is_read_or_refused(made, damage, end, zone):
    query, wire = made
    data = bytearray(wire)
    for at, octets in damage:
        at %= len(data)
        data[at : at + len(octets)] = octets
    holds(read(query, bytes(data[:end]), zone))


@given(st.binary(max_size=400))
def test_bytes_after_a_header_are_read_or_refused(rest):
    query, wire = WHOLE[2]
    holds(read(query, wire[:2] + b"\x81\x80" + rest))


LABELS = st.sampled_from(["a", "B", "c", "example", "com", "net", "x" * 63])
NAMES = st.lists(LABELS, max_size=5).map(lambda labels: ".".join([*labels, ""]) if labels else ".").filter(
    lambda name: len(name) < 254)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from(["CNAME", "DNAME", "NS", "PTR"]), NAMES),
    st.tuples(NAMES, st.just("TXT"), st.text(max_size=20)),
    st.tuples(NAMES, st.just("MX"), NAMES.map(lambda name: f"10 {name}")),
    st.tuples(NAMES, st.just("SOA"), NAMES.map(lambda name: f"{name} h. 1 2 3 4 5")),
).map(lambda line: f"{line[0]} 60 {line[1]} {line[2]}")


@given(st.sampled_from(TYPES), st.lists(LINES, max_size=6), st.lists(LINES, max_size=3), st.sampled_from([0, 2, 3, 6]),
       st.sampled_from([None, "", "example.com.", "."]))
def test_any_records_are_read(rdtype, answer, authority, rcode, zone):
    query, wire = whole(rdtype, ["a.example.com. 60 CNAME B.example.net.", *answer], authority, rcode)
    holds(read(query, wire, zone))


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # the question's name: a good one, to show that the others are refused for what they are
        b"\xc0\x20",  # points at itself
        b"\x01a\xc0\x20",  # a label, then itself
        b"\xc0\xff",  # points behind itself
        b"\x40a\x00",  # a kind of label that is none
        b"\x3fa\x00",  # longer than the message
    ],
)
def test_compression_that_leads_nowhere(name):
    query = dns_wire.Query(NAME, "A", True, edns=False)
    header = query.wire[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, 1, 0, 0)
    wire = header + query.wire[12:] + b"\x00" + name + b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
    good = header + query.wire[12:] + name + b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
    assert read(query, wire) is None
    if name == b"\xc0\x0c":
        assert read(query, good)[0].values == ("192.0.2.1",)
    else:
        assert read(query, good) is None


def test_a_message_of_65535_bytes_full_of_pointers_takes_no_time():
    query = dns_wire.Query(NAME, "TXT", True, edns=False)
    record = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x0c"  # an alias to itself, in 14 bytes
    count = (65535 - len(query.wire)) // len(record)
    wire = query.wire[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, count, 0, 0) + query.wire[12:] + record * count
    began = time.process_time()
    holds(read(query, wire))
    assert time.process_time() - began < 2


def ask(faults, name="a.example.com", rdtype="A", timeout=0.6):
    with Nameserver(ZONES, faults) as server, Lookup([server.server], timeout=timeout) as lookup:
        began = time.monotonic()
        outcome = lookup.ask(name, rdtype)
        assert time.monotonic() - began < timeout + 30
        return outcome


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("other address", "no answer within 0.6 s"),
        ("tcp never ends", "truncated over UDP, and over TCP: no answer within 0.6 s"),
        (lambda query, answer: [answer.to_wire()[:2] + b"\x80"], "it sent an answer with another identifier, or none"),
        (lambda query, answer: [query], "it sent an answer with another identifier, or none"),
        (lambda query, answer: [answer.to_wire() + b"more"], "it sent what is no DNS message"),
        (lambda query, answer: [b"\0" * 60000] * 200, "it sent an answer with another identifier, or none"),
    ],
)
def test_servers_that_do_not_answer(fault, cause):
    outcome = ask({"*": fault})
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, cause)


def test_a_flood_of_forgeries_does_not_hide_the_answer():
    def forged(query, answer):
        wire = answer.to_wire()
        return [bytes([wire[0] ^ number]) + wire[1:] for number in range(1, 250)] + [answer]

    assert ask({"*": forged}, timeout=30).values == ("192.0.2.1",)


def test_an_answer_that_came_in_time_counts_however_late_this_machine_reads_it():
    def parse(data):
        time.sleep(0.3)  # a busy machine gave the thread no processor
        return dns_wire.Query.parse(query, data)

    query = dns_wire.Query(NAME, "A", True)
    with Nameserver(ZONES, {"*": lambda _query, answer: [answer.to_wire()[:2] + b"\x80" * 20, answer]}) as server:
        assert dns_transport.exchange(server.server, query.wire, parse, 0.2, dns_transport.Sockets()).answer


class LateReader:
    """A connection behind whose question nothing is done until all of the answer is there, and its time is over."""

    def __init__(self, connection, clock):
        self.connection, self.clock = connection, clock

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.connection.close()

    def sendall(self, data):
        self.connection.sendall(data)
        there = self.connection.recv(2, socket.MSG_PEEK | socket.MSG_WAITALL)
        self.connection.recv(2 + int.from_bytes(there, "big"), socket.MSG_PEEK | socket.MSG_WAITALL)
        self.clock[0] += 1000


def test_over_tcp_too_what_came_in_time_counts_however_late_it_is_read(monkeypatch):
    clock, connect = [0], dns_transport._connect

    def connected(server, kind, timeout):
        connection = connect(server, kind, timeout)
        return LateReader(connection, clock) if kind == socket.SOCK_STREAM else connection

    monkeypatch.setattr(dns_transport, "_connect", connected)
    monkeypatch.setattr(dns_transport, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock[0]))
    with Nameserver(ZONES, {"*": "truncated"}) as server:
        query, sockets = dns_wire.Query(NAME, "A", True), dns_transport.Sockets()
        assert dns_transport.exchange(server.server, query.wire, query.parse, 60, sockets).answer


def test_a_socket_is_used_again_after_an_answer_and_not_for_ever():
    sockets = dns_transport.Sockets()
    with Nameserver(ZONES) as server:
        used = set()
        for _each in range(40):
            query = dns_wire.Query(NAME, "A", True)
            # Where the question is sent again, its socket is not kept: a busy machine has long until then.
            dns_transport.exchange(server.server, query.wire, query.parse, 60.0, sockets)
            kept = [connection for connection, _uses in sockets._kept[server.server]]
            used.update(connection.getsockname() for connection in kept)
    assert 2 <= len(used) <= 3 and len(kept) <= 1  # 16 queries each
    sockets.close()
    assert all(connection.fileno() == -1 for connection in kept)


def test_what_comes_late_answers_no_later_question():
    """A socket whose question was not answered is not used again."""
    sockets = dns_transport.Sockets()
    with Nameserver(ZONES, {"*": "timeout"}) as server:
        query = dns_wire.Query(NAME, "A", True)
        with pytest.raises(dns_transport.Silence):
            dns_transport.exchange(server.server, query.wire, query.parse, 0.2, sockets)
        assert not sockets._kept.get(server.server)


def test_what_answers_another_sending_is_not_taken_for_damage_to_a_later_answer():
    """Of a question that was sent twice two answers may come; a socket with one of them is not used again."""
    seen = set()

    def slow(query, answer):
        first = answer.id not in seen
        seen.add(answer.id)
        return [] if first else [answer, answer]

    sockets = dns_transport.Sockets()
    with Nameserver(ZONES, {"*": slow}) as server:
        query = dns_wire.Query(NAME, "A", True)
        assert dns_transport.exchange(server.server, query.wire, query.parse, 4.2, sockets).answer
        assert not sockets._kept.get(server.server)


def test_an_answer_to_a_question_in_another_type_or_class_is_none():
    def other(query, answer):
        answer.question = [dns.rrset.RRset(query.question[0].name, 3, query.question[0].rdtype)]
        return [answer]

    assert ask({"*": other}).cause == "it answered another question"


def test_an_answer_to_what_is_no_query_is_none():
    def notified(query, answer):
        answer.set_opcode(dns.opcode.NOTIFY)
        return [answer]

    assert ask({"*": notified}).cause == "it answered another question"


def test_a_txt_of_64_kilobytes_is_read_whole():
    (value,) = ask({}, "huge.example.com", "TXT", timeout=5).values
    assert value == "x" * 64000


def test_any_bytes_of_a_txt_can_be_shown():
    (value,) = ask({}, "bytes.example.com", "TXT").values
    assert value == "v=spf1 \x00\x1bÿÃ© -all"
    assert value.encode("utf-8")


@given(st.lists(st.binary(max_size=255), max_size=8))
def test_the_strings_of_a_txt_are_joined_byte_for_byte(strings):
    strings = strings or [b""]
    query, wire = whole("TXT", [f"{NAME} 60 TXT x"])
    message = dns.message.from_wire(wire)
    message.answer = [dns.rrset.from_rdata(NAME, 60, rdata("TXT", strings))]
    (value,) = read(query, message.to_wire())[0].values
    joined = b"".join(strings)
    assert joined in (value.encode("utf-8"), value.encode("latin-1", "replace"))
