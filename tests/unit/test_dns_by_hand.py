# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that the hand publishes, as a real name server has them: seen, missing, in others' place, or not known."""

from __future__ import annotations

import ipaddress

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_publish, lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

NET = "100.51.198.in-addr.arpa"
ZONES = {
    "example.com": {
        "example.com": {"TXT": ["v=spf1 mx -all", "other=1"], "MX": ["10 mta1.example.com.", "5 mx.example.net."]},
        "mta1.example.com": {"A": ["198.51.100.10"], "AAAA": ["2001:DB8:61::10"], "TXT": ["v=spf1 a -all"]},
        "big.example.com": {"TXT": ["v=spf1 ip4:198.51.100.10 ~all", "x" * 300, "y" * 100, "caf\u00e9"]},
    },
    NET: {
        f"10.{NET}": {"PTR": ["MTA1.example.com."]},
        f"11.{NET}": {"CNAME": [f"11.0-127.{NET}."]},
        f"11.0-127.{NET}": {"PTR": ["mta1.example.com."]},
    },
}


def record(owner: str, rtype: str, value: str, **more: object) -> dict:
    return {"owner": owner, "type": rtype, "value": value, "ttl": 3600, "reason": "", **more}


def pointer(address: str) -> dict:
    return record(ipaddress.ip_address(address).reverse_pointer, "PTR", "mta1.example.com.")


def run(records: list[dict], *resolvers: str, zones: tuple[str, ...] = ("example.com", NET), **more: object) -> dict:
    """The result of the module for zones without an update server."""
    result, failures = dns_publish.run(
        {
            "zones": [{"name": name} for name in zones],
            "records": records,
            "published": [],
            "adopt": [],
            "phase": "expand",
            "proof": None,
            "resolvers": resolvers,
            "timeout": 0.5,
            **more,
        },
        check=False,
    )
    assert not failures and not result["changed"]
    return result


def told(result: dict) -> dict[str, tuple[str, list[str]]]:
    """Owner and type -> status and live values of what the hand has to publish."""
    return {
        f"{state['record']['owner']} {state['record']['type']}": (state["status"], state["found"])
        for zone in result["manual"]
        for state in zone["records"]
    }


@pytest.fixture(scope="module")
def server():
    with Nameserver(ZONES, {f"13.{NET}": "servfail"}) as server:
        yield server


def test_what_is_live_is_not_asked_of_the_hand(server):
    live = [
        record("mta1.example.com.", "A", "198.51.100.10"),
        record("mta1.example.com.", "AAAA", "2001:db8:61::10"),
        record("example.com.", "MX", "10 mta1.example.com."),
        record("mta1.example.com.", "TXT", "v=spf1 a -all"),
        pointer("198.51.100.10"),
    ]
    assert run(live, str(server.server))["manual"] == []


def test_an_alias_is_followed(server):
    assert run([pointer("198.51.100.11")], str(server.server))["manual"] == []


def test_what_is_missing_is_absent_and_what_others_have_is_shown_merged(server):
    wanted = [
        pointer("198.51.100.12"),
        record("example.com.", "TXT", "v=spf1 ip4:198.51.100.10 ~all"),
        record("example.com.", "MX", "10 mta2.example.com."),
        record("example.com.", "MX", "10 mta3.example.com."),
    ]
    result = run(wanted, str(server.server))
    found = ["10 mta1.example.com.", "5 mx.example.net."]
    assert told(result) == {
        f"12.{NET}. PTR": ("absent", []),
        "example.com. TXT": ("fail", ['"other=1"', '"v=spf1 mx -all"']),
        "example.com. MX": ("fail", found),
    }
    of_mx = [state for zone in result["manual"] for state in zone["records"] if state["record"]["type"] == "MX"]
    assert [state["record"]["value"] for state in of_mx] == ["10 mta2.example.com.", "10 mta3.example.com."]
    reverse, forward = result["manual"]
    assert reverse["text"] == f"; zone {NET}.\n12.{NET}. 3600 IN PTR mta1.example.com.\n"
    assert 'example.com. 3600 IN TXT "v=spf1 mx ip4:198.51.100.10 -all"\n' in forward["text"]
    assert forward["text"].count(" IN MX ") == 4
    (state,) = reverse["records"]
    assert state["source"] == f"PTR 12.{NET}. asked of {server.server}" and not state["cause"]


def test_what_no_resolver_says_is_unknown_and_never_absent(server):
    deaf = Server("127.0.0.1", 1)
    (zone,) = run([pointer("198.51.100.13")], str(deaf), str(server.server))["manual"]
    (state,) = zone["records"]
    assert (state["status"], state["found"]) == ("unknown", [])
    for each in (deaf, server.server):
        assert f"{each}: " in state["cause"] and str(each) in state["mend"]
    assert f"13.{NET}. 3600 IN PTR mta1.example.com." in zone["text"], "it may have to be published all the same"


def test_the_next_resolver_is_asked_where_one_does_not_say(server):
    assert run([pointer("198.51.100.10")], "127.0.0.1:1", str(server.server))["manual"] == []


def test_without_resolvers_those_of_the_system_are_asked(server, monkeypatch):
    monkeypatch.setattr(lookup, "system_resolvers", lambda: [server.server])
    result = run([pointer("198.51.100.10"), pointer("198.51.100.12")])
    assert told(result) == {f"12.{NET}. PTR": ("absent", [])}


def test_a_system_without_resolvers_leaves_everything_unknown(monkeypatch):
    def none() -> list[Server]:
        raise ValueError("this system has no resolver: name one in resolvers")

    monkeypatch.setattr(lookup, "system_resolvers", none)
    (zone,) = run([pointer("198.51.100.10")])["manual"]
    (state,) = zone["records"]
    assert state["status"] == "unknown" and "name one in resolvers" in state["cause"]


def test_each_thing_is_asked_once(server):
    with Nameserver(ZONES) as counting:
        run([pointer("198.51.100.10"), record("mta1.example.com.", "A", "198.51.100.10")], str(counting.server))
        assert set(counting.asked.values()) == {1} and len(counting.asked) == 2


def test_an_answer_that_others_make_too_large_is_told_with_what_takes_the_room(server):
    wanted = record("big.example.com.", "TXT", "v=spf1 ip4:198.51.100.10 ~all")
    result = run([wanted, record("mta1.example.com.", "TXT", "v=spf1 a -all")], str(server.server))
    assert result["manual"] == []
    (answer,) = result["crowded"]
    assert (answer["zone"], answer["owner"]) == ("example.com.", "big.example.com.")
    assert [(other["value"][0], other["octets"]) for other in answer["others"]] == [("x", 314), ("y", 113), ("c", 18)]
    assert answer["octets"] > 314 + 113 + 18
