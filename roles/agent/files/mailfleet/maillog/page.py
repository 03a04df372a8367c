# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a page: one file of HTML, which needs nothing else and runs nothing.

It is made of what ``--json`` prints and of nothing else, so that it is the same whenever it is made of the same, and
can be made of a report that several servers' were merged into.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import stat
import tempfile
import typing as t

from ..errors import Trouble
from . import plots
from .delays import STAGES
from .log_event import BOUNCED, DEFERRED, DELIVERED, EXPIRED, OUTCOMES, REJECTED, SUPPRESSED
from .page_style import style
from .page_tables import MOST_ROWS, by_outcome, numbers, ranked, summed, table
from .page_text import (
    DAY,
    HOUR,
    PER_CENT,
    Buckets,
    LogAxis,
    asides,
    esc,
    exact,
    last_counted,
    moment,
    several,
    share,
    span,
)
from .totals import Totals
from .why import gist

PROVIDERS = 8  # that have a plot of their own
REASONS = 20
ATTEMPTS = (DELIVERED, DEFERRED, BOUNCED)
_TEXTS = 6  # samples of a reason
_NAMES = {"before": "Before the queue", "queue": "In the queue", "connect": "Connecting", "send": "Sending",
          "total": "Altogether"}
_SCOPES = {"recipient": "About the recipient", "domain": "About the recipient's domain",
           "sender": "About the sending domain or address", "message": "About the message",
           "network": "About the network, on either side"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Counts = dict[str, int]
Delay = tuple[float, float, float]


class _Report(t.NamedTuple):
    """What the page is made of: see report.as_json and Totals. ``shown`` are the providers that have plots."""

    hosts: list[str]
    counted: dict[str, int]
    files: list[str]
    known: bool
    totals: Totals
    waiting: Counts
    oldest: tuple[int, str] | None
    delays: dict[str, dict[str, Delay]]
    providers: dict[str, Counts]
    shown: list[str]


def page(report: t.Mapping[str, t.Any]) -> str:
    """The page of a report.

    :arg report: what report.as_json made of a server, or report.merged of several.
    :raises ValueError: where it is nothing of the kind. It may come from a server.
    """
    found = _read(report)
    name = found.hosts[0] if len(found.hosts) == 1 else f"{len(found.hosts):,} servers"
    try:
        sections = [_outcomes(found), _reasons(found), _delays(found), _heat(found), _tables(found)]
    except OverflowError as error:
        raise ValueError(f"found no report: {error}") from error
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        '<meta name="robots" content="noindex">'
        f"<title>Mail of {esc(name, 100)}</title><style>{style()}</style></head>\n<body><main>{_head(found, name)}\n"
        + "\n".join(each for each in sections if each) + f"\n{_foot(found)}</main></body></html>\n")


def write(report: t.Mapping[str, t.Any], path: str) -> None:
    """Write the page, whole or not at all, for its owner alone to read: what servers said may name recipients.

    :raises Trouble: where it cannot be written.
    """
    text = page(report).encode()
    try:
        # A name is replaced by a file: whoever names a device means something else.
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise Trouble(path, "no plain file", "the name of a file to be written")
        handle, beside = tempfile.mkstemp(prefix=".report-", dir=os.path.dirname(path) or ".")
        try:
            with open(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise Trouble(path, f"cannot be written: {error.strerror or error}") from error


def _read(report: t.Any) -> _Report:
    try:
        totals = Totals.from_json(report["totals"])
        hosts = [str(each) for each in report["hosts"]]
        counted = {str(host): _whole(at) for host, at in report["counted"].items()}
        waiting = {str(name): _whole(many) for name, many in report["waiting"]["messages"].items()}
        oldest = report["waiting"]["oldest"]
        delays: dict[str, dict[str, Delay]] = collections.defaultdict(dict)
        for each in report["delays"]:
            half, most, nearly = (_seconds(each[name]) for name in ("p50", "p90", "p99"))
            delays[str(each["provider"])][str(each["stage"])] = half, most, nearly
        files = [str(each) for each in report["files"]]
        known, message = bool(report["providers_known"]), str(report["waiting"]["oldest_message"] or "")
        when = None if oldest is None else (_whole(oldest), message)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"found no report: {type(error).__name__} {error}") from error
    providers: dict[str, Counts] = collections.defaultdict(collections.Counter)
    for (provider, outcome), count in totals.by("provider", "outcome").items():
        providers[provider][outcome] += count
    order = ranked(providers)
    shown = order if len(order) == PROVIDERS + 1 else order[:PROVIDERS]
    return _Report(hosts, counted, files, known, totals, waiting, when, delays, providers, shown)


