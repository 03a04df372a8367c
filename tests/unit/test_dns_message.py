# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages read as dnspython reads them, and in no more time, whatever they hold."""

from __future__ import annotations

import struct
import time

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import rdata

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_message
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_message import FormatError

LABELS = st.one_of(st.sampled_from([b"a", b"B", b"example", b"com", b"_dmarc", b"x" * 63]),
                   st.binary(min_size=1, max_size=8))
NAMES = st.lists(LABELS, max_size=5).filter(lambda labels: sum(map(len, labels)) + len(labels) < 255).map(
    lambda labels: dns.name.Name([*labels, b""]))
ADDRESSES = st.sampled_from(["2001:db8::1", "::1", "::", "::ffff:192.0.2.1", "fe80::1:0:0:1", "1:0:0:2::", "::1.2.3.4"])
RECORDS = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("AAAA"), st.one_of(ADDRESSES, st.ip_addresses(v=6).map(str))),
    st.tuples(st.sampled_from(["CNAME", "DNAME", "NS", "PTR"]), NAMES.map(dns.name.Name.to_text)),
    st.tuples(st.just("MX"), NAMES.map(lambda name: f"7 {name}")),
    st.tuples(st.just("SOA"), NAMES.map(lambda name: f"{name} h. 1 2 3 4 5")),
    st.tuples(st.sampled_from(["TXT", "SPF"]), st.lists(st.binary(max_size=255), min_size=1, max_size=3)),
    st.tuples(st.just("SRV"), NAMES.map(lambda name: f"1 2 3 {name}")),
)
SETS = st.lists(st.tuples(NAMES, st.integers(0, 2**31 - 1), RECORDS), max_size=5)


def written(question, sections, flags, rcode, errors=()):
    """Return a message as dnspython writes it, compressed."""
    message = dns.message.Message(7)
    message.flags = flags & 0x87B0
    message.question = [dns.rrset.RRset(question, dns.rdataclass.IN, dns.rdatatype.TXT)]
    for section, records in zip((message.answer, message.authority, message.additional), sections):
        for owner, ttl, (kind, value) in records:
            section.append(dns.rrset.from_rdata(owner, ttl, rdata(kind, value)))
    message.set_rcode(rcode)
    if errors or rcode > 15:
        message.use_edns(0, options=[dns.edns.EDEOption(code, said) for code, said in errors])
    return message.to_wire(max_size=65535)


def labels(name):
    return tuple(label.lower() for label in name.labels[:-1])


def shown(item):
    """Return a value of dnspython's as ours has it."""
    match dns.rdatatype.to_text(item.rdtype):
        case "A" | "AAAA":
            return item.address
        case "NS" | "CNAME" | "PTR" | "DNAME":
            return labels(item.target)
        case "MX":
            return item.preference, labels(item.exchange)
        case "SOA":
            return item.minimum
    said = b"".join(item.strings)
    try:
        return said.decode("utf-8")
    except UnicodeDecodeError:
        return said.decode("latin-1")


def as_dnspython(wire):
    """Return all that is compared, as dnspython reads it; None where it is no message to it."""
    try:
        message = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    sections = [{(labels(rrset.name), rrset.rdtype): (rrset.ttl, {shown(item) for item in rrset})
                 for rrset in section if rrset.rdclass == 1 and rrset.rdtype in dns_message.TYPES.values()}
                for section in (message.answer, message.authority, message.additional)]
    return int(message.rcode()), [(labels(item.name), item.rdtype, item.rdclass) for item in message.question], sections


def as_ours(wire):
    try:
        message = dns_message.parse(wire)
    except FormatError:
        return None
    sections = []
    for section in (message.answer, message.authority, message.additional):
        sections.append(found := {})
        for owner, rdtype, ttl, value in section:
            # Of a type that stands alone the last one counts.
            alone = rdtype in (dns_message.CNAME, dns_message.DNAME, dns_message.SOA)
            least, values = found.get((owner, rdtype), (ttl, set()))
            found[owner, rdtype] = min(least, ttl), {value} if alone else values | {value}
    return message.rcode, [message.question] if message.question else [], sections


ERRORS = st.lists(st.tuples(st.integers(0, 40), st.text(max_size=9).filter(lambda said: "\0" not in said)), max_size=2)
MESSAGES = st.builds(written, NAMES, st.tuples(SETS, SETS, SETS), st.integers(0, 0xFFFF),
                     st.sampled_from([0, 2, 3, 16]), ERRORS)


