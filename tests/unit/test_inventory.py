# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory read: what serves without being written, and every mistake with its path."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes

VARIABLES = {
    "sending_domains": [
        {
            "name": "example.com",
            "bounce_domain": "e.example.com",
            "dmarc": {"policy": "none", "rua": ["dmarc@example.com"]},
        },
        {"name": "example.us", "spf": {"include": ["example.com"], "all": "softfail"}},
    ],
    "sending_providers": [
        "google",
        {"name": "throttle", "domains": ["orange.fr", "wanadoo.fr"], "connections": 1, "delay": "1s"},
    ],
    "sending_users": [{"name": "app", "password_hash": "{SHA512-CRYPT}$6$x$y", "domains": ["example.us"]}],
    "sending_networks": [{"network": "10.1.0.0/16", "domains": ["example.com"]}],
    "sending_zones": [{"name": "example.com", "server": "192.0.2.53", "key": {"name": "k", "secret": "c2VjcmV0"}}],
}
HOSTS = {
    "mta1": {
        "sending_addresses": [
            {"address": "198.51.100.10", "helo": "mta1.example.com"},
            {"address": "2001:DB8:0::10", "helo": "mta1.example.com"},
        ]
    },
    "mta2": {"sending_addresses": [{"address": "198.51.100.20", "helo": "MTA2.example.com.", "bind": "10.0.0.20"}]},
}


def mistakes(change) -> dict[str, str]:
    """The mistakes, by path, that a change to a good inventory makes."""
    variables, hosts = copy.deepcopy(VARIABLES), copy.deepcopy(HOSTS)
    change(variables, hosts)
    with pytest.raises(Mistakes) as caught:
        read_fleet(variables, hosts)
    return {mistake.path: f"{mistake.found} | {mistake.expected} | {mistake.mend}" for mistake in caught.value.mistakes}


def test_good_inventory_is_read_in_canonical_form():
    fleet = read_fleet(VARIABLES, HOSTS)
    assert fleet.addresses == ("198.51.100.10", "198.51.100.20", "2001:db8::10")
    assert fleet.servers[1].addresses[0].helo == "mta2.example.com"
    assert fleet.servers[1].addresses[0].bind == "10.0.0.20"
    assert fleet.servers[0].addresses[1].transport == "ip-2001-db8--10"
    assert fleet.domains[0].mail_from == "e.example.com"
    assert fleet.domains[1].mail_from == "example.us"
    assert fleet.domains[1].auxiliary and not fleet.domains[0].auxiliary
    assert fleet.with_bounces(("example.com",)) == ("example.com", "e.example.com")


def test_defaults_serve():
    fleet = read_fleet({"sending_domains": [{"name": "example.com"}]}, {"mta1": HOSTS["mta1"]})
    assert fleet.domains[0].dmarc.policy == "none"
    assert fleet.domains[0].spf.all == "softfail"
    assert fleet.dkim.scope == "fleet" and fleet.dkim.bits == 2048
    assert fleet.unsigned == "defer"


