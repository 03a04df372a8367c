# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of providers shared out over a fleet, and what lanes come of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import layer_lane, profiles
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import members, senders, spread
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import OVERHEAD, pace, shape

DOMAINS = [{"name": "example.com", "bounce_domain": "e.example.com"}, {"name": "example.us"}]
HOSTS = {
    "mta1": [("198.51.100.10", "mta1"), ("2001:db8::10", "mta1"), ("198.51.100.11", "mta1b"),
             ("198.51.100.12", "mta1c")],
    "mta2": [("198.51.100.20", "mta2"), ("198.51.100.21", "mta2b")],
}
BULK = {"name": "bulk", "senders": ["example.us"],
        "addresses": [{"address": "198.51.100.11", "weight": 2}, "198.51.100.12", "198.51.100.21"]}


def fleet(*providers, pools=(), hosts=None):
    servers = {
        name: {"sending_addresses": [{"address": each, "helo": f"{helo}.example.com"} for each, helo in addresses]}
        for name, addresses in (hosts or HOSTS).items()
    }
    return read_fleet(
        {"sending_domains": DOMAINS, "sending_providers": list(providers), "sending_pools": list(pools)}, servers)


def acme(**limits):
    return {"name": "acme", "domains": ["acme.test"], **limits}


def shares(made, **hosted):
    return [share for lane in shape(made, hosted).lanes for share in lane.shares]


def told(*providers, pools=()) -> dict[str, str]:
    """The mistakes, by path, whether the reader finds them or the compiler."""
    with pytest.raises(Mistakes) as caught:
        shape(fleet(*providers, pools=pools))
    return {each.path: f"{each.found} | {each.expected} | {each.mend}" for each in caught.value.mistakes}


class TestPace:
    @pytest.mark.parametrize("rate", [Fraction(1, 3601), Fraction(1, 86400)])
    def test_below_one_in_the_longest_pause_there_is_none(self, rate):
        with pytest.raises(ValueError, match="expected 1 in 3600 s at least"):
            pace(rate, 0)

    @given(st.fractions(min_value=Fraction(1, 3600), max_value=50, max_denominator=3600), st.integers(0, 30))
    def test_it_is_never_above_the_rate_and_never_over_the_connections(self, rate, connections):
        services, pause = pace(rate, connections)
        assert Fraction(services, pause) <= rate and services >= 1 and pause >= 1
        assert not connections or services <= connections

    @given(st.integers(1, 20), st.integers(1, 600))
    def test_what_services_and_a_pause_can_do_is_reached(self, services, pause):
        rate = Fraction(services, pause)
        assert Fraction(*pace(rate, 0)) == rate and Fraction(*pace(rate, services)) == rate

    @pytest.mark.parametrize("rate, connections, expected", [
        (Fraction(1), 2, (1, 1)), (Fraction(4), 5, (4, 1)), (Fraction(3, 2), 5, (3, 2)), (Fraction(10), 2, (2, 1)),
        (Fraction(100, 3600), 2, (1, 36)), (Fraction(16, 60), 2, (1, 4)), (Fraction(27, 10), 10, (8, 3))])
    def test_by_example(self, rate, connections, expected):
        assert pace(rate, connections) == expected