@given(MESSAGES)
def test_messages_are_read_as_dnspython_reads_them(wire):
    ours = as_ours(wire)
    assert ours is not None and ours == as_dnspython(wire)


@given(MESSAGES, st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=3)), min_size=1, max_size=3),
       st.one_of(st.none(), st.integers(0, 400)))
def test_damaged_messages_are_refused_or_read_alike(wire, damage, end):
    data = bytearray(wire)
    for at, octets in damage:
        at %= len(data)
        data[at : at + len(octets)] = octets
    data = bytes(data[:end])
    ours, theirs = as_ours(data), as_dnspython(data)
    if ours is not None and theirs is not None:
        assert ours == theirs


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(data):
    as_ours(data)
    as_ours(struct.pack("!HHHHHH", 1, 0x8180, 1, 3, 3, 3) + data)


@given(NAMES, st.sampled_from(["A", "TXT", "MX"]), st.booleans(), st.booleans())
def test_questions_are_written_as_dnspython_reads_them(name, rdtype, recursive, edns):
    wire = dns_message.query(4711, labels(name), dns_message.TYPES[rdtype], recursive, edns)
    read = dns.message.from_wire(wire)
    assert (read.id, read.question[0].name, dns.rdatatype.to_text(read.question[0].rdtype)) == (4711, name, rdtype)
    assert bool(read.flags & dns.flags.RD) is recursive
    assert (read.edns, read.payload) == ((0, dns_message.PAYLOAD) if edns else (-1, 0))


@given(NAMES)
def test_names_are_written_as_dnspython_writes_them(name):
    assert dns_message.text(labels(name)) == name.to_text().lower()


def test_extended_errors():
    wire = written(dns.name.from_text("a."), [[], [], []], 0x8180, 2, [(6, "why"), (22, None)])
    assert dns_message.parse(wire).errors == [(6, "why"), (22, "")]


@pytest.mark.parametrize("zone, inside", [
    ((b"example", b"com"), True), ((), True), ((b"a", b"example", b"com"), True), ((b"le", b"com"), False),
    ((b"b", b"a", b"example", b"com"), False), ((b"com", b"example"), False), ((b"a\\.example", b"com"), False),
])
def test_what_is_within_a_zone(zone, inside):
    assert dns_message.within((b"a", b"example", b"com"), zone) is inside


def header(answers):
    return struct.pack("!HHHHHH", 1, 0x8180, 1, answers, 0, 0) + b"\1a\0" + b"\0\1\0\1"


ALIAS = b"\0\5\0\1\0\0\0\x3c\0\2"  # type, class, TTL, length of a CNAME that is a pointer


@pytest.mark.parametrize("wire", [
    header(1) + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\3\1\2\3",  # an address of three bytes
    header(1) + b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\0",  # a TXT without a string
    header(1) + b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\2\5a",  # a string longer than its TXT
    header(1) + b"\xc0\x0c" + ALIAS + b"\xc0\xff",  # a pointer behind the end
    header(1) + b"\xc0\x13" + ALIAS + b"\xc0\x0c",  # a pointer at itself
    header(1) + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\3\xc0\x0c\0",  # a name that ends before its record
    header(0) + b"\0",  # something behind the end
    header(1),  # a record too few
    b"", b"\0" * 11,
])
def test_what_is_no_message(wire):
    with pytest.raises(FormatError):
        dns_message.parse(wire)


def test_a_chain_of_pointers_takes_no_time():
    """Every name would be followed back through the whole message, pointer by pointer."""
    count, first = 8000, len(header(0)) + 2 + 10  # where the chain begins, behind the owner and what follows it
    places = [12, *range(first, first + 2 * (count - 1), 2)]
    chain = b"".join(struct.pack("!H", 0xC000 | place) for place in places)
    holder = b"\xc0\x0c" + struct.pack("!HHIH", 42, 255, 0, len(chain)) + chain  # of a type and class that is not read
    alias = struct.pack("!H", 0xC000 | first + 2 * (count - 1)) + ALIAS + b"\xc0\x0c"
    began = time.thread_time()  # others may have the processor meanwhile
    with pytest.raises(FormatError):
        dns_message.parse(header(1 + 3000) + holder + alias * 3000)
    assert time.thread_time() - began < 1
    # As many as a name may need are followed.
    near = struct.pack("!H", 0xC000 | first + 2 * 125) + ALIAS + b"\xc0\x0c"
    assert len(dns_message.parse(header(1 + 3000) + holder + near * 3000).answer) == 3000
