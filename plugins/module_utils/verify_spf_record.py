# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on the SPF records of domains, whoever sends from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import (
    Each,
    audit,
    one_by_one,
    published,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import MAXIMUM_TERMS, Ask, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Ours
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_judge import Judged, judge
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mend import Mends
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import shown
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "spf record"


def judged_records(ask: Ask, domains: Iterable[str], each: Each | None = None) -> list[Judged]:
    """Return what is to be said of the domains' records and of their parts.

    Arguments: C(ask) asks DNS for (name, type), as Lookup.ask; C(domains) in lower case, without their last dots;
    C(each) runs a function on many items, as Lookup.each.
    """
    names = list(dict.fromkeys(domains))
    found = each(lambda name: audit(name, ask, each), names) if each else [audit(name, ask) for name in names]
    return judge(found, Ours(names), ask)


def verify_records(ask: Ask, domains: Iterable[str], each: Each | None = None,
                   what_if: Mapping[str, str] | None = None) -> list[Verdict]:
    """Return the verdicts on the records of the domains: one that is ok, or one for each thing that is wrong.

    Parts of a record that stand below its domain (_spf1.example.com) are judged with it; records of others only by
    their effect. Nothing is known here of who sends: whom a mend takes pass away from, it does not ask.

    Arguments: as for judged_records(); C(what_if) is {domain: record} of records that are not published yet, which
    stand in place of those that are.
    Raises: ValueError with everything that is no domain name, or no text.
    """
    wrong: list[str] = []
    names = [_name(domain, wrong) for domain in domains]
    texts = {_name(domain, wrong): _text(domain, text, wrong) for domain, text in (what_if or {}).items()}
    if wrong:
        raise ValueError("; ".join(wrong))
    ask = published(ask, texts)
    judged = judged_records(ask, names, each)
    mends = Mends(ask, each or one_by_one, Ours(names))
    mends.settle(judged)
    return verdicts_on(judged, mends)


def verdicts_on(judged: Sequence[Judged], mends: Mends) -> list[Verdict]:
    """Return the verdicts on records, with the mends of the run that they were judged in."""
    verdicts = [verdict for each in judged for verdict in _verdicts(each, mends)]
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


def _verdicts(judged: Judged, mends: Mends) -> list[Verdict]:
    if not judged.faults:
        return [_fine(judged)] if judged.node is judged.audit.node else []
    return [Verdict(CHECK, (each.domain,), each.status, each.found, each.expected, each.cause,
                    mends.of_finding(judged, each), each.source) for each in judged.faults]


def _fine(judged: Judged) -> Verdict:
    found = judged.audit
    cost = found.cost
    results = {walk.result.value: None for walk in (found.walk4, found.walk6) if walk.result is not Result.NONE}
    at_least = "" if cost.exact else " or more, by message"
    parts = [f"{cost.terms} of {MAXIMUM_TERMS} lookups at worst{at_least}", f"{' or '.join(results)} for others",
             *(f"note: {note.found}: {note.cause}" for note in judged.findings)]
    return Verdict(CHECK, (found.domain,), Status.OK, f"{shown(found.node.text)}: {'; '.join(parts)}",
                   "one right record within the limits", source=found.node.outcome.source)
