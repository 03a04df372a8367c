# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose SPF record is to be mended where a check does not pass or a record is wrong, and how that is said.

Of all that is to be changed in one record, in a run, there is one proposal (spf_proposal), whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import SAME_VERSION, Agreement
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_amend import NotOurs, repaired
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask, Check, Result, is_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_evaluate import Each
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_findings import Finding
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Ours, Run
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_judge import Judged
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import MAXIMUM_MENDED, is_right
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_passes import Passes, Sets
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_proposal import Proposals
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf, parse_record

_LACKING = (Result.NONE, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL)
_LACKS = "lacks"

# Whose record is to be mended, and what is wrong with it: that it lacks addresses, or why it ends in an error.
Place = tuple[str, str]


class Mends:
    """The mends of one run. Every case is evaluated by C(passes), and every group of its checks noted, before settle().

    Arguments: C(ask) asks DNS for (name, type), as View.ask; C(each) as Lookup.each; C(ours) the domains whose records
    can be changed; C(agreements) what authoritative servers said, by name.
    """

    def __init__(self, ask: Ask, each: Each, ours: Ours, cases: Sequence[Case] = (),
                 agreements: Mapping[str, Agreement] | None = None) -> None:
        self.ask, self.ours, self.agreements = ask, ours, agreements or {}
        self.passes = Passes(ask, each, cases)
        self.identities = {case.domain: case.identity for case in cases}
        self.proposals = Proposals(self.passes, ours)
        self._noted: dict[Place, Sets] = {}
        self._checks: dict[Place, Check] = {}
        self._decided: dict[str, set[str]] = {}  # by which terms those ended that a record lacks
        self._ends: dict[Place, Place] = {}
        self._words: dict[Place, str] = {}

    def note(self, case: Case, check: Check, runs: Sequence[Run]) -> None:
        """Remember which addresses a check ended so for."""
        if check.result in (Result.PASS, Result.TEMPERROR):
            return
        place, key = self._place(case, check), (case.domain, case.identity)
        found = self._noted.setdefault(place, {})
        found[key] = found.get(key, 0) | self.passes.set_of(case, runs)
        self._checks.setdefault(place, check)
        decided = [step.term for step in check.chain if step.domain.lower() == place[0]] or [""]
        self._decided.setdefault(place[0], set()).add(decided[-1])

    def settle(self, judged: Sequence[Judged] = ()) -> None:
        """Make the proposals of the run. Arguments: C(judged) what is wrong with records."""
        for place in self._noted:
            if words := self._said(place):
                self._words[place] = words
        for place, sets in self._noted.items():
            end = self._ends[place] = self._end(place, ())
            for key, addresses in sets.items() if end not in self._words else ():
                self.proposals.need(end[0], key, addresses, place[1] != _LACKS)
        untouched = {owner for owner in (*self.agreements, *self.identities) if self._untouched(owner)}
        self.proposals.make({each.owner: each for each in judged if each.owner not in untouched})

    def of_check(self, case: Case, check: Check) -> str:
        """Return the mend of a check that did not pass."""
        if check.result is Result.TEMPERROR:
            return f"make {check.source.partition(' asked of ')[2] or 'DNS'} answer, then check again"
        end = self._ends[self._place(case, check)]
        if end in self._words:
            return self._words[end]
        owner = self.proposals.who_helps(end[0], (case.domain, case.identity))
        proposal = self.proposals.of(owner)
        if proposal and proposal.fleet:
            return proposal.mend
        return self.proposals.impossible.get(owner) or (
            f"no record of {owner} passes these addresses and leaves the rest of the fleet its pass: mend the records "
            "that include it first")

    def of_finding(self, judged: Judged, finding: Finding) -> str:
        """Return the mend of what is wrong with a record."""
        owner = judged.owner
        changes = not judged.is_readable or finding.edits or finding.breaks or finding.at
        if changes and (words := self._untouched(owner)):
            return words
        at = self.proposals.of(finding.at) if finding.at else None
        proposal = self.proposals.of(owner)
        if at and at.sound:
            return at.mend
        if proposal and self._mends(judged, finding):
            return proposal.mend
        if not judged.is_readable and owner in self.proposals.impossible:
            return self.proposals.impossible[owner]
        return finding.hint or f"make it {finding.expected}"

    def _mends(self, judged: Judged, finding: Finding) -> bool:
        """Return whether the proposal for the record mends what is wrong with it."""
        proposal = self.proposals.of(judged.owner)
        if not judged.is_readable:
            return True
        if finding.too_large:
            return proposal.fits
        if finding.breaks:
            return proposal.sound or (proposal.fleet and self.proposals.has_errors(judged.owner))
        return bool(finding.edits) and proposal.faults

    def _place(self, case: Case, check: Check) -> Place:
        """Return whose record is to be mended, and what is wrong with it.

        It is the record that decided, or the last on the way to it that is one of ours; the one that is missing or an
        error, where it is that of another of our domains.
        """
        ways = [step.domain.lower().removesuffix(".") for step in check.chain]
        owner = next((domain for domain in reversed(ways) if domain in self.ours), case.domain)
        wrong = asked_for(check)
        if check.result is Result.PERMERROR and wrong in self.ours.domains and self._is_wrong(wrong):
            owner = wrong
        return owner, _LACKS if check.result in _LACKING or not self._texts(owner) else check.cause

    def _end(self, place: Place, before: tuple[Place, ...]) -> Place:
        """Return the place of the record that helps: one that the record of the place includes and that lacks the same
        addresses, or the place itself."""
        owner, what = place
        texts = self._texts(owner)
        if what == _LACKS and place not in self._words and texts and place not in before:
            included = self._included(owner, texts[0], self._lacking(place))
            if included and included not in before:
                return self._end(included, (*before, place))
        return place

    def _said(self, place: Place) -> str:
        """Return the mend of a place in words, where it is not a record of its owner's."""
        owner, what = place
        if words := self._untouched(owner):
            return words
        if (longest := max(map(len, self._texts(owner)), default=0)) > MAXIMUM_MENDED:
            return f"write the record of {owner} anew: it has {longest:,} characters, an answer has room for about 400"
        try:
            if what != _LACKS:
                repaired(owner, self._checks[place], self.ask)
        except NotOurs as error:
            return str(error)
        return ""

    def _untouched(self, owner: str) -> str:
        """Return what is to be done first where no record of the owner is to be changed."""
        if owner in self.agreements and self.agreements[owner].differ:
            return SAME_VERSION
        if not is_domain(owner):
            use = "greet with" if self.identities.get(owner) == "helo" else "use"
            return f"{use} a full name, as mta1.example.com is one, in place of {owner} (RFC 5321, 2.3.5)"
        return ""

    def _texts(self, domain: str) -> list[str]:
        return [text for text in self.ask(domain, "TXT").values if is_spf(text)]

    def _is_wrong(self, domain: str) -> bool:
        """Return whether every check that comes to the domain's record ends in an error there."""
        texts = self._texts(domain)
        return len(texts) != 1 or not is_right(texts[0])

    def _lacking(self, place: Place) -> int:
        found = 0
        for addresses in self._noted.get(place, {}).values():
            found |= addresses
        return found

    def _included(self, owner: str, text: str, lacking: int) -> Place | None:
        """Return the place of the record that this one includes and that lacks the same addresses, where there is one.

        An include behind a term that decided helps nobody.
        """
        for term in parse_record(text).mechanisms if is_right(text) else ():
            if term.text in self._decided[owner]:
                break
            if term.name == "include" and term.qualifier == "+" and len(term.domain) == 1:
                place = str(term.domain[0]).lower().removesuffix("."), _LACKS
                if not lacking & ~self._lacking(place):
                    return place
        return None


def asked_for(check: Check) -> str:
    """Return the domain whose record a check ended at, where it ended at one."""
    rtype, _space, question = check.source.partition(" ")
    return question.partition(" ")[0].removesuffix(".").lower() if rtype == "TXT" else ""
