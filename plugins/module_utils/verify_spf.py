# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether SPF passes the sending addresses, as a receiver would find it.

Domains are gone through one after the other, each with all its addresses. What is kept of one is a verdict for each way
that its checks ended, so that memory grows with the domains and with the addresses, not with their product; the whole
matrix goes to a file, row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import SAME_VERSION, Agreement
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Check, Result, check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Run, joined
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mend import Mends
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, counted
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Lack, is_bad

CHECK = "spf"
# Where more ways than this led to one result of a domain, those that differ in the last term only are told as one.
WAYS = 10
_STATUS = {Result.PASS: Status.OK, Result.NONE: Status.ABSENT, Result.TEMPERROR: Status.UNKNOWN}

# Takes a domain with its addresses, and the ends of their checks by runs of the table.
Each = Callable[[Case, Sequence[tuple[Run, Check]]], None]


@dataclass(frozen=True)
class Findings:
    """C(verdicts) on all that was checked; C(counts), how many checks and servers' records have which status; C(mends)
    by domain, where checks of it did not pass; C(lacking) for Waiting."""

    verdicts: tuple[Verdict, ...]
    counts: dict[Status, int]
    mends: dict[str, str]
    lacking: tuple[Lack, ...] = ()

    def with_records(self, records: Iterable[Verdict]) -> Findings:
        """Return the findings with verdicts on the records, each subject of which counts one.

        Where checks of its domain did not pass, the mend of a faulty record is the one that they have, which passes the
        fleet too.
        """
        more = [replace(verdict, mend=self.mends.get(verdict.subjects[0], verdict.mend))
                if verdict.status.rank > Status.WARN.rank else verdict for verdict in records]
        known = {lack[0] for lack in self.lacking}
        lacking = [lack for verdict in more if is_bad(verdict) and (lack := _lack(verdict.subjects[0]))[0] not in known]
        return replace(self, verdicts=(*self.verdicts, *more), counts=Counter(self.counts) + counted(more),
                       lacking=(*self.lacking, *lacking))


def status_of(check: Check) -> Status:
    """Return what the result of a check means to the one who sends: only pass is ok (RFC 7208, 2.6)."""
    return _STATUS.get(check.result, Status.FAIL)


def evaluate(case: Case, view: View) -> list[tuple[Run, Check]]:
    """Return how the check of each of the domain's addresses ends, as check_host() has it, by runs of the table."""
    sender, place, found = f"postmaster@{case.domain}", 0, []

    def alone(places: Sequence[int]) -> list[tuple[Run, Check]]:
        rows = [(at, case.table.rows[at]) for at in places]
        return [((at, at + 1), check_host(row.text, case.domain, sender, row.helo or case.domain, view.ask,
                                          explain=False)) for at, row in rows]

    for version, numbers in case.table.numbers.items():
        compiled = compile_domain(case.domain, sender, version, view.ask, case.table.ranges[version])
        left: list[int] = []
        for first, end, check in compiled.runs(numbers):
            if check:
                found.append(((place + first, place + end), check))
            else:
                left += range(place + first, place + end)
        # As many shares as threads: what was asked for one domain is known for the next, and then threads only cost.
        shares = [left[start::WORKERS] for start in range(min(WORKERS, len(left)))]
        found += chain.from_iterable(view.lookup.each(alone, shares))
        place += len(numbers)
    merged: list[tuple[Run, Check]] = []
    for run, check in sorted(found, key=lambda item: item[0]):
        if merged and merged[-1][0][1] == run[0] and merged[-1][1] == check:
            run = merged.pop()[0][0], run[1]
        merged.append((run, check))
    return merged


def verify_spf(view: View, cases: Sequence[Case], each: Each | None = None) -> Findings:
    """Return verdicts on all cases: ok only where the result of check_host() is pass.

    Verdicts with the same result and chain of terms are one, a domain's own. Arguments: C(view) the DNS; C(each) is
    called with every case as soon as it was evaluated.
    """
    versions = [version for version in (4, 6) if any(case.table.numbers[version] for case in cases)]
    view.fetch([case.domain for case in cases], versions)
    counts: Counter[Status] = Counter()
    groups: list[_Group] = []
    mends = Mends(view, cases)
    for case in cases:
        ends = evaluate(case, view)
        if each:
            each(case, ends)
        for found in _grouped(case, ends, view):
            counts[found.verdict.status] += found.count
            mends.note(case, found.check, found.runs)
            groups.append(replace(found, runs=()))
    verdicts: list[Verdict] = []
    wrong: dict[str, Verdict] = {}
    lacking: dict[str, Lack] = {}
    for found in groups:
        verdict = found.verdict
        if not verdict.ok:
            lacking[found.case.domain] = _lack(found.case.domain, *view.denied)
            verdict = replace(verdict, mend=mends.of(found.case, found.check))
            before = wrong.get(found.case.domain, verdict)
            wrong[found.case.domain] = max(before, verdict, key=lambda each: each.status.rank)
        verdicts.append(verdict)
    servers = of_servers(view)
    names = [subject.split()[1].removesuffix(".") for verdict in servers if is_bad(verdict) for subject in
             verdict.subjects]
    return Findings((*verdicts, *servers), counts, {domain: each.mend for domain, each in wrong.items()},
                    tuple(({name: _lack(name) for name in names} | lacking).values()))


