# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No packet and no question of a whole run leaves the lab, and none is sent where the way to the lab is another one.

What is sent on purpose is sent in network namespaces of the tests' own, whose uplinks lead nowhere.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import apart
import lab_world as lab
import pytest
import watching

PLAN = watching.plan
QUESTION = "b'\\0' * 5 + b'\\1' + b'\\0' * 6 + {wire!r} + b'\\0\\1\\0\\1'"
SEND = "import socket as s; u = s.socket(s.{family}, s.SOCK_DGRAM); {bind}u.sendto({data}, ({to!r}, {port}))"


def test_nothing_of_a_whole_run_is_on_another_interface_of_this_machine(second):
    seen = second.machine
    assert seen.lab[apart.PORT] > 500, "the watch did not even see the run"
    assert seen.elsewhere(*second.interfaces) == {}
    assert seen.questions == {}
    assert seen.strangers == {}, "somebody in the lab spoke to the outside"
    assert seen.lost == 0


def test_the_controller_of_a_whole_run_speaks_with_the_lab_alone(second):
    seen = second.controller
    assert seen.lab["lab0"] > 500, "the watch did not even see the run"
    assert set(seen.lab) == {"lab0"}
    assert seen.strangers == {}, "the run sent something to the outside"
    assert seen.questions == {}, "the run asked the system's resolver"
    assert seen.lost == 0


@pytest.fixture
def beside() -> Iterator[apart.Namespace]:
    """A namespace that has nothing to do with the lab, though an interface of it is called as the lab's."""
    with apart.namespace() as made:
        made.ip("link", "add", "lab0", "type", "veth", "peer", "name", "wire")
        made.ip("link", "set", "wire", "up")
        made.give("lab0", "198.51.100.250/24", "2001:db8:61::250/64")
        yield made


def send(namespace: apart.Namespace, to: str, port: int = 9, data: str = "b'x'", bind: str = "") -> None:
    """Send one datagram in a namespace, from an address if one is given."""
    family = "AF_INET6" if ":" in to else "AF_INET"
    bound = f"u.bind(({bind!r}, 0)); " if bind else ""
    code = SEND.format(family=family, bind=bound, data=data, to=to, port=port)
    apart.run(*namespace.enter, sys.executable, "-c", code)


def watched(namespace: apart.Namespace, *datagrams: dict, everything: bool = False) -> watching.Seen:
    """What a watch sees of datagrams, each at every end of the cable that it goes by."""
    with watching.Watch("lab0", "wire", everything=everything, enter=namespace.enter) as watch:
        for datagram in datagrams:
            send(namespace, **datagram)
    return watch.seen


@pytest.mark.parametrize("to", apart.OUTSIDE)
def test_the_watch_sees_a_packet_that_leaves_a_controller(beside, to):
    seen = watched(beside, {"to": to}, {"to": to}, everything=True)
    assert seen.strangers == {"uplink": 2, "beyond": 2}
    assert seen.lab == seen.questions == {}


@pytest.mark.parametrize(("source", "to"), list(zip(apart.OWN, apart.OUTSIDE)))
def test_the_watch_sees_an_address_of_the_lab_on_another_interface(beside, source, to):
    """As a node's packet would be on this machine's uplink."""
    seen = watched(beside, {"to": to, "bind": source})
    assert seen.elsewhere("lab0", "wire") == {"uplink": 1, "beyond": 1}


@pytest.mark.parametrize("everything", [False, True])
def test_the_watch_sees_a_stranger_on_the_labs_wire(beside, everything):
    beside.ip("route", "add", "203.0.113.99", "dev", "lab0")
    beside.ip("neighbour", "add", "203.0.113.99", "lladdr", "02:00:00:00:00:01", "dev", "lab0")
    seen = watched(beside, {"to": "203.0.113.99", "bind": "198.51.100.250"}, everything=everything)
    assert seen.strangers == {"lab0": 1, "wire": 1}


@pytest.mark.parametrize("to", [*apart.OUTSIDE, "127.0.0.53"])
def test_the_watch_sees_questions_about_the_lab(beside, to):
    names = ("mta1.example.com", "EXAMPLE.us", "10.100.51.198.in-addr.arpa", "mx.gmail.com")
    questions = [QUESTION.format(wire=watching.wire(name)) for name in names]
    seen = watched(beside, *({"to": to, "port": 53, "data": question} for question in questions))
    assert seen.questions == ({"lo": 8} if to.startswith("127.") else {"uplink": 4, "beyond": 4})


def test_the_watch_does_not_mind_what_others_ask_and_what_the_lab_does(beside):
    beside.ip("neighbour", "add", "198.51.100.2", "lladdr", "02:00:00:00:00:01", "dev", "lab0")
    question, another = (QUESTION.format(wire=watching.wire(name)) for name in ("mta1.example.com", "www.debian.org"))
    seen = watched(
        beside,
        {"to": "198.51.100.2", "port": 53, "data": question},
        {"to": apart.OUTSIDE[0], "port": 53, "data": another},
        {"to": apart.OUTSIDE[0], "port": 443, "data": question},
    )
    assert seen.lab == {"lab0": 1, "wire": 1}
    assert seen.questions == seen.strangers == {}


# --- where the way to the lab is not its own bridge


def lab_program(namespace: apart.Namespace, verb: str) -> subprocess.CompletedProcess:
    """Run the lab's program in a namespace."""
    command = [*namespace.enter, sys.executable, str(lab.LAB / "lab.py"), verb]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def astray() -> Iterator[apart.Namespace]:
    """A namespace with a bridge that is called as the lab's, and an uplink; nothing of either leads to the lab."""
    bridge = watching.network.bridge()
    with apart.namespace() as made:
        made.ip("link", "add", bridge, "type", "bridge", "mcast_snooping", "0")  # else it reports itself (IGMP)
        made.ip("link", "add", "cable", "type", "veth", "peer", "name", "end")
        made.ip("link", "set", "cable", "master", bridge, "up")
        made.ip("link", "set", "end", "up")
        made.give(bridge, *(f"{gateway}/{net.prefixlen}" for gateway, net in zip(PLAN.GATEWAYS, PLAN.SUBNETS)))
        yield made


def complaints(done: subprocess.CompletedProcess) -> list[str]:
    """The addresses that a run of the lab's program named, which must have stopped it."""
    first, *lines, _mend = done.stderr.splitlines()
    assert done.returncode == 1 and first.startswith("lab.py: stopped before the first packet"), done.stderr
    return [line.strip() for line in lines]


@pytest.mark.parametrize("verb", ["check-route", "reset"])
def test_the_lab_stops_where_one_address_is_reached_by_the_uplink(astray, verb):
    assert lab_program(astray, "check-route").returncode == 0
    astray.ip("route", "add", "198.51.100.40", "dev", "uplink")
    with watching.Watch("nothing", everything=True, enter=astray.enter) as watch:
        done = lab_program(astray, verb)
    assert complaints(done) == ["198.51.100.40: by uplink"]
    assert watch.seen.lab == watch.seen.strangers == {}, "something was sent"


def test_the_lab_stops_where_everything_is_reached_by_the_uplink(astray):
    astray.ip("link", "delete", watching.network.bridge())
    told = complaints(lab_program(astray, "reset"))
    assert told == [f"{address}: by uplink" for node in PLAN.NODES for address in node.addresses]


def test_the_lab_stops_where_there_is_no_way_at_all(astray):
    astray.ip("-6", "route", "add", "unreachable", "2001:db8:61::40")
    (told,) = complaints(lab_program(astray, "reset"))
    assert told.startswith("2001:db8:61::40: ") and "RTNETLINK answers" in told
