# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Composed SPF: who matches it, how long its answers are, how many lookups it takes, how little a new server moves."""
import ipaddress
import random

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import (
    MAX_ANSWER,
    MAX_LOOKUPS,
    CannotCompose,
    answer_size,
    compose,
    rr_size,
    tree_lookups,
)


def contiguous(count):
    return [
        address
        for at in range(count)
        for address in (f"198.51.{100 + at // 250}.{at % 250 + 1}", f"2001:db8:61::{at + 1:x}")
    ]


def scattered(count, seed=1):
    rnd = random.Random(seed)
    return [
        address
        for _at in range(count)
        for address in (
            str(ipaddress.IPv4Address(rnd.randrange(1 << 24, 220 << 24))),
            f"2001:db8:{rnd.randrange(1 << 16):x}::{rnd.randrange(1 << 16):x}",
        )
    ]


def passes(records, address, name=None):
    """Whether SPF passes, by the composed records alone; the plainest reading of RFC 7208 4.6 and 5."""
    values = {record.owner: record.value for record in records}
    for term in values[name or records[0].owner].split()[1:]:
        word, _colon, rest = term.partition(":")
        if word in ("ip4", "ip6") and ipaddress.ip_address(address) in ipaddress.ip_network(rest):
            return True
        if word == "include" and rest + "." in values and passes(records, address, rest + "."):
            return True
    return False


def wire_size(record):
    """Octets of the answer as a name server sends it, to a query with EDNS."""
    query = dns.message.make_query(record.owner, "TXT", use_edns=0)
    response = dns.message.make_response(query, our_payload=1232)
    response.answer.append(dns.rrset.from_text(record.owner, record.ttl, "IN", "TXT", record.rdata))
    return len(response.to_wire())


def assert_limits(records, costs=None):
    assert all(wire_size(record) == answer_size(record.owner, [record.value]) for record in records)
    assert all(wire_size(record) < MAX_ANSWER for record in records)
    assert tree_lookups(records, costs) <= MAX_LOOKUPS


@pytest.mark.parametrize(
    ("addresses", "lookups", "sizes"),
    [
        (contiguous(1), 0, [100]),
        (contiguous(30), 0, [403]),
        (contiguous(200), 2, [116, 278, 293]),
        (scattered(30), 4, [168, 317, 353, 436, 440]),
        (scattered(80), 10, None),
    ],
    ids=["1 server", "30 servers", "200 servers", "30 scattered servers", "80 scattered servers"],
)
def test_figures(addresses, lookups, sizes):
    records = compose("example.com", addresses)
    assert_limits(records)
    found = [wire_size(record) for record in records]
    print(f"{len(addresses) // 2} dual-stack servers: {tree_lookups(records)} lookups, answers of {found} octets")
    assert tree_lookups(records) == lookups
    assert sizes is None or found == sizes
    assert all(passes(records, address) for address in addresses)


def test_200_scattered_servers_cannot_be_composed_and_the_message_has_the_figures():
    with pytest.raises(CannotCompose, match=r"400 networks of \d+ octets take 23 lookups") as caught:
        compose("example.com", scattered(200))
    assert caught.value.lookups == 23


