# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a merged SPF value keeps the 10 lookups of RFC 7208 4.6.4, with all that it includes and all that includes
it, before anybody publishes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import Unfit, over_the_limit
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit, Each, audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import MAX_LOOKUPS, lookups


def fitness(wanted: Iterable[Record], ask: Ask, each: Each | None = None) -> Unfit:
    """What `dns_plan.plan` asks of a merged value.

    Arguments: `wanted` all our records: their SPF values count as published, whatever DNS says of them yet; `ask` asks
    DNS for (name, type), as Lookup.ask; `each` runs a function on many items, as Lookup.each.
    What a record of others takes is counted as it is now. Where DNS does not say, the value is not to be published:
    it might take more than 10. A record that is not there, or that a macro names, counts as the term alone.
    """
    ours = {_plain(record.owner): record.value for record in wanted if record.kind == "spf"}

    def unfit(owner: str, value: str) -> str:
        domain = _plain(owner)
        view = _view(ask, {**ours, domain: value})
        merged = audit(domain, view, each)
        if silent := [node.outcome for node in merged.nodes.values() if not node.outcome.said]:
            servers = " and ".join(dict.fromkeys(outcome.server or "a resolver" for outcome in silent))
            return (
                f"make {servers} answer, and run again: how many lookups the merged value takes is not known "
                f"({'; '.join(f'{outcome.source}: {outcome}' for outcome in silent)})"
            )
        count = max(merged.cost.terms, lookups(value, {}))  # of a value that cannot be read nothing else is known
        if count > MAX_LOOKUPS:
            return over_the_limit(count, _largest(merged))
        for other in ours:
            if other != domain and lookups(ours[other], {}):
                found = audit(other, view, each)
                if domain in found.nodes and found.cost.terms > MAX_LOOKUPS:
                    return over_the_limit(count, f", and {other}, which includes it, {found.cost.terms}")
        return ""

    return unfit


def _view(ask: Ask, texts: Mapping[str, str]) -> Ask:
    """DNS with these SPF records in it.

    The names themselves are not asked for: a resolver would keep it that one is not there, which is published next.
    Only records lead to further lookups, so nothing else is asked for either.
    """

    def answer(name: str, rdtype: str) -> Outcome:
        if rdtype != "TXT":
            return Outcome(name, rdtype, Kind.NO_DATA)
        text = texts.get(_plain(name))
        return ask(name, rdtype) if text is None else Outcome(name, rdtype, Kind.VALUES, (text,))

    return answer


def _largest(found: Audit) -> str:
    """What the terms take that lead to other records, the most first."""
    costs = {term.text: found.cost_of(term).terms for term in found.node.terms if term.leads}
    told = [f"{term} takes {count}" for term, count in sorted(costs.items(), key=lambda item: -item[1])]
    return f" ({', '.join(told)})" if told else ""


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
