# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program run to its end: how long it took, how much memory it had at most, and what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import worlds
from served import ROOT

MODULES = "ansible_collections.mailfleet.sending.plugins.modules"


@dataclass(frozen=True)
class Run:
    """Attributes: C(seconds) of wall time, C(cpu) those of all processors, C(megabytes) of the largest of its
    processes, C(output)."""

    seconds: float
    cpu: float
    megabytes: float
    output: str


def run(command: Sequence[str], given: str = "", **environment: str) -> Run:
    """Run a program. Raises: RuntimeError with what it printed where it fails."""
    with tempfile.TemporaryFile("w+") as stdin, tempfile.TemporaryFile("w+") as stdout:
        stdin.write(given)
        stdin.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.STDOUT, cwd=ROOT,
                                   env={**os.environ, **environment})
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        stdout.seek(0)
        output = stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def module(name: str, options: Mapping[str, object]) -> tuple[Run, dict]:
    """Run a module as a program of its own, from JSON to JSON. Return what it took, and what it returned."""
    given = json.dumps({"ANSIBLE_MODULE_ARGS": options})
    measured = run([sys.executable, "-m", f"{MODULES}.{name}"], given, PYTHONPATH=str(ROOT / ".collections"))
    return measured, json.loads(measured.output)


def write_inventory(fleet: worlds.Fleet, folder: Path) -> Path:
    """Write the fleet's inventory and its state, as a run of site.yml leaves it. Return the inventory."""
    state = folder / ".mailfleet" / "state"
    state.mkdir(parents=True, exist_ok=True)
    (state / "keys.json").write_text(json.dumps(fleet.keys), encoding="utf-8")
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps(fleet.inventory), encoding="utf-8")
    return inventory


def playbook(path: Path, inventory: Path, *options: str) -> Run:
    """Run a playbook."""
    return run([sys.executable, "-m", "ansible", "playbook", str(path), "-i", str(inventory), *options],
               ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), PYTHONPATH="")
