# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authoritative servers of a name: found through the resolvers, once for each zone, and each of them asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup_delegation
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_wire import MAXIMUM_CHAIN, absolute
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_delegation import Authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome, Server

if TYPE_CHECKING:
    from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup

# Labels of a reverse name under which zones are cut: a /24 (RFC 1035, 3.5) and a /64 (RFC 3596, 2.5). Below it a CNAME
# leads elsewhere (RFC 2317), or the servers of the zone above say that there is another cut.
NETWORKS = {".in-addr.arpa.": 3, ".ip6.arpa.": 16}
# No zone needs more, and one that has thousands must not take the time of all others.
MAXIMUM_HOSTS = 32
MAXIMUM_SERVERS = 64  # addresses of them
MAXIMUM_WAYS = 4  # by which the servers of one zone send on those who ask


def network(name: str) -> str:
    """Return the name of the network that a reverse name is in; of any other name, itself."""
    for suffix, labels in NETWORKS.items():
        if name.endswith(suffix):
            own = name.removesuffix(suffix).split(".")
            return ".".join(own[-labels:]) + suffix
    return name


def find(lookup: Lookup, at: str) -> tuple[Authorities, int]:
    """Return the authoritative servers of the zone that holds the name, and for how many seconds that holds."""
    if at == "." or lookup.authorities_above(at):
        return _find(lookup, at)
    # Of this part of the tree nothing is known. Who serves the names above is wanted next, for one of them is the zone,
    # or has its say on it: looked up meanwhile. Labels like _domainkey are in a zone and seldom one.
    above = lookup_delegation.above(at)
    while above.startswith("_"):
        above = lookup_delegation.above(above)
    return lookup.each(lambda act: act(), (
        lambda: lookup_delegation.serving(lookup, above), lambda: _find(lookup, at)), first=True)[1]


def _find(lookup: Lookup, at: str) -> tuple[Authorities, int]:
    zone, names = lookup_delegation.serving(lookup, at)
    if not zone:
        return Authorities("", (), (names,)), 0
    if zone != at:
        made = lookup.authorities(zone)
        return made, 0 if made.silent else names.ttl
    hosts = names.values[:MAXIMUM_HOSTS]
    servers, silent, aliases = [], [], []
    for host, outcomes in lookup_delegation.addresses(lookup, hosts):
        found = lookup_delegation.values(outcomes)
        servers += [Server(address, lookup.authority_port, host, zone) for address in found]
        silent += [replace(outcome, server=f"{outcome.server} for {host}") for outcome in outcomes if not outcome.said]
        aliases += [(host, outcome.chain[-1]) for outcome in outcomes if outcome.chain]
        if not found and all(outcome.said for outcome in outcomes):
            silent.append(Outcome(host, "A", Kind.SILENT, server=host, cause="the name server has no address"))
    if len(names.values) > len(hosts) or len(servers) > MAXIMUM_SERVERS:
        cause = f"of {len(names.values)} name servers {len(hosts)} with {MAXIMUM_SERVERS} addresses at most are asked"
        silent.append(replace(names, kind=Kind.SILENT, values=(), server=f"other name servers of {zone}", cause=cause))
    made = Authorities(zone, tuple(servers[:MAXIMUM_SERVERS]), tuple(silent), names.values,
                       tuple(dict.fromkeys(aliases)))
    return made, 0 if silent else names.ttl


