# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Blocklists against a real name server that plays them. Each case names the rule that it is about."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import (
    EVERYBODY,
    KINDS,
    SHIPPED,
    Blocklist,
    named,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import question, verify_blocklists

NIBBLES = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.6.0.0.8.b.d.0.1.0.0.2"
TEST6 = "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
FREE6 = "1.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
LISTED = {"A": ["127.0.0.2"]}


def entries(zone, **names):
    return {zone: {f"{name}.{zone}": value for name, value in {"2.0.0.127": LISTED, TEST6: LISTED, **names}.items()}}


ZONES = {
    **entries("zen.test", **{
        "10.100.51.198": {"A": ["127.0.0.2", "127.0.0.9"], "TXT": ["see https://list.test/198.51.100.10"]},
        "11.100.51.198": {"A": ["127.0.0.77"]},
        "12.100.51.198": {"A": ["127.255.255.254"]},
        "13.100.51.198": {"A": ["203.0.113.1"]},
        NIBBLES: {"A": ["127.0.0.3"]},
    }),
    **entries("everything.test", **{"1.0.0.127": LISTED}),
    "dead.test": {"dead.test": {"TXT": ["gone"]}},
    **entries("refuses.test", **{"2.0.0.127": {"A": ["127.255.255.255"]}}),
    **entries("quiet.test"),
    "dbl.test": {"test.dbl.test": {"A": ["127.0.1.2"]}, "bad.example.dbl.test": {"A": ["127.0.0.72"]}},
}
ZEN = Blocklist("zen", "zen.test", ("ip4", "ip6"), {"127.0.0.2": "a source of spam"}, removal="https://list.test")
DBL = Blocklist("dbl", "dbl.test", ("domain",), bits={8: "phishing", 64: "abuse"})


def of_ip4(name):
    return Blocklist(name, f"{name}.test", ("ip4",))


@pytest.fixture(scope="module")
def lookup():
    faults = {"1.0.0.127.quiet.test": "timeout", "14.100.51.198.zen.test": "servfail"}
    with Nameserver(ZONES, faults) as server, Lookup([server.server], timeout=0.6) as lookup:
        yield lookup


@pytest.mark.parametrize("rule, blocklist, subject, status, found, cause", [
    ("RFC 5782, 2.1: not listed", ZEN, "198.51.100.9", "ok", "not listed", ""),
    ("RFC 5782, 2.1: listed, the reason is TXT", ZEN, "198.51.100.10", "fail", "listed: 127.0.0.2, 127.0.0.9",
     "a source of spam; 127.0.0.9; see https://list.test/198.51.100.10"),
    ("an answer that is not known", ZEN, "198.51.100.11", "fail", "listed: 127.0.0.77", "127.0.0.77"),
    ("an answer that refuses is no listing", ZEN, "198.51.100.12", "unknown", "127.255.255.254",
     "the list does not answer public resolvers: ask through a resolver of your own"),
    ("RFC 5782, 2.1: outside 127.0.0.0/8", ZEN, "198.51.100.13", "unknown", "203.0.113.1",
     "it answers 203.0.113.1, and a list answers in 127.0.0.0/8 (RFC 5782, 2.1): it is not what it was"),
    ("RFC 5782, 2.4: IPv6 by nibbles", ZEN, "2001:db8:61::10", "fail", "listed: 127.0.0.3", "127.0.0.3"),
    ("RFC 5782, 2.4: IPv6, not listed", ZEN, "2001:db8:61::11", "ok", "not listed", ""),
    ("RFC 5782, 3.1: domains, bits add up", DBL, "bad.example", "fail", "listed: 127.0.0.72", "phishing and abuse"),
    ("RFC 5782, 3.1: domains, not listed", DBL, "Good.Example.", "ok", "not listed", ""),
    ("RFC 5782, 5: lists everything", of_ip4("everything"), "198.51.100.9", "unknown", "not asked",
     "it lists 127.0.0.1, which it must not (RFC 5782, 5): it lists everything"),
    ("RFC 5782, 5: lists nothing", of_ip4("dead"), "198.51.100.9", "unknown", "not asked",
     "it does not list its own test entry 127.0.0.2 (RFC 5782, 5): it is dead, or refuses to answer"),
    ("refuses from the beginning", of_ip4("refuses"), "198.51.100.9", "unknown", "not asked",
     "this resolver asked too often"),
])
def test_each_rule(lookup, rule, blocklist, subject, status, found, cause):
    is_domain = subject.lower().endswith(("example", "example."))
    (verdict,) = verify_blocklists(lookup, [blocklist], *(([], [subject]) if is_domain else ([subject], [])))
    assert (verdict.status, verdict.found, verdict.cause) == (Status(status), found, cause), rule
    assert verdict.subjects == (f"{subject.lower().removesuffix('.')} in {blocklist.name}",)
    assert bool(verdict.mend) == (status != "ok")


@pytest.mark.parametrize("blocklist, address", [(of_ip4("quiet"), "198.51.100.9"), (ZEN, "198.51.100.14")])
def test_silence_is_unknown_and_names_the_server(lookup, blocklist, address):
    (verdict,) = verify_blocklists(lookup, [blocklist], [address])
    assert verdict.status is Status.UNKNOWN
    assert str(lookup.resolvers[0]) in verdict.cause


def test_a_list_is_asked_for_what_it_lists(lookup):
    verdicts = verify_blocklists(lookup, [ZEN, DBL, of_ip4("dead")], ["198.51.100.9", "2001:db8:61::11"], ["a.example"])
    assert [verdict.subjects for verdict in verdicts] == [
        ("198.51.100.9 in zen", "2001:db8:61::11 in zen"), ("a.example in dbl",), ("198.51.100.9 in dead",)]


