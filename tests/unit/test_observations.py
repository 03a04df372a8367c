# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of the observations: what was written is read, and what is damaged is told with its path and the mend."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.observations import (
    FILE,
    Observations,
    Observed,
    observations,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError

WHOLE = Observations(
    "2026-11-28",
    {
        "a.example": Observed(("aspmx.l.google.com",), "", "2026-11-27"),
        "b.example": Observed(None, "192.0.2.1 did not say: SERVFAIL"),
        "c.example": Observed(()),
        "d.example": Observed((".",), "192.0.2.1 did not say: timeout"),
    },
    {"mta1": {"2026-11-27": {"google": 3, "-": 1}}},
    {"warmup": {"198.51.100.10": {"google": 20}}},
)


def test_without_a_file_nothing_was_observed(tmp_path):
    assert observations(State(tmp_path)) == Observations()


def test_what_was_written_is_read_and_parts_of_others_stay(tmp_path):
    state = State(tmp_path)
    state.write_json(FILE, WHOLE.to_dict())
    assert observations(state) == WHOLE
    assert json.loads((tmp_path / FILE).read_text())["warmup"] == {"198.51.100.10": {"google": 20}}


def test_what_is_the_same_is_not_written_anew(tmp_path):
    State(tmp_path).write_json(FILE, WHOLE.to_dict())
    again = State(tmp_path)
    again.write_json(FILE, observations(again).to_dict())
    assert again.changed == []


@pytest.mark.parametrize("change, words", [
    ({"date": "yesterday"}, "date: found 'yesterday', expected a date"),
    ({"date": 20261128}, "date: found 20261128"),
    ({"domains": []}, "domains: found [], expected a mapping"),
    ({"domains": {"A.example": {"mx": []}}}, "domains.A.example: found 'A.example', expected a domain name in lower"),
    ({"domains": {"a b": {"mx": []}}}, "domains.a b: found 'a b'"),
    ({"domains": {"a.example": []}}, "domains.a.example: found [], expected mx"),
    ({"domains": {"a.example": {"seen": "2026-11-28"}}}, "domains.a.example: found"),
    ({"domains": {"a.example": {"mx": [], "provider": "x"}}}, "domains.a.example: found"),
    ({"domains": {"a.example": {"mx": "mx.a.example"}}}, "domains.a.example.mx: found 'mx.a.example', expected a list"),
    ({"domains": {"a.example": {"mx": [1]}}}, "domains.a.example.mx: found [1]"),
    ({"domains": {"a.example": {"mx": [], "silent": 1}}}, "domains.a.example.silent: found 1"),
    ({"domains": {"a.example": {"mx": [], "seen": "x"}}}, "domains.a.example.seen: found 'x'"),
    ({"messages": {"mta1": []}}, "messages.mta1: found [], expected a mapping"),
    ({"messages": {"mta1": {"x": {}}}}, "messages.mta1: found 'x', expected a date"),
    ({"messages": {"mta1": {"2026-11-28": 5}}}, "messages.mta1.2026-11-28: found 5, expected a mapping"),
    ({"messages": {"mta1": {"2026-11-28": {"google": -1}}}}, "messages.mta1.2026-11-28.google: found -1"),
    ({"messages": {"mta1": {"2026-11-28": {"google": True}}}}, "messages.mta1.2026-11-28.google: found True"),
])
def test_damage_is_told_with_its_path(tmp_path, change, words):
    (tmp_path / FILE).write_text(json.dumps({**WHOLE.to_dict(), **change}))
    with pytest.raises(StateError) as caught:
        observations(State(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / FILE}: {words}")
    assert "restore the file from version control, or remove it and run observe.yml" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_json_is_told(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match=r"observations\.json: .*restore"):
        observations(State(tmp_path))
