# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DMARC records: a table of cases by the rules of RFC 9989, 4.7, 4.8 and 4.10.1, each with its section."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import (
    DmarcRecordError,
    Policy,
    ReportUri,
    amended,
    closest,
    is_dmarc,
    parse_record,
)

NONE, QUARANTINE, REJECT = Policy


@pytest.mark.parametrize(
    "rule, text",
    [
        ("4.8: the version alone", "v=DMARC1"),
        ("4.8: a last separator", "v=DMARC1;"),
        ("4.8: white space around it", "v = DMARC1 ; p=none"),
        ("4.8: no white space", "v=DMARC1;p=none"),
        ("4.8: names in any case (RFC 5234, 2.3)", "V=DMARC1; P=none"),
        ("4.7: what follows may be wrong", "v=DMARC1; \x00\xff;;="),
    ],
)
def test_what_is_a_record(rule, text):
    assert is_dmarc(text), rule
    assert parse_record(text).text == text


@pytest.mark.parametrize(
    "rule, text, position, message",
    [
        ("4.7: v= is required", "", 0, "found '', expected v=DMARC1"),
        ("4.7: v= is required", "p=reject", 0, "found 'p=reject', expected v=DMARC1"),
        ("4.7: v= is first", "p=reject; v=DMARC1", 10, "it must be the first tag"),
        ("4.7: v= matches precisely", "v=dmarc1; p=none", 2, "v= is 'dmarc1'; its case matters"),
        ("4.7: v= matches precisely", "v=DMARC10; p=none", 8, "'0; p=none' behind v=DMARC1, expected a semicolon"),
        ("4.8: a semicolon follows", "v=DMARC1 p=none", 8, "found ' p=none' behind v=DMARC1, expected a semicolon"),
        ("4.8: nothing before it", " v=DMARC1; p=none", 0, "white space stands before v=DMARC1"),
        ("4.8: quotes of a panel", '"v=DMARC1; p=none"', 0, "a quotation mark stands before v=DMARC1"),
        ("4.7: another record", "v=spf1 -all", 0, "found 'v=spf1 -all', expected v=DMARC1"),
        ("4.7: \u0e51 is no 1", "v=DMARC\u0e51; p=none", 0, "expected v=DMARC1"),
    ],
)
def test_what_is_no_record(rule, text, position, message):
    assert not is_dmarc(text), rule
    with pytest.raises(DmarcRecordError) as raised:
        parse_record(text)
    assert raised.value.position == position
    assert message in str(raised.value)


def test_every_tag():
    record = parse_record("v=DMARC1; p=reject; sp=quarantine; np=none; psd=n; t=y; adkim=s; aspf=s; fo=1:d:s; "
                          "rua=mailto:a@example.com , https://reports.example.net/in;ruf=mailto:b%21@Example.NET")
    assert (record.policy, record.subdomain, record.nonexistent) == (REJECT, QUARANTINE, NONE)
    assert (record.psd, record.testing, record.strict_dkim, record.strict_spf) == ("n", True, True, True)
    assert record.fo == ("1", "d", "s")
    assert record.rua == (ReportUri("mailto:a@example.com", "mailto", "example.com"),
                          ReportUri("https://reports.example.net/in", "https", "reports.example.net"))
    assert record.ruf == (ReportUri("mailto:b%21@Example.NET", "mailto", "example.net"),)
    assert record.sound and record.applies and not (record.problems or record.unknown or record.broken)


def test_defaults():
    record = parse_record("v=DMARC1; p=none")
    assert (record.psd, record.testing, record.strict_dkim, record.strict_spf) == ("u", False, False, False)
    assert (record.fo, record.rua, record.ruf) == (("0",), (), ())


