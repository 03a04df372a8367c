# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the frames of a host or a network namespace on all interfaces: is something of the lab where it must not be?

As a program it watches until its standard input ends, and writes what it saw as JSON: so it can be entered into a
namespace, and does not take turns with the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))  # the lab's modules stand beside lab.py

import network
import plan

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
# Where source and destination stand in an Ethernet frame.
ADDRESSES_AT = {IPV4: ((26, 30), (30, 34)), IPV6: ((22, 38), (38, 54)), ARP: ((28, 32), (38, 42))}
SUBNETS = tuple(subnet.network_address.packed[: subnet.prefixlen // 8] for subnet in plan.SUBNETS)
# Nobody's: the unspecified address, link-local and multicast ones, and broadcasts (RFC 5735, RFC 4291).
NOBODYS = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xa9\xfe", *(bytes([224 + n]) for n in range(16)))
NOBODYS6 = (bytes(16), b"\xfe\x80", b"\xff")
# Zones of the lab, and hosts of zones that others on this machine may have reason to ask for themselves.
REAL = ("gmail.com", "google.com", "orange.fr", "wanadoo.fr")
NAMES = (*(zone for zone in plan.ZONES if zone not in (".", *REAL)), "lab.test", "mx.gmail.com", "mx.orange.fr")
UDP, TCP = 17, 6
SNAP = 1600
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33  # linux/if_packet.h, asm-generic/socket.h


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a watch saw, each by interface: how many frames.

    ``lab`` those with an address of the lab; ``questions`` those of DNS with a name of the lab on interfaces that are
    not the lab's; ``strangers`` those with an address that is not the lab's: on the lab's own interfaces, and where
    everything counts on all others but lo. ``lost`` frames came too fast to be looked at.
    """

    lab: dict[str, int]
    questions: dict[str, int]
    strangers: dict[str, int]
    lost: int

    def elsewhere(self, *own: str) -> dict[str, int]:
        """Frames with an address of the lab on other interfaces than these."""
        return {interface: count for interface, count in self.lab.items() if interface not in own}


class Watch:
    """Watches while the `with` statement lasts; ``seen`` is there afterwards."""

    def __init__(self, *own: str, everything: bool = False, enter: tuple[str, ...] = ()) -> None:
        """The lab's own interfaces; whether every frame on others counts; what enters a namespace."""
        options = ["--everything"] if everything else []
        self.command = [*enter, sys.executable, str(Path(__file__)), *options, *own]
        self.seen: Seen

    def __enter__(self) -> Watch:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "watching\n"
        return self

    def __exit__(self, *_error: object) -> None:
        told, _none = self.process.communicate(timeout=60)
        self.seen = Seen(**json.loads(told))


def of_the_lab() -> tuple[str, ...]:
    """The lab's interfaces on this host: the bridge, and the ends of its nodes' cables."""
    bridge = network.bridge()
    ends = json.loads(subprocess.check_output(["ip", "-j", "link", "show", "master", bridge]))
    return (bridge, *(each["ifname"] for each in ends))


def wire(name: str) -> bytes:
    """A name as questions have it (RFC 1035 3.1)."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\x00"


WIRES = tuple(map(wire, NAMES))


class Count:
    """Looks at frames one after another."""

    def __init__(self, own: list[str], everything: bool) -> None:
        self.own, self.everything = frozenset(own), everything
        self.lab: Counter[str] = Counter()
        self.questions: Counter[str] = Counter()
        self.strangers: Counter[str] = Counter()

    def look(self, frame: bytes, interface: str, kind: int) -> None:
        """Look at one frame: its bytes, where it was seen, and its EtherType."""
        nobodys = NOBODYS6 if kind == IPV6 else NOBODYS
        addresses = [frame[start:end] for start, end in ADDRESSES_AT.get(kind, ())]
        if any(address.startswith(SUBNETS) for address in addresses):
            self.lab[interface] += 1
        own = interface in self.own
        looked_at = own or (self.everything and interface != "lo")
        if looked_at and not all(address.startswith((*SUBNETS, *nobodys)) for address in addresses):
            self.strangers[interface] += 1
        if not own and self.asks(frame, kind):
            self.questions[interface] += 1

    @staticmethod
    def asks(frame: bytes, kind: int) -> bool:
        """Whether a frame is to or from port 53 and has a name of the lab in it."""
        if kind == IPV4:
            protocol, start = frame[23], 14 + (frame[14] & 15) * 4
        elif kind == IPV6:
            protocol, start = frame[20], 54
        else:
            return False
        if protocol not in (UDP, TCP) or 53 not in struct.unpack_from("!HH", frame.ljust(start + 4, b"\x00"), start):
            return False
        text = frame[start:].lower()
        return any(name in text for name in WIRES)


def main() -> None:
    """Watch until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--everything", action="store_true", help="count all frames on other interfaces")
    parser.add_argument("own", nargs="*", help="an interface of the lab")
    arguments = parser.parse_args()
    count = Count(arguments.own, arguments.everything)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as packets:
        packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        print("watching", flush=True)
        waiting = selectors.DefaultSelector()
        waiting.register(packets, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        ends = float("inf")
        while (left := ends - time.monotonic()) > 0:
            ready = [key.fileobj for key, _mask in waiting.select(min(left, 60))]
            if sys.stdin in ready:  # what has come meanwhile is still looked at
                waiting.unregister(sys.stdin)
                ends = time.monotonic() + 0.5
            if packets in ready:
                frame, (interface, kind, *_rest) = packets.recvfrom(SNAP)
                count.look(frame, interface, kind)
        packets.setblocking(False)  # and what a busy machine has left no time for
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, (interface, kind, *_rest) = packets.recvfrom(SNAP)
                count.look(frame, interface, kind)
        lost = struct.unpack("II", packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    print(json.dumps({"lab": count.lab, "questions": count.questions, "strangers": count.strangers, "lost": lost}))


if __name__ == "__main__":
    main()
