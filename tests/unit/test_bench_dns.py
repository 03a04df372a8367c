# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cases of bench/dns in a small form: ours and the others give the right answers, however long it takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "dns"))

import cases
import others
import worlds
from served import Served

FLEET = worlds.Fleet(servers=4, addresses=5, domains=3, resolver="127.0.0.1")
CASES = cases.cases(FLEET, 20)


@pytest.fixture(scope="module")
def server():
    with Served(cases.zones(FLEET, 20, "127.0.0.1")) as served:
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
