# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for an SPF record whoever sends: its tree, its worst cost, and where an evaluation breaks off.

The cost is that of a client that no term matches: it pays for every term of every branch (RFC 7208, 4.6.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import MAXIMUM_TERMS, Ask
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node, Term, read_tree, with_text
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_walk import Walk, walk

Each = Callable[[Callable, Iterable], list]
SHOWN = 200  # lines of a tree, and items of a list that is made of one


@dataclass(frozen=True)
class Cost:
    """What a client pays that nothing matches.

    Attributes: C(terms) that look up; C(voids4) and C(voids6) the lookups that find nothing, for a client of IPv4 and
    of IPv6; C(possible) those that may find nothing, which depends on the message; C(exact) is False where more can be
    spent than is known: DNS did not say, a macro names the record, a record leads back to itself, or the tree is too
    large to be read.
    """

    terms: int = 0
    voids4: int = 0
    voids6: int = 0
    possible: int = 0
    exact: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.terms + other.terms, self.voids4 + other.voids4, self.voids6 + other.voids6,
                    self.possible + other.possible, self.exact and other.exact)


@dataclass(frozen=True)
class Audit:
    """All that is known of a domain's record.

    Attributes: C(nodes) the records of the tree by their domain in lower case, the domain's own first; C(costs) what
    each takes in all; C(loops) the domains whose records lead back to themselves; C(walk4) and C(walk6) what happens to
    a client of IPv4 and of IPv6 that no term names; C(type99) the record of the dead type SPF, asked for where no other
    was found.
    """

    domain: str
    nodes: Mapping[str, Node]
    costs: Mapping[str, Cost]
    loops: frozenset[str]
    walk4: Walk
    walk6: Walk
    type99: Outcome | None = None

    @property
    def node(self) -> Node:
        """Return the domain's own record."""
        return self.nodes[self.domain]

    @property
    def cost(self) -> Cost:
        """Return what the domain's own record takes in all."""
        return self.costs[self.domain]

    def cost_of(self, term: Term) -> Cost:
        """Return what one term takes, with the record that it leads to."""
        return _own_cost(term) + self.costs.get(term.target, Cost())

    def tree(self) -> str:
        """Return the tree as text, a line for each term that looks up; what stands above is not repeated.

        It is cut where a tree has more terms than anybody could read.
        """
        count = _count(self.cost.terms, self.domain in self.loops)
        lines = [f"{self.domain}: {count}{'' if self.cost.exact else ' or more'} of {MAXIMUM_TERMS} lookups"]
        self._grow(lines, self.node, "  ", {self.domain})
        more = [f"and {len(lines) - SHOWN:,} more terms"] if len(lines) > SHOWN else []
        return "\n".join(lines[:SHOWN] + more)

    def _grow(self, lines: list[str], node: Node, indent: str, shown: set[str]) -> None:
        if node.trouble:
            lines.append(f"{indent}{node.trouble}")
        for term in node.terms:
            if not term.counts:
                continue
            repeated = term.target in shown
            above = " (as above)" if repeated else ""
            if repeated and term.target in self.loops:
                above = " (leads back: never ends)"
            elif term.per_message and term.leads:
                above = " (the message decides which record)"
            voids = f", finds nothing: {'; '.join(map(str, term.voids))}" if term.voids else ""
            terms = _count(self.cost_of(term).terms, term.target in self.loops)
            lines.append(f"{indent}{term.text}: {terms}{voids}{above}")
            if term.target in self.nodes and not repeated:
                shown.add(term.target)
                self._grow(lines, self.nodes[term.target], f"{indent}  ", shown)

    def voids(self) -> list[tuple[str, Term]]:
        """Return the terms of the tree that look up what is not there, each with the domain whose record holds it."""
        return [(name, term) for name, node in self.nodes.items() for term in node.terms if term.voids]

    def to_dict(self) -> dict[str, object]:
        """Return the audit as plain data: owner, text, tree, lookups, exact, otherwise, voids, limits.

        Lists are cut at SHOWN items: a tree may have thousands of terms.
        """
        return {
            "owner": self.domain,
            "text": self.node.text if len(self.node.texts) == 1 else "",
            "tree": self.tree(),
            "lookups": self.cost.terms,
            "exact": self.cost.exact,
            "otherwise": {"ipv4": self.walk4.result.value, "ipv6": self.walk6.result.value},
            "voids": [{"owner": name, "term": term.text, "found": list(map(str, term.voids)),
                       **_counted(_own_cost(term))} for name, term in self.voids()[:SHOWN]],
            "limits": [{"family": f"ipv{walk.family}", "cause": walk.cause, "at": str(walk.chain[-1]),
                        "hidden_from": [step.term for step in walk.before[:SHOWN]]}
                       for walk in (self.walk4, self.walk6) if walk.limit],
        }


