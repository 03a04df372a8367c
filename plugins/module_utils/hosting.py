# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which provider a recipient domain is hosted at, by where its MX point.

Where mail goes is up to the most preferred MX hosts alone: Postfix turns to others only while it reaches none of those.
Of these one at the provider is enough, whatever stands beside it, since part of the mail then arrives there and counts
against its limits. Where they are at several providers, it is the one that has most of them, and of equals the one that
the inventory names first.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import NONE, NULL, Observations
from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PROFILES


@dataclasses.dataclass(frozen=True)
class Move:
    """A domain that was at one provider and is at another, each empty for none, and its MX hosts then and now."""

    domain: str
    old: str
    new: str
    old_mx: tuple[str, ...]
    new_mx: tuple[str, ...]

    def to_dict(self) -> dict[str, t.Any]:
        """The move as plain data."""
        return {**dataclasses.asdict(self), "old_mx": list(self.old_mx), "new_mx": list(self.new_mx)}


@dataclasses.dataclass(frozen=True)
class Astray:
    """A domain that stands among those of a provider though its MX are elsewhere: ``at`` another, empty for none."""

    domain: str
    provider: str
    at: str
    mx: tuple[str, ...]

    def __str__(self) -> str:
        if takes_no_mail(self.mx):
            why = "has a null MX" if self.mx else "does not exist"
            return f"{self.domain}: listed at {self.provider}, and takes no mail: it {why}"
        shown = ", ".join(self.mx[:3])
        return f"{self.domain}: listed at {self.provider}, its MX {shown} at {self.at or 'none of sending_providers'}"

    def to_dict(self) -> dict[str, t.Any]:
        """The domain as plain data."""
        return {**dataclasses.asdict(self), "mx": list(self.mx)}


class Hosting:
    """The providers of a fleet, by their domains and by the suffixes of their MX hosts."""

    def __init__(self, fleet: Fleet) -> None:
        self.own = {domain: provider.name for provider in fleet.providers for domain in provider.domains}
        self.suffixes = {suffix: provider.name for provider in fleet.providers for suffix in provider.mx}
        self.knowing = {provider.name for provider in fleet.providers if provider.mx}
        names = {domain.name for domain in fleet.domains}
        # Mail to these ends on the fleet's own servers.
        self.here = {server.hostname for server in fleet.servers} - names
        self.here |= {domain.bounce_domain for domain in fleet.domains if domain.bounce_domain} - names

    def by_mx(self, mx: t.Sequence[str] | None) -> str:
        """The provider that MX hosts are at, empty for none."""
        return _most(self.suffixes, mx)

    def of(self, domain: str, mx: t.Sequence[str] | None) -> str:
        """The provider of a domain, empty for none: the one that has it among its domains, whatever its MX say."""
        return self.own.get(domain) or ("" if domain in self.here else self.by_mx(mx))


def hosted(fleet: Fleet, observed: Observations) -> dict[str, str]:
    """The domains that are no provider's own and hosted at one, with its name, in the order of the alphabet."""
    hosting = Hosting(fleet)
    found = {}
    for domain, each in sorted(observed.domains.items()):
        if domain not in hosting.own and (provider := hosting.of(domain, each.mx)):
            found[domain] = provider
    return found


def moves(fleet: Fleet, before: Observations, now: Observations) -> list[Move]:
    """The domains that are hosted elsewhere than before. One that was not observed before has not moved."""
    hosting = Hosting(fleet)
    found = []
    for domain, each in sorted(now.domains.items()):
        known = before.domains.get(domain)
        if known and known.mx is not None and each.mx is not None and known.mx != each.mx:
            old, new = hosting.of(domain, known.mx), hosting.of(domain, each.mx)
            if old != new:
                found.append(Move(domain, old, new, known.mx, each.mx))
    return found


def astray(fleet: Fleet, observed: Observations) -> list[Astray]:
    """The domains that providers have among theirs though their MX are elsewhere.

    Of a provider whose MX hosts nobody named only those are told that are at another one.
    """
    hosting = Hosting(fleet)
    found = []
    for domain, provider in hosting.own.items():
        each = observed.domains.get(domain)
        if each is None or each.mx is None:
            continue
        at = hosting.by_mx(each.mx)
        if at != provider and (at or provider in hosting.knowing):
            found.append(Astray(domain, provider, at, each.mx))
    return found


def unnamed(fleet: Fleet, observed: Observations) -> dict[str, int]:
    """How many domains are at shipped providers that the inventory does not name, by provider, most first."""
    hosting = Hosting(fleet)
    named = {provider.name for provider in fleet.providers}
    suffixes = {suffix: name for name, profile in PROFILES.items() if name not in named for suffix in profile.mx}
    found: collections.Counter[str] = collections.Counter()
    for domain, each in observed.domains.items():
        if domain not in hosting.here and not hosting.of(domain, each.mx) and (name := _most(suffixes, each.mx)):
            found[name] += 1
    return dict(found.most_common())


def by_provider(hosting: Hosting, counts: t.Mapping[str, int], observed: Observations) -> dict[str, int]:
    """Messages by domain put together by provider, NONE for those of no provider."""
    found: collections.Counter[str] = collections.Counter()
    for domain, count in counts.items():
        known = observed.domains.get(domain)
        found[hosting.of(domain, known.mx if known else None) or NONE] += count
    return dict(sorted(found.items()))


def takes_no_mail(mx: t.Sequence[str] | None) -> bool:
    """Whether DNS says that a domain takes no mail, or that there is none."""
    return mx is not None and (not mx or list(mx) == [NULL])


def _most(suffixes: t.Mapping[str, str], mx: t.Sequence[str] | None) -> str:
    """The name that most hosts have by their suffixes, of equals the one whose suffixes come first."""
    found: collections.Counter[str] = collections.Counter()
    for host in mx or ():
        labels = host.rstrip(".").lower().split(".")
        names = (".".join(labels[at:]) for at in range(len(labels)))
        if name := next((suffixes[each] for each in names if each in suffixes), ""):
            found[name] += 1
    if len(found) < 2:
        return next(iter(found), "")
    order = list(dict.fromkeys(suffixes.values()))
    return min(found, key=lambda name: (-found[name], order.index(name)))
