# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of verify.yml over a DNS that was broken on purpose: what their reports accuse, and what mends it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import breaking
import lab_runs
import lab_world as lab

PLAYBOOK = lab.ROOT / "playbooks/verify.yml"
Place = tuple[str, str]  # a check and one of its subjects
Change = tuple[str, str, list[str]]  # a name, a type, and all values there as a zone file has them
_RECORD = re.compile(r'(\S+)\. (?:(TXT) ("[^"]*"(?: "[^"]*")*)|(PTR|A|AAAA|MX) ((?:\d+ )?[^\s;,"]+))')


@dataclasses.dataclass(frozen=True)
class Verified:
    """A run of verify.yml and the report that it wrote."""

    played: lab.Played
    report: dict

    @property
    def verdicts(self) -> dict[Place, dict]:
        """Every verdict by its places."""
        return _by_place(self.report["verdicts"])

    @property
    def faults(self) -> dict[Place, dict]:
        """The verdicts that are not ok, by their places."""
        return _by_place(self.report["faults"])

    @property
    def accused(self) -> dict[Place, str]:
        """The statuses of all that is not ok."""
        return {place: fault["status"] for place, fault in self.faults.items()}

    @property
    def told(self) -> list[str]:
        """The faults that the text counts: the first line of each."""
        return re.findall(r"^\d+\. (.*)$", self.played.output, re.MULTILINE)

    @property
    def proved(self) -> bool:
        """Whether exit status, text and report say that all is well."""
        said = {self.played.status == 0, "\nPROVED: " in self.played.output, self.report["proved"]}
        assert len(said) == 1, self.played.output[-6000:]
        return said.pop()


def _by_place(verdicts: Iterable[dict]) -> dict[Place, dict]:
    return {(verdict["check"], subject): verdict for verdict in verdicts for subject in verdict["subjects"]}


def verify(folder: Path, inventory: Path = lab.INVENTORY, **variables: object) -> Verified:
    """Run verify.yml, with its report in a folder of the test's."""
    path = folder / "verify.json"
    path.unlink(missing_ok=True)
    played = lab.play(
        inventory=inventory, playbook=PLAYBOOK, variables={**variables, "sending_verify_report": str(path)}
    )
    assert path.exists(), played.output[-6000:]
    return Verified(played, json.loads(path.read_text(encoding="utf-8")))


@contextlib.contextmanager
def broken(*changes: Change) -> Iterator[None]:
    """Other values at several names, at once everywhere, and then what was there."""
    with breaking.zones_put_back():
        publish(*changes)
        yield
    breaking.forget()


def publish(*changes: Change) -> None:
    """Put values at several names in place of those that are there, at once everywhere."""
    put(*changes)
    breaking.settle(*breaking.ZONES)


def put(*changes: Change) -> None:
    """Put values at several names of the primary in place of those that are there."""
    for owner, kind, values in changes:
        added = (("add", f"{owner}.", kind, value) for value in values)
        lab.change(lab_runs.zone_of(owner), ("delete", f"{owner}.", kind), *added)


def in_words(mend: str) -> list[Change]:
    """The records that a mend says to publish, in place of all of their kind.

    Of TXT values these are those with the version that the records have; what else stands at the name stays.
    """
    published: dict[tuple[str, str], list[str]] = {}
    for match in _RECORD.finditer(re.sub(r"^remove .*?; (?=publish )", "", mend.partition(" instead of ")[0])):
        owner, *found = filter(None, match.groups())
        published.setdefault((owner, found[0]), []).append(found[1])
    assert published, mend
    return [(owner, kind, _beside(owner, kind) + values) for (owner, kind), values in published.items()]


def _beside(owner: str, kind: str) -> list[str]:
    return [value for value in lab_runs.read(owner, kind) if kind == "TXT" and not value.startswith('"v=')]


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """The secondary takes what the controller asks and answers nothing for a while.

    The resolver is answered as before: one that meets a silent server may need longer than it is waited for, which is
    a fault of its own.
    """

    def ways(change: str) -> None:
        for controller in lab.CONTROLLER:
            breaking.inside("ns2", "ip", "route", change, "blackhole", controller)

    ways("add")
    try:
        yield
    finally:
        ways("delete")


@contextlib.contextmanager
def another_key(server: str, domain: str, selector: str) -> Iterator[None]:
    """Another private key where a server has one of the fleet's, and then that one again."""
    path = f"/etc/dkimkeys/{domain}/{selector}.pem"
    lab.ssh(server, "cp", "-p", path, f"{path}.before")
    try:
        lab.ssh(server, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        yield
    finally:
        lab.ssh(server, "mv", f"{path}.before", path)
