# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on DMARC policies: tables of cases, each with its rule and section, its cause and its mend."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from dmarc_world import DOMAIN, OWNER, P, World

from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield lambda records, **options: World(stack, records, **options)


RUA = "rua=mailto:d@example.com"


@pytest.mark.parametrize("record", [
    f"{P}none",
    f"{P}none; {RUA}",
    f"{P}reject; sp=quarantine; {RUA}; ruf=mailto:d@example.com; fo=1:d",
    f"{P}reject; np=reject; adkim=s; aspf=s",
    f"{P}quarantine; psd=n",
    f"{P}reject; pct=100; rf=afrf; ri=86400",
    f"{P}reject; t=y; pct=0",
    f"{P}none; t=y; pct=20",
    f"{P}none;",
])
def test_a_good_record(world, record):
    verdict = world({DOMAIN: record}).one("dmarc", Subject(DOMAIN))
    assert (verdict.status, verdict.cause, verdict.mend, verdict.subjects) == ("ok", "", "", (DOMAIN,))
    assert record in verdict.found and OWNER in verdict.found and OWNER in verdict.source


# rule, the record, status, what the cause says, the tags of the record in the mend ("" where it has none)
FAULTS = [
    ("4.10.1", f"v=DMARC1; {RUA}", "warn", "p= is missing: the record counts as p=none", f"p=none; {RUA}"),
    ("4.10.1", "v=DMARC1; ruf=mailto:d@example.com", "fail", "p= is missing: receivers apply no DMARC, since there is "
     "no rua=", "p=none; ruf=mailto:d@example.com"),
    ("4.10.1", "v=DMARC1", "fail", "p= is missing: receivers apply no DMARC, since there is no rua=", "p=none"),
    ("4.10.1", f"v=DMARC1; p=rejct; {RUA}", "fail", "p= holds no policy, so the record counts as p=none",
     f"p=reject; {RUA}"),
    ("4.10.1", f"{P}reject; sp=quarantin", "fail", "sp= holds no policy, so receivers apply no DMARC",
     "p=reject; sp=quarantine"),
    ("4.10.1", f"{P}reject; np=; {RUA}", "fail", "np= holds no policy, so the record counts as p=none",
     f"p=reject; {RUA}"),
    ("7489, 6.4", f"v=DMARC1; {RUA}; p=none", "warn", "p= does not follow v=, and receivers of RFC 7489 may ignore",
     f"p=none; {RUA}"),
    ("4.7", f"{P}none; t=maybe", "warn", "at character 21: t= is 'maybe', expected y or n; receivers discard it",
     "p=none"),
    ("4.7", f"{P}none; p=reject", "warn", "the tag p= stands twice", "p=none"),
    ("4.7", f"{P}none; rubbish", "warn", "'rubbish' is no tag=value", "p=none"),
    ("4.7", f"{P}none; policy=reject", "warn", "no receiver knows policy=", "p=none"),
    ("4.7", f"{P}none; fo=1", "warn", "fo= means nothing without ruf=", "p=none"),
    ("4.7", f"{P}none; rua=d@example.com", "warn", "mailto: is missing", "p=none"),
    ("4.7", f"{P}none; rua=x,mailto:d@example.com", "warn", "rua= holds 'x'", f"p=none; {RUA}"),
    ("4.7", f"{P}none; rua=https://example.com/r", "warn", "rua= has no mailto: address; receivers need not", ""),
    ("C.4", f"{P}none; {RUA}!10m", "warn", "rua= has a size !10m, which is gone", f"p=none; {RUA}"),
    ("C.5.2", f"{P}none; ri=3600", "warn", "ri= is gone", "p=none"),
    ("C.5.2", f"{P}none; rf=iodef", "warn", "rf= is gone", "p=none"),
    ("A.6", f"{P}reject; pct=20", "warn", "pct=20 is gone (RFC 9989, A.6): the policy applies to all mail; receivers "
     "of RFC 7489 apply it to 20 %", "p=reject"),
    ("A.6", f"{P}reject; pct=0", "warn", "pct=0 is gone", "p=reject; pct=0; t=y"),
    ("4.7", f"{P}reject; sp=none; t=y", "warn", "t=y asks for the next weaker policy (RFC 9989, 4.7), but receivers of "
     "RFC 7489 do not know it and apply reject in full", "p=reject; sp=none; t=y; pct=0"),
    ("4.10.2", f"{P}reject; psd=y", "warn", "psd=y says that example.com is a public suffix", "p=reject"),
]


@pytest.mark.parametrize("rule, record, status, cause, mend", FAULTS)
def test_a_record_with_a_fault(world, rule, record, status, cause, mend):
    run = world({DOMAIN: record})
    verdict = run.one("dmarc", Subject(DOMAIN))
    assert (verdict.status, verdict.expected) == (status, "a DMARC policy"), rule
    assert cause in verdict.cause and rule.split(",")[-1].strip() in verdict.cause
    published = f"v=DMARC1; {mend}"
    assert verdict.mend == (f'publish {OWNER} TXT "{published}" instead of "{record}"' if mend else f"correct {OWNER}")


