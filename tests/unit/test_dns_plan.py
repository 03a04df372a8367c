# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a zone: what is ours, what is not, and when what is ours goes."""
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import Change, RRset, plan, questions
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, quoted, to_bytes

APEX = "example.com."
VERIFY = '"google-site-verification=abc"'


def txt(value, owner=APEX, ttl=300):
    return Record(owner, "TXT", value, ttl)


def live(owner, rtype, *values, ttl=300):
    return {(owner, rtype): RRset(owner, rtype, ttl, values)}


def after(live_rrsets, made):
    """The zone that the changes make of what was live."""
    zone = dict(live_rrsets)
    for change in made.changes:
        assert change.before == zone.get(change.key)
        zone.pop(change.key, None)
        if change.after:
            zone[change.key] = change.after
    return zone


SPF = txt("v=spf1 ip4:198.51.100.10 ~all")
LIVE_SPF = f'"{SPF.value}"'


def test_what_is_missing_is_added_and_what_is_there_is_left():
    made = plan({}, [SPF])
    assert made.changes == (Change(None, RRset(APEX, "TXT", 300, (LIVE_SPF,))),)
    assert made.published == (SPF,)
    assert plan(live(APEX, "TXT", LIVE_SPF), [SPF]).changes == ()
    assert questions([SPF, SPF], [Record("a.example.", "A", "198.51.100.1")]) == [("a.example.", "A"), (APEX, "TXT")]


def test_what_equals_the_wanted_value_is_ours_from_then_on():
    made = plan(live(APEX, "TXT", LIVE_SPF), [SPF])
    assert made.published == (SPF,)
    moved = txt("v=spf1 ip4:198.51.100.11 ~all")
    made = plan(live(APEX, "TXT", LIVE_SPF), [moved], made.published)
    assert made.changes[0].removed == (LIVE_SPF,)
    assert made.published == (moved,)


def test_the_same_value_cut_into_other_strings_is_the_same():
    halves = f'"{SPF.value[:9]}" "{SPF.value[9:]}"'
    assert plan(live(APEX, "TXT", halves), [SPF]).changes == ()


def test_other_kinds_at_the_owner_are_not_looked_at():
    beside = ('"v=DMARC1; p=reject"', '"\\255\\000\\"\\\\"', VERIFY, '"k=rsa; p=abc"')
    made = plan(live(APEX, "TXT", *beside, ttl=7), [SPF])
    assert made.conflicts == ()
    assert made.changes[0].removed == ()
    assert made.changes[0].after == RRset(APEX, "TXT", 7, (*beside, LIVE_SPF))


@pytest.mark.parametrize("phase", ["expand", "contract"])
def test_a_foreign_value_is_a_conflict_until_its_owner_is_adopted(phase):
    zone = live(APEX, "TXT", '"v=spf1 include:_spf.google.com -all"', VERIFY)
    made = plan(zone, [SPF], phase=phase)
    assert made.changes == made.published == ()
    (conflict,) = made.conflicts
    assert conflict.to_dict() == {
        "owner": APEX,
        "type": "TXT",
        "kind": "spf",
        "found": ["v=spf1 include:_spf.google.com -all"],
        "wanted": [SPF.value],
        "merged": ["v=spf1 include:_spf.google.com ip4:198.51.100.10 -all"],
        "mend": conflict.mend,
        "reason": "",
    }
    assert "sending_dns_adopt" in conflict.mend
    made = plan(zone, [SPF], phase=phase, adopt=[APEX])
    assert made.conflicts == ()
    assert made.changes[0].after.values == (VERIFY, f'"{conflict.merged[0]}"')
    assert made.published == (SPF,)


