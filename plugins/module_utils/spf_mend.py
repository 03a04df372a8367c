# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records to publish so that SPF passes: each with all the addresses at once that it lacks, within the limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import SAME_VERSION
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import DEFAULT_TTL, Record, absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_amend import (
    NotOurs,
    amended,
    repaired,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask, Check, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import CannotCompose, mechanism, networks
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Run
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import MAXIMUM_MENDED
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_ranges import of_numbers
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    SpfSyntaxError,
    is_spf,
    parse_record,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View

_LACKING = (Result.NONE, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL)


class Mends:
    """Makes the mends of one run. Every group of checks is noted before the first mend is made.

    Sets of addresses are numbers with a bit for each: a thousand addresses of one domain take 125 bytes.
    """

    def __init__(self, view: View, cases: Sequence[Case]) -> None:
        self.view = view
        self.ours = {case.domain for case in cases}
        tables = {id(case.table): case.table for case in cases}.values()
        self.addresses = sorted({(row.version, row.number) for table in tables for row in table.rows})
        self.bits = {address: bit for bit, address in enumerate(self.addresses)}
        self.sets: dict[tuple[str, str], int] = {}
        self.decided: dict[str, set[str]] = {}  # by which terms those ended that a record lacks
        self.made: dict[tuple, str] = {}
        self.mechanisms: dict[int, list[str]] = {}

    def note(self, case: Case, check: Check, runs: Sequence[Run]) -> None:
        """Remember which addresses a check ended so for."""
        if check.result in (Result.PASS, Result.TEMPERROR):
            return
        rows = case.table.rows
        found = 0
        for first, end in runs:
            low, high = (self.bits[rows[at][:2]] for at in (first, end - 1))
            if high - low == end - first - 1:
                found |= (1 << end - first) - 1 << low
            else:
                for row in rows[first:end]:
                    found |= 1 << self.bits[row[:2]]
        place = self.place(case, check)
        self.sets[place] = self.sets.get(place, 0) | found
        self.decided.setdefault(place[0], set()).update(step.term for step in check.chain[-1:])

    def place(self, case: Case, check: Check) -> tuple[str, str]:
        """Return whose record is to be mended, and what is wrong with it.

        It is the record that decided, or the last on the way to it that is one of ours; the one that is missing or an
        error, where it is that of another of our domains.
        """
        ways = [step.domain.lower().removesuffix(".") for step in check.chain]
        owner = next((domain for domain in reversed(ways) if self._is_ours(domain)), case.domain)
        wrong = asked_for(check)
        if check.result is Result.PERMERROR and wrong in self.ours and self._is_wrong(wrong):
            owner = wrong
        return owner, "lacks" if check.result in _LACKING or not self._texts(owner) else check.cause

    def of(self, case: Case, check: Check) -> str:
        """Return the mend of a check that did not pass."""
        if check.result is Result.TEMPERROR:
            return f"make {check.source.partition(' asked of ')[2] or 'DNS'} answer, then check again"
        return self._of_place(self.place(case, check), check)

    def _of_place(self, place: tuple[str, str], check: Check) -> str:
        agreed = self.view.agreements.get(place[0])
        if agreed and agreed.differ:
            return SAME_VERSION
        if place not in self.made:
            self.made[place] = ""  # records that include each other come back here
            self.made[place] = self._made(*place, check)
        return self.made[place]

    def _texts(self, domain: str) -> list[str]:
        return [text for text in self.view.ask(domain, "TXT").values if is_spf(text)]

    def _is_wrong(self, domain: str) -> bool:
        """Return whether every check that comes to the domain's record ends in an error there."""
        try:
            return len([parse_record(text) for text in self._texts(domain)]) != 1
        except SpfSyntaxError:
            return True

    def _is_ours(self, domain: str) -> bool:
        labels = domain.split(".")
        return any(".".join(labels[at:]) in self.ours for at in range(len(labels)))

    def _made(self, owner: str, what: str, check: Check) -> str:
        values = self.view.ask(owner, "TXT").values
        texts = self._texts(owner)
        if texts and (longest := max(map(len, texts))) > MAXIMUM_MENDED:
            return f"write the record of {owner} anew: it has {longest:,} characters, an answer has room for about 400"
        lacking = self.sets[owner, what]
        base, remark = (texts[0] if texts else ""), ""
        try:
            if what != "lacks":
                base = repaired(owner, check, self.view.ask)
                # Where nothing can be left out, the addresses go before the limit.
                remark = f" (others still meet: {check.cause})" if [base] == texts else ""
                lacking = self._still_lacking(owner, base, lacking)
            elif (included := self._included(owner, base, lacking)) and (mend := self._of_place(included, check)):
                return mend
            others = [text for text in values if not is_spf(text)]
            records = amended(owner, base, self._mechanisms(lacking), others, self.view.ask)
        except NotOurs as error:
            return str(error)
        except CannotCompose as error:
            return f"no record within the limits passes all these addresses: {error}"
        return _publish(records, texts) + remark

    def _mechanisms(self, addresses: int) -> list[str]:
        """Return the fewest mechanisms that hold exactly these addresses, which many domains may lack alike."""
        if addresses not in self.mechanisms:
            kinds = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
            given = [str(kinds[version](number)) for bit, (version, number) in enumerate(self.addresses)
                     if addresses >> bit & 1]
            self.mechanisms[addresses] = list(map(mechanism, networks(given)))
        return self.mechanisms[addresses]

    def _still_lacking(self, owner: str, base: str, addresses: int) -> int:
        """Return those of the addresses that the repaired record does not pass."""
        ask = _standing(self.view.ask, owner, base)
        lacking = 0
        for version in (4, 6):
            numbers = [number for bit, (family, number) in enumerate(self.addresses)
                       if family == version and addresses >> bit & 1]
            compiled = compile_domain(owner, f"postmaster@{owner}", version, ask, of_numbers(numbers))
            for first, end, check in compiled.runs(numbers):
                if check and check.result is not Result.PASS:
                    for number in numbers[first:end]:
                        lacking |= 1 << self.bits[version, number]
        return lacking

    def _included(self, owner: str, text: str, lacking: int) -> tuple[str, str] | None:
        """Return the place of the record that this one includes and that lacks the same addresses, where there is one.

        An include behind a term that decided helps nobody.
        """
        try:
            record = parse_record(text)
        except SpfSyntaxError:
            return None
        for term in record.mechanisms:
            if term.text in self.decided[owner]:
                break
            if term.name == "include" and term.qualifier == "+" and len(term.domain) == 1:
                place = str(term.domain[0]).lower().removesuffix("."), "lacks"
                if not lacking & ~self.sets.get(place, 0):
                    return place
        return None


def asked_for(check: Check) -> str:
    """Return the domain whose record a check ended at, where it ended at one."""
    rtype, _space, question = check.source.partition(" ")
    return question.partition(" ")[0].removesuffix(".").lower() if rtype == "TXT" else ""


def _standing(ask: Ask, owner: str, text: str) -> Ask:
    def answer(name: str, rdtype: str) -> Outcome:
        if rdtype == "TXT" and name.lower().removesuffix(".") == owner:
            return Outcome(absolute_name(owner), "TXT", Kind.VALUES, (text,))
        return ask(name, rdtype)

    return answer


def _publish(records: Iterable[Record], instead: Sequence[str]) -> str:
    """Return the mend that publishes these records, the first in place of the texts."""
    first, *more = (f"{record.owner} TXT {record.rdata}" for record in records)
    old = " and ".join(Record("x.", "TXT", text, DEFAULT_TTL).rdata for text in instead)
    return "; ".join([f"publish {first}{f' instead of {old}' if old else ''}", *(f"publish {text}" for text in more)])
