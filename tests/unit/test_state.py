# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state's files: what was damaged or edited by hand is told with the file's name, and never taken for empty."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError

KEY = {"public": "AAAA", "created": "2026-11-01", "scope": "fleet", "server": None, "seen": None}


def test_a_state_that_is_not_there_is_empty(tmp_path):
    assert State(tmp_path / "none").keys() == {}
    assert State(tmp_path / "none").published() == []


def test_what_was_written_is_read(tmp_path):
    State(tmp_path / "new").write_json("keys.json", {"example.com": {"m20261101": KEY}})
    assert State(tmp_path / "new").keys() == {"example.com": {"m20261101": KEY}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"example.com": ',
        "[]",
        '{"example.com": []}',
        '{"example.com": null}',
        '{"example.com": {"m1": null}}',
        '{"example.com": {"m1": {}}}',
        *(
            json.dumps({"example.com": {"m1": {**KEY, **change}}})
            for change in (
                {"public": 1},
                {"public": ""},
                {"created": None},
                {"created": "yesterday"},
                {"seen": 5},
                {"scope": []},
                {"scope": "server"},
                {"server": "mta1"},
            )
        ),
    ],
)
def test_damaged_keys_are_told_with_the_files_name(tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(StateError, match=r"keys\.json: .*restore"):
        State(tmp_path).keys()


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[1]",
        '[{"owner": "x"}]',
        '[{"owner": null, "type": "TXT", "value": "v=spf1 -all"}]',
        '[{"owner": "example.com.", "type": "TXT", "value": 5}]',
    ],
)
def test_damaged_records_are_told_with_the_files_name(tmp_path, content):
    (tmp_path / "published.json").write_text(content)
    with pytest.raises(StateError, match=r"published\.json: .*restore"):
        State(tmp_path).published()