def put(path, value):
    """A change that sets one place of the inventory; the first step is 0 for the variables, 1 for the hosts."""

    def change(variables, hosts):
        place = (variables, hosts)[path[0]]
        for step in path[1:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        (
            put((0, "sending_domains", 1, "spf", "include", 0), "example.net"),
            "sending_domains[1].spf.include[0]",
            "no such domain",
        ),
        (
            put((0, "sending_domains", 1, "spf", "include", 0), "example.co"),
            "sending_domains[1].spf.include[0]",
            "did you mean example.com?",
        ),
        (
            put((0, "sending_domains", 1, "spf"), {"redirect": "example.com", "all": "fail"}),
            "sending_domains[1].spf.redirect",
            "redirect alone",
        ),
        (
            put((0, "sending_domains", 1, "bounce_domain"), "example.com"),
            "sending_domains[1].bounce_domain",
            "sending_domains[0].name has this one",
        ),
        (
            put((0, "sending_domains", 0, "bounce_domain"), "exa mple"),
            "sending_domains[0].bounce_domain",
            "domain name",
        ),
        (
            put((0, "sending_domains", 0, "dmarc", "policy"), "rejct"),
            "sending_domains[0].dmarc.policy",
            "did you mean reject?",
        ),
        (put((0, "sending_domains", 0, "dmarc", "rua", 0), "nobody"), "sending_domains[0].dmarc.rua[0]", "an address"),
        (
            put((0, "sending_domains", 0, "bounce_domian"), "e.example.com"),
            "sending_domains[0].bounce_domian",
            "did you mean bounce_domain?",
        ),
        (put((0, "sending_domains"), []), "sending_domains", "at least one domain"),
        (put((0, "sending_domains"), "example.com"), "sending_domains", "a list"),
        (put((0, "sending_providers", 0), "gogle"), "sending_providers[0]", "did you mean google?"),
        (
            put((0, "sending_providers", 1, "domains", 0), "gmail.com"),
            "sending_providers[1].domains",
            "no other provider",
        ),
        (put((0, "sending_providers", 1, "domains"), []), "sending_providers[1].domains", "add domains"),
        (put((0, "sending_providers", 0), "throttle"), "sending_providers[0]", "a shipped provider"),
        (put((0, "sending_providers", 1), "google"), "sending_providers[1]", "sending_providers[0] has this one"),
        (
            put((0, "sending_providers", 1, "domains", 0), "e.example.com"),
            "sending_providers[1].domains",
            "ends here, by sending_domains[0].bounce_domain | leave it out",
        ),
        (
            put((0, "sending_providers", 1, "domains", 0), "mta2.example.com"),
            "sending_providers[1].domains",
            "ends here, by mta2: sending_addresses[0].helo",
        ),
        (put((0, "sending_providers", 1, "delay"), "soon"), "sending_providers[1].delay", "a time such as 1s"),
        (put((0, "sending_providers", 1, "name"), "smtp"), "sending_providers[1].name", "not one of Postfix' own"),
        (put((0, "sending_providers", 1, "connections"), 0), "sending_providers[1].connections", "from 1 to 1000"),
        (
            put((0, "sending_users", 0, "domains", 0), "example.org"),
            "sending_users[0].domains[0]",
            "a name of sending_domains",
        ),
        (put((0, "sending_users", 0, "name"), "probe"), "sending_users[0].name", "which the probe uses"),
        (put((0, "sending_networks", 0, "network"), "0.0.0.0/0"), "sending_networks[0].network", "no wider than /8"),
        (put((0, "sending_networks", 0, "network"), "10.1.0.1/16"), "sending_networks[0].network", "write 10.1.0.0/16"),
        (put((0, "sending_networks", 0, "network"), "10.1.0.0/40"), "sending_networks[0].network", "such as 10.0.0"),
        (put((0, "sending_zones", 0, "key"), {"name": "k"}), "sending_zones[0].key.secret", "add secret"),
        (put((0, "sending_zones", 0, "key"), "c2VjcmV0"), "sending_zones[0].key", "a text (not shown)"),
        (put((0, "sending_zones", 0, "key", "secret"), "hunter2"), "sending_zones[0].key.secret", "not base64"),
        (put((0, "sending_zones", 0, "key", "secret"), 12345678), "sending_zones[0].key.secret", "in quotes"),
        (put((0, "sending_zones", 0, "key", "name"), "a b"), "sending_zones[0].key.name", "knows the key by"),
        (
            put((0, "sending_zones", 0, "key", "algorithm"), "hmac-sha265"),
            "sending_zones[0].key.algorithm",
            "did you mean hmac-sha256?",
        ),
        (put((0, "sending_zones", 0, "server"), "192.0.2.53:5353"), "sending_zones[0].server", "its own key"),
        (put((0, "sending_zones", 0, "server"), "192.0.2.530"), "sending_zones[0].server", "an IP address or the name"),
        (put((0, "sending_zones", 0, "server"), ""), "sending_zones[0].server", "to publish by hand"),
        (put((0, "sending_zones", 0, "port"), 65536), "sending_zones[0].port", "from 1 to 65535"),
        (put((0, "sending_zones", 0, "name"), "0/25"), "sending_zones[0].name", "0/25.100.51.198.in-addr.arpa"),
        (put((0, "sending_dkim_selector"), "a_b"), "sending_dkim_selector", "letters, digits and -"),
        (put((0, "sending_dkim_selector"), "x" * 15), "sending_dkim_selector", "letters, digits and -"),
        (put((0, "sending_dkim_scope"), "servers"), "sending_dkim_scope", "did you mean server?"),
        (put((0, "sending_unsigned"), "maybe"), "sending_unsigned", "one of defer, allow"),
        (
            put((1, "mta2", "sending_addresses", 0, "address"), "198.51.100.10"),
            "mta2: sending_addresses[0].address",
            "mta1: sending_addresses[0].address has this one",
        ),
        (
            put((1, "mta2", "sending_addresses", 0, "helo"), "mta2"),
            "mta2: sending_addresses[0].helo",
            "fully qualified host name",
        ),
        (
            put((1, "mta2", "sending_addresses", 0, "helo"), "a_b.example.com"),
            "mta2: sending_addresses[0].helo",
            "fully qualified host name",
        ),
        (
            put((1, "mta2", "sending_addresses", 0, "address"), "127.0.0.1"),
            "mta2: sending_addresses[0].address",
            "others can reach",
        ),
        (
            put((1, "mta2", "sending_addresses", 0, "bind"), "2001:db8::1"),
            "mta2: sending_addresses[0].bind",
            "same family",
        ),
        (put((1, "mta2", "sending_addresses"), None), "mta2: sending_addresses", "a list of {address, helo}"),
        (put((1, "mta2", "sending_addresses", 0, "helo"), ""), "mta2: sending_addresses[0].helo", "add helo"),
        (put((1, "mta2", "sending_addresses", 0, "address"), False), "mta2: sending_addresses[0].address", "False"),
        (put((1, "mta2", "sending_tls_key"), "/k.pem"), "mta2: sending_tls_certificate", "the other half is given"),
    ],
)
def test_a_mistake_is_told_with_its_path(change, path, words):
    found = mistakes(change)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize("name", ["0/25.100.51.198.in-addr.arpa", "0-127.100.51.198.in-addr.arpa"])
