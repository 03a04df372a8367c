# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""check_host() over a real name server: chains, causes, limits, budgets of queries, and pyspf as an oracle."""

from __future__ import annotations

import pytest
import spf
from hypothesis import given, settings
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_check
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host

IP = "192.0.2.1"


@pytest.fixture
def zone():
    """Return a function that takes the records of some names, a text being TXT, and gives the server and a check."""
    started = []

    def start(names, faults=None):
        names = {name: {"TXT": [types]} if isinstance(types, str) else types for name, types in names.items()}
        server = Nameserver({"": names}, faults).__enter__()
        lookup = Lookup([server.server], timeout=0.6).__enter__()
        started.extend([lookup, server])

        def check(ip=IP, domain="example.com", local="user"):
            return check_host(ip, domain, f"{local}@{domain}", "helo.example.com", lookup.ask, "mx.example.org", 7)

        return server, check

    yield start
    for item in started:
        item.__exit__()


def path(check):
    return [str(step) for step in check.chain]


def test_the_chain_leads_through_includes_and_redirects(zone):
    _server, check = zone(
        {
            "example.com": "v=spf1 ip4:198.51.100.1 include:no.example.com include:a.example.com -all",
            "no.example.com": "v=spf1 -all",
            "a.example.com": "v=spf1 redirect=b.example.com",
            "b.example.com": "v=spf1 a:h.example.com/24 ~all",
            "h.example.com": {"A": ["192.0.2.200"]},
        }
    )
    found = check()
    assert found.result == "pass" and path(found) == [
        "example.com: include:a.example.com",
        "a.example.com: redirect=b.example.com",
        "b.example.com: a:h.example.com/24",
    ]
    assert (found.terms, found.voids) == (4, ())
    assert path(check("198.51.100.9")) == ["example.com: -all"]


def test_an_error_names_the_way_to_it_and_its_source(zone):
    server, check = zone(
        {"example.com": "v=spf1 include:a.example.com -all", "a.example.com": "v=spf1 mx:b.example.com"},
        {"b.example.com": "refused"},
    )
    found = check()
    assert (found.result, found.cause) == ("temperror", f"{server.server} did not say: REFUSED")
    assert path(found) == ["example.com: include:a.example.com", "a.example.com: mx:b.example.com"]
    assert found.source == f"MX b.example.com. asked of {server.server}"


@pytest.mark.parametrize(
    "text, cause",
    [
        ("include:none.example.com", "none.example.com has no SPF record: no such name"),
        ("redirect=none.example.com", "none.example.com has no SPF record: no such name"),
        ("include:a.example.com", "a.example.com has no SPF record: no TXT record begins with v=spf1"),
        ("include:%{d1}", "'com' is no domain name of several labels"),
        ("include:two.example.com", "two.example.com has 2 SPF records, one is allowed"),
        ("include:wrong.example.com", "the record of wrong.example.com is wrong at character 8: 'foo' is no mechanism"),
        ("mx", "example.com has 11 MX records, more than 10"),
        ("redirect=example.com", "more than 10 terms look up"),
    ],
)
def test_permanent_errors(zone, text, cause):
    _server, check = zone(
        {
            "example.com": {"TXT": [f"v=spf1 {text}"], "MX": [f"{n} m{n}.example.com." for n in range(11)]},
            "a.example.com": "not SPF",
            "two.example.com": {"TXT": ["v=spf1", "V=SPF1 -all"]},
            "wrong.example.com": "v=spf1 foo",
        }
    )
    found = check()
    assert found.result == "permerror" and found.cause.startswith(cause)


