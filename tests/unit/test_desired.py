# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state: records with their reasons, layers, keys; always of the whole fleet."""

from __future__ import annotations

import copy
import datetime
import ipaddress
import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.desired_records import BOUNCE_HOSTS, former_addresses
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import MAX_ANSWER, answer_size
from ansible_collections.mailfleet.sending.plugins.module_utils.wanted_keys import wanted_keys

DATE = datetime.date(2026, 11, 23)
VARIABLES = {
    "sending_domains": [
        {
            "name": "example.com",
            "bounce_domain": "e.example.com",
            "dmarc": {"policy": "quarantine", "rua": ["dmarc@example.com"], "spf_alignment": "strict"},
        },
        {"name": "example.us", "bounce_domain": "e.example.us", "spf": {"include": ["example.com"]}},
        {"name": "example.eu", "spf": {"redirect": "example.com"}, "dmarc": False},
    ],
    "sending_providers": [
        {"name": "throttle", "domains": ["orange.fr", "wanadoo.fr"], "connections": 1, "delay": "1s"}
    ],
    "sending_networks": [{"network": "10.1.0.0/16", "domains": ["example.us"]}, {"network": "fd00:1::/64"}],
    "sending_users": [{"name": "app", "password_hash": "$6$salt$hunter2", "domains": ["example.us"]}],
}
HOSTS = {
    "mta1": {
        "sending_addresses": [
            {"address": "198.51.100.10", "helo": "mta1.example.com"},
            {"address": "2001:db8::10", "helo": "mta1.example.com"},
        ]
    },
    "mta2": {"sending_addresses": [{"address": "198.51.100.20", "helo": "mta2.example.com"}]},
}
PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+"
    "Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
KNOWN = {
    "example.com": {
        "m20250101": {"public": PUBLIC, "created": "2025-01-01", "scope": "fleet", "server": None, "seen": None}
    }
}


def desired(variables=None, hosts=None, known=None, published=()):
    return desired_state(read_fleet(variables or VARIABLES, hosts or HOSTS), known or {}, published, DATE)


def values(state, owner, kind="TXT", part="records"):
    return [record["value"] for record in state[part] if record["owner"] == owner + "." and record["type"] == kind]


def test_every_kind_of_record_is_there_with_its_reason():
    state = desired(known=KNOWN)
    assert values(state, "mta1.example.com", "A") == ["198.51.100.10"]
    assert values(state, "mta1.example.com", "AAAA") == ["2001:db8::10"]
    assert values(state, "mta1.example.com") == ["v=spf1 ip4:198.51.100.10 ip6:2001:db8::10 -all"]
    assert values(state, "10.100.51.198.in-addr.arpa", "PTR") == ["mta1.example.com."]
    assert values(state, ipaddress.ip_address("2001:db8::10").reverse_pointer, "PTR") == ["mta1.example.com."]
    assert values(state, "example.com") == ["v=spf1 ip4:198.51.100.10 ip4:198.51.100.20 ip6:2001:db8::10 ~all"]
    assert values(state, "example.us") == ["v=spf1 include:example.com ~all"]
    assert values(state, "example.eu") == ["v=spf1 redirect=example.com"]
    assert values(state, "e.example.com") == ["v=spf1 ip4:198.51.100.10 ip4:198.51.100.20 ip6:2001:db8::10 -all"]
    assert values(state, "e.example.us") == ["v=spf1 include:e.example.com -all"]
    assert values(state, "e.example.com", "MX") == ["10 mta1.example.com.", "10 mta2.example.com."]
    assert values(state, "m20250101._domainkey.example.com") == [f"v=DKIM1; k=rsa; p={PUBLIC}"]
    assert values(state, "_dmarc.example.com") == ["v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com; aspf=s"]
    assert values(state, "_dmarc.example.us") == ["v=DMARC1; p=none"]
    assert values(state, "_dmarc.example.eu") == []
    assert all(record["reason"] for record in state["records"])


def key(public=PUBLIC, seen=None, server=None):
    scope = "server" if server else "fleet"
    return {"public": public, "created": "2026-11-23", "scope": scope, "server": server, "seen": seen}


def test_the_record_of_a_key_that_check_mode_would_make_is_marked():
    state = desired(known={**KNOWN, "example.us": {"m20261123": key(public="")}})
    assert values(state, "m20261123._domainkey.example.us") == ["v=DKIM1; k=rsa; p=(told when the key is made)"]
    assert [each["domain"] for each in state["public_keys"]] == ["example.com"], "there is nothing to be verified yet"


def test_a_key_that_nobody_made_yet_has_no_record():
    state = desired(known=KNOWN)
    assert not values(state, "m20261123._domainkey.example.us")
    assert {"domain": "example.us", "selector": "m20261123"} in state["wanted_keys"]


