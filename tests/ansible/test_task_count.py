# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback task_count, by a real run of ansible-playbook on two hosts that are this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = """\
servers:
  hosts: {one: , two: }
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""

ROLES = {
    "checked/meta/argument_specs.yml": "argument_specs: {main: {options: {checked_word: {type: str, required: true}}}}",
    "checked/tasks/main.yml": "[{name: Task of checked, ansible.builtin.command: 'true'}]",
    "included/tasks/main.yml": "[{name: Task of included, ansible.builtin.command: 'true'}]",
}

PLAYBOOK = """\
- name: Validation of arguments and gathering of facts
  hosts: servers
  gather_subset: ["!all", "!min"]
  roles: [{role: checked, checked_word: given}]

- name: Delegation
  hosts: servers
  vars: {here: localhost}
  gather_facts: false
  tasks:
    - {name: Once on the controller, command: "true", run_once: true, delegate_to: localhost}
    - {name: On the controller for each, command: "true", delegate_to: localhost}
    - {name: In secret on the controller, command: "true", run_once: true, delegate_to: "{{ here }}", no_log: true}
    - {name: A loop on the controller, command: "true", run_once: true, delegate_to: localhost, loop: [1, 2, 3]}
    - {name: For the first on the second, command: "true", run_once: true, delegate_to: two}
    - {name: Skipped on the controller, command: "true", run_once: true, delegate_to: localhost, when: false}

- name: What is not done, or done twice
  hosts: servers
  gather_facts: false
  tasks:
    - {name: Skipped on one, command: "true", when: inventory_hostname == "two"}
    - {name: Skipped include, include_role: {name: included}, when: false}
    - {name: Include, include_role: {name: included}}
    - block:
        - name: Tried three times on one
          command: "false"
          register: tried
          until: tried is success
          retries: 2
          delay: 0
          when: inventory_hostname == "one"
      rescue:
        - {name: Rescue, command: "true"}
    - {name: Nothing, meta: noop}

- name: The controller as a host
  hosts: localhost
  gather_facts: false
  tasks:
    - {name: On the controller itself, command: "true"}
"""


def play(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook in `folder` with the callback enabled."""
    (folder / "inventory.yml").write_text(INVENTORY)
    (folder / "site.yml").write_text(PLAYBOOK)
    for name, text in ROLES.items():
        (folder / "roles" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "roles" / name).write_text(text)
    collections = Path(__file__).resolve().parents[2] / ".collections"
    environ = {
        **os.environ,
        "ANSIBLE_CALLBACKS_ENABLED": "mailfleet.sending.task_count",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_NOCOLOR": "1",
        **environ,
    }
    command = [str(Path(sys.prefix) / "bin" / "ansible-playbook"), "-i", "inventory.yml", "site.yml"]
    return subprocess.run(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The run's output and what was counted in it."""
    folder = tmp_path_factory.mktemp("counted")
    done = play(folder, MAILFLEET_TASK_COUNT=str(folder / "count.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done, json.loads((folder / "count.json").read_text())


def test_controller(counted):
    figures = counted[1]["controller"]
    assert figures["tasks"] == ["Once on the controller", "On the controller for each", "On the controller for each",
                                "In secret on the controller", "A loop on the controller", "On the controller itself"]
    assert (figures["executed"], figures["skipped"]) == (6, 1)


def test_validation_facts_roles_and_retries_count_on_a_server(counted):
    figures = counted[1]["servers"]["one"]
    assert sorted(figures["tasks"]) == sorted([
        "Gathering Facts", "checked : Validating arguments against arg spec 'main'", "checked : Task of checked",
        "included : Task of included", *3 * ["Tried three times on one"], "Rescue",
    ])
    assert figures["roles"] == {
        "": {"executed": 5, "skipped": 1},
        "checked": {"executed": 2, "skipped": 0},
        "included": {"executed": 1, "skipped": 0},
    }


def test_a_task_counts_where_it_ran(counted):
    figures = counted[1]["servers"]["two"]
    assert "For the first on the second" in figures["tasks"]
    assert (figures["executed"], figures["skipped"]) == (6, 1)


def test_nothing_is_said(counted):
    done = counted[0]
    assert "task_count" not in done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_without_a_path_nothing_is_written(tmp_path):
    before = {"home", "inventory.yml", "roles", "site.yml"}
    assert play(tmp_path).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == before
