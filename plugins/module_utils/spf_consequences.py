# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with an SPF record by what it leads to: limits, dead ends, and what becomes of strangers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_auxiliary import Reference, brief
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import (
    MAXIMUM_MX,
    MAXIMUM_TERMS,
    MAXIMUM_VOIDS,
    Ask,
    Result,
    Step,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_findings import NETWORKS, Finding, enumerated
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Ours
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import is_like_spf, meant_by
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Term
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import (
    LAST,
    Edits,
    is_dead,
    leave_out,
    shown,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_share import EVERYBODY, share, wide_terms
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_walk import Walk
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

ONE = "one SPF record"
STRANGERS = "fail or softfail for all who are not named"
WITHIN = f"at most {MAXIMUM_TERMS} terms that look up, {MAXIMUM_VOIDS} lookups that find nothing"
_FAMILY = {4: "IPv4", 6: "IPv6"}


def unreadable(audit: Audit) -> list[Finding]:
    """Return why the domain has no record that a receiver could evaluate, or nothing."""
    node, outcome = audit.node, audit.node.outcome

    def finding(status: Status, found: str, expected: str, cause: str, hint: str = "", source: str = "") -> Finding:
        return Finding(audit.domain, status, found, expected, cause, {}, hint, source or outcome.source)

    if not outcome.said:
        return [finding(Status.UNKNOWN, "DNS did not say", ONE, str(outcome),
                        f"make {outcome.server or 'DNS'} answer, then check again")]
    if len(node.texts) > 1:
        return [finding(Status.FAIL, "; ".join(map(shown, node.texts[:5])), ONE,
                        f"{len(node.texts)} records begin with v=spf1: every receiver finds permerror (4.5)",
                        "publish one of them, with the terms of all")]
    if node.problems:
        wrong = "; ".join(map(str, node.problems[:5]))
        meant = "; ".join(map(str, meant_by(node.text)[1][:5]))
        return [finding(Status.FAIL, shown(node.text), "the grammar of RFC 7208, 12",
                        f"{wrong}: every receiver finds permerror (4.6){f'. {meant}' if meant else ''}",
                        "correct what stands at these characters")]
    if node.texts:
        return []
    if audit.type99 and (texts := [value for value in audit.type99.values if is_spf(value)]):
        return [finding(Status.ABSENT, f"type 99 (SPF) only: {shown(texts[0])}", ONE,
                        "receivers ask for TXT, and no longer for the type SPF (3.1)",
                        "publish the record as TXT", audit.type99.source)]
    if like := [value for value in outcome.values if is_like_spf(value)]:
        meant = "; ".join(map(str, meant_by(like[0])[1][:5]))
        return [finding(Status.FAIL, shown(like[0]), ONE,
                        f"no receiver takes this for SPF (4.5){f'. {meant}' if meant else ''}",
                        "publish a value that begins with v=spf1 and a space")]
    found = f"{len(outcome.values)} other TXT values" if outcome.kind is Kind.VALUES else outcome.kind.value
    return [finding(Status.ABSENT, found, ONE,
                    "without a record every receiver finds none: nobody is refused (4.5, 2.6.1)",
                    "publish a record that passes the addresses of the fleet")]


def breaks(audit: Audit, ours: Ours) -> list[Finding]:
    """Return where an evaluation ends in an error, and whom an early match hides it from.

    Arguments: C(ours) those who read this publish the records of these domains.
    """
    walks = [walk for walk in (audit.walk4, audit.walk6) if walk.broken]
    if len(walks) == 2 and walks[0].chain == walks[1].chain:
        if walks[0].cause != walks[1].cause:
            walks[0] = replace(walks[0], cause=f"{walks[0].cause}; and of an IPv6 client {walks[1].cause}")
        before = tuple(dict.fromkeys(walks[0].before + walks[1].before))
        return [_break(audit, walks[0], "every client", before, ours)]
    return [_break(audit, walk, f"every {_FAMILY[walk.family]} client", walk.before, ours) for walk in walks]


def _break(audit: Audit, walk: Walk, who: str, before: tuple[Step, ...], ours: Ours) -> Finding:
    where = walk.chain[-1] if walk.chain else Step(audit.domain, "the record")
    if before:
        hidden = (f"{who} that nothing before it matches gets {walk.result.value}; an early match hides it from "
                  f"{enumerated([step.term for step in before])}")
    else:
        hidden = f"no term before it matches anything: {who} gets {walk.result.value}"
    loop = next((term for term in audit.node.terms if term.target in audit.loops), None) if walk.limit else None
    never = f"{loop.text} leads back to where it came from, and never ends; " if loop else ""
    section = "4.6.4" if walk.limit else "6.1" if where.term.lower().startswith("redirect") else "5.2"
    if walk.result is Result.TEMPERROR:
        section = "4.4"
    found = f"{audit.cost.terms} lookups at worst" if walk.limit and not loop else _path(walk.chain)
    status = Status.UNKNOWN if walk.result is Result.TEMPERROR else Status.FAIL
    at = _owner_of_mend(audit, walk, ours)
    edits, hint = _way_out(audit, walk, loop, ours)
    return Finding(audit.domain, status, found, WITHIN if walk.limit else "a record that can be evaluated to its end",
                   f"{never}{walk.cause} ({section}), from {where} on: {hidden}", edits, hint,
                   walk.source or audit.node.outcome.source, breaks=walk.result is Result.PERMERROR,
                   at=at if at != audit.domain else "")


def _path(chain: tuple[Step, ...]) -> str:
    shown_steps = [*map(str, chain[:3]), *(["..."] if len(chain) > 3 else [])]
    return " > ".join(shown_steps)


def _owner_of_mend(audit: Audit, walk: Walk, ours: Ours) -> str:
    """Return whose record is to be mended: one of our domains that is wrong, or the last on the way that is ours."""
    if walk.limit or walk.result is Result.TEMPERROR or not walk.chain:
        return audit.domain
    target = _last(audit, walk).target
    if target in ours.domains:
        return target
    return next(step.domain for step in reversed(walk.chain) if step.domain in ours or step.domain == audit.domain)


def _last(audit: Audit, walk: Walk) -> Term:
    """Return the term at which a way ends."""
    where = walk.chain[-1]
    return next(term for term in audit.nodes[where.domain].terms if term.text == where.term)


def _way_out(audit: Audit, walk: Walk, loop: Term | None, ours: Ours) -> tuple[Edits, str]:
    """Return the edits of the domain's own record that end the error, and what to do where there are none."""
    if walk.result is Result.TEMPERROR:
        return {}, f"make {walk.source.partition(' asked of ')[2] or 'DNS'} answer, then check again"
    if loop and loop.target == audit.domain:
        return {loop.source.position: ""}, ""
    if walk.limit and "MX records" in walk.cause:
        return {}, f"write ip4 and ip6 in place of {walk.chain[-1].term}, or publish at most {MAXIMUM_MX} MX records"
    if walk.limit:
        costly = sorted((term for term in audit.node.terms if term.counts), key=lambda term: -audit.cost_of(term).terms)
        each = enumerated([f"{term.text} {audit.cost_of(term).terms}" for term in costly])
        return {}, f"take terms out until {MAXIMUM_TERMS} lookups are left; these cost: {each}"
    term, owner = _last(audit, walk), _owner_of_mend(audit, walk, ours)
    target = audit.nodes.get(term.target)
    if owner == term.target:
        return {}, f"correct the record of {owner}"
    if target and target.texts:
        return {}, leave_out(walk.chain, owner, target)
    if walk.chain[-1].domain != owner:
        return {}, leave_out(walk.chain, owner, audit.nodes[walk.chain[-1].domain])
    if owner != audit.domain:
        return {}, f"take {term.text} out of the record of {owner}"
    if term.name == "include":
        return {term.source.position: ""}, ""
    return {}, f"publish a record at {term.target}, or write ~all in place of {term.text}"


def strangers(audit: Audit, ask: Ask) -> Iterator[Finding]:
    """Yield what is wrong with the result of an address that nobody named."""
    node = audit.node
    for result, status in ((Result.PASS, Status.FAIL), (Result.NEUTRAL, Status.WARN)):
        walks = [walk for walk in (audit.walk4, audit.walk6) if walk.result is result]
        if not walks:
            continue
        who = "every client" if len(walks) == 2 else f"every {_FAMILY[walks[0].family]} client"
        step = walks[0].chain[-1]
        edits: dict[int, str] = {}
        in_place = False
        hint = f"mend the record of {step.domain}, or take {walks[0].chain[0].term} out"
        if len(walks[0].chain) == 1:
            last = next((term for term in node.terms if term.text == step.term), None)
            if not last or last.name == "all":
                edits = {last.source.position if last else LAST: "~all"}
            elif result is Result.PASS and last.name != "exists":
                edits, in_place = {last.source.position: ""}, True
            hint = f"write in place of {step.term} {NETWORKS}"
        if result is Result.PASS:
            cause = f"{step} lets {who} pass, whoever it is: forged mail has a pass to show (5.1, 11.4)"
        else:
            cause = f"{who} that is not named gets neutral, which is treated as if there were no record (8.2)"
        yield Finding(audit.domain, status, _path(walks[0].chain), STRANGERS, cause, edits, hint, node.outcome.source,
                      in_place)
    for walk in (audit.walk4, audit.walk6):
        passed = share(audit, walk.family, ask) if walk.result is not Result.PASS else 0
        if passed >= EVERYBODY:
            yield _nearly_everybody(audit, walk.family, passed)


def _nearly_everybody(audit: Audit, family: int, passed: float) -> Finding:
    """Return that a record passes so many that it is no better than one which passes all."""
    wide = wide_terms(audit.node.terms, family)
    terms = enumerated([term.text for term in wide])
    hint = f"write in place of {terms} {NETWORKS}"
    if not wide:
        terms = enumerated([term.text for term in audit.node.terms if term.leads])
        hint = f"mend the records of these, or take them out: {terms}"
    cause = (f"they pass {passed:.0%} of all {_FAMILY[family]} addresses; from {EVERYBODY:.0%} on that is no better "
             "than +all: forged mail has a pass to show (5.1, 11.4)")
    return Finding(audit.domain, Status.FAIL, terms, NETWORKS, cause, {term.source.position: "" for term in wide}, hint,
                   audit.node.outcome.source, bool(wide))


def certain_voids(audit: Audit) -> Iterator[Finding]:
    """Yield which terms look up what is not there: a fault where one more would end every evaluation in an error."""
    terms = [(name, term, [void for void in term.voids if not void.possible]) for name, term in audit.voids()]
    terms = [(name, term, voids) for name, term, voids in terms if voids]
    if not terms or audit.walk4.limit or audit.walk6.limit:
        return
    count = max(audit.cost.voids4, audit.cost.voids6)
    named = enumerated(
        [term.text if name == audit.domain else f"{term.text} of {name}" for name, term, _voids in terms])
    said = enumerated([str(void) for _name, _term, voids in terms for void in voids])
    cause = f"{said}: {count} of the {MAXIMUM_VOIDS} lookups that may find nothing (4.6.4)"
    dead = [(name, term) for name, term, _voids in terms if is_dead(term)]
    if count < MAXIMUM_VOIDS or not dead:
        yield Finding(audit.domain, Status.OK, named, "", cause, source=audit.node.outcome.source)
        return
    hint = f"take out what finds nothing: {enumerated([f'{term.text} of {name}' for name, term in dead])}"
    yield Finding(audit.domain, Status.WARN, named, "terms that find something",
                  f"{cause}, so that one more ends every check that comes to it in permerror",
                  {term.source.position: "" for name, term in dead if name == audit.domain}, hint,
                  audit.node.outcome.source)


def possible_voids(audit: Audit) -> Iterator[Finding]:
    """Yield that lookups which depend on the client or the message may find nothing too often."""
    cost = audit.cost
    certain = max(cost.voids4, cost.voids6)
    if cost.possible and certain + cost.possible > MAXIMUM_VOIDS and not (audit.walk4.limit or audit.walk6.limit):
        terms = [f"{step.text} of {name}" for name, node in audit.nodes.items() for step in node.terms if step.voids]
        yield Finding(audit.domain, Status.WARN, enumerated(terms), WITHIN,
                      f"up to {certain + cost.possible} lookups find nothing, more than {MAXIMUM_VOIDS}: a client that "
                      "nothing matches may get permerror in place of the result that is meant (4.6.4)", {},
                      "take terms out that look up what differs by client or message", audit.node.outcome.source)


def referring(audit: Audit, reference: Reference) -> Finding:
    """Return what it means that the record takes in that of another domain of ours: a note, unless it is doubtful."""
    if reference.doubt:
        return _doubtful(audit, reference)
    return Finding(audit.domain, Status.OK, reference.term, "", brief(reference), source=audit.node.outcome.source)


def _doubtful(audit: Audit, reference: Reference) -> Finding:
    """Return that an include has another effect than the one that is likely meant."""
    term = next(term for term in audit.node.terms if term.text == reference.term)
    edits: dict[int, str] = {term.source.position: ""}
    last = {each.source.position: "" for each in audit.node.terms if each.name == "all"}
    kept, _space, end = reference.instead.partition(" ")
    if kept.startswith("redirect="):
        edits |= last | {LAST: kept}
    elif kept:
        edits = {term.source.position: kept} | (last | {LAST: end} if end else {})
    return Finding(audit.domain, Status.WARN, _path((Step(audit.domain, term.text),)),
                   reference.instead or f"no {term.text}", f"{reference.doubt}. {reference}", edits, "",
                   audit.node.outcome.source)
