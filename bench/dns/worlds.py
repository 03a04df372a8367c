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
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.mailfleet.sending.plugins.module_utils.desired import desired_state
from ansible_collections.mailfleet.sending.plugins.module_utils.desired_records import desired_records
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf

FIRST = ipaddress.ip_address("198.18.0.0")  # networks for measuring (RFC 2544)
FIRST_V6 = ipaddress.ip_address("2001:db8::")
INCLUDES = 5
DATE = datetime.date(2026, 11, 23)
SELECTOR = f"m{DATE:%Y%m%d}"


def clients(count: int) -> dict[str, bool]:
    """Return addresses, and whether the deep records pass them: all but the first tenth."""
    return {str(FIRST + number): number >= count / 10 for number in range(count)}


def deep(name: str, macros: bool, count: int, nameservers: Iterable[str]) -> dict:
    """Return the zone of a name whose SPF record passes clients(count) behind five includes, one in the other.

    The innermost names the addresses, or looks each up by a macro.
    """
    passed = [address for address, passes in clients(count).items() if passes]
    names = {name: {"NS": [*nameservers], "TXT": [f"v=spf1 include:i1.{name} -all"]}}
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

    @property
    def cuts(self) -> list[str]:
        """Return the names of its zones."""
        return ["fleet.example", *sorted(self._reverse_zones()), *self.keys]

    def zones(self, nameservers: Mapping[str, str]) -> dict:
        """Return the zones of the fleet and the root, all at servers with these names and addresses.

        They hold the wanted records, and what a fleet takes for granted: MX of the domains, the consent of the one who
        gets the reports.
        """
        zones = {zone: {zone: {"NS": [*nameservers]}} for zone in ["", *self.cuts]}
        zones["fleet.example"] |= {name.removesuffix("."): {"A": [at]} for name, at in nameservers.items()}
        zones["fleet.example"] |= {"mx.fleet.example": {"A": [str(FIRST - 1)]}}
        for name in self.keys:
            zones[name][name]["MX"] = ["10 mx.fleet.example."]
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


def lacking(zones: dict) -> dict:
    """Return the zones with nothing in them but their name servers."""
    hosts = {name.removesuffix(".") for names in zones.values() for types in names.values()
             for name in types.get("NS", ())}
    return {zone: {owner: {"NS": types["NS"]} if owner == zone else types for owner, types in names.items()
                   if owner == zone or owner in hosts} for zone, names in zones.items()}


def twice(zones: dict) -> dict:
    """Return the zones with a second SPF record beside each."""
    return _with_spf(zones, lambda owner, text: [text, "v=spf1 -all"])


def looping(zones: dict) -> dict:
    """Return the zones with SPF records of which each includes another, or itself, and so on without end."""
    def other(owner: str) -> str:
        return owner.removeprefix("e.") if owner.startswith("e.") else f"e.{owner}" if "brand" in owner else owner

    return _with_spf(zones, lambda owner, _text: [f"v=spf1 include:{other(owner)} -all"])


def by_name(zones: dict) -> dict:
    """Return the zones with SPF records that look up a name of its own for each address and domain (served.LISTED)."""
    return _with_spf(zones, lambda _owner, _text: ["v=spf1 exists:%{i}._listed.%{d} -all"])


def _with_spf(zones: dict, make: Callable[[str, str], list[str]]) -> dict:
    def changed(owner: str, types: dict) -> dict:
        texts = [new for text in types.get("TXT", ()) for new in (make(owner, text) if is_spf(text) else [text])]
        return types | ({"TXT": texts} if texts else {})

    return {zone: {owner: changed(owner, types) for owner, types in names.items()} for zone, names in zones.items()}


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
