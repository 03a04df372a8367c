# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grammar of SPF (RFC 7208, 12), each rule with a record that keeps it and one that breaks it."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_macro import Message, expand, target_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    Macro,
    SpfSyntaxError,
    is_spf,
    parse_explanation,
    parse_record,
)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("v=spf1", True),
        ("V=SPF1 -all", True),
        ("v=spf1 ", True),
        ("v=spf10", False),
        ("v=spf1\t-all", False),
        (" v=spf1", False),
        ("", False),
        ("spf2.0/pra", False),
    ],
)
def test_what_is_spf(text, expected):
    assert is_spf(text) == expected


def test_terms_in_their_order():
    record = parse_record(
        "v=spf1  +a:a.example/24//64 ?MX ip4:192.0.2.77/24 -IP6:2001:db8::1 ~ptr:b.example "
        "exists:%{ir}.c.example unknown=%{d} exp=e.%{d1} include:d.example redirect=f.example "
    )
    assert [(term.qualifier, term.name, term.prefix4, term.prefix6) for term in record.mechanisms] == [
        ("+", "a", 24, 64),
        ("?", "mx", 32, 128),
        ("+", "ip4", 32, 128),
        ("-", "ip6", 32, 128),
        ("~", "ptr", 32, 128),
        ("+", "exists", 32, 128),
        ("+", "include", 32, 128),
    ]
    assert record.mechanisms[2].network == ipaddress.ip_network("192.0.2.0/24")
    assert record.mechanisms[3].network == ipaddress.ip_network("2001:db8::1")
    assert record.mechanisms[5].domain == (Macro("i", reverse=True), ".c.example")
    assert (record.redirect.value, record.exp.value) == (("f.example",), ("e.", Macro("d", 1)))
    assert [other.text for other in record.others] == ["unknown=%{d}"]
    assert [term.name for term in record.looking_up] == ["a", "mx", "ptr", "exists", "include", "redirect"]
    assert all(record.text[term.position :].startswith(term.text) for term in record.mechanisms)


def test_all_makes_redirect_void():
    record = parse_record("v=spf1 redirect=a.example -all")
    assert record.redirect is None and record.looking_up == ()


@pytest.mark.parametrize(
    "term",
    [
        "a",
        "a/0",
        "a//0",
        "a/32//128",
        "a:b.example/8",
        "a:%{d}",
        "a:%{d}/24",
        "a:b.example.",
        "a:x/y.example",
        "a:b.c-d",
        "a:b.1c",
        "a:%%.%_",
        "a:b%-c.de",
        "mx:b.example//64",
        "ptr",
        "exists:%{l1r+-}._spf.%{d2}",
        "ip4:0.0.0.0/0",
        "ip6:::/0",
        "ip6:::ffff:192.0.2.1/96",
        "include:_spf.b.example",
        "exp=%{d}",
        "redirect=b.example",
        "x-1._y=",
        "a=b",
        "all=%{i}",
        "include=b.example",
        "exists:%{d/}",
    ],
)
def test_terms_of_the_grammar(term):
    record = parse_record(f"v=spf1 {term}")
    assert record.mechanisms or record.redirect or record.exp or record.others