@pytest.mark.parametrize("rule, record, status, cause, mend", [case for case in FAULTS if case[4]])
def test_a_mend_mends(world, rule, record, status, cause, mend):
    verdict = world({DOMAIN: f"v=DMARC1; {mend}"}).one("dmarc", Subject(DOMAIN))
    assert verdict.status == "ok", rule


def test_all_faults_of_a_record_are_mended_at_once(world):
    record = f"v=DMARC1; ri=60; p=reject; pct=5; x=1; {RUA}!1g"
    verdict = world({DOMAIN: record}).one("dmarc", Subject(DOMAIN))
    assert verdict.mend == f'publish {OWNER} TXT "v=DMARC1; p=reject; {RUA}" instead of "{record}"'
    assert all(tag in verdict.cause for tag in ("ri=", "pct=5", "x=", "!1g", "p= does not follow v="))


@pytest.mark.parametrize(
    "rule, values, status, cause, mend",
    [
        ("4.10.1", [], "absent", f"there is no DMARC record at {OWNER}, and none above it applies", f"{P}none"),
        ("4.10, 2", [f"{P}none", f"{P}reject"], "fail", "there are 2 DMARC records", f"{P}reject"),
        ("4.10, 2", [f"{P}none; {RUA}", f"{P}reject; aspf=s", f"{P}none; rua=mailto:x@example.com"], "fail",
         "there are 3 DMARC records", f"{P}reject; aspf=s; {RUA},mailto:x@example.com"),
        # What was meant is published, and not the least that any owner could mean.
        ("4.8", ['"v=DMARC1; p=reject"'], "fail", "at character 1: a quotation mark stands before v=DMARC1",
         f"{P}reject"),
        ("4.7", [f" v=dmarc1; {RUA}; p=reject"], "fail", "at character 2: v=DMARC1 stands here",
         f"{P}reject; {RUA}"),
        ("4.7", ["v=dmarc1; p=reject"], "fail", "at character 3: v= is 'dmarc1'; its case matters", f"{P}reject"),
        ("4.7", ["p=reject; v=DMARC1"], "fail", "at character 11: v=DMARC1 stands here; it must be the first tag",
         f"{P}reject"),
        ("4.8", ["v=DMARC1 p=reject"], "fail", "expected a semicolon", f"{P}reject"),
        ("4.8", ["v=DMARC1\\; p=reject\\;"], "fail", "expected a semicolon", f"{P}reject"),
        ("4.8", ["v=DMARC1: p=strict"], "fail", "expected a semicolon", f"{P}none"),
        ("4.10, 2", ["v=spf1 -all"], "absent", "there is no DMARC record", f"{P}none"),
    ],
)
def test_no_record(world, rule, values, status, cause, mend):
    verdict = world({DOMAIN: values}).one("dmarc", Subject(DOMAIN))
    assert (verdict.status, verdict.subjects) == (status, (DOMAIN,)), rule
    assert cause in verdict.cause
    assert verdict.mend.startswith(f'publish {OWNER} TXT "{mend}"')


def test_no_record_and_no_alignment_to_judge(world):
    """One fault is one verdict: without a policy nothing has to be aligned (RFC 9989, 4.10.1)."""
    findings = world({}).findings(Subject(DOMAIN, "e.example.net"))
    assert [(verdict.check, verdict.status) for verdict in findings.verdicts] == [("dmarc", "absent")]


@pytest.mark.parametrize("place", ["_dmarc.example.com.example.com", "=example.com"])
def test_a_record_where_nobody_looks(world, place):
    verdict = world({place: f"{P}reject; {RUA}"}).one("dmarc", Subject(DOMAIN))
    assert f"there is one at {place.removeprefix('=')}., where nobody looks" in verdict.cause
    assert verdict.mend == f'publish {OWNER} TXT "{P}reject; {RUA}"'


