# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom the zone above leads those to who look for a zone, where the zone itself may name others (RFC 1034, 4.2.2).

Receivers ask the servers that the zone above names before they know any other. One that the zone itself does not name,
as that of a former hoster, may serve a zone of long ago.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome, Server

if TYPE_CHECKING:
    from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup

MAXIMUM_ASKED = 2  # servers of the zone above, the next where one does not say
MAXIMUM_BESIDES = 16  # addresses that the zone above alone leads to
HOLD = 3600  # seconds: what a run found holds for all of it
NOBODYS = ("0.0.0.0", "::")  # a query to these would go to this machine (RFC 1122, 3.2.1.3)
ADDRESSES = ("A", "AAAA")


@dataclass(frozen=True)
class Authorities:
    """The authoritative servers of a name.

    Attributes: C(zone) the name of the zone, empty where it was not found; C(servers) one for each address of each
    name server; C(silent) the outcomes that kept the list from being whole; C(names) the name servers that the zone
    itself names, and C(aliases) what those of them lead to that are aliases.
    """

    zone: str
    servers: tuple[Server, ...]
    silent: tuple[Outcome, ...] = ()
    names: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Delegation:
    """What the zone above says of who serves a zone.

    Attributes: C(own) as the zone itself says it; C(parent) the zone above; C(said) what one of its servers answered,
    None where it was not asked; C(names) those that it names, none where it did not say or serves the zone itself;
    C(astray) hosts with addresses that it alone gives them (glue); C(servers) what it alone leads to and what serves
    the zone; C(silent) what the others of these said.
    """

    own: Authorities
    parent: str = ""
    said: Outcome | None = None
    names: tuple[str, ...] = ()
    astray: tuple[tuple[str, str], ...] = ()
    servers: tuple[Server, ...] = ()
    silent: tuple[Outcome, ...] = ()


def serving(lookup: Lookup, at: str) -> tuple[str, Outcome]:
    """Return the zone that holds a name, and the answer that names its servers; no zone where DNS did not say."""
    while True:
        names = lookup.ask(at, "NS")
        if not names.said:
            return "", names
        if names.kind is Kind.VALUES and not names.chain:
            return at, names
        if at == ".":
            return "", replace(names, kind=Kind.SILENT, cause="no zone was found")
        parent = above(at)
        # A negative answer names its zone, which saves the steps between.
        at = names.zone if not names.chain and names.zone and _holds(names.zone, parent) else parent


def _holds(zone: str, name: str) -> bool:
    return zone == "." or f".{name}".endswith(f".{zone}")


def above(name: str) -> str:
    """Return the name without its first label."""
    return name.partition(".")[2] or "."


def addresses(lookup: Lookup, hosts: Iterable[str],
              kinds: Iterable[str] = ADDRESSES) -> list[tuple[str, list[Outcome]]]:
    """Return each host with what the resolvers say of its addresses, one outcome for each kind."""
    hosts, kinds = list(hosts), list(kinds)
    questions = [(host, kind) for host in hosts for kind in kinds]
    found = lookup.each(lambda question: lookup.ask(*question), questions, first=True)
    return [(host, found[at * len(kinds) : (at + 1) * len(kinds)]) for at, host in enumerate(hosts)]


def values(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the addresses of outcomes to which a query may be sent."""
    return [address for outcome in outcomes for address in outcome.values if address not in NOBODYS]


def find(lookup: Lookup, own: Authorities, auto: bool) -> tuple[Delegation, float]:
    """Return what the zone above says of a zone, and for how many seconds that holds.

    One of its servers is asked, and each server that it alone leads to, whether it serves the zone. Arguments: C(own)
    what the zone itself says; C(auto) see Lookup.step.
    """
    if own.zone in ("", "."):
        return Delegation(own), HOLD
    parent, hosts = serving(lookup, above(own.zone))
    if not parent:
        return Delegation(own, said=hosts), 0
    said = _referral(lookup, own.zone, parent, hosts.values, auto)
    if said.zone != own.zone or not said.referral:
        # One without a way to it is this machine's lack.
        return Delegation(own, parent, None if said.unroutable else said), HOLD if said.said else 0
    names = tuple(name for name, _glue in said.referral)
    places, silent = _places(lookup, own, said)
    note = f"named by {parent} alone"
    servers = [Server(address, lookup.authority_port, host, own.zone, note) for host, address in places]
    if len(servers) > MAXIMUM_BESIDES:
        cause = f"of {len(servers)} addresses that {parent} alone leads to {MAXIMUM_BESIDES} are asked"
        silent.append(Outcome(own.zone, "SOA", Kind.SILENT, server=f"other name servers of {own.zone}", cause=cause))
    servers = servers[:MAXIMUM_BESIDES]
    answers = [outcome for outcome, _target in lookup.each(
        lambda server: lookup.step(own.zone, "SOA", server, auto), servers)]
    serve = tuple(server for server, outcome in zip(servers, answers) if outcome.said)
    hosts_that_serve = {server.name for server in serve}
    silent += [outcome for server, outcome in zip(servers, answers)
               if not (outcome.said or (outcome.unroutable and server.name in hosts_that_serve))]
    astray = tuple(place for place in places if place[0] in own.names)
    return Delegation(own, parent, said, names, astray, serve, tuple(silent)), HOLD


def _referral(lookup: Lookup, zone: str, parent: str, hosts: Iterable[str], auto: bool) -> Outcome:
    """Return what the first server of the zone above says that says anything, be it a referral."""
    said = Outcome(zone, "NS", Kind.SILENT, server=parent, cause="its name servers have no address")
    for host in list(hosts)[:MAXIMUM_ASKED]:
        for kind in ADDRESSES:
            ((_host, found),) = addresses(lookup, [host], [kind])
            if not (reached := values(found)):
                continue
            said, _target = lookup.step(zone, "NS", Server(reached[0], lookup.authority_port, host, parent), auto)
            if said.said or said.referral:
                return said
            break
    return said


def _places(lookup: Lookup, own: Authorities, said: Outcome) -> tuple[list[tuple[str, str]], list[Outcome]]:
    """Return host and address of all that the zone above alone leads to, and what kept the list from being whole."""
    known = {server.address for server in own.servers}
    others = {name: glue for name, glue in said.referral if name not in own.names}
    silent = []
    # Glue is what receivers begin with, whatever the zone says of the same name afterwards.
    places = {(name, address): None for name, glue in said.referral for address in glue if address not in NOBODYS}
    for host, outcomes in addresses(lookup, list(others)[:MAXIMUM_BESIDES]):
        found = values(outcomes)
        places |= {(host, address): None for address in found}
        if not found and not others[host]:
            missing = next((outcome for outcome in outcomes if not outcome.said), None)
            silent.append(replace(missing or outcomes[0], kind=Kind.SILENT, values=(), server=host,
                                  cause=missing.cause if missing else "the name server has no address"))
    return [(host, address) for host, address in places if address not in known], silent
