# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication-Results: what receivers write, what RFC 8601 allows, and what is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import authres

OPENDKIM = """ mx.gmail.com;
\tdkim=pass (2048-bit key; unprotected) header.d=example.com header.i=@example.com
\t header.a=rsa-sha256 header.s=m20261123 header.b=aB/+x12;
\tdkim-atps=neutral"""
POLICYD_SPF = (
    " mx.gmail.com; spf=pass (sender SPF authorized) smtp.mailfrom=e.example.com"
    " (client-ip=198.51.100.10; helo=mta1.example.com; envelope-from=probe@e.example.com; receiver=gmail.com)"
)
EXIM = """ mx.freemail.test;
\tiprev=pass (mta1.example.com) smtp.remote-ip=198.51.100.10;
\tspf=pass smtp.mailfrom=e.example.com;
\tdkim=pass header.d=example.com header.s=m20261123 header.a=rsa-sha256"""
GMAIL = """ mx.google.com;
       dkim=pass header.i=@example.com header.s=m20261123 header.b="X/Y+Z=";
       spf=pass (google.com: domain of probe+ip@e.example.com designates 198.51.100.10 as permitted sender)
       smtp.mailfrom="probe+ip@e.example.com";
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.com"""


def one(text: str) -> authres.Result:
    (result,) = authres.parse(text).results
    return result


def test_opendkim():
    parsed = authres.parse(OPENDKIM)
    assert (parsed.authserv_id, parsed.version) == ("mx.gmail.com", 1)
    assert [(r.method, r.result) for r in parsed.results] == [("dkim", "pass"), ("dkim-atps", "neutral")]
    dkim = parsed.results[0]
    assert dkim.properties == (
        ("header.d", "example.com"),
        ("header.i", "@example.com"),
        ("header.a", "rsa-sha256"),
        ("header.s", "m20261123"),
        ("header.b", "aB/+x12"),
    )
    assert dkim.comments == ("2048-bit key; unprotected",)
    assert (dkim.get("header.s"), dkim.get("header.from")) == ("m20261123", "")


def test_policyd_spf_and_exim_and_gmail():
    assert one(POLICYD_SPF).get("smtp.mailfrom") == "e.example.com"
    assert [(r.method, r.result, r.properties[0]) for r in authres.parse(EXIM).results] == [
        ("iprev", "pass", ("smtp.remote-ip", "198.51.100.10")),
        ("spf", "pass", ("smtp.mailfrom", "e.example.com")),
        ("dkim", "pass", ("header.d", "example.com")),
    ]
    gmail = authres.parse(GMAIL)
    assert [r.result for r in gmail.results] == ["pass"] * 3
    assert gmail.results[0].get("header.b") == "X/Y+Z="
    assert gmail.results[1].get("smtp.mailfrom") == "probe+ip@e.example.com"
    assert authres.parse_arc(" i=1;" + GMAIL) == gmail


def test_several_results_of_one_method():
    parsed = authres.parse("a.example; dkim=fail header.d=one.example; dkim=pass header.d=two.example")
    assert [(r.result, r.get("header.d")) for r in parsed.results] == [
        ("fail", "one.example"),
        ("pass", "two.example"),
    ]


@pytest.mark.parametrize("text", ["mx.example; none", " mx.example 1 ; NONE (nothing done)\r\n", '"mx.example";none'])
def test_none(text):
    assert authres.parse(text) == authres.AuthenticationResults("mx.example", 1, ())


def test_the_grammar_of_rfc_8601_in_full():
    """Comments and folds everywhere, a version of the field and of the method, a reason, quoted values."""
    parsed = authres.parse(
        '(a) "MX.example" (b (nested) \\) c) 1 (d);\r\n (e) DKIM (f) / (g) 1 (h) = (i) Fail (j)\r\n'
        '\treason (k) = "bad \\"sig\\"; really" (l) header (m) . (n) D (o) = (p) example.com (q) policy.x="a;b(c)"\r\n'
    )
    assert (parsed.authserv_id, parsed.version) == ("mx.example", 1)
    (result,) = parsed.results
    assert (result.method, result.result, result.reason) == ("dkim", "fail", 'bad "sig"; really')
    assert result.properties == (("header.d", "example.com"), ("policy.x", "a;b(c)"))
    assert result.comments[:2] == ("e", "f")


