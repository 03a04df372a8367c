# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml over a fleet whose DNS is broken in one place after the other: it accuses exactly that, and nothing else.

What it says to publish is published as it stands there, and the next run proves the fleet.
"""

from __future__ import annotations

import dataclasses
import json

import breaking
import lab_runs
import lab_world as lab
import pytest
import verifying
from verify_breaks import FIRST, SECOND, Break, fingerprint, key_of, of_the_first_round, of_the_second_round, wanted
from verifying import Place, Verified

NS1 = "ns1.lab.test. (198.51.100.2), ns1.lab.test. (2001:db8:61::2)"
NS2 = "ns2.lab.test. (198.51.100.3), ns2.lab.test. (2001:db8:61::3)"
DOMAINS = ("example.com", "example.us", "e.example.com", "e.example.us")
HALF = "not every name server answers: "
TO_ANSWER = f"make {NS2} answer, or take it out of the zone's NS records"
NO_WAY = {"ansible_port": 9}  # nothing listens there, so a run that reached for a server would fail


@dataclasses.dataclass(frozen=True)
class Round:
    """Several breaks at once that touch no verdict of each other's, the run over them, and that after their mends."""

    breaks: dict[str, Break]
    broken: Verified
    mended: Verified
    foreign: list[str]


def play_round(folder, breaks: dict[str, Break], **variables) -> Round:
    """Break all, verify, do what the report says to each, verify again, and put everything back."""
    changes = [change for one in breaks.values() for change in one.changes]
    before = {(owner, kind): lab_runs.read(owner, kind) for owner, kind, _values in changes}
    with verifying.broken(*changes):
        broken = verifying.verify(folder, **variables)
        for one in breaks.values():
            if one.ours and (fault := broken.faults.get(next(iter(one.accused)))):
                verifying.put(*verifying.in_words(fault["mend"]))
            else:
                verifying.put(*((owner, kind, before[owner, kind]) for owner, kind, _values in one.changes))
        breaking.settle(*breaking.ZONES)
        mended = verifying.verify(folder, **variables)
        foreign = lab.answer("example.com", "TXT")
    return Round(breaks, broken, mended, foreign)


@pytest.fixture(scope="module")
def fine(tmp_path_factory) -> Verified:
    """A run over the finished lab, with nothing broken and no way to the servers."""
    return verifying.verify(tmp_path_factory.mktemp("fine"), **NO_WAY)


@pytest.fixture(scope="module")
def first(fine, tmp_path_factory) -> Round:
    return play_round(tmp_path_factory.mktemp("first"), of_the_first_round(fine))


@pytest.fixture(scope="module")
def second(fine, tmp_path_factory) -> Round:
    """The same for an inventory that wants a stronger policy than is published."""
    domains = breaking.Copy(lab.INVENTORY).read()["sending_domains"]
    domains[0]["dmarc"]["policy"] = "reject"
    return play_round(tmp_path_factory.mktemp("second"), of_the_second_round(fine), sending_domains=domains)


def assert_exactly(found: Round) -> None:
    """The report accuses all that the breaks leave accused, nothing else, and tells each break once."""
    expected = {place: status for one in found.breaks.values() for place, status in one.accused.items()}
    assert found.broken.accused == expected
    assert len(found.broken.told) == len(found.breaks)
    assert not found.broken.proved


def assert_told(found: Round, name: str) -> None:
    """The report says of a break what was found, why it is wrong and what mends it, the same mend at every place."""
    one = found.breaks[name]
    faults = [found.broken.faults[place] for place in one.accused]
    told = {field: faults[0][field] for field in ("found", "cause", "mend")}
    assert told == {"found": one.found, "cause": one.cause, "mend": one.mend}
    assert {fault["mend"] for fault in faults} == {one.mend}
    assert all("asked of ns1.lab.test." in fault["source"] for fault in faults)


def test_what_was_broken_first_is_accused_and_nothing_else(first):
    assert set(first.breaks) == set(FIRST)
    assert_exactly(first)


@pytest.mark.parametrize("name", FIRST)
def test_a_break_of_the_first_round_is_told(first, name):
    assert_told(first, name)


def test_what_was_broken_then_is_accused_and_nothing_else(second):
    assert set(second.breaks) == set(SECOND)
    assert_exactly(second)


@pytest.mark.parametrize("name", SECOND)
def test_a_break_of_the_second_round_is_told(second, name):
    assert_told(second, name)


def test_doing_what_the_report_says_proves_the_fleet(first, second):
    for found in (first, second):
        assert found.mended.proved and found.mended.accused == {}, found.mended.played.output[-6000:]
    assert "somebody-elses=value" in second.foreign


def test_a_key_that_one_name_server_lacks(fine, tmp_path):
    owner = key_of("example.com")
    value = wanted(owner)
    with verifying.broken((owner, "TXT", [])):
        with breaking.frozen("example.com"):
            verifying.put((owner, "TXT", [value]))
            breaking.forget()
            found = verifying.verify(tmp_path)
        breaking.forget()
        assert verifying.verify(tmp_path).proved, "the other server has it too"
    assert found.accused == {("dkim", f"{owner}."): "absent"} and not found.proved
    (fault,) = found.faults.values()
    assert fault["cause"] == (
        f"the name servers differ: {NS1}: {fingerprint(fine, 'example.com')}; "
        f"{NS2}: no such name: there is no key (RFC 6376, 6.1.2)"
    )
    assert fault["mend"] == f"make {NS2} serve the same version of the zone as {NS1}, or publish {owner}. TXT {value}"


