# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shaping comes to, for people: a provider's limits and who says so, each server's share, and its worth."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Provider
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import DAY, LIFETIME, Lane, Shaping, Share
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Cap, Day, cap

# Seconds that a receiver takes for a message, for which rates are told: one that answers at once, and a slow one.
QUICK, SLOW = 0.0, 2.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One provider on one server.

    ``limits`` are texts with their sources; ``rate`` and ``slow`` messages a second that can be reached at a receiver
    that answers at once and at a slow one, None where nothing but its speed limits them; ``backlog`` how many messages
    may wait before the last of them outlasts Postfix' maximal_queue_lifetime. ``warmup`` has today's cap of each
    address that is warmed up.
    """

    provider: str
    server: str
    limits: tuple[tuple[str, str], ...]
    share: str
    rate: float | None
    slow: float | None
    backlog: int | None
    warmup: tuple[tuple[str, Cap], ...] = ()

    def to_dict(self) -> dict[str, t.Any]:
        """The row as plain data."""
        limits = [{"limit": limit, "source": source} for limit, source in self.limits]
        warmup = [{"address": address, "cap": today.messages, "reason": today.reason} for address, today in self.warmup]
        return {**dataclasses.asdict(self), "limits": limits, "warmup": warmup}


# What was counted on the servers, by day, by provider and address.
Counters = t.Mapping[tuple[str, str], t.Mapping[datetime.date, Day]]


def rows(
    shaping: Shaping,
    lifetime: int = LIFETIME,
    today: datetime.date | None = None,
    counters: Counters | None = None,
) -> list[Row]:
    """The rows of all lanes, provider by provider.

    :arg lifetime: maximal_queue_lifetime in seconds.
    :arg today: the day, in UTC, whose caps of warm-up are told; None for no day.
    :arg counters: what was counted of addresses that are warmed up; of others the schedule's step is told.
    """
    return [
        Row(
            lane.provider.name,
            lane.server,
            tuple(_limits(lane.provider)),
            _share(lane),
            lane.rate(QUICK) if lane.shares else 0.0,
            lane.rate(SLOW) if lane.shares else 0.0,
            _backlog(lane, lifetime, today),
            tuple(_caps(lane, today, counters or {})) if today else (),
        )
        for lane in shaping.lanes
    ]


def text(plan: t.Sequence[Row], warnings: t.Sequence[tuple[str, str]] = ()) -> str:
    """The plan as text: a paragraph for each provider, its servers as a table; warnings of none at the end."""
    parts = []
    for provider in dict.fromkeys(row.provider for row in plan):
        mine = [row for row in plan if row.provider == provider]
        lines = [provider]
        lines += [f"  {limit}  ({source})" for limit, source in mine[0].limits]
        size = max(len(row.server) for row in mine)
        wide = max(len(row.share) for row in mine)
        for row in mine:
            lines.append(f"  {row.server.ljust(size)}  {row.share.ljust(wide)}  {_reach(row)}".rstrip())
            lines += [f"  {''.ljust(size)}  {address} {_today(found)}" for address, found in row.warmup]
        lines += [f"  ! {said}" for name, said in warnings if name == provider]
        parts.append("\n".join(lines))
    if others := [f"! {said}" for name, said in warnings if not name]:
        parts.append("\n".join(others))
    return "\n\n".join(parts)


def _caps(lane: Lane, today: datetime.date, counters: Counters) -> t.Iterator[tuple[str, Cap]]:
    """Today's cap of each address of a lane that is warmed up."""
    for share in lane.shares:
        for address in share.member.warming:
            if address.warmup:
                counted = counters.get((lane.provider.name, address.address))
                found = cap(address.warmup.start, address.warmup.caps, today, counted)
                name = f" of {address.warmup.name}" if address.warmup.name else ""
                yield address.address, Cap(found.messages, f"{found.reason}{name}")


def _backlog(lane: Lane, lifetime: int, today: datetime.date | None) -> int | None:
    """How many messages leave at a slow receiver in a lifetime; None where nothing but its speed limits them."""
    most = [_most(share, lifetime, today) for share in lane.shares]
    return None if lane.shares and lane.rate(SLOW) is None else int(sum(filter(None, most)))


def _most(share: Share, lifetime: int, today: datetime.date | None) -> float:
    """The same of one share, whose caps may let less out than its pace."""
    most = (share.rate(SLOW) or 0.0) * lifetime
    for address in share.member.warming if today else ():
        if address.warmup and today:
            days = [cap(address.warmup.start, address.warmup.caps, today + datetime.timedelta(days=behind)).messages
                    for behind in range(lifetime // DAY)]
            if None not in days:
                most = min(most, sum(filter(None, days)))
    return most


def _today(found: Cap) -> str:
    return f"{'without a cap' if found.messages is None else f'at most {found.messages:,} today'} ({found.reason})"


def _limits(provider: Provider) -> t.Iterator[tuple[str, str]]:
    values = {
        "connections": provider.connections and f"{_many(provider.connections, 'connection')} an address",
        "messages": provider.messages and f"{_many(provider.messages, 'message')} a connection",
        "rate": provider.rate and f"{provider.rate} from an address",
        "recipients": provider.recipients and f"{_many(provider.recipients, 'recipient')} a message",
        "fleet_connections": provider.fleet_connections and f"{provider.fleet_connections} connections of the fleet",
        "fleet_rate": provider.fleet_rate and f"{provider.fleet_rate} from the fleet",
        "family": provider.family and f"IPv{provider.family} only",
        "tls": provider.tls and f"TLS {provider.tls}",
    }
    for name, said in values.items():
        if said:
            yield said, provider.sources.get(name, "inventory")


def _share(lane: Lane) -> str:
    """What a server's addresses may do; those with the same share are told together."""
    said: dict[str, int] = {}
    for share in lane.shares:
        if share.pause:
            each = f"{_many(share.services, 'message')} in {share.pause} s"
        elif share.processes:
            each = _many(share.processes, "connection")
            each += f", each for {share.messages} messages" if share.messages > 1 else ", each for one message"
        else:
            each = "as many connections as Postfix likes"
        said[each] = said.get(each, 0) + 1
    return "; ".join(f"{_many(count, 'sender')} with {each}" for each, count in said.items()) or "no sender"


def _reach(row: Row) -> str:
    if row.rate is None:
        slow = "" if row.slow is None else f"; {_rate(row.slow)} where a message takes {SLOW:g} s"
        waits = "" if row.backlog is None else f"; good for {row.backlog:,} waiting messages"
        return f"as fast as it answers{slow}{waits}"
    slow = "" if row.slow is None else f" ({_rate(row.slow)} where a message takes {SLOW:g} s)"
    return f"{_rate(row.rate)}{slow}; good for {row.backlog or 0:,} waiting messages"


def _rate(rate: float) -> str:
    """A rate in the unit in which it is no tiny number."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate * seconds >= 1 or unit == "h":
            return f"{rate * seconds:.3g}/{unit}"
    raise AssertionError


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