@pytest.mark.parametrize(
    "ip, text, result",
    [
        ("::ffff:192.0.2.1", "ip4:192.0.2.1 -all", "pass"),
        ("::ffff:192.0.2.1", "ip6:::ffff:192.0.2.1 -all", "fail"),
        ("192.0.2.1", "ip6:::/0 -all", "fail"),
        ("2001:db8::1", "ip4:0.0.0.0/0 -all", "fail"),
        ("2001:db8::1", "a:h.example.com -all", "pass"),
        ("2001:db8::99", "a:h.example.com/32 -all", "fail"),
        ("2001:db8::99", "a:h.example.com/32//64 -all", "pass"),
        ("2001:db8::99", "a:h.example.com//0 -all", "pass"),
        ("192.0.2.1", "exists:%{ir}.%{l}.list.example.com -all", "pass"),
        ("2001:db8::1", "exists:h.example.com -all", "pass"),
        ("192.0.2.1", "mx:null.example.com ~all", "softfail"),
        ("192.0.2.1", "ptr:example.com -all", "pass"),
        ("192.0.2.2", "ptr:example.com ?all", "neutral"),
        ("192.0.2.1", "a:back\\slash.example.com -all", "pass"),
    ],
)
def test_results(zone, ip, text, result):
    _server, check = zone(
        {
            "example.com": f"v=spf1 {text}",
            "h.example.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
            "1.2.0.192.user.list.example.com": {"A": ["127.0.0.2"]},
            "null.example.com": {"MX": ["0 ."]},
            "1.2.0.192.in-addr.arpa": {"PTR": ["h.example.com."]},
            "2.2.0.192.in-addr.arpa": {"PTR": ["h.example.com."]},
            "back\\\\slash.example.com": {"A": ["192.0.2.1"]},
        }
    )
    assert check(ip).result == result


@pytest.mark.parametrize(
    "explanation, text",
    [
        (
            ["%{i} is not one of %{o}, said %{r} at %{t}"],
            "192.0.2.1 is not one of example.com, said mx.example.org at 7",
        ),
        (["%{p}"], "unknown"),
        (["caf\u00e9"], ""),
        (["%{x}"], ""),
        (["one", "two"], ""),
        ([], ""),
    ],
)
def test_explanations(zone, explanation, text):
    _server, check = zone({"example.com": "v=spf1 -all exp=why.example.com", "why.example.com": {"TXT": explanation}})
    assert check().explanation == text


def test_the_explanation_is_that_of_the_record_that_decided(zone):
    _server, check = zone(
        {
            "example.com": "v=spf1 include:a.example.com redirect=b.example.com exp=why.example.com",
            "a.example.com": "v=spf1 -all exp=why.example.com",
            "b.example.com": "v=spf1 -all exp=other.example.com",
            "why.example.com": "wrong",
            "other.example.com": "%{d}",
        }
    )
    assert check().explanation == "b.example.com"


@pytest.mark.parametrize(
    "record, ip, queries",
    [
        (
            "v=spf1 ip4:192.0.2.1 a mx include:a.example.com -all",
            IP,
            1,
        ),  # what stands behind the match is not asked for
        ("v=spf1 a mx -all", IP, 3),
        ("v=spf1 a a:example.com -all", IP, 2),
        ("v=spf1 exp=why.example.com ~all", IP, 1),
        ("v=spf1 mx:many.example.com -all", IP, 12),
        ("v=spf1 foo include:a.example.com", IP, 1),
    ],
)
def test_queries_are_kept_to_what_decides(zone, record, ip, queries):
    server, check = zone(
        {
            "example.com": {"TXT": [record], "A": ["198.51.100.1"]},
            "many.example.com": {"MX": [f"1 m{n}.example.com." for n in range(10)]},
            **{f"m{n}.example.com": {"A": ["198.51.100.1"]} for n in range(10)},
        }
    )
    check(ip)
    assert server.queries == queries


def test_a_ptr_without_end_is_bounded(zone):
    server, check = zone(
        {
            "example.com": "v=spf1 ptr -all",
            "1.2.0.192.in-addr.arpa": {"PTR": [f"h{n:03}.example.org." for n in range(300)]},
        }
    )
    assert check().result == "fail"
    assert server.asked["1.2.0.192.in-addr.arpa", "PTR"] == 2  # UDP, then TCP
    assert server.queries == 1 + 2 + 10


@pytest.mark.parametrize("fault", ["garbage", "cut", "truncated for ever", "wrong id", "other question", "lame"])
def test_whatever_a_server_sends_the_result_is_temperror(zone, fault):
    _server, check = zone({"example.com": "v=spf1 -all"}, {"*": fault})
    assert check().result == "temperror"


# The oracle: pyspf on the same name server.

NAMES = ["d0.example", "d1.example", "d2.example", "d3.example"]
HOSTS = ["h0.example", "h1.example", "none.example"]
ADDRESSES = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "2001:db8::1", "2001:db8:1::1"]


