# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of providers shared out over the addresses of a fleet, in what Postfix can do.

What Postfix can do was measured (docs/shaping.md): a service with a pause between deliveries carries one delivery at a
time and pauses after each, whole seconds; so a rate is a number of such services with one pause. A service without a
pause carries as many deliveries as it may have processes.
"""

from __future__ import annotations

import collections
import dataclasses
import fractions
import itertools
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Provider
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import (
    Member,
    members,
    pools,
    spread,
    uncapped,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import many, some

# What Postfix takes for a delivery besides the receiver's time and the pause.
OVERHEAD = 0.035
DAY = 86400  # seconds
LIFETIME = 5 * DAY  # Postfix' maximal_queue_lifetime in seconds, by default
# How far below what was asked for the nearest rate may be before it is another one.
NEAR = fractions.Fraction(9, 10)
LONGEST_PAUSE = 3600  # seconds
MOST_SERVICES = 100  # of an address at one provider: each is a process, and a line of master.cf
EARLY = 2  # how many times faster than evenly over the day an address that is warmed up may send


@dataclasses.dataclass(frozen=True)
class Share:
    """What one member may do at one provider.

    ``services`` delivery services, each with ``processes`` deliveries at a time and ``pause`` seconds after each (0 for
    none). Connections are kept for up to ``messages`` of them where that is more than 1.
    """

    member: Member
    services: int
    processes: int
    pause: int = 0
    messages: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its services."""
        first = self.member.service
        return (first, *(f"{first}-{number}" for number in range(2, self.services + 1)))

    @property
    def connections(self) -> int:
        """The most connections at a time."""
        return self.services * self.processes

    def rate(self, seconds: float = 0.0) -> float | None:
        """The most messages a second that leave, where the receiver takes some seconds for each; None for no limit."""
        if self.pause:
            return self.services / (self.pause + seconds + OVERHEAD)
        return self.connections / seconds if seconds else None


@dataclasses.dataclass(frozen=True)
class Lane:
    """A provider on one server: the shares of the server's members that have one, of each pool's one at least."""

    provider: Provider
    server: str
    shares: tuple[Share, ...]

    def rate(self, seconds: float = 0.0) -> float | None:
        """As Share.rate, of all its shares together."""
        rates = [share.rate(seconds) for share in self.shares]
        return None if None in rates else sum(t.cast("list[float]", rates))


@dataclasses.dataclass(frozen=True)
class Shaping:
    """All lanes of a fleet, and what has to be said of them: texts that warn, by provider, or by none."""

    lanes: tuple[Lane, ...]
    warnings: tuple[tuple[str, str], ...] = ()

    def of(self, server: str) -> tuple[Lane, ...]:
        """The lanes of one server."""
        return tuple(lane for lane in self.lanes if lane.server == server)


def shape(fleet: Fleet, hosted: t.Mapping[str, str] | None = None) -> Shaping:
    """Share out what the providers stand.

    :arg fleet: the fleet.
    :arg hosted: recipient domains known to be hosted at a provider, with its name.
    :returns: a lane for each provider and server that has a share.
    :raises Mistakes: where Postfix cannot keep to a limit of the inventory, with the nearest that it can.
    """
    lanes: list[Lane] = []
    warnings: list[tuple[str, str]] = []
    mistakes: list[Mistake] = []
    everywhere = [member for server in fleet.servers for member in members(fleet, server)]
    for provider in fleet.providers:
        if provider.recipe:
            continue
        one_place = provider.places == 1 and provider.name not in set((hosted or {}).values())
        usable = [member for member in everywhere if _usable(member, provider)]
        if wrong := _out_of_reach(provider, usable):
            mistakes += wrong
            continue
        shares = _shares(provider, usable, keep=one_place)
        wrong, said = _judge(provider, usable, shares)
        mistakes += [*wrong, *_left_out(provider, everywhere, usable, shares)]
        warnings += [(provider.name, text) for text in said]
        for server in fleet.servers:
            mine = tuple(share for share in shares if share.member.server == server.name)
            lanes.append(Lane(provider, server.name, mine))
    mistakes += [] if mistakes else _choices(fleet, lanes)
    if mistakes:
        raise Mistakes(mistakes)
    warnings += [("", text) for text in _said_of_warming(fleet, {lane.provider.name for lane in lanes})]
    return Shaping(tuple(lanes), tuple(warnings))


