# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merged values: nothing of somebody else's is lost or weakened, and a merge is found complete the next time."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_merge import merge_dmarc, merge_spf

OURS = "v=spf1 ip4:198.51.100.10 ~all"


@pytest.mark.parametrize(
    ("live", "wanted", "published", "merged"),
    [
        (["v=spf1 include:_spf.google.com -all"], OURS, [], "v=spf1 include:_spf.google.com ip4:198.51.100.10 -all"),
        (["v=spf1 mx a ?all"], "v=spf1 ip4:198.51.100.10 -all", [], "v=spf1 mx a ip4:198.51.100.10 ?all"),
        (["v=spf1 -all"], OURS, [], "v=spf1 ip4:198.51.100.10 -all"),
        (["v=spf1 redirect=x.example"], OURS, [], "v=spf1 ip4:198.51.100.10 redirect=x.example"),
        (["v=spf1 redirect=x.example mx"], OURS, [], "v=spf1 ip4:198.51.100.10 redirect=x.example mx"),
        (["v=spf1 mx"], OURS, [], "v=spf1 mx ip4:198.51.100.10"),
        (["v=spf1 mx -all"], "v=spf1 redirect=example.com", [], "v=spf1 mx include:example.com -all"),
        # What counts already is not added: the same term, in another case, with its qualifier, in a wider network.
        (["v=spf1  +IP4:198.51.100.10  -all"], OURS, [], "v=spf1  +IP4:198.51.100.10  -all"),
        (["v=spf1 ip4:198.51.100.0/24 -all"], OURS, [], "v=spf1 ip4:198.51.100.0/24 -all"),
        (["v=spf1 redirect=x.example ip4:198.51.100.0/24"], OURS, [], "v=spf1 redirect=x.example ip4:198.51.100.0/24"),
        # What stands behind `all`, or does not let pass, does not count.
        (["v=spf1 -all ip4:198.51.100.10"], OURS, [], "v=spf1 ip4:198.51.100.10 -all ip4:198.51.100.10"),
        (["v=spf1 ?ip4:198.51.100.0/24 -all"], OURS, [], "v=spf1 ?ip4:198.51.100.0/24 ip4:198.51.100.10 -all"),
        # What we published and no longer want goes, and nothing else.
        (
            ["v=spf1 mx ip4:198.51.100.10 ip4:198.51.100.11 -all"],
            "v=spf1 ip4:198.51.100.12 ~all",
            ["v=spf1 ip4:198.51.100.10 ip4:198.51.100.11 ~all"],
            "v=spf1 mx ip4:198.51.100.12 -all",
        ),
        (["v=spf1 mx ip4:198.51.100.10 -all"], None, [OURS], "v=spf1 mx -all"),
        (["v=spf1 ip4:198.51.100.10 mx -all"], OURS, [OURS], "v=spf1 ip4:198.51.100.10 mx -all"),
        # Two records at one owner are an error of their own (RFC 7208 4.5): one is made of them.
        (
            ["v=spf1 include:a.example ~all", "v=spf1 mx ip4:203.0.113.1 -all"],
            OURS,
            [],
            "v=spf1 include:a.example mx ip4:203.0.113.1 ip4:198.51.100.10 -all",
        ),
    ],
)
def test_spf(live, wanted, published, merged):
    assert merge_spf(live, wanted, published) == merged
    assert merge_spf([merged], wanted, []) == merged


