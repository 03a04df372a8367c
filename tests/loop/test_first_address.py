# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary mail leaves from the first address of each family, whichever the kernel would take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import lab_world as lab
import pytest

SERVERS = {
    "mta1.example.com": {4: "198.51.100.10", 6: "2001:db8:61::10"},
    "mta2.example.com": {4: "198.51.100.20", 6: "2001:db8:61::20"},
}
SECOND = {"mta1.example.com": "198.51.100.11", "mta2.example.com": "198.51.100.21"}
THIRD = "2001:db8:61::99"  # an address that the inventory does not know
# One receiver for each family; the other family's way to it is barred, so that Postfix takes this one.
RECEIVERS = {4: ("probe@gmail.com", "198.51.100.40"), 6: ("probe@freemail.test", "2001:db8:61::42")}
BARRED = ("2001:db8:61::40", "198.51.100.42")


def family(address: str) -> int:
    return 6 if ":" in address else 4


def ways(server: str) -> dict[str, list[str]]:
    """What is done to the routes of a server: destination -> the rest of `ip route add`."""
    source = {4: SECOND[server], 6: THIRD}
    chosen = {to: ["dev", "lab0", "src", source[number]] for number, (_mailbox, to) in RECEIVERS.items()}
    return {**chosen, **{to: [] for to in BARRED}}


@pytest.fixture(params=SERVERS)
def misled(request) -> Iterator[str]:
    """A server whose kernel takes another address than the first one, of either family."""
    server = request.param
    lab.ssh(server, "ip", "address", "add", f"{THIRD}/128", "dev", "lab0", "nodad")
    try:
        for to, way in ways(server).items():
            kind = [] if way else ["unreachable"]
            lab.ssh(server, "ip", f"-{family(to)}", "route", "add", *kind, to, *way)
        for number, (_mailbox, to) in RECEIVERS.items():
            (route,) = json.loads(lab.ssh(server, "ip", "-j", f"-{number}", "route", "get", to))
            assert route["prefsrc"] != SERVERS[server][number], "the kernel is not misled"
        yield server
    finally:
        for to, way in ways(server).items():
            kind = [] if way else ["unreachable"]
            lab.ssh(server, "ip", f"-{family(to)}", "route", "delete", *kind, to, check=False)
        lab.ssh(server, "ip", "address", "delete", f"{THIRD}/128", "dev", "lab0")


def test_receivers_see_the_first_address_of_each_family(misled):
    sent = {}
    with lab.submission(misled) as session:
        for number, (recipient, _address) in RECEIVERS.items():
            sent[number] = lab.message(recipient=recipient)
            session.send_message(sent[number], "b@e.example.com", recipient)
    for number, (recipient, _address) in RECEIVERS.items():
        arrived = lab.received(recipient, lab.nonce(sent[number]))
        assert arrived is not None
        received = str(arrived["Received"])
        assert re.findall(r"\[(?:IPv6:)?([0-9a-f.:]+)\]", received)[0] == SERVERS[misled][number], received
        assert received.startswith(f"from {misled} ")
