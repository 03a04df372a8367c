# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on the SPF records of domains, whoever sends from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit, Each, audit, published
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_auxiliary import references
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import MAXIMUM_TERMS, Ask, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_consequences import (
    breaks,
    doubtful,
    possible_voids,
    strangers,
    unreadable,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_findings import Finding, findings_of
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import MAXIMUM_MENDED
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import (
    edited,
    publish,
    rewritten,
    shown,
    smaller,
    split,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "spf record"
_ROUNDS = 5  # of mends that bring others to light


def audits(ask: Ask, domains: Iterable[str], each: Each | None = None,
           what_if: Mapping[str, str] | None = None) -> list[Audit]:
    """Return the audit of each domain's record, no domain twice.

    Arguments: C(ask) asks DNS for (name, type), as Lookup.ask; C(each) runs a function on many items, as Lookup.each;
    C(what_if) is {domain: record} of records that are not published yet, which stand in place of those that are.
    Raises: ValueError with everything that is no domain name, or no text.
    """
    wrong: list[str] = []
    names = dict.fromkeys(_name(domain, wrong) for domain in domains)
    texts = {_name(domain, wrong): _text(domain, text, wrong) for domain, text in (what_if or {}).items()}
    if wrong:
        raise ValueError("; ".join(wrong))
    ask = published(ask, texts)
    if not each:
        return [audit(name, ask) for name in names]
    return each(lambda name: audit(name, ask, each), list(names))


def verify_records(ask: Ask, domains: Iterable[str], each: Each | None = None,
                   what_if: Mapping[str, str] | None = None) -> list[Verdict]:
    """Return the verdicts on the records of the domains: one that is ok, or one for each thing that is wrong.

    Parts of a record that stand below its domain (_spf1.example.com) are judged with it; records of others only by
    their effect. Arguments and errors are those of audits().
    """
    found = audits(ask, domains, each, what_if)
    ask = published(ask, {_name(domain, []): text for domain, text in (what_if or {}).items()})
    return verdicts_on(found, ask)


def verdicts_on(found: Iterable[Audit], ask: Ask) -> list[Verdict]:
    """Return the verdicts on what audits() found. C(ask) proves mends: it is asked little that it was not before."""
    found = list(found)
    mains = {each.domain: each for each in found}
    verdicts = [verdict for each in found for verdict in _judged(each, mains, ask)]
    return list(dict.fromkeys(verdicts))


def _name(domain: str, wrong: list[str]) -> str:
    try:
        return absolute_name(domain).removesuffix(".")
    except ValueError as error:
        wrong.append(str(error))
        return ""


def _text(domain: str, text: object, wrong: list[str]) -> str:
    try:
        to_bytes(text)
    except (AttributeError, UnicodeError):
        wrong.append(f"what_if of {domain}: found {text!r:.60}, expected the text of a record")
        return ""
    return text


def _judged(found: Audit, mains: Mapping[str, Audit], ask: Ask) -> list[Verdict]:
    findings = _findings(found, mains)
    faults = [finding for finding in findings if finding.status is not Status.OK]
    verdicts = _verdicts(found, found.node, faults, ask)
    for node in _parts(found):
        verdicts += _verdicts(found, node, [each for each in findings_of(node) if each.status is not Status.OK], ask)
    return verdicts if faults else [_fine(found, findings), *verdicts]


def _findings(found: Audit, mains: Mapping[str, Audit]) -> list[Finding]:
    if wrong := unreadable(found):
        return wrong
    doubts = [doubtful(found, reference) for reference in references(found, mains) if reference.doubt]
    own = findings_of(found.node)
    slips = {position for finding in own if finding.status is Status.FAIL for position in finding.edits}
    # What a slip in a term leads to is said with the slip, and what an include lacks with its doubt.
    ends = [each for each in breaks(found) if not (each.edits and slips.issuperset(each.edits))]
    others = [each for each in strangers(found) if not (doubts and each.status is Status.WARN)]
    return [*ends, *others, *possible_voids(found), *doubts, *own]


def _parts(found: Audit) -> list[Node]:
    """Return the right records of the tree that stand below the domain."""
    parts = []
    for name, node in found.nodes.items():
        wrong: list[str] = []
        if name.endswith(f".{found.domain}") and node.record and _name(name, wrong) == name:
            parts.append(node)
    return parts


def _verdicts(found: Audit, node: Node, findings: list[Finding], ask: Ask) -> list[Verdict]:
    """Return the verdicts; those with a record to publish name the same one, in which all of it is mended."""
    if not findings:
        return []
    wrong = not node.record or len(node.texts) > 1
    text, within = _mended(found, node, findings, ask)
    whole = publish(node.domain, text) if text and (text != node.text or len(node.texts) > 1) else ""

    def mend(finding: Finding) -> str:
        if finding.too_large:
            return _split(found, node, text or node.text)
        return whole if wrong or finding.edits or (finding.limit and within) else ""

    return [Verdict(CHECK, (each.domain,), each.status, each.found, each.expected, each.cause,
                    mend(each) or each.hint or f"make it {each.expected}", each.source) for each in findings]


def _mended(found: Audit, node: Node, findings: list[Finding], ask: Ask) -> tuple[str, bool]:
    """Return the record with all of it mended, empty where that cannot be told, and whether it is within the limits."""
    if not node.record or len(node.texts) > 1:
        text = rewritten(node)
        return (_settled(node.domain, text, ask), True) if text else ("", False)
    if len(node.text) > MAXIMUM_MENDED:
        return "", False
    edits = _merged(findings)
    if node is not found.node:
        return edited(node.text, edits), False
    shrunk = smaller(found, edits, ask) if found.walk4.limit or found.walk6.limit else None
    text = edited(node.text, edits if shrunk is None else shrunk)
    return _settled(node.domain, text, ask), shrunk is not None


def _settled(domain: str, text: str, ask: Ask) -> str:
    """Return the record when what its mends bring to light is mended too."""
    for _round in range(_ROUNDS):
        then = audit(domain, published(ask, {domain: text}))
        faults = [each for each in _findings(then, {}) if each.status is not Status.OK]
        if not then.node.record or not (edits := _merged(faults)):
            break
        text = edited(text, edits)
    return text


def _merged(findings: Iterable[Finding]) -> dict[int, str]:
    """Return the edits of all; where one takes a term out, it is out."""
    merged: dict[int, str] = {}
    for finding in findings:
        for position, text in finding.edits.items():
            merged[position] = text if merged.get(position, text) else ""
    return merged


def _split(found: Audit, node: Node, text: str) -> str:
    """Return the records to publish in place of one that is too large, or nothing."""
    records = split(found, node, text)
    return "publish " + ", ".join(f"{each.owner} TXT {each.rdata}" for each in records) if records else ""


def _fine(found: Audit, notes: Iterable[Finding]) -> Verdict:
    cost = found.cost
    results = {walk.result.value: None for walk in (found.walk4, found.walk6) if walk.result is not Result.NONE}
    at_least = "" if cost.exact else " or more, by message"
    parts = [f"{cost.terms} of {MAXIMUM_TERMS} lookups at worst{at_least}", f"{' or '.join(results)} for others",
             *(f"note: {note.found}: {note.cause}" for note in notes)]
    return Verdict(CHECK, (found.domain,), Status.OK, f"{shown(found.node.text)}: {'; '.join(parts)}",
                   "one right record within the limits", source=found.node.outcome.source)