def _whole(value: t.Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"found {str(value)[:80]!r}, expected a whole number from 0")
    return value


def _seconds(value: t.Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"found {str(value)[:80]!r}, expected seconds")
    return value


def _more(found: _Report) -> str:
    return f"{len(found.providers) - len(found.shown):,} more"


def _section(title: str, says: str, *parts: str) -> str:
    return f"<section><h2>{esc(title)}</h2><p class=\"quiet\">{esc(says)}</p>{''.join(parts)}</section>"


def _figures(title: str, *inside: str) -> str:
    return f"<details><summary>{esc(title)}</summary>{''.join(inside)}</details>"


def _head(found: _Report, name: str) -> str:
    totals = found.totals
    when = f"{moment(totals.first)} to {moment(totals.last)} UTC" if totals.first >= 0 else "no outcome of any mail"
    made = [f"<header><h1>Mail of <bdi>{esc(name, 100)}</bdi></h1>",
            f'<p class="quiet">{when}, {several(sum(totals.lines.values()), "line")} of the log</p>']
    if len(found.hosts) > 1:
        made.append(f'<p class="quiet">{_list(found.hosts)}</p>')
    if found.counted:
        made.append(f'<p class="quiet">{esc(last_counted(found.counted))}</p>')
    if not found.known:
        made.append('<p class="note">No providers are configured (maillog.providers), so all of them are called '
                    "other.</p>")
    made.append('<dl class="figures">')
    made += [f'<div class="of-{title.lower()}"><dt>{esc(title)}</dt><dd class="large">{large}</dd>'
             f'<dd class="more">{more}</dd></div>' for title, large, more in _large(found)]
    return "".join(made) + "</dl></header>"


def _list(names: t.Sequence[str]) -> str:
    left = f" and {len(names) - MOST_ROWS:,} more" if names[MOST_ROWS:] else ""
    return ", ".join(f"<bdi>{esc(each, 100)}</bdi>" for each in names[:MOST_ROWS]) + left


def _large(found: _Report) -> t.Iterator[tuple[str, str, str]]:
    """The figures at the head: what, how many, and what that is of."""
    totals, counts = found.totals, summed(found.providers.values())
    ended = sum(counts.get(each, 0) for each in (DELIVERED, BOUNCED, EXPIRED))
    for outcome in OUTCOMES:
        many = counts.get(outcome, 0)
        if outcome == DEFERRED:
            more = f"attempts, of {several(sum(totals.deferred.values()), 'message')}"
        elif outcome == REJECTED:
            more = "when they were handed in"
        elif outcome == SUPPRESSED:
            more = "by the suppression list"
        else:
            more = f"{share(many, ended)} of what ended" if ended else "nothing ended"
        if many or outcome != SUPPRESSED:
            yield outcome.capitalize(), f"{many:,}", more
    over, whole = (sum(each[at] for each in totals.tls.values()) for at in (0, 1))
    if whole and totals.counts["tls_lines"]:
        yield "TLS", share(over, whole), f"{over:,} of {whole:,} deliveries by SMTP"
    else:
        yield "TLS", "–", "the log does not say (smtp_tls_loglevel is 0)" if whole else "nothing left by SMTP"
    if found.oldest is None:
        yield "Waiting", f"{sum(found.waiting.values()):,}", "messages that were deferred"
    else:
        at, message = found.oldest
        age = f"the oldest for {span(totals.last - at)}, " if totals.last >= at else "the oldest "
        yield ("Waiting", f"{sum(found.waiting.values()):,}",
               f"{age}since {moment(at)} (<bdi>{esc(message.rpartition(' ')[2], 80)}</bdi>)")