def test_adoption_lives_through_changes_of_ours_and_ends_with_them():
    zone = live(APEX, "TXT", '"v=spf1 include:_spf.google.com -all"')
    made = plan(zone, [SPF], adopt=[APEX])
    zone = after(zone, made)
    for phase in ("expand", "contract"):
        assert plan(zone, [SPF], made.published, phase=phase) == plan(zone, [SPF], made.published, adopt=[APEX])
        assert plan(zone, [SPF], made.published, phase=phase).changes == ()
    both = txt("v=spf1 ip4:198.51.100.10 ip4:198.51.100.99 ~all")
    made = plan(zone, [both], made.published, adopt=[APEX])
    zone = after(zone, made)
    new = txt("v=spf1 ip4:198.51.100.99 ~all")
    made = plan(zone, [new], made.published, adopt=[APEX], phase="contract")
    zone = after(zone, made)
    assert zone[APEX, "TXT"].values == ('"v=spf1 include:_spf.google.com ip4:198.51.100.99 -all"',)
    assert made.published == (new,)
    made = plan(zone, [], made.published, adopt=[APEX], phase="contract")
    assert after(zone, made)[APEX, "TXT"].values == ('"v=spf1 include:_spf.google.com -all"',)
    assert made.published == ()


def test_in_expand_nothing_is_taken_out_of_a_merged_value():
    zone = live(APEX, "TXT", '"v=spf1 mx ip4:198.51.100.10 -all"')
    new = txt("v=spf1 ip4:198.51.100.99 ~all")
    made = plan(zone, [new], [SPF], adopt=[APEX])
    zone = after(zone, made)
    assert zone[APEX, "TXT"].values == ('"v=spf1 mx ip4:198.51.100.10 ip4:198.51.100.99 -all"',)
    made = plan(zone, [new], made.published, adopt=[APEX], phase="contract")
    assert after(zone, made)[APEX, "TXT"].values == ('"v=spf1 mx ip4:198.51.100.99 -all"',)
    assert made.published == (new,)


def test_two_spf_values_are_made_one():
    zone = live(APEX, "TXT", '"v=spf1 mx -all"', LIVE_SPF)
    (conflict,) = plan(zone, [SPF], [SPF]).conflicts
    assert conflict.found == ("v=spf1 mx -all", SPF.value)
    made = plan(zone, [SPF], [SPF], adopt=[APEX])
    assert after(zone, made)[APEX, "TXT"].values == ('"v=spf1 mx ip4:198.51.100.10 -all"',)


def test_a_merge_that_no_receiver_could_evaluate_is_not_written():
    includes = " ".join(f"include:{letter}.example" for letter in "abcdefghij")
    ours = txt("v=spf1 include:_spf1.example.com ~all")
    made = plan(live(APEX, "TXT", f'"v=spf1 {includes} -all"'), [ours], adopt=[APEX])
    assert made.changes == ()
    assert "merged it takes 11 lookups, 10 are allowed" in made.conflicts[0].mend


def test_a_foreign_reject_stays_and_our_own_may_change():
    owner = "_dmarc.example.com."
    ours = txt("v=DMARC1; p=none; rua=mailto:us@example.com", owner)
    zone = live(owner, "TXT", '"v=DMARC1; p=reject"')
    assert plan(zone, [ours]).conflicts[0].merged == ("v=DMARC1; p=reject; rua=mailto:us@example.com",)
    made = plan(zone, [ours], adopt=[owner])
    assert after(zone, made)[owner, "TXT"].values == ('"v=DMARC1; p=reject; rua=mailto:us@example.com"',)
    stricter = live(owner, "TXT", '"v=DMARC1; p=reject; rua=mailto:us@example.com"')
    assert plan(stricter, [ours]).changes == plan(stricter, [ours]).conflicts == ()
    own = plan(zone, [ours], [txt("v=DMARC1; p=reject", owner)])
    assert own.changes[0].added == (quoted(to_bytes(ours.value)),)


