# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SPF of a fleet against a real name server: verdicts, chains, mends, and how many queries they cost."""

from __future__ import annotations

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Sender, of_fleet, of_senders
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import verify_spf

RECORDS = {
    "example.com": "v=spf1 ip4:198.51.100.10 ip4:198.51.100.11 ip6:2001:db8:61::10 -all",
    "example.us": "v=spf1 include:example.com ~all",
    "redirect.example": "v=spf1 redirect=example.com",
    "mta1.example.com": "v=spf1 a -all",
    "syntax.example": "v=spf1 ip4:198.51.100.300 -all",
    "broken.example": "v=spf1 include:servfail.example -all",
    "neutral.example": "v=spf1",
    "loop.example": "v=spf1 include:loop.example -all",
    "bounds.example": "v=spf1 a:none1.example a:none2.example a:none3.example -all",
}
ZONES = {
    "": {
        **{name: {"TXT": [text, "another text"]} for name, text in RECORDS.items()},
        "two.example": {"TXT": ["v=spf1 -all", "v=spf1 +all"]},
        "txt.example": {"TXT": ["another text"]},
    }
}
ZONES[""]["mta1.example.com"]["A"] = ["198.51.100.10"]


@pytest.fixture(scope="module")
def lookup():
    with (
        Nameserver(ZONES, {"servfail.example": "servfail", "silent.example": "timeout"}) as server,
        Lookup([server.server], timeout=0.3) as lookup,
    ):
        yield lookup


def single(lookup, address, domain):
    return verify_spf(View(lookup), of_senders([Sender(address, domain)])).verdicts


@pytest.mark.parametrize(
    "address, domain, status, found, cause, mend",
    [
        ("198.51.100.10", "example.com", "ok", "pass by example.com: ip4:198.51.100.10", "", ""),
        (
            "198.51.100.10",
            "Example.US.",
            "ok",
            "pass by example.us: include:example.com > example.com: ip4:198.51.100.10",
            "",
            "",
        ),
        (
            "2001:db8:61::10",
            "redirect.example",
            "ok",
            "pass by redirect.example: redirect=example.com > example.com: ip6:2001:db8:61::10",
            "",
            "",
        ),
        ("198.51.100.10", "mta1.example.com", "ok", "pass by mta1.example.com: a", "", ""),
        (
            "198.51.100.20",
            "example.com",
            "fail",
            "fail by example.com: -all",
            "the address is not among those that the record passes",
            f'publish example.com. TXT "v=spf1 ip4:198.51.100.20 {RECORDS["example.com"][7:]}" instead of '
            f'"{RECORDS["example.com"]}"',
        ),
        (
            "198.51.100.20",
            "example.us",
            "fail",
            "softfail by example.us: ~all",
            "the address is not among those that the record passes",
            'publish example.us. TXT "v=spf1 ip4:198.51.100.20 include:example.com ~all" instead of '
            '"v=spf1 include:example.com ~all"',
        ),
        (
            "198.51.100.20",
            "redirect.example",
            "fail",
            "fail by redirect.example: redirect=example.com > example.com: -all",
            "the address is not among those that the record passes",
            'publish redirect.example. TXT "v=spf1 ip4:198.51.100.20 redirect=example.com" instead of '
            '"v=spf1 redirect=example.com"',
        ),
        (
            "198.51.100.20",
            "neutral.example",
            "fail",
            "neutral by neutral.example: no mechanism matches",
            "the address is not among those that the record passes",
            'publish neutral.example. TXT "v=spf1 ip4:198.51.100.20" instead of "v=spf1"',
        ),
        (
            "2001:db8:61::10",
            "none.example",
            "absent",
            "none",
            "none.example has no SPF record: no such name",
            'publish none.example. TXT "v=spf1 ip6:2001:db8:61::10 -all"',
        ),
        (
            "198.51.100.10",
            "txt.example",
            "absent",
            "none",
            "txt.example has no SPF record: no TXT record begins with v=spf1",
            'publish txt.example. TXT "v=spf1 ip4:198.51.100.10 -all"',
        ),
        (
            "198.51.100.10",
            "two.example",
            "fail",
            "permerror",
            "two.example has 2 SPF records, one is allowed",
            'publish two.example. TXT "v=spf1 ip4:198.51.100.10 -all" instead of "v=spf1 +all" and "v=spf1 -all"',
        ),
        (
            "198.51.100.10",
            "syntax.example",
            "fail",
            "permerror",
            "the record of syntax.example is wrong at character 11: found ':198.51.100.300', expected a colon and an "
            "IPv4 address, and at most /0 to /32 after it",
            'publish syntax.example. TXT "v=spf1 ip4:198.51.100.10 -all" instead of "v=spf1 ip4:198.51.100.300 -all"',
        ),
        (
            "198.51.100.10",
            "loop.example",
            "fail",
            "permerror by " + " > ".join(["loop.example: include:loop.example"] * 11),
            "more than 10 terms look up",
            'publish loop.example. TXT "v=spf1 ip4:198.51.100.10 -all" instead of "v=spf1 include:loop.example -all"',
        ),
        (
            "198.51.100.10",
            "bounds.example",
            "fail",
            "permerror by bounds.example: a:none3.example",
            "more than 2 lookups found nothing: a:none1.example: A none1.example: no such name; a:none2.example: "
            "A none2.example: no such name; a:none3.example: A none3.example: no such name",
            'publish bounds.example. TXT "v=spf1 ip4:198.51.100.10 -all" instead of '
            '"v=spf1 a:none1.example a:none2.example a:none3.example -all"',
        ),
    ],
)
def test_verdict(lookup, address, domain, status, found, cause, mend):
    (verdict,) = single(lookup, address, domain)
    assert (verdict.status, verdict.found, verdict.cause, verdict.mend) == (Status(status), found, cause, mend)
    assert verdict.subjects == (f"{address} MAIL FROM {domain.lower().removesuffix('.')}",)


