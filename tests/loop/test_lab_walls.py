# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab keeps to itself: nodes have no way out, and the host's way to them is the lab's own bridge."""

from __future__ import annotations

import json
import subprocess

import lab_world as lab
import pytest

NODES = ("ns1", "ns2", "resolver", "mta1", "mta2", "app", "gmail", "orange", "freemail")


@pytest.mark.parametrize("node", NODES)
def test_no_node_has_a_default_route(node):
    for family in ("-4", "-6"):
        done = subprocess.run(
            ["podman", "exec", f"mailfleet-lab-{node}", "ip", family, "-j", "route", "show", "default"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout or "[]") == []


@pytest.mark.parametrize("address", [*lab.SERVERS.values(), lab.PRIMARY, lab.RESOLVER, "2001:db8:61::10"])
def test_the_way_to_the_lab_is_its_own_bridge(address):
    route = json.loads(
        subprocess.run(["ip", "-j", "route", "get", address], capture_output=True, text=True, check=True).stdout
    )[0]
    uplink = json.loads(
        subprocess.run(["ip", "-j", "route", "show", "default"], capture_output=True, text=True, check=True).stdout
    )
    assert route["dev"] not in {each["dev"] for each in uplink}