class TestShares:
    def test_a_limit_of_an_address_holds_for_each(self):
        found = shares(fleet(acme(connections=3), pools=[BULK]))
        assert {(share.services, share.processes) for share in found} == {(1, 3)}

    @given(st.integers(4, 40))
    def test_shares_of_the_fleet_sum_to_no_more_than_its_limit(self, limit):
        made = shares(fleet(acme(connections=8, fleet={"connections": limit}), pools=[BULK]))
        assert sum(share.connections for share in made) == limit
        assert max(share.connections for share in made) <= 8

    def test_a_server_that_joins_changes_them(self):
        alone = shares(fleet(acme(fleet={"connections": 6}), hosts={"mta1": HOSTS["mta1"]}))
        both = shares(fleet(acme(fleet={"connections": 6})))
        assert [share.connections for share in alone] == [6] and [share.connections for share in both] == [3, 3]

    def test_a_rate_of_the_fleet_is_parted(self):
        made = shares(fleet(acme(fleet={"rate": "1/s"}), pools=[BULK]))
        assert sum(Fraction(share.services, share.pause) for share in made) == 1

    def test_addresses_for_which_nothing_is_left_send_nothing(self):
        made = shape(fleet(acme(fleet={"connections": 4}), pools=[BULK]))
        # Each pool has one on each server before any has a second one.
        assert [(share.member.server, share.member.pool) for lane in made.lanes for share in lane.shares] == [
            ("mta1", "bulk"), ("mta1", "rest"), ("mta2", "bulk"), ("mta2", "rest")]
        assert made.warnings == (("acme", "1 of 5 addresses have no connection left to them, and send nothing to it"),)

    def test_only_addresses_of_the_family_that_the_provider_takes(self):
        hosts = {"mta1": [("198.51.100.10", "mta1"), ("2001:db8::10", "mta1")]}
        (share,) = shares(fleet(acme(connections=1, family=6), hosts=hosts))
        assert share.member.helo == "mta1.example.com" and share.member.address(6)

    def test_connections_are_kept_for_one_next_hop_only(self):
        limit = {"connections": 2, "messages": 20}
        assert {share.messages for share in shares(fleet(acme(**limit)))} == {20}
        several = {"name": "acme", "domains": ["acme.test", "acme.example"], **limit}
        assert {share.messages for share in shares(fleet(several))} == {1}
        assert {share.messages for share in shares(fleet({**several, "nexthop": "acme.test"}))} == {20}
        assert {share.messages for share in shares(fleet(acme(**limit)), **{"hosted.test": "acme"})} == {1}

    def test_the_rate_is_told_for_the_time_that_a_receiver_takes(self):
        share = shares(fleet(acme(connections=2, rate="2/s")))[0]
        assert share.rate() == pytest.approx(2 / (1 + OVERHEAD)) and share.rate(1) == pytest.approx(2 / (2 + OVERHEAD))
        assert shares(fleet(acme(connections=2)))[0].rate() is None


