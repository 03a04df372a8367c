# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of bench/dns in a small form: ours and the others give the right answers, however long it takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS, Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_fleet import Wanted, verify_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "dns"))

import cases
import others
import worlds
from served import Served

FLEET = worlds.Fleet(servers=4, addresses=5, domains=3, resolver="127.0.0.1")
CASES = cases.cases(FLEET, 20)


@pytest.fixture(scope="module")
def server():
    addresses = "127.0.0.1", "127.0.0.2"
    with Served(cases.zones(FLEET, 20, addresses), addresses) as served:
        yield served


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ours_and_the_others_are_right(case, server):
    server.latency(0)
    with Lookup([Server(server.address, server.port)], authority_port=server.port) as lookup:
        assert case.ours(lookup) == case.expected
    asked = server.latency(0)
    assert case.other(others.resolver(server.address, server.port), case.some) == [case.items[key] for key in case.some]
    # What cannot be avoided is part of what we ask; some have an answer in common, as the servers of networks.
    assert 0 < sum(case.steps) <= asked + 3
    assert len(case.some) == -(-len(case.items) // case.share)


def test_deep_records_pass_some_and_not_all():
    assert [sorted(case.expected) for case in CASES[:2]] == [["fail", "ok"]] * 2


def verify(zones, wanted=None):
    """Return the findings on the fleet, and how many questions they took."""
    addresses = "127.0.0.1", "127.0.0.2"
    desired = FLEET.desired
    with (Served(zones, addresses) as server,
          Lookup([Server(server.address, server.port)], authority_port=server.port) as lookup):
        found = verify_fleet(lookup, wanted or Wanted(
            [Address(**item) for item in desired["addresses"]], desired["mail_domains"],
            [Key(**item) for item in desired["public_keys"]], [Subject(**item) for item in desired["policies"]],
            [Receiver(**item) for item in desired["receivers"]]))
        return found, server.latency(0)


@pytest.mark.parametrize("name", cases.FLEETS)
def test_fleets_are_at_fault_in_what_they_should_be(name):
    change, status = cases.FLEETS[name]
    found, asked = verify(change(cases.zones(FLEET, 0, ("127.0.0.1", "127.0.0.2"))))
    assert {verdict.status.value for verdict in found.verdicts if verdict.check == "spf"} == {status}
    assert "unknown" not in {verdict.status.value for verdict in found.verdicts}
    assert {verdict.check for verdict in found.verdicts if verdict.status.value == "absent"} >= (
        {"ptr", "spf", "dkim", "dmarc"} if status == "absent" else set())
    if status == "ok":
        assert {verdict.status.value for verdict in found.verdicts} == {"ok"}
        # The least is part of what we ask, and reckoned without it.
        assert 0.5 * asked < sum(cases.steps_of(FLEET)) <= asked


def test_every_check_may_have_a_name_of_its_own():
    desired = FLEET.desired
    domains = [domain["domain"] for domain in desired["domains"]]
    wanted = Wanted([Address(**item) for item in desired["addresses"]], domains)
    found, asked = verify(worlds.by_name(cases.zones(FLEET, 0, ("127.0.0.1", "127.0.0.2"))), wanted)
    checks = [verdict for verdict in found.verdicts if verdict.check == "spf"]
    assert {verdict.status.value for verdict in checks} == {"ok"}
    assert "exists:%{i}._listed.%{d}" in checks[0].found
    assert 20 * (3 + 1) < sum(cases.steps_of_names(FLEET, domains)) <= asked


def test_round_trips_are_counted_step_by_step():
    assert cases.rounds_of((1, WORKERS, WORKERS + 1, 0)) == 1 + 1 + 2