def test_a_selector_has_one_key():
    owner = "m1._domainkey.example.com."
    old, new = txt("v=DKIM1; k=rsa; p=OLD", owner), txt("v=DKIM1; k=rsa; p=NEW", owner)
    zone = live(owner, "TXT", '"v=DKIM1; k=rsa; p=OLD"')
    made = plan(zone, [new], [old])
    assert made.changes == ()
    assert made.published == (old,)
    assert "selector" in made.conflicts[0].mend
    assert plan(zone, [new], [old], adopt=[owner]).changes[0].added == ('"v=DKIM1; k=rsa; p=NEW"',)
    retagged = txt("v=DKIM1; h=sha256; k=rsa; p=OLD", owner)
    assert plan(zone, [retagged], [old]).changes[0].removed == ('"v=DKIM1; k=rsa; p=OLD"',)
    assert plan(zone, [retagged]).changes == plan(zone, [retagged]).conflicts == ()
    assert plan(zone, [], [old], phase="contract").changes[0].after is None


@pytest.mark.parametrize(
    ("rtype", "ours", "foreign", "merged"),
    [
        ("MX", "10 mta1.example.com.", "5 mail.example.net.", ("5 mail.example.net.", "10 mta1.example.com.")),
        ("A", "198.51.100.10", "203.0.113.1", ("203.0.113.1", "198.51.100.10")),
        ("PTR", "mta1.example.com.", "host.hoster.example.", ("mta1.example.com.",)),
    ],
)
def test_foreign_values_beside_ours(rtype, ours, foreign, merged):
    record = Record("x.example.com.", rtype, ours, 300)
    zone = live(record.owner, rtype, foreign)
    made = plan(zone, [record])
    assert made.changes == ()
    assert made.conflicts[0].merged == merged
    made = plan(zone, [record], adopt=[record.owner])
    both = after(zone, made)
    assert set(both[record.owner, rtype].values) == {ours, foreign}
    assert made.published == (record,)
    made = plan(both, [record], made.published, adopt=[record.owner], phase="contract")
    assert set(after(both, made)[record.owner, rtype].values) == set(merged)
    assert plan(both, [record], made.published).changes == plan(both, [record], made.published).conflicts == ()


def test_only_what_was_published_is_removed_and_only_in_contract():
    old, new = (Record("e.example.com.", "MX", f"10 mta{number}.example.com.", 300) for number in (1, 2))
    zone = live(old.owner, "MX", old.value)
    made = plan(zone, [new], [old])
    assert made.published == (old, new)
    zone = after(zone, made)
    assert zone[old.owner, "MX"].values == (old.value, new.value)
    made = plan(zone, [new], made.published, phase="contract")
    assert after(zone, made)[old.owner, "MX"].values == (new.value,)
    assert made.published == (new,)
    assert plan(zone, [new], [new], phase="contract").changes == ()
    assert plan(live(old.owner, "MX", "5 other.example."), [], [old], phase="contract").changes == ()


def test_a_cname_is_replaced_at_once_and_stands_in_nobody_elses_place():
    old, new = Record("k.example.com.", "CNAME", "a.example."), Record("k.example.com.", "CNAME", "b.example.")
    zone = live("k.example.com.", "CNAME", "a.example.", ttl=3600)
    assert after(zone, plan(zone, [new], [old]))["k.example.com.", "CNAME"].values == ("b.example.",)
    assert plan(zone, [new]).conflicts[0].merged == ("b.example.",)
    (conflict,) = plan(zone, [txt("v=spf1 -all", "k.example.com.")], adopt=["k.example.com."]).conflicts
    assert conflict.kind == "cname"
    assert conflict.found == ("a.example.",)


def test_the_ttl_is_ours_where_the_values_are():
    made = plan(live(APEX, "TXT", LIVE_SPF, ttl=60), [SPF])
    assert made.changes[0].new_ttl
    assert made.changes[0].added == made.changes[0].removed == ()
    assert plan(live(APEX, "TXT", LIVE_SPF, VERIFY, ttl=60), [SPF]).changes == ()


def test_octets_that_are_no_text_are_shown_escaped():
    zone = live(APEX, "TXT", '"v=spf1 \\255 -all"')
    assert plan(zone, [SPF]).conflicts[0].to_dict()["found"] == ["v=spf1 \\xff -all"]


