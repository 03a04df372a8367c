# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a client that no term names through the records of a tree, and the term at which it breaks off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import (
    MAXIMUM_MX,
    MAXIMUM_TERMS,
    MAXIMUM_VOIDS,
    QUALIFIERS,
    Result,
    Step,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node, Term


@dataclass(frozen=True)
class Walk:
    """How the way ends.

    Attributes: C(family) of the client, 4 or 6; C(result) what it gets; C(chain) the terms that led to it, the
    outermost first; C(cause) why, of an error; C(limit) that the error is a limit of RFC 7208, 4.6.4; C(source) the
    question that it came from; C(before) the terms that stand before an error and may match: whom they match never
    sees it; C(guess) that a term whose target depends on the message was taken for one that does not match.
    """

    family: int
    result: Result
    chain: tuple[Step, ...] = ()
    cause: str = ""
    limit: bool = False
    source: str = ""
    before: tuple[Step, ...] = ()
    guess: bool = False

    @property
    def broken(self) -> bool:
        """Return whether the way ends in an error."""
        return self.result in (Result.PERMERROR, Result.TEMPERROR)


class _Break(Exception):
    def __init__(self, result: Result, chain: tuple[Step, ...], cause: str, limit: bool = False,
                 source: str = "") -> None:
        super().__init__(cause)
        self.result, self.chain, self.cause, self.limit, self.source = result, chain, cause, limit, source


def walk(nodes: Mapping[str, Node], domain: str, family: int) -> Walk:
    """Return how a client of the family (4 or 6) fares that no term names. At most 11 records are visited."""
    way = _Way(nodes, family)
    try:
        if nodes[domain].outcome.said and not nodes[domain].texts:
            return Walk(family, Result.NONE, (), nodes[domain].trouble, source=nodes[domain].outcome.source)
        result, chain = way.record(domain, ())
    except _Break as end:
        return Walk(family, end.result, end.chain, end.cause, end.limit, end.source, tuple(way.before), way.guess)
    return Walk(family, result, chain, guess=way.guess)


@dataclass
class _Way:
    """The counters of one way, which go through all its records, as in check_host()."""

    nodes: Mapping[str, Node]
    family: int
    terms: int = 0
    voids: list[str] = field(default_factory=list)
    before: list[Step] = field(default_factory=list)
    guess: bool = False

    def record(self, domain: str, chain: tuple[Step, ...]) -> tuple[Result, tuple[Step, ...]]:
        node = self.nodes[domain]
        if node.trouble:
            result = Result.PERMERROR if node.outcome.said else Result.TEMPERROR
            raise _Break(result, chain, node.trouble, source=node.outcome.source)
        for term in node.terms:
            step = (*chain, Step(domain, term.text))
            if term.counts:
                self.look_up(term, step)
            if term.name == "all":
                return QUALIFIERS[term.source.qualifier], step
            if term.leads:
                if term.per_message or term.unread:
                    self.guess = True
                    self.before.append(step[-1])
                    continue
                result, inner = self.record(term.target, step)
                if term.name == "redirect":
                    return result, inner
                if result is Result.PASS:
                    return QUALIFIERS[term.source.qualifier], inner
            elif self.matches_all(term):
                return QUALIFIERS[term.source.qualifier], step
            elif self.may_match(term):
                self.before.append(step[-1])
        return Result.NEUTRAL, (*chain, Step(domain, "no mechanism matches"))

    def look_up(self, term: Term, step: tuple[Step, ...]) -> None:
        """Count the term and its void lookups."""
        self.terms += 1
        if self.terms > MAXIMUM_TERMS:
            raise _Break(Result.PERMERROR, step, f"more than {MAXIMUM_TERMS} terms look up", True)
        if term.exchanges > MAXIMUM_MX:
            cause = f"{term.host} has {term.exchanges} MX records, more than {MAXIMUM_MX}"
            raise _Break(Result.PERMERROR, step, cause, True)
        of_address = "AAAA" if self.family == 6 and term.name != "exists" else "A"
        for outcome in term.silent:
            if outcome.rdtype in ("MX", of_address):
                raise _Break(Result.TEMPERROR, step, str(outcome), source=outcome.source)
        self.voids += [f"{term.text}: {void}" for void in term.voids
                       if not void.possible and self.family in void.families]
        if len(self.voids) > MAXIMUM_VOIDS:
            cause = f"more than {MAXIMUM_VOIDS} lookups find nothing: {'; '.join(self.voids)}"
            raise _Break(Result.PERMERROR, step, cause, True)

    def matches_all(self, term: Term) -> bool:
        """Return whether no client of the family escapes the term."""
        network = getattr(term.source, "network", None)
        if network:
            return network.version == self.family and network.prefixlen == 0
        if term.name == "exists":
            return bool(term.host) and not (term.voids or term.silent or term.unread)
        if term.name in ("a", "mx") and self.of_family(term):
            return (term.source.prefix4 if self.family == 4 else term.source.prefix6) == 0
        return False

    def may_match(self, term: Term) -> bool:
        """Return whether some client of the family matches the term."""
        network = getattr(term.source, "network", None)
        if network:
            return network.version == self.family
        return term.per_message or term.name == "ptr" or bool(self.of_family(term))

    def of_family(self, term: Term) -> list[str]:
        return [address for address in term.addresses if (":" in address) == (self.family == 6)]
