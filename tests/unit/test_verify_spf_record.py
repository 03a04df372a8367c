# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on SPF records over a real name server: each case with its rule, and the record that mends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import unquoted
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import audit, published
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_auxiliary import references
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verify_records

ZONE = {
    "main.example": "v=spf1 ip4:192.0.2.0/24 -all exp=why.main.example",
    "plus.example": "v=spf1 +all",
    "nobody.example": "v=spf1 -all",
    "halves.example": "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all",
    "wrong.example": "v=spf1 ipv4:192.0.2.1 -all",
    "wide.example": "v=spf1 " + "a:h1.example " * 10 + "-all",
    "two.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.2 ~all"]},
    "double.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.1  -all"]},
    "dead.example": {"SPF": ["v=spf1 ip4:192.0.2.1 -all"]},
    "quoted.example": '"v=spf1 ip4:192.0.2.1 -all"',
    "other.example": "not SPF",
    "foreign.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all", *(f"{n}{'x' * 240}" for n in range(6))]},
    "some.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all", *(f"{n}{'x' * 240}" for n in range(2))]},
    "dead.parts.example": "v=spf1 a:gone1.example a:gone2.example -all",
    "parts.example": "v=spf1 include:_spf1.parts.example -all",
    "_spf1.parts.example": "v=spf1 ip4:192.0.2.1 ptr -all",
    **{f"h{n}.example": {"A": [f"192.0.2.{n}"], "AAAA": [f"2001:db8::{n}"]} for n in range(1, 13)},
    "v4.example": {"A": ["192.0.2.44"]}, "v4b.example": {"A": ["192.0.2.44"]}, "v4c.example": {"A": ["192.0.2.45"]},
    "many.example": {"MX": [f"1 m{n}.example." for n in range(11)]},
}


@pytest.fixture(scope="module")
def lookup():
    names = {name: {"TXT": [types]} if isinstance(types, str) else types for name, types in ZONE.items()}
    with Nameserver({"": names}, {"silent.example": "servfail"}) as server, Lookup([server.server]) as found:
        yield found


def mended(verdicts):
    """Return the one record that all verdicts say to publish, or what they say instead."""
    mends = {verdict.mend for verdict in verdicts}
    assert len(mends) == 1
    mend = mends.pop()
    new = mend.removeprefix("publish d.example. TXT ").partition(" instead of ")[0]
    return unquoted(new).decode() if mend.startswith("publish d.example. TXT ") else mend


