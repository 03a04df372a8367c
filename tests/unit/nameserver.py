# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real authoritative DNS server inside the test process: UDP and TCP on loopback, with faults on demand.

    with Nameserver({"example.com": {"example.com": {"TXT": ["v=spf1 -all"]}, "www.example.com": {"A": ["192.0.2.1"]}}},
                    faults={("www.example.com", "AAAA"): "timeout"}) as server:
        Lookup([server.server]).ask("www.example.com", "A")

Zones and names are written without their last dot, the root as "". SOA and NS are made up where a zone has none. A
fault is of a (name, type), or of a name (then of all its types), or of "*": see FAULTS. It may also be a function that
takes the query and the answer, both as dnspython's messages, and returns what is sent, as messages or bytes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import busy
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

FAULTS = {
    "timeout": "no answer at all",
    "first lost": "no answer to the first datagram for this question, then the answer",
    "servfail": "rcode SERVFAIL",
    "refused": "rcode REFUSED",
    "formerr edns": "rcode FORMERR to queries with EDNS, the answer to others",
    "truncated": "cut over UDP, whole over TCP",
    "truncated for ever": "cut over UDP and TCP",
    "truncated, no tcp": "cut over UDP, the TCP connection is closed at once",
    "wrong id": "the answer under another identifier",
    "wrong id first": "a datagram with another identifier, then the answer",
    "other question": "the answer to another question",
    "garbage": "bytes that are no message",
    "garbage first": "bytes that are no message, then the answer",
    "cut": "the first half of the answer, without the bit that says so",
    "lame": "a referral to the root, without authority",
    "other address": "the answer, sent from another port",
    "tcp never ends": "cut over UDP; over TCP one byte of the answer after another, slowly",
}
TTL = 60
NEGATIVE_TTL = 30


def rdata(rdtype: str, value: object) -> dns.rdata.Rdata:
    """Return the value as dnspython's, TXT from str, bytes or a list of strings."""
    if rdtype in ("TXT", "SPF"):
        strings = value if isinstance(value, (list, tuple)) else cut(value)
        strings = [item.encode("utf-8") if isinstance(item, str) else item for item in strings] or [b""]
        wire = b"".join(bytes([len(item)]) + item for item in strings)
        kind = dns.rdatatype.from_text(rdtype)
        return dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire))
    text = " ".join(str(item) or "." for item in value) if isinstance(value, (list, tuple)) else str(value)
    return dns.rdata.from_text("IN", rdtype, text, origin=dns.name.root, relativize=False)


def cut(value: str | bytes) -> list[bytes]:
    """Return the strings of at most 255 bytes that a long TXT is written as."""
    data = value.encode("utf-8") if isinstance(value, str) else value
    return [data[at : at + 255] for at in range(0, len(data), 255)] or [b""]