@pytest.mark.parametrize(
    "rule, records, domain, status, said",
    [
        ("4.10.1", {DOMAIN: f"{P}none; sp=reject"}, "a.example.com", "ok",
         "reject, inherited (sp=): v=DMARC1; p=none; sp=reject at _dmarc.example.com."),
        ("4.7, np", {DOMAIN: f"{P}none; np=reject"}, "a.example.com", "ok",
         "reject, inherited (np=): v=DMARC1; p=none; np=reject at _dmarc.example.com.; receivers of RFC 7489 do not "
         "know np= and apply none to names that do not exist"),
        ("4.10.2", {"a.example.com": f"{P}none; psd=n", DOMAIN: f"{P}reject"}, "b.a.example.com", "ok",
         "receivers of RFC 7489 take the record of the domain below the public suffix, which is a.example.com only "
         "where example.com is on their list"),
        ("4.10.1", {"com": f"{P}none; sp=reject; psd=y"}, DOMAIN, "warn",
         "the record is that of the public suffix com; receivers of RFC 7489 do not look there"),
        ("4.10.2", {"com": f"{P}none"}, DOMAIN, "warn", "the record of com lacks psd=y, so that all domains below it "
                                                        "are one organization (RFC 9989, 4.10.2)"),
        ("4.10.2", {"com": f"{P}none", DOMAIN: f"{P}none"}, DOMAIN, "warn", "the record of com lacks psd=y"),
        ("4.7, sp", {"a.example.com": f"{P}none; sp=reject", DOMAIN: f"{P}none"}, "a.example.com", "warn",
         "sp= means nothing here: for other names receivers go by the record of the Organizational Domain example.com"),
        ("4.10.1", {"a.example.com": f"{P}none", DOMAIN: f"{P}reject"}, "a.example.com", "ok",
         "at _dmarc.a.example.com., of the organization example.com"),
    ],
)
def test_the_place_in_the_tree(world, rule, records, domain, status, said):
    verdict = world(records).one("dmarc", Subject(domain))
    assert verdict.status == status, rule
    assert said in verdict.found + verdict.cause


def test_a_record_of_ones_own_mends_what_a_suffix_lacks(world):
    verdict = world({"com": f"{P}none"}).one("dmarc", Subject(DOMAIN))
    assert verdict.mend == f'publish {OWNER} TXT "{P}none; psd=n"'
    assert world({"com": f"{P}none", DOMAIN: f"{P}none; psd=n"}).one("dmarc", Subject(DOMAIN)).status == "ok"


@pytest.mark.parametrize(
    "wanted, live, status, cause, mend",
    [
        ("p=none", "p=none", "ok", "", ""),
        (f"p=none; {RUA}", f"p=none; {RUA},mailto:other@example.com", "ok", "", ""),
        ("p=reject", "p=reject; sp=reject", "ok", "", ""),
        ("p=quarantine", "p=none", "fail", "the policy for the domain is none, weaker than the wanted quarantine",
         "p=quarantine"),
        ("p=reject", "p=reject; sp=none", "fail", "the policy for its subdomains is none, weaker than", "p=reject"),
        ("p=none", f"p=reject; {RUA}", "warn", "the policy for the domain is reject, stricter than the wanted none",
         f"p=none; {RUA}"),
        ("p=none", "p=none; np=reject", "warn", "the policy for names below it that do not exist is reject, stricter",
         "p=none"),
        ("p=reject", "p=reject; t=y; pct=0", "fail", "the policy for the domain is quarantine, weaker", "p=reject"),
        (f"p=none; {RUA}", "p=none", "fail", "reports do not go to mailto:d@example.com (rua=)", f"p=none; {RUA}"),
        (f"p=none; {RUA}", "p=none; rua=mailto:x@example.com", "fail", "reports do not go to mailto:d@example.com",
         "p=none; rua=mailto:x@example.com,mailto:d@example.com"),
        ("p=none; aspf=s", "p=none", "fail", "aspf= is relaxed, wanted is strict", "p=none; aspf=s"),
        ("p=none", "p=none; adkim=s", "warn", "adkim= is strict, wanted is relaxed", "p=none"),
        ("p=none", None, "absent", "there is no DMARC record", "p=none"),
    ],
)
def test_what_the_inventory_wants(world, wanted, live, status, cause, mend):
    subject = Subject(DOMAIN, dmarc=f"v=DMARC1; {wanted}")
    verdict = world({DOMAIN: f"v=DMARC1; {live}"} if live else {}).one("dmarc", subject)
    assert (verdict.status, verdict.expected) == (status, subject.dmarc)
    assert cause in verdict.cause
    instead = f' instead of "v=DMARC1; {live}"' if live else ""
    assert verdict.mend == (f'publish {OWNER} TXT "v=DMARC1; {mend}"{instead}' if mend else "")
    if mend:
        assert world({DOMAIN: f"v=DMARC1; {mend}"}).one("dmarc", subject).status == "ok"


def test_what_subdomains_fall_back_to_is_said_once(world):
    verdict = world({DOMAIN: f"{P}none"}).one("dmarc", Subject(DOMAIN, dmarc=f"{P}reject; sp=quarantine"))
    assert verdict.cause == ("the policy for the domain is none, weaker than the wanted reject; the policy for its "
                             "subdomains is none, weaker than the wanted quarantine")


