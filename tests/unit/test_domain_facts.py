# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What DNS says of any domain, against a real name server."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import format_record
from ansible_collections.mailfleet.sending.plugins.module_utils.domain_facts import LOOKED_AT, Question, domain_facts
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup

PUBLIC = rsa.generate_private_key(65537, 2048).public_key().public_bytes(
    Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
RECORD = format_record(base64.b64encode(PUBLIC).decode())
NET = "100.51.198.in-addr.arpa"
ZONES = {
    "example.com": {
        "example.com": {"A": ["198.51.100.10"], "TXT": ["v=spf1 ip4:198.51.100.10 -all", "site=1"],
                        "MX": [(20, "b.example.com."), (10, "a.example.com.")]},
        "a.example.com": {"A": ["198.51.100.10"]},
        "b.example.com": {"A": ["198.51.100.20"]},
        "m1._domainkey.example.com": {"TXT": [RECORD]},
        "example.com._domainkey.example.com": {"TXT": [RECORD]},
        "old._domainkey.example.com": {"TXT": ["v=DKIM1; p="]},
        "_dmarc.example.com": {"TXT": ["v=DMARC1; p=quarantine"]},
    },
    "example.net": {
        "example.net": {"A": ["10.0.0.1", "198.51.100.11"], "TXT": ["v=spf1 -all", "v=spf1 ~all"], "MX": [(0, ".")]},
        "_dmarc.example.net": {"TXT": ["v=DMARC1; p=everything"]},
    },
    "mapped.test": {"mapped.test": {"AAAA": ["::ffff:198.51.100.1"]}},
    "under_score.test": {"under_score.test": {
        "A": [f"198.51.100.{number}" for number in range(100)], "AAAA": ["::ffff:198.51.100.1"]}},
    "several.test": {"several.test": {"TXT": ["v=spf1 -all"]}, "_dmarc.several.test": {"TXT": [
        "v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "m1._domainkey.several.test": {"TXT": [RECORD, "v=DKIM1; p="]}},
    "example.org": {"example.org": {"TXT": ["x"]}},
    "org": {"org": {"TXT": ["x"]}},
    NET: {f"10.{NET}": {"PTR": ["a.example.com."]}, f"11.{NET}": {"PTR": ["a.example.com."]}},
}
FACTS = ["ip", "ptr", "spf", "dkim", "default_dkim", "dmarc", "mx"]


def told(fact):
    return fact["value"], fact["present"], fact["valid"]


@pytest.fixture(scope="module")
def facts():
    questions = [Question("Example.com.", ("m1", "old", "none")), Question("example.net"), Question("example.org"),
                 Question("silent.test"), Question("under_score.test"), Question("mapped.test"),
                 Question("several.test", ("m1",))]
    with Nameserver(ZONES, {"silent.test": "timeout"}) as server, Lookup([server.server], timeout=0.6) as lookup:
        yield domain_facts(lookup, questions)


def test_a_domain_that_is_well(facts):
    found = facts["example.com"]
    assert list(found) == FACTS
    assert told(found["ip"]) == (["198.51.100.10"], True, True)
    assert [(each["address"], *told(each)) for each in found["ptr"]] == [
        ("198.51.100.10", ["a.example.com."], True, True)]
    assert told(found["spf"]) == (["v=spf1 ip4:198.51.100.10 -all"], True, True)
    assert told(found["dkim"]["m1"]) == ([RECORD], True, True)
    assert told(found["default_dkim"]) == ([RECORD], True, True)
    assert (*told(found["dmarc"]), found["dmarc"]["policy"], found["dmarc"]["at"]) == (
        ["v=DMARC1; p=quarantine"], True, True, "quarantine", "_dmarc.example.com.")
    assert told(found["mx"]) == (["10 a.example.com.", "20 b.example.com."], True, True)
    assert all(found[name]["source"] for name in ("ip", "spf", "default_dkim", "dmarc", "mx"))


def test_what_is_there_and_cannot_be_used(facts):
    found = facts["example.net"]
    assert told(found["ip"]) == (["10.0.0.1", "198.51.100.11"], True, False)
    assert "10.0.0.1" in found["ip"]["cause"]
    assert told(found["ptr"][1]) == (["a.example.com."], True, False)
    assert told(found["spf"]) == (["v=spf1 -all", "v=spf1 ~all"], True, False)
    assert told(found["mx"]) == (["0 ."], True, False)
    assert "RFC 7505" in found["mx"]["cause"]
    assert told(facts["example.com"]["dkim"]["old"]) == (["v=DKIM1; p="], True, False)


def test_several_records_are_all_told_and_not_valid(facts):
    found = facts["several.test"]
    assert told(facts["example.net"]["spf"]) == (["v=spf1 -all", "v=spf1 ~all"], True, False)
    assert told(found["dkim"]["m1"]) == (sorted([RECORD, "v=DKIM1; p="]), True, False)
    assert told(found["dmarc"]) == (["v=DMARC1; p=none", "v=DMARC1; p=reject"], True, False)
    assert (found["dmarc"]["at"], found["dmarc"]["policy"]) == ("", "")


def test_every_fact_is_of_one_type(facts):
    every = [fact for found in facts.values() for name in FACTS for fact in (
        found[name] if name == "ptr" else found[name].values() if name == "dkim" else [found[name]])]
    assert len(every) > 7 * 5
    for fact in every:
        assert isinstance(fact["value"], list) and all(isinstance(text, str) for text in fact["value"])
        assert {fact["present"], fact["valid"]} <= {True, False, None}
        assert fact["present"] is not None or not fact["value"]
        assert isinstance(fact["cause"], str) and isinstance(fact["source"], str)


def test_what_is_not_there(facts):
    found = facts["example.org"]
    assert (found["ptr"], found["dkim"]) == ([], {})
    assert told(found["ip"]) == ([], False, False)
    assert told(found["mx"]) == ([], False, False)
    for name in ("spf", "default_dkim", "dmarc"):
        assert told(found[name]) == ([], False, False), name
    assert told(facts["example.com"]["dkim"]["none"]) == ([], False, False)


def test_what_dns_did_not_say_is_not_known(facts):
    found = facts["silent.test"]
    for name in ("ip", "spf", "mx"):
        assert (found[name]["present"], found[name]["valid"]) == (None, None), name
        assert "no answer" in found[name]["cause"]


def test_a_domain_may_hold_anything(facts):
    found = facts["under_score.test"]
    assert len(found["ip"]["value"]) == 101 and len(found["ptr"]) == LOOKED_AT
    assert told(found["ip"])[2] is False and "::ffff:198.51.100.1 is an address that nobody" in found["ip"]["cause"]
    assert told(found["default_dkim"]) == ([], False, False)
    assert "found 'under_score'; expected letters" in found["default_dkim"]["cause"]
    (ptr,) = facts["mapped.test"]["ptr"]
    assert told(ptr) == ([], False, False) and "an IPv4 one in dotted form" in ptr["cause"]


def test_names_that_are_not_ascii():
    assert Question("EXÄMPLE.com.").domain == "xn--exmple-cua.com"


def test_facts_are_plain_data(facts):
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("domain, selectors", [("exa mple.com", ()), ("example.com", ("a b",)), ("com", ())])
def test_names_that_cannot_be_names(domain, selectors):
    with pytest.raises(ValueError):
        Question(domain, selectors)


def test_each_question_is_asked_once():
    with Nameserver(ZONES) as server, Lookup([server.server], timeout=5) as lookup:
        domain_facts(lookup, [Question("example.com", ("m1",))] * 2)
        # Addresses 2, the name 1 and back 1, SPF 1, keys 2 and whether any selector has one, DMARC 2 up to com, MX 1
        # and the addresses of its hosts 4, of which one was known.
        assert server.queries == 2 + 2 + 1 + 3 + 2 + 1 + 3
        assert set(server.asked.values()) == {1}


def test_what_many_domains_share_is_asked_once():
    names = [f"d{number}.example" for number in range(40)]
    zone = {"mx.example": {"A": ["198.51.100.20"]}}
    for name in names:
        zone[name] = {"A": ["198.51.100.10"], "TXT": ["v=spf1 ip4:198.51.100.10 -all"], "MX": [(10, "mx.example.")]}
        zone[f"_dmarc.{name}"] = {"TXT": ["v=DMARC1; p=none"]}
        zone[f"{name}._domainkey.{name}"] = {"TXT": [RECORD]}
    zones = {"example": zone, NET: {f"10.{NET}": {"PTR": ["d0.example."]}}}
    with Nameserver(zones) as server, Lookup([server.server], timeout=5) as lookup:
        domain_facts(lookup, [Question(name) for name in names])
        # Of each: addresses 2, SPF 1, the default key 1 and whether any selector has one, DMARC 1, MX 1. Of all: the
        # name of the address, DMARC of the top, the host 2.
        assert server.queries == 40 * (2 + 1 + 2 + 1 + 1) + 1 + 1 + 2
        assert set(server.asked.values()) == {1}


def test_a_domain_without_anything_costs_few_questions():
    with Nameserver({"example": {"d.example": {"TXT": ["x"]}}}) as server, Lookup([server.server]) as lookup:
        domain_facts(lookup, [Question("d.example")])
        assert server.queries <= 16 and set(server.asked.values()) == {1}