def _outcomes(found: _Report) -> str:
    buckets = Buckets(hour for hour, *_rest in found.totals.hours if hour)
    title = "What became of mail"
    if not found.providers:
        return _section(title, "The log says nothing of any mail in this time.")
    counts: dict[str, dict[int, Counts]] = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    before: dict[str, Counts] = collections.defaultdict(collections.Counter)
    rest = _more(found)
    for (hour, provider, outcome, _reason), many in found.totals.hours.items():
        name = provider if provider in found.shown else rest
        into = counts[name][buckets.place(hour)] if hour else before[name]
        into[outcome] += many
    used = [each for each in OUTCOMES if any(each in outcomes for outcomes in found.providers.values())]
    panels, rows = [], []
    for name in (*found.shown, rest):
        if name in before:
            rows.append([name, "before", *numbers(before[name])])
        if name not in counts:
            continue
        whole = summed(counts[name].values())
        attempts = sum(whole.get(each, 0) for each in ATTEMPTS)
        good = f"{share(whole.get(DELIVERED, 0), attempts)} of attempts delivered" if attempts else "no attempt"
        panels.append(f"<figure><figcaption><h3><bdi>{esc(name, 60)}</bdi></h3><span class=\"quiet\">{good}</span>"
                      f"</figcaption>{plots.over_time(name, buckets, counts[name])}</figure>")
        rows += [[name, buckets.label(at), *numbers(each)] for at, each in sorted(counts[name].items())]
    says = (f"By provider. A bar is {buckets.one}, in UTC, and each plot has its own scales. A deferral is one "
            "attempt, so a message may count more than once. Bars are stacked from below, in the order of the "
            "colours here.")
    return _section(
        title, says, plots.legend([(each, each) for each in used], "Colours of outcomes"),
        f'<div class="panels">{"".join(panels)}</div>',
        by_outcome("by-provider", "Outcomes by provider", "provider", found.providers),
        _figures("The same as a table", table(
            "by-time", f"Outcomes by provider and {buckets.name}, in UTC", ["provider", "when", *OUTCOMES], rows,
            left=2)))


def _reasons(found: _Report) -> str:
    counts: dict[tuple[str, str], Counts] = collections.defaultdict(collections.Counter)
    places: dict[tuple[str, str], dict[str, Counts]] = collections.defaultdict(
        lambda: collections.defaultdict(collections.Counter))
    for (scope, reason, provider, outcome), many in found.totals.by("scope", "reason", "provider", "outcome").items():
        if outcome != DELIVERED:
            counts[scope, reason][outcome] += many
            places[scope, reason][provider][outcome] += many
    if not counts:
        return ""
    order = sorted(counts, key=lambda each: (-sum(counts[each].values()), each))
    kept, rest = order[:REASONS], summed(counts[each] for each in order[REASONS:])
    most = sum(counts[kept[0]].values())
    made, told = [], set()
    for scope in dict.fromkeys(scope for scope, _reason in kept):
        whole = summed(each for (about, _reason), each in counts.items() if about == scope)
        made.append(f'<h3 class="scope"><bdi>{esc(_SCOPES.get(scope, scope), 60)}</bdi> '
                    f'<span class="quiet">{sum(whole.values()):,}</span></h3>')
        for key in kept:
            if key[0] == scope:
                texts = [] if key[1] in told else _texts(found.totals, key[1], places[key])
                told.add(key[1])
                made.append(_reason(key[1], counts[key], most, places[key], texts))
    if rest:
        made.append(f'<h3 class="scope">{len(order) - REASONS:,} more reasons <span class="quiet">'
                    f"{sum(rest.values()):,}</span></h3><p>{plots.told(rest)}</p>")
    rows: list[list[int | str]] = [[reason, scope, *numbers(counts[scope, reason])[1:]] for scope, reason in kept]
    if rest:
        rows.append([f"{len(order) - REASONS:,} more", "", *numbers(rest)[1:]])
    used = [each for each in plots.TROUBLE if any(each in outcomes for outcomes in counts.values())]
    return _section(
        "Why not", "By what the reason is about. Open a reason to see at which providers, and what they said.",
        plots.legend([(each, each) for each in used], "Colours of outcomes"), *made,
        _figures("The same as a table", table("by-reason", "What was not delivered, by reason",
                                              ["reason", "about", *plots.TROUBLE], rows, left=2)))


def _texts(totals: Totals, reason: str, places: t.Mapping[str, Counts]) -> list[tuple[str, str]]:
    """Samples of a reason and where they are from, those of different meaning, the providers with most first."""
    found: dict[bytes, tuple[str, str]] = {}
    for provider in ranked(places):
        for text in totals.samples.get((provider, reason), []):
            found.setdefault(gist(text), (provider, text))
    return list(found.values())[:_TEXTS]


def _reason(name: str, counts: Counts, most: int, places: t.Mapping[str, Counts],
            texts: t.Sequence[tuple[str, str]]) -> str:
    many = sum(counts.values())
    order = ranked(places)
    inside = [f"<p><bdi>{esc(each, 60)}</bdi>: {plots.told(places[each])}</p>" for each in order[:PROVIDERS]]
    if order[PROVIDERS:]:
        left = summed(places[each] for each in order[PROVIDERS:])
        inside.append(f"<p>{len(order) - PROVIDERS:,} more: {plots.told(left)}</p>")
    inside += [f'<blockquote><b><bdi>{esc(provider, 60)}</bdi></b> <bdi>{esc(text)}</bdi></blockquote>'
               for provider, text in texts]
    return (f'<details class="reason"><summary><span><bdi>{esc(name, 60) or "(none)"}</bdi></span>'
            f'<span class="many">{many:,}</span>{plots.length(counts, most, f"{name}: {plots.told(counts)}")}</summary>'
            f'<div class="why">{"".join(inside)}</div></details>')


