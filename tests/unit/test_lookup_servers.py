# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many questions to several servers: those that are dead, those that differ, zones that are found once."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS, Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_authorities import network
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import SUSPECT_AFTER
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind

ZONES = {"example.com": {f"w{number}.example.com": {"A": [f"192.0.2.{number}"]} for number in range(200)}}


@pytest.fixture
def run():
    """Return a function that starts a server, which ends with the test."""
    with ExitStack() as stack:
        yield lambda zones=ZONES, faults=None, **options: stack.enter_context(Nameserver(zones, faults, **options))


def ask_all(lookup, count):
    return lookup.each(lambda number: lookup.ask(f"w{number}.example.com", "A"), range(count))


def test_a_dead_resolver_costs_its_timeout_once(run):
    dead, good = run(faults={"*": "timeout"}), run()
    with Lookup([dead.server, good.server], timeout=0.6) as lookup:
        outcomes = [lookup.ask(f"w{number}.example.com", "A") for number in range(100)]
        assert {outcome.kind for outcome in outcomes} == {Kind.VALUES}
        assert {name for name, _type in dead.asked} == {f"w{number}.example.com" for number in range(SUSPECT_AFTER)}
        assert good.queries == 100


def test_dead_resolvers_are_all_named_and_soon(run):
    dead, refusing = run(faults={"*": "timeout"}), run(faults={"*": "refused"})
    with Lookup([dead.server, refusing.server], timeout=0.6) as lookup:
        outcomes = ask_all(lookup, 200)
    assert {outcome.kind for outcome in outcomes} == {Kind.SILENT}
    causes = {outcome.cause for outcome in outcomes}
    assert all(f"{refusing.server}: REFUSED" in cause for cause in causes)
    assert all(f"{dead.server}: no answer within 0.6 s" in cause for cause in causes)
    assert any("so it was not asked this one" in cause for cause in causes)
    # Three sendings for each that was under way (the workers and the caller), for the next question of those who were
    # done before it was a suspect, and for the one whether it lives.
    assert dead.queries + dead.again.total() <= 3 * (WORKERS + 1 + SUSPECT_AFTER - 1 + 1)


def test_a_resolver_that_is_silent_about_some_names_is_asked_about_others(run):
    faults = {f"w{number}.example.com": "timeout" for number in range(SUSPECT_AFTER + 2)}
    server = run(zones=ZONES | {"": {}}, faults=faults)
    with Lookup([server.server], timeout=0.4) as lookup:
        outcomes = [lookup.ask(f"w{number}.example.com", "A") for number in range(20)]
    silent = [outcome.name for outcome in outcomes if not outcome.said]
    assert silent == [f"{name}." for name in faults]
    assert server.asked[".", "NS"] >= 1


def test_the_only_resolver_is_asked_again_for_what_it_was_still_looking_for(run):
    began = time.monotonic()

    def late(_query, answer):
        return [answer] if time.monotonic() > began + 0.6 else []

    only, other = run(faults={"*": late}), run()
    with Lookup([only.server], timeout=0.5) as lookup:
        assert lookup.ask("w1.example.com", "A").said
    began = math.inf  # it looks for longer than anybody waits
    with Lookup([only.server, other.server], timeout=0.5) as lookup:
        assert lookup.ask("w1.example.com", "A").server == str(other.server)


def test_lost_datagrams_cost_no_question_but_their_own(run):
    """A server is not called dead because the network, or a busy machine, lost some of what it said."""
    chance, lost = random.Random(7), Counter()

    def lossy(query, answer):
        name = query.question[0].name.to_text(omit_final_dot=True)
        if chance.random() < 0.3:
            lost[name] += 1
            return []
        return [answer]

    server = run(faults={"*": lossy})
    with Lookup([server.server], timeout=1.4) as lookup:
        outcomes = ask_all(lookup, 200)
    silent = {outcome.name.removesuffix(".") for outcome in outcomes if not outcome.said}
    assert sum(lost.values()) > 30 and silent <= {name for name, times in lost.items() if times >= 3}
    assert not any("so it was not asked" in outcome.cause for outcome in outcomes)


