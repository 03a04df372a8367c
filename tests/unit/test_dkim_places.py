# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DKIM keys published at wrong names, behind CNAMEs and under wildcards; each case with the rule and its section."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import waiting
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_places import NOBODYS_SELECTOR, places
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import record_of
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.records import quoted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import Key, verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Waiting


def public():
    key = rsa.generate_private_key(65537, 2048).public_key()
    return base64.b64encode(key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()


P, OTHER = public(), public()
RECORD = record_of(P)
OWNER = "m1._domainkey.example.com"
PUBLISH = f"publish {OWNER}. TXT {quoted(RECORD.encode())}"
TOP = {"example.com": {"NS": ["ns.example.com."]}, "ns.example.com": {"A": ["127.0.0.1"]}}
NOBODYS = f"{NOBODYS_SELECTOR}._domainkey.example.com"


def verify(names, *keys, others=None, authoritative="yes", faults=None):
    """Return the findings on the keys in example.com, and the server that was asked."""
    zones = {"example.com": TOP | names} | (others or {})
    with ExitStack() as stack:
        server = stack.enter_context(Nameserver(zones, faults=faults))
        lookup = stack.enter_context(Lookup([server.server], timeout=0.6, authority_port=server.port))
        return verify_dkim(lookup, keys or [Key("example.com", "m1", P)], authoritative), server


WRONG_NAMES = [
    ("m1._domainkey.example.com.example.com", "the name of the zone example.com. stands twice in it"),
    ("m1.example.com", "it lacks _domainkey"),
    ("m1.domainkey.example.com", "it lacks the underscore of _domainkey"),
    ("_domainkey.m1.example.com", "selector and _domainkey are exchanged"),
    ("_domainkey.example.com", "it lacks the selector"),
    ("example.com", "it is the domain itself, without selector and _domainkey"),
]


@pytest.mark.parametrize("authoritative", ["yes", "no"])
@pytest.mark.parametrize("name, wrong", WRONG_NAMES)
@pytest.mark.parametrize("value", [RECORD, f'"{RECORD}"'])
def test_a_key_at_a_wrong_name_is_found(name, wrong, value, authoritative):
    """RFC 6376, 3.6.2.1: the record stands at selector, _domainkey, domain."""
    names = {name: {"TXT": ["v=spf1 -all", value]} | TOP.get(name, {})}
    for key, publish in ((Key("example.com", "m1", P), PUBLISH), (Key("example.com", "m1"), f"publish {OWNER}. TXT ")):
        (verdict,) = verify(names, key, authoritative=authoritative)[0].verdicts
        assert verdict.status == "absent" and f"; the key stands at {name}.: {wrong}" in verdict.cause
        assert verdict.mend.startswith(publish) and f" and remove that at {name}." in verdict.mend
    if name.startswith(OWNER):
        assert verdict.mend.endswith("; in the panel the name is m1._domainkey, without the zone")


def test_a_key_of_a_subdomain_of_the_zone():
    doubled = {"m1._domainkey.news.example.com.example.com": {"TXT": [RECORD]}}
    (verdict,) = verify(doubled, Key("news.example.com", "m1", P))[0].verdicts
    assert "stands twice" in verdict.cause and "the name is m1._domainkey.news, without the zone" in verdict.mend
    parent = {OWNER: {"TXT": [RECORD]}}
    (verdict,) = verify(parent, Key("news.example.com", "m1", P))[0].verdicts
    assert "it is for the domain example.com., not for news.example.com." in verdict.cause


@pytest.mark.parametrize("value", [record_of(OTHER), "v=DKIM1; p=", "v=spf1 -all", RECORD[:200]])
def test_what_is_not_the_key_is_not_found(value):
    (verdict,) = verify({f"{OWNER}.example.com": {"TXT": [value]}})[0].verdicts
    assert verdict.cause == "no such name: there is no key (RFC 6376, 6.1.2)" and verdict.mend == PUBLISH


def test_wrong_names_are_asked_for_once_after_all_waiting_and_not_for_keys_that_are_there(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    patience = Waiting(0.5, sleep=lambda seconds: now.append(now.pop() + seconds))
    with Nameserver({"example.com": TOP}) as server, Lookup([server.server], authority_port=server.port) as lookup:
        verify_dkim(lookup, [Key("example.com", "m1", P)], "yes", patience)
    assert server.asked[OWNER, "TXT"] == 2
    assert server.asked["m1.example.com", "TXT"] == 1
    found, server = verify({OWNER: {"TXT": [RECORD]}})
    assert found.verdicts[0].ok
    assert sum(count for (_name, rdtype), count in server.asked.items() if rdtype == "TXT") == 2  # it and a wildcard's


def test_a_missing_key_costs_a_question_for_each_wrong_name():
    found, server = verify({}, Key("example.com", "m1", P), authoritative="no")
    assert found.verdicts[0].status == "absent" and server.queries == 1 + len(WRONG_NAMES)


def test_a_silent_place_is_no_place():
    (verdict,) = verify({}, faults={"m1.example.com": "servfail", "example.com.example.com": "timeout"})[0].verdicts
    assert verdict.status == "absent" and verdict.mend == PUBLISH


def test_names_too_long_are_left_out():
    label = "a" * 60
    key = Key(f"{label}.{label}.{label}.example", "m1")
    assert all(len(place.name) <= 254 for place in places(key)) and len(places(key)) == 5


# CNAMEs: RFC 1034, 3.6.2; RFC 6376 says nothing against them, and providers delegate keys so.
DELEGATED = {OWNER: {"CNAME": ["c1.example.net."]}}


def net(**names):
    top = {"example.net": {"NS": ["ns.example.com."]}}
    return {"example.net": top | {f"{name}.example.net": types for name, types in names.items()}}


def test_a_delegated_key_is_shown_with_its_way():
    found, _server = verify(DELEGATED, others=net(c1={"CNAME": ["c2.example.net."]}, c2={"TXT": [RECORD]}))
    (verdict,) = found.verdicts
    assert verdict.ok and len(found.seen) == 1
    assert verdict.found.endswith("…, by CNAME from c2.example.net.")
    assert verdict.source.startswith(f"TXT {OWNER}. > c1.example.net. > c2.example.net. asked of ns.example.com.")


@pytest.mark.parametrize(
    "others, last, before",
    [
        (net(), "no such name at c1.example.net.", OWNER),
        (net(c1={"A": ["192.0.2.1"]}), "no data at c1.example.net.", OWNER),
        (net(c1={"CNAME": ["c2.example.net."]}), "no such name at c2.example.net.", "c1.example.net"),
    ],
)
def test_a_broken_delegation_says_where(others, last, before):
    (verdict,) = verify(DELEGATED, others=others)[0].verdicts
    target = last.rpartition(" ")[2]
    value = f"TXT {quoted(RECORD.encode())}"
    assert verdict.status == "absent" and verdict.cause == f"{last}, where a CNAME leads (RFC 1034, 3.6.2)"
    assert verdict.mend == (f"have the owner of that zone publish {target} {value}; "
                            f"or put {value} in place of the CNAME at {before}.")
    (verdict,) = verify(DELEGATED, Key("example.com", "m1"), others=others)[0].verdicts
    assert f"publish the key's record at {target}; or put the key's TXT in place of" in verdict.mend


def test_a_delegation_to_a_zone_that_does_not_say():
    (verdict,) = verify(DELEGATED, others=net(c1={"TXT": [RECORD]}), faults={"c1.example.net": "servfail"})[0].verdicts
    assert verdict.status == "unknown" and "SERVFAIL" in verdict.cause and "c1.example.net." in verdict.cause


def test_a_delegation_in_a_circle():
    (verdict,) = verify(DELEGATED, others=net(c1={"CNAME": [f"{OWNER}."]}))[0].verdicts
    assert not verdict.ok and "CNAMEs lead in a loop" in verdict.cause and "c1.example.net." in verdict.cause
    assert "CNAME" in verdict.mend


# Wildcards: RFC 4592. The test's server has none: the name that nobody has is given the same values.
def test_a_wildcard_that_answers_with_the_key_is_a_warning():
    found, _server = verify({OWNER: {"TXT": [RECORD]}, NOBODYS: {"TXT": [RECORD]}})
    (verdict,) = found.verdicts
    assert verdict.status == "warn" and "a wildcard answers the same for every selector" in verdict.cause
    assert "RFC 4592" in verdict.cause and verdict.mend.startswith(PUBLISH) and len(found.seen) == 1


def test_a_wildcard_that_answers_with_something_else_is_named():
    values = {"TXT": ["v=spf1 -all"]}
    (verdict,) = verify({OWNER: values, NOBODYS: values})[0].verdicts
    assert verdict.status == "fail" and "a wildcard answers the same for every selector" in verdict.cause
    assert verdict.mend == PUBLISH


def test_another_answer_for_nobodys_selector_is_none():
    (verdict,) = verify({OWNER: {"TXT": [RECORD]}, NOBODYS: {"TXT": [record_of(OTHER)]}})[0].verdicts
    assert verdict.ok


# No selector: the domain's own name.
def test_the_domains_own_name_is_the_selector_where_none_is_given():
    owner = "example.com._domainkey.example.com"
    found, _server = verify({owner: {"TXT": [RECORD]}}, Key("example.com", "", P))
    assert found.verdicts[0].ok and found.verdicts[0].subjects == (f"{owner}.",)
    assert found.seen[0]["selector"] == "example.com"
    (verdict,) = verify({}, Key("Example.com."))[0].verdicts
    assert verdict.subjects == (f"{owner}.",) and "the domain's own name was tried" in verdict.cause
    assert verdict.mend.endswith("or name the selector (s= of the signatures)")


def test_ed25519_is_a_second_signature():
    """RFC 8463, 6: those who do not know it take an Ed25519 signature for none."""
    ed = base64.b64encode(bytes(range(32))).decode()
    names = {OWNER: {"TXT": [RECORD]}, "e1._domainkey.example.com": {"TXT": [record_of(ed)]}}
    both = verify(names, Key("example.com", "m1", P), Key("Example.com.", "e1", ed))[0]
    assert [verdict.status for verdict in both.verdicts] == ["ok", "ok"]
    alone = verify(names, Key("example.com", "e1", ed))[0]
    assert [verdict.status for verdict in alone.verdicts] == ["warn"] and len(alone.seen) == 1
    with_a_missing_one = verify(names, Key("example.com", "m2", P), Key("example.com", "e1", ed))[0]
    assert [verdict.status for verdict in with_a_missing_one.verdicts] == ["absent", "warn"]


def test_an_identity_outside_of_the_domain():
    with pytest.raises(ValueError, match="RFC 6376, 3.5"):
        Key("example.com", "m1", P, "example.net")