def test_a_part_of_a_reverse_zone_is_a_zone(name):
    """RFC 2317: a hoster gives away less than 256 addresses under a name of its own choice."""
    assert read_fleet({**VARIABLES, "sending_zones": [{"name": name}]}, HOSTS).zones == (name,)


@pytest.mark.parametrize("server", ["192.0.2.53", "2001:db8::53", "127.0.0.1", "ns1", "ns1.example.net."])
def test_a_zone_has_a_server_by_address_or_name(server):
    read_fleet({**VARIABLES, "sending_zones": [{"name": "example.com", "server": server}]}, HOSTS)


def test_a_zone_stands_there_once():
    told = mistakes(lambda v, h: v["sending_zones"].append({"name": "Example.com."}))
    assert "sending_zones[0] has this one" in told["sending_zones[1].name"]


def test_mail_to_a_sending_domain_may_have_limits():
    """Its mailboxes are elsewhere, even where a server is called as it is."""
    hosts = {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "example.com"}]}}
    limits = [{"name": "office", "domains": ["example.com"], "connections": 2}]
    assert read_fleet({**VARIABLES, "sending_providers": limits}, hosts).providers[0].domains == ("example.com",)


def test_an_address_is_told_where_it_stands_behind_a_mistake():
    def change(variables, hosts):
        hosts["mta2"]["sending_addresses"] = [
            {"address": "198.51.100.999", "helo": "mta2.example.com"},
            {"address": "198.51.100.10", "helo": "mta2.example.com"},
        ]

    assert set(mistakes(change)) == {"mta2: sending_addresses[0].address", "mta2: sending_addresses[1].address"}


def test_all_mistakes_at_once():
    def change(variables, hosts):
        variables["sending_unsigned"] = "x"
        variables["sending_providers"].append("nobody")
        hosts["mta1"]["sending_addresses"][0]["helo"] = "x"

    assert set(mistakes(change)) == {"sending_unsigned", "sending_providers[2]", "mta1: sending_addresses[0].helo"}


@pytest.mark.parametrize("name", ["Probe", "PROBE", "App"])
def test_logins_that_differ_in_case_alone_are_one(name):
    """Postfix compares the owner of a return path with the login without regard to case."""
    told = mistakes(lambda v, h: v["sending_users"].append({"name": name, "password_hash": "$6$x$y"}))
    assert list(told) == ["sending_users[1].name"]


def test_a_network_stands_there_once():
    told = mistakes(lambda v, h: v["sending_networks"].append({"network": "10.1.0.0/16", "domains": ["example.us"]}))
    assert "sending_networks[0] has this one" in told["sending_networks[1].network"]


@pytest.mark.parametrize("name", ["", None, 0, False])
def test_a_domain_without_a_name_is_a_mistake(name):
    told = mistakes(lambda v, h: v["sending_domains"].append({"name": name}))
    assert list(told) == ["sending_domains[2].name"] and "add name" in told["sending_domains[2].name"]


@pytest.mark.parametrize("name", ["fa\u00df.example.com", "\u03c3\u03cc\u03c2.example.com", "a\u200db.example.com"])
def test_a_name_that_may_mean_two_domains_is_a_mistake(name):
    told = mistakes(lambda v, h: v["sending_domains"].append({"name": name}))
    assert list(told) == ["sending_domains[2].name"]