def test_equal_verdicts_are_one_and_each_subject_leads_to_its_question():
    lists = [ZEN, of_ip4("refuses"), of_ip4("other")]
    zones = ZONES | entries("other.test", **{f"{n}.100.51.198": LISTED for n in (20, 30)})
    addresses = [f"198.51.100.{n}" for n in range(240)]
    with Nameserver(zones, {"14.100.51.198.zen.test": "servfail"}) as server, Lookup([server.server]) as lookup:
        verdicts = verify_blocklists(lookup, lists, addresses)
    # Of zen what is fine, and five that are not, each in its own way; a list that is not believed; of the last the rest
    # and what is listed.
    assert [len(verdict.subjects) for verdict in verdicts] == [235, 1, 1, 1, 1, 1, 240, 238, 2]
    assert len({subject for verdict in verdicts for subject in verdict.subjects}) == 3 * 240
    known = {blocklist.name: blocklist for blocklist in lists}
    for verdict in verdicts:
        for subject in verdict.subjects:
            address, name = subject.split(" in ")
            asked = server.asked[question(known[name], address), "A"]
            assert asked == (name != "refuses") and f" the list {name}" in f" {verdict.source}"
        assert verdict.source.endswith(f" asked of {server.server}") is (name != "refuses")
    sources = {verdict.subjects[0]: verdict.source.partition(" asked ")[0] for verdict in verdicts}
    assert sources["198.51.100.10 in zen"] == "A 198.51.100.10 in the list zen"
    assert sources["198.51.100.20 in other"] == "A of each in the list other"


def test_a_key_in_the_zone_is_never_shown(lookup):
    secret = Blocklist("mine", "k3y.zen.test", ("ip4", "domain"))
    told = str(verify_blocklists(lookup, [secret], ["198.51.100.9"], ["a.example"])) + repr(secret)
    assert "k3y" not in told


def test_queries_are_one_for_an_address_and_two_for_a_list():
    with Nameserver(ZONES) as server, Lookup([server.server], timeout=5) as lookup:
        verdicts = verify_blocklists(lookup, [ZEN], [f"198.51.100.{n}" for n in range(100, 200)])
        assert server.queries == 102
        assert [len(verdict.subjects) for verdict in verdicts] == [100]


def test_where_a_list_is_asked():
    assert question(ZEN, "198.51.100.10") == "10.100.51.198.zen.test"
    assert question(ZEN, "2001:db8:61::10") == f"{NIBBLES}.zen.test"
    assert question(DBL, "a.example") == "a.example.dbl.test"


def test_shipped_lists_are_whole():
    for blocklist in SHIPPED.values():
        assert blocklist.zone and blocklist.removal and set(blocklist.kinds) <= set(KINDS)
        assert blocklist.answers or blocklist.bits
    assert "spamcop" in EVERYBODY and "spamhaus-zen" not in EVERYBODY


def test_lists_by_name_and_of_one_s_own():
    assert named("spamcop") is SHIPPED["spamcop"]
    keyed = named("spamhaus-zen", "k3y.zen.dq.test")
    assert (keyed.zone, keyed.kinds) == ("k3y.zen.dq.test", ("ip4", "ip6"))
    assert keyed.meaning("127.0.0.4") == (True, "XBL: an infected or abused machine")
    assert named("mine", "list.test", ["domain"]).kinds == ("domain",)
    with pytest.raises(ValueError, match="'spamcp' is not known; expected one of spamcop, psbl"):
        named("spamcp")


INSIDE = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782, 2.1
ANSWERS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=4, network="127.0.0.0/16"),
                    st.ip_addresses(v=4, network="127.255.255.240/28")).map(str)
BITS = st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]), st.text("abc", min_size=1), max_size=8)
FEW = st.integers(0, 15).map("127.0.0.{}".format)


@given(st.sampled_from(sorted(SHIPPED)), ANSWERS)
def test_every_answer_is_a_listing_or_says_why_not(name, answer):
    blocklist = SHIPPED[name]
    is_listing, words = blocklist.meaning(answer)
    assert words
    # RFC 5782, 2.1: what is outside of 127/8 lists nobody; nor do the answers of operators that refuse to answer.
    refused = answer.startswith("127.255.255.25") and int(answer.rpartition(".")[2]) in range(252, 256)
    assert is_listing is (ipaddress.ip_address(answer) in INSIDE and not refused and answer not in blocklist.refusals)
    if is_listing and answer in blocklist.answers:
        assert words == blocklist.answers[answer]
    if not is_listing and answer not in blocklist.refusals and not refused:
        assert answer in words


@given(BITS, FEW | st.integers(0, 255).map("127.0.0.{}".format), st.dictionaries(FEW, st.text("xyz", min_size=1)),
       st.dictionaries(FEW, st.text("rst", min_size=1), max_size=3))
def test_bits_add_up_where_an_answer_is_not_known_as_a_whole(bits, answer, answers, refusals):
    last = int(answer.rpartition(".")[2])
    blocklist = Blocklist("mine", "list.test", ("ip4",), answers, bits, refusals)
    is_listing, words = blocklist.meaning(answer)
    assert is_listing is (answer not in refusals)
    added = [text for bit, text in bits.items() if last & bit]
    assert words == (refusals.get(answer) or answers.get(answer) or " and ".join(added) or answer)
