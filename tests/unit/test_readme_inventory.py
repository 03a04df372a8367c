# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The README's inventory, as it is printed there, is one to start from."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```yaml\n# inventory/(\S+?)(?:,[^\n]*)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOUR = "ip4:198.51.100.10 ip4:198.51.100.20"
SIX = "ip6:2001:db8:61::10 ip6:2001:db8:61::20"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    files = {name: yaml.safe_load(text) for name, text in BLOCK.findall(README)}
    assert set(files) == {"hosts.yml", "group_vars/sending_servers.yml", "host_vars/mta1.example.com.yml"}
    of_one = files["host_vars/mta1.example.com.yml"]
    # "and likewise for mta2"
    likewise = yaml.safe_load(yaml.safe_dump(of_one).replace("mta1", "mta2").replace("100.10", "100.20")
                              .replace("::10", "::20"))
    own = {"mta1.example.com": of_one, "mta2.example.com": likewise}
    assert set(files["hosts.yml"]["sending_servers"]["hosts"]) == set(own)
    shared = files["group_vars/sending_servers.yml"]
    return read_fleet(shared, own, {host: {**shared, **variables} for host, variables in own.items()})


def test_it_says_what_is_written_there(fleet):
    main, auxiliary = fleet.domains
    assert (main.name, main.mail_from, main.auxiliary) == ("example.com", "e.example.com", False)
    # The only domain that has no bounce domain: its return paths are its own.
    assert (auxiliary.name, auxiliary.mail_from, auxiliary.auxiliary) == ("example.us", "example.us", True)
    assert [server.name for server in fleet.servers] == ["mta1.example.com", "mta2.example.com"]
    (throttle,) = fleet.providers
    assert (throttle.domains, throttle.connections, throttle.delay) == (("orange.fr", "wanadoo.fr"), 1, "1s")


@pytest.fixture(scope="module")
def state(fleet) -> dict:
    return desired_state(fleet, {}, [], datetime.date(2026, 11, 23))


def test_its_records(state):
    """The main domain lists the addresses, the auxiliary one takes them from it and has no domain of bounces."""
    reverse = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
    assert {(record["owner"], record["type"], record["value"]) for record in state["records"]} == {
        ("example.com.", "TXT", f"v=spf1 {FOUR} {SIX} ~all"),
        ("example.us.", "TXT", "v=spf1 include:example.com ~all"),
        ("_dmarc.example.com.", "TXT", "v=DMARC1; p=none; rua=mailto:dmarc@example.com"),
        ("_dmarc.example.us.", "TXT", "v=DMARC1; p=none"),
        ("e.example.com.", "TXT", f"v=spf1 {FOUR} {SIX} -all"),
        ("e.example.com.", "MX", "10 mta1.example.com."),
        ("e.example.com.", "MX", "10 mta2.example.com."),
        ("mta1.example.com.", "A", "198.51.100.10"),
        ("mta1.example.com.", "AAAA", "2001:db8:61::10"),
        ("mta1.example.com.", "TXT", "v=spf1 ip4:198.51.100.10 ip6:2001:db8:61::10 -all"),
        ("mta2.example.com.", "A", "198.51.100.20"),
        ("mta2.example.com.", "AAAA", "2001:db8:61::20"),
        ("mta2.example.com.", "TXT", "v=spf1 ip4:198.51.100.20 ip6:2001:db8:61::20 -all"),
        ("10.100.51.198.in-addr.arpa.", "PTR", "mta1.example.com."),
        ("20.100.51.198.in-addr.arpa.", "PTR", "mta2.example.com."),
        (f"0.1.{reverse}", "PTR", "mta1.example.com."),
        (f"0.2.{reverse}", "PTR", "mta2.example.com."),
    }


def test_a_domain_without_a_bounce_domain_is_verified_by_its_own_name(state):
    assert state["domains"] == [{"domain": "example.com", "bounce_domain": "e.example.com"},
                                {"domain": "example.us", "bounce_domain": "example.us"}]
    assert state["mail_domains"] == ["example.com", "example.us", "e.example.com"]
    # Its mail goes to mailboxes that are not the fleet's, so that any host will do.
    assert {"domain": "example.us", "hosts": []} in state["receivers"]
    assert state["wanted_keys"] == [{"domain": "example.com", "selector": "m20261123"},
                                    {"domain": "example.us", "selector": "m20261123"}]


def test_its_provider_is_throttled_on_every_server(state):
    for server in state["servers"].values():
        layer = server["layers"]["throttle"]
        assert layer["parameters"]["throttle_destination_rate_delay"] == "1s"
        assert layer["services"]["throttle/unix"]["maxproc"] == "1"
        assert layer["tables"]["transport"]["entries"] == [["orange.fr", "throttle:"], ["wanadoo.fr", "throttle:"]]
