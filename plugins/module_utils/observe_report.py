# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was observed, for people: who hosts how many domains, what moved, and what DNS or a server did not say."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import hosting
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import NULL, Observations, Observed
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import few, many, some

LINES = 200  # so many domains a diff shows
NOWHERE = "no provider"


@dataclasses.dataclass(frozen=True)
class Told:
    """What a run observed.

    ``providers`` has for each provider, and for NOWHERE, the domains that are there; ``moves`` those that were
    elsewhere before; ``astray`` those that a provider has among its domains though their MX are not there; ``refusing``
    why domains take no mail, with them; ``silent`` who did not say, by domain; ``logs`` a line for each server;
    ``left_out`` how many domains were too many.
    """

    date: str
    providers: t.Mapping[str, t.Sequence[str]]
    moves: t.Sequence[hosting.Move] = ()
    astray: t.Sequence[hosting.Astray] = ()
    unnamed: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    refusing: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    silent: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    logs: t.Sequence[str] = ()
    left_out: int = 0


def tell(fleet: Fleet, before: Observations, now: Observations, logs: t.Sequence[str] = (), left_out: int = 0) -> Told:
    """What there is to tell of observations, compared with those before."""
    places = hosting.Hosting(fleet)
    providers: dict[str, list[str]] = {provider.name: [] for provider in fleet.providers}
    refusing: dict[str, list[str]] = {}
    for domain, each in sorted(now.domains.items()):
        providers.setdefault(places.of(domain, each.mx) or NOWHERE, []).append(domain)
        if hosting.takes_no_mail(each.mx):
            refusing.setdefault("null MX" if each.mx else "no such domain", []).append(domain)
    silent = {domain: each.silent for domain, each in sorted(now.domains.items()) if each.silent}
    return Told(now.date, providers, hosting.moves(fleet, before, now), hosting.astray(fleet, now),
                hosting.unnamed(fleet, now), refusing, silent, logs, left_out)


def text(told: Told, observed: Observations, fleet: Fleet) -> str:
    """The text, a paragraph for each matter that there is something to say of."""
    count = sum(len(domains) for domains in told.providers.values())
    parts = [f"mailfleet.sending: {many(count, 'recipient domain')} observed on {told.date}"]
    size = max([*map(len, told.providers), 0])
    wide = max((len(f"{len(domains):,}") for domains in told.providers.values()), default=0)
    parts.append("\n".join(["Hosted at", *(
        f"  {name.ljust(size)}  {len(domains):{wide},}  {some(domains)}".rstrip()
        for name, domains in told.providers.items())]))
    if told.moves:
        parts.append("\n".join([f"Moved ({len(told.moves):,})", *few([
            f"{move.domain}: from {move.old or NOWHERE} to {move.new or NOWHERE}, "
            f"by MX {hosts(move.new_mx)} instead of {hosts(move.old_mx)}" for move in told.moves])]))
    parts += stray(told.astray)
    parts += unnamed(told.unnamed)
    if told.refusing:
        parts.append("\n".join(["Take no mail", *(
            f"  {why} ({len(domains):,}): {some(domains)}" for why, domains in told.refusing.items())]))
    if told.silent:
        places = hosting.Hosting(fleet)
        alike: dict[str, list[str]] = {}
        for domain, why in told.silent.items():
            at = places.of(domain, observed.domains[domain].mx) or NOWHERE
            alike.setdefault(why, []).append(f"{domain} ({at})")
        parts.append("\n".join([f"DNS did not say ({len(told.silent):,}): these stay where they were", *few([
            f"{why}: {some(domains)}" for why, domains in alike.items()])]))
    if told.logs:
        parts.append("\n".join(["Mail logs", *(f"  {line}" for line in told.logs)]))
    if told.left_out:
        parts.append(f"! {told.left_out:,} domains were left out: there were too many")
    if not count:
        parts.append("! there was no domain to observe: list some in sending_recipient_domains, or let the servers be "
                     "reached, so that their mail logs are read")
    return "\n\n".join(parts) + "\n"


def stray(astray: t.Sequence[hosting.Astray]) -> list[str]:
    """The paragraph on domains whose MX are not at the provider that has them, where there are such."""
    if not astray:
        return []
    headline = f"! Listed at one provider, with MX elsewhere ({len(astray):,}): they stay where they are listed"
    return ["\n".join([headline, *few([str(each) for each in astray])])]


def unnamed(counts: t.Mapping[str, int]) -> list[str]:
    """The paragraph on shipped providers that domains are at and that nobody named, where there are such."""
    if not counts:
        return []
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return [f"Without limits, since sending_providers does not name them: domains at {shown}"]


def diff(before: Observations, now: Observations) -> str:
    """The changes as lines, as far as MX are concerned, and how many there are of the rest."""
    lines, more = [], 0
    for domain in sorted({*before.domains, *now.domains}):
        old, new = (each.domains.get(domain) for each in (before, now))
        if (old and (old.mx, old.silent)) == (new and (new.mx, new.silent)):
            continue
        if len(lines) < LINES:
            lines += [f"{sign} {domain} {_shown(each)}\n" for sign, each in (("-", old), ("+", new)) if each]
        else:
            more += 1
    if before.date != now.date:
        lines = [*([f"- date {before.date}\n"] if before.date else []), f"+ date {now.date}\n", *lines]
    if more:
        lines.append(f"and {more:,} domains more\n")
    if before.messages != now.messages:
        lines.append("and counts of messages\n")
    return "".join(lines)


def hosts(mx: t.Sequence[str] | None) -> str:
    """MX hosts in words."""
    if mx is None:
        return "not known"
    if not mx:
        return "none (no such domain)"
    return "none (null MX)" if list(mx) == [NULL] else some(mx, 3)


def _shown(each: Observed) -> str:
    return hosts(each.mx) + (f" ({each.silent})" if each.silent else "")
