# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that several files look at: each is made once, when it is first wanted."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys

import apart
import lab_runs
import lab_world as lab
import pytest
import secrecy
import watching

# Where packages, settings and programs put files; Ansible's own scratch folder and the journal are no part of it.
LOOKED_AT = ("/etc", "/usr", "/opt", "/root", "/srv", "/var")
NOT_LOOKED_AT = ("/root/.ansible", "/var/lib/systemd", "/var/log", "/var/tmp")
ZONES = ("example.com", "example.us", "100.51.198.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")


@dataclasses.dataclass(frozen=True)
class World:
    """What a check must not change: files of servers with sizes and times, serials of zones, state and secrets."""

    servers: dict[str, str]
    serials: dict[str, list[str]]
    left: bool


@dataclasses.dataclass(frozen=True)
class First:
    """Check mode on bare servers with what stood before and after it, and then their first run with all output."""

    before: World
    checked: lab_runs.Run
    after_check: World
    done: lab_runs.Run
    cache: str


@dataclasses.dataclass(frozen=True)
class Second:
    """A run over a finished fleet with all output, its count of tasks, and what a fact cache kept of it.

    Its controller has a network namespace of its own: the lab's interfaces on this machine, what all of this machine's
    had on them meanwhile, and what the controller's. Its user's home was empty: what it left there.
    """

    run: lab_runs.Run
    counts: dict
    cache: str
    interfaces: tuple[str, ...]
    machine: watching.Seen
    controller: watching.Seen
    home: list[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What measures rates comes last, when the parts that run beside the lab have ended or nearly so."""
    items.sort(key=lambda item: item.path.name == "test_shaping.py")


@pytest.fixture(scope="session", autouse=True)
def _route() -> None:
    """No packet is sent before the route to the lab is known to be the lab's own bridge."""
    command = [sys.executable, str(lab.ROOT / "lab/lab.py"), "check-route"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if checked.returncode:
        pytest.exit(checked.stderr or checked.stdout, returncode=checked.returncode)


def world() -> World:
    pruned = [word for path in NOT_LOOKED_AT for word in ("-path", path, "-prune", "-o")]
    shown = ["(", "-type", "d", "-printf", "%p %m %u\\n", "-o", "-printf", "%p %m %u %s %T@\\n", ")"]
    servers = {server: lab.ssh(server, "find", *LOOKED_AT, "-xdev", *pruned, *shown) for server in lab.SERVERS}
    serials = {zone: lab.answer(zone, "SOA") for zone in ZONES}
    return World(servers, serials, (lab.INVENTORY / ".mailfleet").exists())


def watched(folder, environment: dict[str, str], **options) -> tuple[lab_runs.Run, str]:
    """A run with all output; besides it what a fact cache kept."""
    run = lab_runs.run(
        "-vvv",
        "--diff",
        **options,
        environment={
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder),
            **environment,
        },
    )
    run.ok()
    kept = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file()]
    return run, "".join(kept)


@pytest.fixture(scope="session")
def first(tmp_path_factory) -> First:
    subprocess.run([sys.executable, str(lab.LAB / "lab.py"), "reset"], check=True, stdout=subprocess.DEVNULL)
    before = world()
    checked = lab_runs.run("--check", "--diff")
    after_check = world()
    done, cache = watched(tmp_path_factory.mktemp("first"), {})
    return First(before, checked, after_check, done, cache)


@pytest.fixture(scope="session")
def second(tmp_path_factory) -> Second:
    counts = tmp_path_factory.mktemp("counts") / "counts.json"
    enabled = {"ANSIBLE_CALLBACKS_ENABLED": "mailfleet.sending.task_count", "MAILFLEET_TASK_COUNT": str(counts)}
    folder, home = tmp_path_factory.mktemp("second"), tmp_path_factory.mktemp("home")
    with apart.controller() as controller:
        own = watching.of_the_lab()
        with watching.Watch(*own) as machine, controller.watch() as inside:
            environment = {**controller.environment, **enabled, "HOME": str(home)}
            run, cache = watched(folder, environment, program=controller.program)
    counted = json.loads(counts.read_text(encoding="utf-8"))
    left = [str(path.relative_to(home)) for path in home.rglob("*")]
    return Second(run, counted, cache, own, machine.seen, inside.seen, left)


@pytest.fixture(scope="session")
def secrets(first, second) -> dict[str, list[str]]:
    """Every secret of the fleet and the lab, each by the strings that give it away."""
    keys = sorted((lab_runs.SECRETS / "dkim").rglob("*.pem"))
    assert len(keys) == 2
    probe = re.findall(r"[\w+/=-]{16,}", (lab_runs.SECRETS / "logins/probe").read_text(encoding="utf-8"))
    hashes = lab.ssh("mta1.example.com", "cat", "/etc/dovecot/submission-users")
    found = {
        **{f"DKIM key of {path.parent.name}": secrecy.lines_of_key(path.read_text(encoding="utf-8")) for path in keys},
        **{
            f"TLS key of {server}": secrecy.lines_of_key((lab.RUN / f"tls/{server}.key").read_text(encoding="utf-8"))
            or (lab.RUN / f"tls/{server}.key").read_text(encoding="utf-8").splitlines()[1:-1]
            for server in lab.SERVERS
        },
        "TSIG": [(lab.RUN / "tsig.secret").read_text(encoding="utf-8").strip()],
        **{
            f"password of {login}": [(lab.RUN / f"{login}.secret").read_text(encoding="utf-8").strip()]
            for login in lab.LOGINS
        },
        **{
            f"hash of {login}": [(lab.RUN / f"{login}.hash").read_text(encoding="utf-8").strip().rpartition("$")[2]]
            for login in lab.LOGINS
        },
        "password of the probe": probe,
        "hash of the probe": [re.search(r"^probe:(?:\{\S+?\})?([^:\s]+)", hashes, re.MULTILINE).group(1)],
        "password of the mailboxes": [(lab.RUN / "mailbox.secret").read_text(encoding="utf-8").strip()],
    }
    assert all(texts and all(len(text) >= 12 for text in texts) for texts in found.values()), found.keys()
    return found
