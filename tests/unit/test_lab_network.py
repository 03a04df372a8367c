# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab stops before its first packet where a lab address is not reached by the lab's own bridge."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))   # the lab's modules stand beside lab.py

import network
import plan
from shell import LAB, LabError, Progress

spec = importlib.util.spec_from_file_location("lab_program", LAB / "lab.py")
lab = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lab)

BRIDGE = "podman7"
ADDRESSES = [address for node in plan.NODES for address in node.addresses]
ASTRAY = {
    "another device": ([{"dev": "eth0"}], 0, "", "by eth0"),
    "a bridge of another network": ([{"dev": "podman0"}], 0, "", "by podman0"),
    "the bridge, by a gateway": ([{"dev": BRIDGE, "gateway": "198.51.100.254"}], 0, "", f"by {BRIDGE}"),
    "no way": (None, 2, "RTNETLINK answers: Network is unreachable", "RTNETLINK answers: Network is unreachable"),
    "an answer without a device": ([{"type": "unreachable"}], 0, "", ""),
    "no answer": (None, 0, "", ""),
}


@pytest.fixture
def kernel(monkeypatch):
    """A kernel whose ways to the lab's addresses a test sets; what it was asked. Nothing of this host is asked."""
    ways = {address: ([{"dst": address, "dev": BRIDGE}], 0, "") for address in ADDRESSES}
    asked = []

    def answer(command, **_options):
        assert command[:-1] == ["ip", "-j", "route", "get"]
        asked.append(command[-1])
        routes, status, complaint = ways[command[-1]]
        return subprocess.CompletedProcess(command, status, json.dumps(routes) if routes else "", complaint)

    monkeypatch.setattr(network, "attempt", answer)
    monkeypatch.setattr(network, "bridge", lambda: BRIDGE)
    return ways, asked


def test_every_address_is_asked_for(kernel):
    _ways, asked = kernel
    assert network.check_route() == len(ADDRESSES)
    assert asked == ADDRESSES


@pytest.mark.parametrize("address", [ADDRESSES[0], "2001:db8:61::30", ADDRESSES[-1]])
@pytest.mark.parametrize("case", ASTRAY)
def test_one_address_that_goes_astray_stops_the_lab_and_is_named(kernel, case, address):
    ways, asked = kernel
    *ways[address], told = ASTRAY[case]
    with pytest.raises(LabError) as stopped:
        network.check_route()
    lines = str(stopped.value).splitlines()
    assert lines[0].startswith("stopped before the first packet") and BRIDGE in lines[0]
    assert lines[1:-1] == [f"  {address}: {told}"]
    assert "remove that route" in lines[-1]
    assert asked == ADDRESSES, "all that go astray are named at once"


@pytest.mark.parametrize("case", ASTRAY)
def test_all_that_go_astray_are_named(kernel, case):
    ways, _asked = kernel
    *way, told = ASTRAY[case]
    ways.update(dict.fromkeys(ways, way))
    with pytest.raises(LabError) as stopped:
        network.check_route()
    assert str(stopped.value).splitlines()[1:-1] == [f"  {address}: {told}" for address in ADDRESSES]


def test_without_a_network_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(network, "attempt", lambda command: subprocess.CompletedProcess(command, 125, "", "no network"))
    with pytest.raises(LabError, match="the lab is not up"):
        network.check_route()


@pytest.fixture
def doings(monkeypatch, kernel):
    """What the program does to the lab, in its order, while the kernel leads one address away. Nothing of it is done.

    A test says in what state the containers are.
    """
    done = []

    def noted(name, result=None):
        return lambda *_arguments: (done.append(name), result)[1]

    for name in ("create", "start", "wait", "prepare", "put", "execute", "remove"):
        monkeypatch.setattr(lab.nodes, name, noted(name))
    for module in (lab.material, lab.images):
        monkeypatch.setattr(module, "ensure_all", noted("ensure"))
    monkeypatch.setattr(lab, "attempt", lambda command: noted(command[3], subprocess.CompletedProcess([], 0))())
    monkeypatch.setattr(lab.network, "is_right", lambda: True)
    monkeypatch.setattr(lab.nodes, "units_down", lambda _node: [])
    monkeypatch.setattr(lab.nodes, "definition", lambda _node: "as planned")
    monkeypatch.setattr(lab, "wait_for_dns", noted("question"))
    monkeypatch.setattr(lab, "forget_runs", noted("forget"))
    ways, _asked = kernel
    ways["198.51.100.2"] = ([{"dev": "eth0"}], 0, "")
    return done


# What makes a packet: a container that runs, and a question.
SENDING = {"start", "wait", "prepare", "execute", "question"}


def in_state(state: str) -> dict[str, tuple[str, str]]:
    """All containers in one state, none where that is absent."""
    return {node.container: (state, "as planned") for node in plan.NODES if state != "absent"}


@pytest.mark.parametrize("state", ["absent", "exited", "running"])
@pytest.mark.parametrize("verb", ["up", "reset", "check-route"])
def test_no_node_starts_and_no_question_is_asked(doings, monkeypatch, verb, state):
    monkeypatch.setattr(lab.nodes, "present", lambda: in_state(state))
    with pytest.raises(LabError, match=r"198\.51\.100\.2: by eth0"):
        lab.VERBS[verb](Progress())
    assert not SENDING & set(doings)
    assert ("create" in doings) is (verb == "up" and state == "absent")


@pytest.mark.parametrize(("state", "made"), [("absent", "create"), ("exited", "init")])
def test_where_the_way_is_right_they_do(doings, kernel, monkeypatch, state, made):
    ways, _asked = kernel
    ways["198.51.100.2"] = ([{"dev": BRIDGE}], 0, "")
    monkeypatch.setattr(lab.nodes, "present", lambda: in_state(state))
    lab.up(Progress())
    assert doings.index(made) < doings.index("start") < doings.index("question")