def _delays(found: _Report) -> str:
    named = [each for each in ranked(found.providers) if each in found.delays]
    named += sorted(set(found.delays) - set(named))
    shown = named[:PROVIDERS]
    panels = []
    axis = LogAxis(value for name in shown for each in found.delays[name].values() for value in each)
    for stage in STAGES:
        rows = [(name, *found.delays[name][stage]) for name in shown if stage in found.delays[name]]
        if rows:
            panels.append(f"<figure><figcaption><h3>{_NAMES[stage]}</h3></figcaption>"
                          f"{plots.ranges(_NAMES[stage], rows, axis)}</figure>")
    if not panels:
        return ""
    rest = len(named) - len(shown)
    says = "What was delivered, by provider and stage, on a logarithmic axis, to within 5" + PER_CENT + "."
    if rest:
        says += f" The {len(shown)} providers with most mail; {rest:,} more are in the table or the JSON."
    rows = [[name, _NAMES[stage].lower(), *map(exact, found.delays[name][stage])] for name in named[:MOST_ROWS]
            for stage in STAGES if stage in found.delays[name]]
    return _section("How long it took", says, plots.marks(), f'<div class="panels">{"".join(panels)}</div>', _figures(
        "The same as a table", table("by-delay", "Seconds that so many per cent of what was delivered took at most",
                                     ["provider", "stage", "50 %", "90 %", "99 %"], rows, left=2)))


def _heat(found: _Report) -> str:
    hours: dict[str, list[list[int]]] = collections.defaultdict(lambda: [[0, 0] for _hour in range(24)])
    whole = [[0, 0] for _hour in range(24)]
    rest = _more(found)
    for (hour, provider, outcome, _reason), many in found.totals.hours.items():
        if hour and outcome in ATTEMPTS:
            for row in (whole, hours[provider if provider in found.shown else rest]):
                cell = row[hour % DAY // HOUR]
                cell[0] += many * (outcome == DEFERRED)
                cell[1] += many
    if not hours:
        return ""
    made, rows = [], []
    for name, each in [("all", whole), *((name, hours[name]) for name in (*found.shown, rest) if name in hours)]:
        cells = list(each)
        made.append(f'<div class="name" title="{esc(name, 60)}"><bdi>{esc(name, 60)}</bdi></div>'
                    f"{plots.heat_row(name, cells)}")
        rows.append([name, *(f"{deferred:,}/{attempts:,}" if attempts else "–" for deferred, attempts in cells)])
    says = ("The share of attempts that were deferred, by provider and hour of the day in UTC, in per cent where there "
            "is room. An empty place had no attempt.")
    return _section(
        "When it was deferred", says, plots.legend([(f"h{at}", text) for at, (_most, text) in enumerate(plots.HEAT)],
                                                   "Colours of shares"),
        f'<div class="heat">{"".join(made)}<div></div>{plots.heat_axis()}</div>',
        _figures("The same as a table", table("by-hour", "Deferred attempts of all attempts, by hour of the day in UTC",
                                              ["provider", *(f"{hour:02d}" for hour in range(24))], rows)))


def _tables(found: _Report) -> str:
    addresses: dict[str, Counts] = collections.defaultdict(collections.Counter)
    for (address, outcome), many in found.totals.by("address", "outcome").items():
        addresses[address][outcome] += many
    if not addresses:
        return ""
    return _section("From where, and to whom", "The sending addresses and the recipient domains with most mail.",
                    by_outcome("by-address", "Outcomes by sending address", "sending address", addresses),
                    by_outcome("by-domain", "Outcomes by recipient domain", "domain", found.totals.domains))


def _foot(found: _Report) -> str:
    told = asides(found.totals.counts)
    if found.totals.unknown:
        names = sorted(found.totals.unknown.items(), key=lambda each: (-each[1], each[0]))
        told.append(f"Lines of no known kind: {_list([f'{name} {count:,}' for name, count in names])}.")
    if found.files:
        told.append(f"Read from {_list(found.files)}.")
    told.append("All times are of UTC. What servers said may name recipients.")
    return "<footer>" + "".join(f"<p>{each}</p>" for each in told) + "</footer>"
