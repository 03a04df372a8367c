# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bench/dns measures is right, at a size that takes no time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup

sys.path.insert(0, str(Path(__file__).parents[2] / "bench/dns"))

import cases
import worlds
from nameserver import Nameserver

COUNT = 5
ADDRESS = "127.0.0.61"
FLEET = worlds.Fleet(2, 2, 2, ADDRESS)
CASES = cases.cases(FLEET, COUNT)


@pytest.fixture(scope="module")
def server():
    with Nameserver(cases.zones(FLEET, COUNT, ADDRESS), address=ADDRESS) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_right(server, case):
    with Lookup([server.server], authority_port=server.port) as lookup:
        assert case.ours(lookup) == case.expected
