# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts: as data, grouped, ordered, counted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import (
    Status,
    Verdict,
    as_result,
    faults,
    group,
    summary,
    worst,
)

texts = st.text(max_size=5)
verdicts = st.builds(
    Verdict, texts, st.lists(texts, max_size=3), st.sampled_from(Status), texts, texts, texts, texts, texts
)


def of(status, *subjects, **more):
    return Verdict("spf", subjects or ("a",), status, **more)


@given(verdicts)
def test_a_verdict_survives_json(verdict):
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@pytest.mark.parametrize(
    "data, message",
    [
        ({"check": "spf", "status": "ok"}, "subjects is missing"),
        ({"check": "spf", "subjects": [], "status": "ok", "why": ""}, "why is unknown"),
        ({"check": "spf", "subjects": "a", "status": "ok"}, "subjects is 'a', expected a list"),
        ({"check": "spf", "subjects": ["a", 1], "status": "ok", "mend": None},
         r"mend is None, expected a text, subjects\[1\] is 1, expected a text"),
        ({"check": "spf", "subjects": [], "status": "good"}, "'good' is not a valid Status"),
    ],
)
def test_what_is_no_verdict(data, message):
    with pytest.raises(ValueError, match=message):
        Verdict.from_dict(data)


@given(verdicts)
def test_nothing_in_a_verdict_acts_on_a_terminal_or_hides(verdict):
    data = verdict.to_dict()
    assert all(text.isprintable() for text in (*data.pop("subjects"), *data.values()) if text != verdict.check)
    assert replace(verdict) == verdict


def test_what_strangers_write_is_shown_as_escapes():
    found = of("fail", "a\x1b[2J", found="é\n\nPROVED: all ok", cause="\u202egnp", mend="\udcff\0")
    assert (found.subjects, found.found, found.cause, found.mend) == (
        (r"a\x1b[2J",), r"é\n\nPROVED: all ok", r"\u202egnp", r"\udcff\x00")


def test_a_text_is_not_a_list_of_subjects():
    with pytest.raises(TypeError):
        Verdict("spf", "example.com", Status.OK)


def test_equal_verdicts_become_one_with_all_subjects_in_order():
    grouped = group(
        [of("fail", "b", cause="x"), of("ok", "c"), of("fail", "a", "b", cause="x"), of("fail", "d", cause="y")]
    )
    assert grouped == [of("fail", "b", "a", cause="x"), of("ok", "c"), of("fail", "d", cause="y")]


@given(st.lists(verdicts, max_size=8))
def test_grouping_loses_no_subject_and_is_done_once(found):
    grouped = group(found)
    assert {(subject, verdict.status) for verdict in found for subject in verdict.subjects} == {
        (subject, verdict.status) for verdict in grouped for subject in verdict.subjects
    }
    assert group(grouped) == grouped


def test_the_order_of_badness():
    statuses = ["ok", "warn", "unknown", "absent", "fail"]
    assert [worst(map(of, statuses[:end])) for end in range(1, 6)] == statuses
    assert worst([]) is Status.UNKNOWN  # nothing was proved
    assert [verdict.status for verdict in faults(map(of, statuses))] == statuses[:0:-1]


def test_the_result_of_a_module():
    result = as_result([of("ok", "a"), of("ok", "b"), of("absent", "c", mend="publish it")])
    assert result["summary"] == {"ok": 2, "warn": 0, "unknown": 0, "absent": 1, "fail": 0}
    assert [verdict["subjects"] for verdict in result["verdicts"]] == [["a", "b"], ["c"]]
    assert result["faults"] == [of("absent", "c", mend="publish it").to_dict()]
    assert not isinstance(result["faults"][0]["status"], Status)
    assert summary([]) == dict.fromkeys(result["summary"], 0)