@pytest.mark.parametrize(
    "term, offset, message",
    [
        ("foo", 0, "'foo' is no mechanism"),
        ("+", 0, "'+' is no mechanism"),
        ("++a", 0, "'++a' is no mechanism"),
        ("a b", 2, "'b' is no mechanism"),
        ("\ta", 0, "'\\ta' is no mechanism"),
        ("1=a", 0, "'1=a' is no mechanism"),
        ("=a", 0, "'=a' is no mechanism"),
        ("all:b.example", 3, "':b.example' may not follow all"),
        ("all/8", 3, "'/8' may not follow all"),
        ("ptr/8", 3, "'/8' may not follow ptr"),
        ("a.b", 0, "'a.b' is no mechanism"),
        ("include", 7, "include needs a colon and a domain"),
        ("exists", 6, "exists needs a colon and a domain"),
        ("include:", 8, "a domain is missing"),
        ("a:", 2, "a domain is missing"),
        ("a:/8", 2, "a domain is missing"),
        ("redirect=", 9, "a domain is missing"),
        ("exp=", 4, "a domain is missing"),
        ("a:b", 2, "'b' does not end in a dot"),
        ("a:b.1", 2, "'b.1' does not end in a dot"),
        ("a:b.-c", 2, "'b.-c' does not end"),
        ("a:b.c-", 2, "'b.c-' does not end"),
        ("a:b..", 2, "'b..' does not end"),
        ("a:b.example:8080", 2, "'b.example:8080' does not end"),
        ("a:%{d}b", 2, "'%{d}b' does not end"),
        ("a:b.%{d}.", 2, "'b.%{d}.' does not end"),
        ("a/33", 1, "'/33' is no prefix length"),
        ("a/01", 1, "'/01' is no prefix length"),
        ("a//129", 1, "'//129' is no"),
        ("a/", 1, "'/' is no prefix length"),
        ("a/8/64", 1, "'/8/64' is no prefix length"),
        ("a:b.example//", 11, "'//' is no"),
        ("ip4", 3, "found '', expected a colon and an IPv4"),
        ("ip4:", 3, "found ':'"),
        ("ip4:1.2.3", 3, "found ':1.2.3'"),
        ("ip4:1.2.3.04", 3, "found"),
        ("ip4:1.2.3.4/33", 3, "found"),
        ("ip4:1.2.3.4/", 3, "found"),
        ("ip4:1.2.3.4/08", 3, "found"),
        ("ip4:1.2.3.4/255.0.0.0", 3, "found"),
        ("ip4:1.2.3.4//32", 3, "found"),
        ("ip4:%{i}", 3, "found"),
        ("ip4:::1", 3, "found"),
        ("ip4:\u0661.2.3.4", 3, "found"),
        ("ip6:1.2.3.4", 3, "found"),
        ("ip6:fe80::1%eth0", 3, "found"),
        ("ip6:::1/129", 3, "found"),
        ("ip6/64", 3, "found"),
        ("a:%", 2, "'%' is no macro"),
        ("a:b%c.example", 3, "'%c.example' is no macro"),
        ("a:%{}.b", 2, "'%{}.b' is no macro"),
        ("a:%{z}", 2, "%{z} is no macro here"),
        ("a:%{c}", 2, "%{c} is no macro here"),
        ("a:%{d0}", 2, "%{d0} keeps no part"),
        ("a:%{d1rr}", 2, "'%{d1rr}' is no macro"),
        ("a:%{d", 2, "'%{d' is no macro"),
        ("a:caf\u00e9.example", 5, "the character 'é'"),
        ("x=\x7f", 2, "the character '\\x7f'"),
        ("a:b\0.example", 3, "the character '\\x00'"),
    ],
)
def test_what_breaks_it(term, offset, message):
    with pytest.raises(SpfSyntaxError) as caught:
        parse_record(f"v=spf1 {term}")
    (problem,) = caught.value.problems
    assert problem.message.startswith(message) and problem.position == len("v=spf1 ") + offset


def test_all_mistakes_are_named_at_once():
    with pytest.raises(SpfSyntaxError) as caught:
        parse_record("v=spf1 foo a ip4:1 exp=a.b exp=c.d redirect=a.b redirect=a.b")
    assert str(caught.value) == (
        "at character 8: 'foo' is no mechanism (all, include, a, mx, ptr, ip4, ip6, exists) or modifier; "
        "at character 17: found ':1', expected a colon and an IPv4 address, and at most /0 to /32 after it; "
        "at character 28: exp= stands twice; at character 49: redirect= stands twice"
    )


