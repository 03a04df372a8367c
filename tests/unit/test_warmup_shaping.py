# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that are warmed up among others: their pace, what leaves from them, and what the plan says of them."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet_plan
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import gate_of, lane_layer, warming
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import Observations
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import shape
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping_plan import rows, text
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Day, gate

START = datetime.date(2026, 11, 2)
TODAY = START + datetime.timedelta(days=3)
NEW, OLD, FIRST = "198.51.100.11", "198.51.100.12", "198.51.100.10"
ACME = {"name": "acme", "domains": ["acme.test"], "connections": 4}
NEW_AND_OLD = {"name": "bulk", "senders": ["example.us"], "addresses": [NEW, OLD]}
ONLY_NEW = {**NEW_AND_OLD, "addresses": [NEW]}


def fleet(schedule="gentle", first=None, **change):
    made = {"pool": NEW_AND_OLD, "provider": ACME, **change}
    provider, pool = made["provider"], made["pool"]
    addresses = [
        {"address": FIRST, "helo": "mta1.example.com", **({"warmup": first} if first else {})},
        {"address": NEW, "helo": "mta1b.example.com", "warmup": {"start": START, "schedule": schedule}},
        {"address": OLD, "helo": "mta1c.example.com"},
    ]
    return read_fleet(
        {"sending_domains": [{"name": "example.com"}, {"name": "example.us"}],
         "sending_providers": [provider] if provider else [], "sending_pools": [pool] if pool else []},
        {"mta1": {"sending_addresses": addresses}}, today=TODAY)


def planned(made, **more):
    return rows(shape(made), made, **more)


def share_of(made, helo: str):
    return next(share for lane in shape(made).lanes for share in lane.shares if share.member.helo == helo)


@pytest.mark.parametrize("schedule, provider, services, pause", [
    ([50], ACME, 1, 1),
    ([43200], ACME, 1, 1),
    ([43201], ACME, 2, 1),
    ("gentle", ACME, 3, 1),
    ("brisk", ACME, 4, 1),
    ("gentle", {**ACME, "connections": 2}, 2, 1),
    ("gentle", {**ACME, "rate": "100/h"}, 1, 36),
])
def test_a_new_address_sends_at_twice_the_even_pace_of_its_last_day_and_within_the_limits(
        schedule, provider, services, pause):
    share = share_of(fleet(schedule=schedule, provider=provider), "mta1b.example.com")
    assert (share.services, share.processes, share.pause, share.messages) == (services, 1, pause, 1)


def test_its_pace_is_no_mistake_of_the_providers_rate_and_changes_no_other_share():
    made = fleet(schedule=[50], provider={**ACME, "rate": "4/s"})
    assert share_of(made, "mta1c.example.com").services == 4 and share_of(made, "mta1b.example.com").services == 1


def test_mail_to_domains_of_no_provider_leaves_from_warm_addresses():
    made = fleet()
    (server,) = made.servers
    routes = throttle_layer(made, server, shape(made).lanes)["parameters"]["sender_dependent_default_transport_maps"]
    assert "out-198-51-100-12:" in routes and "out-198-51-100-11" not in routes
    assert shape(made).warnings == ()


@pytest.mark.parametrize("change, words", [
    ({"pool": ONLY_NEW}, f"{NEW} of mta1 warms up, and pool bulk has no warm address there: mail to domains of no "
                         "provider leaves from it without a cap"),
    ({"pool": None}, f"{NEW} of mta1 warms up and is in no pool: no mail leaves from it"),
    ({"provider": None}, f"{NEW} of mta1 warms up, and no provider has limits by which its mail is counted: no mail "
                         "leaves from it"),
    ({"first": {"start": START}}, f"{FIRST} of mta1 warms up, and pool rest has no warm address there: mail to domains "
                                  "of no provider leaves from it without a cap"),
])
def test_what_has_to_be_said(change, words):
    made = fleet(**change)
    assert shape(made).warnings == (("", words),)
    assert f"\n! {words}\n" in fleet_plan.text(fleet_plan.plan(made, Observations(), [], [], TODAY))


def test_where_no_address_is_warm_mail_to_others_leaves_all_the_same():
    made = fleet(pool=ONLY_NEW)
    (server,) = made.servers
    routes = throttle_layer(made, server, shape(made).lanes)["parameters"]["sender_dependent_default_transport_maps"]
    assert "out-198-51-100-11:" in routes