def ask_each(lookup: Lookup, name: str, rdtype: str, auto: bool = False, way: tuple[str, ...] = ()) -> list[Outcome]:
    """Return the outcome of each authoritative server of the name, and those of servers that were not found.

    Where a CNAME leads out of the zone, its target is asked of each of the target's servers, and of the resolvers where
    none of those says anything. The servers of one zone may differ in where it leads, those behind it may not. An
    address of a family that this machine cannot reach is left out where the same server answers at another.

    Arguments: C(auto) see Lookup.step; C(way) the names that CNAMEs led through so far, the first one asked for being
    the first.
    """
    at = absolute(name)
    authorities = _authorities(lookup, at, rdtype, auto)
    answers = _answers(lookup, at, rdtype, authorities, auto)
    if any(_below(outcome.zone, authorities.zone) for _server, outcome, _target in answers):
        authorities = lookup.authorities(at)  # there is another cut below the network
        answers = _answers(lookup, at, rdtype, authorities, auto)
    hosts = {server.name for server, outcome, _target in answers if outcome.said}
    heard = [(outcome, target) for server, outcome, target in answers
             if not (outcome.unroutable and server.name in hosts)]
    targets: dict[str, list[Outcome]] = {}
    for outcome, target in heard:
        if target:
            targets.setdefault(target, []).append(outcome)
    outcomes = [outcome for outcome, target in heard if not target] + list(authorities.silent)
    if len(targets) > (1 if way else MAXIMUM_WAYS):
        # At each of the names they could lead apart again: that has no end.
        cause = f"its name servers lead to {len(targets)} different names: {', '.join(list(targets)[:MAXIMUM_WAYS])}"
        return outcomes + [replace(outcome, kind=Kind.SILENT, cause=cause) for outcome, target in heard if target]
    for target, aliases in targets.items():
        beyond = _beyond(lookup, target, aliases[0], auto, (*way, at))
        if len(targets) > 1 or outcomes:
            through = ", ".join(outcome.server for outcome in aliases)
            beyond = [replace(outcome, server=f"{outcome.server} by way of {through}") for outcome in beyond]
        outcomes += beyond
    return outcomes


def _authorities(lookup: Lookup, at: str, rdtype: str, auto: bool) -> Authorities:
    """Return the servers of the name, or of its network.

    Mostly these are those of a domain above. Where that was met before, they are asked meanwhile, and their answers are
    at hand when it is known.
    """
    def find() -> Authorities:
        return lookup.authorities(network(at))

    above = lookup.authorities_above(network(at))
    if not above:
        return find()
    return lookup.each(lambda act: act(), [find, lambda: _answers(lookup, at, rdtype, above, auto)])[0]


def _answers(lookup: Lookup, name: str, rdtype: str, authorities: Authorities,
             auto: bool) -> list[tuple[Server, Outcome, str]]:
    """Return what each server says, those included that the zone above alone leads to, and the CNAME to follow.

    Who these are is found out once for a zone, and meanwhile the others are asked.
    """
    def ask(servers: Iterable[Server]) -> list[tuple[Server, Outcome, str]]:
        servers = list(servers)
        answers = lookup.each(lambda server: lookup.step(name, rdtype, server, auto), servers)
        return [(server, *answer) for server, answer in zip(servers, answers)]

    if known := lookup.delegation(authorities, auto, only_known=True):
        return ask((*authorities.servers, *known.servers))
    besides, own = lookup.each(lambda act: act(), (
        lambda: ask(lookup.delegation(authorities, auto).servers), lambda: ask(authorities.servers)))
    return own + besides


def _beyond(lookup: Lookup, target: str, alias: Outcome, auto: bool, way: tuple[str, ...]) -> list[Outcome]:
    """Return what the servers of the alias' target say, as outcomes of the alias."""
    walked = (*way, *alias.chain)
    if target in walked[:-1] or len(walked) > MAXIMUM_CHAIN:
        return [replace(alias, kind=Kind.SILENT, cause=too_long(walked))]
    outcomes = ask_each(lookup, target, alias.rdtype, auto, walked[:-1])
    if not any(outcome.said for outcome in outcomes) and (resolved := lookup.ask(target, alias.rdtype)).said:
        outcomes = [replace(resolved, server=f"{alias.server}, and of {resolved.server} for {target}")]
    return [replace(outcome, name=alias.name, chain=(*alias.chain, *outcome.chain), ttl=min(alias.ttl, outcome.ttl))
            for outcome in outcomes]


def too_long(way: tuple[str, ...]) -> str:
    """Return the cause where CNAMEs have no end."""
    return f"CNAMEs lead in a loop or through over {MAXIMUM_CHAIN} names: {' > '.join(way)}"


def _below(name: str, zone: str) -> bool:
    return bool(name and zone) and name != zone and (zone == "." or name.endswith(f".{zone}"))
