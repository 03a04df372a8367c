# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records that an SPF record leads to, read once each, with what DNS has for the hosts that they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import MAXIMUM_MX, Ask, is_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_macro import Message, target_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    LOOKING_UP,
    Macro,
    Mechanism,
    Modifier,
    Problem,
    SpfRecord,
    SpfSyntaxError,
    is_spf,
    parse_record,
)

# A receiver reads 11 records at most. What is read beyond that is for the mend, and needs an end: names may be endless.
MAXIMUM_RECORDS = 64
MAXIMUM_QUESTIONS = 400
# Beyond so many terms no more records are read: records of 64 kB have thousands each, and a tree is read in a second.
MAXIMUM_TERMS_READ = 40_000
_FIXED = frozenset("do")  # macros that are the same for every message of the domain
_NOBODY = ipaddress.ip_address("0.0.0.0")
_BOTH = frozenset({4, 6})


@dataclass(frozen=True)
class Void:
    """A lookup of a term that finds nothing (RFC 7208, 4.6.4).

    C(families) the clients (4, 6) it is asked for; C(possible) that it depends on the message, up to C(times) times.
    """

    question: str
    found: str
    families: frozenset[int] = _BOTH
    possible: bool = False
    times: int = 1

    def __str__(self) -> str:
        return f"{self.question}: {self.found}"


@dataclass(frozen=True)
class Term:
    """A term that is read by a client that nothing before it matched.

    C(target) the domain that it leads to, in lower case, for include and redirect; C(host) the one that a, mx, exists
    and ptr ask about; both are empty where C(per_message) says that a macro makes them differ. C(silent) the outcomes
    of servers that did not say; C(addresses) of a and mx; C(exchanges) how many MX records; C(unread) that it was not
    looked at, because the tree is too large.
    """

    source: Mechanism | Modifier
    target: str = ""
    host: str = ""
    per_message: bool = False
    voids: tuple[Void, ...] = ()
    silent: tuple[Outcome, ...] = ()
    addresses: tuple[str, ...] = ()
    exchanges: int = 0
    unread: bool = False

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def counts(self) -> bool:
        """Return whether it is one of the 10 terms that may look up."""
        return self.name in LOOKING_UP

    @property
    def leads(self) -> bool:
        """Return whether it leads to another record."""
        return self.name in ("include", "redirect")


@dataclass(frozen=True)
class Node:
    """The record of one domain.

    C(texts) all its SPF records, of which one is allowed; C(record) the terms of the one, where its syntax is right;
    C(problems) what is wrong with it; C(terms) those that are read when nothing matches; C(unread) those behind "all",
    with a redirect that "all" makes void; C(trouble) why an evaluation that comes here has no result, else empty.
    """

    domain: str
    outcome: Outcome
    texts: tuple[str, ...] = ()
    record: SpfRecord | None = None
    problems: tuple[Problem, ...] = ()
    terms: tuple[Term, ...] = ()
    unread: tuple[Mechanism | Modifier, ...] = ()
    trouble: str = ""

    @property
    def text(self) -> str:
        """Return the first SPF record, or nothing."""
        return self.texts[0] if self.texts else ""


def read_tree(root: str, ask: Ask, each: Callable[[Callable, Iterable], list]) -> dict[str, Node]:
    """Return the records of the tree by domain, the root's first, those nearer to it before those behind them."""
    found: dict[str, tuple] = {}
    level = [root]
    while level:
        outcomes = each(lambda domain: _ask(ask, domain, "TXT"), level)
        found |= {domain: _record(domain, outcome, root) for domain, outcome in zip(level, outcomes)}
        targets = dict.fromkeys(term.target for domain in level for term in found[domain].terms if term.target)
        sizes = [len(node.terms) for node in found.values()]
        # How long the next ones are is not known: as long as the longest, perhaps.
        room = (MAXIMUM_TERMS_READ - sum(sizes)) // max(*sizes, 1)
        most = max(0, min(MAXIMUM_RECORDS - len(found), room))
        level = [target for target in targets if target not in found][:most]
    answers = _hosts(found.values(), ask, each)
    return {domain: replace(node, terms=tuple(_looked_up(term, found, answers) for term in node.terms))
            for domain, node in found.items()}


def _ask(ask: Ask, name: str, rdtype: str) -> Outcome:
    """Ask for a name in which a backslash would begin an escape."""
    if rdtype == "TXT" and not is_domain(name):
        return Outcome(name, rdtype, Kind.NO_NAME, cause=f"{name!r} is no domain name of several labels")
    return ask(name.replace("\\", "\\\\"), rdtype)


def _record(domain: str, outcome: Outcome, root: str) -> Node:
    """Return the record of the domain, its terms not looked up yet."""
    if not outcome.said:
        return Node(domain, outcome, trouble=str(outcome))
    texts = tuple(value for value in outcome.values if is_spf(value))
    if not texts:
        missing = "no TXT record begins with v=spf1" if outcome.kind is Kind.VALUES else str(outcome)
        return Node(domain, outcome, trouble=f"{domain} has no SPF record: {missing}")
    record, problems, trouble = None, (), ""
    try:
        record = parse_record(texts[0])
    except SpfSyntaxError as error:
        problems = error.problems
        trouble = f"the record of {domain} is wrong {'; '.join(map(str, problems[:3]))}"
    if len(texts) > 1:
        trouble = f"{domain} has {len(texts)} SPF records, one is allowed"
    if trouble or not record:
        return Node(domain, outcome, texts, record, problems, trouble=trouble)
    read, unread = _read(record)
    return Node(domain, outcome, texts, record, (), tuple(_term(term, domain, root) for term in read), unread)


