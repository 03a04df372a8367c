# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recipient domains observed at a real name server, over UDP and TCP, and put together with what logs say."""

from __future__ import annotations

import datetime

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import observe as module
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import Observations, Observed
from ansible_collections.mailfleet.sending.plugins.module_utils.observe import ask, observe

DATE = datetime.date(2026, 11, 28)
HOSTS = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}]}}
FLEET = read_fleet({"sending_domains": [{"name": "example.com"}],
                    "sending_providers": [{"name": "acme", "domains": ["a.example"], "mx": ["mx.test"],
                                           "connections": 1}]}, HOSTS)
MX = {
    "a": [(10, "in.mx.test.")],
    "best": [(20, "in.mx.test."), (5, "Two.B.example."), (5, "one.b.example.")],
    "null": [(0, ".")],
    "nullandmore": [(10, "."), (10, "mx.other.example.")],
    "cut": [(10, "in.mx.test.")],
    "long": [(10, f"in{number:02}.{'x' * 40}.mx.test.") for number in range(30)],
    "servfail": [(10, "in.mx.test.")],
    "xn--bcher-kva": [(10, "in.mx.test.")],
}
ZONES = {"example": {f"{name}.example": {"MX": values} for name, values in MX.items()}
         | {"none.example": {"A": ["198.51.100.1"]}, "alias.example": {"CNAME": ["a.example."]}}}
FAULTS = {"servfail.example": "servfail", "dead.example": "timeout", "cut.example": "truncated",
          "refused.example": "refused"}


@pytest.fixture(scope="module")
def server():
    with Nameserver(ZONES, FAULTS) as server:
        yield server


def now(server, *listed: str, before: Observations | None = None, logs=None, date=DATE, **options) -> Observations:
    with Lookup([server.server], timeout=0.4) as lookup:
        found, _left = observe(lookup, FLEET, before or Observations(), listed, logs or {}, date, **options)
    return found


@pytest.mark.parametrize("name, mx", [
    ("a", ("in.mx.test",)),
    ("best", ("one.b.example", "two.b.example")),
    ("null", (".",)),
    ("nullandmore", ("mx.other.example",)),
    ("gone", ()),
    # Mail goes to the domain's own address (RFC 5321, 5.1).
    ("none", ("none.example",)),
    ("alias", ("in.mx.test",)),
    ("xn--bcher-kva", ("in.mx.test",)),
])
def test_what_dns_says(server, name, mx):
    assert now(server, f"{name}.example").domains[f"{name}.example"] == Observed(mx)


def test_an_answer_that_udp_cuts_is_asked_for_by_tcp(server):
    before = server.tcp["cut.example", "MX"]
    assert now(server, "cut.example").domains["cut.example"] == Observed(("in.mx.test",))
    assert server.tcp["cut.example", "MX"] == before + 1


def test_of_many_hosts_some_are_kept(server):
    kept = now(server, "long.example").domains["long.example"].mx
    assert len(kept) == module.HOSTS and kept[0].startswith("in00.")


@pytest.mark.parametrize("name, cause", [("servfail", "SERVFAIL"), ("refused", "REFUSED"), ("dead", "0.4 s")])
def test_where_dns_does_not_say_a_domain_stays_and_the_server_is_named(server, name, cause):
    domain = f"{name}.example"
    for known in (None, ("in.mx.test",), ()):
        before = Observations("2026-11-01", {domain: Observed(known)} if known is not None else {})
        found = now(server, domain, before=before).domains[domain]
        assert found.mx == known
        assert found.silent.startswith(f"{server.server} did not say: ") and cause in found.silent


def test_what_was_silent_and_speaks_again_is_silent_no_more(server):
    before = Observations("2026-11-01", {"a.example": Observed(("old.example",), "192.0.2.1 did not say: SERVFAIL")})
    assert now(server, before=before).domains["a.example"] == Observed(("in.mx.test",))


def test_domains_of_providers_are_observed_and_others_only_where_somebody_names_them(server):
    before = Observations("2026-11-01", {"none.example": Observed(("none.example",))})
    assert list(now(server, before=before).domains) == ["a.example"]
    assert set(now(server, "none.example", before=before).domains) == {"a.example", "none.example"}