def test_a_key_has_a_record_while_it_is_wanted_or_may_have_signed():
    """Whoever chooses another selector since DNS serves another key under the first is rid of the first one."""
    known = {"example.com": {"k20260101": key(seen="2026-01-02"), "l20260202": key(), "m20261123": key()}}
    state = desired(known=known)
    owners = {record["owner"].split(".")[0] for record in state["records"] if "._domainkey." in record["owner"]}
    assert owners == {"k20260101", "m20261123"} == {each["selector"] for each in state["public_keys"]}


def test_nothing_secret_is_in_the_desired_state():
    assert "hunter2" not in repr(desired(known=KNOWN))


def many(count):
    """A dual-stack fleet as hosters rent it: runs of neighbouring addresses with other people's between them."""
    return {
        f"mta{n:03d}": {
            "sending_addresses": [
                {"address": f"198.18.{n // 16}.{n % 16}", "helo": f"mta{n}.example.com"},
                {"address": f"2001:db8:{n // 16:x}::{n % 16:x}", "helo": f"mta{n}.example.com"},
            ]
        }
        for n in range(1, count + 1)
    }


def lookups(values_by_owner, owner):
    """Lookups of an evaluation that never matches (RFC 7208 4.6.4), counted from the records alone."""
    total = 0
    for term in values_by_owner[owner].split()[1:]:
        name, _separator, target = term.replace("redirect=", "include:").partition(":")
        if name == "include":
            total += 1 + lookups(values_by_owner, target + ".")
    return total


@pytest.mark.parametrize("count", [1, 30, 200])
def test_spf_keeps_its_limits_at_any_size(count):
    spf = [
        Record.from_dict(entry)
        for entry in desired(hosts=many(count))["records"]
        if entry["value"].startswith("v=spf1")
    ]
    by_owner = {record.owner: record.value for record in spf}
    for owner in ("example.com.", "example.us.", "example.eu.", "e.example.com.", "e.example.us."):
        assert lookups(by_owner, owner) <= 10
    assert all(answer_size(record.owner, [record.value]) < MAX_ANSWER for record in spf)
    passed = {
        str(address)
        for value in by_owner.values()
        for term in value.split()
        if term.startswith(("ip4:", "ip6:"))
        for address in ipaddress.ip_network(term.partition(":")[2])
    }
    assert passed == {
        str(ipaddress.ip_address(entry["address"]))
        for host in many(count).values()
        for entry in host["sending_addresses"]
    }


def test_bounces_of_a_large_fleet_come_back_to_some_of_its_servers():
    names = [f"e{number}.example.com" for number in range(40)]
    variables = {"sending_domains": [{"name": name.replace("e", "d", 1), "bounce_domain": name} for name in names]}
    one, more = (desired(variables, {f"mta{number:02}": {"sending_addresses": [
        {"address": f"198.51.100.{number}", "helo": f"mta{number:02}.example.com"}]} for number in range(count)})
        for count in (60, 61))
    hosts = {name: values(one, name, "MX") for name in names}
    assert {len(found) for found in hosts.values()} == {BOUNCE_HOSTS}
    assert hosts["e0.example.com"] == sorted(hosts["e0.example.com"])
    assert len({host for found in hosts.values() for host in found}) > 50, "each domain has others"
    moved = [set(hosts[name]) - set(values(more, name, "MX")) for name in names]
    assert all(len(left) <= 1 for left in moved) and sum(map(len, moved)) < 15, "another server moves few"
    receivers = {entry["domain"]: entry["hosts"] for entry in one["receivers"]}
    assert receivers["e0.example.com"] == [value.removeprefix("10 ") for value in hosts["e0.example.com"]]


def test_what_dns_is_verified_by_is_part_of_the_whole_and_grows_with_the_sum_not_the_product():
    def made(servers, domains):
        hosts = {f"mta{number}": {"sending_addresses": [
            {"address": f"198.51.100.{number}", "helo": f"mta{number}.example.com"}]} for number in range(servers)}
        variables = {"sending_domains": [
            {"name": f"d{number}.example", "bounce_domain": f"e.d{number}.example"} for number in range(domains)]}
        fleet = read_fleet(variables, hosts)
        whole, part = (desired_state(fleet, {}, (), DATE, dns_only) for dns_only in (False, True))
        assert part.items() <= whole.items()
        return len(json.dumps(part))

    few, servers, domains, both = made(50, 50), made(100, 50), made(50, 100), made(100, 100)
    assert both - few < 1.1 * ((servers - few) + (domains - few))