@pytest.mark.parametrize(
    "rule, text, policies, applies",
    [
        ("4.7, p: of all", "p=reject", (REJECT, REJECT, REJECT), True),
        ("4.7, sp: of subdomains", "p=reject; sp=none", (REJECT, NONE, NONE), True),
        ("4.7, np: falls back to sp", "p=none; sp=reject", (NONE, REJECT, REJECT), True),
        ("4.7, np: of what does not exist", "p=none; np=reject", (NONE, NONE, REJECT), True),
        ("4.7, t: one level below", "p=reject; sp=quarantine; np=none; t=y", (QUARANTINE, NONE, NONE), True),
        ("4.7, t: n is the default", "p=reject; t=n", (REJECT, REJECT, REJECT), True),
        ("4.8: policies in any case", "p=Reject; sp=NONE", (REJECT, NONE, NONE), True),
        ("4.7: p in any place", "rua=mailto:a@b.example; p=reject", (REJECT, REJECT, REJECT), True),
        ("4.7, C.5.2: pct is unknown", "p=reject; pct=1", (REJECT, REJECT, REJECT), True),
        ("4.7: unknown tags", "p=reject; x=y", (REJECT, REJECT, REJECT), True),
        ("4.10.1: no p, but rua", "rua=mailto:a@b.example; sp=reject", (NONE, NONE, NONE), True),
        ("4.10.1: no p, no rua", "sp=reject", (NONE, NONE, NONE), False),
        ("4.10.1: bad p, but rua", "p=block; rua=mailto:a@b.example", (NONE, NONE, NONE), True),
        ("4.10.1: bad sp voids p", "p=reject; sp=block; rua=mailto:a@b.example", (NONE, NONE, NONE), True),
        ("4.10.1: bad np voids p", "p=reject; np=; rua=mailto:a@b.example", (NONE, NONE, NONE), True),
        ("4.10.1: bad p, no rua", "p=block", (NONE, NONE, NONE), False),
        ("4.10.1: rua that is none", "p=block; rua=a@b.example", (NONE, NONE, NONE), False),
    ],
)
def test_policies(rule, text, policies, applies):
    record = parse_record(f"v=DMARC1; {text}")
    assert tuple(record.applied(tag) for tag in ("p", "sp", "np")) == policies, rule
    assert record.applies is applies, rule


@pytest.mark.parametrize(
    "text, position, tag, message",
    [
        ("p=block", 12, "p", "p= is 'block', expected none, quarantine or reject"),
        ("p = block", 14, "p", "p= is 'block', expected none, quarantine or reject"),
        ("p=none; sp=", 21, "sp", "the value of sp= is empty"),
        ("p=none; p=reject", 18, "p", "the tag p= stands twice, and receivers differ in which they take"),
        ("p=none; v=DMARC1", 18, "v", "the tag v= stands twice, and receivers differ in which they take"),
        ("p=none; reject", 18, "", "'reject' is no tag=value"),
        ("p=none; x-y=1", 18, "", "'x-y=1' is no tag=value"),
        ("p=none; =1", 18, "", "'=1' is no tag=value"),
        ("p=none; n=caf\u00e9", 23, "n", "the value of n= holds '\u00e9'"),
        ("p=none; n=a\0", 21, "n", "the value of n= holds '\\x00'"),
        ("p=none; t=yes", 20, "t", "t= is 'yes', expected y or n"),
        ("p=none; psd=x", 22, "psd", "psd= is 'x', expected y or n or u"),
        ("p=none; adkim=strict", 24, "adkim", "adkim= is 'strict', expected r or s"),
        ("p=none; aspf=", 23, "aspf", "the value of aspf= is empty"),
        ("p=none; fo=2", 21, "fo", "fo= holds '2', expected 0, 1, d or s, with colons between"),
        ("p=none; rua=a@b.example", 22, "rua", "rua= holds 'a@b.example': no URI (RFC 3986); mailto: is missing"),
        ("p=none; rua=mailto:a@b.example, mailto:x", 42, "rua", "rua= holds 'mailto:x': no address of mail"),
        ("p=none; rua=mailto:a@b.example mailto:c@d.example", 22, "rua",
         "rua= holds 'mailto:a@b.example mailto:c@d.example': no URI (RFC 3986)"),
        ("p=none; rua=mailto:!a@b.example", 22, "rua", "rua= holds 'mailto:!a@b.example': no URI (RFC 3986)"),
        ("p=none; rua=mailto:@b.example", 22, "rua", "rua= holds 'mailto:@b.example': no address of mail"),
        ("p=none; rua=,", 22, "rua", "rua= holds '': no URI (RFC 3986)"),
    ],
)
def test_mistakes_and_their_positions(text, position, tag, message):
    problem = parse_record(f"v=DMARC1; {text}").problems[0]
    assert problem == (position, tag, message)
    assert str(problem) == f"at character {position + 1}: {message}"


