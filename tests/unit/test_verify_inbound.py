# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MTA-STS and TLSRPT records against a real name server. Each case names the rule that it is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_inbound import (
    PolicyError,
    parse_mta_sts,
    parse_tlsrpt,
    verify_inbound,
)

STS = ["v=STSv1; id=20261123;"]
RPT = ["v=TLSRPTv1; rua=mailto:tls@example.com"]
ZONES = {
    "example.com": {
        "_mta-sts.good.example.com": {"TXT": STS},
        "mta-sts.good.example.com": {"AAAA": ["2001:db8:61::80"]},
        "_smtp._tls.good.example.com": {"TXT": ["v=TLSRPTv1;rua=https://r.example.net/v1?a=b, mailto:tls@example.com"]},
        "_mta-sts.nohost.example.com": {"TXT": STS},
        "_mta-sts.noid.example.com": {"TXT": ["v=STSv1;"]},
        "_mta-sts.badid.example.com": {"TXT": ["v=STSv1; id=2026-11-23"]},
        "_mta-sts.twice.example.com": {"TXT": [*STS, "v=STSv1; id=2;"]},
        "_mta-sts.other.example.com": {"TXT": ["v=spf1 -all"]},
        "_mta-sts.extra.example.com": {"TXT": ["something else", *STS]},
        "mta-sts.extra.example.com": {"A": ["198.51.100.80"]},
        "_mta-sts.quiet.example.com": {"TXT": STS},
        "_smtp._tls.norua.example.com": {"TXT": ["v=TLSRPTv1; "]},
        "_smtp._tls.badrua.example.com": {"TXT": ["v=TLSRPTv1; rua=tls@example.com"]},
        "_mta-sts.space.example.com": {"TXT": ["v=STSv1 ; id=1;"]},
        "mta-sts.space.example.com": {"A": ["198.51.100.80"]},
        "_mta-sts.before.example.com": {"TXT": [" v=STSv1; id=1;"]},
        "_mta-sts.field.example.com": {"TXT": ["v=STSv1; id=1; note=a b"]},
        "_mta-sts.equals.example.com": {"TXT": ["v=STSv1; id=1; note=a=b"]},
        "_mta-sts.known.example.com": {"TXT": ["v=STSv1; note=a-b; id=1 ;"]},
        "mta-sts.known.example.com": {"A": ["198.51.100.80"]},
        "_smtp._tls.size.example.com": {"TXT": ["v=TLSRPTv1; rua=mailto:a@b.example!10m"]},
        "_smtp._tls.space.example.com": {"TXT": ["v=TLSRPTv1; rua=https://r.example/a b"]},
        "_smtp._tls.capitals.example.com": {"TXT": ["v=TLSRPTv1; rua=MAILTO:a@b.example"]},
        "_smtp._tls.double.example.com": {"TXT": ["v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example"]},
    }
}
FAULTS = {"_mta-sts.dead.example.com": "servfail", "_smtp._tls.dead.example.com": "timeout",
          "mta-sts.quiet.example.com": "refused"}


@pytest.fixture(scope="module")
def lookup():
    with Nameserver(ZONES, FAULTS) as server, Lookup([server.server], timeout=0.6) as lookup:
        yield lookup


def verdict_of(lookup, name, check):
    return next(verdict for verdict in verify_inbound(lookup, [f"{name}.example.com"]) if verdict.check == check)


