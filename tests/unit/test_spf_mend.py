# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mends of SPF are published as they are printed, and then the fleet passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spf_world import Sealed, publish, published

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import MAX_ANSWER, answer_size
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import of_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, faults
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import verify_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run

SCATTERED = [f"198.51.{number // 128}.{number % 128 * 2}" for number in range(400)]


def check(names, domains, addresses):
    return verify_spf(View(Sealed(names)), of_fleet(domains, [(address, "") for address in addresses]))


def run(names, domains, addresses):
    """Return the findings on the records as well."""
    return verify_spf_run(Sealed(names), of_fleet(domains, [(address, "") for address in addresses]), "no")


def mend(names, domain, addresses):
    findings = check(names, [domain], addresses)
    (text,) = {verdict.mend for verdict in findings.verdicts if verdict.mend}
    return text


@pytest.mark.parametrize("record", [
    None,
    "v=spf1 -all",
    "v=spf1 a mx include:other.example ~all",
    "v=spf1 redirect=other.example",
    "v=spf1 ip4:192.0.2.0/24 exists:%{i}.x.example exp=why.example -all",
    "v=spf1 -ip4:198.51.0.0/16 ip4:192.0.2.1 -all",
])
@pytest.mark.parametrize("count", [1, 12, 100])
def test_a_record_that_lacks_addresses(record, count):
    names = {"other.example": ["v=spf1 ip4:203.0.113.0/24 -all"], "d.example": {"A": ["192.0.2.9"]}}
    names["d.example"] = [record, "other"] if record else ["other"]
    fleet = SCATTERED[:count]
    mended = publish(names, [mend(names, "d.example", fleet)])
    assert check(mended, ["d.example"], fleet).counts == {Status.OK: count}
    for name in mended:
        if name.endswith("d.example"):
            assert answer_size(f"{name}.", mended[name]) < MAX_ANSWER
    if record and "include:other" in record or record and "redirect" in record:
        assert check(mended, ["d.example"], ["203.0.113.9"]).counts == {Status.OK: 1}  # whom it passed it passes


def test_a_mend_of_as_many_parts_as_there_may_be_is_printed_whole():
    fleet = SCATTERED[:225]
    text = mend({}, "d.example", fleet)
    assert len(published(text)) >= 10
    assert check(publish({}, [text]), ["d.example"], fleet).counts == {Status.OK: 225}


def test_of_two_records_the_merged_one_is_published_and_nothing_that_it_passes_anyway():
    names = {"d.example": ["v=spf1 ip4:198.51.0.0/24 -all", "v=spf1 ip4:198.51.0.0/24 ~all"]}
    assert published(mend(names, "d.example", SCATTERED[:3])) == {"d.example": "v=spf1 ip4:198.51.0.0/24 -all"}


def test_terms_without_a_domain_mean_the_same_where_they_are_moved():
    names = {"d.example": ["v=spf1 a/24 -all", *("x" * 200 for _time in range(2))]}
    text = mend(names, "d.example", SCATTERED[:60])
    assert all("a/24" not in record or "a:d.example/24" in record for record in published(text).values())


def test_parts_of_our_own_are_filled_and_not_published_beside():
    names = publish({}, [mend({}, "d.example", SCATTERED[:60])])
    parts = {name for name in names if name.startswith("_spf")}
    assert len(parts) > 1
    mended = publish(names, [mend(names, "d.example", SCATTERED[:80])])
    assert check(mended, ["d.example"], SCATTERED[:80]).counts == {Status.OK: 80}
    assert {name for name in mended if name.startswith("_spf")} >= parts
    assert mended["d.example"][0].count("include:") == len(mended) - 1


def test_a_mend_says_where_no_record_keeps_the_limits():
    text = mend({"d.example": ["v=spf1 -all"]}, "d.example", SCATTERED)
    assert text.startswith("no record within the limits passes all these addresses: ")
    nine = " ".join(f"include:i{number}.example" for number in range(9))
    names = {"d.example": [f"v=spf1 {nine} -all"], **{f"i{number}.example": ["v=spf1 -all"] for number in range(9)}}
    assert "10 are allowed" in mend(names, "d.example", SCATTERED[:60]) or "of 10 allowed" in mend(
        names, "d.example", SCATTERED[:60])


