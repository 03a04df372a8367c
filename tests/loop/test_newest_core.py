# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest ansible-core, in a container of its own, finds nothing to change in what the oldest one made."""
from __future__ import annotations

import sys

import lab_world as lab


def test_the_newest_ansible_core_proves_the_same_fleet_and_changes_nothing():
    newest = (lab.ROOT / "requirements/ansible-newest.txt").read_text(encoding="utf-8").split("==")[1].strip()
    program = (sys.executable, str(lab.ROOT / "tools/newest.py"), "ansible-playbook")
    run = lab.play("-v", program=program).ok()
    assert f"[core {newest}]" in lab.play("--version", program=program).output
    assert set(run.recap) == set(lab.SERVERS)
    assert run.changed == 0, run.output[-12000:]
    assert "\nPROVED: " in run.output
