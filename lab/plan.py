# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab on paper: its network, its nodes, and what runs on each. Everything else only carries this out."""
from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

NETWORK = "mailfleet-lab"
SUBNETS = (ip_network("198.51.100.0/24"), ip_network("2001:db8:61::/64"))
GATEWAYS = ("198.51.100.1", "2001:db8:61::1")   # the host; nodes have no default route all the same
RESOLVER = "198.51.100.4"
PROXY = "http://198.51.100.5:3142"
PREFIX = "mailfleet-lab-"   # of every container's name


@dataclass(frozen=True)
class Node:
    """One container.

    `trees` are the folders of lab/nodes/ that are laid over its root file system, in this order; `units` the services
    that must run (and are enabled, where their image has them disabled); `prepare` the commands run once after the
    first start. `bare` nodes are those that `reset` makes anew.
    """

    name: str
    hostname: str
    image: str
    addresses: tuple[str, ...]
    trees: tuple[str, ...]
    units: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    certificate: tuple[str, ...] = ()   # names in its TLS certificate, with its addresses
    uplink: bool = False
    bare: bool = False

    @property
    def container(self) -> str:
        """The name in podman."""
        return PREFIX + self.name


def _receiver(name: str, hostname: str, last: int, image: str, trees: tuple[str, ...], units: tuple[str, ...]) -> Node:
    addresses = (f"198.51.100.{last}", f"2001:db8:61::{last}")
    # Only root can write the compiled rule: Dovecot's own unit has /etc read-only.
    compiled = ("sievec", "/etc/dovecot/sieve/junk.sieve")
    return Node(name, hostname, image, addresses, ("all", *trees, "mailboxes", name), (*units, "dovecot"), (compiled,),
                certificate=(hostname,))


_JUDGES = ("opendkim", "opendmarc", "postfix")

NODES = (
    Node("ns1", "ns1.lab.test", "mailfleet-dns", ("198.51.100.2", "2001:db8:61::2"), ("all", "ns1"), ("knot",)),
    Node("ns2", "ns2.lab.test", "mailfleet-dns", ("198.51.100.3", "2001:db8:61::3"), ("all", "ns2"), ("knot",)),
    Node("resolver", "resolver.lab.test", "mailfleet-dns", (RESOLVER, "2001:db8:61::4"), ("all", "resolver"),
         ("unbound",)),
    Node("proxy", "proxy.lab.test", "mailfleet-dns", ("198.51.100.5", "2001:db8:61::5"), ("all", "proxy"),
         ("apt-cacher-ng",), uplink=True),
    Node("mta1", "mta1.example.com", "mailfleet-debian13", ("198.51.100.10", "198.51.100.11", "2001:db8:61::10"),
         ("all", "mta"), ("lab-addresses",), prepare=(("apt-get", "-qq", "update"),), bare=True),
    Node("mta2", "mta2.example.com", "mailfleet-debian12", ("198.51.100.20", "198.51.100.21", "2001:db8:61::20"),
         ("all", "mta"), ("lab-addresses",), prepare=(("apt-get", "-qq", "update"),), bare=True),
    Node("app", "app.example.com", "mailfleet-debian12", ("198.51.100.30", "2001:db8:61::30"), ("all", "app"),
         prepare=(("update-ca-certificates",),)),
    Node("db", "db1.example.com", "mailfleet-postgresql", ("198.51.100.31", "2001:db8:61::31"), ("all", "db"),
         ("postgresql",), prepare=(("lab-database",),), certificate=("db1.example.com",)),
    _receiver("gmail", "mx.gmail.com", 40, "mailfleet-postfix", ("judge",), _JUDGES),
    _receiver("orange", "mx.orange.fr", 41, "mailfleet-postfix", ("judge",), _JUDGES),
    _receiver("freemail", "mx.freemail.test", 42, "mailfleet-exim", (), ("exim4",)),
)

# Served by both name servers; those that take updates by TSIG are marked in nodes/ns1/etc/knot/knot.conf.
ZONES = (".", "example.com", "example.us", "gmail.com", "google.com", "orange.fr", "wanadoo.fr", "freemail.test",
         "100.51.198.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")

# The fleet's submission service is reached under these names; the inventory names the files by the server.
SERVER_CERTIFICATES = {
    "mta1.example.com": ("mta1.example.com", "mta1b.example.com"),
    "mta2.example.com": ("mta2.example.com", "mta2b.example.com"),
}


def node(name: str) -> Node:
    """The node of this name; raises KeyError."""
    return {each.name: each for each in NODES}[name]
