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
from verifying import Change, Place, Verified

OTHER_NETWORK = '"v=spf1 ip4:192.0.2.1 -all"'
NS1 = "ns1.lab.test. (198.51.100.2), ns1.lab.test. (2001:db8:61::2)"
NS2 = "ns2.lab.test. (198.51.100.3), ns2.lab.test. (2001:db8:61::3)"
DOMAINS = ("example.com", "example.us", "e.example.com", "e.example.us")
HALF = "not every name server answers: "
TO_ANSWER = f"make {NS2} answer, or take it out of the zone's NS records"
NO_WAY = {"ansible_port": 9}  # nothing listens there, so a run that reached for a server would fail


@dataclasses.dataclass(frozen=True)
class Break:
    """One thing that is wrong: what was done, whom that leaves accused, and what is said of the first of them.

    `ours` tells whether the mend is a record of the fleet's own.
    """

    changes: list[Change]
    accused: dict[Place, str]
    found: str
    cause: str
    mend: str
    ours: bool = True


@dataclasses.dataclass(frozen=True)
class Round:
    """Several breaks at once that touch no verdict of each other's, the run over them, and that after their mends."""

    breaks: dict[str, Break]
    broken: Verified
    mended: Verified
    foreign: list[str]


def wanted(owner: str, kind: str = "TXT") -> str:
    """The one value that the fleet wants at a name, as a zone file has it, in the longest strings that DNS allows."""
    records = json.loads((lab_runs.STATE / "records.json").read_text(encoding="utf-8"))
    (value,) = (each["value"] for each in records if (each["owner"], each["type"]) == (f"{owner}.", kind))
    return " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255)) if kind == "TXT" else value


def key_of(domain: str) -> str:
    """The name of a domain's key record."""
    known = json.loads((lab_runs.STATE / "keys.json").read_text(encoding="utf-8"))
    return f"{max(known[domain])}._domainkey.{domain}"


def mail_from(domain: str, status: str, *addresses: str) -> dict[Place, str]:
    return {("spf", f"{address} MAIL FROM {domain}"): status for address in addresses or lab.HELO}


def pointer(last: int) -> str:
    return f"{last}.100.51.198.in-addr.arpa"


def fingerprint(verified: Verified, domain: str) -> str:
    """What a report calls the key that a domain should have."""
    return verified.verdicts["dkim", f"{key_of(domain)}."]["expected"]


def of_the_first_round(fine: Verified) -> dict[str, Break]:
    com, us = key_of("example.com"), key_of("example.us")
    lacking = wanted("e.example.com").replace("ip4:198.51.100.20/31", "ip4:198.51.100.20")
    hosts = ("mta1.example.com.", "mta2.example.com.")
    return {
        "the PTR of an address names another host": Break(
            [(pointer(10), "PTR", ["mta2.example.com."])],
            {("ptr", "198.51.100.10"): "fail"},
            "mta2.example.com.",
            "mta2.example.com. points to 198.51.100.20, not back",
            f"have the owner of the network set {pointer(10)}. PTR mta1.example.com.",
        ),
        "an address has no PTR": Break(
            [(pointer(11), "PTR", [])],
            {("ptr", "198.51.100.11"): "absent"},
            "no such name",
            "the address has no PTR record: no such name",
            f"have the owner of the network set {pointer(11)}. PTR mta1b.example.com.",
        ),
        "a HELO name has no address": Break(
            [("mta2b.example.com", "A", [])],
            {("ptr", "198.51.100.21"): "fail"},
            "mta2b.example.com.",
            "mta2b.example.com. has no A record: no data",
            "publish mta2b.example.com. A 198.51.100.21",
        ),
        "SPF lacks an address": Break(
            [("e.example.com", "TXT", [lacking])],
            {
                **mail_from("e.example.com", "fail", "198.51.100.21"),
                **mail_from("e.example.us", "fail", "198.51.100.21"),
            },
            "fail by e.example.com: -all",
            "the address is not among those that the record passes",
            f"publish e.example.com. TXT {lacking.replace('v=spf1', 'v=spf1 ip4:198.51.100.21')} instead of {lacking}",
        ),
        "the SPF of a HELO name is gone": Break(
            [("mta1b.example.com", "TXT", [])],
            {("spf", "198.51.100.11 HELO mta1b.example.com"): "absent", ("spf record", "mta1b.example.com"): "absent"},
            "none",
            "mta1b.example.com has no SPF record: no data",
            f"publish mta1b.example.com. TXT {wanted('mta1b.example.com')}",
        ),
        "a domain has two SPF records": Break(
            [("example.us", "TXT", [wanted("example.us"), OTHER_NETWORK])],
            {**mail_from("example.us", "fail"), ("spf record", "example.us"): "fail"},
            "permerror",
            "example.us has 2 SPF records, one is allowed",
            'publish example.us. TXT "v=spf1 include:example.com ip4:192.0.2.1 -all" instead of '
            f"{wanted('example.us')} and {OTHER_NETWORK}",
        ),
        "another DKIM key is published": Break(
            [(com, "TXT", [wanted(us)])],
            {("dkim", f"{com}."): "fail"},
            fingerprint(fine, "example.us"),
            "another key is published, under which no signature of ours verifies (RFC 6376, 6.1.3)",
            f"publish {com}. TXT {wanted(com)}",
        ),
        "a DKIM key is not published": Break(
            [(us, "TXT", [])],
            {("dkim", f"{us}."): "absent"},
            "no such name",
            "no such name: there is no key (RFC 6376, 6.1.2)",
            f"publish {us}. TXT {wanted(us)}",
        ),
        "DMARC is gone": Break(
            [("_dmarc.example.com", "TXT", [])],
            {("dmarc", "example.com"): "absent"},
            "no such name",
            "there is no DMARC record at _dmarc.example.com., and none above it applies (RFC 9989, 4.10.1); large "
            "providers demand at least p=none",
            f"publish _dmarc.example.com. TXT {wanted('_dmarc.example.com')}",
        ),
        "bounces go elsewhere": Break(
            [("e.example.com", "MX", ["10 mx.gmail.com."])],
            {("mx", "e.example.com."): "fail"},
            "10 mx.gmail.com.",
            "mail goes to mx.gmail.com., and to no host of the fleet",
            "remove e.example.com. MX to mx.gmail.com.; "
            f"publish {' and '.join(f'e.example.com. MX 10 {host}' for host in hosts)}",
        ),
        "a bounce domain takes no mail": Break(
            [("e.example.us", "MX", ["0 ."])],
            {("mx", "e.example.us."): "fail"},
            "0 .",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove e.example.us. MX 0 .; "
            f"publish {' and '.join(f'e.example.us. MX 10 {host}' for host in hosts)}",
        ),
    }


