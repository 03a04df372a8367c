# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of zones that take no updates: which of them resolvers see, and what is left for the hand to publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import (
    Crowded,
    Key,
    RRset,
    Unfit,
    plan,
    questions,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, quoted, to_bytes, zone_text
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Each
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask


@dataclass(frozen=True)
class _Found:
    """What was found at one owner and type: the states of records that are not live, what to publish, and whether the
    answer is too large."""

    states: Sequence[dict]
    texts: Sequence[Record]
    crowded: Sequence[Crowded]


def by_hand(
    by_zone: Mapping[str | None, Sequence[Record]], ask: Ask, each: Each, unfit: Unfit
) -> tuple[list[dict], list[dict]]:
    """What is to be published by hand, and the answers that are too large, both as the module dns_records returns them.

    Arguments: `by_zone` our records by the name of their zone, None for those in no zone; `ask` asks resolvers for
    (name, type), as Lookup.ask; `each` runs a function on many items, as Lookup.each; `unfit` see `dns_plan.plan`.
    """
    keys = questions([record for records in by_zone.values() for record in records], ())
    # An alias is followed: reverse zones smaller than a /24 are made of them (RFC 2317).
    answers = dict(zip(keys, each(lambda key: ask(*key), keys), strict=True))
    waiting, crowded = [], []
    for zone, records in by_zone.items():
        found = [_found(key, records, answers[key], unfit) for key in questions(records, ())]
        crowded += [{"zone": zone or "", **answer.to_dict()} for each_one in found for answer in each_one.crowded]
        if states := [state for each_one in found for state in each_one.states]:
            text = zone_text([record for each_one in found for record in each_one.texts], [zone] if zone else ())
            waiting.append({"zone": zone or "", "records": states, "text": text})
    return waiting, crowded


def _found(key: Key, records: Iterable[Record], answer: Outcome, unfit: Unfit) -> _Found:
    ours = [record for record in records if (record.owner, record.type) == key]
    live = {key: _rrset(key, answer)} if answer.kind is Kind.VALUES else {}
    values = live[key].values if live else ()
    made = plan(live, ours, unfit=unfit)
    added = {value for change in made.changes for value in change.added}
    clashes = {clash.kind: clash for clash in made.conflicts}
    unwritten = dict(clashes)
    states, texts = [], []
    for record in ours:
        cause, mend = "", "publish it by hand; the text is below"
        if record.kind in clashes and record.rdata not in values:
            status, clash = "fail", clashes[record.kind]
            mend = mend if clash.merged else clash.mend
            # What is merged serves all that are wanted of its kind.
            if unwritten.pop(record.kind, None):
                texts += [replace(record, value=value) for value in clash.merged]
        elif record.rdata in added:
            status = "absent"
            texts.append(record)
            if not answer.said:
                status, cause = "unknown", str(answer)
                mend = f"make {answer.server or 'a resolver'} answer and run again, or {mend}"
        else:
            continue
        told = {"source": answer.source, "cause": cause, "mend": mend}
        states.append({"record": record.to_dict(), "status": status, "found": list(values), **told})
    return _Found(states, texts, made.crowded)


def _rrset(key: Key, answer: Outcome) -> RRset:
    """The values as a zone file has them."""
    return RRset(*key, answer.ttl, tuple(sorted(_written(key[1], value) for value in answer.values)))


def _written(rtype: str, value: str | Mx) -> str:
    if isinstance(value, Mx):
        return f"{value.preference} {value.exchange}"
    return quoted(to_bytes(value)) if rtype == "TXT" else value