class TestLane:
    def test_the_choice_of_a_pool_passes_the_table_and_no_other_pools_does(self):
        made = fleet()
        (lane,) = shape(made).lanes
        parameters = lane_layer(made, made.servers[0], lane)["parameters"]
        bulk, rest = parameters["sender_dependent_default_transport_maps"].split(", pipemap:")
        assert bulk.endswith(", hash:/var/lib/mailfleet/warmup/acme/gate}") and "hash:" not in rest
        # What the table did not know would leave by the first service.
        assert parameters["default_transport"].startswith("retry:4.")

    def test_the_table_knows_every_result_of_the_choice(self):
        for provider in (ACME, {**ACME, "messages": 20, "nexthop": "acme.test"}):
            made = fleet(provider=provider)
            (lane,) = shape(made).lanes
            maps = lane_layer(made, made.servers[0], lane)["parameters"]["sender_dependent_default_transport_maps"]
            chosen = maps.split("randmap:{")[1].partition("}")[0].split(", ")
            known = warming(lane)
            assert set(gate(known["members"], known["nexthop"], {})) == set(chosen)

    def test_each_recipient_has_a_delivery_of_its_own(self):
        made = fleet(provider={**ACME, "recipients": 50}, schedule=[50])
        (lane,) = shape(made).lanes
        parameters = lane_layer(made, made.servers[0], lane)["parameters"]
        limits = {name: value for name, value in parameters.items() if name.endswith("destination_recipient_limit")}
        assert limits == {"out-198-51-100-10_destination_recipient_limit": "50",
                          "out-198-51-100-11_destination_recipient_limit": "1",
                          "out-198-51-100-12_destination_recipient_limit": "50"}
        assert parameters["out-198-51-100-11_transport_rate_delay"] == "1s"

    def test_a_lane_whose_addresses_are_warm_has_none(self):
        addresses = [{"address": FIRST, "helo": "mta1.example.com"}]
        made = read_fleet({"sending_domains": [{"name": "example.com"}], "sending_providers": [ACME]},
                          {"mta1": {"sending_addresses": addresses}})
        (lane,) = shape(made).lanes
        assert warming(lane)["members"] == []
        assert gate_of("acme") not in str(lane_layer(made, made.servers[0], lane))


class TestPlan:
    def test_it_tells_todays_cap_and_why(self):
        (row,) = planned(fleet(), today=TODAY)
        reason = "day 4 of 16 of gentle, if mail left on each day before"
        assert row.to_dict()["warmup"] == [{"address": NEW, "cap": 500, "reason": reason}]
        assert f"{NEW} at most 500 today ({reason})" in "\n".join(text([row], "acme"))

    def test_of_two_addresses_of_one_name_the_lesser_cap_is_told_once(self):
        both = [{"address": address, "helo": "new.example.com", "warmup": {"start": START, "schedule": caps}}
                for address, caps in (("198.51.100.11", [50, 60, 70, 80]), ("2001:db8::11", [10, 20, 30, 40]))]
        hosts = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}, *both]}}
        pool = {"name": "bulk", "senders": ["example.us"], "addresses": [each["address"] for each in both]}
        made = read_fleet({"sending_domains": [{"name": "example.com"}, {"name": "example.us"}],
                           "sending_providers": [ACME], "sending_pools": [pool]}, hosts)
        (row,) = planned(made, today=START)
        assert [(address, found.messages) for address, found in row.warmup] == [("198.51.100.11 and 2001:db8::11", 10)]

    def test_a_cap_that_outlasts_the_queue_is_warned_of(self):
        made = fleet(provider={**ACME, "rate": "1/s"}, schedule=[10] * 30, pool=ONLY_NEW)
        daily = {"mta1": {"acme": {"2026-11-01": 30000}}}
        found = rows(shape(made), made, daily, today=START)
        assert any("while addresses warm up: the rest would go back" in said for row in found for said in row.warnings)

    def test_what_was_counted_has_a_say(self):
        counted = {("acme", NEW): {START: Day(sent=40, bounced=10)}}
        (row,) = planned(fleet(), today=START + datetime.timedelta(days=1), counters=counted)
        assert row.warmup[0][1].messages == 50 and "held: 2026-11-02 had 10 bounces of 50" in row.warmup[0][1].reason

    def test_without_a_day_it_tells_none(self):
        (row,) = planned(fleet())
        assert row.warmup == ()

    def test_a_warm_address_has_no_cap(self):
        (row,) = planned(fleet(schedule=[50]), today=TODAY)
        said = "\n".join(text([row], "acme"))
        assert f"{NEW} without a cap (warm: the schedule is over, if mail left on each day before)" in said

    def test_the_backlog_is_what_the_caps_of_its_days_let_out(self):
        made = fleet(provider={**ACME, "rate": "1/s"}, schedule=[50, 60, 70, 80, 90, 100, 110, 120, 130])
        (row,) = planned(made, today=START)
        (at_once,) = planned(made)
        slow = int(5 * 86400 / 3.035)
        assert at_once.backlog // 3 == pytest.approx(int(5 * 86400 / 3.035), abs=2)
        assert row.backlog == pytest.approx(2 * slow + 50 + 60 + 70 + 80 + 90, abs=2)
