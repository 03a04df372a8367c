# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit of an SPF record: its tree, its worst cost against what clients really pay, and where it breaks off."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_audit
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import SHOWN, audit, published
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_cover import superfluous
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import (
    MAXIMUM_QUESTIONS,
    MAXIMUM_RECORDS,
    MAXIMUM_TERMS_READ,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import parse_record
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verify_records

HOSTS = {
    "h0.example": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "h4.example": {"A": ["192.0.2.99"]},
    "many.example": {"MX": [f"1 m{n}.example." for n in range(11)]},
    "mx.example": {"MX": ["5 h0.example.", "6 gone.example."]},
}


@pytest.fixture
def audited():
    """Return a function that audits a domain of a zone in which a text is TXT, on a real name server."""
    started = []

    def start(names, domain="example.com", faults=None):
        names = HOSTS | {name: {"TXT": [types]} if isinstance(types, str) else types for name, types in names.items()}
        server = Nameserver({"": names}, faults).__enter__()
        lookup = Lookup([server.server], timeout=0.6).__enter__()
        started.extend([lookup, server])
        return audit(domain, lookup.ask, lookup.each), server

    yield start
    for item in started:
        item.__exit__()


def test_the_tree_as_text_and_as_data(audited):
    found, server = audited({
        "example.com": "v=spf1 ip4:192.0.2.1 a:h0.example include:A.example include:b.example ?all",
        "a.example": "v=spf1 include:b.example exists:%{i}.x.example -all",
        "b.example": "v=spf1 mx:mx.example -all include:unread.example",
    })
    assert found.tree().splitlines() == [
        "example.com: 7 of 10 lookups",
        "  a:h0.example: 1",
        "  include:A.example: 4",
        "    include:b.example: 2",
        "      mx:mx.example: 1, finds nothing: A gone.example.: no such name; AAAA gone.example.: no such name",
        "    exists:%{i}.x.example: 1, finds nothing: by message: perhaps nothing",
        "  include:b.example: 2 (as above)",
    ]
    data = json.loads(json.dumps(found.to_dict()))
    assert data == {
        "owner": "example.com",
        "text": "v=spf1 ip4:192.0.2.1 a:h0.example include:A.example include:b.example ?all",
        "tree": found.tree(),
        "lookups": 7,
        "exact": True,
        "otherwise": {"ipv4": "neutral", "ipv6": "neutral"},
        "voids": [
            {"owner": "a.example", "term": "exists:%{i}.x.example", "found": ["by message: perhaps nothing"],
             "ipv4": 0, "ipv6": 0, "possible": 1},
            {"owner": "b.example", "term": "mx:mx.example", "ipv4": 1, "ipv6": 1, "possible": 0,
             "found": ["A gone.example.: no such name", "AAAA gone.example.: no such name"]}],
        "limits": [],
    }
    assert server.queries == 3 + 2 + 1 + 2  # records, a, mx, the exchange that is new: each once


@pytest.mark.parametrize("text, terms, voids, rule", [
    ("ip4:192.0.2.1 ip6:2001:db8::/32 -all", 0, (0, 0), "4.6.4: ip4, ip6 and all look up nothing"),
    ("a:h0.example mx:h0.example ptr exists:h0.example -all", 4, (1, 1), "4.6.4: a, mx, ptr and exists count one each"),
    ("a:h4.example -all", 1, (0, 1), "4.6.4: a void lookup is one of the client's family"),
    ("a:gone.example exists:gone.example -all", 2, (2, 2), "4.6.4: no such name is void"),
    ("mx:mx.example -all", 1, (1, 1), "4.6.4, 5.4: the addresses of exchanges are lookups of mx"),
    ("include:a.example include:a.example -all", 4, (0, 0), "4.6.4: each time again"),
    ("redirect=a.example", 2, (0, 0), "4.6.4: redirect counts"),
    ("redirect=a.example -all", 0, (0, 0), "5.1: all makes redirect void"),
    ("-all include:a.example", 0, (0, 0), "5.1: nobody reads what follows all"),
    ("exp=gone.example -all", 0, (0, 0), "4.6.4: exp= does not count"),
    ("include:%{d2}.example -all", 1, (0, 0), "7: the domain is the same for every message"),
    ("include:gone.example include:a.example", 3, (0, 0), "5.2: counted to the end, though none is permerror"),
])
def test_the_worst_cost(audited, text, terms, voids, rule):
    found, _server = audited({"example.com": f"v=spf1 {text}", "a.example": "v=spf1 a:h0.example -all"})
    assert (found.cost.terms, (found.cost.voids4, found.cost.voids6)) == (terms, voids), rule
    assert found.cost.exact


@pytest.mark.parametrize("text, result, cause, before, rule", [
    ("ip4:192.0.2.1 " + "a:h0.example " * 11 + "-all", "permerror", "more than 10 terms look up",
     ["ip4:192.0.2.1"] + ["a:h0.example"] * 10, "4.6.4: an early match hides the limit"),
    ("a:g1.example a:g2.example a:g3.example -all", "permerror", "more than 2 lookups find nothing", [], "4.6.4"),
    ("mx:many.example -all", "permerror", "many.example has 11 MX records, more than 10", [], "4.6.4"),
    ("ip4:192.0.2.1 include:gone.example -all", "permerror", "gone.example has no SPF record: no such name",
     ["ip4:192.0.2.1"], "5.2"),
    ("redirect=gone.example", "permerror", "gone.example has no SPF record: no such name", [], "6.1"),
    ("include:two.example", "permerror", "two.example has 2 SPF records", [], "4.5"),
    ("include:wrong.example", "permerror", "the record of wrong.example is wrong at character 8", [], "4.6"),
    ("ip4:192.0.2.1 include:example.com", "permerror", "more than 10 terms look up", ["ip4:192.0.2.1"] * 11, "4.6.4"),
    ("include:silent.example -all", "temperror", "REFUSED", [], "4.4"),
    ("a:silent.example -all", "temperror", "REFUSED", [], "5"),
    ("include:pass.example include:gone.example", "pass", "", [], "5.2: what passes everybody ends it"),
    ("-include:pass.example include:gone.example", "fail", "", [], "4.6.2"),
    ("ip4:0.0.0.0/0 include:gone.example", "pass", "", [], "5.6"),
    ("a:h0.example/0 include:gone.example", "pass", "", [], "5.3"),
    ("exists:h0.example include:gone.example", "pass", "", [], "5.7"),
    ("include:fail.example ~all", "softfail", "", [], "5.2: fail is no match"),
    ("redirect=fail.example", "fail", "", [], "6.1"),
    ("a:h0.example", "neutral", "", [], "4.7"),
])
def test_what_becomes_of_a_client_that_nobody_names(audited, text, result, cause, before, rule):
    found, _server = audited({
        "example.com": f"v=spf1 {text}", "pass.example": "v=spf1 +all", "fail.example": "v=spf1 -all",
        "two.example": {"TXT": ["v=spf1", "v=spf1 -all"]}, "wrong.example": "v=spf1 foo",
    }, faults={"silent.example": "refused"})
    walk = found.walk4
    assert (walk.result, [step.term for step in walk.before]) == (result, before), rule
    assert cause in walk.cause and bool(cause) == bool(walk.cause)


def test_the_limits_that_an_early_match_hides(audited):
    found, _server = audited({"example.com": "v=spf1 ip4:192.0.2.1 include:a.example " + "a:h4.example " * 9 + "-all",
                              "a.example": "v=spf1 ip6:2001:db8::/32 -all"})
    assert found.to_dict()["limits"] == [
        {"family": "ipv6", "cause": "more than 2 lookups find nothing: " + "; ".join(
            ["a:h4.example: AAAA h4.example: no data"] * 3), "at": "example.com: a:h4.example",
         "hidden_from": ["ip6:2001:db8::/32"]}]
    found, _server = audited({"example.com": "v=spf1 ip4:192.0.2.1 " + "a:h0.example " * 11 + "-all"})
    assert [(limit["family"], limit["cause"], limit["hidden_from"]) for limit in found.to_dict()["limits"]] == [
        ("ipv4", "more than 10 terms look up", ["ip4:192.0.2.1"] + ["a:h0.example"] * 10),
        ("ipv6", "more than 10 terms look up", ["a:h0.example"] * 10)]


def test_what_is_told_of_a_tree_never_grows_with_it():
    everywhere = Outcome("x", "TXT", Kind.VALUES, ("v=spf1 " + " ".join(f"include:n{n}.example" for n in range(3000)),))
    data = audit("example.com", lambda name, rdtype: everywhere if rdtype == "TXT" else Outcome(
        name, rdtype, Kind.NO_NAME)).to_dict()
    assert len(data["tree"].splitlines()) == SHOWN + 1 and data["tree"].endswith(" more terms")
    exists = " ".join(["v=spf1", *(f"exists:%{{i}}.n{n}.example" for n in range(2000))])
    data = audit("d.example", table({"d.example": {"TXT": (exists,)}})).to_dict()
    assert len(data["voids"]) == SHOWN == len(data["limits"][0]["hidden_from"]) + SHOWN - 10


def test_clients_of_both_families_are_told_apart(audited):
    found, _server = audited({"example.com": "v=spf1 ip4:0.0.0.0/0 a:h4.example a:h4.example a:h4.example -all"})
    assert (found.walk4.result, found.walk6.result) == ("pass", "permerror")
    assert found.walk6.before == ()


@pytest.mark.parametrize("names, loops", [
    ({"example.com": "v=spf1 include:example.com -all"}, {"example.com"}),
    ({"example.com": "v=spf1 include:EXAMPLE.com. -all"}, {"example.com"}),
    ({"example.com": "v=spf1 redirect=a.example", "a.example": "v=spf1 include:b.example",
      "b.example": "v=spf1 redirect=a.example"}, {"a.example", "b.example"}),
])
def test_loops_end(audited, names, loops):
    found, server = audited(names)
    assert found.loops == loops and found.cost.terms > 10
    assert "never ends" in found.tree() and found.walk4.result == "permerror"
    assert server.queries == len(names)


def test_what_if_stands_in_place_of_what_is_published(audited):
    zone = {"example.com": {"TXT": ["v=spf1 -all", "other"]}, "a.example": "v=spf1 a:h0.example -all"}
    with Nameserver({"": {name: {"TXT": [types]} if isinstance(types, str) else types
                          for name, types in zone.items()}}) as server, Lookup([server.server]) as lookup:
        ask = published(lookup.ask, {"Example.COM.": "v=spf1 include:new.example -all", "new.example": "v=spf1 ~all",
                                     "a.example": ""})
        found = audit("example.com", ask)
        assert found.cost.terms == 1 and found.node.outcome.values == ("other", "v=spf1 include:new.example -all")
        assert audit("a.example", ask).walk4.result == "none"
        assert ask("a.example", "MX") == lookup.ask("a.example", "MX")


def test_type_99_is_asked_for_only_where_nothing_else_is(audited):
    found, server = audited({"example.com": {"SPF": ["v=spf1 -all"], "TXT": ["other"]}})
    assert found.type99.values == ("v=spf1 -all",)
    found, server = audited({"example.com": {"SPF": ["v=spf1 -all"], "TXT": ["v=spf1 ~all"]}})
    assert found.type99 is None and server.queries == 1


# Properties, on a table in place of DNS: thousands of records.

def table(zone):
    """Return an ask() that answers from {name: {type: values}}; a missing name is no such name."""
    asked = []

    def ask(name, rdtype):
        asked.append((name, rdtype))
        types = zone.get(name.removesuffix(".").lower())
        values = tuple((types or {}).get(rdtype, ()))
        kind = Kind.VALUES if values else Kind.NO_NAME if types is None else Kind.NO_DATA
        return Outcome(name, rdtype, kind, values)

    ask.asked = asked
    return ask


NAMES = [f"d{n}.example" for n in range(6)]
TERM = st.one_of(
    st.sampled_from(["ip4:192.0.2.1", "ip6:2001:db8::/32", "ip4:0.0.0.0/0", "a", "mx", "ptr", "a:gone.example",
                     "a:h.example/0", "mx:h.example", "exists:%{i}.list.example", "exists:gone.example",
                     "a:%{l}.example", "exists:h.example", "-all", "~all", "+all"]),
    st.builds("include:{}".format, st.sampled_from([*NAMES, "gone.example", "%{d}"])),
    st.builds("redirect={}".format, st.sampled_from([*NAMES, "gone.example"])),
)
RECORD = st.lists(st.builds("{}{}".format, st.sampled_from(["", "", "", "-", "?"]), TERM), max_size=6).map(
    lambda terms: " ".join(["v=spf1", *(term.lstrip("-?") if "=" in term else term for term in terms)]))
CLIENTS = ["192.0.2.1", "192.0.2.77", "198.51.100.1", "2001:db8::1", "2001:db9::1"]


@given(st.tuples(*[RECORD] * len(NAMES)), st.lists(st.sampled_from(CLIENTS), max_size=2))
def test_no_client_pays_more_than_the_worst_cost(texts, held):
    zone = {name: {"TXT": (text,), "MX": (Mx(5, "h.example."),)} for name, text in zip(NAMES, texts)}
    zone["h.example"] = {"A": tuple(ip for ip in held if "." in ip), "AAAA": tuple(ip for ip in held if ":" in ip)}
    ask = table(zone)
    for name in NAMES:
        found = audit(name, ask)
        for ip in CLIENTS:
            check = check_host(ip, name, f"user@{name}", "helo.example", ask)
            assert found.cost.terms >= check.terms or (not found.cost.exact and not found.loops)
            voids = found.cost.voids6 if ":" in ip else found.cost.voids4
            assert voids + found.cost.possible >= len(check.voids) or not found.cost.exact
        json.dumps(found.to_dict())


@given(st.tuples(*[RECORD] * len(NAMES)))
def test_the_client_that_nobody_names_gets_what_check_host_gives(texts):
    texts = [text.replace("%{l}", "x").replace(" ptr", " a:h.example") for text in texts]
    zone = {name: {"TXT": (text,)} for name, text in zip(NAMES, texts)}
    zone["h.example"] = {"A": ("192.0.2.55",), "AAAA": ("2001:db8:5::5",), "MX": (Mx(5, "h.example."),)}
    ask = table(zone)
    for name in NAMES:
        found = audit(name, ask)
        for walk, ip in ((found.walk4, "203.0.113.9"), (found.walk6, "2001:dbf::9")):
            check = check_host(ip, name, f"user@{name}", "helo.example", ask)
            # What a list has of this client decides too: it is the one thing that the walk cannot know.
            if not found.cost.possible and not walk.guess:
                assert (walk.result, walk.chain) == (check.result, check.chain)


WEIRD = st.one_of(
    st.text(max_size=300), st.text(alphabet="v=spf1 al:/%{}-+~?.0\x00\xff\"\\;", max_size=300),
    st.builds("v=spf1 {}".format, st.text(max_size=300)),
    st.builds("{}{}".format, st.sampled_from(["v=spf1 ", "v=spf1;", '"v=spf1 ', "v = spf1 "]),
              st.lists(st.one_of(TERM, st.text(max_size=20)), max_size=30).map(" ".join)),
)


@given(WEIRD, WEIRD)
def test_whatever_stands_there_there_are_verdicts(first, second):
    ask = table({"example.com": {"TXT": (first, second)}, "d0.example": {"TXT": (second,)}})
    for texts in ({}, {"example.com": first}):
        verdicts = verify_records(ask, ["example.com", "d0.example"], what_if=texts)
        assert {subject for verdict in verdicts for subject in verdict.subjects} >= {"example.com", "d0.example"}
        assert all(verdict.ok or (verdict.cause and verdict.mend) for verdict in verdicts)


@pytest.mark.parametrize("text", [
    "v=spf1 " + "a:h.example " * 5000, "v=spf1 " + "include:example.com " * 3000, "v=spf1 " + "x" * 65000,
    "v=spf1 " + "a:" + "." * 65000, "v=spf1 a:" + "1." * 32000, "v=spf1 " + "%{d}" * 16000,
    "v=spf1 " + " ".join(f"ip4:10.{n >> 8}.{n & 255}.1" for n in range(3500)) + " -all",
    "v=spf1 " + " ".join(f"include:n{n}.example" for n in range(3000)), "v=spf1 " + "\x00" * 60000,
    "v=spf1 " + "a:" + "-" * 65000 + ".x", "v=spf1 exists:%{" + "1" * 60000 + "}", '"' * 65000, "v=spf1 " + "-" * 60000,
    "v=spf1" + ";" * 60000, "v=spf1 " + "ip4:" * 16000, "v=spf1 include:%{d}.%{d} -all", " " * 65000,
], ids=lambda text: text[:20].strip())
def test_64_kb_end_soon(text):
    """Budget: a second or so on a busy machine, and a bounded number of questions."""
    everywhere = Outcome("x", "TXT", Kind.VALUES, (text,))
    asked = []

    def ask(name, rdtype):
        asked.append(name)
        return everywhere if rdtype == "TXT" else Outcome(name, rdtype, Kind.NO_NAME)

    begun = time.process_time()
    verdicts = verify_records(ask, ["example.com"])
    assert verdicts and time.process_time() - begun < 20
    assert sum(len(str(verdict.to_dict())) for verdict in verdicts) < 100_000
    # Questions of the audit, and of the few audits that prove a mend.
    assert len(asked) <= 50 * (MAXIMUM_RECORDS + MAXIMUM_QUESTIONS)


@pytest.mark.parametrize("own, others, mend", [
    (100, 3, "publish example.com. TXT"), (300, 3, "take terms out"), (580, 0, "take terms out")])
def test_a_record_over_the_limits_is_made_smaller_by_few_readings_of_its_tree(monkeypatch, own, others, mend):
    names = [f"{first}{second}.x" for first in "abcdefghijklmnopqrstuvwxyz" for second in "abcdefghijklmnopqrstuvwxyz"]
    zone = {name: {"A": [f"192.0.{at >> 8}.{at & 255}"], "AAAA": [f"2001:db8::{at}"]} for at, name in enumerate(names)}
    zone |= {f"big{n}.x": {"TXT": ["v=spf1 " + " ".join(f"ip4:10.{n}.{k}.1" for k in range(250)) + " -all"]}
             for n in range(others)}
    terms = [f"a:{name}" for name in names[:own]] + [f"include:big{n}.x" for n in range(others)]
    zone["example.com"] = {"TXT": [" ".join(["v=spf1", *terms, "-all"])]}
    readings, walks = [], []

    def counted(calls, function):
        def call(*arguments):
            calls.append(arguments)
            return function(*arguments)

        return call

    for calls, name in ((readings, "read_tree"), (walks, "walk")):
        monkeypatch.setattr(spf_audit, name, counted(calls, getattr(spf_audit, name)))
    verdict, *_more = verify_records(table(zone), ["example.com"])
    assert "more than 10 terms look up" in verdict.cause and verdict.mend.startswith(mend)
    # The audit, and those of what is proposed; walks are two for each record that is tried.
    assert len(readings) <= 4 and len(walks) <= 2 * (4 + 10)


def test_a_tree_of_long_records_is_read_as_far_as_a_receiver_gets_and_not_much_further():
    zone = {f"n{n}.example": {"TXT": ["v=spf1 " + " ".join(f"include:n{m}.example" for m in range(3000))]}
            for n in range(3000)}
    ask = table(zone)
    found = audit("n0.example", ask)
    assert 11 <= len(ask.asked) == len(found.nodes) <= MAXIMUM_TERMS_READ // 3000 + 1
    assert not found.cost.exact and found.walk4.limit
    # Eight of them fit in whole.
    zone["n0.example"] = {"TXT": ["v=spf1 " + " ".join(f"include:w{m}.example" for m in range(8)) + " -all"]}
    zone |= {f"w{n}.example": {"TXT": ["v=spf1 " + "ip4:192.0.2.1 " * 4600 + "-all"]} for n in range(8)}
    found = audit("n0.example", table(zone))
    assert found.cost.exact and len(found.nodes) == 9


def test_bytes_that_are_no_text_arrive_over_the_wire(audited):
    found, _server = audited({"example.com": {"TXT": [b"v=spf1 a:\x00\xff.example -all"]}})
    assert found.walk4.result == "permerror" and found.node.problems


@pytest.mark.parametrize("text, gone", [
    ("ip4:192.0.2.0/24 ip4:192.0.2.7", [("ip4:192.0.2.7", "ip4:192.0.2.0/24", False)]),
    ("ip4:192.0.2.7 ip4:192.0.2.0/24", [("ip4:192.0.2.7", "ip4:192.0.2.0/24", False)]),
    ("-ip4:192.0.2.7 ip4:192.0.2.0/24", []),
    ("ip4:192.0.2.0/24 -ip4:192.0.2.7", [("-ip4:192.0.2.7", "ip4:192.0.2.0/24", True)]),
    ("ip4:192.0.2.7 a ip4:192.0.2.0/24", []),
    ("ip6:2001:db8::/32 ip6:2001:DB8::1 ip4:192.0.2.1", [("ip6:2001:DB8::1", "ip6:2001:db8::/32", False)]),
    ("a a:example.com. A:Example.com/24 mx", [("a:example.com.", "a", False)]),
    ("include:a.example ~include:A.EXAMPLE.", [("~include:A.EXAMPLE.", "include:a.example", True)]),
    ("exists:%{i}.x.example exists:%{i}.x.example", [("exists:%{i}.x.example", "exists:%{i}.x.example", False)]),
    ("exists:%{i}.x.example exists:%{ir}.x.example -all ip4:192.0.2.1 ip4:192.0.2.1", []),
])
def test_what_can_go(text, gone):
    found = superfluous(parse_record(f"v=spf1 {text}"), "example.com")
    assert [(item.term.text, item.by.text, item.contradicts) for item in found] == gone


NETWORKS = st.sampled_from(["192.0.2.1", "192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/16", "198.51.100.1", "0.0.0.0/0"])


@given(st.lists(st.builds("{}ip4:{}".format, st.sampled_from(["", "-"]), NETWORKS), max_size=7))
def test_without_what_can_go_the_record_says_the_same(terms):
    record = parse_record(" ".join(["v=spf1", *terms, "~all"]))
    gone = {item.term.position for item in superfluous(record, "d.example")}
    rest = " ".join(["v=spf1", *(each.text for each in record.mechanisms if each.position not in gone)])
    for ip in ("192.0.2.1", "192.0.2.9", "192.0.2.200", "192.0.9.9", "198.51.100.1", "203.0.113.1"):
        asks = [table({"d.example": {"TXT": (text,)}}) for text in (record.text, rest)]
        results = [check_host(ip, "d.example", "u@d.example", "h.example", ask).result for ask in asks]
        assert results[0] == results[1]
