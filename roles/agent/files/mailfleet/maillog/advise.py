# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where providers answer that it is too much at once: which throttle to set in ``sending_providers``, and why.

What is suggested is a beginning, not a measurement: half of the connections that are allowed now, and four fifths of
what the provider took in the best hour in which it said so.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import typing as t

from .log_event import DEFERRED, DELIVERED, OUTCOMES
from .reader import LogReader
from .totals import OTHER, Totals
from .totals import Row as RowKey
from .view import LOCAL, NONE, View
from .why import gist, shown

LEAST = 5  # answers from which on a provider is named
SHARE = 0.005  # of attempts: what warm-up, too, takes for too many deferrals
_LINES = 3
_MOST = 2000  # names
# Who was never seen before is put off by these whatever is set: they pass by themselves.
_GREYLISTING = re.compile(r"gr[ae]y[ -]?list|postgrey", re.IGNORECASE)
_SESSION = re.compile(r"\b(?:connections?|sessions?|concurren\w+|simultaneous)\b", re.IGNORECASE)
_MESSAGES = re.compile(r"too many (?:messages|mails|e-?mails)[\w ]{0,20} (?:connection|session)|"
                       r"(?:messages|mails) per (?:connection|session)", re.IGNORECASE)
_RATE = re.compile(r"(\d+)/([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RECIPIENTS = re.compile(r"too many recipients|recipients per", re.IGNORECASE)


@dataclasses.dataclass
class Heard:
    """What a provider, or the servers of a domain that has none, said: how often, of what, in which hours."""

    many: int = 0
    of: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    hours: set[int] = dataclasses.field(default_factory=set)
    lines: dict[bytes, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Advice:
    """An entry for ``sending_providers``, and what it rests on: answers, attempts (both without greylisting), how many
    messages were taken in the best hour that had such an answer, by how many addresses, and what was said."""

    name: str
    domains: tuple[str, ...]
    limits: t.Mapping[str, t.Any]
    many: int
    attempts: int
    best: int
    addresses: int
    lines: tuple[str, ...]


class Listener(LogReader):
    """A reader that remembers who said that it is too much."""

    def __init__(self, *arguments: t.Any, **named: t.Any) -> None:
        super().__init__(*arguments, **named)
        self.found: dict[tuple[str, str], Heard] = {}
        self.greylisted = 0

    def heard(self, row: RowKey, domain: bytes, rule: str, at: int, text: bytes) -> None:
        if row[3] != "rate" or row[0] == LOCAL:
            return
        said = shown(text)
        if _GREYLISTING.search(rule) or _GREYLISTING.search(said):
            self.greylisted += 1
            return
        name = domain.decode("utf-8", "replace").lower()[:255] if row[0] == OTHER else ""
        if (row[0], name) not in self.found and len(self.found) >= _MOST:
            return
        found = self.found.setdefault((row[0], name), Heard())
        found.many += 1
        found.of["messages" if _MESSAGES.search(said) else "recipients" if _RECIPIENTS.search(said)
                 else "connections" if _SESSION.search(said) else "rate"] += 1
        found.hours.add(at // 3600 * 3600)
        if len(found.lines) < _LINES:
            found.lines.setdefault(gist(said), said)


def advise(listener: Listener, totals: Totals, view: View) -> list[Advice]:
    """What to set, for whom most was put off first."""
    made = []
    for (provider, domain), heard in listener.found.items():
        if domain:
            outcomes = totals.domains.get(domain, {})
            delivered = outcomes.get(DELIVERED, 0)
            attempts = sum(outcomes.get(each, 0) for each in OUTCOMES)
            hours = max(1, (totals.last - totals.first) // 3600)
            best = delivered // hours
        else:
            by_hour: collections.Counter[int] = collections.Counter()
            for (hour, each, outcome, _reason), many in totals.hours.items():
                if each == provider and outcome == DELIVERED and hour in heard.hours:
                    by_hour[hour] += many
            best = max(by_hour.values(), default=0)
            attempts = sum(totals.total(provider=provider, outcome=each) for each in (DELIVERED, DEFERRED, "bounced"))
        if heard.many < LEAST or heard.many < SHARE * attempts:
            continue
        used = {row[1] for row in totals.rows if row[0] == provider and row[2] == DELIVERED}
        addresses = len(used - {LOCAL, NONE}) or 1
        limits = _limits(heard, view.limits.get(provider, {}) if not domain else {}, best / addresses)
        name = re.sub(r"[^a-z0-9-]+", "-", domain).strip("-") if domain else provider
        made.append(Advice(name, (domain,) if domain else (), limits, heard.many, attempts, best, addresses,
                           tuple(heard.lines.values())))
    return sorted(made, key=lambda each: (-each.many, each.name))


def _limits(heard: Heard, now: t.Mapping[str, t.Any], best: float) -> dict[str, t.Any]:
    """The limits that answer what was said, each for one address, and none above what is set ``now``."""
    limits: dict[str, t.Any] = {}
    alone = heard.of["connections"] and now.get("connections") == 1
    if heard.of["connections"] and not alone:
        limits["connections"] = max(1, now["connections"] // 2) if now.get("connections") else 2
    if heard.of["messages"]:
        limits["messages"] = max(1, now["messages"] // 2) if now.get("messages") else 10
    if heard.of["recipients"]:
        limits["recipients"] = max(1, now["recipients"] // 2) if now.get("recipients") else 20
    # Fewer connections than one there are not: what is left is to send less.
    if (heard.of["rate"] or alone) and best:
        limits["rate"] = rate(0.8 * min(best, _hourly(now.get("rate", "")) or best))
    return limits or {"connections": max(1, now.get("connections", 4) // 2)}


def _hourly(text: str) -> float:
    """Of a rate as ``sending_providers`` has it, how many an hour; 0 where there is none."""
    found = _RATE.fullmatch(text)
    return int(found[1]) * 3600 / _SECONDS[found[2]] if found else 0.0


def rate(hourly: float) -> str:
    """A rate as ``sending_providers`` takes it: the whole number below, of the shortest time that leaves two digits."""
    for unit, seconds in (("s", 1), ("m", 60)):
        if hourly * seconds / 3600 >= 10:
            return f"{int(hourly * seconds / 3600)}/{unit}"
    return f"{max(1, int(hourly))}/h"


def text(advices: t.Sequence[Advice], listener: Listener) -> str:
    """The advice as YAML that can be pasted, with what it rests on as comments."""
    if not advices:
        told = "# No provider answers that it is too much at once, at least not often."
        if listener.greylisted:
            told += f"\n# Greylisting put off {listener.greylisted:,} attempts: that passes by itself."
        return told + "\n"
    found = ["# Limits hold for each address. Where sending_providers has an entry of the name, change that one.",
             "sending_providers:"]
    for each in advices:
        took = (f"it took {each.best:,} an hour" if each.domains else
                f"in the best hour it took {each.best:,}, from {each.addresses} of our addresses")
        found.append(f"  # {each.many:,} of {each.attempts:,} attempts were too much for it; {took}")
        found += [f"  #   {line if len(line) <= 200 else line[:197] + '...'}" for line in each.lines]
        entry: dict[str, t.Any] = {"name": each.name, **({"domains": list(each.domains)} if each.domains else {}),
                                   **each.limits}
        inner = ", ".join(f"{name}: {_yaml(value)}" for name, value in entry.items())
        found.append(f"  - {{{inner}}}")
    return "\n".join(found) + "\n"


def _yaml(value: t.Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    # What is a plain scalar in every YAML needs no quotes; a name such as 163-com or no does.
    plain = isinstance(value, int) or (re.fullmatch(r"[a-z][a-z0-9.-]*", value) and value not in _WORDS
                                       or re.fullmatch(r"\d+/[smh]", value))
    return str(value) if plain else json.dumps(value)


_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