def test_bad_arguments():
    with pytest.raises(ValueError, match="phase is 'remove'"):
        plan({}, [], phase="remove")
    with pytest.raises(ValueError, match="2 values of kind spf are wanted, there can be one"):
        plan({}, [SPF, txt("v=spf1 -all")])


SOME = ["v=spf1 mx -all", "v=spf1 ip4:198.51.100.10 ~all", "v=spf1 -all", "v=DMARC1; p=none", "other=1", "other=2"]
sets = st.sets(st.sampled_from(SOME))


def consistent(values):
    return len([value for value in values if value.startswith("v=spf1")]) < 2


@given(sets, sets.filter(consistent), sets, st.booleans(), st.sampled_from(["expand", "contract"]))
@example({SOME[2]}, {SOME[0]}, {SOME[0], SOME[1]}, True, "expand")  # the merged value is ours alone
def test_any_zone_settles_in_one_run_and_keeps_what_is_foreign(found, wanted, published, adopted, phase):
    zone = live(APEX, "TXT", *(f'"{value}"' for value in sorted(found))) if found else {}
    records, before = [txt(value) for value in sorted(wanted)], [txt(value) for value in sorted(published)]
    adopt = [APEX] if adopted else []
    made = plan(zone, records, before, adopt=adopt, phase=phase)
    changed = after(zone, made)
    again = plan(changed, records, made.published, adopt=adopt, phase=phase)
    assert again.changes == ()
    assert again.published == made.published
    assert again.conflicts == made.conflicts
    values = {value.strip('"') for value in changed[APEX, "TXT"].values} if changed else set()
    if not adopted:
        assert found - wanted - published <= values
    assert {value for value in found - published if value.startswith("other")} <= values
    if phase == "expand" and not adopted:
        assert {value for value in found if value.startswith("other")} <= values


def crowd(made):
    return [(answer.owner, answer.others) for answer in made.crowded]


def test_an_answer_that_others_fill_is_told_with_what_takes_the_room():
    beside = [f'"{letter * octets}"' for letter, octets in (("x", 100), ("y", 200), ("z", 60))]
    rest = [("y" * 200, 213), ("x" * 100, 113), ("z" * 60, 73)]
    made = plan(live(APEX, "TXT", *beside), [SPF])
    assert crowd(made) == [(APEX, tuple(rest))]
    # Header, question, our value and theirs, EDNS: RFC 1035 4.1, RFC 6891 6.1.2.
    assert made.crowded[0].octets == 12 + 13 + 4 + (12 + 1 + len(SPF.value)) + 213 + 113 + 73 + 11
    assert made.crowded[0].to_dict()["others"][0] == {"value": "y" * 200, "octets": 213}
    assert crowd(plan(live(APEX, "TXT", *beside, LIVE_SPF), [SPF])) == crowd(made), "live already, and nothing changes"
    # What fits, what has no SPF value of ours, and what is ours alone is nobody's fault.
    assert crowd(plan(live(APEX, "TXT", *beside[:2]), [SPF])) == []
    assert crowd(plan(live(APEX, "TXT", *beside), [txt("other=1")])) == []
    assert crowd(plan({}, [txt("v=spf1 " + "ip4:198.51.100.10 " * 30 + "~all")])) == []
    assert crowd(plan(live(APEX, "TXT", *beside, '"v=spf1 mx -all"'), [SPF])) == [], "ours is not in it"


def test_a_merged_value_is_not_ours_alone():
    theirs = " ".join(f"ip4:203.0.113.{number}" for number in range(100, 130))
    made = plan(live(APEX, "TXT", f'"v=spf1 {theirs} -all"'), [SPF], adopt=[APEX])
    ((owner, ((value, _octets),)),) = crowd(made)
    assert owner == APEX and value == f"v=spf1 {theirs} ip4:198.51.100.10 -all"
