# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet: what was proved, the faults and what mends them, what is left to publish or to check."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_verdicts import of_publishing
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, faults, group, summary
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_deployed import verify_deployed
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_tokens import verify_tokens

WIDTH = 100
# So many subjects of alike faults are named; the JSON file has all of them, each with its own source.
NAMED = 4
NOT_PROBED = "whether mail arrives: no message was sent"
UNFINISHED = "everything: the run that began when this was made has not come to its own report"
# What no message and no query can tell.
NEVER_CHECKED = (
    "complaint rate, consent of recipients, allow-lists, enrolment in feedback loops: providers do not tell",
)

_STATUS_COLUMNS = (
    ("dkim", "dkim"),
    ("spf", "spf"),
    ("dmarc", "dmarc"),
    ("iprev", "iprev"),
    ("from", "origin"),
    ("helo", "helo"),
    ("ptr", "ptr"),
    ("tls", "tls"),
    ("inbox", "arrival"),
)
_CELLS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "absent": "none", "unknown": "?", "": "-"}


@dataclass(frozen=True)
class Report:
    """All that the report says. `fleet` counts servers, addresses, domains, mailboxes; `paths` are a probe's rows, None
    where nothing was probed."""

    fleet: Mapping[str, int]
    verdicts: tuple[Verdict, ...]
    paths: tuple[Mapping[str, Any], ...] | None = None
    manual: tuple[Mapping[str, Any], ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def faults(self) -> list[Verdict]:
        """Return the verdicts that are not ok, the worst first."""
        return faults(self.verdicts)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many subjects have which status."""
        return summary(self.verdicts)

    @property
    def proved(self) -> bool:
        """Whether something was checked and nothing is at fault. A warning is no fault; what is unknown is one."""
        return self.counts["ok"] > 0 and not any(self.counts[status] for status in ("fail", "absent", "unknown"))

    def conclusion(self) -> str:
        """Return the last line: proved or not, and the counts."""
        counts = ", ".join(f"{number} {status}" for status, number in reversed(self.counts.items()) if number)
        return f"{'PROVED' if self.proved else 'NOT PROVED'}: {counts or 'nothing was checked'}"

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain data for JSON."""
        return {
            "proved": self.proved,
            "fleet": dict(self.fleet),
            "summary": self.counts,
            "paths": [dict(row) for row in self.paths or ()],
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "faults": [verdict.to_dict() for verdict in self.faults],
            "manual": [dict(zone) for zone in self.manual],
            "not_checked": list(self.not_checked),
        }


def make(
    desired: Mapping[str, Any],
    verdicts: Iterable[Mapping[str, Any]],
    probe: Mapping[str, Any],
    published: Mapping[str, Any],
    not_checked: Iterable[str] = (),
    deployed: Mapping[str, Mapping[str, Any]] | None = None,
    tokens: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Make the report from what the modules returned: desired_state, the verifying ones, mail_probe, dns_records, and
    dkim_key and agent_keys_info by server.

    Raises ValueError where something in `verdicts` or in the probe's is no verdict.
    """
    paths = tuple(probe.get("paths") or ())
    addresses = desired.get("paths") or ()
    fleet = {
        "servers": len({path["server"] for path in addresses}),
        "addresses": len(addresses),
        "domains": len(desired.get("domains") or ()),
    }
    return Report(
        fleet=fleet | ({"mailboxes": len({row["mailbox"] for row in paths})} if probe else {}),
        verdicts=(
            *map(Verdict.from_dict, [*(probe.get("verdicts") or ()), *verdicts]),
            *of_publishing(published),
            *verify_deployed(desired, deployed or {}),
            *verify_tokens(desired, tokens or {}),
        ),
        paths=paths if probe else None,
        manual=tuple(published.get("manual") or ()),
        not_checked=(
            *(probe.get("not_checked") or ([] if probe else [NOT_PROBED])),
            *(published.get("not_checked") or ()),
            *not_checked,
            *NEVER_CHECKED,
        ),
    )


def begun() -> Report:
    """Return what stands in place of the last report while a run goes on, and stays where that ends early."""
    return Report(fleet={}, verdicts=(), not_checked=(UNFINISHED,))


def text(report: Report, width: int = WIDTH) -> str:
    """Return the report in lines of at most `width` characters; only zone text, to be copied, may be longer."""
    table = [] if report.paths is None else [_table(report, width)]
    parts = [_title(report), *table, _checks(report), *_fault_parts(report, width), *_manual(report)]
    if report.not_checked:
        parts.append(
            "\n".join(["Not checked", *(_wrap(f"- {line}", width, "  ", "    ") for line in report.not_checked)])
        )
    return "\n\n".join([*parts, report.conclusion()]) + "\n"


def _title(report: Report) -> str:
    return f"mailfleet.sending: {', '.join(f'{name} {number}' for name, number in report.fleet.items())}"


def _table(report: Report, width: int) -> str:
    """Return a row for each address, domain and mailbox, as the receiver saw the message."""
    if not report.paths:
        return "What receivers saw\n  nothing: no message was sent"
    sizes = [max(len(title), len("FAIL")) for title, _key in _STATUS_COLUMNS]
    room = width - 2 - sum(size + 1 for size in sizes)
    columns = [("address", "address"), ("domain", "domain"), ("mailbox", "mailbox")]
    widths = _fit([max(len(title), *(len(row[key]) for row in report.paths)) for title, key in columns], room)

    def line(cells: Iterable[str], statuses: Iterable[str]) -> str:
        names = " ".join(_clip(cell, size).ljust(size) for cell, size in zip(cells, widths))
        return f"  {names} {' '.join(cell.ljust(size) for cell, size in zip(statuses, sizes))}".rstrip()

    lines, server = [
        "What receivers saw",
        line((title for title, _key in columns), (title for title, _key in _STATUS_COLUMNS)),
    ], ""
    for row in report.paths:
        if row["server"] != server:
            server = row["server"]
            lines.append(server)
        lines.append(
            line((row[key] for _title, key in columns), (_CELLS[row[key]] for _title, key in _STATUS_COLUMNS))
        )
    return "\n".join([*lines, "? unknown, - not stamped by this receiver, from: the message left from this address"])


def _checks(report: Report) -> str:
    """Return how often each check ended how."""
    counts: dict[str, Counter[str]] = {}
    for verdict in report.verdicts:
        counts.setdefault(verdict.check, Counter())[verdict.status.value] += len(verdict.subjects)
    names = [status.value for status in Status]
    size = max([len("check"), *map(len, counts)])
    lines = [f"  {'check'.ljust(size)} {' '.join(name.rjust(7) for name in names)}"]
    lines += [
        f"  {check.ljust(size)} {' '.join(str(count[name] or '-').rjust(7) for name in names)}"
        for check, count in counts.items()
    ]
    return "\n".join(["Checks", *lines]) if counts else "Checks\n  none"


def _fault_parts(report: Report, width: int) -> list[str]:
    """Return the faults, each with what mends it; those that one mend mends stand together."""
    alike = _alike(report.faults)
    parts = [f"Faults ({sum(len(fault.subjects) for fault, _sources in alike)})"] if alike else []
    mends: dict[str, list[tuple[Verdict, list[str]]]] = {}
    for number, (fault, sources) in enumerate(alike):
        mends.setdefault(fault.mend or f"{number}", []).append((fault, sources))
    for number, together in enumerate(mends.values(), 1):
        lines: list[str] = []
        said: dict[str, str] = {}
        for fault, sources in together:
            lines += _headline(fault, "   also " if lines else f"{number}. ", width)
            more = f" (and {len(sources) - 1} more like it)" if len(sources) > 1 else ""
            told = {
                "found": fault.found,
                "expected": fault.expected,
                "cause": fault.cause,
                "mend": fault.mend,
                "source": sources[0] + more,
            }
            lines += [
                _wrap(f"{name:<9}{value}", width, "   ", " " * 12)
                for name, value in told.items()
                if value and value != said.get(name)
            ]
            said = told
        parts.append("\n".join(lines))
    return parts


def _headline(fault: Verdict, lead: str, width: int) -> list[str]:
    """Return what a fault is about: the check, the status and some of its subjects."""
    first, *others = fault.subjects[:NAMED]
    if len(fault.subjects) > NAMED:
        others.append(f"and {len(fault.subjects) - NAMED} more")
    return [
        _wrap(f"{lead}{fault.check} {fault.status.value}: {first}", width, "", "   "),
        *(_wrap(other, width, "   ", "   ") for other in others),
    ]


def _alike(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, list[str]]]:
    """Merge verdicts that differ only in subjects and source, where nothing is known in cause and expectation too.

    Each is returned with its sources.
    """
    causes: dict[tuple[str, ...], dict[str, None]] = {}
    for each in verdicts:
        causes.setdefault(_unknown(each), {})[each.cause] = None
    kept = [
        replace(each, expected="", cause=" / ".join(list(causes[_unknown(each)])[:NAMED]))
        if each.status is Status.UNKNOWN
        else each
        for each in verdicts
    ]
    sources: dict[Verdict, dict[str, None]] = {}
    for verdict in kept:
        sources.setdefault(replace(verdict, subjects=(), source=""), {})[verdict.source] = None
    merged = group(replace(verdict, source="") for verdict in kept)
    return [(verdict, list(sources[replace(verdict, subjects=())])) for verdict in merged]


def _unknown(verdict: Verdict) -> tuple[str, ...]:
    """Return what verdicts have in common that are not known for one reason: a server may be silent in several ways."""
    return verdict.check, verdict.status.value, verdict.found, verdict.mend


def _manual(report: Report) -> list[str]:
    """Return what is to be published by hand, as zone text to be copied."""
    parts = []
    for zone in report.manual:
        where = f"in the zone {zone['zone']}" if zone["zone"] else "where the zones are kept"
        parts.append("\n".join([f"To be published by hand {where}", zone["text"].rstrip("\n")]))
    return parts


def _fit(widths: list[int], room: int) -> list[int]:
    """Make the widest columns narrower until all fit."""
    widths = list(widths)
    while sum(widths) + len(widths) - 1 > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def _clip(word: str, size: int) -> str:
    """Shorten a word in its middle: both ends of names and addresses tell more."""
    if len(word) <= size:
        return word
    head = (size - 1) // 2
    return f"{word[:head]}…{word[len(word) - (size - 1 - head):]}"


def _wrap(line: str, width: int, first: str, rest: str) -> str:
    return textwrap.fill(
        line, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=True
    )
