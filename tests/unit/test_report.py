# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, to the letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import report

CHECKS = ("dkim", "spf", "dmarc", "iprev", "origin", "helo", "ptr", "tls", "arrival")
DESIRED = {
    "paths": [{"server": "mta1"}, {"server": "mta1"}, {"server": "mta2"}],
    "domains": [{"domain": "example.com"}, {"domain": "example.us"}],
}
SOURCE = (
    "Authentication-Results: mx.gmail.com; spf=softfail (sender SPF not authorized) smtp.mailfrom=e.example.com"
    " (client-ip={}; helo=mta1.example.com; envelope-from=probe@e.example.com; receiver=gmail.com)"
)


def row(server: str, address: str, domain: str, mailbox: str, **statuses: str) -> dict:
    return {
        "server": server,
        "address": address,
        "domain": domain,
        "mailbox": mailbox,
        **dict.fromkeys(CHECKS, "ok"),
        **statuses,
    }


def verdict(check: str, subject: str, status: str = "ok", **told: str) -> dict:
    return {"check": check, "subjects": [subject], "status": status, **told}


def softfail(address: str) -> dict:
    return verdict(
        "spf",
        f"mta1 {address} example.com probe@gmail.com",
        "fail",
        found="spf=softfail smtp.mailfrom=e.example.com",
        expected="spf=pass smtp.mailfrom=e.example.com by mx.gmail.com",
        cause="the receiver says softfail",
        mend="publish the SPF record of e.example.com",
        source=SOURCE.format(address),
    )


FAULTY = {
    "desired": DESIRED,
    "verdicts": [
        verdict("ptr", "198.51.100.10"),
        verdict("ptr", "2001:db8:61::10", "unknown", found="SERVFAIL of 198.51.100.4"),
    ],
    "probe": {
        "paths": [
            row("mta1", "198.51.100.10", "example.com", "probe@gmail.com", iprev="", spf="fail"),
            row("mta1", "2001:db8:61::10", "example.us", "probe@freemail.test", dmarc="", tls="warn"),
            row(
                "mta2",
                "198.51.100.20",
                "example.us",
                "probe@gmail.com",
                **dict.fromkeys(CHECKS[:-1], "unknown"),
                arrival="fail",
            ),
        ],
        "verdicts": [softfail("198.51.100.10"), softfail("198.51.100.11")],
        "not_checked": ["2001:db8:61::10 to probe@orange.fr: the mailbox takes no mail over ipv6"],
    },
    "published": {
        "zones": [{"name": "example.us.", "server": "198.51.100.9", "error": "no answer within 5 s", "changes": []}],
        "conflicts": [
            {
                "zone": "example.com.",
                "owner": "example.com.",
                "type": "TXT",
                "kind": "spf",
                "found": ['"v=spf1 -all"'],
                "wanted": ['"v=spf1 ip4:198.51.100.10 ~all"'],
                "merged": ['"v=spf1 ip4:198.51.100.10 -all"'],
                "mend": "list example.com. in sending_dns_adopt",
                "reason": "SPF of example.com",
            }
        ],
        "manual": [
            {
                "zone": "100.51.198.in-addr.arpa.",
                "text": "10.100.51.198.in-addr.arpa. 3600 IN PTR mta1.example.com.\n",
                "records": [
                    {
                        "status": "absent",
                        "found": [],
                        "source": "PTR 10.100.51.198.in-addr.arpa. asked of 198.51.100.4",
                        "cause": "",
                        "mend": "publish it by hand; the text is below",
                        "record": {
                            "owner": "10.100.51.198.in-addr.arpa.",
                            "type": "PTR",
                            "value": "mta1.example.com.",
                            "ttl": 3600,
                            "reason": "PTR of mta1's first address",
                        },
                    }
                ],
            }
        ],
    },
}
FAULTY_TEXT = """\
mailfleet.sending: servers 2, addresses 3, domains 2, mailboxes 2

What receivers saw
  address         domain      mailbox             dkim spf  dmarc iprev from helo ptr  tls  inbox
mta1
  198.51.100.10   example.com probe@gmail.com     ok   FAIL ok    -     ok   ok   ok   ok   ok
  2001:db8:61::10 example.us  probe@freemail.test ok   ok   -     ok    ok   ok   ok   warn ok
mta2
  198.51.100.20   example.us  probe@gmail.com     ?    ?    ?     ?     ?    ?    ?    ?    FAIL
? unknown, - not stamped by this receiver, from: the message left from this address

Checks
  check        ok    warn unknown  absent    fail
  spf           -       -       -       -       2
  ptr           1       -       1       -       -
  records       -       -       1       1       1

Faults (6)

1. spf fail: mta1 198.51.100.10 example.com probe@gmail.com
   mta1 198.51.100.11 example.com probe@gmail.com
   found    spf=softfail smtp.mailfrom=e.example.com
   expected spf=pass smtp.mailfrom=e.example.com by mx.gmail.com
   cause    the receiver says softfail
   mend     publish the SPF record of e.example.com
   source   Authentication-Results: mx.gmail.com; spf=softfail (sender SPF not authorized)
            smtp.mailfrom=e.example.com (client-ip=198.51.100.10; helo=mta1.example.com;
            envelope-from=probe@e.example.com; receiver=gmail.com) (and 1 more like it)

2. records fail: example.com. TXT
   found    "v=spf1 -all"
   expected "v=spf1 ip4:198.51.100.10 ~all"
   cause    somebody else published it, and it was left as it is
   mend     list example.com. in sending_dns_adopt; merged: "v=spf1 ip4:198.51.100.10 -all"
   source   zone example.com., read from its update server

3. records absent: 10.100.51.198.in-addr.arpa. PTR
   found    no such record
   expected mta1.example.com.
   cause    no update server is known for it; wanted: PTR of mta1's first address
   mend     publish it by hand; the text is below
   source   PTR 10.100.51.198.in-addr.arpa. asked of 198.51.100.4

4. ptr unknown: 2001:db8:61::10
   found    SERVFAIL of 198.51.100.4

5. records unknown: example.us.
   found    no answer within 5 s
   cause    the zone could not be read or written
   mend     mend the server or the key, and run again
   source   update server 198.51.100.9

To be published by hand in the zone 100.51.198.in-addr.arpa.
10.100.51.198.in-addr.arpa. 3600 IN PTR mta1.example.com.

Not checked
  - 2001:db8:61::10 to probe@orange.fr: the mailbox takes no mail over ipv6
  - complaint rate, consent of recipients, allow-lists, enrolment in feedback loops: providers do
    not tell

NOT PROVED: 3 fail, 1 absent, 2 unknown, 1 ok
"""


