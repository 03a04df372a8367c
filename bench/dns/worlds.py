# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked about: records whose trees are deep, and a fleet with all the records that it should have."""

from __future__ import annotations

import base64
import datetime
import functools
import ipaddress
import random

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.desired_records import desired_records
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet

FIRST = ipaddress.ip_address("198.18.0.0")  # networks for measuring (RFC 2544)
FIRST_V6 = ipaddress.ip_address("2001:db8::")
INCLUDES = 5
DATE = datetime.date(2026, 11, 23)
SELECTOR = f"m{DATE:%Y%m%d}"


def clients(count: int) -> dict[str, bool]:
    """Return addresses, and whether the deep records pass them: all but the first tenth."""
    return {str(FIRST + number): number >= count / 10 for number in range(count)}


def deep(name: str, macros: bool, count: int, nameserver: str) -> dict:
    """Return the zone of a name whose SPF record passes clients(count) behind five includes, one in the other.

    The innermost names the addresses, or looks each up by a macro.
    """
    passed = [address for address, passes in clients(count).items() if passes]
    names = {name: {"NS": [nameserver], "TXT": [f"v=spf1 include:i1.{name} -all"]}}
    for level in range(1, INCLUDES):
        text = f"v=spf1 ip4:203.0.113.{level} include:i{level + 1}.{name} -all"
        names[f"i{level}.{name}"] = {"TXT": [text]}
    terms = [f"exists:%{{i}}.list.{name}"]
    if macros:
        names |= {f"{address}.list.{name}": {"A": ["127.0.0.2"]} for address in passed}
    else:
        terms = [f"ip4:{network}" for network in ipaddress.collapse_addresses(map(ipaddress.ip_network, passed))]
    names[f"i{INCLUDES}.{name}"] = {"TXT": [" ".join(["v=spf1", *terms, "-all"])]}
    return {name: names}


class Fleet:
    """Servers with addresses, and domains, of which one in twenty is a main one that the others include."""

    def __init__(self, servers: int, addresses: int, domains: int, resolver: str) -> None:
        self.hosts = {
            f"mta{server:03}.fleet.example": {"sending_addresses": [
                {"address": str(FIRST + server * (addresses - 1) + number if number else FIRST_V6 + server),
                 "helo": f"mta{server:03}-{number}.fleet.example"} for number in range(addresses)]}
            for server in range(servers)
        }
        self.variables = {
            "sending_domains": [_domain(number) for number in range(domains)],
            "sending_dns_resolvers": [resolver],
        }

    @property
    def inventory(self) -> dict:
        """Return what Ansible reads as an inventory."""
        return {"sending_servers": {"hosts": self.hosts, "vars": self.variables}}

    @functools.cached_property
    def keys(self) -> dict:
        """Return the state's keys, one for each domain, all of which receivers know."""
        return {domain["name"]: {SELECTOR: {"public": _public_key(number), "created": str(DATE), "scope": "fleet",
                                            "server": None, "seen": str(DATE)}}
                for number, domain in enumerate(self.variables["sending_domains"])}

    @functools.cached_property
    def desired(self) -> dict:
        """Return the desired state that DNS is verified by."""
        return desired_state(read_fleet(self.variables, self.hosts), self.keys, (), DATE, dns_only=True)

    def zones(self, nameserver: str, address: str) -> dict:
        """Return the zones of the fleet, all at one server of that name and address.

        They hold the wanted records, and what a fleet takes for granted: MX of the domains, the consent of the one who
        gets the reports.
        """
        zones = {zone: {zone: {"NS": [nameserver]}} for zone in ["", "fleet.example", *self._reverse_zones()]}
        zones["fleet.example"] |= {nameserver.removesuffix("."): {"A": [address]},
                                   "mx.fleet.example": {"A": [str(FIRST - 1)]}}
        for name in self.keys:
            zones[name] = {name: {"NS": [nameserver], "MX": ["10 mx.fleet.example."]}}
            zones["fleet.example"][f"{name}._report._dmarc.fleet.example"] = {"TXT": ["v=DMARC1"]}
        keys = [(entry["domain"], entry["selector"], entry["public"]) for entry in self.desired["public_keys"]]
        for record in desired_records(read_fleet(self.variables, self.hosts), keys):
            owner = record.owner.removesuffix(".")
            labels = owner.split(".")
            zone = next(parent for at in range(len(labels)) if (parent := ".".join(labels[at:])) in zones)
            zones[zone].setdefault(owner, {}).setdefault(record.type, []).append(record.value)
        return zones

    def _reverse_zones(self) -> set[str]:
        addresses = [ipaddress.ip_address(entry["address"]) for entry in self.desired["addresses"]]
        labels = {4: 1, 6: 16}  # a /24, and a /64
        return {address.reverse_pointer.split(".", labels[address.version])[-1] for address in addresses}


def _domain(number: int) -> dict:
    name, main = f"brand{number:03}.example", f"brand{number // 20 * 20:03}.example"
    spf = {} if name == main else {"spf": {"include": [main]}}
    return {"name": name, "bounce_domain": f"e.{name}",
            "dmarc": {"policy": "reject", "rua": ["dmarc@fleet.example"]}, **spf}


def _public_key(number: int) -> str:
    """Return an RSA key of 2048 bits as SubjectPublicKeyInfo in base64. Nobody has its private half."""
    modulus = random.Random(number).getrandbits(2048) | 1 << 2047 | 1
    key = _der(0x30, _der(0x02, b"\0" + modulus.to_bytes(256, "big")) + _der(0x02, b"\x01\x00\x01"))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")  # rsaEncryption (RFC 3279, 2.3.1)
    return base64.b64encode(_der(0x30, algorithm + _der(0x03, b"\0" + key))).decode("ascii")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x80 + (size.bit_length() + 7) // 8]) + size.to_bytes(
        (size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content
