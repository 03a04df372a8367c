# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Zones that would take all the time and memory of a run get a verdict for few questions."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count

import dns.rrset
import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_authorities import (
    MAXIMUM_HOSTS,
    MAXIMUM_SERVERS,
    MAXIMUM_WAYS,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind

TWO = {"ns1.example.net": {"A": ["127.0.0.1"]}, "ns2.example.net": {"A": ["127.0.0.2"]}}


@pytest.fixture
def start():
    """Return a function that starts servers of the same zones, and a lookup that asks them."""
    with ExitStack() as stack:
        def begin(zones, faults=None, addresses=("127.0.0.1", "127.0.0.2")):
            servers = []
            for address in addresses:
                port = servers[0].port if servers else 0
                servers.append(stack.enter_context(Nameserver(zones, faults, address=address, port=port)))
            first = servers[0]
            return servers, stack.enter_context(Lookup([first.server], timeout=5, authority_port=first.port))

        yield begin


def queries(servers):
    return sum(server.queries for server in servers)


@pytest.mark.parametrize("hosts, addresses", [(1000, 1), (1, 250), (40, 9)])
def test_a_thousand_name_servers(start, hosts, addresses):
    glue = {f"ns{n}.example.net": {"A": [f"127.1.{n % 250}.{m + 1}" for m in range(addresses)]} for n in range(hosts)}
    names = [f"{name}." for name in glue]
    servers, lookup = start({"": {}, "example.net": glue, "example.com": {"example.com": {"NS": names, "TXT": ["x"]}}})
    outcomes = lookup.ask_authorities("example.com", "TXT")
    # Nobody listens there, which takes no time; one outcome says that the rest was not asked.
    assert len(outcomes) <= MAXIMUM_SERVERS + 1
    # The servers over UDP and, truncated, over TCP; their addresses; and those of the zone above, which has none.
    assert queries(servers) <= 2 + 2 * MAXIMUM_HOSTS + 4
    (rest,) = [outcome for outcome in outcomes if outcome.server == "other name servers of example.com."]
    assert rest.kind is Kind.SILENT
    asked = f"{min(hosts, MAXIMUM_HOSTS)} with {MAXIMUM_SERVERS} addresses at most are asked"
    assert rest.cause == f"of {hosts} name servers {asked}"


def test_as_many_name_servers_as_anybody_has_are_all_asked(start):
    glue = {f"ns{number}.example.net": {"A": ["127.0.0.1"]} for number in range(13)}
    servers, lookup = start(
        {"": {}, "example.net": glue, "example.com": {"example.com": {"NS": [f"{n}." for n in glue], "TXT": ["x"]}}})
    assert [outcome.values for outcome in lookup.ask_authorities("example.com", "TXT")] == [("x",)] * 13


def aliases(make):
    """Return a fault of names below example.com and example.org: an alias to what make() returns."""
    def fault(query, answer):
        question = query.question[0]
        if len(question.name) == 4 and question.rdtype not in (1, 2, 28):  # of the names, not of the servers
            target = make(question.name.to_text())
            answer.answer = [dns.rrset.from_text(question.name, 60, "IN", "CNAME", target)]
            answer.authority = []
            answer.set_rcode(0)
        return [answer]

    return {"*": fault}


@pytest.mark.parametrize("ways, most", [(1, 60), (2, 120)])
def test_aliases_that_differ_at_every_server_and_step(start, ways, most):
    number = count()
    names = {"NS": [f"{name}." for name in TWO]}
    zones = {"": {}, "example.net": TWO, "example.com": {"example.com": names}, "example.org": {"example.org": names}}
    made = {}

    def target(name):  # from zone to zone; with two ways each server tells another name each time
        new = f"n{next(number)}.example.{'org' if name.endswith('com.') else 'com'}."
        return new if ways == 2 else made.setdefault(name, new)

    servers, lookup = start(zones, aliases(target))
    outcomes = lookup.ask_authorities("www.example.com", "TXT")
    assert {outcome.kind for outcome in outcomes} == {Kind.SILENT}
    assert all("CNAMEs lead" in outcome.cause or "different names" in outcome.cause for outcome in outcomes)
    assert queries(servers) <= most


def test_servers_that_differ_in_an_alias_by_too_many_ways(start):
    addresses = [f"127.0.0.{number}" for number in range(1, MAXIMUM_WAYS + 2)]
    glue = {f"ns{number}.example.net": {"A": [address]} for number, address in enumerate(addresses)}
    number = count()
    zones = {"": {}, "example.net": glue, "example.com": {"example.com": {"NS": [f"{name}." for name in glue]}}}
    servers, lookup = start(zones, aliases(lambda _name: f"n{next(number)}.example.org."), addresses)
    outcomes = lookup.ask_authorities("www.example.com", "TXT")
    assert {outcome.kind for outcome in outcomes} == {Kind.SILENT} and len(outcomes) == len(addresses)
    assert all(f"its name servers lead to {len(addresses)} different names: n" in outcome.cause for outcome in outcomes)


@pytest.mark.parametrize("address, rdtype", [("0.0.0.0", "A"), ("::", "AAAA")])
def test_a_name_server_at_the_address_of_nobody(start, address, rdtype):
    zones = {"": {}, "example.net": {"ns1.example.net": {rdtype: [address]}},
             "example.com": {"example.com": {"NS": ["ns1.example.net."], "TXT": ["x"]}}}
    servers, lookup = start(zones, addresses=["127.0.0.1"])
    (outcome,) = lookup.ask_authorities("example.com", "TXT")
    assert (outcome.kind, outcome.cause) == (Kind.SILENT, "the name server has no address")
    assert not servers[0].asked["example.com", "TXT"]  # a packet to 0.0.0.0 would have come here


@pytest.mark.parametrize("ttl", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_any_ttl(start, ttl):
    def fault(query, answer):
        wire = bytearray(answer.to_wire())
        at = wire.rindex(b"\xc0\x00\x02\x01") - 6
        wire[at:at + 4] = ttl.to_bytes(4, "big")
        return [bytes(wire)]

    servers, lookup = start({"": {}, "example.com": {"a.example.com": {"A": ["192.0.2.1"]}}},
                            {("a.example.com", "A"): fault}, ["127.0.0.1"])
    outcome = lookup.ask("a.example.com", "A")
    # A TTL with its highest bit set counts as 0 (RFC 2181, 8); nothing is held for less than a run's few seconds.
    assert (outcome.values, outcome.ttl) == (("192.0.2.1",), 0 if ttl >= 2**31 else ttl)
    assert lookup.ask("a.example.com", "A") == outcome and servers[0].queries == 1