def test_faults_to_the_letter():
    assert report.text(report.make(**FAULTY)) == FAULTY_TEXT


def test_a_proved_fleet_to_the_letter():
    made = report.make(
        DESIRED,
        [verdict("ptr", "198.51.100.10")],
        {
            "paths": [row("mta1", "198.51.100.10", "example.com", "probe@gmail.com", iprev="")],
            "verdicts": [verdict(check, "x") for check in ("dkim", "spf", "dmarc")]
            + [verdict("tls", "x", "warn", found="no TLS")],
        },
        {},
    )
    assert made.proved, "a warning is shown and does not stand against it"
    assert report.text(made) == """\
mailfleet.sending: servers 2, addresses 3, domains 2, mailboxes 1

What receivers saw
  address       domain      mailbox         dkim spf  dmarc iprev from helo ptr  tls  inbox
mta1
  198.51.100.10 example.com probe@gmail.com ok   ok   ok    -     ok   ok   ok   ok   ok
? unknown, - not stamped by this receiver, from: the message left from this address

Checks
  check      ok    warn unknown  absent    fail
  dkim        1       -       -       -       -
  spf         1       -       -       -       -
  dmarc       1       -       -       -       -
  tls         -       1       -       -       -
  ptr         1       -       -       -       -

Faults (1)

1. tls warn: x
   found    no TLS

Not checked
  - complaint rate, consent of recipients, allow-lists, enrolment in feedback loops: providers do
    not tell

PROVED: 1 warn, 4 ok
"""


