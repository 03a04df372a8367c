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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import LET_ASK, SAME_VERSION, Agreement
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Check, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Ours, Run, joined
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_judge import Judged
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mend import Mends
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, counted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verdicts_on
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Lack, is_bad

CHECK = "spf"
# Where more ways than this led to one result of a domain, those that differ in the last term only are told as one.
WAYS = 10
_STATUS = {Result.PASS: Status.OK, Result.NONE: Status.ABSENT, Result.TEMPERROR: Status.UNKNOWN}

# Takes a domain with its addresses, and the ends of their checks by runs of the table.
Each = Callable[[Case, Sequence[tuple[Run, Check]]], None]


@dataclass(frozen=True)
class Findings:
    """C(verdicts) on all that was checked; C(counts), how many checks, records and servers have which status;
    C(audits) of the domains' records, where these were judged; C(lacking) for Waiting."""

    verdicts: tuple[Verdict, ...]
    counts: Counter[Status]
    audits: tuple[Audit, ...] = ()
    lacking: tuple[Lack, ...] = ()


def status_of(check: Check) -> Status:
    """Return what the result of a check means to the one who sends: only pass is ok (RFC 7208, 2.6)."""
    return _STATUS.get(check.result, Status.FAIL)


def verify_spf(view: View, cases: Sequence[Case], each: Each | None = None,
               judge: Callable[[], Sequence[Judged]] = tuple) -> Findings:
    """Return verdicts on all cases: ok only where the result of check_host() is pass.

    Verdicts with the same result and chain of terms are one, a domain's own. Arguments: C(view) the DNS; C(each) is
    called with every case as soon as it was evaluated; C(judge) returns what is said of the domains' records
    (judged_records), which get verdicts too, each subject of which counts one. All that is wrong with one record has
    one mend.
    """
    versions = [version for version in (4, 6) if any(case.table.numbers[version] for case in cases)]
    view.fetch([case.domain for case in cases], versions)
    counts: Counter[Status] = Counter()
    groups: list[_Group] = []
    ours = Ours(case.domain for case in cases)
    mends = Mends(view.ask, view.lookup.each, ours, cases, view.agreements)
    for case in cases:
        ends = mends.passes.evaluate(case)
        if each:
            each(case, ends)
        for found in _grouped(case, ends, view):
            counts[found.verdict.status] += found.count
            mends.note(case, found.check, found.runs)
            groups.append(replace(found, runs=()))
    denied = view.denied  # before records are judged and mends tried, which may ask for more than receivers do
    judged = judge()
    mends.settle(judged)
    verdicts = [found.verdict if found.verdict.ok else
                replace(found.verdict, mend=mends.of_check(found.case, found.check)) for found in groups]
    records, servers = verdicts_on(judged, mends), of_servers(view)
    audits = tuple(each.audit for each in judged if each.node is each.audit.node)
    lacking = {found.case.domain: _lack(found.case.domain, *denied) for found in groups if is_bad(found.verdict)}
    others = [subject.removeprefix("TXT ").removesuffix(".") for verdict in (*servers, *records) if is_bad(verdict)
              for subject in verdict.subjects]
    lacking |= {name: _lack(name) for name in others if name not in lacking}
    return Findings((*verdicts, *servers, *records), counts + counted(records), audits, tuple(lacking.values()))


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
        if not (agreed.statement or agreed.note) or not agreed.answers:
            continue  # where nobody said anything, the checks themselves are unknown
        status = Status.FAIL if agreed.differ else Status.UNKNOWN if agreed.silent else Status.WARN
        if not agreed.statement:
            groups.setdefault(Verdict(CHECK, (), Status.OK, f"the same SPF; note: {agreed.note}", "the same SPF",
                                      source=f"asked of {', '.join(agreed.servers)}"), []).append(f"TXT {name}.")
            continue
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
    return agreed.mend or LET_ASK
