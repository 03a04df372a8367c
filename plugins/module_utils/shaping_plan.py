# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shaping comes to, for people: a provider's limits and who says so, each server's share, and its worth."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Provider
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_shaping import SECONDS
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import (
    DAY,
    LIFETIME,
    OVERHEAD,
    Lane,
    Shaping,
    Share,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Cap, Day, cap
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import many, some

# Seconds that a receiver takes for a message, for which rates are told: one that answers at once, and a slow one.
QUICK, SLOW = 0.0, 2.0
# What Postfix keeps in its active queue (qmgr_message_active_limit), by default.
ACTIVE = 20000
Daily = t.Mapping[str, int]  # day -> messages


@dataclasses.dataclass(frozen=True)
class Row:
    """One provider on one server.

    ``limits`` are texts with their sources; ``rate`` and ``slow`` messages a second that can be reached at a receiver
    that answers at once and at a slow one, None where nothing but its speed limits them; ``backlog`` how many messages
    may wait before the last of them outlasts ``lifetime`` (maximal_queue_lifetime, in seconds) at the slow rate.
    ``each`` says of what all this holds where it is not the whole provider. ``mean`` and ``most`` are recipients a day
    as observed, None where none were.
    ``warmup`` has today's cap of each address that is warmed up.
    """

    provider: str
    server: str
    limits: tuple[tuple[str, str], ...]
    share: str
    rate: float | None
    slow: float | None
    backlog: int | None
    each: str = ""
    mean: int | None = None
    most: int | None = None
    warnings: tuple[str, ...] = ()
    lifetime: int = LIFETIME
    warmup: tuple[tuple[str, Cap], ...] = ()

    def to_dict(self) -> dict[str, t.Any]:
        """The row as plain data."""
        limits = [{"limit": limit, "source": source} for limit, source in self.limits]
        warmup = [{"address": address, "cap": today.messages, "reason": today.reason} for address, today in self.warmup]
        return {**dataclasses.asdict(self), "limits": limits, "warnings": list(self.warnings), "warmup": warmup}


# What was counted on the servers, by day, by provider and address.
Counters = t.Mapping[tuple[str, str], t.Mapping[datetime.date, Day]]


def rows(
    shaping: Shaping,
    fleet: Fleet,
    messages: t.Mapping[str, t.Mapping[str, Daily]] | None = None,
    lifetime: int = LIFETIME,
    today: datetime.date | None = None,
    counters: Counters | None = None,
) -> list[Row]:
    """The rows of all providers and servers, in the order of the inventory.

    :arg shaping: the lanes.
    :arg fleet: the fleet, whose classic recipes have none.
    :arg messages: observed messages by server, provider and day.
    :arg lifetime: maximal_queue_lifetime in seconds.
    :arg today: the day, in UTC, whose caps of warm-up are told; None for no day.
    :arg counters: what was counted of addresses that are warmed up; of others the schedule's step is told.
    """
    lanes = {(lane.provider.name, lane.server): lane for lane in shaping.lanes}
    found = []
    for provider in fleet.providers:
        for server in fleet.servers:
            lane = lanes.get((provider.name, server.name))
            if lane:
                row = _of_lane(lane, lifetime, today, counters or {})
            else:
                row = _of_recipe(provider, server.name, lifetime)
            found.append(_with_volume(row, (messages or {}).get(server.name, {}).get(provider.name, {}), lifetime))
    return found


def text(plan: t.Sequence[Row], provider: str, warnings: t.Sequence[str] = ()) -> list[str]:
    """The lines on one provider: its limits, and what comes of them on its servers, those alike together."""
    mine = [row for row in plan if row.provider == provider]
    size = max((len(limit) for limit, _source in mine[0].limits), default=0)
    lines = [f"  {limit.ljust(size)}  by {'the inventory' if source == 'inventory' else source}"
             for limit, source in mine[0].limits]
    alike: dict[Row, list[str]] = {}
    for row in mine:
        alike.setdefault(dataclasses.replace(row, server=""), []).append(row.server)
    for row, servers in alike.items():
        lines.append(f"  on {_servers(servers)}")
        lines += [f"    {name.ljust(9)}{said}" for name, said in _said(row)]
        lines += [f"    {'warm-up'.ljust(9)}{address} {_today(found)}" for address, found in row.warmup]
        lines += [f"    ! {warning}" for warning in row.warnings]
    if len(mine) > 1 and not mine[0].each:
        lines += ["  on all servers together", *(f"    {name.ljust(9)}{said}" for name, said in _said(_whole(mine)))]
    return [*lines, *(f"  ! {said}" for said in warnings)]


def seconds(duration: str) -> int:
    """The seconds of a time as Postfix has it, such as 1s or 2m."""
    match = re.fullmatch(r"([0-9]+)([smhd]?)", duration)
    if not match:
        raise ValueError(f"found {duration!r}, expected a time such as 1s or 2m")
    return int(match[1]) * {"": 1, **SECONDS}[match[2]]


def _of_lane(lane: Lane, lifetime: int, today: datetime.date | None, counters: Counters) -> Row:
    return Row(
        lane.provider.name,
        lane.server,
        tuple(_limits(lane.provider)),
        _share(lane),
        lane.rate(QUICK),
        lane.rate(SLOW),
        _backlog(lane, lifetime, today),
        lifetime=lifetime,
        warmup=tuple(_caps(lane, today, counters)) if today else (),
    )


def _of_recipe(provider: Provider, server: str, lifetime: int) -> Row:
    """What a service with a delay after each delivery does, by measurement: the delay is one of each destination."""
    pause = seconds(provider.delay)
    most = f", {provider.connections} in all" if provider.connections else ""
    share = f"one delivery at a time to each destination domain{most}"
    rate, slow = (1 / (pause + taken + OVERHEAD) if pause else None for taken in (QUICK, SLOW))
    if provider.connections == 1:
        # One process delivers to all of them, and is free while they pause.
        slow = 1 / max(pause + SLOW + OVERHEAD, len(provider.domains) * SLOW)
    slow = slow or 1 / SLOW
    return Row(provider.name, server, tuple(_limits(provider)), share, rate, slow, int(slow * lifetime),
               "each destination domain", lifetime=lifetime)


def _with_volume(row: Row, daily: Daily, lifetime: int) -> Row:
    """A row with what was observed of it, and a warning where that is more than leaves in time."""
    if not daily:
        return row
    mean, most = round(sum(daily.values()) / len(daily)), max(daily.values())
    row = dataclasses.replace(row, mean=mean, most=most)
    if row.each:
        return row  # which of its domains they went to is not known
    days = lifetime / DAY
    warnings = []
    for rate, where in ((row.rate, ""), (row.slow, f" where a message takes {SLOW:g} s")):
        if rate is None or mean <= rate * DAY and most <= rate * lifetime:
            continue
        leaves = int(rate * DAY)
        if mean > leaves:
            after = int(days * leaves / (mean - leaves)) + 1
            warnings.append(f"mail to {mean:,} recipients a day was seen, and {leaves:,} messages can leave{where}: "
                            f"from day {after} on mail would wait over {days:g} days (maximal_queue_lifetime) and go"
                            " back")
        else:
            leaves = int(rate * lifetime)
            warnings.append(f"mail to {most:,} recipients was seen on one day, and {leaves:,} messages can leave"
                            f"{where} in {days:g} days (maximal_queue_lifetime): the rest would go back")
        break
    if not warnings and row.warmup and row.backlog is not None and mean * days > row.backlog:
        warnings.append(f"mail to {mean:,} recipients a day was seen, and {row.backlog:,} messages can leave in"
                        f" {days:g} days (maximal_queue_lifetime) while addresses warm up: the rest would go back")
    return dataclasses.replace(row, warnings=(*row.warnings, *warnings))


def _caps(lane: Lane, today: datetime.date, counters: Counters) -> t.Iterator[tuple[str, Cap]]:
    """Today's cap of each member of a lane that is warmed up; of one with two addresses the lesser holds for both."""
    for share in lane.shares:
        found = []
        for address in share.member.warming:
            if address.warmup:
                counted = counters.get((lane.provider.name, address.address))
                most, reason = cap(address.warmup.start, address.warmup.caps, today, counted)
                name = f" of {address.warmup.name}" if address.warmup.name else ""
                # The servers count, and this does not know what.
                known = "" if counted or today <= address.warmup.start else ", if mail left on each day before"
                found.append(Cap(most, f"{reason}{name}{known}"))
        if found:
            least = min(found, key=lambda one: math.inf if one.messages is None else one.messages)
            yield " and ".join(address.address for address in share.member.warming), least


def _backlog(lane: Lane, lifetime: int, today: datetime.date | None) -> int | None:
    """How many messages leave at a slow receiver in a lifetime; None where nothing but its speed limits them."""
    most = [_most(share, lifetime, today) for share in lane.shares]
    return None if lane.rate(SLOW) is None else int(sum(filter(None, most)))


def _most(share: Share, lifetime: int, today: datetime.date | None) -> float:
    """The same of one share, whose caps may let less out on some days than its pace."""
    pace = (share.rate(SLOW) or 0.0) * DAY
    warmups = [address.warmup for address in share.member.warming if address.warmup]
    if not today or not warmups:
        return pace * lifetime / DAY
    most = 0.0
    for behind in range(lifetime // DAY):
        day = today + datetime.timedelta(days=behind)
        caps = [cap(warmup.start, warmup.caps, day).messages for warmup in warmups]
        most += min([pace, *(float(one) for one in caps if one is not None)])
    return most


def _today(found: Cap) -> str:
    return f"{'without a cap' if found.messages is None else f'at most {found.messages:,} today'} ({found.reason})"


def _limits(provider: Provider) -> t.Iterator[tuple[str, str]]:
    one = "in all" if provider.recipe else "an address"
    values = {
        "connections": provider.connections and f"{many(provider.connections, 'connection')} {one}",
        "messages": provider.messages and f"{many(provider.messages, 'message')} a connection",
        "rate": provider.rate and f"{provider.rate} from an address",
        "recipients": provider.recipients and f"{many(provider.recipients, 'recipient')} a message",
        "fleet_connections": provider.fleet_connections and f"{provider.fleet_connections} connections of the fleet",
        "fleet_rate": provider.fleet_rate and f"{provider.fleet_rate} from the fleet",
        "family": provider.family and f"IPv{provider.family} only",
        "tls": provider.tls and f"TLS {provider.tls}",
        "delay": provider.delay and f"{provider.delay} after each delivery",
    }
    for name, said in values.items():
        if said:
            yield said, provider.sources.get(name, "inventory")


def _share(lane: Lane) -> str:
    """What a server's addresses may do; those with the same share are told together."""
    said: dict[str, int] = {}
    for share in lane.shares:
        if share.pause:
            each = f"{many(share.services, 'message')} {'a second' if share.pause == 1 else f'in {share.pause} s'}"
        elif share.processes:
            each = f"{many(share.processes, 'connection')} at a time, {many(share.messages, 'message')} on each"
        else:
            each = "as many connections as Postfix likes"
        said[each] = said.get(each, 0) + 1
    return "; ".join(
        f"{many(count, 'address', 'addresses')}{', each' if count > 1 else ''} with {each}"
        for each, count in said.items())


def _said(row: Row) -> t.Iterator[tuple[str, str]]:
    """What is said of a row, each with its name."""
    of = f" to {row.each}" if row.each else ""
    if row.share:
        yield "share", row.share
    unit = _unit(row.rate if row.rate is not None else row.slow)
    slow = "" if row.slow is None else f"{_rate(row.slow, unit)} where it takes {SLOW:g} s for a message"
    if row.rate is None:
        yield "rate", f"as fast as the provider answers{'; ' if slow else ''}{slow}"
    else:
        yield "rate", f"{_rate(row.rate, unit)}{of} at most, {slow}"
    if row.backlog is not None:
        yield "waiting", f"{row.backlog:,} messages{of} leave within {row.lifetime / DAY:g} days at the slower rate"
    if row.each:
        yield "queue", (f"that of all mail, which is delayed once {ACTIVE:,} such messages wait; rate instead of delay "
                        "gives it one of its own")
    if row.mean is not None:
        yield "observed", f"mail to {row.mean:,} recipients a day, {row.most:,} at most"


def _whole(mine: t.Sequence[Row]) -> Row:
    """The rows of one provider together."""
    def together(values: t.Sequence[t.Any]) -> t.Any:
        return None if None in values else sum(values)

    parts = {name: together([getattr(row, name) for row in mine]) for name in ("rate", "slow", "backlog")}
    return dataclasses.replace(mine[0], share="", mean=None, warnings=(), warmup=(), **parts)


def _unit(rate: float | None) -> tuple[str, int]:
    """The unit in which a rate is no tiny number, with its seconds."""
    units = (("s", 1), ("min", 60), ("h", 3600), ("day", DAY))
    return next((unit for unit in units if (rate or 0) * unit[1] >= 0.5), units[0])


def _rate(rate: float, unit: tuple[str, int]) -> str:
    return f"{rate * unit[1]:.3g}/{unit[0]}"


def _servers(names: t.Sequence[str]) -> str:
    return some(names, 4) + (", each" if len(names) > 1 else "")
