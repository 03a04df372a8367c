# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is counted of the log of a node, and how it is kept."""

from __future__ import annotations

import datetime
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warming import TODAY, line

from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Day
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import (
    Clock,
    Damaged,
    Entry,
    State,
    entry,
    outcome,
)


def quoted(local: str) -> str:
    """A local part as RFC 5321 has it and Postfix logs it: in quotes, control characters and line ends shown as "?"."""
    shown = "".join(each if each.isprintable() else "?" for each in local)
    return '"' + re.sub(r'(["\\])', r"\\\1", shown) + '"'


class TestLines:
    @pytest.mark.parametrize("message, expected", [
        (line(), "sent"),
        (line("deferred", answer="host said: 451 4.7.1 later"), "deferred"),
        (line("bounced"), "bounced"),
        (line("deferred", relay="none"), ""),
        (line().replace("delay=1.2", "conn_use=2, delay=1.2"), "sent"),
        (line().replace("<u@acme.test>", "<u@acme.test>, orig_to=<v@acme.test>"), "sent"),
        ("4dKvRJ1m2Fz9: from=<a@example.us>, size=300, nrcpt=1 (queue active)", ""),
        (line().replace("delay=1.2", "delay=1e+05"), "sent"),
        (line(to=""), "sent"),
        (line(to="u+a=b'{c}@xn--d-eka.acme.test"), "sent"),
        (line(to="ü@acme.test"), "sent"),
        (line("undeliverable"), ""),
        ("connect to mx.acme.test[198.51.100.99]:25: Connection refused", ""),
        ("", ""),
    ])
    def test_by_example(self, message, expected):
        assert outcome(message) == expected

    @given(st.text(max_size=60), st.sampled_from(["sent", "deferred", "bounced"]), st.text(max_size=60))
    def test_whatever_recipient_and_answer_hold_a_message_that_reached_a_host_counts(self, local, status, answer):
        clean = local.replace("\n", "").replace("\r", "")
        assert outcome(line(status, to=f'"{clean}"@acme.test', answer=answer)) != ""

    @given(st.text(max_size=60), st.sampled_from(["sent", "deferred", "bounced"]), st.text(max_size=60))
    def test_a_recipient_that_is_logged_as_postfix_does_chooses_nothing(self, local, status, answer):
        assert outcome(line(status, to=f"{quoted(local)}@acme.test", answer=answer)) == status

    DECOYS = tuple(f">{line(status, relay=relay).partition('>')[2]}" for status in ("sent", "deferred", "bounced")
                   for relay in ("none", "mx.acme.us[198.51.100.98]:25"))

    @pytest.mark.parametrize("decoy", DECOYS)
    @pytest.mark.parametrize("begin", ["", "a", '"', "\\", '\\"', "a@acme.test", '"@acme.test', '"@a>, orig_to=<a'])
    @pytest.mark.parametrize("relay, status, expected", [
        ("mx.acme.test[198.51.100.99]:25", "bounced", "bounced"), ("none", "deferred", ""),
        ("mx.acme.test[198.51.100.99]:25", "undeliverable", ""),
    ])
    def test_decoys_choose_nothing(self, begin, decoy, relay, status, expected):
        to = f"{quoted(begin + decoy)}@acme.test"
        for message in (
            line(status, relay, to=to),
            line(status, relay, answer=begin + decoy),
            line(status, relay, to=to, answer=begin + decoy),
            line(status, relay, to=f"u@acme.test>, orig_to=<{to}"),
            line(status, relay, to=f"{to}>, orig_to=<{to}", answer=begin + decoy),
        ):
            assert outcome(message) == expected, message

    @pytest.mark.parametrize("decoy", DECOYS)
    def test_what_a_host_said_is_no_outcome(self, decoy):
        assert outcome(f"4dKvRJ1m2Fz9: host mx.acme.test[198.51.100.99] said: 451 to=<a@acme.test{decoy}") == ""

    @pytest.mark.parametrize("decoy", DECOYS)
    def test_an_address_of_another_form_hides_nothing(self, decoy):
        assert outcome(line(to=f" {decoy} @acme.test")) != ""
        assert outcome(line(to=f" {decoy.replace('status=', 'status=un')} @acme.test")) == "sent"

    @given(st.binary(max_size=200))
    def test_what_is_no_entry_is_told(self, junk):
        with pytest.raises(ValueError):
            entry(junk)

    WHOLE = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1764000000500000", "SYSLOG_IDENTIFIER": "x", "MESSAGE": "ok",
             "_UID": "105"}

    def test_an_entry_is_read_and_bytes_that_are_no_text_too(self):
        assert entry(json.dumps(self.WHOLE).encode()) == Entry("s=1", 1764000000.5, "x", "ok", "105")
        found = entry(json.dumps({**self.WHOLE, "MESSAGE": [111, 107, 255]}).encode())
        assert found.message == "ok�"

    @pytest.mark.parametrize("field, at", [("SYSLOG_IDENTIFIER", "name"), ("MESSAGE", "message"), ("_UID", "user")])
    @pytest.mark.parametrize("value", [..., None, ["a", "b"], ["105", "0"], [300], [1.5], {"a": 1}, 7, True, []])
    def test_a_field_of_another_form_is_empty_and_the_entry_has_its_place(self, field, at, value):
        made = {**self.WHOLE, field: value}
        if value is ...:
            del made[field]
        found = entry(json.dumps(made).encode())
        assert (found.cursor, found.moment, getattr(found, at)) == ("s=1", 1764000000.5, "")

    @pytest.mark.parametrize("wrong", [
        {"__CURSOR": None}, {"__CURSOR": 7}, {"__CURSOR": ["s=1"]}, {"__REALTIME_TIMESTAMP": None},
        {"__REALTIME_TIMESTAMP": "later"}, {"__REALTIME_TIMESTAMP": ["1"]}, {"__REALTIME_TIMESTAMP": "9" * 400},
    ])
    def test_an_entry_without_its_place_or_moment_is_none(self, wrong):
        with pytest.raises(ValueError):
            entry(json.dumps({**self.WHOLE, **wrong}).encode())


