# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest ansible-core, in a container of its own, makes of a bare server what the oldest one made of it."""

from __future__ import annotations

import re
import sys

import breaking
import lab_world as lab
import pytest

PROGRAM = (sys.executable, str(lab.ROOT / "tools/newest.py"), "ansible-playbook")
ONE, OTHER = lab.SERVERS


def proved() -> lab.Played:
    """A run with the newest ansible-core, which must prove the whole fleet."""
    run = lab.play("-v", program=PROGRAM).ok()
    assert set(run.recap) == set(lab.SERVERS)
    assert "\nPROVED: " in run.output
    return run


def standing() -> str:
    """What the server runs with, whatever the number of its generation."""
    return re.sub(r"generations/\d+", "", breaking.standing(ONE))


@pytest.mark.long
def test_the_newest_ansible_core_makes_the_same_of_a_bare_server_and_then_changes_nothing():
    newest = (lab.ROOT / "requirements/ansible-newest.txt").read_text(encoding="utf-8").split("==")[1].strip()
    assert f"[core {newest}]" in lab.play("--version", program=PROGRAM).output
    before = standing()
    breaking.make_bare(ONE)
    assert lab.ssh(ONE, "sh", "-c", "command -v postfix; true") == ""
    made = proved()
    assert made.recap[ONE]["changed"] >= 5 and made.recap[OTHER]["changed"] == 0
    assert standing() == before
    again = proved()
    assert again.changed == 0, again.output[-12000:]