@pytest.mark.parametrize(
    "domain, found, cause",
    [
        ("silent.example", "temperror", "no answer within 0.3 s"),
        ("broken.example", "temperror by broken.example: include:servfail.example", "SERVFAIL"),
    ],
)
def test_what_dns_did_not_say_is_unknown_and_names_the_server(lookup, domain, found, cause):
    (verdict,) = single(lookup, "198.51.100.10", domain)
    assert (verdict.status, verdict.found) == (Status.UNKNOWN, found)
    assert verdict.cause == f"{lookup.resolvers[0]} did not say: {cause}"


@pytest.mark.parametrize("domain, mend", [
    ("silent.example", "make {} answer, then check again"),
    ("broken.example", "make {} answer, then check again"),
])
def test_the_mend_of_a_dead_server_names_it(lookup, domain, mend):
    (verdict,) = single(lookup, "198.51.100.10", domain)
    assert verdict.mend == mend.format(lookup.resolvers[0])
    assert verdict.source.endswith(f"asked of {lookup.resolvers[0]}")


def test_the_source_is_the_record_that_decided_and_who_said_it(lookup):
    (verdict,) = single(lookup, "198.51.100.10", "example.us")
    assert verdict.source == f"TXT example.com. asked of {lookup.resolvers[0]}"


def test_a_mend_has_all_addresses_that_a_record_lacks(lookup):
    addresses = [(f"198.51.100.{n}", "") for n in (20, 21, 22)] + [("2001:db8:61::20", ""), ("198.51.100.10", "")]
    verdicts = verify_spf(View(lookup), of_fleet(["example.com", "example.us"], addresses)).verdicts
    mend = (f'publish example.com. TXT "v=spf1 ip4:198.51.100.20/31 ip4:198.51.100.22 ip6:2001:db8:61::20 '
            f'{RECORDS["example.com"][7:]}" instead of "{RECORDS["example.com"]}"')
    assert {verdict.found: verdict.mend for verdict in verdicts if verdict.mend} == {
        "fail by example.com: -all": mend,
        "softfail by example.us: ~all": mend,  # it includes the other
    }
    assert [len(verdict.subjects) for verdict in verdicts if verdict.mend] == [4, 4]


def test_the_fleet_is_every_address_with_every_domain_and_its_helo_name():
    cases = of_fleet(["Example.com.", "example.us"], [("198.51.100.10", "mta1.example.com"), ("198.51.100.11", "")])
    assert [case.subjects([(0, len(case.table))]) for case in cases] == [
        ["198.51.100.10 MAIL FROM example.com", "198.51.100.11 MAIL FROM example.com"],
        ["198.51.100.10 MAIL FROM example.us", "198.51.100.11 MAIL FROM example.us"],
        ["198.51.100.10 HELO mta1.example.com"],
    ]


def test_all_that_cannot_be_a_fleet_is_told_at_once():
    with pytest.raises(ValueError, match=r"198\.51\.100\.300.*a\.\.b"):
        of_fleet(["example.com"], [("198.51.100.300", ""), ("198.51.100.1", "a..b")])
    with pytest.raises(ValueError, match=r"c\.\.d.*198\.51\.100\.300"):
        of_fleet(["c..d"], [("198.51.100.300", "")])


@pytest.mark.parametrize(
    "arguments",
    [
        ("198.51.100.300", "example.com"),
        ("::ffff:198.51.100.1", "example.com"),
        ("fe80::1%eth0", "example.com"),
        ("198.51.100.10", ""),
        ("198.51.100.10", "a..b"),
        ("198.51.100.10", "a.b", "other"),
    ],
)
def test_what_cannot_be_a_sender(arguments):
    with pytest.raises(ValueError):
        Sender(*arguments)
