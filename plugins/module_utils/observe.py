# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe recipient domains: ask for their MX, and put what logs say beside what was observed before."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.hosting import Hosting, by_provider
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.observations import NULL, Observations, Observed
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome

Log = Mapping[str, Mapping[str, int]]  # day -> domain -> recipients that were done with

AT_ONCE = 10_000  # so many answers are held in memory at a time
EVERY = 5.0  # seconds between words on how far it is
HOSTS = 20  # so many MX hosts of a domain are kept
KEPT = 90  # days for which a domain is observed to which no mail went any more
COUNTED = 30  # days of which messages are kept
MOST = 200_000  # domains that are observed at most


def observe(lookup: Lookup, fleet: Fleet, before: Observations, listed: Iterable[str], logs: Mapping[str, Log],
            date: datetime.date, show: Callable[[str], None] = lambda _text: None) -> tuple[Observations, int]:
    """Return what is observed now, and how many domains were left out since there are more than MOST.

    Arguments: C(before) what was; C(listed) the domains to observe besides those of the providers, of logs, and of
    what was seen in the KEPT days before; C(logs) by server; C(date) of today; C(show) is told how far it is.
    A domain of which DNS does not say anything keeps its MX hosts. What a server counted stays where its log is not
    there this time, and of a day that it tells again the higher count holds, since a log may have lost its beginning.
    """
    seen = _seen(before, logs, date)
    wanted = dict.fromkeys([*Hosting(fleet).own, *listed])
    # Those of the inventory come first, then those that mail went to last.
    wanted |= dict.fromkeys(sorted(seen, key=lambda name: (seen[name], name), reverse=True))
    names = list(wanted)[:MOST]
    # What DNS did not say before is asked for last: it costs the whole timeout again.
    names.sort(key=lambda name: bool(before.domains.get(name, Observed(None)).silent))
    domains = {}
    for name, outcome in ask(lookup, names, show):
        known = before.domains.get(name, Observed(None))
        mx = _hosts(name, outcome)
        silent = "" if mx is not None else str(outcome)
        domains[name] = Observed(known.mx if mx is None else mx, silent, seen.get(name, ""))
    now = Observations(date.isoformat(), domains, {}, before.others)
    messages = _messages(fleet, before, now, logs, date)
    return dataclasses.replace(now, messages=messages), len(wanted) - len(names)


def ask(lookup: Lookup, names: Sequence[str],
        show: Callable[[str], None] = lambda _text: None) -> Iterable[tuple[str, Outcome]]:
    """Yield what DNS says of the MX of each name, in their order, and tell now and then how far it is."""
    began = told = time.monotonic()
    lock, done = threading.Lock(), 0

    def one(name: str) -> Outcome:
        nonlocal told, done
        outcome = lookup.ask(name, "MX")
        with lock:
            done += 1
            if time.monotonic() - told >= EVERY:
                told = time.monotonic()
                show(f"{done:,} of {len(names):,} domains asked, {told - began:.0f} s")
        return outcome

    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        yield from zip(part, lookup.each(one, part))
        if start + AT_ONCE < len(names):
            lookup.forget()


def _hosts(name: str, outcome: Outcome) -> tuple[str, ...] | None:
    """Return the most preferred hosts; None where DNS did not say."""
    if not outcome.said:
        return None
    if outcome.kind is Kind.NO_NAME:
        return ()
    if outcome.kind is Kind.NO_DATA:
        return (name,)  # RFC 5321 5.1
    best = min(mx.preference for mx in outcome.values)
    hosts = {mx.exchange.rstrip(".") or NULL for mx in outcome.values if mx.preference == best}
    # RFC 7505 3: a null MX stands alone; beside others it is a mistake, and Postfix goes to the others.
    return tuple(sorted(hosts - {NULL})[:HOSTS]) or (NULL,)


def _seen(before: Observations, logs: Mapping[str, Log], date: datetime.date) -> dict[str, str]:
    """Return the last day on which mail went to each domain, of those for which that is not long ago."""
    oldest = (date - datetime.timedelta(days=KEPT)).isoformat()
    seen = {name: each.seen for name, each in before.domains.items() if each.seen >= oldest}
    for log in logs.values():
        for day, counts in log.items():
            for name in counts:
                if day > seen.get(name, "") and day >= oldest:
                    seen[name] = day
    return seen


def _messages(fleet: Fleet, before: Observations, now: Observations, logs: Mapping[str, Log],
              date: datetime.date) -> dict[str, dict[str, dict[str, int]]]:
    """Return the counts by server, day and provider."""
    oldest = (date - datetime.timedelta(days=COUNTED)).isoformat()
    hosting = Hosting(fleet)
    servers = {server.name for server in fleet.servers}
    found = {}
    for server in sorted(servers & {*before.messages, *logs}):
        days = {day: dict(counts) for day, counts in before.messages.get(server, {}).items()}
        for day, log in logs.get(server, {}).items():
            counts = by_provider(hosting, log, now)
            if sum(counts.values()) >= sum(days.get(day, {}).values()):
                days[day] = counts
        found[server] = {day: counts for day, counts in sorted(days.items()) if day >= oldest}
    return found
