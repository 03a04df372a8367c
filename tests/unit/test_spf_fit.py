# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merged SPF values are counted with all that they include, and all that includes them, before they are published."""

from __future__ import annotations

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import RRset, plan
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fit import fitness

APEX, AUX = "example.com.", "example.us."
# What each record takes in all: _spf.google.com 3, crm.test 6, deep.test 8.
ZONES = {
    "google.com": {
        "_spf.google.com": {"TXT": ["v=spf1 " + " ".join(f"include:_netblocks{n}.google.com" for n in (1, 2, 3))]},
        **{f"_netblocks{n}.google.com": {"TXT": [f"v=spf1 ip4:203.0.113.{n} ~all"]} for n in (1, 2, 3)},
    },
    "crm.test": {
        "crm.test": {"TXT": ["v=spf1 a mx include:one.crm.test include:two.crm.test exists:%{i}.crm.test -all"]},
        "one.crm.test": {"TXT": ["v=spf1 ip4:203.0.113.8 -all"]},
        "two.crm.test": {"TXT": ["v=spf1 redirect=gone.crm.test"]},
    },
    "deep.test": {"deep.test": {"TXT": ["v=spf1 " + " ".join(["a"] * 8) + " -all"]}},
    "lost.test": {},
    "loop.test": {"loop.test": {"TXT": ["v=spf1 include:loop.test -all"]}},
}
OURS = Record(APEX, "TXT", "v=spf1 ip4:198.51.100.10 ~all")
INCLUDES = Record(AUX, "TXT", "v=spf1 include:example.com ~all")


@pytest.fixture(scope="module")
def server():
    with Nameserver(ZONES, {"lost.test": "servfail"}) as server:
        yield server


@pytest.fixture
def lookup(server):
    server.asked.clear()
    with Lookup([server.server], timeout=1) as lookup:
        yield lookup


def adopted(lookup: Lookup, live: str, *wanted: Record):
    """The plan for the apex where somebody else's value stands, which may be merged."""
    wanted = wanted or (OURS,)
    here = [record for record in wanted if record.owner == APEX]
    zone = {(APEX, "TXT"): RRset(APEX, "TXT", 300, (f'"{live}"',))}
    return plan(zone, here, adopt=[APEX], unfit=fitness(wanted, lookup.ask, lookup.each))


def mend(lookup: Lookup, live: str, *wanted: Record) -> str:
    """Why the merged value is not published; nothing of it is shown then as something to publish."""
    made = adopted(lookup, live, *wanted)
    assert made.changes == ()
    (conflict,) = made.conflicts
    assert conflict.merged == () and conflict.found == (live,)
    return conflict.mend


def test_what_keeps_the_limit_is_published(lookup):
    made = adopted(lookup, "v=spf1 include:_spf.google.com include:one.crm.test -all")
    assert made.conflicts == ()
    assert made.changes[0].added == (
        '"v=spf1 include:_spf.google.com include:one.crm.test ip4:198.51.100.10 -all"',
    )


def test_lookups_of_what_is_included_count(lookup):
    told = mend(lookup, "v=spf1 include:_spf.google.com include:crm.test -all")
    assert told == (
        "take terms out of the live value: merged it takes 11 lookups, 10 are allowed "
        "(include:crm.test takes 7, include:_spf.google.com takes 4)"
    )


def test_ten_are_allowed_and_ours_count_before_they_are_published(lookup, server):
    parts = [Record(f"_spf{n}.{APEX}", "TXT", f"v=spf1 ip4:198.51.100.{n} -all") for n in (1, 2)]
    two = Record(APEX, "TXT", "v=spf1 include:_spf1.example.com include:_spf2.example.com ~all")
    assert adopted(lookup, "v=spf1 mx include:crm.test -all", two, *parts).conflicts == ()
    assert "takes 11 lookups" in mend(lookup, "v=spf1 mx a include:crm.test -all", two, *parts)
    # A resolver that is asked for what is not published yet would remember that it is not there.
    assert not [name for name, _rtype in server.asked if name.endswith("example.com")]


def test_what_includes_the_merged_value_keeps_the_limit_too(lookup):
    live = "v=spf1 include:deep.test -all"
    assert adopted(lookup, live, OURS).conflicts == ()
    assert adopted(lookup, live, OURS, INCLUDES).conflicts == ()
    told = mend(lookup, "v=spf1 include:deep.test mx -all", OURS, INCLUDES)
    assert "merged it takes 10 lookups, 10 are allowed, and example.us, which includes it, 11" in told


def test_what_dns_does_not_say_may_be_too_much(lookup, server):
    told = mend(lookup, "v=spf1 include:lost.test -all")
    assert told.startswith(f"make {server.server} answer, and run again: how many lookups the merged value takes")
    assert "TXT lost.test." in told and "SERVFAIL" in told


@pytest.mark.parametrize("term", ["include:gone.crm.test", "include:%{i}.crm.test", "exists:%{i}.crm.test"])
def test_what_is_not_there_or_depends_on_the_message_counts_as_its_term(lookup, term):
    nine = "a " * 9
    assert adopted(lookup, f"v=spf1 {nine}{term} -all").conflicts == ()
    assert "takes 11 lookups" in mend(lookup, f"v=spf1 {nine}a {term} -all")


def test_a_record_that_leads_back_is_over_the_limit(lookup):
    assert "10 are allowed" in mend(lookup, "v=spf1 include:loop.test -all")


def test_what_cannot_be_read_is_counted_by_its_terms(lookup):
    assert "takes 11 lookups" in mend(lookup, f"v=spf1 {'mx ' * 11}ip4:300.0.0.1 -all")


def test_without_adoption_too_it_is_no_value_to_publish(lookup):
    zone = {(APEX, "TXT"): RRset(APEX, "TXT", 300, ('"v=spf1 include:crm.test include:deep.test -all"',))}
    (conflict,) = plan(zone, [OURS], unfit=fitness([OURS], lookup.ask)).conflicts
    assert conflict.merged == () and "merged it takes 16 lookups" in conflict.mend


def test_taking_our_part_out_is_no_merge(lookup):
    """Their own value may be over the limit: that is theirs, and less of ours in it makes it no worse."""
    merged = '"v=spf1 include:crm.test include:deep.test ip4:198.51.100.10 -all"'
    zone = {(APEX, "TXT"): RRset(APEX, "TXT", 300, (merged,))}
    made = plan(zone, [], [OURS], adopt=[APEX], phase="contract", unfit=fitness([], lookup.ask))
    assert made.conflicts == () and made.changes[0].added == ('"v=spf1 include:crm.test include:deep.test -all"',)
