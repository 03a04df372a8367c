# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alignment of From with what SPF and DKIM pass: a table of cases by RFC 9989, 4.4, 4.10.2 and B.4."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from dmarc_world import DOMAIN, OWNER, P, World

from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda records, **options: World(stack, records, **options)


# rule; records; domain, MAIL FROM, d=; status; what found, cause or mend say
ALIGNMENT = [
    ("4.4: the same domain", {DOMAIN: f"{P}none"}, (DOMAIN, DOMAIN, [DOMAIN]), "ok", "SPF example.com aligned"),
    ("4.4: relaxed, one organization", {DOMAIN: f"{P}none"}, (DOMAIN, "e.example.com", ["mail.example.com"]), "ok",
     "SPF e.example.com aligned (relaxed); DKIM mail.example.com aligned (relaxed)"),
    ("4.4.1: any signature will do", {DOMAIN: f"{P}none"}, (DOMAIN, DOMAIN, ["example.net", DOMAIN]), "ok",
     "DKIM example.net not aligned (relaxed); DKIM example.com aligned"),
    ("4.4: SPF of another organization", {DOMAIN: f"{P}none"}, (DOMAIN, "e.example.net", [DOMAIN]), "warn",
     "DMARC passes by DKIM alone, while Microsoft and Orange want both: e.example.net is of the organization "
     "e.example.net, example.com of example.com"),
    ("4.4: DKIM of another organization", {DOMAIN: f"{P}none"}, (DOMAIN, DOMAIN, ["example.net"]), "warn",
     "DMARC passes by SPF alone"),
    ("4.4: none is aligned", {DOMAIN: f"{P}reject"}, (DOMAIN, "e.example.net", ["example.net"]), "fail",
     "the mail fails DMARC (RFC 9989, 4.4), and the policy is reject"),
    ("4.4: not signed", {DOMAIN: f"{P}none"}, (DOMAIN, DOMAIN, []), "warn", "the mail is not signed"),
    ("4.4: neither", {DOMAIN: f"{P}none"}, (DOMAIN, "e.example.net", []), "fail", "sign with d=example.com"),
    ("4.4: strict SPF", {DOMAIN: f"{P}none; aspf=s"}, (DOMAIN, "e.example.com", [DOMAIN]), "warn",
     f'aspf=s wants example.com itself, and it is e.example.com (RFC 9989, 4.4)|use example.com as bounce domain, or '
     f'publish {OWNER} TXT "{P}none" instead of "{P}none; aspf=s"'),
    ("4.4: strict DKIM", {DOMAIN: f"{P}none; adkim=s"}, (DOMAIN, DOMAIN, ["mail.example.com"]), "warn",
     "adkim=s wants example.com itself, and it is mail.example.com"),
    ("4.4: both strict", {DOMAIN: f"{P}quarantine; adkim=s; aspf=s"}, (DOMAIN, "e.example.com", ["m.example.com"]),
     "fail", "the policy is quarantine"),
    ("4.4: strict and the same", {DOMAIN: f"{P}none; adkim=s; aspf=s"}, (DOMAIN, DOMAIN, [DOMAIN]), "ok", "(strict)"),
    ("4.10.2: psd=n parts From from the rest", {"n.example.com": f"{P}none; psd=n", DOMAIN: f"{P}none"},
     ("n.example.com", "e.example.com", ["n.example.com"]), "warn",
     "receivers of RFC 7489 may find them of one|publish _dmarc.n.example.com. TXT"),
    ("4.10.2: psd=y parts the subdomains", {DOMAIN: f"{P}none; psd=y"}, (DOMAIN, "e.example.com", [DOMAIN]), "warn",
     f'e.example.com is of the organization e.example.com, example.com of example.com|publish {OWNER} TXT "{P}none"'),
    ("4.10.1: an inherited mode", {DOMAIN: f"{P}none; aspf=s"}, ("a.example.com", "b.example.com", ["a.example.com"]),
     "warn", "aspf=s wants a.example.com itself"),
    ("B.4.3", {"giant.bank": f"{P}none", "bank": f"{P}none; psd=y"},
     ("giant.bank", "mail.giant.bank", ["mail.mega.bank"]), "warn",
     "mail.mega.bank is of the organization mega.bank, giant.bank of giant.bank"),
    ("5.3.1: A-labels", {"xn--bcher-kva.example": f"{P}none"},
     ("B\u00fccher.example", "e.xn--bcher-kva.example", ["b\u00fccher.example."]), "ok", "SPF e.xn--bcher-kva.example"),
]


@pytest.mark.parametrize("rule, records, identities, status, said", ALIGNMENT)
def test_alignment(world, rule, records, identities, status, said):
    domain, bounce_domain, dkim = identities
    verdict = world(records).one("alignment", Subject(domain, bounce_domain, tuple(dkim)))
    assert verdict.status == status, rule
    whole = "|".join((verdict.found, verdict.cause, verdict.mend))
    for text in said.split("|"):
        assert text in whole
    assert bool(verdict.cause) is bool(verdict.mend) is (status != "ok")