@pytest.mark.parametrize(
    ("live", "wanted", "published", "merged"),
    [
        (
            ["v=DMARC1; p=reject; rua=mailto:a@x.example"],
            "v=DMARC1; p=none; rua=mailto:us@example.com",
            [],
            "v=DMARC1; p=reject; rua=mailto:a@x.example,mailto:us@example.com",
        ),
        (["v=DMARC1;p=none"], "v=DMARC1; p=quarantine", [], "v=DMARC1; p=quarantine"),
        (["v=DMARC1;p=reject;adkim=s"], "v=DMARC1; p=none", [], "v=DMARC1;p=reject;adkim=s"),
        (["v=DMARC1; rua=mailto:a@x.example"], "v=DMARC1; p=reject", [], "v=DMARC1; rua=mailto:a@x.example; p=reject"),
        (["v=DMARC1; p=none"], "v=DMARC1; p=none; adkim=s; rua=mailto:b@x.example", [],
         "v=DMARC1; p=none; rua=mailto:b@x.example"),
        # A policy for subdomains follows p where it is not given: it must not become weaker, nor stricter than both.
        (["v=DMARC1; p=reject"], "v=DMARC1; p=none; sp=none", [], "v=DMARC1; p=reject"),
        (["v=DMARC1; p=none"], "v=DMARC1; p=reject; sp=none", [], "v=DMARC1; p=reject; sp=none"),
        (["v=DMARC1; p=reject; sp=none"], "v=DMARC1; p=quarantine", [], "v=DMARC1; p=reject; sp=quarantine"),
        (["v=DMARC1; p=none"], "v=DMARC1; p=none; np=reject", [], "v=DMARC1; p=none; np=reject"),
        # Report addresses are the same without regard to case and to the obsolete size.
        (["v=DMARC1; p=none; rua=mailto:A@x.example!10m"], "v=DMARC1; p=none; rua=mailto:a@x.example", [],
         "v=DMARC1; p=none; rua=mailto:A@x.example!10m"),
        (
            ["v=DMARC1; p=reject; rua=mailto:them@x.example,mailto:old@example.com"],
            "v=DMARC1; p=none; rua=mailto:new@example.com",
            ["v=DMARC1; p=none; rua=mailto:old@example.com"],
            "v=DMARC1; p=reject; rua=mailto:them@x.example,mailto:new@example.com",
        ),
        (
            ["v=DMARC1;p=none;rua=mailto:us@example.com,mailto:them@x.example"],
            "v=DMARC1; p=none; rua=mailto:us@example.com",
            ["v=DMARC1; p=none; rua=mailto:us@example.com"],
            "v=DMARC1;p=none;rua=mailto:us@example.com,mailto:them@x.example",
        ),
        (
            ["v=DMARC1; p=none; rua=mailto:a@x.example", "v=DMARC1; p=reject; rua=mailto:b@x.example"],
            "v=DMARC1; p=none",
            [],
            "v=DMARC1; p=reject; rua=mailto:b@x.example,mailto:a@x.example",
        ),
        (["v=DMARC1; p=none; rua=mailto:old@example.com"], None, ["v=DMARC1; rua=mailto:old@example.com"],
         "v=DMARC1; p=none"),
    ],
)
def test_dmarc(live, wanted, published, merged):
    assert merge_dmarc(live, wanted, published) == merged
    assert merge_dmarc([merged], wanted, []) == merged


TERMS = ["mx", "a", "include:a.example", "ip4:203.0.113.1", "-ip4:203.0.113.2", "exists:%{i}.x"]
terms = st.lists(st.sampled_from(TERMS))
ends = st.sampled_from([[], ["-all"], ["~all"], ["?all"], ["redirect=b.example"]])
values = st.builds(lambda middle, end: " ".join(["v=spf1", *middle, *end]), terms, ends)


@given(values, values)
def test_every_foreign_term_stays_in_its_place(live, wanted):
    merged = merge_spf([live], wanted)
    left = iter(merged.split())
    assert all(term in left for term in live.split())
    assert merge_spf([merged], wanted) == merged


policy = st.sampled_from(["none", "quarantine", "reject"])
records = st.dictionaries(st.sampled_from(["p", "sp", "np"]), policy).map(
    lambda tags: "; ".join(["v=DMARC1", *(f"{tag}={value}" for tag, value in tags.items())])
)


@given(records, records)
def test_no_policy_is_weaker_than_before(live, wanted):
    def strictness(value, tag):
        tags = dict(part.strip().split("=") for part in value.split(";"))
        fallback = {"p": ["p"], "sp": ["sp", "p"], "np": ["np", "sp", "p"]}[tag]
        found = next((tags[name] for name in fallback if name in tags), "none")
        return ["none", "quarantine", "reject"].index(found)

    merged = merge_dmarc([live], wanted)
    for tag in ("p", "sp", "np"):
        assert strictness(merged, tag) == max(strictness(live, tag), strictness(wanted, tag))
    assert merge_dmarc([merged], wanted) == merged