@pytest.mark.parametrize(
    "verdicts",
    [
        [],
        [verdict("ptr", "a", "warn")],
        *[[verdict("spf", "a"), verdict("ptr", "b", status)] for status in ("fail", "absent", "unknown")],
    ],
)
def test_what_is_not_proved(verdicts):
    made = report.make({}, verdicts, {}, {})
    assert not made.proved and made.conclusion().startswith("NOT PROVED: ")


def test_many_alike_faults_are_one_with_some_of_its_subjects():
    made = report.make({}, [softfail(f"198.51.100.{number}") for number in range(1, 101)], {}, {})
    text = report.text(made)
    assert "Faults (100)" in text and "\n   and 96 more\n" in text and "(and 99 more like it)" in text
    assert text.count("softfail (sender") == 1 and len(text.splitlines()) < 40
    assert len(made.to_dict()["faults"]) == 100


def test_faults_that_one_mend_mends_stand_together_and_say_what_differs_only():
    told = {"mend": "publish x. TXT y", "expected": "pass", "cause": "it is gone"}
    deployed = {"mta1": {}, "mta2": {"public_keys": []}}
    made = report.make(
        {**DESIRED, "fleet_keys": [], "servers": {"mta2": {"keys": []}}},
        [
            verdict("spf", "a", "absent", found="none", source="TXT a.", **told),
            verdict("spf", "b", "fail", found="permerror", source="TXT a.", **told),
            verdict("mx", "c", "fail", mend="something else"),
            verdict("dkim", "d", "unknown", expected="this key", cause="no answer", mend="make ns2 answer"),
            verdict("dkim", "e", "unknown", expected="that key", cause="refused", mend="make ns2 answer"),
        ],
        {},
        {},
        deployed=deployed,
    )
    assert report.text(made) == """\
mailfleet.sending: servers 2, addresses 3, domains 2

Checks
  check             ok    warn unknown  absent    fail
  spf                -       -       -       1       1
  mx                 -       -       -       -       1
  dkim               -       -       2       -       -
  deployed key       -       -       1       -       -

Faults (6)

1. spf fail: b
   found    permerror
   expected pass
   cause    it is gone
   mend     publish x. TXT y
   source   TXT a.
   also spf absent: a
   found    none

2. mx fail: c
   mend     something else

3. dkim unknown: d
   e
   cause    no answer / refused
   mend     make ns2 answer

4. deployed key unknown: mta1
   found    no answer
   cause    the server was not reached
   mend     make mta1 answer to Ansible, then check again
   source   mta1, by dkim_key in check mode

Not checked
  - whether mail arrives: no message was sent
  - complaint rate, consent of recipients, allow-lists, enrolment in feedback loops: providers do
    not tell

NOT PROVED: 2 fail, 1 absent, 3 unknown
"""


def test_the_json_has_everything_with_its_source():
    data = json.loads(json.dumps(report.make(**FAULTY).to_dict()))
    assert data["proved"] is False and data["summary"] == {"ok": 1, "warn": 0, "unknown": 2, "absent": 1, "fail": 3}
    assert [one["source"] for one in data["faults"][:2]] == [
        SOURCE.format("198.51.100.10"),
        SOURCE.format("198.51.100.11"),
    ]
    assert data["paths"] == FAULTY["probe"]["paths"] and data["manual"] == FAULTY["published"]["manual"]
    assert data["fleet"] == {"servers": 2, "addresses": 3, "domains": 2, "mailboxes": 2}


def test_something_else_than_a_verdict_is_a_typed_error():
    with pytest.raises(ValueError, match="not a verdict"):
        report.make({}, [{"check": "spf", "subjects": ["a"]}], {}, {})


NAME = st.text("abcdefghijkl.-", min_size=1, max_size=120)


@given(st.lists(st.tuples(NAME, NAME, NAME), min_size=1, max_size=4), NAME)
def test_no_line_is_longer_than_the_terminal(names, word):
    made = report.make(
        {},
        [verdict("spf", word * 3, "fail", found=word * 4, source=f"{word} {word}")],
        {"paths": [row(word[:40], *name) for name in names]},
        {},
    )
    assert max(map(len, report.text(made).splitlines())) <= report.WIDTH
