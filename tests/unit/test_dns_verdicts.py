# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What publishing left open, as the report says it."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.module_utils import report
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_verdicts import of_publishing
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

AGAINST = [
    {"check": "arrival", "subjects": ["mta1 198.51.100.10 example.com probe@gmail.com"], "status": "unknown"},
    *({"check": "ptr", "subjects": [f"198.51.100.1{number}"], "status": "absent"} for number in range(4)),
]


def withheld(zone: str, owner: str, rtype: str, *removed: str, added: tuple[str, ...] = ()) -> dict:
    return {"zone": zone, "owner": owner, "type": rtype, "added": [*added], "removed": [*removed], "ttl": 5}


def shown(published: dict) -> str:
    """The faults of the report's text."""
    text = report.text(report.make({}, [], {}, published))
    return text[text.index("\nFaults (") : text.index("\n\nNot checked")]


def test_what_was_not_removed_is_named_with_the_reason_and_the_mend():
    published = {
        "withheld": [
            withheld(
                "example.com.", "example.com.", "TXT", '"v=spf1 ip4:198.51.100.10 ip4:198.51.100.20 ~all"',
                added=('"v=spf1 ip4:198.51.100.10 ~all"',),
            ),
            withheld("example.com.", "mta2.example.com.", "A", "198.51.100.20"),
            withheld("100.51.198.in-addr.arpa.", "20.100.51.198.in-addr.arpa.", "PTR", "mta2.example.com."),
        ],
        "against": AGAINST,
    }
    verdicts = of_publishing(published)
    assert {verdict.status for verdict in verdicts} == {Status.WARN}, "what speaks against it is the fault"
    assert shown(published) == """
Faults (3)

1. removal warn: example.com. TXT "v=spf1 ip4:198.51.100.10 ip4:198.51.100.20 ~all"
   mta2.example.com. A 198.51.100.20
   20.100.51.198.in-addr.arpa. PTR mta2.example.com.
   found    still published
   expected removed, once what stays is proved
   cause    it was not removed, since what stays is not proved (arrival unknown: mta1 198.51.100.10
            example.com probe@gmail.com; ptr absent: 198.51.100.10; ptr absent: 198.51.100.11; and 2
            more)
   mend     mend what is not proved, and run again: the run that proves it removes these values
   source   zone example.com., read from its update server (and 1 more like it)"""


def test_nothing_is_said_where_nothing_was_to_be_removed():
    assert of_publishing({"withheld": [], "against": AGAINST}) == []


def test_an_answer_that_is_too_large_says_which_values_take_the_room():
    others = [{"value": "y" * 200, "octets": 213}, {"value": 'quoted "caf\xe9"', "octets": 27}]
    published = {
        "crowded": [{"zone": "example.com.", "owner": "example.com.", "octets": 512, "others": others}],
    }
    (verdict,) = of_publishing(published)
    assert verdict.status is Status.WARN
    assert shown(published) == f"""
Faults (1)

1. records warn: example.com. TXT
   found    an answer of 512 octets, of which values that are not ours take 240: 213 by
            '{"y" * 40}…', 27 by 'quoted "caf\xe9"'
   expected less than 450 (RFC 7208 3.4)
   cause    a larger answer may not pass over UDP, and some receivers then find no SPF record
   mend     remove from example.com. TXT what nobody needs any more
   source   zone example.com."""


def test_a_conflict_without_a_value_to_publish_shows_none():
    conflict = {
        "zone": "example.com.", "owner": "example.com.", "type": "TXT", "kind": "spf", "reason": "",
        "found": ["v=spf1 include:a.test -all"], "wanted": ["v=spf1 mx ~all"], "merged": [],
        "mend": "take terms out of the live value: merged it takes 11 lookups, 10 are allowed",
    }
    (verdict,) = of_publishing({"conflicts": [conflict]})
    assert verdict.mend == conflict["mend"]
    (verdict,) = of_publishing({"conflicts": [conflict | {"merged": ["v=spf1 include:a.test mx -all"]}]})
    assert verdict.mend == f"{conflict['mend']}; merged: v=spf1 include:a.test mx -all"


def test_a_record_for_the_hand_that_nobody_could_see_names_who_did_not_say():
    record = {"owner": "mta1.example.com.", "type": "A", "value": "198.51.100.10", "reason": "HELO name"}
    state = {
        "record": record, "status": "unknown", "found": [], "source": "A mta1.example.com. asked of 198.51.100.4",
        "cause": "198.51.100.4 did not say: SERVFAIL", "mend": "make 198.51.100.4 answer and run again, or publish it",
    }
    (verdict,) = of_publishing({"manual": [{"zone": "", "text": "", "records": [state]}]})
    assert (verdict.status, verdict.found) == (Status.UNKNOWN, "198.51.100.4 did not say: SERVFAIL")
    assert (verdict.mend, verdict.source) == (state["mend"], state["source"])
