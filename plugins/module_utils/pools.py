# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools of addresses, server by server: who sends from where, and how a pool's mail is spread.

What sends is a member: the addresses of one server that share a HELO name, so that a message to a domain which has
IPv4 only and one to a domain which has IPv6 only both find their way. A pool without IPv6 has members without it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN, Address, Fleet, Pool, Server

# The pool of all mail that no other pool takes.
REST = "rest"


@dataclasses.dataclass(frozen=True)
class Member:
    """The addresses of one HELO name in one pool, and how much of the pool's mail leaves there."""

    server: str
    pool: str
    helo: str
    addresses: tuple[Address, ...]
    weight: int = 1

    def address(self, family: int) -> Address | None:
        """Its address of a family, 4 or 6."""
        return next((address for address in self.addresses if address.family == family), None)

    @property
    def warming(self) -> tuple[Address, ...]:
        """Those of its addresses that are warmed up. As it is not known which of them a message left from, the least of
        their caps holds for it."""
        return tuple(address for address in self.addresses if address.warmup)

    @property
    def service(self) -> str:
        """The name of the Postfix delivery service that sends from its addresses."""
        return "out" + self.addresses[0].transport.removeprefix("ip")


def pools(fleet: Fleet) -> tuple[Pool, ...]:
    """All pools of a fleet: those of its inventory and the rest.

    Where the inventory gives the rest none, it is the first address of each family of each server that no pool has.
    """
    named = tuple(pool for pool in fleet.pools if pool.name != REST)
    rest = next((pool for pool in fleet.pools if pool.name == REST), None)
    if rest is None:
        taken = {address for pool in named for address in pool.weights}
        firsts: dict[tuple[str, int], str] = {}
        for server in fleet.servers:
            for address in server.addresses:
                if address.address not in taken:
                    firsts.setdefault((server.name, address.family), address.address)
        rest = Pool(REST, dict.fromkeys(firsts.values(), 1))
    return (*named, rest)


def members(fleet: Fleet, server: Server) -> tuple[Member, ...]:
    """The members of all pools on one server, pool by pool, in the order of the server's addresses.

    Those of the rest without a pool in the inventory greet by the server's name, whatever the names of its addresses:
    so ordinary mail has always done.
    """
    found = []
    for pool in pools(fleet):
        named: dict[str, tuple[list[Address], list[Address]]] = {}
        for address in server.addresses:
            if address.address in pool.weights:
                helo = server.hostname if _implied(fleet, pool) else address.helo
                named.setdefault(helo, ([], []))[address.family == 6].append(address)
        for helo, families in named.items():
            for both in itertools.zip_longest(*families):
                addresses = tuple(address for address in both if address)
                # Both families are one weight: IPv4 speaks for both.
                found.append(Member(server.name, pool.name, helo, addresses, pool.weights[addresses[0].address]))
    return tuple(found)


def uncapped(found: t.Sequence[Member]) -> tuple[Member, ...]:
    """Those of a server's members that mail to domains of no provider leaves from, as nobody counts it.

    :returns: the warm members of each pool, and all of a pool that has no warm one.
    """
    warm = {member.pool for member in found if not member.warming}
    return tuple(member for member in found if not member.warming or member.pool not in warm)


def senders(fleet: Fleet) -> dict[str, tuple[str, ...]]:
    """For each pool the senders (domains and addresses of MAIL FROM) whose mail it takes; the rest has all others.

    Every domain that may stand in a MAIL FROM is named, so that no table needs an entry for everybody.
    """
    taken = {pool.name: pool.senders for pool in fleet.pools if pool.name != REST}
    named = {sender for names in taken.values() for sender in names}
    return {**taken, REST: tuple(name for name in fleet.mail_domains if name not in named)}


def to_prove(fleet: Fleet) -> list[dict[str, t.Any]]:
    """What proves that mail leaves from its pool, as ``mail_probe`` takes it; nothing where the inventory has no pools.

    For each pool and server a sender whose mail the pool takes, and the addresses of which the receiver must see one.
    """
    found = []
    domains = {name: domain.name for domain in fleet.domains for name in (domain.name, domain.mail_from)}
    sent = senders(fleet) if fleet.pools else {}
    for server in fleet.servers:
        own = members(fleet, server)
        for pool, names in sent.items():
            if not names:
                continue
            _local, _at, domain = names[0].rpartition("@")
            found.append({
                "server": server.name,
                "pool": pool,
                "domain": domains[domain],
                "sender": names[0] if "@" in names[0] else f"{PROBE_LOGIN}@{domain}",
                "outlets": [
                    {"address": address.address, "helo": member.helo}
                    for member in own
                    if member.pool == pool
                    for address in member.addresses
                ],
            })
    return found


def spread(weights: t.Sequence[tuple[int, t.Sequence[str]]], limit: int = 500) -> tuple[str, ...]:
    """Services as often as their share demands, for a choice at random among them.

    :arg weights: for each member its weight and its services, which share the weight alike.
    :arg limit: how many entries there may be.
    :returns: the names, each once at least.
    :raises ValueError: where the shares need more entries than that.
    """
    common = math.lcm(*(len(services) for _weight, services in weights))
    counts = [(weight * common // len(services), services) for weight, services in weights]
    smallest = math.gcd(*(count for count, _services in counts))
    needed = sum(count // smallest * len(services) for count, services in counts)
    if needed > limit:
        raise ValueError(f"weights that need {needed} entries of a table, expected at most {limit}")
    return tuple(name for count, services in counts for name in services for _each in range(count // smallest))


def _implied(fleet: Fleet, pool: Pool) -> bool:
    return pool.name == REST and not any(known.name == REST for known in fleet.pools)
