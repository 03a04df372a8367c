# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record to publish instead of a wrong one, proved by an audit of it before it is named."""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import islice

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_merge import merge_spf
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, absolute_name, quoted, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit, audit_with
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import (
    MAXIMUM_MX,
    MAXIMUM_TERMS,
    Ask,
    Step,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import (
    MAX_ANSWER,
    answer_size,
    compose,
    mechanism,
    networks,
    rr_size,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import meant_by
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node, Term
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    VERSION,
    Mechanism,
    is_spf,
    parse_record,
)

Edits = Mapping[int, str]  # position of a term in the record -> what stands there instead, empty where nothing does
LAST = 1 << 30  # the position behind all terms
_MAXIMUM_ADDRESSES = 32  # that the terms a and mx are replaced by
_ENDS = {"+": "softfail", "-": "fail", "~": "softfail", "?": "neutral"}


def edited(text: str, edits: Edits) -> str:
    """Return the record with its terms changed."""
    terms = {match.start() + len(VERSION): match.group() for match in re.finditer(r"[^ ]+", text[len(VERSION):])}
    terms |= edits
    return " ".join([VERSION, *(terms[position] for position in sorted(terms) if terms[position])])


def shown(text: str, limit: int = 300) -> str:
    """Return a TXT value as a zone file has it, cut where it is long."""
    written = quoted(to_bytes(text[:limit]))
    return f"{written[:-1]}…\" ({len(text)} characters)" if len(text) > limit else written


def correct(node: Node) -> str:
    """Return what somebody else has to do whose record is wrong."""
    right = rewritten(node) if node.problems or len(node.texts) > 1 else ""
    return f"correct the record of {node.domain}" + (f": TXT {quoted(to_bytes(right))}" if right else "")


def leave_out(chain: Sequence[Step], owner: str, wrong: Node) -> str:
    """Return how a way through the owner's record no longer ends at one of somebody else's that is wrong."""
    terms = [step.term for step in chain if step.domain.lower() == owner]
    return correct(wrong) + (f", or take {terms[-1]} out of the record of {owner}" if terms else "")


def rewritten(node: Node) -> str:
    """Return the one right record that the domain's SPF records, or what is like one, stand for; empty if unknown."""
    texts = node.texts or tuple(value for value in node.outcome.values if meant_by(value)[0])
    right = [meant_by(text)[0] if node.problems or not node.texts or len(texts) > 1 else text for text in texts]
    if not right or not all(right):
        return ""
    return right[0] if len(right) == 1 else merge_spf(right, None)


def meant(found: Audit) -> str:
    """Return the record that is meant where receivers find none or several, be it one of the dead type SPF."""
    dead = [text for text in found.type99.values if is_spf(text)] if found.type99 else []
    return rewritten(found.node) or "".join(dead[:1])


def smaller(found: Audit, edits: Edits, ask: Ask) -> dict[int, str] | None:
    """Return the edits that bring the record of the audit within the limits of RFC 7208, 4.6.4, or None.

    First the terms that find nothing go, then as few hosts of a and mx as it takes are replaced by the addresses that
    they have now, from the first on. Each costs a lookup less than before, so that their number is found by halving.
    """
    node = found.node
    if not node.record:
        return None
    least = {**edits, **{term.source.position: "" for term in node.terms if is_dead(term)}}
    there = [each for each in node.record.mechanisms if each.network]
    written = {term.source.position: _written_out(term, there) for term in node.terms
               if _is_static(term) and least.get(term.source.position, term.text)}

    def trial(count: int) -> dict[int, str]:
        return least | dict(islice(written.items(), count))

    def within(count: int) -> bool:
        then = audit_with(found, edited(node.text, trial(count)), ask)
        return not (then.walk4.broken or then.walk6.broken) and then.cost.terms <= MAXIMUM_TERMS

    count = bisect_left(range(len(written) + 1), True, key=within)
    return trial(count) if count <= len(written) else None


def is_dead(term: Term) -> bool:
    """Return whether a term finds nothing, whoever asks."""
    return bool(term.voids) and not term.addresses and _is_whole(term)


def _is_whole(term: Term) -> bool:
    """Return whether all hosts of a term are known."""
    return (term.name in ("a", "mx", "exists") and term.exchanges <= MAXIMUM_MX
            and not (term.silent or term.unread or term.per_message))


def _is_static(term: Term) -> bool:
    return _is_whole(term) and 0 < len(term.addresses) <= _MAXIMUM_ADDRESSES


def _written_out(term: Term, there: Sequence[Mechanism]) -> str:
    """Return the networks of a term but for those that stand in the record already."""
    lengths = {4: term.source.prefix4, 6: term.source.prefix6}
    addresses = [ipaddress.ip_address(address) for address in term.addresses]
    held = [str(ipaddress.ip_network((address, lengths[address.version]), strict=False)) for address in addresses]
    known = [each.network for each in there if each.qualifier == term.source.qualifier]
    return " ".join(f"{term.source.qualifier}{mechanism(network)}".removeprefix("+") for network in networks(held)
                    if not any(network.version == each.version and network.subnet_of(each) for each in known))


def split(found: Audit, node: Node, text: str) -> list[Record]:
    """Return the records that carry the text of the node in answers that UDP holds (RFC 7208, 3.4), or none.

    Only a record of which all terms pass can be taken apart without a change of what it says.
    """
    record = parse_record(text)
    all_is_last = all(each.name != "all" for each in record.mechanisms[:-1])
    if record.exp or record.others or "%" in text or not all_is_last:
        return []
    if any(each.qualifier != "+" and each.name != "all" for each in record.mechanisms):
        return []
    others = [value for value in node.outcome.values if value not in node.texts]
    costs = {term.target: found.cost_of(term).terms - 1 for term in node.terms if term.target}
    last = next((each for each in record.mechanisms if each.name == "all"), None)
    terms = [each for each in record.mechanisms if each.name != "all"]
    try:
        records = compose(
            node.domain,
            [str(each.network) for each in terms if each.network],
            include=[str(each.domain[0]) for each in terms if each.name == "include"],
            redirect=str(record.redirect.value[0]) if record.redirect else None,
            extra_mechanisms=[_explicit(each, node.domain) for each in terms
                              if not each.network and each.name != "include"],
            all=_ENDS[last.qualifier] if last else "neutral",
            costs=costs,
            other_octets=sum(map(rr_size, others)),
        )
    except ValueError:  # too many, or a name that nobody can publish
        return []
    fits = answer_size(absolute_name(node.domain), [records[0].value, *others]) < MAX_ANSWER
    return records if fits else []


def _explicit(term: Mechanism, domain: str) -> str:
    """Return the term with its domain, so that it means the same in another record."""
    if term.domain:
        return term.text
    name, slash, prefixes = term.text.partition("/")
    return f"{name}:{domain}{slash}{prefixes}"