def test_mail_that_went_there_keeps_a_domain_for_some_time(server):
    logs = {"mta1": {"2026-11-27": {"none.example": 0, "null.example": 2}, "2026-11-26": {"null.example": 1}}}
    found = now(server, logs=logs)
    assert {name: each.seen for name, each in found.domains.items()} == {
        "a.example": "", "none.example": "2026-11-27", "null.example": "2026-11-27"}
    later = DATE + datetime.timedelta(days=module.KEPT - 1)
    assert set(now(server, before=found, date=later).domains) == {"a.example", "none.example", "null.example"}
    later += datetime.timedelta(days=1)
    assert set(now(server, before=found, date=later).domains) == {"a.example"}


class TestMessages:
    def test_they_are_counted_by_server_day_and_provider(self, server):
        logs = {"mta1": {"2026-11-27": {"a.example": 3, "alias.example": 4, "none.example": 5}}}
        assert now(server, logs=logs).messages == {"mta1": {"2026-11-27": {"-": 5, "acme": 7}}}

    def test_of_a_day_the_fuller_count_holds_and_what_no_log_tells_stays(self, server):
        before = Observations("2026-11-27", {}, {"mta1": {"2026-11-26": {"-": 9}, "2026-11-27": {"-": 9, "acme": 1}},
                                                 "mta9": {"2026-11-27": {"-": 1}}})
        logs = {"mta1": {"2026-11-27": {"none.example": 9}, "2026-11-28": {"a.example": 1}}}
        days = {"2026-11-26": {"-": 9}, "2026-11-27": {"-": 9, "acme": 1}, "2026-11-28": {"acme": 1}}
        assert now(server, before=before, logs=logs).messages == {"mta1": days}
        assert now(server, before=before).messages["mta1"] == before.messages["mta1"]

    def test_old_days_go(self, server):
        before = Observations("2026-11-27", {}, {"mta1": {"2026-10-01": {"-": 9}, "2026-10-29": {"-": 1}}})
        assert now(server, before=before).messages == {"mta1": {"2026-10-29": {"-": 1}}}


def test_a_second_time_nothing_is_new(server):
    logs = {"mta1": {"2026-11-27": {"a.example": 3, "servfail.example": 1}}}
    first = now(server, "null.example", "gone.example", logs=logs)
    assert now(server, "null.example", "gone.example", before=first, logs=logs) == first
    assert first.date == "2026-11-28"


def test_parts_of_others_stay(server):
    before = Observations(others={"warmup": {"x": 1}})
    assert now(server, before=before).others == {"warmup": {"x": 1}}


def test_what_is_too_much_is_left_out_and_counted(server, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    logs = {"mta1": {"2026-11-27": {"none.example": 1}, "2026-11-28": {"gone.example": 1}}}
    with Lookup([server.server]) as lookup:
        found, left = observe(lookup, FLEET, Observations(), ["null.example"], logs, DATE)
    assert (set(found.domains), left) == ({"a.example", "null.example"}, 2)


def test_what_was_silent_before_is_asked_for_last(server):
    names = ["dead.example", "null.example"]
    before = Observations("2026-11-27", {"dead.example": Observed((), "192.0.2.1 did not say: timeout")})
    found = now(server, *names, before=before)
    assert list(found.domains) == ["a.example", "null.example", "dead.example"]


def test_long_lists_are_asked_for_in_parts_and_tell_how_far_they_are(server, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 7)
    monkeypatch.setattr(module, "EVERY", 0.0)
    names = [f"n{number}.example" for number in range(20)]
    told = []
    with Lookup([server.server]) as lookup:
        found = dict(ask(lookup, names, told.append))
        assert len(lookup._cache.items()) <= 7
    assert list(found) == names and all(outcome.said for outcome in found.values())
    assert told[0].startswith("1 of 20 domains asked, 0 s") and told[-1].startswith("20 of 20 domains asked")


def test_what_there_was_no_time_for_stays_where_it_was(server):
    before = Observations("2026-11-27", {"null.example": Observed(("in.mx.test",))})
    with Lookup([server.server], deadline=1e-6) as lookup:
        found, _left = observe(lookup, FLEET, before, ["null.example"], {}, DATE)
    assert found.domains["null.example"].mx == ("in.mx.test",)
    assert "the deadline of 1e-06 s" in found.domains["null.example"].silent