def test_an_inherited_record_is_not_the_wanted_one(world):
    verdict = world({DOMAIN: f"{P}reject"}).one("dmarc", Subject("a.example.com", dmarc=f"{P}none"))
    assert verdict.status == "absent"
    assert "so that the one of example.com applies" in verdict.cause
    assert verdict.mend == f'publish _dmarc.a.example.com. TXT "{P}none"'


@pytest.mark.parametrize("fault", ["timeout", "servfail", "refused", "garbage"])
def test_silence_is_unknown_and_names_the_server(world, fault):
    run = world({DOMAIN: f"{P}none"}, faults={"_dmarc.example.com": fault})
    (verdict,) = run.findings(Subject(DOMAIN, "e.example.com")).verdicts
    assert verdict.status == "unknown"
    assert str(run.server.server) in verdict.cause and str(run.server.server) in verdict.mend


def test_silence_above_hides_what_is_inherited_but_not_what_is_missing(world):
    run = world({}, faults={"_dmarc.com": "servfail"})
    assert run.one("dmarc", Subject(DOMAIN)).status == "unknown"
    assert run.one("dmarc", Subject(DOMAIN, dmarc=f"{P}none")).status == "absent"


def test_servers_that_differ(world):
    run = world({DOMAIN: f"{P}reject"}, second={DOMAIN: f"{P}none"})
    verdict = run.one("dmarc", Subject(DOMAIN, dmarc=f"{P}reject"), authoritative="yes")
    assert verdict.status == "fail" and "the name servers differ" in verdict.cause
    assert "ns1.example" in verdict.cause and "ns2.example" in verdict.cause
    assert run.one("dmarc", Subject(DOMAIN), authoritative="yes").status == "warn"
    assert run.one("dmarc", Subject(DOMAIN), authoritative="no").status == "ok"


def test_servers_that_differ_in_values_of_others(world):
    run = world({DOMAIN: f"{P}reject"}, second={})
    for number, values in ((1, [f"{P}reject", "x=1"]), (2, ["x=2", f"{P}reject", "x=3"])):
        run.servers[number - 1].change("", "_dmarc.example.com", TXT=values)
    verdict = run.one("dmarc", Subject(DOMAIN, dmarc=f"{P}reject"), authoritative="yes")
    assert (verdict.status, verdict.cause) == ("ok", "")
    assert "; note: the name servers differ in other values of _dmarc.example.com. TXT: ns1.example. (" in verdict.found
    assert verdict.found.endswith("): 'x=2', 'x=3'")
    # What was meant to be a record is no value of others.
    run.servers[1].change("", "_dmarc.example.com", TXT=[f'"{P}reject"', f"{P}reject"])
    run.lookup.forget()
    assert "differ" in run.one("dmarc", Subject(DOMAIN, dmarc=f"{P}reject"), authoritative="yes").cause


def test_a_budget_of_questions(world):
    """200 domains of one organization with bounce domains: three questions for each pair, and those above once."""
    records = {f"d{n}.example.com": f"{P}none; rua=mailto:d@example.com" for n in range(200)} | {DOMAIN: f"{P}none"}
    run = world(records)
    subjects = [Subject(f"d{n}.example.com", "e.example.com") for n in range(200)]
    found = run.findings(*subjects, helo=["mta1.example.com"])
    assert {verdict.status for verdict in found.verdicts} == {"ok"}
    assert run.server.queries == 200 + len({"e", "mta1", "example.com", "com"})
    assert len(as_result(found.verdicts)["verdicts"]) == 2 * 200


def test_64_kilobytes_and_rubbish_are_verdicts(world):
    rubbish = ["v=DMARC1; " + "a=b;" * 15000, "v=DMARC1; " + "".join(f"{'x' * n}=b;" for n in range(1, 340)),
               b"v=DMARC1; p=\x00\xff;" * 20, "v=DMARC1" + ";" * 60000, b"\xff\x00dmarc1" * 4000]
    for value in rubbish:
        verdict = world({DOMAIN: value}).one("dmarc", Subject(DOMAIN))
        assert verdict.status in ("warn", "fail") and verdict.cause and verdict.mend
        assert len(str(verdict.to_dict())) < 3000


@pytest.mark.parametrize("options, message", [
    ({"domain": "exa mple.com"}, "'exa mple.com' is no domain name"),
    ({"domain": "com"}, "'com' is no domain name"),
    ({"domain": DOMAIN, "bounce_domain": ".."}, "'..' is no domain name"),
    ({"domain": DOMAIN, "dkim": ("",)}, "'' is no domain name"),
    ({"domain": DOMAIN, "dmarc": "p=none"}, "example.com: dmarc 'p=none': at character 1: found 'p=none'"),
    ({"domain": DOMAIN, "dmarc": "v=DMARC1; p=x"}, "at character 13: p= is 'x'"),
])
def test_subjects_that_cannot_be(options, message):
    with pytest.raises(ValueError) as raised:
        Subject(**options)
    assert message in str(raised.value)