class TestMistakes:
    @pytest.mark.parametrize("change, path, words", [
        ({"domains": []}, "sending_providers[0].domains", "domains, or mx"),
        ({"rate": "10"}, "sending_providers[0].rate", "such as 10/s or 100/h"),
        ({"connections": None}, "sending_providers[0]", "connections, messages, rate"),
        ({"delay": "1s", "messages": 5}, "sending_providers[0].messages", "say rate: 1/s instead of delay"),
        ({"connections": 2, "rate": "10/s"}, "sending_providers[0].rate", "2/s is the most"),
        ({"rate": "10/d"}, "sending_providers[0].rate", "at least 1/h for an address"),
        ({"fleet": {"rate": "1/h"}}, "sending_providers[0].fleet.rate", "at least 2/h for the 2 addresses"),
        ({"rate": "9999999/s"}, "sending_providers[0].rate", "at most 100/s for an address"),
        ({"fleet": {"connections": 1}}, "sending_providers[0].fleet.connections",
         "1 | at least 2, one for each pool on each server: rest on mta2 would have none | say 2"),
        ({"connections": "²"}, "sending_providers[0].connections", "a whole number"),
        ({"connections": "9" * 5000}, "sending_providers[0].connections", "a whole number"),
        ({"delay": "99999999999d"}, "sending_providers[0].delay", "at most 6 digits"),
        ({"connections": 2, "fleet": {"connections": 99}}, "sending_providers[0].fleet.connections", "at most 4"),
        ({"family": 5}, "sending_providers[0].family", "one of 4, 6"),
        ({"nexthop": "acme.example"}, "sending_providers[0].nexthop", "one of its domains"),
        ({"mx": ["google.com"]}, "sending_providers[1].mx", "acme has google.com"),
    ])
    def test_of_providers(self, change, path, words):
        assert words in told({**acme(connections=1), **change}, "google")[path]

    @pytest.mark.parametrize("change, path, words", [
        ({"addresses": []}, "sending_pools[0].addresses", "add addresses"),
        ({"addresses": ["198.51.100.11"]}, "sending_pools[0].addresses", "no address of mta2"),
        ({"addresses": ["198.51.100.99", "198.51.100.21", "198.51.100.11"]}, "sending_pools[0].addresses[0]",
         "an address of sending_addresses"),
        ({"addresses": [{"address": "198.51.100.11", "weight": 0}, "198.51.100.21"]},
         "sending_pools[0].addresses[0].weight", "from 1 to 100"),
        ({"senders": []}, "sending_pools[0].senders", "add senders"),
        ({"senders": ["example.org"]}, "sending_pools[0].senders[0]", "a domain of sending_domains"),
        ({"senders": ["example.us", "example.us"]}, "sending_pools[0].senders[1]", "name it once"),
        ({"name": "rest"}, "sending_pools[0].senders", "rest has all that no other pool takes"),
        ({"addresses": ["2001:db8::10", "198.51.100.21"]}, "sending_pools[0].addresses", "an IPv4 address beside them"),
    ])
    def test_of_pools(self, change, path, words):
        assert words in told(pools=[{**BULK, **change}])[path]

    def test_weights_that_no_choice_at_random_can_keep_to(self):
        hosts = [(f"198.51.100.{number}", f"mta{number}") for number in range(10, 17)]
        weights = [{"address": address, "weight": weight}
                   for (address, _helo), weight in zip(hosts, (97, 89, 83, 79, 73, 71, 67), strict=True)]
        pool = {**BULK, "addresses": weights}
        with pytest.raises(Mistakes) as caught:
            shape(fleet("google", pools=[pool], hosts={"mta1": [*hosts, ("198.51.100.20", "mta")]}))
        (mistake,) = caught.value.mistakes
        assert mistake.path == "sending_pools[0].addresses" and "at most 500" in mistake.found and mistake.mend

    def test_pools_share_no_address_and_no_sender(self):
        found = told(pools=[BULK, {**BULK, "name": "more"}])
        assert "no other pool" in found["sending_pools[1].addresses[0]"]
        assert "no other pool" in found["sending_pools[1].senders[0]"]

    def test_a_pool_leaves_mail_of_others_an_address(self):
        everything = [address for addresses in HOSTS.values() for address, _helo in addresses]
        assert "for mail of no pool" in told(pools=[{**BULK, "addresses": everything}])["sending_pools"]

    def test_the_classic_recipe_knows_no_pools(self):
        recipe = {"name": "throttle", "domains": ["orange.fr"], "connections": 1, "delay": "1s"}
        assert "say rate: 1/s" in told(recipe, pools=[BULK])["sending_providers[0].delay"]


class TestPools:
    def test_members_are_the_addresses_of_one_helo_name(self):
        made = fleet(pools=[BULK])
        found = {(member.pool, member.service): (member.helo, len(member.addresses), member.weight)
                 for server in made.servers for member in members(made, server)}
        assert found == {
            ("bulk", "out-198-51-100-11"): ("mta1b.example.com", 1, 2),
            ("bulk", "out-198-51-100-12"): ("mta1c.example.com", 1, 1),
            ("rest", "out-198-51-100-10"): ("mta1.example.com", 2, 1),
            ("bulk", "out-198-51-100-21"): ("mta2b.example.com", 1, 1),
            ("rest", "out-198-51-100-20"): ("mta2.example.com", 1, 1),
        }

    def test_every_sender_of_the_fleet_has_one_pool(self):
        assert senders(fleet(pools=[BULK])) == {"bulk": ("example.us",), "rest": ("example.com", "e.example.com")}

    @given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=4))
    def test_services_stand_in_the_choice_as_their_weights_demand(self, parts):
        weights = [(weight, [f"s{at}-{one}" for one in range(count)]) for at, (weight, count) in enumerate(parts)]
        chosen = spread(weights, 10**6)
        for weight, names in weights:
            assert Fraction(sum(name in names for name in chosen), len(chosen)) == Fraction(
                weight, sum(weight for weight, _names in weights))
            assert len({chosen.count(name) for name in names}) == 1

    def test_weights_that_need_too_many_entries_are_refused(self):
        with pytest.raises(ValueError, match="expected at most 500"):
            spread([(97, ["a"]), (89, ["b"]), (83, ["c"]), (79, ["d"]), (73, ["e"]), (71, ["f"]), (67, ["g"])])


