# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a fleet: what its inventory, state and observations come to, before anything is done.

It is made of the same data, by the same functions, as the desired state.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import hosting, shaping_plan
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Provider
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import NONE, Observations
from ansible_collections.mailfleet.sending.plugins.module_utils.observe_report import stray, unnamed
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import REST, Member, members, pools, senders
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Shaping, shape
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import few, many, some

OLD = 30  # days after which observations are told to be old


@dataclasses.dataclass(frozen=True)
class Share:
    """A member of a pool and how much of the pool's mail that its server takes leaves from it."""

    member: Member
    part: float

    def to_dict(self) -> dict[str, t.Any]:
        """The share as plain data."""
        addresses = [address.address for address in self.member.addresses]
        return {"server": self.member.server, "helo": self.member.helo, "addresses": addresses,
                "weight": self.member.weight, "part": round(self.part, 4)}


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of it.

    ``rows`` and ``shaping`` are what shaping comes to; ``pools`` the members of each pool with the senders whose mail
    it takes; ``hosted`` the recipient domains that go to a provider because of their MX; ``astray`` and ``unnamed`` as
    hosting has them; ``added`` and ``removed`` what DNS gets and loses, compared with what was published before.
    """

    fleet: Fleet
    observed: Observations
    rows: tuple[shaping_plan.Row, ...]
    shaping: Shaping
    pools: t.Mapping[str, tuple[tuple[str, ...], tuple[Share, ...]]]
    hosted: t.Mapping[str, str]
    astray: tuple[hosting.Astray, ...]
    unnamed: t.Mapping[str, int]
    added: tuple[Record, ...] = ()
    removed: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, t.Any]:
        """The plan as plain data for JSON."""
        return {
            "providers": [self._provider(provider) for provider in self.fleet.providers],
            "pools": {name: {"senders": list(mail), "members": [share.to_dict() for share in shares]}
                      for name, (mail, shares) in self.pools.items()},
            "observed": self.observed.date,
            "hosted": dict(self.hosted),
            "astray": [each.to_dict() for each in self.astray],
            "unnamed": dict(self.unnamed),
            "dns": {"added": [record.to_dict() for record in self.added],
                    "removed": [record.to_dict() for record in self.removed]},
            "warnings": list(self.warnings),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that the user should look at, each with the provider or server that it is about."""
        found = [f"{name}: {said}" if name else said for name, said in self.shaping.warnings]
        found += [f"{row.provider} on {row.server}: {said}" for row in self.rows for said in row.warnings]
        found += [str(each) for each in self.astray]
        return (*found, *self.notes)

    def of(self, provider: Provider) -> list[str]:
        """The domains that are hosted at a provider and not its own."""
        return [domain for domain, name in self.hosted.items() if name == provider.name]

    def _provider(self, provider: Provider) -> dict[str, t.Any]:
        mine = [row for row in self.rows if row.provider == provider.name]
        limits = mine[0].to_dict()["limits"] if mine else []
        servers = [{key: value for key, value in row.to_dict().items() if key not in ("provider", "limits")}
                   for row in mine]
        return {"name": provider.name, "domains": list(provider.domains), "mx": list(provider.mx),
                "hosted": len(self.of(provider)), "limits": limits, "servers": servers,
                "warnings": [said for name, said in self.shaping.warnings if name == provider.name]}


def plan(fleet: Fleet, observed: Observations, records: t.Sequence[Record], published: t.Sequence[Record],
         date: datetime.date) -> Plan:
    """Make the plan.

    :arg fleet: the fleet, as the inventory says.
    :arg observed: what was observed of recipient domains.
    :arg records: those that are wanted; of a key that is yet to be made there is one without its public half.
    :arg published: those that were published before.
    :arg date: today.
    :raises Mistakes: where Postfix cannot keep to a limit of the inventory, with the nearest that it can.
    """
    at = hosting.hosted(fleet, observed)
    shaping = shape(fleet, at)
    sent, own = senders(fleet), [members(fleet, server) for server in fleet.servers]
    had, wants = ({record.key for record in group} for group in (published, records))
    return Plan(
        fleet,
        observed,
        tuple(shaping_plan.rows(shaping, fleet, _by_provider(observed), today=date)),
        shaping,
        {pool.name: (sent.get(pool.name, ()), tuple(_shares(own, pool.name))) for pool in pools(fleet)},
        at,
        tuple(hosting.astray(fleet, observed)),
        hosting.unnamed(fleet, observed),
        tuple(each for each in records if each.key not in had),
        tuple(each for each in published if each.key not in wants),
        tuple(_notes(fleet, observed, date)),
    )


