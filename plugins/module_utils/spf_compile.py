# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""check_host() of many addresses at once: a domain's tree compiled into ranges of addresses with equal results.

It does what spf_check does, step by step, but for sets of addresses of one family. Every term parts those that it
matches from those that go on. Addresses that spent equally much on their way (terms that looked up, void lookups) go on
together; those that came out of an include at different places go on apart, each with counters of its own. So what
stands behind a match, be it an error or a limit, is never met by the addresses that matched.

Where a macro or C(ptr) makes the answer depend on the address or the HELO name, the addresses that get there are left
to check_host(), as are those of a tree that is too tangled.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_ranges
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import (
    MAXIMUM_MX,
    MAXIMUM_TERMS,
    MAXIMUM_VOIDS,
    QUALIFIERS,
    Ask,
    Check,
    Result,
    Step,
    escaped,
    is_domain,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_macro import Message, target_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_ranges import Ranges
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    MacroString,
    Mechanism,
    SpfRecord,
    SpfSyntaxError,
    is_spf,
    parse_record,
)

# What these stand for is the same for every address of a family: the sender, its parts, the domain, in-addr or ip6.
_STEADY_MACROS = frozenset("slodv")
# Terms times sets of addresses that one compilation may take: a tree of ten records of 64 kB takes a tenth of it.
MAXIMUM_WORK = 500_000

Chain = tuple[Step, ...]


class Slice(NamedTuple):
    """Addresses C(first) to C(last) and how their check ends; None where check_host() has to be asked."""

    first: int
    last: int
    check: Check | None


@dataclass(frozen=True)
class Compiled:
    """The ends of all checks of one domain and one family: disjoint slices, ascending."""

    slices: tuple[Slice, ...]

    def of(self, number: int) -> Check | None:
        """Return the end of one address's check. Raises: KeyError where it was not compiled for that address."""
        at = bisect_right(self.slices, number, key=lambda part: part.first) - 1
        if at < 0 or self.slices[at].last < number:
            raise KeyError(number)
        return self.slices[at].check

    def runs(self, numbers: Sequence[int]) -> Iterator[tuple[int, int, Check | None]]:
        """Return the addresses by their places: those at first to before end, and how their checks end.

        Arguments: C(numbers) addresses that it was compiled for, ascending.
        """
        for part in self.slices:
            first = bisect_left(numbers, part.first)
            end = bisect_right(numbers, part.last, lo=first)
            if first < end:
                yield first, end, part.check


def compile_domain(domain: str, sender: str, version: int, ask: Ask, ranges: Ranges | None = None) -> Compiled:
    """Return the results of check_host() for a domain's addresses of one family, explanations left out.

    Arguments: C(sender) the MAIL FROM address as check_host() takes it; C(version) 4 or 6; C(ranges) the addresses that
    matter, all where it is left out. What only others would look up is never asked.
    """
    evaluation = _Evaluation(sender, version, ask)
    return evaluation.run(domain.removesuffix("."), spf_ranges.whole(version) if ranges is None else ranges)


class _State(NamedTuple):
    """What the addresses of one set have spent."""

    terms: int = 0
    voids: tuple[str, ...] = ()


Flows = dict[_State, Ranges]


class _End(NamedTuple):
    """Where the evaluation of one record ended for one set of addresses."""

    result: Result
    chain: Chain
    state: _State
    ranges: Ranges
    cause: str = ""
    source: str = ""


class _Varies(Exception):
    """What a name stands for depends on the address or the HELO name."""