def _upwards(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """Yield a name and all above it, the root last."""
    yield name
    while name != dns.name.root:
        name = name.parent()
        yield name


class Nameserver:
    """See the module.

    C(latency) is seconds before each answer; C(remember) has answers written once, so that who asks is measured and not
    this server: ask everything once before the clock runs. C(asked) counts questions by (name, type), C(tcp) those over
    TCP, and C(again) those that were sent again, which a busy machine makes more of. C(most_at_once) is how many
    datagrams waited for their answers at the same time.
    """

    running: dict[tuple[str, int], Nameserver] = {}

    def __init__(
        self,
        zones: dict[str, dict[str, dict[str, list]]],
        faults: dict | None = None,
        latency: float = 0.0,
        address: str = "127.0.0.1",
        port: int = 0,
        remember: bool = False,
    ) -> None:
        self.zones = {
            self._name(zone): {self._name(owner): self._sets(types) for owner, types in names.items()}
            for zone, names in zones.items()
        }
        self.zones_as_given = zones
        self.faults = faults or {}
        self.latency = latency
        self.address, self.port = address, port
        self.asked: Counter[tuple[str, str]] = Counter()
        self.tcp: Counter[tuple[str, str]] = Counter()
        self.again: Counter[tuple[str, str]] = Counter()
        self.most_at_once = 0
        self._heard: set[tuple[bytes, bool]] = set()
        self._unanswered: set[bytes] = set()
        self.remember = remember
        self._known: dict[tuple[bytes, bool], tuple[tuple[str, str], bytes]] = {}
        self._names: dict[dns.name.Name, set[dns.name.Name]] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nameserver", daemon=True)

    @property
    def server(self) -> Server:
        return Server(self.address, self.port)

    @property
    def queries(self) -> int:
        """Return how many questions came over UDP and TCP, each counted once however often it was sent."""
        return sum(self.asked.values())

    def change(self, zone: str, owner: str, **types: list) -> None:
        """Give a name other values while the server runs."""
        self.zones[self._name(zone)][self._name(owner)] = self._sets(types)
        self._known.clear()
        self._names.clear()

    def __enter__(self) -> Nameserver:
        self._thread.start()
        if not self._ready.wait(busy.PATIENCE):
            raise RuntimeError("the name server did not start")
        self.running[self.address, self.port] = self
        return self

    def __exit__(self, *_error: object) -> None:
        self.running.pop((self.address, self.port), None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(busy.PATIENCE)

    @staticmethod
    def _name(text: str) -> dns.name.Name:
        return dns.name.from_text(text.encode("utf-8") or b".")

    @staticmethod
    def _sets(types: dict[str, list]) -> dict:
        return {
            dns.rdatatype.from_text(rdtype): [rdata(rdtype, value) for value in values]
            for rdtype, values in types.items()
        }

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        stream, datagrams = busy.bound(self.address, self.port)
        self.port = stream.getsockname()[1]
        datagrams.setblocking(False)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, sock=stream))
        transport, _protocol = self._loop.run_until_complete(
            self._loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        )
        self._ready.set()
        self._loop.run_forever()
        transport.close()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            query = await reader.readexactly(length)
            for answer in self.answers(query, over_tcp=True):
                await asyncio.sleep(self.latency)
                data = len(answer).to_bytes(2, "big") + answer
                slow = "tcp never ends" in self.faults.values()
                for piece in [data[at : at + 1] for at in range(len(data))] if slow else [data]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.05 if slow else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    @staticmethod
    def _key(query: dns.message.Message) -> tuple[str, str]:
        question = query.question[0]
        return question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)

    def fault(self, query: dns.message.Message) -> object:
        """Return the fault that the query meets, None without one."""
        key = self._key(query)
        fault = self.faults.get(key) or self.faults.get(key[0]) or self.faults.get("*")
        if fault and not callable(fault) and fault not in FAULTS:
            raise ValueError(fault)
        return fault

    def answers(self, wire: bytes, over_tcp: bool) -> list[bytes]:
        """Return what is sent in answer to a query."""
        known = self._known.get((wire[2:], over_tcp))
        if known and not self.faults:
            key, answer = known
            self._count(key, wire, over_tcp)
            return [wire[:2] + answer[2:]]
        query = dns.message.from_wire(wire)
        question = query.question[0]
        key = self._key(query)
        is_first = self._count(key, wire, over_tcp)
        fault = self.fault(query)
        if callable(fault):
            sent = fault(query, self._answer(query, None))
            if not sent:
                self._unanswered.add(wire)
            return [item if isinstance(item, bytes) else item.to_wire(max_size=65535) for item in sent]
        if fault == "timeout" or (fault == "first lost" and is_first):
            if fault == "timeout":
                self._unanswered.add(wire)
            return []
        answer = self._answer(query, fault)
        if fault == "other question":
            answer.question = [dns.rrset.RRset(dns.name.from_text("other.example."), 1, question.rdtype)]
        whole = answer.to_wire(max_size=65535)
        limit = 65535 if over_tcp else max(512, query.payload if query.edns >= 0 else 512)
        truncated = fault == "truncated for ever" or (str(fault).startswith(("truncated", "tcp")) and not over_tcp)
        if truncated or len(whole) > limit:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC | dns.flags.AA
            whole = short.to_wire()
        elif over_tcp and fault == "truncated, no tcp":
            return []
        if self.remember and not fault:
            self._known[wire[2:], over_tcp] = key, whole
        other = bytes([whole[0] ^ 0xFF]) + whole[1:]
        return {
            "wrong id": [other],
            "wrong id first": [other, whole],
            "garbage": [whole[:2] + b"\x80rubbish" * 3],
            "garbage first": [whole[:3] + b"\xc0" * 20, b"", whole],
            "cut": [whole[: len(whole) // 2 + 6]],
        }.get(fault, [whole])

    def leaves_unanswered(self, wire: bytes) -> bool:
        """Return whether it is by a fault where no answer, or no whole one, comes to a query."""
        fault = self.fault(dns.message.from_wire(wire))
        everywhere = {"other address", "tcp never ends"} & {each for each in self.faults.values() if not callable(each)}
        return fault == "timeout" or wire in self._unanswered or bool(everywhere)

    def _count(self, key: tuple[str, str], wire: bytes, over_tcp: bool) -> bool:
        """Count a question and return whether it came for the first time: one that is sent again has its identifier."""
        is_first = (wire, over_tcp) not in self._heard
        self._heard.add((wire, over_tcp))
        self.tcp[key] += is_first and over_tcp
        (self.asked if is_first else self.again)[key] += 1
        return is_first

    def _answer(self, query: dns.message.Message, fault: str | None) -> dns.message.Message:
        answer = dns.message.make_response(query)
        question = query.question[0]
        if fault == "lame":
            answer.authority.append(dns.rrset.from_text(".", TTL, "IN", "NS", "a.root.example."))
            return answer
        if fault in ("servfail", "refused"):
            answer.set_rcode(dns.rcode.SERVFAIL if fault == "servfail" else dns.rcode.REFUSED)
            return answer
        if fault == "formerr edns" and query.edns >= 0:
            answer = dns.message.make_response(query)
            answer.use_edns(False)
            answer.set_rcode(dns.rcode.FORMERR)
            return answer
        at = question.name
        seen = set()
        while True:
            if not seen and (cut := self._cuts(at)):
                answer.authority += cut
                answer.additional += self._glue(at, cut)
                return answer
            zone = self._zone(at)
            if zone is None:
                if not seen:
                    answer.set_rcode(dns.rcode.REFUSED)
                return answer
            answer.flags |= dns.flags.AA
            names = self.zones[zone]
            types = names.get(at, {})
            found = types.get(question.rdtype) or self._made_up(zone, at, question.rdtype)
            if found:
                answer.answer.append(dns.rrset.from_rdata_list(at, TTL, found))
                return answer
            alias = types.get(dns.rdatatype.CNAME)
            moved = next((owner for owner in names if dns.rdatatype.DNAME in names[owner]
                          and at != owner and at.is_subdomain(owner)), None)
            if not alias and moved is not None:
                # The CNAME that a server should make of it (RFC 6672, 3.1) is left out: resolvers have to cope.
                answer.answer.append(dns.rrset.from_rdata_list(moved, TTL, names[moved][dns.rdatatype.DNAME]))
                return answer
            if not alias or at in seen:
                break
            seen.add(at)
            answer.answer.append(dns.rrset.from_rdata_list(at, TTL, alias))
            at = alias[0].target
        if at not in seen and at != zone and at not in self._existing(zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if at not in seen:
            soa = names.get(zone, {}).get(dns.rdatatype.SOA) or self._made_up(zone, zone, dns.rdatatype.SOA)
            answer.authority.append(dns.rrset.from_rdata_list(zone, TTL, soa))
        return answer

    def _cuts(self, name: dns.name.Name) -> list[dns.rrset.RRset]:
        """Return the delegation that the name stands under, where this server does not have the zone below itself."""
        zone = self._zone(name)
        found = []
        while zone is not None and name != zone:
            if servers := self.zones[zone].get(name, {}).get(dns.rdatatype.NS):
                found = [dns.rrset.from_rdata_list(name, TTL, servers)]
            name = name.parent()
        return found

    def _glue(self, name: dns.name.Name, cut: list[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
        """Return the addresses of the servers of a delegation, as far as they stand beside it."""
        names = self.zones[self._zone(name)]
        return [dns.rrset.from_rdata_list(value.target, TTL, found) for rrset in cut for value in rrset
                for rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
                if (found := names.get(value.target, {}).get(rdtype))]

    def _zone(self, name: dns.name.Name) -> dns.name.Name | None:
        """Return the longest zone that holds the name."""
        return next((parent for parent in _upwards(name) if parent in self.zones), None)

    def _existing(self, zone: dns.name.Name) -> set[dns.name.Name]:
        """Return the names of a zone, those between them and the zone included (RFC 8020, 2)."""
        if zone not in self._names:
            self._names[zone] = {parent for owner in self.zones[zone] for parent in _upwards(owner)}
        return self._names[zone]

    @staticmethod
    def _made_up(zone: dns.name.Name, at: dns.name.Name, rdtype: int) -> list:
        if at != zone:
            return []
        if rdtype == dns.rdatatype.SOA:
            return [rdata("SOA", f"ns.invalid. h.invalid. 1 1 1 1 {NEGATIVE_TTL}")]
        return [rdata("NS", "ns.invalid.")] if rdtype == dns.rdatatype.NS else []


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, nameserver: Nameserver) -> None:
        self.nameserver = nameserver
        self.waiting = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        elsewhere = "other address" in self.nameserver.faults.values()
        for answer in self.nameserver.answers(data, over_tcp=False):
            send = self._from_elsewhere if elsewhere else self.transport.sendto
            self.waiting += 1
            self.nameserver.most_at_once = max(self.nameserver.most_at_once, self.waiting)
            asyncio.get_running_loop().call_later(self.nameserver.latency, self._send, send, answer, addr)

    def _send(self, send: Callable, answer: bytes, addr: tuple) -> None:
        self.waiting -= 1
        if not self.transport.is_closing():
            send(answer, addr)

    def _from_elsewhere(self, answer: bytes, addr: tuple) -> None:
        with socket.socket(self.transport.get_extra_info("socket").family, socket.SOCK_DGRAM) as other:
            other.sendto(answer, addr)