def of_the_second_round(_fine: Verified) -> dict[str, Break]:
    short = wanted("example.com").replace(" ip4:198.51.100.20/31", "")
    policy = "v=DMARC1; p=none; rua=mailto:dmarc@example.com"
    return {
        "the SPF that another includes is gone": Break(
            [("e.example.com", "TXT", [])],
            {
                **mail_from("e.example.com", "absent"),
                ("spf record", "e.example.com"): "absent",
                **mail_from("e.example.us", "fail"),
                ("spf record", "e.example.us"): "fail",
            },
            "none",
            "e.example.com has no SPF record: no data",
            f"publish e.example.com. TXT {wanted('e.example.com')}",
        ),
        "SPF beside a foreign value lacks addresses": Break(
            [("example.com", "TXT", [short, '"somebody-elses=value"'])],
            {
                **mail_from("example.com", "fail", "198.51.100.20", "198.51.100.21"),
                **mail_from("example.us", "fail", "198.51.100.20", "198.51.100.21"),
            },
            "softfail by example.com: ~all",
            "the address is not among those that the record passes",
            f"publish example.com. TXT {short.replace('v=spf1', 'v=spf1 ip4:198.51.100.20/31')} instead of {short}",
        ),
        "an address has the name of another": Break(
            [
                (pointer(20), "PTR", ["mta2b.example.com."]),
                ("mta2b.example.com", "A", ["198.51.100.20", "198.51.100.21"]),
            ],
            {("ptr", "198.51.100.20"): "warn"},
            "mta2b.example.com.",
            "the address greets as mta2.example.com., which is not its name",
            f"have the owner of the network set {pointer(20)}. PTR mta2.example.com., or greet as mta2b.example.com",
        ),
        "DMARC is weaker than the inventory's": Break(
            [("_dmarc.example.com", "TXT", [f'"{policy}"'])],
            {("dmarc", "example.com"): "fail"},
            f"none: {policy} at _dmarc.example.com.",
            "the policy for the domain is none, weaker than the wanted reject",
            f'publish _dmarc.example.com. TXT "{policy.replace("none", "reject")}" instead of "{policy}"',
        ),
        "DMARC reports go to a stranger": Break(
            [("_dmarc.example.us", "TXT", ['"v=DMARC1; p=none; rua=mailto:x@freemail.test"'])],
            {("dmarc_reports", "reports about example.us to freemail.test"): "absent"},
            "no such name",
            "freemail.test has not agreed to take reports about example.us, so that none are sent (RFC 9990, 4)",
            'the owner of freemail.test publishes example.us._report._dmarc.freemail.test. TXT "v=DMARC1"',
            ours=False,
        ),
        "a sending domain takes no mail": Break(
            [("example.us", "MX", ["0 ."])],
            {("mx", "example.us."): "fail"},
            "0 .",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove example.us. MX 0 .; publish example.us. MX 10 with the name of the host that takes its mail",
            ours=False,
        ),
    }


FIRST = (
    "the PTR of an address names another host",
    "an address has no PTR",
    "a HELO name has no address",
    "SPF lacks an address",
    "the SPF of a HELO name is gone",
    "a domain has two SPF records",
    "another DKIM key is published",
    "a DKIM key is not published",
    "DMARC is gone",
    "bounces go elsewhere",
    "a bounce domain takes no mail",
)
SECOND = (
    "the SPF that another includes is gone",
    "SPF beside a foreign value lacks addresses",
    "an address has the name of another",
    "DMARC is weaker than the inventory's",
    "DMARC reports go to a stranger",
    "a sending domain takes no mail",
)


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
        verifying.spread()
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
            verifying.forget()
            found = verifying.verify(tmp_path)
        verifying.forget()
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
    assert found.accused == dict.fromkeys(accused, "unknown")
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
        verifying.forget()
        found = verifying.verify(tmp_path)
    verifying.forget()
    assert verifying.verify(tmp_path).proved
    assert_only_the_secondary(
        found, unanswered("example.us", "e.example.us"), "lame: it does not answer with authority"
    )


def test_one_name_server_that_is_silent(tmp_path):
    with verifying.mute("ns2", "knot"):
        verifying.forget()
        found = verifying.verify(tmp_path)
    verifying.forget()
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
    assert {host: counts["unreachable"] for host, counts in played.recap.items()} == dict.fromkeys(lab.SERVERS, 1)
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
