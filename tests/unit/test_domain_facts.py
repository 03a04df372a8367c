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
                 Question("silent.test"), Question("under_score.test"),
                 Question("mapped.test")]
    with Nameserver(ZONES, {"silent.test": "timeout"}) as server, Lookup([server.server], timeout=0.6) as lookup:
        yield domain_facts(lookup, questions)


def test_a_domain_that_is_well(facts):
    found = facts["example.com"]
    assert list(found) == FACTS
    assert told(found["ip"]) == (["198.51.100.10"], True, True)
    assert [(each["address"], *told(each)) for each in found["ptr"]] == [
        ("198.51.100.10", ["a.example.com."], True, True)]
    assert told(found["spf"]) == ("v=spf1 ip4:198.51.100.10 -all", True, True)
    assert told(found["dkim"]["m1"]) == (RECORD, True, True)
    assert told(found["default_dkim"]) == (RECORD, True, True)
    assert (*told(found["dmarc"]), found["dmarc"]["policy"], found["dmarc"]["at"]) == (
        "v=DMARC1; p=quarantine", True, True, "quarantine", "_dmarc.example.com.")
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
    assert told(facts["example.com"]["dkim"]["old"]) == ("v=DKIM1; p=", True, False)


def test_what_is_not_there(facts):
    found = facts["example.org"]
    assert (found["ptr"], found["dkim"]) == ([], {})
    assert told(found["ip"]) == ([], False, False)
    assert told(found["mx"]) == ([], False, False)
    for name in ("spf", "default_dkim", "dmarc"):
        assert told(found[name]) == ("", False, False), name
    assert told(facts["example.com"]["dkim"]["none"]) == ("", False, False)


def test_what_dns_did_not_say_is_not_known(facts):
    found = facts["silent.test"]
    for name in ("ip", "spf", "mx"):
        assert (found[name]["present"], found[name]["valid"]) == (None, None), name
        assert "no answer" in found[name]["cause"]


def test_a_domain_may_hold_anything(facts):
    found = facts["under_score.test"]
    assert len(found["ip"]["value"]) == 101 and len(found["ptr"]) == LOOKED_AT
    assert told(found["ip"])[2] is False and "::ffff:198.51.100.1 is an address that nobody" in found["ip"]["cause"]
    assert told(found["default_dkim"]) == ("", False, False)
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