@pytest.mark.parametrize("address", ["2001:db8::1%eth0", "::ffff:198.51.100.9", "255.255.255.255"])
def test_an_address_that_no_mail_leaves_from_is_a_mistake(address):
    told = mistakes(lambda v, h: h["mta2"]["sending_addresses"][0].update(address=address, bind=None))
    assert list(told) == ["mta2: sending_addresses[0].address"]


def test_a_domain_of_the_fleet_is_not_external():
    """Its own include would make SPF go in circles, which receivers take for an error (RFC 7208 4.6.4)."""
    told = mistakes(lambda v, h: v["sending_domains"][0].update(spf={"external": ["Example.com"]}))
    assert "spf.include" in told["sending_domains[0].spf.external[0]"]


def test_a_number_given_on_the_command_line_is_a_text():
    assert read_fleet({**VARIABLES, "sending_dkim_bits": "3072"}, HOSTS).dkim.bits == 3072


def test_unicode_names_become_a_labels():
    variables = copy.deepcopy(VARIABLES)
    variables["sending_domains"].append({"name": "B\u00fccher.Example.COM."})
    assert read_fleet(variables, HOSTS).domains[2].name == "xn--bcher-kva.example.com"


@pytest.mark.parametrize("secret", ["{PLAIN}hunter2", "hunter2", 13579, 1.3579, ["hunter2"], {"hunter2": 1}])
def test_what_is_no_hash_is_told_and_not_shown(secret):
    told = mistakes(put((0, "sending_users", 0, "password_hash"), secret))
    assert list(told) == ["sending_users[0].password_hash"]
    assert "openssl passwd -6" in str(told) and "hunter2" not in str(told) and "3579" not in str(told)


USER = {"name": "app", "password_hash": "hunter2"}
ZONE = {"name": "example.com", "key": {"name": "k", "secret": "hunter2"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sending_users", USER),
        ("sending_users", {"app": "hunter2"}),
        ("sending_users", ["app:hunter2"]),
        ("sending_users", [["app", "hunter2"]]),
        ("sending_users", [{**USER, "name": "bad name"}]),
        ("sending_users", "app:hunter2"),
        ("sending_zones", ZONE),
        ("sending_zones", [["hunter2"]]),
        ("sending_zones", [{"name": "example.com", "key": "hunter2"}]),
        ("sending_zones", [{"name": "example.com", "key": ["hunter2"]}]),
        ("sending_zones", [{"name": "example.com", "key": {"name": "", "secret": "hunter2"}}]),
        ("sending_zones", [{"name": "example.com", "key": {"secret": {"hunter2": 1}}}]),
    ],
)
def test_secrets_never_stand_in_a_mistake(name, value):
    assert "hunter2" not in str(mistakes(put((0, name), value)))


@pytest.mark.parametrize(
    "junk",
    [None, 1, "x", [1], [[]], {"a": 1}, [{"name": {"x": 1}}], [{"name": 3, "domains": 4, "address": 5, "network": 6}]],
)
@pytest.mark.parametrize(
    "name", ["sending_domains", "sending_providers", "sending_users", "sending_networks", "sending_zones"]
)
def test_junk_is_a_mistake_and_not_a_traceback(name, junk):
    variables = {**VARIABLES, name: junk}
    try:
        read_fleet(variables, HOSTS)
    except Mistakes:
        pass
    try:
        read_fleet(VARIABLES, {"mta1": {"sending_addresses": junk}})
    except Mistakes:
        pass


def test_two_addresses_of_a_server_are_not_sent_from_one():
    def change(_variables, hosts):
        hosts["mta1"]["sending_addresses"].append(
            {"address": "198.51.100.11", "helo": "mta1b.example.com", "bind": "198.51.100.10"})

    found = mistakes(change)
    assert "an address of its own on mta1: mta1: sending_addresses[0].address is sent from there" in found[
        "mta1: sending_addresses[2].bind"]


@pytest.mark.parametrize("sender", ["@example.us", "a b@example.us", "a#\n@example.us"])
def test_a_sender_that_would_be_another_line_of_a_table(sender):
    def change(variables, _hosts):
        variables["sending_pools"] = [{"name": "bulk", "senders": [sender], "addresses": ["198.51.100.10"]}]

    assert "a domain, or an address of MAIL FROM" in mistakes(change)["sending_pools[0].senders[0]"]