@st.composite
def records(draw, number):
    """Return a record of a domain, which names later ones only: pyspf refuses one that includes itself unread."""
    later = NAMES[number + 1 :] + ["none.example"]
    cidr = st.sampled_from(["", "/24", "/25", "//64", "/0", "/32//128"])
    term = st.one_of(
        st.sampled_from(
            ["ip4:192.0.2.1", "ip4:192.0.2.0/25", "ip4:198.51.100.0/24", "ip6:2001:db8::/48", "ip6:2001:db8::1"]
        ),
        st.builds("a:{}{}".format, st.sampled_from(HOSTS), cidr),
        st.builds("mx:{}{}".format, st.sampled_from(NAMES), cidr),
        st.builds("include:{}".format, st.sampled_from(later)),
        st.just("a"),
        st.just("mx/24"),
        st.sampled_from(["exists:%{i}.list.example", "exists:%{l}.list.example", "a:%{l1r-}.example", "a:%{d2}"]),
    )
    terms = draw(st.lists(st.builds("{}{}".format, st.sampled_from(["", "", "-", "~", "?"]), term), max_size=5))
    end = draw(st.sampled_from(["", "-all", "~all", f"redirect={draw(st.sampled_from(later))}", "x=y", "foo:bar"]))
    return " ".join(["v=spf1", *terms, end]).strip()


@settings(max_examples=settings().max_examples // 2)
@given(st.tuples(*map(records, range(4))), st.lists(st.sampled_from(ADDRESSES), max_size=3), st.sampled_from(ADDRESSES))
def test_pyspf_finds_the_same(texts, held, client):
    hosts = {
        "A": [address for address in held if ":" not in address],
        "AAAA": [address for address in held if ":" in address],
    }
    names = {name: {"TXT": [text], "MX": ["5 h0.example."]} for name, text in zip(NAMES, texts)}
    names |= {
        "h0.example": hosts,
        "h1.example": {"A": ["192.0.2.99"]},
        "192.0.2.1.list.example": {"A": ["127.0.0.2"]},
        NAMES[1]: names[NAMES[1]] | hosts,
    }
    with Nameserver({"": names}) as server, Lookup([server.server], timeout=5) as lookup:

        def ask(name, rdtype, *_more):
            values = lookup.ask(name, rdtype).values
            raw = {"TXT": lambda value: (value.encode(),), "MX": lambda value: (value[0], value[1].removesuffix("."))}
            return [((name, rdtype), raw.get(rdtype, str)(value)) for value in values]

        query = spf.query(client, f"h1@{NAMES[0]}", "helo.example", strict=True)
        original, spf.DNSLookup = spf.DNSLookup, ask
        try:
            theirs = query.check()[0]
        finally:
            spf.DNSLookup = original
        assert check_host(client, NAMES[0], f"h1@{NAMES[0]}", "helo.example", lookup.ask).result == theirs


def test_a_check_reads_the_terms_that_may_match_however_many_networks_stand_before_them(monkeypatch):
    names = {f"i{n}.example": f"v=spf1 {' '.join(f'ip4:10.{n}.{k >> 6}.{k & 63}' for k in range(4000))} -all"
             for n in range(8)}
    names["d.example"] = f"v=spf1 {' '.join(f'include:{name}' for name in names)} exists:%{{i}}.x.example -all"
    said = {name: Outcome(name, "TXT", Kind.VALUES, (text,)) for name, text in names.items()}
    read = []
    matches = spf_check._Evaluation.matches

    def counted(self, mechanism, domain, step):
        read.append(mechanism)
        return matches(self, mechanism, domain, step)

    monkeypatch.setattr(spf_check._Evaluation, "matches", counted)

    def check(ip):
        read.clear()
        return check_host(ip, "d.example", "u@d.example", "h.example",
                          lambda name, rdtype: said.get(name) or Outcome(name, rdtype, Kind.NO_NAME)).result

    assert (check(IP), len(read)) == ("fail", 8 + 8 + 2)  # each include with the -all behind it, exists, and -all
    assert (check("10.7.62.31"), len(read)) == ("pass", 8 + 7 + 1)
