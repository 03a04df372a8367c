# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expand, move, contract: while a fleet shrinks and grows, DNS accepts the old and the new one at every moment."""

from __future__ import annotations

import dataclasses
import json
import shutil

import lab_runs
import lab_world as lab
import pytest
import yaml

STAYS, GOES = "mta1.example.com", "mta2.example.com"
OWNERS = ("example.com", "e.example.com")
STAYING = [address for address, helo in lab.HELO.items() if helo.startswith("mta1")]
GOING = [address for address, helo in lab.HELO.items() if helo.startswith("mta2")]


@dataclasses.dataclass(frozen=True)
class Watched:
    """A run, and the TXT values that were sampled while it went on: (time, owner, values)."""

    run: lab_runs.Run
    samples: list[tuple[float, str, list[str]]]

    def first(self, owner: str, passing: bool) -> float:
        """When the server that goes and joins was first seen to pass, or not to, all its addresses alike."""
        return next(time for time, name, values in self.samples if name == owner and let_pass(values, GOING) is passing)

    def end(self, module: str, host: str | None = None) -> float:
        return max(task.end for task in self.run.of(module, host))

    def phase(self, which: str) -> lab_runs.Task:
        """The run's first or second call of dns_records."""
        expand, contract = self.run.of("dns_records")
        return {"expand": expand, "contract": contract}[which]


def let_pass(values: list[str], addresses: list[str]) -> bool:
    """Whether SPF names all of a server's addresses; some and not others would be neither fleet."""
    named = {lab_runs.passes(values, address) for address in addresses}
    assert len(named) == 1, values
    return named.pop()


def watched(**options) -> Watched:
    with lab_runs.sampled(*OWNERS) as samples:
        run = lab_runs.run(**options)
    run.ok()
    return Watched(run, samples)


# Where a server's name or addresses stand besides the SPF of domains.
NAMED = [
    ("mta2.example.com", "A"),
    ("mta2.example.com", "AAAA"),
    ("mta2.example.com", "TXT"),
    ("mta2b.example.com", "A"),
    ("20.100.51.198.in-addr.arpa", "PTR"),
    ("e.example.com", "MX"),
    ("e.example.us", "MX"),
]


@dataclasses.dataclass(frozen=True)
class Unproved:
    """A run that could not prove what stays, what stood in DNS after it, its report, and check mode then."""

    run: lab_runs.Run
    spf: dict[str, list[str]]
    named: dict[tuple[str, str], list[str]]
    report: dict
    checked: lab_runs.Run


def nobodys_mailbox() -> list[dict]:
    """A mailbox whose receiver signs its results with another name than expected: no probe to it succeeds."""
    variables = yaml.safe_load((lab.INVENTORY / "group_vars/sending_servers.yml").read_text(encoding="utf-8"))
    return [{**variables["sending_probe_mailboxes"][0], "authserv_id": "mx.nobody.test"}]


def unproved(inventory) -> Unproved:
    run = lab_runs.run(inventory=inventory, variables={"sending_probe_mailboxes": nobodys_mailbox()})
    spf = {owner: lab.answer(owner, "TXT") for owner in OWNERS}
    named = {(owner, kind): lab_runs.read(owner, kind) for owner, kind in NAMED}
    report = json.loads((inventory / ".mailfleet/state/report.json").read_text(encoding="utf-8"))
    return Unproved(run, spf, named, report, lab_runs.run("--check", inventory=inventory))


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    """A fleet with an inventory, state and secrets of its own shrinks to mta1, and grows back to what the lab's is.

    At first what stays cannot be proved.
    """
    lab.stand()
    folder = tmp_path_factory.mktemp("shrunk")
    inventory, whole = folder / "inventory", folder / "whole.yml"
    shutil.copytree(lab.INVENTORY, inventory)
    (folder / "run").symlink_to(lab.RUN)
    (inventory / "hosts.yml").rename(whole)
    hosts = yaml.safe_load(whole.read_text(encoding="utf-8"))
    del hosts["sending_servers"]["hosts"][GOES]
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    with lab_runs.restored(*((owner, "TXT") for owner in OWNERS), *NAMED):
        before = unproved(inventory)
        shrunk = watched(inventory=inventory)
        after = {(owner, kind): lab_runs.read(owner, kind) for owner, kind in NAMED}
        # So that there is something for Postfix on the joining server to do.
        lab.ssh(GOES, "postconf", "-e", "throttle_destination_rate_delay=5s")
        whole.rename(inventory / "hosts.yml")
        grown = watched(inventory=inventory)
    yield before, shrunk, after, grown
    assert lab.play().ok().changed == 0


@pytest.fixture(scope="module")
def world(fleets):
    """The fleet that shrank, what DNS said then, and the fleet that grew back."""
    return fleets[1:]