def _read(record: SpfRecord) -> tuple[tuple[Mechanism | Modifier, ...], tuple[Mechanism, ...]]:
    """Return the terms of a record that are read when nothing matches, and those that nobody reads."""
    end = next((at for at, each in enumerate(record.mechanisms, 1) if each.name == "all"), len(record.mechanisms))
    return (*record.mechanisms[:end], *([record.redirect] if record.redirect else ())), record.mechanisms[end:]


def with_text(node: Node, text: str) -> Node | None:
    """Return the node with another record, or None where that is wrong or looks up what the one there does not."""
    try:
        record = parse_record(text)
    except SpfSyntaxError:
        return None
    read, unread = _read(record)
    known = {term.text: term for term in node.terms}
    if any(term.name in LOOKING_UP and term.text not in known for term in read):
        return None
    terms = tuple(replace(known.get(term.text, Term(term)), source=term) for term in read)
    return replace(node, texts=(text,), record=record, problems=(), terms=terms, unread=unread, trouble="")


def _term(source: Mechanism | Modifier, domain: str, root: str) -> Term:
    """Return the term with the domain that it is about, where that is the same for all messages."""
    if source.name not in LOOKING_UP:
        return Term(source)
    parts = source.value if isinstance(source, Modifier) else source.domain
    if any(isinstance(part, Macro) and part.letter.lower() not in _FIXED for part in parts or ()):
        return Term(source, per_message=True)
    message = Message(_NOBODY, f"postmaster@{root}", root)
    name = target_name(parts, message, domain, lambda: "unknown") if parts else domain
    term = Term(source, target=name.lower())
    return term if term.leads else Term(source, host=name.lower())


def _hosts(nodes: Iterable[Node], ask: Ask, each: Callable) -> dict[tuple[str, str], Outcome]:
    """Return the answers to what the terms ask, to the first MAXIMUM_QUESTIONS of it."""
    terms = [term for node in nodes for term in node.terms if term.host]
    types = {"a": ("A", "AAAA"), "mx": ("MX",), "exists": ("A",), "ptr": ()}
    first = dict.fromkeys((term.host, rdtype) for term in terms for rdtype in types[term.name])
    answers: dict[tuple[str, str], Outcome] = {}

    def ask_all(questions: Iterable[tuple[str, str]]) -> None:
        new = islice((question for question in questions if question not in answers), MAXIMUM_QUESTIONS - len(answers))
        asked = list(new)
        answers.update(zip(asked, each(lambda question: _ask(ask, *question), asked)))

    ask_all(first)
    exchanges = [mx.exchange for (_host, rdtype), outcome in answers.items() if rdtype == "MX"
                 for mx in outcome.values[:MAXIMUM_MX]]
    ask_all(dict.fromkeys((host, rdtype) for host in exchanges if host != "." for rdtype in ("A", "AAAA")))
    return answers


def _looked_up(term: Term, nodes: dict[str, Node], answers: dict[tuple[str, str], Outcome]) -> Term:
    """Return the term with what its lookups find."""
    if not term.counts:
        return term
    if term.leads:
        unread = bool(term.target) and term.target not in nodes
        return Term(term.source, term.target, "", term.per_message, unread=unread)
    if term.name == "ptr":
        # A client without a name costs a void lookup; the domain of the term is not asked about.
        return Term(term.source, host=term.host, voids=(Void("by client", "perhaps nothing", possible=True),))
    if term.per_message:
        times = MAXIMUM_MX if term.name == "mx" else 1
        void = Void("by message", "perhaps nothing", possible=True, times=times)
        return Term(term.source, per_message=True, voids=(void,))
    voids, silent, addresses = [], [], []
    unread = False

    def look(host: str, rdtype: str, families: frozenset[int] = _BOTH) -> tuple:
        nonlocal unread
        outcome = answers.get((host, rdtype))
        if outcome is None:
            unread = True
            return ()
        if not outcome.said:
            silent.append(outcome)
        elif outcome.kind is not Kind.VALUES:
            voids.append(Void(f"{rdtype} {host}", outcome.kind.value, families))
        return outcome.values

    exchanges = look(term.host, "MX") if term.name == "mx" else ()
    if term.name == "exists":
        look(term.host, "A")
    hosts = [term.host] if term.name == "a" else [mx.exchange for mx in exchanges[:MAXIMUM_MX] if mx.exchange != "."]
    for host in hosts:
        addresses += look(host, "A", frozenset({4}))
        addresses += look(host, "AAAA", frozenset({6}))
    return Term(term.source, "", term.host, False, tuple(voids), tuple(silent), tuple(dict.fromkeys(addresses)),
                len(exchanges), unread)
