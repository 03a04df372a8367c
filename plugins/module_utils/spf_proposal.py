# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one SPF record to publish at each owner in a run: all that is wrong with it mended, and all whom it lacks in it.

Each is proved before it is named. Where it stands, alone or with all other proposed ones, whoever of the fleet passes
now passes, and so do those for whose want it is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.records import DEFAULT_TTL, Record
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_amend import (
    NotOurs,
    amended,
    readable,
    repaired,
    without_exceptions,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import (
    MAX_ANSWER,
    CannotCompose,
    answer_size,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_evaluate import plain, standing
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Ours
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_judge import Judged, mended
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import (
    MAXIMUM_MENDED,
    is_like_spf,
    is_right,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_passes import Key, Passes, Sets
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import is_spf, parse_record
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import split
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_share import WIDE

_ROUNDS = 5  # of errors of a record that hide others, and of additions that make others necessary


@dataclass(frozen=True)
class Proposal:
    """The record to publish at an owner, with the parts that it includes.

    Attributes: C(texts) by name; C(mend) how to say so; C(faults) whether what is wrong with the record is mended in
    it; C(fleet) whether those pass whom the record lacks; C(fits) whether UDP holds the answer (RFC 7208, 3.4);
    C(sound) whether no evaluation of it breaks off, which is looked at where one does now.
    """

    texts: Mapping[str, str]
    mend: str
    faults: bool
    fleet: bool
    fits: bool
    sound: bool


class Proposals:
    """The proposals of one run.

    Arguments: C(passes) the checks of the fleet, all of them noted; C(ours) the domains whose records can be changed.
    Attribute: C(impossible) why an owner has no record that passes those whom it lacks, where that is so.
    """

    def __init__(self, passes: Passes, ours: Ours) -> None:
        self.passes, self.ours = passes, ours
        self.judged: Mapping[str, Judged] = {}
        self.ask = passes.ask
        self.impossible: dict[str, str] = {}
        self._need: dict[str, Sets] = {}
        self._errors: set[str] = set()
        self._moved: set[tuple[str, Key]] = set()
        self._made: dict[str, Proposal] = {}

    def need(self, owner: str, key: Key, addresses: int, error: bool) -> None:
        """Note whom the owner's record lacks; C(error) says that their checks end in an error there."""
        needs = self._need.setdefault(owner, {})
        needs[key] = needs.get(key, 0) | addresses
        if error:
            self._errors.add(owner)

    def make(self, judged: Mapping[str, Judged]) -> None:
        """Make all proposals. Arguments: C(judged) what is wrong with records, by owner."""
        self.judged = judged
        queue = list(dict.fromkeys([*self._need, *(owner for owner, each in judged.items() if each.faults)]))
        for owner in queue:  # which grows where a record cannot help all whom it should
            self._made.pop(owner, None)
            if proposal := self._make(owner, queue):
                self._made[owner] = proposal

    def of(self, owner: str) -> Proposal | None:
        """Return what to publish at an owner, None where nothing is to be, or can be."""
        return self._made.get(owner)

    def who_helps(self, owner: str, key: Key) -> str:
        """Return whose record is to help a case that the owner's lacks: the owner's, or the case's own."""
        return key[0] if (owner, key) in self._moved else owner

    def has_errors(self, owner: str) -> bool:
        """Return whether checks of the fleet end in an error at the owner's record."""
        return owner in self._errors

    def _make(self, owner: str, queue: list[str]) -> Proposal | None:
        values = self.ask(owner, "TXT").values
        if max(map(len, filter(is_spf, values)), default=0) > MAXIMUM_MENDED:
            return None
        judged, need = self.judged.get(owner), self._need.get(owner, {})
        known = bool(self.passes.readers([owner]))
        whole = mended(judged, self.ask, self.ours, known) if judged and judged.faults else ""
        as_it_is = self._readable(owner, values) if need else ""
        trials = [(whole, need, True)] if whole else []
        trials += [(as_it_is, need, not whole)] if need and (not whole or as_it_is != whole) else []
        trials += [(whole, {}, True)] if whole and need else []
        for text, wanted, faults in trials:
            try:
                if owner in self._errors:
                    text = self._repaired(owner, text, wanted)
                records = self._proved(owner, text, wanted, values, queue)
            except CannotCompose as error:
                self.impossible[owner] = f"no record within the limits passes all these addresses: {error}"
                continue
            printable = records and max(len(record.value) for record in records) <= MAXIMUM_MENDED
            if printable and not _widens(records, values):
                return self._proposal(owner, records, values, faults, wanted == need)
        return None

    def _readable(self, owner: str, values: Sequence[str]) -> str:
        """Return the owner's record, where there are several or none that is right the one that is meant by them."""
        texts = [text for text in values if is_spf(text)]
        return texts[0] if len(texts) == 1 and is_right(texts[0]) else readable(audit(owner, self.ask))

    def _repaired(self, owner: str, text: str, need: Sets) -> str:
        """Return the record without what ends checks of those whom it lacks with a permerror, as far as that can go."""
        for _round in range(_ROUNDS):
            texts = {owner: text} if text else {}
            ends = [end for key in need for end in self.passes.ends_with(key, texts)[0]]
            check = next((check for _run, check in ends if check.result is Result.PERMERROR), None)
            if not check or not text:
                break
            try:
                better = repaired(owner, check, standing(self.ask, texts))
            except NotOurs:
                break
            if better == text:
                break
            text = better
        return text

    def _proved(self, owner: str, text: str, need: Sets, values: Sequence[str], queue: list[str]) -> list[Record]:
        """Return the records where the text passes whom it has to, with what has to stand in it besides, or none."""
        need, lacking = dict(need), 0
        records = self._records(owner, text, lacking, values)
        as_it_is = [record.value for record in records] == [value for value in values if is_spf(value)]
        missing = need if as_it_is else self._missing(owner, records, need)  # whom it lacks as it stands is known
        for _round in range(_ROUNDS):
            if not missing:
                return records
            more = _all(missing) & ~lacking
            trimmed = without_exceptions(text, self.passes.ranges(lacking | more)) if text else text
            if more and trimmed != text:
                text = trimmed
            elif more:
                lacking |= more
            elif moving := [key for key in missing if key in need and key[0] != owner]:
                for key in moving:
                    self._move(owner, key, need.pop(key), queue)
            else:
                break
            records = self._records(owner, text, lacking, values)
            missing = self._missing(owner, records, need)
        return []

    def _move(self, owner: str, key: Key, addresses: int, queue: list[str]) -> None:
        """Have the record of the case's own domain help it."""
        self._moved.add((owner, key))
        self._need[owner].pop(key)
        self.need(key[0], key, addresses, owner in self._errors)
        queue.append(key[0])

    def _records(self, owner: str, text: str, lacking: int, values: Sequence[str]) -> list[Record]:
        judged, others = self.judged.get(owner), [value for value in values if not is_spf(value)]
        if judged and not lacking and any(finding.too_large for finding in judged.faults):
            return split(judged.audit, judged.node, text) or amended(owner, text, (), others, self.ask)
        return amended(owner, text, self.passes.mechanisms(lacking), others, self.ask)

    def _missing(self, owner: str, records: Sequence[Record], need: Sets) -> Sets:
        """Return who has to pass and does not where these records stand, alone or with those proposed before."""
        texts = _texts(records)
        others = {name: text for made in self._made.values() for name, text in made.texts.items()}
        promised: Sets = {}
        for name, made in self._made.items():
            for key, addresses in self._need.get(name, {}).items() if made.fleet else ():
                promised[key] = promised.get(key, 0) | addresses
        missing: Sets = {}
        around = self.passes.readers(others.keys() - texts.keys())
        for key in dict.fromkeys([*need, *self.passes.readers(texts)]):
            now = self.passes.now[key] | need.get(key, 0)
            lost = now & ~self.passes.ends_with(key, texts)[1]
            if key in around:
                lost |= (now | promised.get(key, 0)) & ~self.passes.ends_with(key, {**others, **texts})[1]
            if lost:
                missing[key] = lost
        return missing

    def _proposal(self, owner: str, records: Sequence[Record], values: Sequence[str], faults: bool,
                  fleet: bool) -> Proposal | None:
        texts = _texts(records)
        there = [text for text in values if is_spf(text)]
        if [record.value for record in records] == there:
            return None
        broken, judged = None, self.judged.get(owner)
        breaks = owner in self._errors or (judged and (not judged.is_readable or any(
            finding.breaks for finding in judged.faults)))
        if breaks:
            then = audit(owner, standing(self.ask, texts))
            broken = next((walk for walk in (then.walk4, then.walk6) if walk.broken), None)
        remark = f" (others still meet: {broken.cause})" if broken and owner in self._errors else ""
        others = [value for value in values if not is_spf(value)]
        fits = answer_size(records[0].owner, [records[0].value, *others]) < MAX_ANSWER
        instead = there or [value for value in values if is_like_spf(value)]
        return Proposal(texts, publish(records, instead) + remark, faults, fleet, fits,
                        bool(breaks) and not broken)


def _all(sets: Sets) -> int:
    """Return the addresses of all sets."""
    found = 0
    for addresses in sets.values():
        found |= addresses
    return found


def _texts(records: Sequence[Record]) -> dict[str, str]:
    return {plain(record.owner): record.value for record in records}


def _widens(records: Sequence[Record], values: Sequence[str]) -> bool:
    """Return whether records pass a whole family, or a network that is nobody's and that did not stand there."""
    networks, known = ([term for text in texts for term in parse_record(text).mechanisms if term.network]
                       for texts in ([record.value for record in records], filter(is_right, values)))
    there = {term.network for term in known}
    return any(term.qualifier == "+" and term.network.prefixlen < WIDE[term.network.version]
               and (not term.network.prefixlen or term.network not in there) for term in networks)


def publish(records: Sequence[Record], instead: Sequence[str]) -> str:
    """Return the mend that publishes these records, the first in place of the texts."""
    first, *more = (f"{record.owner} TXT {record.rdata}" for record in records)
    old = " and ".join(Record("x.", "TXT", text, DEFAULT_TTL).rdata for text in instead)
    return "; ".join([f"publish {first}{f' instead of {old}' if old else ''}", *(f"publish {text}" for text in more)])