def test_properties_without_a_type_and_a_last_semicolon_are_read():
    assert one("mx.example; dmarc=pass action=none header.from=example.com;").properties == (
        ("action", "none"),
        ("header.from", "example.com"),
    )


def test_quoted_local_part():
    assert one('mx.example; spf=pass smtp.mailfrom="a b"@example.com').get("smtp.mailfrom") == "a b@example.com"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected an authserv-id at character 0"),
        ("mx.example", "expected `;`"),
        ("mx.example;", "expected a method"),
        ("mx.example 2; none", "expected version 1"),
        ("mx.example; none; dkim=pass", "expected `=`"),
        ("mx.example; dkim=pass; none", "expected `=`"),
        ("mx.example; dkim", "expected `=`"),
        ("mx.example; dkim=", "expected a result"),
        ("mx.example; dkim=pass header.d", "expected `=`"),
        ("mx.example; dkim=pass header.=x", "expected a property's name"),
        ("mx.example; dkim=pass header.d=", "expected a value"),
        ('mx.example; dkim=pass reason="open', "expected the end of the quoted string"),
        ("mx.example; dkim=pass (open", "does not end"),
        ("mx.example; dkim=pass " + "(" * 30, "nested deeper"),
        ("mx.example; dkim=pass \x00", "expected a property"),
        ("spf=pass smtp.mailfrom=example.com", "expected `;`"),
        ("x" * 70000, "at most 65536"),
    ],
)
def test_what_is_none_is_a_typed_error(text, message):
    with pytest.raises(authres.AuthResError, match=message):
        authres.parse(text)


@pytest.mark.parametrize("text", ["", "mx.example; none", "i=x; mx.example; none", "i=1 mx.example; none"])
def test_arc_needs_its_instance(text):
    with pytest.raises(authres.AuthResError):
        authres.parse_arc(text)


@given(st.text(alphabet=st.sampled_from('ab1=;."\\()/@ \t\r\nnone\x00é<>'), max_size=200))
def test_any_text_parses_or_is_a_typed_error(text):
    for parse in (authres.parse, authres.parse_arc):
        try:
            assert isinstance(parse(text), authres.AuthenticationResults)
        except authres.AuthResError:
            pass


WORD = st.sampled_from(["a", "dkim", "x-1", "smtp", "0", "d", "pass", "header"])
VALUE = st.text(st.sampled_from('ab;()\\"= @.,'), max_size=12)


@given(WORD, st.lists(st.tuples(WORD, WORD, st.lists(st.tuples(WORD, WORD, VALUE), max_size=4)), max_size=4))
def test_what_is_written_by_the_grammar_is_read_back(authserv_id, results):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = (
        authserv_id
        + "".join(
            f";\r\n {method}={result}"
            + "".join(f" {kind}.{name}={quoted(value)}" for kind, name, value in properties)
            for method, result, properties in results
        )
        + ("" if results else "; none")
    )
    assert authres.parse(text) == authres.AuthenticationResults(
        authserv_id,
        1,
        tuple(
            authres.Result(method, result, "", tuple((f"{kind}.{name}", value) for kind, name, value in properties))
            for method, result, properties in results
        ),
    )


@pytest.mark.parametrize("unit", ["(", "()", "(\\", '"', "a.", "; a=b", " ", "a=b ", "\\", "x", '"\\'])
def test_hostile_repetition_takes_bounded_time(unit):
    begin = time.process_time()
    for prefix in ("", "mx.example; ", "mx.example; dkim=pass "):
        try:
            authres.parse((prefix + unit * 40000)[: authres.MAX_LENGTH])
        except authres.AuthResError:
            pass
    assert time.process_time() - begin < 1
