# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One verdict of what several servers say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree, combine
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

GOOD = Outcome("a.example.", "TXT", Kind.VALUES, ("good",), "ns1")
ALSO = replace(GOOD, values=("fine",), server="ns4")
NONE = replace(GOOD, kind=Kind.NO_NAME, values=(), server="ns2")
MUTE = replace(GOOD, kind=Kind.SILENT, values=(), server="ns3", cause="no answer within 5 s")


def judge(outcome):
    status, cause, mend = {
        Kind.VALUES: (Status.OK, "", ""),
        Kind.NO_NAME: (Status.ABSENT, "there is no record", "publish it"),
        Kind.SILENT: (Status.UNKNOWN, str(outcome), f"make {outcome.server} answer"),
    }[outcome.kind]
    found = ", ".join(outcome.values) or outcome.kind.value
    return Verdict("test", ("a.example.",), status, found, "good", cause, mend, outcome.source)


@pytest.mark.parametrize(
    "outcomes, instead, status, cause, mend",
    [
        ([GOOD], "", Status.OK, "", ""),
        ([GOOD, replace(GOOD, server="ns9", ttl=7, chain=("b.",))], "", Status.OK, "", ""),
        # What a server says besides, as that its answer is stale (RFC 8914), is no other answer.
        ([GOOD, replace(GOOD, server="ns9", cause="extended error 3 (stale answer)")], "", Status.OK, "", ""),
        ([NONE], "", Status.ABSENT, "there is no record", "publish it"),
        ([NONE], "why", Status.ABSENT, "there is no record (why)", "publish it"),
        ([GOOD], "why", Status.WARN, "why", "let this machine ask the authoritative servers (port 53, UDP and TCP), or "
         "set authoritative to no (sending_dns_authoritative in an inventory)"),
        ([GOOD, NONE], "", Status.ABSENT, "the name servers differ: ns1: good; ns2: there is no record",
         "make ns2 serve the same version of the zone as ns1, or publish it"),
        ([GOOD, ALSO], "", Status.WARN, "the name servers differ: ns1: good; ns4: fine",
         "make all name servers serve the same version of the zone"),
        ([GOOD, MUTE], "", Status.UNKNOWN,
         "not every name server answers: ns1: answers; ns3: did not say: no answer within 5 s",
         "make ns3 answer, or take it out of the zone's NS records"),
        ([NONE, MUTE], "", Status.ABSENT,
         "not every name server answers: ns2: there is no record; ns3: did not say: no answer within 5 s",
         "publish it"),
        ([GOOD, MUTE, replace(GOOD, server="ns5"), NONE], "", Status.ABSENT,
         "the name servers differ: ns1, ns5: good; ns2: there is no record; ns3: did not say: no answer within 5 s",
         "make ns2 serve the same version of the zone as ns1, ns5, or publish it"),
        ([MUTE], "", Status.UNKNOWN, "ns3 did not say: no answer within 5 s", "make ns3 answer"),
        ([MUTE, replace(MUTE, server="ns6", cause="REFUSED")], "", Status.UNKNOWN,
         "ns3: did not say: no answer within 5 s; ns6: did not say: REFUSED", "make ns3, ns6 answer, then check again"),
    ],
)
def test_one_verdict_of_all(outcomes, instead, status, cause, mend):
    verdict = combine(outcomes, judge, instead)
    assert (verdict.status, verdict.cause, verdict.mend) == (status, cause, mend)
    servers = ", ".join(dict.fromkeys(outcome.server for outcome in sorted(outcomes, key=lambda each: not each.said)))
    assert sorted(verdict.source.removeprefix("TXT a.example. asked of ").split(", ")) == sorted(servers.split(", "))


def test_the_source_has_all_servers_and_what_the_judge_of_the_worst_answer_asked_besides():
    def asked_more(outcome):
        return replace(judge(outcome), source=f"{outcome.source}; A {outcome.server}. asked of ns9")

    assert combine([GOOD, replace(GOOD, server="ns5")], asked_more).source == \
        "TXT a.example. asked of ns1, ns5; A ns1. asked of ns9"
    assert combine([GOOD, NONE], asked_more).source == "TXT a.example. asked of ns1, ns2; A ns2. asked of ns9"


def test_each_answer_is_judged_once():
    judged = []
    combine([replace(GOOD, server=f"ns{number}") for number in range(9)], lambda out: judged.append(1) or judge(out))
    assert judged == [1]


def test_what_they_agree_on():
    agreed = agree([GOOD, NONE, MUTE, replace(GOOD, server="ns5")])
    assert [(said.outcome, said.servers) for said in agreed.answers] == [(GOOD, ("ns1", "ns5")), (NONE, ("ns2",))]
    assert [said.servers for said in agreed.silent] == [("ns3",)]
    assert agreed.differ and not agreed.same and agreed.servers == ("ns1", "ns5", "ns2", "ns3")
    assert agree([GOOD]).same and agree([GOOD]).statement == ""
    assert agree([GOOD], "why").statement == "why"


def read(outcome):
    """Read nothing but what is good."""
    return tuple(value for value in outcome.values if value in ("good", "fine"))


@pytest.mark.parametrize("others, differ, note", [
    ([("good",)], False, ""),
    ([("good", "x")], False, "ns1: none; ns2: 'x'"),
    ([("good", "x"), ("y", "good")], False, "ns1: none; ns2: 'x'; ns3: 'y'"),
    ([("good", "x"), ("x", "good", "x" * 61, "z", "w")], False,
     f"ns1: none; ns2: 'x'; ns3: 'x', '{'x' * 60}…', 'z' and 1 more"),
    ([("fine",)], True, ""),
    ([("good", "fine")], True, ""),
    ([("x",)], True, ""),
    ([], True, ""),
])
def test_what_is_read_decides_whether_servers_agree(others, differ, note):
    outcomes = [GOOD, *(replace(GOOD, values=values, server=f"ns{at}") for at, values in enumerate(others, 2))]
    outcomes = outcomes if others else [GOOD, replace(NONE, kind=Kind.NO_DATA)]
    agreed = agree(outcomes, reads=read)
    assert agreed.differ is differ
    assert agreed.note == (f"the name servers differ in other values of a.example. TXT: {note}" if note else "")
    verdict = combine(outcomes, lambda outcome: Verdict("test", ("a.",), Status.OK, "found"), reads=read)
    assert verdict.status is (Status.WARN if differ else Status.OK)
    assert verdict.found == (f"found; note: {agreed.note}" if note else "found")


def test_nothing_but_values_of_others_is_nothing():
    stray = replace(GOOD, values=("x",), server="ns2")
    agreed = agree([stray, replace(NONE, kind=Kind.NO_DATA)], reads=read)
    assert agreed.same and agree([stray, NONE], reads=read).differ


def test_the_worst_of_what_is_read_alike_counts():
    """A value that is not read may still be one that a check has something to say of."""
    def wary(outcome):
        status = Status.FAIL if "x" in outcome.values else Status.OK
        return Verdict("test", ("a.",), status, str(outcome), source=f"{outcome.source}; and more")

    verdict = combine([GOOD, replace(GOOD, values=("good", "x"), server="ns2")], wary, reads=read)
    assert verdict.status is Status.FAIL
    assert verdict.source == "TXT a.example. asked of ns1, ns2; and more"


def test_nothing_asked_is_nothing_to_judge():
    with pytest.raises(ValueError, match="no outcome"):
        combine([], judge)
