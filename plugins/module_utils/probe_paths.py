# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out of a fleet that are probed: each address by itself, and the mail of each pool of addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import probe_sender

_TEXT = {"type": "str", "required": True}
# Where messages are submitted, an address's way out, and a pool's, as Ansible's argument specs have them.
SUBMISSION = {
    **dict.fromkeys(("server", "host"), _TEXT),
    "port": {"type": "int", "default": 587},
    "tls_name": {"type": "str"},
    "ca_file": {"type": "path"},
    "verify": {"type": "bool", "default": True},
}
PATH = dict.fromkeys(("server", "transport", "address", "helo"), _TEXT)
POOL = {
    **dict.fromkeys(("server", "pool", "domain", "sender"), _TEXT),
    "outlets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": dict.fromkeys(("address", "helo"), _TEXT),
    },
}


@dataclass(frozen=True)
class Domain:
    """A domain that mail is sent from, and the domain of its return paths."""

    domain: str
    bounce_domain: str


@dataclass(frozen=True)
class Outlet:
    """An address that mail leaves from, and the HELO name that it shows."""

    address: str
    helo: str


@dataclass(frozen=True)
class Path:
    """One way out of the fleet: a server's address, the transport that sends from it, the HELO name it must show."""

    server: str
    transport: str
    address: str
    helo: str

    @property
    def name(self) -> str:
        """Return how verdicts name it, behind the server."""
        return self.address

    def sender(self, bounce_domain: str) -> str:
        """Return the envelope sender, by which the server chooses the transport and so the address."""
        return probe_sender(self.transport, bounce_domain)

    @property
    def family(self) -> str:
        """Return "ipv4" or "ipv6"."""
        return f"ipv{ipaddress.ip_address(self.address).version}"

    @property
    def others(self) -> tuple[str, ...]:
        """Return the addresses besides the first that it may leave from: none."""
        return ()

    def outlet(self, _address: str) -> Outlet:
        """Return the address that the receiver must see, and its HELO name."""
        return Outlet(self.address, self.helo)


@dataclass(frozen=True)
class PoolPath:
    """The way that ordinary mail of a pool takes: Postfix chooses one of the pool's addresses by the sender."""

    server: str
    pool: str
    envelope_sender: str
    outlets: tuple[Outlet, ...]

    @property
    def name(self) -> str:
        """Return how verdicts name it, behind the server."""
        return f"pool {self.pool}"

    def sender(self, _bounce_domain: str) -> str:
        """Return the envelope sender, by which the server chooses the pool."""
        return self.envelope_sender

    @property
    def family(self) -> str:
        """Return "": Postfix chooses the address, and so the family."""
        return ""

    @property
    def others(self) -> tuple[str, ...]:
        """Return the addresses besides the first that it may leave from."""
        return tuple(outlet.address for outlet in self.outlets[1:])

    def outlet(self, address: str) -> Outlet:
        """Return the outlet with an address, else the first one."""
        return next((outlet for outlet in self.outlets if outlet.address == address), self.outlets[0])


def read_pool(entry: Mapping[str, Any]) -> tuple[PoolPath, Domain]:
    """Return the way that an entry by the specs of POOL tells, and the domain that it is proved with."""
    outlets = tuple(Outlet(**outlet) for outlet in entry["outlets"])
    path = PoolPath(entry["server"], entry["pool"], entry["sender"], outlets)
    return path, Domain(entry["domain"], entry["sender"].rpartition("@")[2])