def one_by_one(function: Callable, items: Iterable) -> list:
    """Return function(item) of every item, in order: Lookup.each without threads."""
    return [function(item) for item in items]


def audit(domain: str, ask: Ask, each: Each | None = None) -> Audit:
    """Return what holds for the domain's record and all that it leads to.

    Arguments: C(ask) asks DNS for (name, type); C(each) returns function(item) of every item, in parallel where it is
    Lookup.each. Never more than spf_nodes.MAXIMUM_RECORDS records are read and MAXIMUM_QUESTIONS questions asked.
    """
    domain = domain.lower().removesuffix(".")
    nodes = read_tree(domain, ask, each or one_by_one)
    type99 = None if nodes[domain].texts or not nodes[domain].outcome.said else ask(domain, "SPF")
    costs, loops = _costs(domain, nodes)
    return Audit(domain, nodes, costs, loops, walk(nodes, domain, 4), walk(nodes, domain, 6), type99)


def audit_with(found: Audit, text: str, ask: Ask) -> Audit:
    """Return the audit that there would be with another record at the domain.

    It reads nothing again where that record only leaves terms out, or looks up nothing in place of them.
    """
    node = with_text(found.node, text)
    if not node:
        return audit(found.domain, published(ask, {found.domain: text}))
    nodes = {**found.nodes, found.domain: node}
    costs, loops = _costs(found.domain, nodes)
    nodes = {name: each for name, each in nodes.items() if name in costs}
    return Audit(found.domain, nodes, costs, loops, walk(nodes, found.domain, 4), walk(nodes, found.domain, 6))


def published(ask: Ask, texts: Mapping[str, str]) -> Ask:
    """Return the C(ask) that there would be if these records were published (what_if).

    Arguments: C(texts) is {domain: record}, in place of the SPF records that stand there; an empty text removes them.
    """
    given = {name.lower().removesuffix("."): text for name, text in texts.items()}

    def answer(name: str, rdtype: str) -> Outcome:
        outcome = ask(name, rdtype)
        text = given.get(name.lower().removesuffix("."))
        if text is None or rdtype != "TXT":
            return outcome
        others = tuple(value for value in outcome.values if not is_spf(value))
        values = (*others, text) if text else others
        return replace(outcome, kind=Kind.VALUES if values else Kind.NO_DATA, values=values, server="", cause="what if")

    return answer


def _own_cost(term: Term) -> Cost:
    """Return the cost of the term without that of the record it leads to."""
    certain = [void for void in term.voids if not void.possible]
    return Cost(int(term.counts), sum(4 in void.families for void in certain),
                sum(6 in void.families for void in certain), sum(void.times for void in term.voids if void.possible),
                not (term.silent or term.unread or (term.per_message and term.leads)))


def _counted(cost: Cost) -> dict[str, int]:
    return {"ipv4": cost.voids4, "ipv6": cost.voids6, "possible": cost.possible}


def _costs(root: str, nodes: Mapping[str, Node]) -> tuple[dict[str, Cost], frozenset[str]]:
    """Return the cost of each record, and which lead back to themselves: they take more than is allowed."""
    costs: dict[str, Cost] = {}
    loops: set[str] = set()
    above: list[str] = []

    def cost(name: str) -> Cost:
        if name in above:
            loops.update(above[above.index(name):])
            return Cost(terms=MAXIMUM_TERMS + 1, exact=False)
        if name not in costs:
            above.append(name)
            total = Cost(exact=nodes[name].outcome.said)
            for term in nodes[name].terms:
                total += _own_cost(term)
                if term.target in nodes:
                    total += cost(term.target)
            costs[name] = total
            above.pop()
        return costs[name]

    cost(root)
    return {name: costs[name] for name in nodes if name in costs}, frozenset(loops)


def _count(terms: int, loop: bool) -> str:
    return f"over {MAXIMUM_TERMS}, without end" if loop else str(terms)