ipv4 = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
close4 = st.integers(0, 63).map(lambda number: str(ipaddress.ip_address("198.51.100.0") + number))
close6 = st.integers(0, 63).map(lambda number: str(ipaddress.ip_address("2001:db8::") + number))
addresses = st.sets(st.one_of(ipv4, close4, close6), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(addresses, st.sampled_from(["example.com", "bounces.mail.transactional.a-rather-long-name.example"]))
def test_exactly_the_given_addresses_match(given_set, owner):
    records = compose(owner, given_set)
    assert_limits(records)
    assert all(passes(records, address) for address in given_set)
    neighbours = {
        str(near)
        for address in map(ipaddress.ip_address, given_set)
        for step in (-1, 1, 2, 16, 64)
        if 0 <= int(address) + step < 2**address.max_prefixlen
        for near in [address + step]
    }
    assert not any(passes(records, address) for address in neighbours - set(given_set))
    networks = [
        ipaddress.ip_network(term[4:])
        for record in records
        for term in record.value.split()
        if term.startswith(("ip4:", "ip6:"))
    ]
    assert sum(network.num_addresses for network in networks) == len(given_set)


@settings(max_examples=25, deadline=None)
@given(st.permutations(scattered(12)))
def test_the_order_of_the_inventory_does_not_matter(shuffled):
    assert compose("example.com", shuffled + shuffled[:3]) == compose("example.com", scattered(12))


def test_a_server_that_joins_moves_little():
    changed = []
    for seed in range(20):
        before = {record.owner: record for record in compose("example.com", scattered(30, seed))}
        after = compose("example.com", [*scattered(30, seed), "203.0.113.77", "2001:db8:abcd::77"])
        changed.append(sum(before.get(record.owner) != record for record in after))
    print(f"records changed of 5, when a 31st scattered server joins, by 20 fleets: {sorted(changed)}")
    assert sorted(changed)[10] <= 3


def test_auxiliary_domains():
    (record,) = compose("example.us.", [], include=["example.com"])
    assert (record.owner, record.value) == ("example.us.", "v=spf1 include:example.com ~all")
    (record,) = compose("example.us.", [], redirect="Example.com.", all="fail")
    assert record.value == "v=spf1 redirect=example.com"
    (record,) = compose("silent.example", [], all="fail")
    assert record.value == "v=spf1 -all"


def test_terms_stand_in_the_order_of_their_cost():
    (record,) = compose(
        "example.com", ["198.51.100.11", "2001:db8::1", "198.51.100.10"],
        extra_mechanisms=["exists:%{i}.list.example"], include=["other.example"], all="neutral", ttl=300, reason="why",
    )
    assert record.value == (
        "v=spf1 ip4:198.51.100.10/31 ip6:2001:db8::1 exists:%{i}.list.example include:other.example ?all"
    )
    assert (record.ttl, record.reason) == (300, "why")


def test_lookups_of_what_is_included_count():
    costs = {"other.example.": 3, "Third.example": 2}
    records = compose("example.com", contiguous(1), include=["other.example"], redirect="third.example", costs=costs)
    assert tree_lookups(records, costs) == 7
    with pytest.raises(CannotCompose, match="what it includes takes 11 lookups, 10 are allowed") as caught:
        compose("example.com", contiguous(1), include=["other.example"], costs={"other.example": 10})
    assert caught.value.lookups == 11
    with pytest.raises(CannotCompose, match="take 4 lookups, of 10 allowed 3 are left"):
        compose("example.com", scattered(30), include=["other.example"], costs={"other.example": 6})


def test_a_long_owner_needs_a_second_level():
    owner = "bounces.mail.transactional.a-rather-long-name.example"
    records = compose(owner, scattered(40))
    assert_limits(records)
    assert [record.owner.split(".")[0] for record in records[1:3]] == ["_spfg1", "_spfg2"]
    assert all(passes(records, address) for address in scattered(40))


def test_other_values_in_the_answer_are_reckoned_with():
    addresses = scattered(8)
    assert len(compose("example.com", addresses)) == 1
    others = ["google-site-verification=" + "x" * 43, "MS=ms12345678"]
    octets = sum(map(rr_size, others))
    records = compose("example.com", addresses, other_octets=octets)
    assert len(records) > 1
    assert answer_size("example.com", [records[0].value, *others]) < MAX_ANSWER
    assert all(passes(records, address) for address in addresses)


def test_where_other_values_leave_no_room_ours_is_as_short_as_can_be():
    records = compose("example.com", scattered(8), other_octets=2000)
    assert records[0].value == "v=spf1 include:_spf1.example.com ~all"
    (record,) = compose("example.us", [], include=["example.com"], other_octets=2000)
    assert record.value == "v=spf1 include:example.com ~all"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"all": "pass"}, "all is 'pass'"),
        ({"include": ["two words"]}, "not a domain name"),
        ({"addresses": ["198.51.100.300"]}, "does not appear to be"),
        ({"addresses": ["198.51.100.10/24"]}, "has host bits set"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        compose("example.com", **{"addresses": [], **arguments})