def test_all_mistakes_at_once():
    record = parse_record("v=DMARC1; p=non; t=maybe; what; aspf=x")
    assert [problem.position for problem in record.problems] == [12, 19, 26, 37]
    assert record.broken == ("p",)


def test_the_first_of_two_counts():
    assert parse_record("v=DMARC1; p=none; p=reject").policy is NONE


def test_an_obsolete_size():
    (uri,) = parse_record("v=DMARC1; p=none; rua=mailto:a@b.example!10m").rua
    assert uri == ReportUri("mailto:a@b.example", "mailto", "b.example", "!10m")


def test_a_record_with_changes():
    record = parse_record("v=DMARC1; rua=mailto:a@b.example; pct=50; p=none; rubbish; aspf=s")
    assert amended(record, {}) == "v=DMARC1; p=none; rua=mailto:a@b.example; pct=50; aspf=s"
    assert amended(record, {"pct": None, "p": "reject", "np": "none"}) == (
        "v=DMARC1; p=reject; rua=mailto:a@b.example; aspf=s; np=none")


@pytest.mark.parametrize("written, meant", [("rejct", "reject"), ("Quarentine", "quarantine"), ("xyz", None)])
def test_a_misspelt_policy(written, meant):
    assert closest(written) == meant


TAGS = st.sampled_from(["p", "sp", "np", "rua", "ruf", "t", "psd", "fo", "adkim", "aspf", "pct", "x", "V", " P "])
VALUES = st.one_of(st.sampled_from(["none", "reject", "y", "u", "s", "mailto:a@b.example!1m", "0:d", ""]), st.text())
RECORDS = st.lists(st.tuples(TAGS, VALUES)).map(
    lambda tags: "; ".join(["v=DMARC1", *(f"{name}={value}" for name, value in tags)]))


@settings(max_examples=300, deadline=None)
@given(st.one_of(RECORDS, st.text(), st.binary().map(lambda data: "v=DMARC1;" + data.decode("latin-1"))))
def test_any_text_is_read_or_refused(text):
    """Every mistake stands within the text, and what amended() writes is read without any but those of values."""
    if not is_dmarc(text):
        with pytest.raises(DmarcRecordError) as raised:
            parse_record(text)
        assert 0 <= raised.value.position <= len(text)
        return
    record = parse_record(text)
    assert all(0 <= problem.position <= len(text) for problem in record.problems)
    again = parse_record(amended(record, {}))
    assert (again.requested("sp"), again.psd, again.rua) == (
        (record if not record.broken else again).requested("sp"), record.psd, record.rua)
    assert all(problem.tag in again.tags for problem in again.problems)


@pytest.mark.parametrize("filling", [";", "a=", "p=none;", "\0", "\xff", "v=DMARC1", " ", "!1", "mailto:a@b.c,",
                                     "rua=mailto:x@" + "a." * 200 + ";", "v  ", "%"])
def test_64_kilobytes_take_no_time(filling):
    texts = [start + filling * (65536 // len(filling)) for start in ("v=DMARC1; ", "v=DMARC1; rua=", "", "v")]
    began = time.process_time()
    for text in texts:
        try:
            parse_record(text)
        except DmarcRecordError:
            assert not is_dmarc(text)
    assert time.process_time() - began < 2
