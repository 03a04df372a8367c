# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which provider a domain is hosted at by its MX, and what is told of domains that moved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import hosting
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import PORT, place
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import Observations, Observed
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import shape

HOSTS = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}]}}
OUTLOOK = "x.mail.protection.outlook.com"


def fleet(*providers):
    return read_fleet({"sending_domains": [{"name": "example.com", "bounce_domain": "e.example.com"}],
                       "sending_providers": list(providers or ("google", "microsoft365", "outlook"))}, HOSTS)


def observed(**domains) -> Observations:
    """Domains of example, an underscore standing for a dot, with their MX hosts."""
    return Observations("2026-11-28", {f"{name.replace('_', '.')}.example": Observed(mx if mx is None else tuple(mx))
                                       for name, mx in domains.items()})


@pytest.mark.parametrize("mx, provider", [
    (["aspmx.l.google.com"], "google"),
    (["ASPMX.L.Google.COM."], "google"),
    (["google.com"], "google"),
    # Only whole labels count.
    (["notgoogle.com"], ""),
    (["mx.google.com.example"], ""),
    (["google.com.evil.example"], ""),
    (["xgoogle.com", "google.org"], ""),
    ([OUTLOOK], "microsoft365"),
    (["x.olc.protection.outlook.com"], "outlook"),
    (["protection.outlook.com"], ""),
    # One host at a provider is enough.
    (["mx.acme.example", "aspmx.l.google.com"], "google"),
    (["aspmx.l.google.com", OUTLOOK, "y.mail.protection.outlook.com"], "microsoft365"),
    (["a." + OUTLOOK, "aspmx.l.google.com"], "google"),
    ([], ""),
    (["."], ""),
    (None, ""),
])
def test_the_provider_of_mx_hosts(mx, provider):
    assert hosting.Hosting(fleet()).by_mx(mx) == provider


def test_of_equals_the_one_that_the_inventory_names_first():
    mx = [OUTLOOK, "aspmx.l.google.com"]
    assert hosting.Hosting(fleet("google", "microsoft365")).by_mx(mx) == "google"
    assert hosting.Hosting(fleet("microsoft365", "google")).by_mx(mx) == "microsoft365"


@given(st.lists(st.sampled_from(["aspmx.l.google.com", "alt1.aspmx.l.google.com", OUTLOOK, "mx.acme.example", "."])),
       st.randoms())
def test_the_order_of_hosts_means_nothing(mx, random):
    places = hosting.Hosting(fleet())
    other = list(mx)
    random.shuffle(other)
    assert places.by_mx(mx) == places.by_mx(other)


def test_a_domain_that_is_listed_stays_there_and_one_that_ends_here_goes_nowhere():
    made = fleet("google", {"name": "acme", "domains": ["acme.example"], "mx": ["mx.acme.example"], "connections": 1})
    now = Observations("2026-11-28", {name: Observed(("aspmx.l.google.com",)) for name in (
        "acme.example", "other.example", "gmail.com", "e.example.com", "mta1.example.com", "example.com")})
    assert hosting.hosted(made, now) == {"example.com": "google", "other.example": "google"}
    assert hosting.astray(made, now) == [hosting.Astray("acme.example", "acme", "google", ("aspmx.l.google.com",))]


def test_a_sending_domain_that_a_server_is_called_by_does_not_end_here():
    made = read_fleet({"sending_domains": [{"name": "mta1.example.com"}], "sending_providers": ["google"]}, HOSTS)
    now = Observations("2026-11-28", {"mta1.example.com": Observed(("aspmx.l.google.com",))})
    assert hosting.hosted(made, now) == {"mta1.example.com": "google"}


def test_only_a_provider_whose_hosts_are_known_can_lose_a_domain_to_nobody():
    mine = {"name": "acme", "domains": ["acme.example"], "connections": 1}
    now = observed(acme=["mx.acme.example"])
    assert hosting.astray(fleet(mine), now) == []
    (found,) = hosting.astray(fleet({**mine, "mx": ["acme.net"]}), now)
    assert (found.domain, found.provider, found.at) == ("acme.example", "acme", "")
    assert hosting.astray(fleet({**mine, "mx": ["acme.net"]}), observed(acme=None)) == []


def test_moves_are_those_by_mx_and_not_by_the_inventory():
    before = observed(a=["aspmx.l.google.com"], b=["mx.b.example"], c=None, d=["aspmx.l.google.com"], e=[OUTLOOK])
    now = observed(a=[OUTLOOK], b=["aspmx.l.google.com"], c=["aspmx.l.google.com"], d=[], e=[OUTLOOK], f=[OUTLOOK])
    assert [(move.domain, move.old, move.new) for move in hosting.moves(fleet(), before, now)] == [
        ("a.example", "google", "microsoft365"), ("b.example", "", "google"), ("d.example", "google", "")]
    assert hosting.moves(fleet("google"), now, now) == []


def test_another_host_of_the_same_provider_is_no_move():
    before, now = observed(a=["aspmx.l.google.com"]), observed(a=["smtp.google.com"])
    assert hosting.moves(fleet(), before, now) == []


def test_shipped_providers_that_nobody_named_are_counted():
    now = observed(a=[OUTLOOK], b=[OUTLOOK], c=["mx-in.x.yahoodns.net"], d=["mx.d.example"], e=["aspmx.l.google.com"])
    assert hosting.unnamed(fleet("google"), now) == {"microsoft365": 2, "yahoo": 1}
    assert hosting.unnamed(fleet("google", "microsoft365", "yahoo"), now) == {}
    # Who says other hosts of a provider knows better.
    assert hosting.unnamed(fleet({"name": "google", "mx": ["google.test"]}), observed(e=["aspmx.l.google.com"])) == {}


def test_hosted_domains_of_a_provider_lead_to_its_lane_and_of_none_nowhere():
    made = fleet("google")
    at = hosting.hosted(made, observed(a=["aspmx.l.google.com"], b=[OUTLOOK]))
    layer = throttle_layer(made, made.servers[0], shape(made, at).of("mta1"), at)
    assert layer["tables"]["transport"]["lines"] == f"a.example lane:[{place('google')}]:{PORT}\n"
    layer = throttle_layer(made, made.servers[0], shape(made).of("mta1"), {})
    assert "lines" not in layer["tables"]["transport"]


def test_messages_are_counted_by_provider():
    now = observed(a=["aspmx.l.google.com"], b=["mx.b.example"])
    counts = {"a.example": 3, "gmail.com": 4, "b.example": 5, "unknown.example": 6}
    assert hosting.by_provider(hosting.Hosting(fleet()), counts, now) == {"-": 11, "google": 7}


@pytest.mark.parametrize("mx, refuses", [(None, False), ([], True), (["."], True), (["mx.example"], False)])
def test_who_takes_no_mail(mx, refuses):
    assert hosting.takes_no_mail(mx) is refuses