def test_a_server_that_lives_again_is_asked_again_when_all_is_forgotten(run):
    server = run(faults={"*": "timeout"})
    with Lookup([server.server], timeout=0.1) as lookup:
        assert not any(lookup.ask(f"w{number}.example.com", "A").said for number in range(SUSPECT_AFTER + 2))
        server.faults.clear()
        lookup.timeout = 5
        assert not lookup.ask("w9.example.com", "A").said
        lookup.forget()
        assert lookup.ask("w9.example.com", "A").said


def test_a_closed_port_needs_no_patience(run):
    good = run()
    with Nameserver(ZONES) as closed:
        pass
    with Lookup([closed.server, good.server], timeout=60, deadline=600) as lookup:
        began = time.monotonic()
        assert all(outcome.said for outcome in ask_all(lookup, 100))
        assert time.monotonic() - began < 60


def test_what_was_not_said_is_not_asked_again_at_once(run):
    server = run(faults={"w1.example.com": "servfail"})
    with Lookup([server.server]) as lookup:
        assert not lookup.ask("w1.example.com", "A").said and not lookup.ask("w1.example.com", "A").said
    assert server.queries == 1


def world(*hosts, **zones):
    """Return zones with these name servers, each with its address on loopback, and a root that knows them."""
    glue = {f"ns{number}.example.net": {"A": [host]} for number, host in enumerate(hosts, 1)}
    names = {"NS": [f"{name}." for name in glue]}  # of all zones, the root too
    return {"": {"": names}, "example.net": {"example.net": names} | glue} | {
        zone: {zone: names} | owners for zone, owners in zones.items()}


