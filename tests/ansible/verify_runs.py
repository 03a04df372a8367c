# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of playbooks over the fleet of the bench, whose DNS a name server in a process of its own has."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "dns"))

import worlds
from served import ROOT, Served

ADDRESS, OTHER = "127.0.0.62", "127.0.0.63"  # of a name server, and of one that runs beside it
PORT = 53  # where modules ask authoritative servers
NAMESERVER = "ns.fleet.example."
Place = tuple[str, str]  # a check and one of its subjects


@dataclasses.dataclass(frozen=True)
class Ran:
    """A run to its end, and the report that it wrote, None where it wrote none."""

    status: int
    output: str
    report: dict | None

    @property
    def verdicts(self) -> dict[Place, dict]:
        """Every verdict by its places."""
        return {(each["check"], subject): each for each in self.report["verdicts"] for subject in each["subjects"]}

    @property
    def accused(self) -> dict[Place, str]:
        """The statuses of all that is not ok."""
        return {place: each["status"] for place, each in self.verdicts.items() if each["status"] != "ok"}

    @property
    def told(self) -> list[str]:
        """The lines of the text that begin with a number: one for each mend."""
        return [line for line in self.output.splitlines() if line[:1].isdigit() and ". " in line[:4]]


def fleet(resolver: str = ADDRESS, **variables: object) -> worlds.Fleet:
    """Return a fleet of two servers with two addresses each, and two domains, with some variables more."""
    made = worlds.Fleet(servers=2, addresses=2, domains=2, resolver=resolver)
    made.variables |= variables
    return made


def serve(made: worlds.Fleet, address: str = ADDRESS, zones: dict | None = None) -> Served:
    """Return the name server of a fleet, whose records are as they should be, or what C(zones) say."""
    return Served(zones or made.zones({NAMESERVER: address}), (address,), PORT)


def write(made: worlds.Fleet, folder: Path, keys: dict | None) -> Path:
    """Write the fleet's inventory, and the keys that its state knows, None for no state. Return the inventory."""
    folder.mkdir(exist_ok=True)
    if keys is not None:
        state = folder / ".mailfleet" / "state"
        state.mkdir(parents=True)
        (state / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps(made.inventory), encoding="utf-8")
    return inventory


def play(name: str, inventory: Path, *options: str, report: Path | None = None, **variables: object) -> Ran:
    """Run a playbook to its end. C(report) is the file that it writes, verify.json of the state without one."""
    path = report or inventory.parent / ".mailfleet" / "state" / "verify.json"
    command = [sys.executable, "-m", "ansible", "playbook", str(ROOT / "playbooks" / name), "-i", str(inventory),
               *options, "-e", json.dumps(variables)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=180,
                          env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONPATH": "",
                               "ANSIBLE_NOCOLOR": "1"})
    assert "Traceback" not in done.stdout, done.stdout
    return Ran(done.returncode, done.stdout, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None)