def test_spf_that_cannot_be_composed_is_a_mistake_with_its_path():
    variables = copy.deepcopy(VARIABLES)
    variables["sending_domains"][0]["spf"] = {"external": [{"name": "_spf.example.net", "lookups": 10}]}
    with pytest.raises(Mistakes) as caught:
        desired(variables)
    assert caught.value.mistakes[0].path == "sending_domains[0].spf"
    assert caught.value.mistakes[0].found == "11 lookups"


def test_what_left_passes_spf_until_the_rest_is_proved():
    before = [Record.from_dict(entry) for entry in desired()["records"]]
    after = desired(hosts={"mta1": HOSTS["mta1"]}, published=before)
    assert values(after, "example.com") == ["v=spf1 ip4:198.51.100.10 ip6:2001:db8::10 ~all"]
    assert values(after, "example.com", part="additions") == [
        "v=spf1 ip4:198.51.100.10 ip4:198.51.100.20 ip6:2001:db8::10 ~all"
    ]
    assert former_addresses(read_fleet(VARIABLES, HOSTS), before) == []


def test_what_greeted_with_a_name_passes_its_spf_until_the_rest_is_proved():
    """Two servers change addresses: each still greets as before from its old one while the other is configured."""
    before = [Record.from_dict(entry) for entry in desired()["records"]]
    changed = copy.deepcopy(HOSTS)
    changed["mta1"]["sending_addresses"][0]["address"] = "198.51.100.20"
    changed["mta2"]["sending_addresses"][0]["address"] = "198.51.100.10"
    after = desired(hosts=changed, published=before)
    both = "ip4:198.51.100.10 ip4:198.51.100.20"
    assert values(after, "mta1.example.com", part="additions") == [f"v=spf1 {both} ip6:2001:db8::10 -all"]
    assert values(after, "mta2.example.com", part="additions") == [f"v=spf1 {both} -all"]
    assert values(after, "mta1.example.com") == ["v=spf1 ip4:198.51.100.20 ip6:2001:db8::10 -all"]
    assert values(after, "mta2.example.com") == ["v=spf1 ip4:198.51.100.10 -all"]
    assert desired(published=before)["additions"] == desired()["records"]


def test_the_seeds_throttle_to_the_letter():
    layer = desired()["servers"]["mta1"]["layers"]["throttle"]
    assert layer["services"] == {
        "throttle/unix": {
            "private": "-",
            "unprivileged": "-",
            "chroot": "-",
            "wakeup": "-",
            "maxproc": "1",
            "command": "smtp",
            "options": {},
        }
    }
    assert layer["tables"]["transport"]["entries"] == [["orange.fr", "throttle:"], ["wanadoo.fr", "throttle:"]]
    assert layer["parameters"] == {"transport_maps": "{table:transport}", "throttle_destination_rate_delay": "1s"}


def test_mail_to_a_domain_stays_on_no_server_that_is_called_like_it():
    hosts = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "example.com"}]}}
    layer = desired_state(read_fleet(VARIABLES, hosts), KNOWN, [], DATE)["servers"]["mta1"]["layers"]["postfix"]
    assert layer["parameters"]["mydestination"] == "localhost, e.example.com, e.example.us"


def test_the_servers_own_mail_is_from_and_to_the_first_domain_and_leaves_the_server():
    parameters = desired()["servers"]["mta2"]["layers"]["postfix"]["parameters"]
    assert parameters["myorigin"] == "example.com"
    assert "example.com" not in parameters["mydestination"].split(", ")


@pytest.mark.parametrize(
    ("zone", "owner"),
    [
        ("0/25.100.51.198.in-addr.arpa", "10.0/25.100.51.198.in-addr.arpa."),
        ("8-15.100.51.198.in-addr.arpa", "10.8-15.100.51.198.in-addr.arpa."),
        ("0/29.100.51.198.in-addr.arpa", "10.100.51.198.in-addr.arpa."),
        ("16-31.100.51.198.in-addr.arpa", "10.100.51.198.in-addr.arpa."),
        ("0/25.101.51.198.in-addr.arpa", "10.100.51.198.in-addr.arpa."),
        ("dialup.100.51.198.in-addr.arpa", "10.100.51.198.in-addr.arpa."),
    ],
)
def test_a_pointer_stands_in_the_part_of_the_zone_that_is_ours(zone, owner):
    fleet = read_fleet({**VARIABLES, "sending_zones": [{"name": zone}]}, HOSTS)
    found = [record for record in desired_state(fleet, KNOWN, [], DATE)["records"] if record["type"] == "PTR"]
    assert {record["owner"] for record in found if record["owner"].startswith("10.")} == {owner}