def assert_only_the_secondary(found: Verified, accused: list[Place], cause: str) -> None:
    """The places are unknown, nothing else is said of anything, and it is one fault, the secondary's."""
    assert found.accused == dict.fromkeys(accused, "unknown"), found.played.output[-6000:]
    assert {fault["cause"] for fault in found.faults.values()} == {f"{HALF}{NS1}: answers; {NS2}: did not say: {cause}"}
    assert {fault["mend"] for fault in found.faults.values()} == {TO_ANSWER}
    assert all(NS2 in fault["source"] for fault in found.faults.values())
    assert len(found.told) == 1 and not found.proved


def unanswered(*domains: str) -> list[Place]:
    """The places of domains that need the answer of every name server."""
    return [
        *(("spf", f"TXT {domain}.") for domain in domains),
        *(("mx", f"{domain}.") for domain in domains if domain in DOMAINS),
        *(("dkim", f"{key_of(domain)}.") for domain in domains if domain in DOMAINS[:2]),
        *(("dmarc", domain) for domain in domains if domain in DOMAINS[:2]),
    ]


def test_one_name_server_that_is_lame_for_a_zone(tmp_path):
    with breaking.lame("example.us"):
        breaking.forget()
        found = verifying.verify(tmp_path)
    breaking.forget()
    assert verifying.verify(tmp_path).proved
    assert_only_the_secondary(
        found, unanswered("example.us", "e.example.us"), "lame: it does not answer with authority"
    )


def test_one_name_server_that_is_silent(tmp_path):
    with verifying.mute():
        breaking.forget()
        found = verifying.verify(tmp_path)
    breaking.forget()
    assert verifying.verify(tmp_path).proved
    accused = [*unanswered(*DOMAINS, *set(lab.HELO.values())), *(("ptr", address) for address in lab.HELO)]
    assert_only_the_secondary(found, accused, "no answer within 5 s")


def test_without_a_resolver_all_is_unknown_and_nothing_is_missing(fine, tmp_path):
    with breaking.stopped("unbound", "resolver"):
        found = verifying.verify(tmp_path)
    assert verifying.verify(tmp_path).proved
    of_dns = {place for place in fine.verdicts if place[0] != "alignment"}  # of records that nobody told
    assert found.accused == dict.fromkeys(of_dns, "unknown")
    for fault in found.faults.values():
        assert fault["cause"].startswith(f"{lab.RESOLVER} did not say: ")
        assert fault["mend"] == f"make {lab.RESOLVER} answer, then check again"
        assert fault["source"].endswith(f"asked of {lab.RESOLVER}")
    assert len(found.told) == 1 and not found.proved


def test_another_key_on_a_server_and_a_server_that_is_not_reached(tmp_path):
    copy = breaking.copy_of_the_inventory(tmp_path)
    copy.write("host_vars/mta2.example.com.yml", **NO_WAY)
    owner = key_of("example.com")
    with verifying.another_key("mta1.example.com", "example.com", owner.partition(".")[0]):
        found = verifying.verify(tmp_path, copy.path, sending_verify_deployed=True)
    wrong, unreached = ("deployed key", f"{owner}. on mta1.example.com"), ("deployed key", "mta2.example.com")
    assert found.accused == {wrong: "fail", unreached: "unknown"} and len(found.told) == 2 and not found.proved
    path = f"/etc/dkimkeys/example.com/{owner.partition('.')[0]}.pem"
    assert found.faults[wrong]["cause"] == (
        f"{path}: it is not the key whose public half is known; put that one back"
    )
    assert found.faults[wrong]["mend"] == "run site.yml, which puts the key of the controller there"
    assert found.faults[unreached]["mend"] == "make mta2.example.com answer to Ansible, then check again"
    assert found.verdicts["deployed key", f"{key_of('example.us')}. on mta1.example.com"]["status"] == "ok"


def test_the_keys_that_the_servers_hold_are_proved(tmp_path):
    found = verifying.verify(tmp_path, sending_verify_deployed=True)
    assert found.proved and found.accused == {} and found.played.changed == 0
    names = {f"{key_of(domain)}. on {server}" for domain in DOMAINS[:2] for server in lab.SERVERS}
    assert {subject for check, subject in found.verdicts if check == "deployed key"} == names


def test_a_finished_fleet_is_proved_without_reaching_a_server(fine):
    assert fine.proved and fine.accused == {} and fine.told == []
    assert fine.played.changed == 0
    checks = {"ptr", "spf", "spf record", "dkim", "dmarc", "alignment", "mx", "mta-sts", "tlsrpt"}
    assert {check for check, _subject in fine.verdicts} == checks


def test_there_was_no_way_to_a_server():
    played = lab.play(playbook=verifying.PLAYBOOK, variables={**NO_WAY, "sending_verify_deployed": True})
    assert {host: counts["rescued"] for host, counts in played.recap.items()} == dict.fromkeys(lab.SERVERS, 1)
    assert played.status != 0


def test_nothing_is_written_but_the_report(tmp_path):
    copy = breaking.copy_of_the_inventory(tmp_path)
    (copy.state / "verify.json").unlink(missing_ok=True)
    before, zones = copy.files(), {zone: breaking.serial(zone) for zone in breaking.ZONES}
    lab.play(inventory=copy.path, playbook=verifying.PLAYBOOK, variables=NO_WAY).ok()
    after = copy.files()
    assert json.loads(after.pop("state/verify.json"))["proved"]
    assert after == before
    assert {zone: breaking.serial(zone) for zone in breaking.ZONES} == zones