class _Evaluation:
    """The state of one compilation. Where an address is done with, it stands in C(slices)."""

    def __init__(self, sender: str, version: int, ask: Ask) -> None:
        local, _at, host = sender.rpartition("@")
        client = ipaddress.ip_address("0.0.0.0" if version == 4 else "::")
        self.message = Message(client, f"{local or 'postmaster'}@{host}", "")
        self.version, self.ask = version, ask
        self.rdtype = "A" if version == 4 else "AAAA"
        self.slices: list[Slice] = []
        self.work = 0

    def run(self, domain: str, ranges: Ranges) -> Compiled:
        for end in self.record(domain, (), {_State(): ranges} if ranges else {}):
            self.done(end.ranges, end.state, end.result, end.chain, end.cause, end.source)
        return Compiled(tuple(sorted(self.slices, key=lambda part: part.first)))

    def done(self, ranges: Ranges, state: _State, result: Result, chain: Chain, cause: str, source: str = "") -> None:
        check = Check(result, chain, cause, "", state.terms, state.voids, source)
        self.slices += [Slice(first, last, check) for first, last in ranges]

    def stop(self, flows: Flows, result: Result, chain: Chain, cause: str, source: str = "") -> None:
        for state, ranges in flows.items():
            self.done(ranges, state, result, chain, cause, source)

    def leave(self, flows: Flows) -> None:
        """Leave these addresses to check_host()."""
        self.slices += [Slice(first, last, None) for ranges in flows.values() for first, last in ranges]

    def record(self, domain: str, chain: Chain, flows: Flows) -> list[_End]:
        """Evaluate the record of a domain; see the method of the same name in spf_check, which this one follows."""
        if not flows:
            return []
        if not is_domain(domain):
            return _ends(flows, Result.NONE, chain, f"{domain!r} is no domain name of several labels")
        outcome = self.ask(escaped(domain), "TXT")
        if not outcome.said:
            self.stop(flows, Result.TEMPERROR, chain, str(outcome), outcome.source)
            return []
        texts = [value for value in outcome.values if is_spf(value)]
        if not texts:
            missing = "no TXT record begins with v=spf1" if outcome.kind is Kind.VALUES else outcome.kind.value
            return _ends(flows, Result.NONE, chain, f"{domain} has no SPF record: {missing}", outcome.source)
        if len(texts) > 1:
            cause = f"{domain} has {len(texts)} SPF records, one is allowed"
            self.stop(flows, Result.PERMERROR, chain, cause, outcome.source)
            return []
        try:
            record = parse_record(texts[0])
        except SpfSyntaxError as error:
            cause = f"the record of {domain} is wrong {error}"
            self.stop(flows, Result.PERMERROR, chain, cause, outcome.source)
            return []
        return self.terms_of(record, domain, chain, flows)

    def terms_of(self, record: SpfRecord, domain: str, chain: Chain, flows: Flows) -> list[_End]:
        ends: list[_End] = []
        for mechanism in record.mechanisms:
            self.work += len(flows)
            if self.work > MAXIMUM_WORK:
                self.leave(flows)
                return ends
            result = QUALIFIERS[mechanism.qualifier]
            step = (*chain, Step(domain, mechanism.text))
            try:
                matched, flows = self.part(mechanism, domain, step, flows)
            except _Varies:
                self.leave(flows)
                return ends
            ends += [_End(result, inner, state, ranges) for inner, state, ranges in matched]
            if not flows:
                return ends
        if not record.redirect:
            return ends + _ends(flows, Result.NEUTRAL, (*chain, Step(domain, "no mechanism matches")))
        step = (*chain, Step(domain, record.redirect.text))
        try:
            target = self.target(record.redirect.value, domain)
        except _Varies:
            self.leave(flows)
            return ends
        return ends + self.other_record(target, step, self.count(flows, step))

    def part(self, mechanism: Mechanism, domain: str, step: Chain, flows: Flows) -> tuple[list, Flows]:
        """Return the sets that the mechanism matches, each with its chain and state, and those that go on."""
        if mechanism.name == "all":
            return [(step, state, ranges) for state, ranges in flows.items()], {}
        if mechanism.network:
            if mechanism.network.version != self.version:
                return [], flows
            return self.within([spf_ranges.bounds(mechanism.network)], step, flows)
        if mechanism.name == "ptr":
            raise _Varies
        # The name before the count: what varies is left to check_host() with nothing spent on it here.
        target = self.target(mechanism.domain, domain) if mechanism.domain else domain
        flows = self.count(flows, step)
        if mechanism.name == "include":
            ends = self.other_record(target, step, flows)
            on: Flows = {}
            for end in ends:
                if end.result is not Result.PASS:
                    on[end.state] = spf_ranges.union(on.get(end.state, []), end.ranges)
            return [(end.chain, end.state, end.ranges) for end in ends if end.result is Result.PASS], on
        if mechanism.name == "exists":
            found, flows = self.values(target, "A", step, flows)
            return ([(step, *flow) for flow in flows.items()], {}) if found else ([], flows)
        if mechanism.name == "a":
            return self.holds_client(target, mechanism, step, flows)
        exchanges, flows = self.values(target, "MX", step, flows)
        if len(exchanges) > MAXIMUM_MX:
            cause = f"{target} has {len(exchanges)} MX records, more than {MAXIMUM_MX}"
            self.stop(flows, Result.PERMERROR, step, cause)
            return [], {}
        matched = []
        for exchange in (mx.exchange for mx in exchanges if mx.exchange != "."):
            more, flows = self.holds_client(exchange, mechanism, step, flows)
            matched += more
        return matched, flows

    def other_record(self, target: str, step: Chain, flows: Flows) -> list[_End]:
        """Evaluate the record that an include or a redirect leads to: there has to be one (RFC 7208, 5.2 and 6.1)."""
        ends = self.record(target, step, flows)
        for end in ends:
            if end.result is Result.NONE:
                self.done(end.ranges, end.state, Result.PERMERROR, step, end.cause, end.source)
        return [end for end in ends if end.result is not Result.NONE]

    def holds_client(self, name: str, mechanism: Mechanism, step: Chain, flows: Flows) -> tuple[list, Flows]:
        addresses, flows = self.values(name, self.rdtype, step, flows)
        length = mechanism.prefix4 if self.version == 4 else mechanism.prefix6
        networks = [ipaddress.ip_network((address, length), strict=False) for address in addresses]
        return self.within([spf_ranges.bounds(network) for network in networks], step, flows)

    def within(self, wanted: Ranges, step: Chain, flows: Flows) -> tuple[list, Flows]:
        """Part the sets by ranges, which may overlap."""
        matched, on = [], {}
        for state, ranges in flows.items():
            inside: Ranges = []
            for first, last in wanted:
                more, ranges = spf_ranges.split(ranges, first, last)
                inside += more
            if inside:
                matched.append((step, state, sorted(inside)))
            if ranges:
                on[state] = ranges
        return matched, on

    def values(self, name: str, rdtype: str, step: Chain, flows: Flows) -> tuple[tuple, Flows]:
        """Ask for a term, counting void lookups (RFC 7208, 4.6.4), and return those that go on."""
        if not flows:
            return (), flows
        outcome = self.ask(escaped(name), rdtype)
        if not outcome.said:
            self.stop(flows, Result.TEMPERROR, step, str(outcome), outcome.source)
            return (), {}
        if outcome.kind is Kind.VALUES:
            return outcome.values, flows
        on: Flows = {}
        for state, ranges in flows.items():
            voids = (*state.voids, f"{step[-1].term}: {rdtype} {name}: {outcome.kind.value}")
            state = _State(state.terms, voids)
            if len(voids) > MAXIMUM_VOIDS:
                cause = f"more than {MAXIMUM_VOIDS} lookups found nothing: {'; '.join(voids)}"
                self.done(ranges, state, Result.PERMERROR, step, cause, outcome.source)
            else:
                on[state] = ranges
        return (), on

    def count(self, flows: Flows, step: Chain) -> Flows:
        on: Flows = {}
        for state, ranges in flows.items():
            state = _State(state.terms + 1, state.voids)
            if state.terms > MAXIMUM_TERMS:
                self.done(ranges, state, Result.PERMERROR, step, f"more than {MAXIMUM_TERMS} terms look up")
            else:
                on[state] = ranges
        return on

    def target(self, parts: MacroString, domain: str) -> str:
        if varies(parts):
            raise _Varies
        return target_name(parts, self.message, domain, str)


def varies(parts: MacroString) -> bool:
    """Return whether what a macro-string stands for depends on more than the sender and the family."""
    return any(not isinstance(part, str) and part.letter.lower() not in _STEADY_MACROS for part in parts)


def _ends(flows: Flows, result: Result, chain: Chain, cause: str = "", source: str = "") -> list[_End]:
    return [_End(result, chain, state, ranges, cause, source) for state, ranges in flows.items()]