def test_nothing_goes_while_what_stays_is_not_proved(fleets):
    unproved = fleets[0]
    assert unproved.run.status != 0 and "NOT PROVED" in unproved.run.output
    for owner in OWNERS:
        assert let_pass(unproved.spf[owner], STAYING) and let_pass(unproved.spf[owner], GOING)
    assert all(unproved.named.values())
    assert "10 mta2.example.com." in unproved.named["e.example.com", "MX"]
    assert unproved.named["20.100.51.198.in-addr.arpa", "PTR"] == ["mta2.example.com."]
    removed = [values for _added, values, _ttl in lab_runs.records(unproved.run).values() if values]
    assert not removed


def test_what_did_not_go_is_reported_with_the_reason_and_what_mends_it(fleets):
    unproved = fleets[0]
    told = [verdict for verdict in unproved.report["verdicts"] if verdict["check"] == "removal"]
    subjects = {subject for verdict in told for subject in verdict["subjects"]}
    assert {
        "mta2.example.com. A 198.51.100.20",
        "20.100.51.198.in-addr.arpa. PTR mta2.example.com.",
        "e.example.com. MX 10 mta2.example.com.",
    } <= subjects
    (spf,) = [subject for subject in subjects if subject.startswith("example.com. TXT ")]
    assert lab_runs.passes([spf.partition(" TXT ")[2].strip('"')], lab.SERVERS[GOES])
    for verdict in told:
        assert verdict["status"] == "warn" and "received fail: mta1.example.com" in verdict["cause"]
        assert "run again" in verdict["mend"]


def test_check_mode_lists_what_goes_once_what_stays_is_proved(fleets):
    unproved, shrunk, _after, _grown = fleets
    unproved.checked.ok()
    assert lab_runs.records(unproved.checked) == lab_runs.records(shrunk.run) != {}
    assert "whether what stays is proved" in " ".join(unproved.checked.output.split())


@pytest.mark.parametrize("owner", OWNERS)
def test_there_is_no_moment_without_an_spf_that_lets_the_remaining_server_pass(world, owner):
    for watched in (world[0], world[2]):
        samples = [values for _time, name, values in watched.samples if name == owner]
        assert len(samples) > 30
        for values in samples:
            assert sum(value.startswith("v=spf1") for value in values) == 1, values
            assert let_pass(values, STAYING), values


@pytest.mark.parametrize("owner", OWNERS)
def test_a_server_that_leaves_passes_until_the_others_are_proved(world, owner):
    shrunk, _after, _grown = world
    expand, contract = shrunk.phase("expand"), shrunk.phase("contract")
    removed = [value for zone in expand.result["zones"] for change in zone["changes"] for value in change["removed"]]
    assert not removed, "the first phase only adds"
    gone = shrunk.first(owner, passing=False)
    assert shrunk.end("mail_probe") <= contract.start <= gone
    for time, name, values in shrunk.samples:
        if name == owner:
            assert let_pass(values, GOING) is (time < gone), "it went once, and did not come back"
    assert not let_pass(last(shrunk, owner), GOING)


def last(watched: Watched, owner: str) -> list[str]:
    return [values for _time, name, values in watched.samples if name == owner][-1]


def test_nothing_names_a_server_that_has_left(world):
    _shrunk, after, _grown = world
    kept = {key: values for key, values in after.items() if values}
    assert kept == {
        ("e.example.com", "MX"): ["10 mta1.example.com."],
        ("e.example.us", "MX"): ["10 mta1.example.com."],
    }


@pytest.mark.parametrize("owner", OWNERS)
def test_a_server_that_joins_passes_before_its_postfix_changes(world, owner):
    _shrunk, _after, grown = world
    on_it = grown.run.of("postfix_config", GOES)
    assert any(task.result["changed"] for task in on_it)
    assert grown.phase("expand").end <= min(task.start for task in on_it)
    assert grown.first(owner, passing=False) < grown.first(owner, passing=True) <= min(task.start for task in on_it)
    assert let_pass(last(grown, owner), GOING)


def test_the_order_can_be_read_in_the_output(world):
    for watched in (world[0], world[2]):
        said = [
            watched.run.output.index(f": {name}]")
            for name in (
                "Publish the records",
                "See that every authoritative server serves the keys",
                "Install the configuration",
                "Send a signed message from every address and read what its receiver says of it",
                "Remove the records that nothing needs any more",
            )
        ]
        assert said == sorted(said)


def test_what_left_and_came_back_is_what_was_there(world):
    names = {(owner, kind): lab_runs.read(owner, kind) for owner, kind in NAMED}
    assert names["mta2.example.com", "A"] == [lab.SERVERS[GOES]]
    assert names["20.100.51.198.in-addr.arpa", "PTR"] == ["mta2.example.com."]
    assert names["e.example.com", "MX"] == ["10 mta1.example.com.", "10 mta2.example.com."]
    assert all(names.values())
