# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report, as text of 100 columns at most and as JSON."""

from __future__ import annotations

import collections
import re
import textwrap
import typing as t

from . import delays
from .log_event import DELIVERED, OUTCOMES
from .page_text import asides, last_counted, moment, several
from .reader import LogReader
from .totals import Totals
from .view import View
from .why import gist

WIDTH = 100
_MOST_DOMAINS = 20
_PERCENTILES = (50, 90, 99)
# Names of domains, services and hosts are the log's, as are reports of servers: nothing of them steers a terminal.
_STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STAGES = {"before": "before the queue", "queue": "in the queue", "connect": "connecting", "send": "sending",
           "total": "altogether"}


def as_json(reader: LogReader, totals: Totals, view: View | None, files: t.Sequence[str],
            counted_at: int | None = None) -> dict[str, t.Any]:
    """The report as plain data: the totals, what still waits, and delays in seconds.

    :arg counted_at: when the service last counted a line, where the report is what it has counted; 0 for never.
    """
    waits, oldest = reader.waiting.by_provider(), reader.waiting.oldest()
    known = bool(view and len(view.names) > len(View().names))
    counted = {} if counted_at is None else {reader.host: counted_at}
    return _made([reader.host], counted, files, known, totals, waits, oldest and list(oldest))


def merged(reports: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """The report of a fleet, of those of its servers; raises ValueError where one is none."""
    totals, waits = Totals(), collections.Counter[str]()
    oldest, hosts, files, known = [], [], [], False
    counted: dict[str, int] = {}
    try:
        for each in reports:
            totals.add(Totals.from_json(each["totals"]))
            waits.update({str(provider): int(many) for provider, many in each["waiting"]["messages"].items()})
            if each["waiting"]["oldest"] is not None:
                oldest.append([int(each["waiting"]["oldest"]), str(each["waiting"]["oldest_message"])])
            hosts += map(str, each["hosts"])
            counted |= {str(host): int(at) for host, at in each["counted"].items()}
            files += map(str, each["files"])
            known = known or bool(each["providers_known"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"found no report of a server's log: {error!r}") from error
    return _made(hosts, counted, files, known, totals, dict(sorted(waits.items())), min(oldest, default=None))


def _made(hosts: t.Sequence[str], counted: t.Mapping[str, int], files: t.Sequence[str], known: bool, totals: Totals,
          waits: t.Mapping[str, int], oldest: list[t.Any] | None) -> dict[str, t.Any]:
    return {
        "hosts": list(hosts), "counted": dict(counted), "files": list(files), "providers_known": known,
        "totals": totals.as_json(),
        "waiting": {"messages": dict(waits), "oldest": oldest and oldest[0], "oldest_message": oldest and oldest[1]},
        "delays": [{"provider": provider, "stage": stage,
                    **{f"p{each}": found for each, found in delays.percentiles(buckets, _PERCENTILES).items()}}
                   for (provider, stage), buckets in sorted(totals.delays.items())],
    }


def text(report: t.Mapping[str, t.Any]) -> str:
    """A report as people read it."""
    totals = Totals.from_json(report["totals"])
    parts = [_head(report, totals), _providers(totals), _waiting(report["waiting"], totals),
             _reasons(totals), _table("sending address", totals.by("address", "outcome")), _domains(totals),
             _delays(totals), _foot(totals)]
    return _STEERS.sub("\ufffd", "\n\n".join(each for each in parts if each)) + "\n"


def _head(report: t.Mapping[str, t.Any], totals: Totals) -> str:
    lines = sum(totals.lines.values())
    when = f"{moment(totals.first)} to {moment(totals.last)} UTC, " if totals.first >= 0 else ""
    none = "" if totals.rows else ", no outcome of any mail that was asked for"
    told = [f"Mail of {', '.join(report['hosts'])}: {when}{several(lines, 'line')}{none}"]
    if report["counted"]:
        told.append(last_counted(report["counted"]))
    if not report["providers_known"]:
        told.append("No providers are configured (maillog.providers), so all of them are called other.")
    return "\n".join(_wrapped(each) for each in told)


def _wrapped(line: str, indent: str = "") -> str:
    return textwrap.fill(line, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 3] + "..."


def _table(title: str, counts: t.Mapping[tuple[str, ...], int], most: int = 0) -> str:
    """Outcomes by a name, those with most of them first."""
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for (name, outcome), many in counts.items():
        rows[name][outcome] += many
    if not rows:
        return ""
    wide = max(15, min(30, max(len(name) for name in rows)))
    found = [f"{title:{wide}}" + "".join(f"{each:>11}" for each in OUTCOMES)]
    order = sorted(rows, key=lambda name: (-rows[name].total(), name))
    found += [f"{_cut(name, wide):{wide}}" + "".join(f"{rows[name][each]:11,}" for each in OUTCOMES)
              for name in order[: most or None]]
    if most and len(order) > most:
        left: collections.Counter[str] = sum((rows[name] for name in order[most:]), collections.Counter())
        found.append(f"{f'{len(order) - most:,} more':{wide}}" + "".join(f"{left[each]:11,}" for each in OUTCOMES))
    return "\n".join(found)


def _providers(totals: Totals) -> str:
    found = _table("provider", totals.by("provider", "outcome"))
    if not found:
        return ""
    sums = [totals.total(outcome=each) for each in OUTCOMES]
    wide = found.index(OUTCOMES[0]) - (11 - len(OUTCOMES[0]))
    told = [found, f"{'all':{wide}}" + "".join(f"{each:11,}" for each in sums)]
    if totals.counts["tls_lines"] and totals.tls:
        shares = [f"{name} {100 * over / all_:.1f} %" for name, (over, all_) in sorted(totals.tls.items()) if all_]
        told.append(_wrapped("Delivered over TLS: " + ", ".join(shares)))
    elif totals.tls:
        told.append(_wrapped("Whether TLS was used the log does not say: smtp_tls_loglevel is 0."))
    return "\n".join(told)


def _waiting(waiting: t.Mapping[str, t.Any], totals: Totals) -> str:
    attempts, messages = totals.total(outcome="deferred"), sum(totals.deferred.values())
    told = [f"Deferred: {several(attempts, 'attempt')}, {several(messages, 'message')}."] if attempts else []
    if waiting["oldest"] is not None:
        told.append(f"Still waiting: {sum(waiting['messages'].values()):,}, the oldest since "
                    f"{moment(waiting['oldest'])} UTC ({waiting['oldest_message'].rpartition(' ')[2]}).")
    told += asides(totals.counts)
    return _wrapped(" ".join(told))


def _reasons(totals: Totals) -> str:
    by_reason: dict[str, int] = collections.Counter()
    by_place: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for (provider, outcome, reason), many in totals.by("provider", "outcome", "reason").items():
        if outcome != DELIVERED:
            by_reason[reason] += many
            by_place[reason, provider][outcome] += many
    found = []
    for reason in sorted(by_reason, key=lambda each: (-by_reason[each], each)):
        scopes = sorted({row[5] for row in totals.rows if row[3] == reason and row[2] != DELIVERED})
        found.append(f"{reason} ({', '.join(scopes)}): {by_reason[reason]:,}")
        places = [(provider, counts) for (each, provider), counts in by_place.items() if each == reason]
        texts: dict[bytes, str] = {}
        for provider, counts in sorted(places, key=lambda place: (-place[1].total(), place[0])):
            told = ", ".join(f"{counts[each]:,} {each}" for each in OUTCOMES if counts[each])
            found.append(f"  {provider}: {told}")
            for each in totals.samples.get((provider, reason), []):
                texts.setdefault(gist(each), each)
        found += [textwrap.fill(_cut(each, 260), WIDTH, initial_indent="    - ", subsequent_indent="      ",
                                break_on_hyphens=False) for each in list(texts.values())[:3]]
    return "Why not\n" + "\n".join(found) if found else ""


def _domains(totals: Totals) -> str:
    return _table("domain", {(name, outcome): many for name, outcomes in totals.domains.items()
                             for outcome, many in outcomes.items()}, _MOST_DOMAINS)


def _delays(totals: Totals) -> str:
    providers = sorted({provider for provider, _stage in totals.delays})
    if not providers:
        return ""
    head = "Seconds that 50, 90 and 99 % of what was delivered took at most (to within 5 %)"
    found = [head, f"{'provider':15}" + "".join(f"{each:>17}" for each in _STAGES.values())]
    for provider in providers:
        cells = []
        for stage in _STAGES:
            shares = delays.percentiles(totals.delays.get((provider, stage), {}), _PERCENTILES)
            cells.append("/".join(f"{shares[each]:.2g}" if shares[each] < 100 else f"{shares[each]:.0f}"
                                  for each in _PERCENTILES) if shares else "-")
        found.append(f"{_cut(provider, 15):15}" + "".join(f"{each:>17}" for each in cells))
    return "\n".join(found)


def _foot(totals: Totals) -> str:
    if not totals.unknown:
        return ""
    told = ", ".join(f"{name} {many:,}" for name, many in sorted(totals.unknown.items(), key=lambda each: -each[1]))
    return _wrapped(f"Lines of no known kind: {told}")
