# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the checks of one domain end for all of its addresses, with the records that there are or that there might be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask, Check, check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Run

Each = Callable[[Callable, Iterable], list]


def evaluate(case: Case, ask: Ask, each: Each) -> list[tuple[Run, Check]]:
    """Return how the check of each of the domain's addresses ends, as check_host() has it, by runs of the table.

    Arguments: C(ask) asks DNS for (name, type); C(each) returns function(item) of every item, as Lookup.each.
    """
    sender, place, found = f"postmaster@{case.domain}", 0, []

    def alone(places: Sequence[int]) -> list[tuple[Run, Check]]:
        rows = [(at, case.table.rows[at]) for at in places]
        return [((at, at + 1), check_host(row.text, case.domain, sender, row.helo or case.domain, ask, explain=False))
                for at, row in rows]

    for version, numbers in case.table.numbers.items():
        compiled = compile_domain(case.domain, sender, version, ask, case.table.ranges[version])
        left: list[int] = []
        for first, end, check in compiled.runs(numbers):
            if check:
                found.append(((place + first, place + end), check))
            else:
                left += range(place + first, place + end)
        # As many shares as threads: what was asked for one domain is known for the next, and then threads only cost.
        shares = [left[start::WORKERS] for start in range(min(WORKERS, len(left)))]
        found += chain.from_iterable(each(alone, shares))
        place += len(numbers)
    merged: list[tuple[Run, Check]] = []
    for run, check in sorted(found, key=lambda item: item[0]):
        if merged and merged[-1][0][1] == run[0] and merged[-1][1] == check:
            run = merged.pop()[0][0], run[1]
        merged.append((run, check))
    return merged


def plain(name: str) -> str:
    """Return a name as records are told apart by it: in lower case, without its last dot."""
    return name.lower().removesuffix(".")


def standing(ask: Ask, texts: Mapping[str, str]) -> Ask:
    """Return the C(ask) that there would be with these SPF records, {domain: record}, which are not asked for."""
    def answer(name: str, rdtype: str) -> Outcome:
        text = texts.get(plain(name)) if rdtype == "TXT" else None
        return ask(name, rdtype) if text is None else Outcome(f"{plain(name)}.", "TXT", Kind.VALUES, (text,))

    return answer


def heard(ask: Ask, names: set[str]) -> Ask:
    """Return an C(ask) that adds to the names those whose TXT records it is asked for."""
    def answer(name: str, rdtype: str) -> Outcome:
        if rdtype == "TXT":
            names.add(plain(name))
        return ask(name, rdtype)

    return answer
