# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be said of the SPF records of domains, and one record in which all of it is mended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit, audit, published
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_auxiliary import references
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_consequences import (
    breaks,
    certain_voids,
    possible_voids,
    referring,
    strangers,
    unreadable,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_findings import NETWORKS, Finding, findings_of
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Ours
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import MAXIMUM_MENDED
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import edited, meant, smaller
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

_ROUNDS = 5  # of mends that bring others to light


@dataclass(frozen=True)
class Judged:
    """One record and what is to be said of it: C(audit) that of the domain in whose tree it stands, as C(node)."""

    audit: Audit
    node: Node
    findings: tuple[Finding, ...]

    @property
    def owner(self) -> str:
        """Return the domain that the record stands at."""
        return self.node.domain

    @property
    def faults(self) -> list[Finding]:
        """Return what is not as it should be; the rest are notes."""
        return [finding for finding in self.findings if finding.status is not Status.OK]

    @property
    def is_readable(self) -> bool:
        """Return whether receivers find one record here, of the right syntax."""
        return bool(self.node.record) and len(self.node.texts) == 1


def judge(found: Iterable[Audit], ours: Ours, ask: Ask) -> list[Judged]:
    """Return the records of the domains, each followed by its parts: those of the tree that stand below it.

    Records of others are judged by their effect only. No record is judged twice. C(ask) is asked little that the audits
    did not ask.
    """
    mains = {each.domain: each for each in found}
    judged: dict[str, Judged] = {}
    for each in mains.values():
        judged[each.domain] = Judged(each, each.node, tuple(_findings(each, mains, ours, ask)))
        for name, node in each.nodes.items():
            if name.endswith(f".{each.domain}") and node.record and name not in mains and name in ours:
                judged.setdefault(name, Judged(each, node, tuple(findings_of(node))))
    return list(judged.values())


def _findings(found: Audit, mains: Mapping[str, Audit], ours: Ours, ask: Ask) -> list[Finding]:
    if wrong := unreadable(found):
        return wrong
    referred = [referring(found, reference) for reference in references(found, mains)]
    doubts = [each for each in referred if each.status is not Status.OK]
    own = findings_of(found.node)
    slips = {position for finding in own if finding.status is Status.FAIL for position in finding.edits}
    # What a slip in a term leads to is said with the slip, and what an include lacks with its doubt.
    ends = [each for each in breaks(found, ours) if not (each.edits and slips.issuperset(each.edits))]
    others = [each for each in strangers(found, ask) if not (doubts and each.status is Status.WARN)]
    if any(each.expected == NETWORKS for each in others):
        # That one of them is wide, or that they are many, is no news then.
        own = [each for each in own if each.expected != NETWORKS and not each.too_large]
    return [*ends, *others, *certain_voids(found), *possible_voids(found), *referred, *own]


def mended(judged: Judged, ask: Ask, ours: Ours, fleet: bool) -> str:
    """Return the record with all that is wrong with it mended at once, empty where that cannot be told.

    Arguments: C(fleet) whether those who send are known, and will be put in place of what passes too many.
    """
    found, node = judged.audit, judged.node
    if not judged.is_readable:
        text = meant(found) if node is found.node else ""
        return _settled(node.domain, text, ask, ours, fleet) if text else ""
    if len(node.text) > MAXIMUM_MENDED or (not fleet and any(finding.in_place for finding in judged.faults)):
        return ""
    edits = _merged(judged.faults)
    if node is not found.node:
        return edited(node.text, edits) if edits else node.text
    if found.walk4.limit or found.walk6.limit:
        edits = smaller(found, edits, ask) or edits
    return _settled(node.domain, edited(node.text, edits) if edits else node.text, ask, ours, fleet)


def _settled(domain: str, text: str, ask: Ask, ours: Ours, fleet: bool) -> str:
    """Return the record when what its mends bring to light is mended too."""
    for _round in range(_ROUNDS):
        after = published(ask, {domain: text})
        then = audit(domain, after)
        faults = [each for each in _findings(then, {}, ours, after)
                  if each.status is not Status.OK and (fleet or not each.in_place)]
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
