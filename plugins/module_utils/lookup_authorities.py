# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authoritative servers of a name: found through the resolvers, once for each zone, and each of them asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_wire import MAXIMUM_CHAIN, absolute
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome, Server

if TYPE_CHECKING:
    from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup

# Labels of a reverse name under which zones are cut: a /24 (RFC 1035, 3.5) and a /64 (RFC 3596, 2.5). Below it a CNAME
# leads elsewhere (RFC 2317), or the servers of the zone above say that there is another cut.
NETWORKS = {".in-addr.arpa.": 3, ".ip6.arpa.": 16}
# No zone needs more, and one that has thousands must not take the time of all others.
MAXIMUM_HOSTS = 32
MAXIMUM_SERVERS = 64  # addresses of them
NOBODYS = ("0.0.0.0", "::")  # a query to these would go to this machine (RFC 1122, 3.2.1.3)
MAXIMUM_WAYS = 4  # by which the servers of one zone send on those who ask
ADDRESSES = ("A", "AAAA")


@dataclass(frozen=True)
class Authorities:
    """The authoritative servers of a name.

    Attributes: C(zone) the name of the zone, empty where it was not found; C(servers) one for each address of each
    name server; C(silent) the outcomes that kept the list from being whole.
    """

    zone: str
    servers: tuple[Server, ...]
    silent: tuple[Outcome, ...] = ()


def network(name: str) -> str:
    """Return the name of the network that a reverse name is in; of any other name, itself."""
    for suffix, labels in NETWORKS.items():
        if name.endswith(suffix):
            own = name.removesuffix(suffix).split(".")
            return ".".join(own[-labels:]) + suffix
    return name


def find(lookup: Lookup, at: str) -> tuple[Authorities, int]:
    """Return the authoritative servers of the zone that holds the name, and for how many seconds that holds."""
    while True:
        names = lookup.ask(at, "NS")
        if not names.said:
            return Authorities("", (), (names,)), 0
        if names.kind is Kind.VALUES and not names.chain:
            break
        if at == ".":
            return Authorities("", (), (replace(names, kind=Kind.SILENT, cause="no zone was found"),)), 0
        parent = at.partition(".")[2] or "."
        # A negative answer names its zone, which saves the steps between.
        at = names.zone if not names.chain and names.zone and f".{parent}".endswith(f".{names.zone}") else parent
    hosts = names.values[:MAXIMUM_HOSTS]
    found = lookup.each(lambda question: lookup.ask(*question), [(host, kind) for host in hosts for kind in ADDRESSES])
    servers, silent = [], []
    for host, *outcomes in zip(hosts, found[::2], found[1::2]):
        addresses = [address for outcome in outcomes for address in outcome.values if address not in NOBODYS]
        servers += [Server(address, lookup.authority_port, host, at) for address in addresses]
        silent += [replace(outcome, server=f"{outcome.server} for {host}") for outcome in outcomes if not outcome.said]
        if not addresses and all(outcome.said for outcome in outcomes):
            silent.append(Outcome(host, "A", Kind.SILENT, server=host, cause="the name server has no address"))
    if len(names.values) > len(hosts) or len(servers) > MAXIMUM_SERVERS:
        cause = f"of {len(names.values)} name servers {len(hosts)} with {MAXIMUM_SERVERS} addresses at most are asked"
        silent.append(replace(names, kind=Kind.SILENT, values=(), server=f"other name servers of {at}", cause=cause))
    return Authorities(at, tuple(servers[:MAXIMUM_SERVERS]), tuple(silent)), 0 if silent else names.ttl


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
    if any(_below(outcome.zone, authorities.zone) for outcome, _target in answers):
        authorities = lookup.authorities(at)  # there is another cut below the network
        answers = _answers(lookup, at, rdtype, authorities, auto)
    hosts = {server.name for server, (outcome, _target) in zip(authorities.servers, answers) if outcome.said}
    heard = [answer for server, answer in zip(authorities.servers, answers)
             if not (answer[0].unroutable and server.name in hosts)]
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
             auto: bool) -> list[tuple[Outcome, str]]:
    return lookup.each(lambda server: lookup.step(name, rdtype, server, auto), authorities.servers)


def _beyond(lookup: Lookup, target: str, alias: Outcome, auto: bool, way: tuple[str, ...]) -> list[Outcome]:
    """Return what the servers of the alias' target say, as outcomes of the alias."""
    walked = (*way, *alias.chain)
    if target in walked[:-1] or len(walked) > MAXIMUM_CHAIN:
        return [replace(alias, kind=Kind.SILENT, cause=too_long(walked))]
    outcomes = ask_each(lookup, target, alias.rdtype, auto, walked[:-1])
    if not any(outcome.said for outcome in outcomes) and (resolved := lookup.ask(target, alias.rdtype)).said:
        outcomes = [replace(resolved, server=alias.server)]
    return [replace(outcome, name=alias.name, chain=(*alias.chain, *outcome.chain), ttl=min(alias.ttl, outcome.ttl))
            for outcome in outcomes]


def too_long(way: tuple[str, ...]) -> str:
    """Return the cause where CNAMEs have no end."""
    return f"CNAMEs lead in a loop or through over {MAXIMUM_CHAIN} names: {' > '.join(way)}"


def _below(name: str, zone: str) -> bool:
    return bool(name and zone) and name != zone and (zone == "." or name.endswith(f".{zone}"))