class TestClock:
    @given(st.integers(0, 2**33), st.sampled_from([(0, 86400), (1764000007, 30)]))
    def test_a_day_begins_where_it_does(self, now, made):
        clock = Clock(*made)
        if abs(now - clock.begin) < 10**6 * clock.length:
            assert clock.begins(clock.day(now)) <= now < clock.begins(clock.day(now) + datetime.timedelta(days=1))

    def test_days_are_those_of_utc(self):
        midnight = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC).timestamp()
        assert [str(Clock().day(midnight + more)) for more in (-1, 0)] == ["2026-11-27", "2026-11-28"]


states = st.builds(
    State, st.text(max_size=20),
    st.dictionaries(st.text(max_size=9), st.dictionaries(st.dates(), st.builds(Day, *[st.integers(0, 9**9)] * 3))),
    st.dictionaries(st.text(max_size=9), st.lists(st.text(max_size=9))), st.none() | st.dates())


class TestState:
    @given(states)
    def test_what_was_written_is_read(self, state):
        assert State.read(state.text) == state

    @given(states, st.data())
    def test_a_file_that_was_cut_off_is_damaged(self, state, data):
        with pytest.raises(Damaged):
            State.read(state.text[:data.draw(st.integers(0, len(state.text) - 3))])

    @pytest.mark.parametrize("text", [
        "", "[]", "null", "{}", '{"version": 1}',
        State().text.replace('"version": 1', '"version": 2'), State().text.replace('""', "7"),
        State(counters={"a": {TODAY: Day(1)}}).text.replace("1,", "-1,", 1).replace("-1,", "1,", 1).replace(
            "    1,", "    -1,"),
        "[" * 10**5,
    ])
    def test_other_files_are_damaged(self, text):
        with pytest.raises(Damaged):
            State.read(text)