@pytest.mark.parametrize("names, text", [
    ({"d.example": ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 a:h.example ~all"]}, None),
    ({"d.example": ["v=spf1 ip4:192.0.2.300 ip4:192.0.2.2 -all"]}, "v=spf1 ip4:198.51.0.0 ip4:192.0.2.2 -all"),
    ({"d.example": ["v=spf1 include:none.example ip4:198.51.0.0 -all"]}, "v=spf1 ip4:198.51.0.0 -all"),
    ({"d.example": ["v=spf1 a:n1.example a:n2.example a:n3.example ip4:198.51.0.0 -all"]},
     "v=spf1 ip4:198.51.0.0 -all"),
    ({"d.example": ["v=spf1 include:e.example -all"], "e.example": ["v=spf1 include:d.example ip4:192.0.2.1 -all"]},
     None),
    ({"d.example": [f"v=spf1 {' '.join(f'include:i{number}.example' for number in range(11))} -all"],
      **{f"i{number}.example": ["v=spf1 -all"] for number in range(11)}}, None),
])
def test_a_record_that_is_an_error(names, text):
    found = mend(names, "d.example", ["198.51.0.0"])
    assert text is None or published(found) == {"d.example": text}
    assert check(publish(names, [found]), ["d.example"], ["198.51.0.0"]).counts == {Status.OK: 1}, found


def test_what_is_somebody_elses_is_said_so():
    names = {"d.example": ["v=spf1 include:other.example -all"], "other.example": ["v=spf1 ip5:1 -all"]}
    assert mend(names, "d.example", ["198.51.0.0"]) == (
        "correct the record of other.example, or take include:other.example out of the record of d.example")
    faults_of_both = faults(run(names, ["d.example"], ["198.51.0.0"]).verdicts)
    assert [fault.check for fault in faults_of_both] == ["spf", "spf record"]
    assert len({fault.mend for fault in faults_of_both}) == 1
    names = {"d.example": [f"v=spf1 {' ' * 5000}-all"]}
    assert mend(names, "d.example", ["198.51.0.0"]).startswith("write the record of d.example anew: it has 5,0")


def test_an_auxiliary_domain_is_mended_by_its_main_one():
    names = {"aux.example": ["v=spf1 include:main.example ~all"], "main.example": ["v=spf1 ip4:192.0.2.1 -all"]}
    findings = check(names, ["aux.example", "main.example"], SCATTERED[:3])
    mends = {verdict.mend for verdict in findings.verdicts}
    assert len(mends) == 1
    assert check(publish(names, mends), ["aux.example", "main.example"], SCATTERED[:3]).counts == {Status.OK: 6}


@pytest.mark.parametrize("main", [None, ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 -all"], ["v=spf1 ip4:1 -all"]])
def test_an_auxiliary_domain_whose_main_one_has_no_record_to_evaluate_is_mended_by_that_and_so_are_their_records(main):
    names = {"aux.example": ["v=spf1 include:main.example ~all"], **({"main.example": main} if main else {})}
    domains = ["aux.example", "main.example"]
    found = run(names, domains, SCATTERED[:3])
    assert {fault.check for fault in faults(found.verdicts)} == {"spf", "spf record"}
    (text,) = {fault.mend for fault in faults(found.verdicts)}
    assert list(published(text)) == ["main.example"]
    mended = publish(names, [text])
    assert not faults(run(mended, domains, SCATTERED[:3]).verdicts)


TERMS = st.sampled_from([
    "ip4:198.51.0.0/30", "-ip4:198.51.0.4", "include:a.example", "include:b.example", "a", "mx:none.x", "ip4:1",
    "include:none.example", "?a:h.example", "exists:none.example", "include:d.example"])
RECORD = st.lists(TERMS, max_size=5).map(lambda terms: " ".join(["v=spf1", *terms, "-all"]))


@given(st.fixed_dictionaries({name: st.lists(RECORD, min_size=0, max_size=2) for name in
                              ("d.example", "a.example", "b.example")}),
       st.sets(st.sampled_from(SCATTERED[:6]), min_size=1))
def test_what_a_mend_says_helps(names, addresses):
    names = {name: records for name, records in names.items() if records}
    domains = ["d.example", "a.example", "b.example"]
    for _round in range(4):  # a record that includes another one may need it mended first
        findings = check(names, domains, sorted(addresses))
        if set(findings.counts) == {Status.OK}:
            return
        mends = [verdict.mend for verdict in findings.verdicts if not verdict.ok]
        assert all(mends)
        names = publish(names, mends)
    raise AssertionError([(verdict.found, verdict.cause, verdict.mend) for verdict in findings.verdicts])
