# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shaping comes to, for people: a provider's limits and who says so, each server's share, and its worth."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Provider
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import LIFETIME, Lane, Shaping

# Seconds that a receiver takes for a message, for which rates are told: one that answers at once, and a slow one.
QUICK, SLOW = 0.0, 2.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One provider on one server.

    ``limits`` are texts with their sources; ``rate`` and ``slow`` messages a second that can be reached at a receiver
    that answers at once and at a slow one, None where nothing but its speed limits them; ``backlog`` how many messages
    may wait before the last of them outlasts Postfix' maximal_queue_lifetime.
    """

    provider: str
    server: str
    limits: tuple[tuple[str, str], ...]
    share: str
    rate: float | None
    slow: float | None
    backlog: int | None

    def to_dict(self) -> dict[str, t.Any]:
        """The row as plain data."""
        limits = [{"limit": limit, "source": source} for limit, source in self.limits]
        return {**dataclasses.asdict(self), "limits": limits}


def rows(shaping: Shaping, lifetime: int = LIFETIME) -> list[Row]:
    """The rows of all lanes, provider by provider.

    :arg lifetime: maximal_queue_lifetime in seconds.
    """
    return [
        Row(
            lane.provider.name,
            lane.server,
            tuple(_limits(lane.provider)),
            _share(lane),
            lane.rate(QUICK) if lane.shares else 0.0,
            lane.rate(SLOW) if lane.shares else 0.0,
            None if lane.rate(SLOW) is None else int(t.cast(float, lane.rate(SLOW)) * lifetime),
        )
        for lane in shaping.lanes
    ]


def text(plan: t.Sequence[Row], warnings: t.Sequence[tuple[str, str]] = ()) -> str:
    """The plan as text: a paragraph for each provider, its servers as a table."""
    parts = []
    for provider in dict.fromkeys(row.provider for row in plan):
        mine = [row for row in plan if row.provider == provider]
        lines = [provider]
        lines += [f"  {limit}  ({source})" for limit, source in mine[0].limits]
        size = max(len(row.server) for row in mine)
        wide = max(len(row.share) for row in mine)
        for row in mine:
            lines.append(f"  {row.server.ljust(size)}  {row.share.ljust(wide)}  {_reach(row)}".rstrip())
        lines += [f"  ! {said}" for name, said in warnings if name == provider]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


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