@pytest.mark.parametrize("text, statuses, cause, mend", [
    # What passes everybody, and what refuses nobody
    ("v=spf1 ip4:192.0.2.1 +all", ["fail"], "5.1, 11.4", "v=spf1 ip4:192.0.2.1 ~all"),
    ("v=spf1 ip4:192.0.2.1 all", ["fail"], "d.example: all lets every client pass", "v=spf1 ip4:192.0.2.1 ~all"),
    ("v=spf1 include:plus.example -all", ["fail"], "plus.example: +all lets every client pass",
     "mend the record of plus.example, or take include:plus.example out"),
    ("v=spf1 ip4:0.0.0.0/0 -all", ["fail"], "lets every IPv4 client pass",
     "write in place of ip4:0.0.0.0/0 the networks that send"),
    ("v=spf1 ip6:::/0 -all", ["fail"], "lets every IPv6 client pass",
     "write in place of ip6:::/0 the networks that send"),
    ("v=spf1 ip4:64.0.0.0/2 -all", ["warn"], "it passes 1.1e+09 addresses",
     "write the length of the network that is yours"),
    ("v=spf1 ip4:0.0.0.0/2 ip4:64.0.0.0/3 -all", ["warn"], "it passes 1.1e+09 addresses",
     "write the length of the network that is yours"),
    # The whole of it by parts: half of a family's addresses is everybody
    ("v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", ["fail"], "they pass 100% of all IPv4 addresses; from 50% on "
     "that is no better than +all", "write in place of ip4:0.0.0.0/1, ip4:128.0.0.0/1 the networks that send"),
    ("v=spf1 ip4:0.0.0.0/2 ip4:192.0.2.1 a:h1.example/2 -all", ["fail"], "they pass 50% of all IPv4 addresses",
     "write in place of ip4:0.0.0.0/2, a:h1.example/2 the networks that send"),
    ("v=spf1 -ip4:0.0.0.0/2 ip4:0.0.0.0/1 ip4:128.0.0.0/1 ~all", ["fail"], "they pass 75% of all IPv4 addresses",
     "write in place of ip4:0.0.0.0/1, ip4:128.0.0.0/1 the networks that send"),
    ("v=spf1 -ip4:0.0.0.0/2 ip4:0.0.0.0/1 -all", ["warn"], "it passes 2.1e+09 addresses",
     "write the length of the network that is yours"),
    ("v=spf1 " + " ".join(f"ip4:{n}.0.0.0/8" for n in range(256)) + " -all", ["fail"], "they pass 100%",
     "write in place of ip4:0.0.0.0/8, ip4:1.0.0.0/8, ip4:2.0.0.0/8, ip4:3.0.0.0/8, ip4:4.0.0.0/8 and 251 more the "
     "networks that send"),
    ("v=spf1 ip6:2000::/4 -all", ["fail"], "they pass 50% of all IPv6 addresses",
     "write in place of ip6:2000::/4 the networks that send"),
    ("v=spf1 ip6:::/3 -all", ["warn"], "whoever uses them", "write the length of the network that is yours"),
    ("v=spf1 include:halves.example -all", ["fail"], "they pass 100%",
     "mend the records of these, or take them out: include:halves.example"),
    ("v=spf1 ip4:0.0.0.0-255.255.255.255 -all", ["fail"], "at character 11", "correct what stands at these characters"),
    ("v=spf1 ip4:192.0.2.1 ?all", ["warn"], "neutral, which is treated as if there were no record (8.2)",
     "v=spf1 ip4:192.0.2.1 ~all"),
    ("v=spf1 ip4:192.0.2.1", ["warn"], "(8.2)", "v=spf1 ip4:192.0.2.1 ~all"),
    # What nobody reads
    ("v=spf1 -all ip4:192.0.2.1", ["warn"], "nobody reads what follows it (5.1)", "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 ip4:192.0.2.1 ~all -all", ["warn"], "nobody reads", "v=spf1 ip4:192.0.2.1 ~all"),
    ("v=spf1 ip4:192.0.2.1 redirect=main.example -all", ["warn"], "has no redirect, wherever the two stand (5.1, 6.1)",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 ip4=192.0.2.1 -all", ["warn"], "nobody knows does nothing (6); ip4:192.0.2.1 is meant",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 ip4:192.0.2.0/24 -ip4:192.0.2.9 -all", ["warn"], "the other result is never given",
     "v=spf1 -ip4:192.0.2.9 ip4:192.0.2.0/24 -all"),
    ("v=spf1 a:h1.example ~a:h1.example -all", ["warn"], "(4.6.2)", "v=spf1 a:h1.example -all"),
    # Costs
    ("v=spf1 ip4:192.0.2.1 ptr -all", ["warn"], "before it goes, whom it alone passes has to stand in the record",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 include:main.example include:Main.Example. -all", ["warn"], "counts against the 10 (4.6.4)",
     "v=spf1 include:main.example -all"),
    ("v=spf1 exists:%{i}.a.example exists:%{i}.b.example exists:%{i}.c.example -all", ["warn"],
     "up to 3 lookups find nothing", "take terms out that look up what differs by client or message"),
    ("v=spf1 exists:%{p}.a.example -all", ["warn"], "%{p} is not to be used", "write %{i} or %{d} in place of it, or "
     "take the term out"),
    # Limits, and what hides them
    ("v=spf1 ip4:192.0.2.1 " + " ".join(f"a:h{n}.example" for n in range(1, 12)) + " -all", ["fail"],
     "more than 10 terms look up (4.6.4), from d.example: a:h11.example on: every client that nothing before it "
     "matches gets permerror; an early match hides it from ip4:192.0.2.1, a:h1.example",
     "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 " + " ".join(f"a:h{n}.example" for n in range(2, 12)) + " -all"),
    ("v=spf1 include:wide.example a:h2.example -all", ["fail"], "from wide.example: a:h1.example on",
     "take terms out until 10 lookups are left; these cost: include:wide.example 11, a:h2.example 1"),
    ("v=spf1 a:gone1.example a:gone2.example a:gone3.example ip4:192.0.2.1 -all", ["fail"],
     "more than 2 lookups find nothing", "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 a:gone1.example ip4:192.0.2.1 mx:gone2.example -all", ["warn"],
     "A gone1.example: no such name, AAAA gone1.example: no such name, MX gone2.example: no such name: 2 of the 2 "
     "lookups that may find nothing (4.6.4), so that one more ends every check", "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 include:dead.parts.example ip4:192.0.2.1 -all", ["warn"], "2 of the 2 lookups that may find nothing",
     "take out what finds nothing: a:gone1.example of dead.parts.example, a:gone2.example of dead.parts.example"),
    ("v=spf1 a:v4.example a:v4b.example a:v4c.example -all", ["fail"], "every IPv6 client gets permerror",
     "v=spf1 ip4:192.0.2.44 a:v4b.example a:v4c.example -all"),
    ("v=spf1 mx:many.example -all", ["fail"], "11 MX records, more than 10 (4.6.4)",
     "write ip4 and ip6 in place of mx:many.example, or publish at most 10 MX records"),
    # Dead ends
    ("v=spf1 ip4:192.0.2.1 include:gone.example -all", ["fail"],
     "gone.example has no SPF record: no such name (5.2), from d.example: include:gone.example on: every client that "
     "nothing before it matches gets permerror; an early match hides it from ip4:192.0.2.1",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 include:other.example -all", ["fail"], "no TXT record begins with v=spf1 (5.2)", "v=spf1 -all"),
    ("v=spf1 redirect=gone.example", ["fail"], "no such name (6.1)",
     "publish a record at gone.example, or write ~all in place of redirect=gone.example"),
    ("v=spf1 include:wrong.example -all", ["fail"], "is wrong at character 8",
     'correct the record of wrong.example: TXT "v=spf1 ip4:192.0.2.1 -all", or take include:wrong.example out of the '
     "record of d.example"),
    ("v=spf1 ip4:192.0.2.1 include:d.example -all", ["fail"], "leads back to where it came from, and never ends",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 include:main.example-all", ["fail"], "a space is missing", "v=spf1 include:main.example -all"),
    ("v=spf1 include:silent.example -all", ["unknown"], "did not say: SERVFAIL",
     "make SERVER answer, then check again"),
    ("v=spf1 a:silent.example -all", ["unknown"], "SERVFAIL", "make SERVER answer, then check again"),
    # Syntax, and what is no record
    ("v=spf1 ipv4:192.0.2.1 -all", ["fail"], "at character 8: 'ipv4:192.0.2.1' is no mechanism",
     "v=spf1 ip4:192.0.2.1 -all"),
    ("v=spf1 foo -all", ["fail"], "every receiver finds permerror (4.6)", "correct what stands at these characters"),
    ("v=spf1; ip4:192.0.2.1 ++all", ["fail"], "no receiver takes this for SPF (4.5)", "v=spf1 ip4:192.0.2.1 ~all"),
    # All at once is one record
    ("v=spf1 ptr ip4:192.0.2.1 include:gone.example +all include:main.example", ["fail", "warn", "warn"], "",
     "v=spf1 ip4:192.0.2.1 include:main.example ~all"),
])
def test_each_fault_has_its_rule_and_its_mend(lookup, text, statuses, cause, mend):
    verdicts = verify_records(lookup.ask, ["d.example"], lookup.each, {"d.example": text})
    assert [verdict.status.value for verdict in verdicts] == statuses
    assert cause in verdicts[0].cause and mended(verdicts) == mend.replace("SERVER", str(lookup.resolvers[0]))
    assert all(verdict.check == "spf record" and verdict.subjects == ("d.example",) and verdict.found
               and verdict.expected and verdict.source for verdict in verdicts)


@pytest.mark.parametrize("domain, status, found, cause, mend", [
    ("gone.example", "absent", "no such name", "(4.5, 2.6.1)",
     "publish a record that passes the addresses of the fleet"),
    ("other.example", "absent", "1 other TXT values", "(4.5, 2.6.1)", "publish a record"),
    ("dead.example", "absent", "type 99 (SPF) only", "(3.1)", 'publish dead.example. TXT "v=spf1 ip4:192.0.2.1 -all"'),
    ("quoted.example", "fail", "v=spf1", "RFC 1035, 5.1", 'publish quoted.example. TXT "v=spf1 ip4:192.0.2.1 -all"'),
    ("two.example", "fail", '"v=spf1 ip4:192.0.2.1 -all"; "v=spf1 ip4:192.0.2.2 ~all"', "2 records begin with v=spf1",
     'publish two.example. TXT "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"'),
    ("double.example", "fail", '"v=spf1 ip4:192.0.2.1  -all"', "2 records begin with v=spf1",
     'publish double.example. TXT "v=spf1 ip4:192.0.2.1'),
    ("silent.example", "unknown", "DNS did not say", "SERVFAIL", "make SERVER answer"),
    ("foreign.example", "warn", "of them in 6 other TXT values", "asked for again over TCP (3.4)",
     "move the other TXT"),
    ("some.example", "ok", "note: an answer of", "", ""),
    ("main.example", "ok", "0 of 10 lookups at worst; fail for others", "", ""),
])
def test_what_is_published(lookup, domain, status, found, cause, mend):
    verdict, = verify_records(lookup.ask, [domain], lookup.each)
    assert verdict.status == status
    assert found in verdict.found and cause in verdict.cause
    assert mend.replace("SERVER", str(lookup.resolvers[0])) in verdict.mend


def test_a_record_of_many_networks_is_spread(lookup):
    text = "v=spf1 " + " ".join(f"ip4:198.51.{n}.1" for n in range(0, 80, 2)) + " -all"
    verdict, = verify_records(lookup.ask, ["d.example"], what_if={"d.example": text})
    assert verdict.status == "warn" and "(3.4)" in verdict.cause
    assert verdict.mend.startswith(
        'publish d.example. TXT "v=spf1 include:_spf1.d.example include:_spf2.d.example -all" instead of "v=spf1 ')
    parts = dict(part.removeprefix("publish ").split(". TXT ") for part in verdict.mend.split("; "))
    texts = {name: unquoted(value.partition(" instead of ")[0]).decode() for name, value in parts.items()}
    assert [verdict.ok for verdict in verify_records(lookup.ask, texts, what_if=texts)] == [True] * len(texts)


def test_the_parts_of_a_record_are_judged_with_it(lookup):
    fine, part = verify_records(lookup.ask, ["parts.example"], lookup.each)
    assert fine.ok and part.subjects == ("_spf1.parts.example",) and part.status == "warn"
    assert part.mend == (
        'publish _spf1.parts.example. TXT "v=spf1 ip4:192.0.2.1 -all" instead of "v=spf1 ip4:192.0.2.1 ptr -all"')


def test_notes_stand_with_what_is_ok(lookup):
    text = "v=spf1 ip4:192.0.2.77/24 ip4:192.0.2.9 exists:%{i}.x.example x-note=a -all"
    verdict, = verify_records(lookup.ask, ["d.example"], what_if={"d.example": text})
    assert verdict.ok
    for note in ("ip4:192.0.2.9 beside ip4:192.0.2.77/24", "ip4:192.0.2.77/24 is 192.0.2.0/24", "x-note=a",
                 "another thing for each message"):
        assert note in verdict.found


@pytest.mark.parametrize("terms, named, count", [
    ("a:gone1.example ip4:192.0.2.1", "a:gone1.example: A gone1.example: no such name, AAAA gone1.example: ", 1),
    ("a:v4.example", "a:v4.example: AAAA v4.example: no data", 1),
    # No limit is near for who has an address of IPv4, and none of the terms is dead.
    ("a:v4.example a:v4b.example",
     "a:v4.example, a:v4b.example: AAAA v4.example: no data, AAAA v4b.example: no data", 2),
])
def test_terms_that_find_nothing_are_named_before_they_do_harm(lookup, terms, named, count):
    verdict, = verify_records(lookup.ask, ["d.example"], what_if={"d.example": f"v=spf1 {terms} -all"})
    assert verdict.ok and f"note: {named}" in verdict.found
    assert f": {count} of the 2 lookups that may find nothing (4.6.4)" in verdict.found


def test_bad_arguments_are_named_at_once(lookup):
    with pytest.raises(ValueError, match=r"'a b' is not.*'' is not.*what_if of d.example: found 7"):
        verify_records(lookup.ask, ["a b", ""], what_if={"d.example": 7})


# include against redirect, RFC 7208, 5.2 and 6.1

@pytest.mark.parametrize("text, doubt, mend", [
    ("v=spf1 include:main.example -all", "", ""),
    ("v=spf1 include:main.example ~all", "", ""),
    ("v=spf1 redirect=main.example", "", ""),
    ("v=spf1 include:main.example",
     "they are fail at main.example, and neutral here since it ends without all (5.2, 4.7)",
     "v=spf1 redirect=main.example"),
    ("v=spf1 include:main.example ?all", "neutral here by ?all", "v=spf1 redirect=main.example"),
    ("v=spf1 ip4:192.0.9.9 include:main.example", "neutral here", "v=spf1 ip4:192.0.9.9 include:main.example -all"),
    ("v=spf1 -include:main.example ~all", "makes fail of every address that main.example passes",
     "v=spf1 include:main.example ~all"),
    ("v=spf1 include:nobody.example -all", "the include never matches, and costs 1", "v=spf1 -all"),
])
def test_the_effect_of_include_and_redirect(lookup, text, doubt, mend):
    verdicts = verify_records(lookup.ask, ["d.example", "main.example", "nobody.example"], what_if={"d.example": text})
    verdict = verdicts[0]
    assert (verdict.status == "warn") == bool(doubt) and verdict.ok == (not doubt)
    if doubt:
        assert doubt in verdict.cause and mended([verdict]) == mend
        assert "redirect=" in verdict.cause and "(6.1)" in verdict.cause
    assert all(each.ok for each in verdicts[1:])


@pytest.mark.parametrize("text, effect", [
    ("v=spf1 include:main.example -all",
     "include:main.example: whom main.example passes, passes; all others get fail by this record, as by "
     "redirect=main.example (5.2, 6.1)"),
    ("v=spf1 include:main.example ~all",
     "include:main.example: whom main.example passes, passes; all others get softfail by this record, by "
     "redirect=main.example they would get fail (5.2, 6.1)"),
    ("v=spf1 redirect=main.example",
     "redirect=main.example: every result of main.example holds here, fail for all others; by include:main.example "
     "only its pass would, and all others would get what this record says of them (5.2, 6.1)"),
])
def test_what_is_ok_says_what_the_other_way_would_change(lookup, text, effect):
    verdict, main = verify_records(lookup.ask, ["d.example", "main.example"], what_if={"d.example": text})
    assert verdict.ok and f"; note: {effect}" in verdict.found
    assert "note" not in main.found


def test_the_explanation_names_both_effects(lookup):
    ask = published(lookup.ask, {"d.example": "v=spf1 include:main.example ~all"})
    auxiliary, main = audit("d.example", ask), audit("main.example", ask)
    reference, = references(auxiliary, {"main.example": main})
    assert str(reference) == (
        "include:main.example: whom main.example passes gets pass; its other results only mean that the next term of "
        "d.example is read (5.2), which ends in softfail; the exp= of main.example is not used. redirect=main.example: "
        "d.example has every result of main.example that no term of its own decides, fail for all whom main.example "
        "does not name, with its exp= (6.1); an all of d.example would make it void. Both cost 1 of 10 lookups, and "
        "give permerror where main.example has no record or a wrong one")


TERMS = st.lists(st.sampled_from([
    "ip4:192.0.2.1", "ip4:192.0.2.0/24", "-ip4:192.0.2.1", "a:h.example", "a:gone.example", "ptr", "include:d.example",
    "include:gone.example", "include:ok.example", "-all", "+all", "?all", "redirect=ok.example", "ip4=192.0.2.3",
    "ipv4:192.0.2.4", "include:ok.example-all", "mx:gone.example"]), max_size=9)


@given(TERMS)
def test_who_publishes_the_mend_is_rid_of_the_fault(terms):
    zone = {"h.example": {"A": ("192.0.2.7",)}, "ok.example": {"TXT": ("v=spf1 ip4:198.51.100.1 -all",)},
            "d.example": {"TXT": (" ".join(["v=spf1", *terms]),)}}

    def ask(name, rdtype):
        values = zone.get(name.removesuffix("."), {}).get(rdtype, ())
        return Outcome(name, rdtype, Kind.VALUES if values else Kind.NO_NAME, values)

    start = "publish d.example. TXT "
    before = [each for each in verify_records(ask, ["d.example"]) if each.mend.startswith(start)]
    for text in {unquoted(each.mend.removeprefix(start).partition(" instead of ")[0]).decode() for each in before}:
        after = verify_records(ask, ["d.example"], what_if={"d.example": text})
        said = {(each.found, each.cause) for each in after if not each.ok}
        assert not said & {(each.found, each.cause) for each in before}
        assert all(each.status != "fail" or "4.6.4" in each.cause for each in after)