def pace(rate: fractions.Fraction, connections: int) -> tuple[int, int]:
    """Services and their pause in seconds that come nearest to a rate, and never above it.

    :arg rate: messages a second, one in ``LONGEST_PAUSE`` at least.
    :arg connections: how many services there may be at most, since each holds a connection; 0 for any number.
    :returns: the number of services and the pause; of those equally near, the fewest services.
    :raises ValueError: where the rate is lower.
    """
    best = (1, LONGEST_PAUSE)
    if rate < fractions.Fraction(*best):
        raise ValueError(f"found a rate of 1 in {float(1 / rate):g} s, expected 1 in {LONGEST_PAUSE} s at least")
    for pause in range(1, LONGEST_PAUSE + 1):
        services = int(rate * pause)
        if connections:
            services = min(services, connections)
        if services and fractions.Fraction(services, pause) > fractions.Fraction(*best):
            best = (services, pause)
        # More services than these would be nearer by less than anybody sees.
        if services >= (connections or 20) or fractions.Fraction(*best) == rate:
            break
    return best


def _usable(member: Member, provider: Provider) -> bool:
    return not provider.family or member.address(provider.family) is not None


def _shares(provider: Provider, usable: t.Sequence[Member], keep: bool) -> list[Share]:
    """The shares of members in one provider; those for which nothing is left have none."""
    connections = dict(zip(_by_turns(usable), _parted(provider.fleet_connections, len(usable)), strict=True))
    found = []
    senders = len([count for count in connections.values() if count is None or count])
    for member in usable:
        part = connections[member]
        limits = [limit for limit in (provider.connections, part) if limit is not None and limit != 0]
        if part == 0:
            continue
        most = min(limits) if limits else 0
        rates = [_wanted(provider, senders), _warming(member)]
        if wanted := min(filter(None, rates), default=None):
            services, pause = pace(wanted, most)
            found.append(Share(member, services, 1, pause))
        else:
            # A connection that is kept for the next message counts meanwhile. Of one next hop there are never more than
            # processes; several would each keep their own.
            found.append(Share(member, 1, most, messages=provider.messages if keep and provider.messages else 1))
    return found


def _by_turns(found: t.Sequence[Member]) -> list[Member]:
    """Members in the order in which they get what is parted: one of each pool on each server, then the next of each."""
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    turns = []
    for member in found:
        place = member.server, member.pool
        turns.append((seen[place], member))
        seen[place] += 1
    return [member for _turn, member in sorted(turns, key=lambda turn: turn[0])]


