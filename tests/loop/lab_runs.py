# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a playbook with what every task returned, DNS sampled meanwhile, and zones changed for a while."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import breaking
import dns.message
import dns.query
import dns.rdatatype
import lab_world as lab

STATE = lab.INVENTORY / ".mailfleet/state"
SECRETS = lab.INVENTORY / ".mailfleet/secrets"
PROBE = Path(__file__).with_name("probe.yml")
APPLY = Path(__file__).with_name("apply_layers.yml")
CALLBACKS = Path(__file__).with_name("callbacks")


@dataclasses.dataclass(frozen=True)
class Task:
    """What a task did on a host: its result as callbacks see it, and when it began and ended (seconds since 1970)."""

    host: str
    task: str
    action: str
    status: str
    start: float
    end: float
    result: dict

    @property
    def module(self) -> str:
        """The action without its collection."""
        return self.action.rpartition(".")[2]


@dataclasses.dataclass(frozen=True)
class Run(lab.Played):
    """A run with the results of its tasks in the order in which they ended."""

    tasks: tuple[Task, ...]

    def of(self, module: str, host: str | None = None) -> list[Task]:
        """The tasks of a module that were not skipped, on one host or all."""
        return [
            task
            for task in self.tasks
            if task.module == module and task.status != "skipped" and host in (None, task.host)
        ]


def run(*arguments: str, environment: dict[str, str] | None = None, **options) -> Run:
    """As `lab_world.play`, with what every task returned."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results")
        path.touch()
        enabled = ",".join(filter(None, ["results", (environment or {}).get("ANSIBLE_CALLBACKS_ENABLED")]))
        played = lab.play(
            *arguments,
            environment={
                **(environment or {}),
                "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
                "ANSIBLE_CALLBACKS_ENABLED": enabled,
                "LOOP_RESULTS": str(path),
            },
            **options,
        )
        lines = path.read_text(encoding="utf-8").splitlines()
    return Run(played.status, played.output, tuple(Task(**json.loads(line)) for line in lines))


def records(made: Run) -> dict[tuple[str, str], tuple]:
    """What the tasks of a run say that they did to DNS, or would do: (owner, type) -> (added, removed, ttl)."""
    return {
        (change["owner"], change["type"]): (change["added"], change["removed"], change["ttl"])
        for task in made.of("dns_records")
        for zone in task.result["zones"]
        for change in zone["changes"]
    }


def apply(server: str, layer: dict, *arguments: str, **variables: object) -> Run:
    """Apply a layer of the tests' own on one server beside those that stand; an empty one removes it."""
    layers = {"loop_layers": {"loop": layer}, **variables}
    return run("--limit", server, *arguments, playbook=APPLY, variables=layers)


def failure(made: Run, server: str, module: str = "postfix_config") -> str:
    """The message of the one task of a run that failed."""
    assert made.status != 0
    (task,) = [task for task in made.tasks if task.status == "failed"]
    assert (task.host, task.module) == (server, module)
    return task.result["msg"]


def probe(folder: Path) -> tuple[Run, dict]:
    """Send the probes and report on them, without anything that would publish or configure; the run and its report."""
    path = folder / "report.json"
    made = run(playbook=PROBE, variables={"loop_report": str(path)})
    return made, json.loads(path.read_text(encoding="utf-8"))


def read(owner: str, kind: str, server: str = lab.PRIMARY) -> list[str]:
    """The values at a name as a zone file has them: TXT values with the borders of their strings."""
    reply = dns.query.tcp(dns.message.make_query(owner, kind), server, timeout=lab.PATIENCE)
    wanted = dns.rdatatype.from_text(kind)
    return sorted(value.to_text() for rrset in reply.answer for value in rrset if rrset.rdtype == wanted)


def zone_of(owner: str) -> str:
    """The lab's zone that a name of the fleet belongs to."""
    reverse = {"in-addr.arpa": "100.51.198.in-addr.arpa", "ip6.arpa": "8.b.d.0.1.0.0.2.ip6.arpa"}
    parent = ".".join(owner.split(".")[-2:])
    return reverse.get(parent, parent)


@contextlib.contextmanager
def restored(*names: tuple[str, str]) -> Iterator[None]:
    """Put back what stands at names (owner, type), as far as it has become something else."""
    before = [(owner, kind, read(owner, kind)) for owner, kind in names]
    try:
        yield
    finally:
        if back := [(owner, kind, values) for owner, kind, values in before if read(owner, kind) != values]:
            put(*back)


@contextlib.contextmanager
def changed(*changes: tuple[str, str, list[str]]) -> Iterator[None]:
    """Other values (as a zone file has them) at several names (owner, type, values), and then what was there."""
    with restored(*((owner, kind) for owner, kind, _values in changes)):
        put(*changes)
        yield


def put(*changes: tuple[str, str, list[str]]) -> None:
    """Replace the values at several names behind the collection's back, and wait until everybody sees it."""
    for owner, kind, values in changes:
        lab.change(
            zone_of(owner),
            ("delete", f"{owner}.", kind),
            *(("add", f"{owner}.", kind, value) for value in values),
        )
    breaking.settle(*{zone_of(owner) for owner, _kind, _values in changes})
    if any("._domainkey." in owner for owner, _kind, _values in changes):
        time.sleep(lab.TTL + 1)  # the receivers' OpenDKIM keeps keys by itself


def passes(values: list[str], address: str) -> bool:
    """Whether the only SPF record among TXT values names an address, as nothing but RFC 7208 5.6 says."""
    (record,) = (value for value in values if value.split()[:1] == ["v=spf1"])
    networks = [
        ipaddress.ip_network(term[4:], strict=False) for term in record.split() if term.startswith(("ip4:", "ip6:"))
    ]
    one = ipaddress.ip_address(address)
    return any(one in network for network in networks if network.version == one.version)


@contextlib.contextmanager
def sampled(*owners: str) -> Iterator[list[tuple[float, str, list[str]]]]:
    """Ask the primary for the TXT values of names again and again meanwhile: (time of the answer, owner, values)."""
    samples: list[tuple[float, str, list[str]]] = []
    over = threading.Event()
    broken: list[Exception] = []

    def sample() -> None:
        try:
            while not over.wait(0.1):
                for owner in owners:
                    values = lab.answer(owner, "TXT")  # which may take long, and is of any moment of it
                    samples.append((time.time(), owner, values))
        except Exception as error:  # shown by the thread that waits
            broken.append(error)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
    assert not broken, broken
