# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not ours stays: foreign values outlive publishing, are merged only where the user says so, never weakened."""

from __future__ import annotations

import dataclasses
import json
import re

import lab_runs
import lab_world as lab
import pytest

# Strings cut in odd places, octets beyond ASCII, quotes: what a value looks like that somebody else made.
FOREIGN_TXT = [
    '"google-site-verification=rXOxyZounnZasA8Z7oaD3c14JdjS9aKSWvsR1EbUSIQ"',
    '"MS=ms" "12345678"',
    '"caf\\195\\169 \\"quoted\\" \\255"',
    '"V=SPF1-like but not SPF"',
]
GOOGLE = '"v=spf1 include:_spf.google.com ~all"'
REJECT = '"v=DMARC1; p=reject; rua=mailto:owner@example.net"'
FOREIGN_MX = "5 mx.example.net."
NAMES = [("example.com", "TXT"), ("example.com", "MX"), ("_dmarc.example.com", "TXT"), ("e.example.us", "MX")]
ADOPT = ["example.com.", "_dmarc.example.com.", "e.example.us."]


@dataclasses.dataclass(frozen=True)
class Published:
    """A run, its report, and what stood at the names afterwards."""

    run: lab_runs.Run
    report: dict
    live: dict[tuple[str, str], list[str]]


def publish(folder, **variables) -> Published:
    path = folder / "report.json"
    run = lab_runs.run(variables={"sending_report": str(path), **variables})
    live = {(owner, kind): lab_runs.read(owner, kind) for owner, kind in NAMES}
    return Published(run, json.loads(path.read_text(encoding="utf-8")), live)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], list[str]]:
    """What the owner of the zone has there, before us."""
    return {
        ("example.com", "TXT"): sorted([*FOREIGN_TXT, GOOGLE]),
        ("example.com", "MX"): lab_runs.read("example.com", "MX"),
        ("_dmarc.example.com", "TXT"): [REJECT],
        ("e.example.us", "MX"): [FOREIGN_MX],
    }


@pytest.fixture(scope="module")
def world(found, tmp_path_factory):
    """A run that meets foreign values, then one that may adopt them; afterwards the zones are as they were."""
    lab.stand()
    with lab_runs.changed(*((*name, found[name]) for name in NAMES)):
        refused = publish(tmp_path_factory.mktemp("refused"))
        adopted = publish(tmp_path_factory.mktemp("adopted"), sending_dns_adopt=ADOPT)
        again = publish(tmp_path_factory.mktemp("again"), sending_dns_adopt=ADOPT)
    yield refused, adopted, again
    assert lab.play().ok().changed == 0


def test_without_adoption_nothing_foreign_changes_in_any_octet(world, found):
    refused, _adopted, _again = world
    assert refused.live == found


def test_what_is_foreign_is_a_fault_that_shows_the_merged_value(world):
    refused, _adopted, _again = world
    assert refused.run.status != 0 and refused.report["proved"] is False
    faults = {fault["subjects"][0]: fault for fault in refused.report["faults"] if fault["check"] == "records"}
    assert set(faults) == {"example.com. TXT", "_dmarc.example.com. TXT", "e.example.us. MX"}
    assert all(fault["status"] == "fail" and "sending_dns_adopt" in fault["mend"] for fault in faults.values())
    spf = merged(faults["example.com. TXT"])
    assert spf.startswith("v=spf1 include:_spf.google.com ") and spf.endswith(" ~all")
    assert all(lab_runs.passes([spf], address) for address in lab.HELO)
    assert re.search(r"\bp=reject\b", merged(faults["_dmarc.example.com. TXT"]))
    assert FOREIGN_MX in merged(faults["e.example.us. MX"])


def merged(fault: dict) -> str:
    return fault["mend"].partition("; merged: ")[2]


def test_the_other_zones_names_are_published_all_the_same(world):
    """A conflict at one name is no reason to leave the rest of the run undone."""
    refused, _adopted, _again = world
    assert {row["dkim"] for row in refused.report["paths"]} == {"ok"}
    assert len(refused.report["paths"]) == len(lab.HELO) * 2 * 2


def test_with_adoption_the_include_is_kept_and_our_addresses_are_added(world, found):
    _refused, adopted, _again = world
    adopted.run.ok()
    values = adopted.live["example.com", "TXT"]
    ours = [value for value in values if value not in found["example.com", "TXT"]]
    assert sorted([*FOREIGN_TXT, *ours]) == values, "all other values to the octet"
    (spf,) = (value.strip('"') for value in ours)
    assert spf.startswith("v=spf1 include:_spf.google.com ") and spf.endswith(" ~all")
    assert all(lab_runs.passes([spf], address) for address in lab.HELO)


def test_a_live_reject_is_not_weakened_and_its_reports_still_reach_their_owner(world):
    _refused, adopted, _again = world
    (value,) = adopted.live["_dmarc.example.com", "TXT"]
    tags = dict(part.strip().split("=", 1) for part in value.strip('"').split(";"))
    assert tags == {"v": "DMARC1", "p": "reject", "rua": "mailto:owner@example.net,mailto:dmarc@example.com"}


def test_a_foreign_mx_stays(world, found):
    refused, adopted, _again = world
    assert refused.live["example.com", "MX"] == adopted.live["example.com", "MX"] == found["example.com", "MX"]
    assert refused.live["e.example.us", "MX"] == [FOREIGN_MX]
    ours = [f"10 {server}." for server in lab.SERVERS]
    assert adopted.live["e.example.us", "MX"] == sorted([*ours, FOREIGN_MX])


def test_what_was_merged_is_found_complete(world):
    _refused, adopted, again = world
    assert again.run.ok().changed == 0
    assert again.live == adopted.live
    assert again.report["proved"] is True