def _lack(*names: str) -> Lack:
    return [(name, "TXT") for name in dict.fromkeys(f"{name.removesuffix('.')}." for name in names)]


@dataclass(frozen=True)
class _Group:
    """The checks of one case that ended alike."""

    case: Case
    check: Check
    verdict: Verdict
    count: int
    runs: Sequence[Run]


def _grouped(case: Case, ends: Sequence[tuple[Run, Check]], view: View) -> Iterator[_Group]:
    """Return the groups of one case: of the same result and chain, or, where there are too many, the same but for
    the last term."""
    ways: dict[tuple, list[tuple[Run, Check]]] = {}
    for run, check in ends:
        ways.setdefault((check.result, check.chain, check.cause, check.source), []).append((run, check))
    many = {result for result, number in Counter(key[0] for key in ways).items() if number > WAYS}
    groups: dict[tuple, list[list[tuple[Run, Check]]]] = {}
    for key, members in ways.items():
        result, steps = key[:2]
        place = (result, steps[:-1], steps[-1].domain if steps else "") if result in many else key
        groups.setdefault(place, []).append(members)
    for alike in groups.values():
        checks = [members[0][1] for members in alike]
        runs = joined(sorted(run for members in alike for run, _check in members))
        count = sum(end - first for first, end in runs)
        yield _Group(case, checks[0], _verdict(case, checks, runs, view), count, runs)


def _verdict(case: Case, checks: Sequence[Check], runs: Sequence[Run], view: View) -> Verdict:
    """Return the verdict on one group, whose mend is not known yet."""
    check = checks[0]
    status = status_of(check)
    path = " > ".join(map(str, check.chain))
    if len(terms := dict.fromkeys(item.chain[-1].term for item in checks if item.chain)) > 1:
        path += f" and {len(terms) - 1:,} more terms"
    found = f"{check.result.value} by {path}" if path else check.result.value
    cause = ""
    if status is not Status.OK:
        cause = check.cause or "the address is not among those that the record passes"
        if len(causes := {item.cause for item in checks}) > 1:
            cause += f" (of one; {len(causes) - 1:,} causes more of this kind)"
    source = check.source or view.ask(decisive(case, check), "TXT").source
    return Verdict(CHECK, tuple(case.subjects(runs)), status, found, "pass", cause, "", source)


def decisive(case: Case, check: Check) -> str:
    """Return the domain whose record decided: the one that an include or redirect led to, else the case's own."""
    return check.chain[-1].domain.lower() if check.chain else case.domain


def of_servers(view: View) -> list[Verdict]:
    """Return verdicts on authoritative servers that differ or do not answer, one for all records of the same fault."""
    groups: dict[Verdict, list[str]] = {}
    for name, agreed in sorted(view.agreements.items()):
        if not agreed.statement or not agreed.answers:
            continue  # where nobody said anything, the checks themselves are unknown
        status = Status.FAIL if agreed.differ else Status.UNKNOWN if agreed.silent else Status.WARN
        words = {} if agreed.differ else dict.fromkeys(agreed.answers, "answers")
        verdict = Verdict(CHECK, (), status, _said(agreed), "the same answer of every name server", agreed.told(words),
                          _mend_of_servers(agreed), f"asked of {', '.join(agreed.servers)}")
        groups.setdefault(verdict, []).append(f"TXT {name}.")
    return [replace(verdict, subjects=names, source=f"{names[0] if len(names) == 1 else 'each'} {verdict.source}")
            for verdict, names in groups.items()]


def _said(agreed: Agreement) -> str:
    if agreed.differ:
        return f"{len(agreed.answers)} different answers"
    return "no answer of some name servers" if agreed.silent else "an answer of a resolver only"


def _mend_of_servers(agreed: Agreement) -> str:
    if agreed.differ:
        return SAME_VERSION
    return agreed.mend or "let this machine ask the authoritative servers (port 53, UDP and TCP)"