def reverse(count):
    """Return the PTR zones of so many addresses, 250 in each."""
    zones = {f"{octet}.51.198.in-addr.arpa": {} for octet in range((count + 249) // 250)}
    for number in range(count):
        zone = f"{number // 250}.51.198.in-addr.arpa"
        zones[zone][f"{number % 250}.{zone}"] = {"PTR": [f"mta{number}.example.com."]}
    return zones


def test_zones_are_found_once_for_all_their_names(run):
    server = run(world("127.0.0.1", **reverse(1000)))
    names = [f"{number % 250}.{number // 250}.51.198.in-addr.arpa" for number in range(1000)]
    with Lookup([server.server], timeout=5, authority_port=server.port) as lookup:
        answers = lookup.each(lambda name: lookup.ask_by("yes", name, "PTR"), names)
    assert [outcome.values for outcomes, _why in answers for outcome in outcomes] == [
        (f"mta{number}.example.com.",) for number in range(1000)]
    # Each of the four zones is asked for its servers, and the zone above for whom it delegates it to; the one server
    # for its two addresses, and each name once. The zone above all four is found by two questions.
    assert server.queries == 4 + 4 + 2 + 1000 + 2
    assert sum(count for (_name, rdtype), count in server.asked.items() if rdtype == "NS") == 4 + 4 + 2


def test_ipv6_networks_are_found_once_too(run):
    zone = "0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    names = [f"{number:x}.{'0.' * 15}0.0.0.0.{zone}" for number in range(16)]
    server = run(world("127.0.0.1", **{zone: {name: {"PTR": ["a.example.com."]} for name in names}}))
    with Lookup([server.server], timeout=5, authority_port=server.port) as lookup:
        answers = lookup.each(lambda name: lookup.ask_by("yes", name, "PTR"), names)
    assert all(outcome.values for outcomes, _why in answers for outcome in outcomes)
    # The /64 is in the /48's zone: that and the name between are met on the way, and one question is for whom it is of.
    assert server.queries == 2 + 2 + 16 + 4


@pytest.mark.parametrize(
    "name, expected",
    [
        ("10.2.0.192.in-addr.arpa.", "2.0.192.in-addr.arpa."),
        ("10.0-25.2.0.192.in-addr.arpa.", "2.0.192.in-addr.arpa."),
        ("0.192.in-addr.arpa.", "0.192.in-addr.arpa."),
        (f"{'1.' * 32}ip6.arpa.", f"{'1.' * 16}ip6.arpa."),
        ("in-addr.arpa.", "in-addr.arpa."),
        ("www.example.com.", "www.example.com."),
    ],
)
def test_networks(name, expected):
    assert network(name) == expected


def test_a_cut_below_the_network_is_found_by_the_referral(run):
    parent, child = "2.0.192.in-addr.arpa", "10.2.0.192.in-addr.arpa"
    glue = {"ns1.example.net": {"A": ["127.0.0.1"]}, "ns2.example.net": {"A": ["127.0.0.2"]}}
    above = {parent: {parent: {"NS": ["ns1.example.net."]}, child: {"NS": ["ns2.example.net."]}}}
    below = {child: {child: {"NS": ["ns2.example.net."], "PTR": ["a.example.com."]}}}
    resolver = run({"": {}, "example.net": glue} | above | below)  # what a resolver says of both
    first = run(above, address="127.0.0.1", port=0)
    second = run(below, address="127.0.0.2", port=first.port)
    with Lookup([resolver.server], timeout=5, authority_port=first.port) as lookup:
        (outcome,) = lookup.ask_authorities(child, "PTR")
    assert (outcome.values, outcome.server) == (("a.example.com.",), f"ns2.example.net. (127.0.0.2:{second.port})")


def test_a_name_below_one_that_was_met_costs_no_more_and_may_have_servers_of_its_own(run):
    """The servers of the domain above are asked while it is found out whether there is a zone between."""
    zones = world("127.0.0.1", **{"example.com": {"example.com": {"TXT": ["a"]}, "b.example.com": {"TXT": ["b"]}}})
    zones["example.com"]["example.com"] = {"NS": ["ns1.example.net."], "TXT": ["a"]}
    zones["example.net"]["ns2.example.net"] = {"A": ["127.0.0.2"]}
    below = {"c.example.com": {"NS": ["ns1.example.net.", "ns2.example.net."], "TXT": ["c"]}}
    first = run(zones | {"c.example.com": below}, address="127.0.0.1")
    run({"c.example.com": {"c.example.com": below["c.example.com"] | {"TXT": ["other"]}}}, address="127.0.0.2",
        port=first.port)
    with Lookup([first.server], timeout=5, authority_port=first.port) as lookup:
        assert said(lookup.ask_authorities("example.com", "TXT")) == {"ns1.example.net.": ("a",)}
        before = first.queries
        assert said(lookup.ask_authorities("b.example.com", "TXT")) == {"ns1.example.net.": ("b",)}
        assert first.queries == before + 2  # who serves it, and its text
        assert said(lookup.ask_authorities("c.example.com", "TXT")) == {
            "ns1.example.net.": ("c",), "ns2.example.net.": ("other",)}


@pytest.fixture
def servers(run):
    """Return two name servers of one zone on one port, which a resolver knows."""
    zone = {"a.example.com": {"TXT": ["same"]}, "b.example.com": {"TXT": ["old"]},
            "c.example.com": {"CNAME": ["far.example.org."]}, "d.example.com": {"CNAME": ["far.example.org."]},
            "loop.example.com": {"CNAME": ["loop.example.org."]}, "zone.example.com": {"CNAME": ["example.org."]}}
    far = {"far.example.org": {"TXT": ["far"]}, "loop.example.org": {"CNAME": ["loop.example.com."]}}
    zones = world("127.0.0.1", "127.0.0.2", **{"example.com": zone, "example.org": far})
    first = run(zones, address="127.0.0.1")
    changed = zones | {"example.com": zones["example.com"] | {"b.example.com": {"TXT": ["new"]},
                                                              "d.example.com": {"TXT": ["here"]}}}
    second = run(changed, address="127.0.0.2", port=first.port)
    with Lookup([first.server], timeout=5, authority_port=first.port) as lookup:
        yield first, second, lookup


def said(outcomes):
    return {outcome.server.partition(" (")[0]: outcome.values or outcome.cause for outcome in outcomes}


def test_every_authoritative_server_is_asked(servers):
    first, second, lookup = servers
    assert said(lookup.ask_by("auto", "a.example.com", "TXT")[0]) == {
        "ns1.example.net.": ("same",), "ns2.example.net.": ("same",)}
    assert said(lookup.ask_by("yes", "b.example.com", "TXT")[0]) == {
        "ns1.example.net.": ("old",), "ns2.example.net.": ("new",)}
    assert first.asked["b.example.com", "TXT"] == second.asked["b.example.com", "TXT"] == 1


def test_the_target_of_an_alias_is_asked_of_each_of_its_servers(servers):
    _first, second, lookup = servers
    second.change("example.org", "far.example.org", TXT=["other"])
    outcomes, _why = lookup.ask_by("yes", "c.example.com", "TXT")
    assert said(outcomes) == {"ns1.example.net.": ("far",), "ns2.example.net.": ("other",)}
    assert {(outcome.name, outcome.chain) for outcome in outcomes} == {("c.example.com.", ("far.example.org.",))}


def test_servers_that_differ_in_the_alias_itself_are_told_apart(servers):
    _first, _second, lookup = servers
    outcomes, _why = lookup.ask_by("yes", "d.example.com", "TXT")
    told = {outcome.server: outcome.values for outcome in outcomes}
    port = lookup.authority_port
    assert told == {
        f"ns2.example.net. (127.0.0.2:{port})": ("here",),
        f"ns1.example.net. (127.0.0.1:{port}) by way of ns1.example.net. (127.0.0.1:{port})": ("far",),
        f"ns2.example.net. (127.0.0.2:{port}) by way of ns1.example.net. (127.0.0.1:{port})": ("far",),
    }


def test_aliases_from_zone_to_zone_without_end(servers):
    _first, _second, lookup = servers
    outcomes, _why = lookup.ask_by("yes", "loop.example.com", "TXT")
    assert {outcome.kind for outcome in outcomes} == {Kind.SILENT}
    assert all("CNAMEs lead in a loop" in outcome.cause for outcome in outcomes)


def test_the_resolver_is_asked_where_no_authority_answers_and_it_is_said(servers, run):
    first, second, _lookup = servers
    resolver = run(first.zones_as_given)
    second.faults["*"] = first.faults["*"] = "timeout"
    with Lookup([resolver.server], timeout=0.6, authority_port=first.port) as lookup:
        (outcome,), why = lookup.ask_by("auto", "a.example.com", "TXT")
        assert (outcome.values, outcome.server) == (("same",), str(resolver.server))
        assert why.startswith("no authoritative server could be asked (ns1.example.net. (127.0.0.1:")
        assert why.endswith(f", {resolver.server} was instead")
        outcomes, why = lookup.ask_by("yes", "a.example.com", "TXT")
        assert {outcome.kind for outcome in outcomes} == {Kind.SILENT} and why == ""
        (outcome,), why = lookup.ask_by("no", "a.example.com", "TXT")
        assert outcome.said and why == ""


def test_where_the_resolver_is_silent_too_every_authority_is_named(servers, run):
    first, second, _lookup = servers
    second.faults["*"] = first.faults["*"] = "servfail"
    resolver = run(first.zones_as_given, faults={("a.example.com", "TXT"): "refused"})
    with Lookup([resolver.server], timeout=5, authority_port=first.port) as lookup:
        outcomes, why = lookup.ask_by("auto", "a.example.com", "TXT")
    assert said(outcomes) == {"ns1.example.net.": "SERVFAIL", "ns2.example.net.": "SERVFAIL"} and why == ""


def test_the_zone_of_an_alias_is_its_own_and_not_that_of_its_target(servers):
    _first, _second, lookup = servers
    # A resolver follows the alias, and names the servers of the zone where it leads.
    assert lookup.ask("zone.example.com", "NS").chain == ("example.org.",)
    assert lookup.authorities("zone.example.com").zone == "example.com."


def test_one_that_answers_is_enough_for_auto_and_the_other_is_named(servers):
    _first, second, lookup = servers
    second.faults["*"] = "refused"
    outcomes, why = lookup.ask_by("auto", "a.example.com", "TXT")
    assert said(outcomes) == {"ns1.example.net.": ("same",), "ns2.example.net.": "REFUSED"} and why == ""


def test_a_name_that_is_none_has_no_authorities():
    with Lookup(["unused"]) as lookup:
        assert [outcome.kind for outcome in lookup.ask_by("auto", "a..b", "TXT")[0]] == [Kind.NO_NAME]