# What is live, what is wanted; what the policy's verdict and that of alignment say to do.
ONE_RECORD = [
    ("p=none; aspf=s", "p=reject; aspf=s; rua=mailto:d@example.com",
     'publish {owner} TXT "v=DMARC1; p=reject; aspf=s; rua=mailto:d@example.com" instead of "{live}"',
     "use example.com as bounce domain, or leave aspf=s out of the record that the inventory wants"),
    ("p=reject; aspf=s", "p=reject; aspf=s", "",
     "use example.com as bounce domain, or leave aspf=s out of the record that the inventory wants"),
    ("p=none; aspf=s", "p=reject", 'publish {owner} TXT "v=DMARC1; p=reject" instead of "{live}"',
     'publish {owner} TXT "v=DMARC1; p=reject" instead of "{live}"'),
    ("p=none; aspf=s; ri=60", "", 'publish {owner} TXT "v=DMARC1; p=none; aspf=s" instead of "{live}"',
     "use example.com as bounce domain, or leave aspf=s out of what is to be published at {owner}"),
    ("p=none; aspf=s", "", "",
     'use example.com as bounce domain, or publish {owner} TXT "v=DMARC1; p=none" instead of "{live}"'),
    ("p=none; aspf=s; adkim=s", "", "",
     'use example.com as bounce domain, or publish {owner} TXT "v=DMARC1; p=none" instead of "{live}"; use example.com '
     'as d= instead of m.example.com, or publish {owner} TXT "v=DMARC1; p=none" instead of "{live}"'),
]


@pytest.mark.parametrize("live, wanted, policy, alignment", ONE_RECORD)
def test_policy_and_alignment_never_want_two_records_at_one_name(world, live, wanted, policy, alignment):
    run = world({DOMAIN: f"v=DMARC1; {live}"})
    dkim = ("m.example.com",) if "adkim" in live else (DOMAIN,)
    subject = Subject(DOMAIN, "e.example.com", dkim, f"v=DMARC1; {wanted}" if wanted else "")
    words = {"owner": OWNER, "live": f"v=DMARC1; {live}"}
    assert run.one("dmarc", subject).mend == policy.format(**words)
    assert run.one("alignment", subject).mend == alignment.format(**words)


def test_domains_that_inherit_a_record_want_the_same_one_at_its_name(world):
    run = world({DOMAIN: f"{P}none; ri=60; aspf=s; adkim=s"})
    subjects = [Subject(DOMAIN, DOMAIN, (DOMAIN,), f"{P}reject; sp=none; np=none; adkim=s"),
                Subject("a.example.com", "e.example.com", ("a.example.com",)),
                Subject("b.example.com", "b.example.com", ("m.example.com",))]
    new = f'publish {OWNER} TXT "{P}reject; adkim=s; sp=none; np=none" instead of "{P}none; ri=60; aspf=s; adkim=s"'
    assert [verdict.mend for verdict in run.verdicts("dmarc", *subjects)] == [new] * 3
    assert [verdict.mend for verdict in run.verdicts("alignment", *subjects) if not verdict.ok] == [
        new, "use b.example.com as d= instead of m.example.com, or leave adkim=s out of what is to be published at "
        f"{OWNER}"]


def test_what_a_domain_wants_goes_before_what_others_find_wrong_with_its_record(world):
    run = world({DOMAIN: "v=DMARC1; rua=mailto:d@example.com"})  # without p=, which counts as none
    verdicts = run.verdicts("dmarc", Subject("a.example.com"), Subject(DOMAIN, dmarc=f"{P}reject"))
    assert [verdict.mend.partition(" instead of ")[0] for verdict in verdicts] == [
        f'publish {OWNER} TXT "{P}reject; rua=mailto:d@example.com"'] * 2


def test_what_is_left_out_is_the_domain(world):
    found = world({DOMAIN: f"{P}none; aspf=s; adkim=s"}).one("alignment", Subject(DOMAIN))
    assert (found.status, found.found) == ("ok", "SPF example.com aligned (strict); DKIM example.com aligned (strict)")


def test_an_empty_return_path_is_judged_by_helo(world):
    """RFC 7208, 2.4: SPF then judges the HELO name; a signature carries the mail alone."""
    run = world({DOMAIN: f"{P}none"})
    helo = ["mta1.example.com", "mta2.example.net"]
    verdict = run.one("alignment", Subject(DOMAIN, "e.example.com"), helo=helo)
    assert verdict.status == "ok"
    assert verdict.found.endswith("with an empty MAIL FROM SPF is not aligned by HELO mta2.example.net")
    assert "HELO" not in run.one("alignment", Subject(DOMAIN), helo=helo[:1]).found


@pytest.mark.parametrize("mode, count", [("", 100), ("; aspf=s", 200)])
def test_many_helo_names_are_walked_once_and_told_shortly(world, mode, count):
    run = world({f"d{number}.example": f"{P}none{mode}" for number in range(10)} | {DOMAIN: f"{P}none"})
    helo = [f"mta{number}.{domain}" for number in range(100) for domain in ("d0.example", "example.com")]
    verdicts = run.verdicts("alignment", *(Subject(f"d{number}.example") for number in range(10)), helo=helo)
    assert {verdict.status for verdict in verdicts} == {"ok"}
    assert verdicts[0].found.endswith(f" and {count - 4} more") and verdicts[1].found.endswith(" and 196 more")
    assert max(len(verdict.found) + len(verdict.source) for verdict in verdicts) < 500
    # A question for each name, and for each domain above them.
    assert run.server.queries == 200 + 10 + len(["example.com", "com", "example"])


def test_alignment_that_dns_does_not_say(world):
    run = world({DOMAIN: f"{P}none"}, faults={"_dmarc.e.example.net": "servfail"})
    verdict = run.one("alignment", Subject(DOMAIN, "e.example.net", ("example.org",)))
    assert verdict.status == "unknown"
    assert f"make {run.server.server} answer, then check again; use example.com" in verdict.mend
    # What needs no walk is known all the same.
    run = world({DOMAIN: f"{P}none"}, faults={"_dmarc.com": "servfail"})
    assert run.one("alignment", Subject(DOMAIN)).status == "ok"