class TestLanes:
    def test_the_classic_recipe_has_none(self):
        made = fleet({"name": "throttle", "domains": ["orange.fr"], "connections": 1, "delay": "1s"})
        assert shape(made).lanes == ()

    def test_a_lane_listens_on_an_address_of_its_own_that_no_other_lane_changes(self):
        places = {layer_lane.place(name) for name in profiles.PROFILES}
        assert len(places) == len(profiles.PROFILES)
        assert all(place.startswith("127.") for place in places)
        assert layer_lane.place("google") == "127.123.222.251"

    def test_domains_lead_to_it_and_hosted_ones_too(self):
        made = fleet(acme(connections=1))
        lanes = shape(made, {"hosted.test": "acme"}).of("mta1")
        layer = throttle_layer(made, made.servers[0], lanes, {"hosted.test": "acme"})
        way = f"lane:[{layer_lane.place('acme')}]:10025"
        assert layer["tables"]["transport"] == {
            "type": "hash", "entries": [["acme.test", way]], "lines": f"hosted.test {way}\n"}

    def test_a_sender_leaves_by_its_pool(self):
        made = fleet(acme(connections=2, rate="2/s"), pools=[BULK])
        layer = layer_lane.lane_layer(made, made.servers[0], shape(made).of("mta1")[0])
        maps = layer["parameters"]["sender_dependent_default_transport_maps"]
        bulk, rest = maps.split(", pipemap:")
        assert "{table:pool_bulk}" in bulk and "198-51-100-10" not in bulk
        assert [bulk.count(f"out-198-51-100-{name}:") for name in ("11", "11-2", "12", "12-2")] == [2, 2, 1, 1]
        assert "{table:pool_rest}" in rest and "198-51-100-11" not in rest
        assert layer["tables"]["pool_bulk"]["entries"] == [["@example.us", "bulk"]]
        assert ["<>", "rest"] in layer["tables"]["pool_rest"]["entries"]

    def test_each_service_binds_the_addresses_of_its_member_and_no_others(self):
        made = fleet(acme(connections=2), pools=[BULK])
        services = layer_lane.lane_layer(made, made.servers[0], shape(made).of("mta1")[0])["services"]
        both, four = (services[f"out-198-51-100-{name}/unix"]["options"] for name in ("10", "11"))
        assert (both["smtp_bind_address"], both["smtp_bind_address6"]) == ("198.51.100.10", "2001:db8::10")
        assert (four["smtp_bind_address"], four["inet_protocols"]) == ("198.51.100.11", "ipv4")

    def test_every_shipped_provider_makes_lanes(self):
        made = fleet(*profiles.PROFILES, pools=[BULK])
        found = shape(made)
        assert {lane.provider.name for lane in found.lanes} == set(profiles.PROFILES)
        for lane in found.lanes:
            assert lane.shares and layer_lane.lane_layer(made, made.servers[0], lane)

    def test_every_figure_of_a_shipped_provider_has_its_source(self):
        for profile in profiles.PROFILES.values():
            assert profile.domains or profile.mx
            for _value, source in profile.limits.values():
                assert source.confidence in ("published", "community", "anecdotal") and source.date >= "2026"
