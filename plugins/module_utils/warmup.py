# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much may leave from a new address today at one provider, and where what is over it goes.

The same source runs on the controller, for the plan, and on the nodes, which keep to it. So it imports nothing but the
standard library.
"""

from __future__ import annotations

import datetime
import typing as t

# Over so many of a thousand messages a day does not count, and the cap stays.
BOUNCES = 30
DEFERRALS = 5
# A day with fewer messages is judged as if it had so many: neither one deferral nor one bounce of ten holds anything.
LEAST = 200
IDLE = 30  # days without a message, after which an address is as good as new
WAITING = "retry:4.7.1 what may leave today from addresses that are warmed up has left"
ONE_DAY = datetime.timedelta(days=1)


class Day(t.NamedTuple):
    """What a provider did with the mail of one address on one day; each attempt counts, each recipient by itself."""

    sent: int = 0
    deferred: int = 0
    bounced: int = 0

    @property
    def messages(self) -> int:
        """How many reached the provider."""
        return self.sent + self.deferred + self.bounced

    @property
    def over(self) -> str:
        """Which bound the day was over, in words; empty where it was over none."""
        judged = max(self.messages, LEAST)
        for count, bound, name in ((self.bounced, BOUNCES, "bounces"), (self.deferred, DEFERRALS, "deferrals")):
            if count * 1000 > bound * judged:
                return f"{count} {name} of {self.messages}, over {bound / 10:g} %"
        return ""


class Cap(t.NamedTuple):
    """How many messages may leave on a day, None for any number, and the reason in words."""

    messages: int | None
    reason: str


def cap(
    start: datetime.date,
    schedule: t.Sequence[int],
    today: datetime.date,
    counters: t.Mapping[datetime.date, Day] | None = None,
) -> Cap:
    """The cap of one address at one provider on one day.

    :arg start: the first day, which has the first step.
    :arg schedule: the caps, one for each day.
    :arg today: the day, in UTC as all days here are.
    :arg counters: what was counted, by day. Of days before the first of them nothing is known, and they count as the
        schedule says; a day behind it that is missing is one on which nothing left. Without any, none is known.
    :returns: the cap and its reason. A day counts on where mail left and no bound was exceeded; after ``IDLE`` days
        without mail the schedule begins again.
    """
    if today < start:
        return Cap(0, f"begins on {start}")
    day = max(start, min(today, *counters) if counters else today)
    done, idle, held = (day - start).days, 0, ""
    while day < today:
        found = (counters or {}).get(day, Day())
        if not found.messages:
            idle += 1
            if idle >= IDLE:
                done, held = 0, ""
        else:
            idle = 0
            held = f"{day} had {found.over}" if found.over else ""
            done += not held
        day += ONE_DAY
    if done >= len(schedule):
        return Cap(None, "warm: the schedule is over")
    reason = f"day {done + 1} of {len(schedule)}"
    if idle >= IDLE:
        reason += f", begun again: nothing left for {idle} days"
    elif held:
        reason += f", held: {held}"
    elif idle:
        reason += f", not counted on: nothing left for {idle} day{'s' * (idle > 1)}"
    return Cap(schedule[done], reason)


def gate(members: t.Sequence[t.Mapping[str, t.Any]], nexthop: str, opened: t.Mapping[str, int]) -> dict[str, str]:
    """Where mail goes that the choice at random gave to a service: there, or elsewhere where that is shut.

    :arg members: the members of pools of which one warms up at least, each with its C(pool), its C(service) by which it
        is known, all of its C(services), its C(weight), and its C(warmups), none of which a warm one has.
    :arg nexthop: where all mail goes; empty for the domain of each recipient.
    :arg opened: for each member that warms up, by C(service), how many of its services are open.
    :returns: for each service that may be chosen a transport with its next hop. Mail of a member without any goes to
        the warm members of its pool by their weights, where there is none to open ones, and where there is none either
        it waits.
    """
    entries = {}
    for pool in dict.fromkeys(member["pool"] for member in members):
        mine = [member for member in members if member["pool"] == pool]
        able = {
            member["service"]: member["services"][: opened.get(member["service"], 0) if member["warmups"] else None]
            for member in mine
        }
        warm = [member for member in mine if not member["warmups"]]
        taking = [
            service for number in range(max(map(len, able.values())))
            for member in warm or mine for service in able[member["service"]][number:number + 1] * member["weight"]
        ]
        moved = 0
        for member in mine:
            own = able[member["service"]]
            for number, service in enumerate(member["services"]):
                taker = own[number % len(own)] if own else taking[moved % len(taking)] if taking else ""
                moved += not own
                entries[service] = f"{taker}:{nexthop}" if taker else WAITING
    return entries