@pytest.mark.parametrize("rule, name, check, status, cause", [
    ("both are optional", "none", "mta-sts", "ok", ""),
    ("both are optional", "none", "tlsrpt", "ok", ""),
    ("RFC 8461, 3.1", "good", "mta-sts", "ok", ""),
    ("RFC 8460, 3", "good", "tlsrpt", "ok", ""),
    ("RFC 8461, 3.1: others are discarded", "extra", "mta-sts", "ok", ""),
    ("RFC 8461, 3.3", "nohost", "mta-sts", "fail",
     "the policy's host mta-sts.nohost.example.com. has no address: no such name (RFC 8461, 3.3)"),
    ("RFC 8461, 3.1: id", "noid", "mta-sts", "fail", "id= must be 1 to 32 letters and digits (RFC 8461, 3.1)"),
    ("RFC 8461, 3.1: id", "badid", "mta-sts", "fail", "id= must be 1 to 32 letters and digits (RFC 8461, 3.1)"),
    ("RFC 8461, 3.1: one", "twice", "mta-sts", "fail",
     "there are 2 records, so senders take none (RFC 8461, 3.1; RFC 8460, 3)"),
    ("another record there", "other", "mta-sts", "warn", "none of its values begins with v=STSv1;"),
    ("RFC 8461, 3.1: it begins with v=STSv1;", "space", "mta-sts", "warn", "white space stands before the first "
     "semicolon: senders may discard what does not begin with v=STSv1; (RFC 8461, 3.1; RFC 8460, 3)"),
    ("RFC 8461, 3.1: it begins with v=STSv1;", "before", "mta-sts", "warn", "none of its values begins with v=STSv1;"),
    ("RFC 8461, 3.1: sts-ext-value", "field", "mta-sts", "fail",
     "note= holds 'a b'; expected no space, equals sign or control (RFC 8461, 3.1)"),
    ("RFC 8461, 3.1: sts-ext-value", "equals", "mta-sts", "fail",
     "note= holds 'a=b'; expected no space, equals sign or control (RFC 8461, 3.1)"),
    ("RFC 8461, 3.1: unknown fields are ignored, their order is free", "known", "mta-sts", "ok", ""),
    ("RFC 8460, 3: no size", "size", "tlsrpt", "fail",
     "rua= holds 'mailto:a@b.example!10m'; expected mailto:address or an https: address (RFC 8460, 3)"),
    ("RFC 3986: no space", "space", "tlsrpt", "fail",
     "rua= holds 'https://r.example/a b'; expected mailto:address or an https: address (RFC 8460, 3)"),
    ("RFC 3986, 3.1: schemes without case", "capitals", "tlsrpt", "ok", ""),
    ("RFC 8460, 3: rua", "norua", "tlsrpt", "fail", "rua= names no place for reports (RFC 8460, 3)"),
    ("RFC 8460, 3: rua", "badrua", "tlsrpt", "fail",
     "rua= holds 'tls@example.com'; expected mailto:address or an https: address (RFC 8460, 3)"),
    ("RFC 8460, 3: once", "double", "tlsrpt", "fail", "rua= stands twice (RFC 8460, 3)"),
])
def test_each_rule(lookup, rule, name, check, status, cause):
    verdict = verdict_of(lookup, name, check)
    assert (verdict.status, verdict.cause) == (Status(status), cause), rule
    assert bool(verdict.mend) == (status != "ok")


@pytest.mark.parametrize("name, check", [("dead", "mta-sts"), ("dead", "tlsrpt"), ("quiet", "mta-sts")])
def test_silence_is_unknown_and_names_the_server(lookup, name, check):
    verdict = verdict_of(lookup, name, check)
    assert verdict.status is Status.UNKNOWN
    assert str(lookup.resolvers[0]) in verdict.mend


def test_it_says_that_the_policy_was_not_fetched(lookup):
    assert "https://mta-sts.good.example.com was not fetched" in verdict_of(lookup, "good", "mta-sts").found


def test_queries_are_two_for_a_domain_and_two_more_where_there_is_a_policy():
    zones = {"example.com": {f"d{n}.example.com": {"A": ["198.51.100.10"]} for n in range(50)}
             | {f"_mta-sts.d{n}.example.com": {"TXT": STS} for n in range(10)}}
    domains = [f"d{n}.example.com" for n in range(50)]
    with Nameserver(zones) as server, Lookup([server.server], timeout=5) as lookup:
        verify_inbound(lookup, domains + [f"{name.upper()}." for name in domains])
        assert server.queries == 50 * 2 + 10 * 2 and set(server.asked.values()) == {1}


@pytest.mark.parametrize("parse", [parse_mta_sts, parse_tlsrpt])
@given(text=st.text(max_size=200) | st.text("v=STSv1;TLSRPTrua id,:/@\0\xff", max_size=60)
       | st.just("v=STSv1; " + "a=b; " * 12000) | st.just("v=TLSRPTv1; rua=" + "mailto:a@b," * 6000))
def test_any_text_is_a_record_or_a_mistake(parse, text):
    try:
        assert parse(text)
    except PolicyError as error:
        assert str(error)