MESSAGE = Message(ipaddress.ip_address("192.0.2.3"), "strong-bad@email.example.com", "mx.example.org", "rcv.example", 7)
MESSAGE6 = Message(ipaddress.ip_address("2001:db8::cb01"), "strong-bad@email.example.com", "mx.example.org")


@pytest.mark.parametrize(
    "macro, value",
    [  # the table of RFC 7208, 7.4, and what it leaves out
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{h}", "mx.example.org"),
        ("%{L}", "strong-bad"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%%%_%-", "% %20"),
        ("%{p}", "name.example"),
        ("%{c} %{r} %{t}", "192.0.2.3 rcv.example 7"),
        ("%{d999999999999}", "email.example.com"),
    ],
)
def test_macros(macro, value):
    assert expand(parse_explanation(macro), MESSAGE, "email.example.com", lambda: "name.example") == value


def test_macros_of_ipv6():
    parts = parse_explanation("%{ir}.%{v}._spf.%{d2}")
    assert expand(parts, MESSAGE6, "email.example.com", str) == (
        "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"
    )


def test_names_are_cut_from_the_left_to_253_characters():
    long = ".".join(["label"] * 60)
    name = target_name(("x.", Macro("d")), MESSAGE, long, str)
    assert len(name) <= 253 and long.endswith(name) and not name.startswith(".")
    assert target_name(("a.example.",), MESSAGE, "", str) == "a.example"


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 a:" + "/" * 64000 + "x",
        "v=spf1 " + "a" * 64000,
        "v=spf1 a:" + "1" * 64000,
        "v=spf1 a:" + "a." * 32000,
        "v=spf1 a:" + "%{d}" * 16000 + "x",
        "v=spf1 " + "a " * 32000,
        "v=spf1" + " " * 64000,
        "v=spf1 a/" + "0" * 64000,
        "v=spf1 ip4:" + "1." * 32000,
        "v=spf1 x=" + "%" * 64000,
        "v=spf1 a:x." + "-" * 64000,
        "v=spf1 a:%{d" + "1" * 64000 + "}",
    ],
)
def test_records_of_64_kb_take_no_time(text):
    began = time.process_time()
    try:
        parse_record(text)
    except SpfSyntaxError:
        pass
    assert time.process_time() - began < 2  # what is not linear takes minutes


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "a",
                ":",
                "/",
                "ip4",
                "ip6",
                "%{",
                "d",
                "}",
                "1",
                ".",
                "-",
                " ",
                "=",
                "include",
                "exp",
                "::",
                "é",
                "\0",
                "%",
            ]
        )
    ).map("".join)
)
def test_any_text_is_a_record_or_a_mistake_with_its_position(text):
    try:
        parse_record(f"v=spf1 {text}")
    except SpfSyntaxError as error:
        assert all(0 <= problem.position <= len(text) + 7 and problem.message for problem in error.problems)
    try:
        parse_explanation(text)
    except SpfSyntaxError as error:
        assert error.problems


MIXED = st.lists(st.sampled_from([
    "ip4:192.0.2.1", "-ip4:192.0.2.0/24", "ip4:0.0.0.0/0", "ip4:192.0.2.1/25", "ip6:2001:db8::1", "~ip6:2001:db8::/32",
    "a", "include:b.example", "all", "ip4:198.51.100.7", "ip6:::/0"]), max_size=9)


@given(MIXED, st.sampled_from(["192.0.2.1", "192.0.2.200", "203.0.113.1", "2001:db8::1", "2001:db9::1"]))
def test_candidates_are_the_terms_without_a_network_up_to_the_first_network_that_holds_the_client(terms, client):
    record, ip = parse_record(" ".join(["v=spf1", *terms])), ipaddress.ip_address(client)
    left = []
    for term in record.mechanisms:
        if not term.network or ip in term.network:
            left.append(term)
        if term.network and ip in term.network:
            break
    assert list(record.candidates(ip)) == left