def text(made: Plan) -> str:
    """The plan as text."""
    fleet = made.fleet
    counts = ((fleet.servers, "server"), (fleet.addresses, "address", "addresses"), (fleet.domains, "domain"),
              (fleet.providers, "provider"), (fleet.pools, "pool"))
    parts = ["mailfleet.sending, the plan: " + ", ".join(many(len(things), *words) for things, *words in counts)]
    parts += [_provider(made, provider) for provider in fleet.providers]
    if not fleet.providers:
        parts.append("No provider has limits: sending_providers names none, and mail leaves as fast as it is taken")
    parts.append(_pools(made))
    parts += stray(made.astray)
    parts += unnamed(made.unnamed)
    parts.append(_dns(made))
    notes = (*(said for name, said in made.shaping.warnings if not name), *made.notes)
    parts += ["\n".join(f"! {note}" for note in notes)] if notes else []
    said = len(made.warnings)
    parts.append(f"{many(said, 'warning')}, in the lines marked with !" if said else "Nothing speaks against it")
    return "\n\n".join(parts) + "\n"


def _provider(made: Plan, provider: Provider) -> str:
    lines = [f"Provider {provider.name}", f"  domains  {some(provider.domains, 4) or 'none of its own'}"]
    if provider.mx:
        here = made.of(provider)
        lines.append(f"  by MX    {len(here):,} at {some(provider.mx, 3)}{': ' if here else ''}{some(here, 4)}")
    said = [warning for name, warning in made.shaping.warnings if name == provider.name]
    lines += shaping_plan.text(made.rows, provider.name, said)
    if provider.messages > 1 and any(" 1 message on each" in row.share for row in made.rows
                                     if row.provider == provider.name):
        lines.append("  a connection carries one message, since its mail has several next hops")
    return "\n".join(lines)


def _pools(made: Plan) -> str:
    lines = []
    for name, (mail, shares) in made.pools.items():
        whose = some(mail, 4) or "nobody"
        lines.append(f"Pool {name}: mail from {whose if name != REST else f'all others ({whose})'}")
        names = [_addresses(share.member) for share in shares]
        size = max(map(len, names), default=0)
        wide = max((len(share.member.helo) for share in shares), default=0)
        for share, addresses in zip(shares, names, strict=True):
            member = share.member
            lines.append(f"  {addresses.ljust(size)}  {member.helo.ljust(wide)}  weight {member.weight:<3}  "
                         f"{share.part:6.1%} of its mail on {member.server}")
    return "\n".join(lines)


def _dns(made: Plan) -> str:
    if not made.added and not made.removed:
        return "DNS: nothing to publish, and nothing to remove, compared with the state"
    lines = [f"DNS, compared with the state: {many(len(made.added), 'record')} to publish, "
             f"{len(made.removed):,} to remove"]
    lines += few([f"+ {_record(record)}" for record in made.added])
    return "\n".join([*lines, *few([f"- {_record(record)}" for record in made.removed])])


def _record(record: Record) -> str:
    value = record.value if len(record.value) <= 60 else f"{record.value[:57]}..."
    return f"{record.owner} {record.type} {value}"


def _shares(servers: t.Iterable[t.Sequence[Member]], pool: str) -> t.Iterator[Share]:
    for everybody in servers:
        mine = [member for member in everybody if member.pool == pool]
        whole = sum(member.weight for member in mine)
        yield from (Share(member, member.weight / whole) for member in mine)


def _addresses(member: Member) -> str:
    return ", ".join(address.address for address in member.addresses)


def _by_provider(observed: Observations) -> dict[str, dict[str, dict[str, int]]]:
    """Messages by server, provider and day; a day on which a provider had none is one of 0."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for server, days in observed.messages.items():
        names = {name for counts in days.values() for name in counts}
        found[server] = {name: {day: counts.get(name, 0) for day, counts in days.items()} for name in names}
    return found


def _notes(fleet: Fleet, observed: Observations, date: datetime.date) -> t.Iterator[str]:
    """What is to be said of the observations themselves."""
    if any(provider.mx for provider in fleet.providers) and not observed.date:
        yield "which recipient domains have their MX at a provider was never observed: run observe.yml"
    elif observed.date and (age := (date - datetime.date.fromisoformat(observed.date)).days) > OLD:
        yield f"where MX point was observed {age} days ago: run observe.yml again"
    known = {provider.name for provider in fleet.providers} | {NONE}
    gone = sorted({name for days in observed.messages.values() for counts in days.values() for name in counts} - known)
    if gone:
        yield (f"messages were counted for providers that sending_providers no longer names: {', '.join(gone)}; "
               "their mail has no limits now")
