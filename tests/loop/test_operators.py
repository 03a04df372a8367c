# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators lose, mistype and forget, and what the run says then; the lab is found again as it was."""

from __future__ import annotations

import shutil

import breaking
import lab_world as lab
import pytest


@pytest.fixture
def copy(tmp_path) -> breaking.Copy:
    return breaking.copy_of_the_inventory(tmp_path)


def test_lost_secrets_are_asked_for_and_never_made_anew(copy):
    """DNS serves the public halves: other keys under the same selectors would make every signature fail."""
    shutil.rmtree(copy.secrets)
    before = {zone: breaking.zone_contents(zone) for zone in breaking.ZONES}
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert "the key is gone" in played.output and "put it back" in played.output
    assert not list(copy.secrets.rglob("*.pem"))
    assert {zone: breaking.zone_contents(zone) for zone in breaking.ZONES} == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("published.json", '{"a": 1'),
        ("published.json", '[1, {"owner": "x"}]'),
        ("keys.json", '{"example.com": []}'),
        ("keys.json", '{"example.com": {"m20261123": {"public": 1}}}'),
    ],
)
def test_a_damaged_state_is_told_with_its_file_before_anything_changes(copy, file, content):
    (copy.state / file).write_text(content)
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert f"state/{file}: " in played.output and "Traceback" not in played.output
    assert "object has no attribute" not in played.output


def test_a_damaged_key_stops_the_run_before_anything_changes(copy):
    key = next((copy.secrets / "dkim/example.com").glob("*.pem"))
    key.write_text(key.read_text()[:500])
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert str(key.name) in played.output and "never replaced" in played.output