def _parted(whole: int, parts: int) -> list[int | None]:
    """A number in as many parts, whose sum it is and which differ by one at the most; None each where there is none."""
    if not whole:
        return [None] * parts
    return [whole // parts + (number < whole % parts) for number in range(parts)]


def _out_of_reach(provider: Provider, usable: t.Sequence[Member]) -> list[Mistake]:
    """Rates that are too slow or too fast for services with a pause after each delivery."""
    found = []
    path, count = provider.path or provider.name, len(usable)
    rates = [("rate", provider.rate, 1, "an address")]
    rates += [("fleet.rate", provider.fleet_rate, count, f"the {count} addresses that share it")] if count else []
    for key, rate, senders, whose in rates:
        if rate and rate.fraction / senders < fractions.Fraction(1, LONGEST_PAUSE):
            found.append(Mistake(f"{path}.{key}", str(rate), f"at least {senders}/h for {whose}, one an hour each",
                                 f"say {senders}/h, or keep the provider to fewer addresses"))
        elif rate and rate.fraction / senders > MOST_SERVICES:
            found.append(Mistake(f"{path}.{key}", str(rate), f"at most {MOST_SERVICES * senders}/s for {whose}",
                                 f"say {MOST_SERVICES * senders}/s, or limit connections instead"))
    return found


def _left_out(
    provider: Provider, everywhere: t.Sequence[Member], usable: t.Sequence[Member], shares: t.Sequence[Share]
) -> list[Mistake]:
    """Pools of which no address of a server has a share: their mail could not leave, since it leaves from no other."""
    having = {(share.member.server, share.member.pool) for share in shares}
    able = {(member.server, member.pool) for member in usable}
    wanted = dict.fromkeys((member.server, member.pool) for member in everywhere)
    path = provider.path or provider.name
    found = []
    if lacking := [place for place in wanted if place not in able] if shares else []:
        found.append(Mistake(
            f"{path}.family", str(provider.family), f"an IPv{provider.family} address in each pool: "
            f"{_named(lacking)} has none", "leave family out, or add one"))
    if lacking := [place for place in wanted if place in able and place not in having]:
        found.append(Mistake(
            f"{path}.fleet.connections", str(provider.fleet_connections),
            f"at least {len(able)}, one for each pool on each server: {_named(lacking)} would have none",
            f"say {len(able)}, or send to it from fewer servers or pools"))
    return found


def _named(places: t.Sequence[tuple[str, str]]) -> str:
    return some([f"{pool} on {server}" for server, pool in places], 3)


def _judge(
    provider: Provider, usable: t.Sequence[Member], shares: t.Sequence[Share]
) -> tuple[list[Mistake], list[str]]:
    """What cannot be kept of the inventory's limits, and what has to be said of those that are."""
    path = provider.path or provider.name
    if not shares:
        family = f"an IPv{provider.family} address" if provider.family else "an address"
        return [Mistake(f"{path}.family", str(provider.family or "no address"), f"{family} in a pool",
                        "leave family out, or give the servers one")], []
    mistakes, warnings = [], []
    if len(shares) < len(usable):
        idle = len(usable) - len(shares)
        warnings.append(f"{idle} of {len(usable)} addresses have no connection left to them, and send nothing to it")
    most = provider.connections * len(usable)
    if provider.connections and provider.fleet_connections > most:
        mistakes.append(Mistake(
            f"{path}.fleet.connections", str(provider.fleet_connections),
            f"at most {most}: {len(usable)} addresses with {provider.connections} connections each", f"say {most}"))
    wanted = _wanted(provider, len(shares))
    # Those that are warmed up are slow on purpose.
    steady = [share for share in shares if not share.member.warming]
    if not steady:
        return mistakes, warnings
    slowest = min(steady, key=lambda share: fractions.Fraction(share.services, share.pause or 1))
    reached = fractions.Fraction(slowest.services, slowest.pause or 1)
    if wanted and reached < wanted * NEAR:
        nearest = f"{slowest.services}/s" if slowest.pause == 1 else f"{slowest.services} in {slowest.pause} s"
        over = f"{many(slowest.services, 'connection')} of an address"
        text = f"{nearest} is the most that Postfix can keep to over {over}"
        key = "fleet.rate" if provider.fleet_rate and wanted != (provider.rate and provider.rate.fraction) else "rate"
        if provider.sources.get(key.replace(".", "_")) == "inventory":
            found = str(provider.fleet_rate if key == "fleet.rate" else provider.rate)
            mistakes.append(Mistake(f"{path}.{key}", found, f"a rate that can be reached: {text}",
                                    "ask for that, or allow more connections"))
        else:
            warnings.append(text)
    return mistakes, warnings


def _choices(fleet: Fleet, lanes: t.Sequence[Lane]) -> t.Iterator[Mistake]:
    """Pools whose weights cannot be kept to by a choice at random, each once."""
    outlets = [(member, (member.service,)) for server in fleet.servers for member in members(fleet, server)]
    places = [("", outlets)]
    places += [(lane.provider.path, [(share.member, share.names) for share in lane.shares]) for lane in lanes]
    for pool in pools(fleet):
        for (path, place), server in itertools.product(places, fleet.servers):
            weights = [(member.weight, names) for member, names in place
                       if (member.pool, member.server) == (pool.name, server.name)]
            try:
                spread(weights)
            except ValueError as error:
                # Of the rest that nobody named only the services of a rate can be too many to choose from.
                yield (Mistake(f"{pool.path}.addresses", str(error), "", "say weights such as 1, 2 and 5") if pool.path
                       else Mistake(f"{path}.rate", str(error), "", "ask for a rate that is a whole number a second"))
                break


def _wanted(provider: Provider, senders: int) -> fractions.Fraction | None:
    """The messages a second that each of so many addresses may send."""
    rates = [provider.rate.fraction] if provider.rate else []
    rates += [provider.fleet_rate.fraction / senders] if provider.fleet_rate else []
    return min(rates) if rates else None


def _warming(member: Member) -> fractions.Fraction | None:
    """The messages a second from a member that is warmed up, in whole services of one a second; None for a warm one.

    They depend on the schedule's last day and not on today, so that nothing changes on a server from day to day.
    """
    caps = [address.warmup.caps[-1] for address in member.warming if address.warmup]
    return fractions.Fraction(-(-EARLY * min(caps) // DAY)) if caps else None


def _said_of_warming(fleet: Fleet, lanes: t.Collection[str]) -> t.Iterator[str]:
    """What has to be said of addresses that are warmed up, besides their caps."""
    pooled = {address for pool in pools(fleet) for address in pool.weights}
    for server in fleet.servers:
        found = members(fleet, server)
        for address in server.addresses:
            if address.warmup and address.address not in pooled:
                yield f"{address.address} of {server.name} warms up and is in no pool: no mail leaves from it"
        for member in found:
            names = ", ".join(address.address for address in member.warming)
            if names and member in uncapped(found):
                yield (f"{names} of {server.name} warms up, and pool {member.pool} has no warm address there: mail to "
                       "domains of no provider leaves from it without a cap")
            elif names and not lanes:
                yield (f"{names} of {server.name} warms up, and no provider has limits by which its mail is counted: "
                       "no mail leaves from it")