def test_the_narrowest_network_counts_whatever_the_order():
    """Postfix takes the first match of a cidr table; the policy that judges From takes the narrowest network."""
    variables = copy.deepcopy(VARIABLES)
    variables["sending_networks"] = [
        {"network": network, "domains": ["example.us"]} for network in ("10.0.0.0/8", "127.0.0.1/32", "10.1.0.0/16")
    ]
    layer = desired_state(read_fleet(variables, HOSTS), KNOWN, [], DATE)["servers"]["mta1"]["layers"]["postfix"]
    order = [network for network, _class in layer["tables"]["networks"]["entries"]]
    assert order.index("10.1.0.0/16") < order.index("10.0.0.0/8")
    assert order.index("127.0.0.1/32") < order.index("127.0.0.0/8")


def test_a_login_and_a_network_have_their_own_domains_only():
    layer = desired()["servers"]["mta1"]["layers"]["postfix"]
    logins = dict(map(tuple, layer["tables"]["logins"]["entries"]))
    assert logins["@example.us"] == logins["@e.example.us"] == "app,probe"
    assert logins["@example.com"] == "probe"
    assert logins["probe@e.example.us"] == "probe"
    assert layer["tables"]["senders_network_0"]["entries"] == [["example.us", "OK"], ["e.example.us", "OK"]]
    assert ["10.1.0.0/16", "mailfleet_network_0"] in layer["tables"]["networks"]["entries"]
    assert layer["parameters"]["mynetworks"] == "127.0.0.0/8 [::1]/128 10.1.0.0/16 [fd00:1::]/64"


def test_every_address_has_a_transport_that_speaks_its_family_and_name():
    services = desired()["servers"]["mta1"]["layers"]["postfix"]["services"]
    assert services["ip-2001-db8--10/unix"]["options"]["inet_protocols"] == "ipv6"
    assert services["ip-2001-db8--10/unix"]["options"]["smtp_bind_address6"] == "2001:db8::10"
    assert services["ip-198-51-100-10/unix"]["options"]["smtp_helo_name"] == "mta1.example.com"


def keys(known, scope="fleet", prefix="m", hosts=None):
    variables = {
        **VARIABLES,
        "sending_domains": [{"name": "example.com"}],
        "sending_users": [],
        "sending_networks": [],
        "sending_dkim_scope": scope,
        "sending_dkim_selector": prefix,
    }
    return [(key.selector, key.server) for key in wanted_keys(read_fleet(variables, hosts or HOSTS), known, DATE)]


def test_the_date_of_a_key_is_the_one_that_it_was_made_on():
    assert keys({}) == [("m20261123", "")]
    assert keys(KNOWN) == [("m20250101", "")]
    assert keys(KNOWN, prefix="n") == [("n20261123", "")]


def test_what_dkim_key_is_asked_for_says_which_keys_serve_instead():
    fleet = read_fleet(VARIABLES, {"mta1": HOSTS["mta1"]})
    asked = wanted_keys(fleet, {"example.us": {"m20250101": key()}}, DATE)[:2]
    assert [each.as_dict() for each in asked] == [
        {"domain": "example.com", "selector": "m20261123", "bits": 2048, "instead": "m[0-9]{8}", "public": ""},
        {"domain": "example.us", "selector": "m20250101", "bits": 2048, "instead": "m[0-9]{8}", "public": PUBLIC},
    ]
    own = read_fleet({**VARIABLES, "sending_dkim_scope": "server"}, {"mta1": HOSTS["mta1"]})
    assert wanted_keys(own, {}, DATE)[0].instead == "m[0-9]{8}-mta1"


def test_a_key_of_each_server_is_named_after_it():
    assert keys(KNOWN, "server") == [("m20261123-mta1", "mta1"), ("m20261123-mta2", "mta2")]
    same = {"mx.one.example": HOSTS["mta1"], "mx.two.example": HOSTS["mta2"]}
    assert keys({}, "server", hosts=same) == [
        ("m20261123-mx-one-example", "mx.one.example"),
        ("m20261123-mx-two-example", "mx.two.example"),
    ]
    known = {
        "example.com": {
            "m20250505-mta2": {"public": PUBLIC, "created": "2025-05-05", "scope": "server", "server": "mta2"}
        }
    }
    assert keys(known, "server") == [("m20261123-mta1", "mta1"), ("m20250505-mta2", "mta2")]


def test_defaults_of_dkim_are_those_of_the_role():
    assert Dkim() == Dkim("fleet", "m", 2048)


def test_a_damaged_record_of_before_is_told_with_its_owner():
    with pytest.raises(ValueError, match=r"example\.com\. 'v=spf1 ip4:banana -all'"):
        former_addresses(read_fleet(VARIABLES, HOSTS), [Record("example.com", "TXT", "v=spf1 ip4:banana -all")])
