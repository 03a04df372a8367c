# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of each SPF record a run proposes one new form, which takes no pass from the fleet and has all the mends in it."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from spf_world import Sealed, publish, published

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_passes
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Mx
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import of_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import faults
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run


def run(names, domains, fleet):
    return verify_spf_run(Sealed(names), of_fleet(domains, fleet), "no").verdicts


def passing(names, domains, fleet):
    """Return whom check_host() passes, as verdicts name them."""
    ask = Sealed(names).ask
    return {
        f"{row.text} {'HELO' if case.identity == 'helo' else 'MAIL FROM'} {case.domain}"
        for case in of_fleet(domains, fleet) for row in case.table.rows
        if check_host(row.text, case.domain, f"postmaster@{case.domain}", row.helo or case.domain, ask).result == "pass"
    }


@pytest.mark.parametrize("text, new", [
    ("v=spf1 ptr -all", "v=spf1 ip4:198.51.0.1 -all"),
    ("v=spf1 ip4:203.0.113.9 ptr -all", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 -all"),
    ("v=spf1 ip4:203.0.113.9 +all", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 ~all"),
    ("v=spf1 ip4:198.51.0.0/24 -ip4:198.51.0.1 -all", "v=spf1 ip4:198.51.0.0/24 -all"),
    ("v=spf1 exists:%{i}.list.example exists:%{p}.x.example ptr -all",
     "v=spf1 ip4:198.51.0.1 exists:%{i}.list.example exists:%{p}.x.example -all"),
])
def test_who_passes_before_a_mend_passes_after_it(text, new):
    names = {"d.example": [text], "1.0.51.198.in-addr.arpa": {"PTR": ["mta.d.example."]},
             "mta.d.example": {"A": ["198.51.0.1"]}}
    fleet = [("198.51.0.1", "")]
    assert passing(names, ["d.example"], fleet) == {"198.51.0.1 MAIL FROM d.example"}
    found = faults(run(names, ["d.example"], fleet))
    mends = {fault.mend for fault in found if "d.example. TXT" in fault.mend}
    assert mends == {f'publish d.example. TXT "{new}" instead of "{text}"'}
    assert passing(publish(names, mends), ["d.example"], fleet) == {"198.51.0.1 MAIL FROM d.example"}


@pytest.mark.parametrize("text, new", [
    ("v=spf1 ip4:203.0.113.9 ptr -all", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 -all"),
    ("v=spf1 ip4:203.0.113.9 ?all", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 ~all"),
    ("v=spf1 ip4:203.0.113.9", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 ~all"),
    ("v=spf1 -all ip4:203.0.113.9", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 -all"),
    ("v=spf1 a:h.example a:H.example -all", "v=spf1 ip4:198.51.0.1 a:h.example -all"),
    ("v=spf1 include:none.example a:h.example ptr ?all", "v=spf1 ip4:198.51.0.1 a:h.example ~all"),
])
def test_what_the_fleet_lacks_and_what_is_wrong_with_the_record_is_one_record_to_publish(text, new):
    names = {"d.example": [text], "h.example": {"A": ["203.0.113.9"], "AAAA": ["2001:db8::9"]}}
    found = faults(run(names, ["d.example"], [("198.51.0.1", "")]))
    assert {fault.check for fault in found} == {"spf", "spf record"}
    assert {fault.mend for fault in found} == {f'publish d.example. TXT "{new}" instead of "{text}"'}


def test_parts_that_hold_for_each_other_do_not_lose_the_fleet_together():
    names = {"d.example": ["v=spf1 include:_a.d.example include:_b.d.example -all"],
             "_a.d.example": ["v=spf1 ptr:a.example ptr:d.example -all"],
             "_b.d.example": ["v=spf1 ptr:d.example ptr:b.example -all"],
             "1.0.51.198.in-addr.arpa": {"PTR": ["mta.d.example."]}, "mta.d.example": {"A": ["198.51.0.1"]}}
    found = [fault for fault in faults(run(names, ["d.example"], [("198.51.0.1", "")])) if fault.mend.count("TXT")]
    assert [fault.subjects for fault in found] == [("_a.d.example",), ("_b.d.example",)]
    for mends in ([found[0].mend], [found[1].mend], [fault.mend for fault in found]):
        assert passing(publish(names, mends), ["d.example"], [("198.51.0.1", "")])


def test_a_mend_that_would_take_pass_from_an_including_domain_is_not_made():
    names = {"d.example": ["v=spf1 ip4:203.0.113.9 -all"],
             "e.example": ["v=spf1 -include:d.example ip4:198.51.0.1 -all"]}
    fleet = [("198.51.0.1", "")]
    found = {fault.subjects[0]: fault.mend for fault in faults(run(names, ["d.example", "e.example"], fleet))}
    assert "leaves the rest of the fleet its pass" in found["198.51.0.1 MAIL FROM d.example"]


def test_whom_the_mend_of_an_included_record_does_not_help_the_record_that_includes_it_does():
    two = ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 -all"]
    names = {"d.example": ["v=spf1 ?include:%{l}.example -all"], "postmaster.example": two}
    domains, fleet = ["d.example", "postmaster.example"], [("198.51.0.1", "")]
    found = [fault for fault in faults(run(names, domains, fleet)) if fault.check == "spf"]
    assert [[*published(fault.mend).values()] for fault in found] == [
        ["v=spf1 ip4:198.51.0.1 ?include:%{l}.example -all"], ["v=spf1 ip4:198.51.0.1 ip4:192.0.2.1 -all"]]
    for fault in found:
        assert set(fault.subjects) <= passing(publish(names, [fault.mend]), domains, fleet)


def test_what_is_wrong_with_a_record_has_a_mend_where_no_record_passes_all_whom_it_lacks():
    fleet = [(f"198.51.{number // 128}.{number % 128 * 2}", "") for number in range(400)]
    record, lacking = "v=spf1 ip4:203.0.113.9 ?all", {}
    for fault in faults(run({"d.example": [record]}, ["d.example"], fleet)):
        lacking[fault.check] = fault.mend
    assert lacking["spf"].startswith("no record within the limits passes all these addresses")
    assert lacking["spf record"] == f'publish d.example. TXT "v=spf1 ip4:203.0.113.9 ~all" instead of "{record}"'


@pytest.mark.parametrize("text, new", [
    ("v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", "v=spf1 ip4:198.51.0.1 -all"),
    ("v=spf1 ip4:0.0.0.0/0 ip4:203.0.113.9 ?all", "v=spf1 ip4:198.51.0.1 ip4:203.0.113.9 ~all"),
    (" ".join(["v=spf1", *(f"ip4:{number}.0.0.0/8" for number in range(256)), "-all"]), "v=spf1 ip4:198.51.0.1 -all"),
    ("v=spf1 ip4:0.0.0.0-255.255.255.255 -all", "v=spf1 ip4:198.51.0.1 -all"),
])
def test_in_place_of_all_of_the_internet_stand_the_addresses_of_the_fleet(text, new):
    found = faults(run({"d.example": [text]}, ["d.example"], [("198.51.0.1", "")]))
    assert {published(fault.mend)["d.example"] for fault in found} == {new}


def test_a_record_for_all_of_the_internet_is_not_proposed_for_want_of_another():
    """The addresses that it lacks are too many for a record."""
    fleet = [("198.51.0.1", ""), *((f"2001:db8::{number:x}", "") for number in range(0, 800, 2))]
    found = faults(run({"d.example": ["v=spf1 ip4:0.0.0.0/0 -all"]}, ["d.example"], fleet))
    assert {"spf", "spf record"} == {fault.check for fault in found}
    assert all("0.0.0.0/0" not in text for fault in found for text in published(fault.mend).values())


@pytest.mark.parametrize("name, word", [("localhost", "greet with"), ("mta1", "greet with")])
def test_who_greets_with_one_label_is_to_greet_with_a_full_name(name, word):
    found = faults(run({"d.example": ["v=spf1 ip4:198.51.0.1 -all"]}, ["d.example"], [("198.51.0.1", name)]))
    assert {fault.check for fault in found} == {"spf", "spf record"}
    assert {fault.mend for fault in found} == {
        f"{word} a full name, as mta1.example.com is one, in place of {name} (RFC 5321, 2.3.5)"}


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("text, new", [
    ("v=spf1 redirect=d.example", "v=spf1 ip4:198.51.0.1 ~all"),
    ("v=spf1 redirect=none.example a:h.example", "v=spf1 ip4:198.51.0.1 a:h.example ~all"),
])
def test_a_record_without_its_redirect_ends_in_all(text, new, records):
    names = {"d.example": [text], "h.example": {"A": ["203.0.113.9"], "AAAA": ["2001:db8::9"]}}
    found = verify_spf_run(Sealed(names), of_fleet(["d.example"], [("198.51.0.1", "")]), "no", records=records)
    assert {published(fault.mend)["d.example"] for fault in faults(found.verdicts)} == {new}


@pytest.mark.parametrize("text, again", [
    ("v=spf1 ip4:198.51.0.0/24 -all", 0), ("v=spf1 -all", 1), ("v=spf1 ip4:198.51.0.0/24 ?all", 1),
    ("v=spf1 ptr ?all", 2)])
def test_a_mend_is_proved_by_few_evaluations_of_the_domains_that_it_is_about(monkeypatch, text, again):
    evaluated = []
    evaluate = spf_passes.evaluate
    monkeypatch.setattr(spf_passes, "evaluate", lambda case, *more: evaluated.append(case.domain) or evaluate(
        case, *more))
    names = {f"d{number}.example": [text] for number in range(20)}
    run(names, names, [("198.51.0.1", ""), ("198.51.0.2", "")])
    assert sorted(evaluated) == sorted([*names] * (1 + again))


DOMAINS = ["d.example", "a.example", "b.example"]
ADDRESSES = ["198.51.0.1", "198.51.0.2", "198.51.0.3", "203.0.113.9", "2001:db8::1"]
TERMS = st.sampled_from([
    "ip4:198.51.0.1", "ip4:198.51.0.0/30", "ip4:198.51.0.2/31", "ip6:2001:db8::/32", "a", "a:h.example", "mx",
    "a:none.example", "mx:none.example", "exists:none.example", "exists:%{i}.list.example", "exists:%{h}.list.example",
    "ptr", "ptr:example", "include:a.example", "include:b.example", "include:d.example", "include:_p.d.example",
    "include:f.example", "include:none.example", "all", "ip4:198.51.0.300", "x-note=1", "ip4=198.51.0.1",
    "ip4:0.0.0.0/0", "ip4:0.0.0.0/1", "ip4:128.0.0.0/1", "redirect=a.example", "redirect=f.example",
    "redirect=none.example", "exp=why.example"])
SIGNED = st.builds("{}{}".format, st.sampled_from(["", "", "", "-", "~", "?"]), TERMS).map(
    lambda term: term.lstrip("-~?") if "=" in term else term)
RECORD = st.builds("{} {}".format, st.lists(SIGNED, max_size=5).map(lambda terms: " ".join(["v=spf1", *terms])),
                   st.sampled_from(["-all", "-all", "~all", "?all", "+all", ""])).map(str.strip)
FOREIGN = st.sampled_from([
    "v=spf1 ip4:198.51.0.2 -all", "v=spf1 include:none.example -all", "v=spf1 foo", "v=spf1 ~all",
    "v=spf1 a:h.example ip4:198.51.0.3 +all"])


@st.composite
def worlds(draw):
    names = {name: draw(st.lists(RECORD, max_size=1) if draw(st.booleans()) else st.lists(RECORD, min_size=1,
                                                                                          max_size=2))
             for name in (*DOMAINS, "_p.d.example")}
    names = {name: {"TXT": [*texts, "other"]} for name, texts in names.items() if texts}
    names.setdefault("d.example", {"TXT": ["other"]})["A"] = ["198.51.0.3"]
    names["d.example"]["MX"] = [Mx(10, "h.example.")]
    names["f.example"] = [draw(FOREIGN)]
    names["h.example"] = {"A": ["198.51.0.1"], "AAAA": ["2001:db8::1"]}
    names["198.51.0.2.list.example"] = {"A": ["127.0.0.2"]}
    names["mta.example.list.example"] = {"A": ["127.0.0.2"]}
    names[f"{ipaddress.ip_address('198.51.0.1').reverse_pointer}"] = {"PTR": ["h.example."]}
    names[f"{ipaddress.ip_address('198.51.0.3').reverse_pointer}"] = {"PTR": ["d.example."]}
    return names


FLEETS = st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(["", "mta.example"])), min_size=1, max_size=4)


@settings(max_examples=max(200, settings().max_examples))
@given(worlds(), st.lists(st.sampled_from(DOMAINS), min_size=1, unique=True), FLEETS)
def test_no_mend_takes_pass_from_the_fleet_and_what_mends_the_fleet_passes_it(names, domains, fleet):
    before = passing(names, domains, fleet)
    found = faults(run(names, domains, fleet))
    proposed = {}
    for fault in found:
        for name, text in published(fault.mend).items():
            assert proposed.setdefault(name, text) == text  # one record for each owner
            assert not re.search(r"(?<![-~?])ip4:0\.0\.0\.0/0", text)
    helped = set()
    for mend in {fault.mend for fault in found if published(fault.mend)}:
        wanted = {subject for fault in found if fault.check == "spf" and fault.mend == mend
                  for subject in fault.subjects}
        after = passing(publish(names, [mend]), domains, fleet)
        assert before | wanted <= after, (mend, before - after, wanted - after)
        helped |= wanted
    event(f"{min(len(proposed), 3)} records proposed, {'some' if helped else 'none'} helped")
    assert before | helped <= passing(publish(names, [fault.mend for fault in found]), domains, fleet)
