# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's own work becomes nobody, also where the inventory's `all` says so, and the local host with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# What tells how and where a task runs.
KEYWORDS = ("delegate_to", "run_once", "become", "vars")


def tasks(entries: list[dict]) -> Iterator[dict]:
    for entry in entries:
        yield entry
        for part in ("block", "rescue", "always"):
            yield from tasks(entry.get(part, []))


def delegated() -> list[dict]:
    """The tasks of all roles that the controller does, with a command in place of their modules."""
    files = sorted(ROOT.glob("roles/*/tasks/*.yml"))
    found = [task for path in files for task in tasks(yaml.safe_load(path.read_text())) if "delegate_to" in task]
    return [{"name": task["name"], "ansible.builtin.command": "true"}
            | {word: task[word] for word in KEYWORDS if word in task} for task in found]


def asked_for(folder: Path, *plan: dict) -> str:
    """Run tasks where `all` has ansible_become; return what the program was asked that makes one another user."""
    sudo = folder / "sudo"
    sudo.write_text('#!/bin/sh\necho "$@" >> "$0.asked"\nexit 1\n')
    sudo.chmod(0o755)
    inventory = {"all": {
        "vars": {"ansible_become": True, "ansible_become_exe": str(sudo), "ansible_become_user": "nobody",
                 "ansible_python_interpreter": sys.executable},
        "children": {"sending_servers": {"hosts": {"mta1.example.com": {"ansible_connection": "local"}}}}}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    play = {"hosts": "sending_servers", "gather_facts": False, "tasks": list(plan)}
    (folder / "play.json").write_text(json.dumps([play]))
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(folder / "home")}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.json", "play.json"]
    ran = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    asked = folder / "sudo.asked"
    assert ran.returncode == (2 if asked.exists() else 0), ran.stdout
    return asked.read_text() if asked.exists() else ""


def test_the_controller_becomes_nobody(tmp_path):
    plan = delegated()
    assert len(plan) >= 8 and {task["delegate_to"] for task in plan} == {"localhost"}
    assert asked_for(tmp_path, *plan) == ""


@pytest.mark.parametrize("keywords", [{}, {"delegate_to": "localhost", "become": False}])
def test_without_the_variable_it_would(tmp_path, keywords):
    assert asked_for(tmp_path, {"name": "Task", "ansible.builtin.command": "true", **keywords})
