# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events in the store: recorded once, in the order of commits, with what they do to the suppression list."""

from __future__ import annotations

import dataclasses
import typing as t

from . import suppressions
from .event import FIELDS, LOG, UNPROVED, Event
from .finding import Kind
from .rules import DAY, OF_THE_RECIPIENT, Entry, Past, decide
from .settings import Rules
from .store import Store
from .unsigned import MOST_A_DAY
from .unsigned import SOURCE as UNSIGNED

_COLUMNS = ", ".join(FIELDS)
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' for _each in FIELDS)})"
# Of one token so many events are kept: it is one recipient's of one day, and somebody may repeat it for ever. Our own
# log, which nobody repeats, has no part in that.
MOST_OF_A_TOKEN = 100


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What a batch changed: the events that were new, and the entries that they made.

    ``beyond`` are the keys of those that were new and not recorded: of their token, or of what nobody signed, there are
    as many as may be.
    """

    events: tuple[Event, ...]
    entries: tuple[Entry, ...]
    beyond: frozenset[str] = frozenset()


def record(store: Store, events: t.Sequence[Event], rules: Rules, now: int) -> Recorded:
    """Record a batch: events that are known already change nothing. Within a transaction."""
    fresh, beyond = _add(store, events, now)
    entries = _entries(store, fresh, rules, now)
    suppressions.put(store, entries, "rules", now)
    return Recorded(tuple(fresh), tuple(entries), frozenset(beyond))


def _add(store: Store, events: t.Sequence[Event], now: int) -> tuple[list[Event], set[str]]:
    """Add the events that are new, with their numbers; the keys of those for which there is no room."""
    wanted = {event.key: event for event in reversed(events)}  # of two with one key the first
    known = {row[0] for row in store.matching("SELECT key FROM events WHERE key {values}", [(key,) for key in wanted])}
    tokens = sorted({event.token for event in wanted.values() if event.token})
    many = dict(store.matching("SELECT token, COUNT(*) FROM events WHERE token {values} "
                               f"AND source <> '{LOG}' GROUP BY token", [(token,) for token in tokens]))
    room = _room_for_unsigned(store, now) if any(event.source == UNSIGNED for event in events) else 0
    fresh, beyond = [], set()
    for event in events:
        if event.key in known:
            continue
        if event.source != LOG and many.get(event.token, 0) >= MOST_OF_A_TOKEN or (
                event.source == UNSIGNED and room <= 0):
            beyond.add(event.key)
            continue
        room -= event.source == UNSIGNED
        known.add(event.key)
        if event.token and event.source != LOG:
            many[event.token] = many.get(event.token, 0) + 1
        fresh.append(event)
    before = store.advance("events", len(fresh))
    fresh = [dataclasses.replace(event, number=before + place) for place, event in enumerate(fresh, 1)]
    store.many(_INSERT, [tuple(getattr(event, name) for name in FIELDS) for event in fresh])
    return fresh, beyond


def _room_for_unsigned(store: Store, now: int) -> int:
    """How many unsigned events may still be recorded on this day."""
    there = store.rows("SELECT COUNT(*) FROM events WHERE at > ? AND source = ?", (now - DAY, UNSIGNED))[0][0]
    return MOST_A_DAY - there


def _entries(store: Store, fresh: t.Sequence[Event], rules: Rules, now: int) -> list[Entry]:
    """The entries that new events make, the last one for each stream and recipient."""
    known = suppressions.get(store, {(event.stream, event.recipient) for event in fresh})
    soft = {(event.stream, event.recipient) for event in fresh
            if event.kind == Kind.SOFT and event.scope in OF_THE_RECIPIENT}
    past = _past(store, soft, now - rules.soft_within * DAY, {UNPROVED} if rules.unsigned else {UNPROVED, UNSIGNED})
    made: dict[tuple[str, str], Entry] = {}
    for event in fresh:
        key = (event.stream, event.recipient)
        # A batch has what came later too: each event sees what was before it.
        before = [each for each in past.get(key, ()) if each.number <= event.number]
        if entry := decide(event, made.get(key, known.get(key)), before, rules):
            made[key] = entry
    return list(made.values())


def _past(
    store: Store, keys: t.Collection[tuple[str, str]], since: int, but: t.Collection[str]
) -> dict[tuple[str, str], list[Past]]:
    """Soft failures and deliveries of recipients since a moment, but for those of some sources."""
    found: dict[tuple[str, str], list[Past]] = {}
    kinds = f"'{Kind.SOFT}', '{Kind.DELIVERED}'"
    scopes = ", ".join(f"'{scope}'" for scope in OF_THE_RECIPIENT)
    rows = store.matching(
        "SELECT stream, recipient, kind, day, at, number, source FROM events WHERE (stream, recipient) {values} "
        f"AND kind IN ({kinds}) AND (kind <> '{Kind.SOFT}' OR scope IN ({scopes})) ORDER BY number", sorted(keys))
    for stream, recipient, kind, day, at, number, source in rows:
        if at >= since and source not in but:
            found.setdefault((stream, recipient), []).append(Past(kind, day if day >= 0 else at // DAY, number))
    return found


def after(store: Store, number: int, most: int) -> list[Event]:
    """The events behind a number, in the order in which they were committed."""
    found = store.rows(f"SELECT {_COLUMNS} FROM events WHERE number > ? ORDER BY number LIMIT ?", (number, most))
    return [Event(*row) for row in found]


def last(store: Store, most: int) -> list[Event]:
    """The last events, in order."""
    found = store.rows(f"SELECT {_COLUMNS} FROM events ORDER BY number DESC LIMIT ?", (most,))
    return [Event(*row) for row in reversed(found)]


def get(store: Store, key: str) -> Event | None:
    """The event of a key."""
    found = store.rows(f"SELECT {_COLUMNS} FROM events WHERE key = ?", (key,))
    return Event(*found[0]) if found else None


def recipients(store: Store, tokens: t.Collection[str]) -> dict[str, str]:
    """Whose tokens are, as far as earlier events say it."""
    return dict(store.matching("SELECT DISTINCT token, recipient FROM events WHERE recipient <> '' AND token {values}",
                               [(token,) for token in sorted(tokens)]))


def reasons(store: Store, names: t.Collection[str], most: int) -> list[Event]:
    """The last events with one of some reasons, newest first."""
    places = ", ".join("?" for _each in names)
    found = store.rows(f"SELECT {_COLUMNS} FROM events WHERE reason IN ({places}) ORDER BY number DESC LIMIT ?",
                       (*names, most))
    return [Event(*row) for row in found]


def tidy(store: Store, before: int) -> int:
    """Drop the events that are older; how many. Within a transaction."""
    return store.run("DELETE FROM events WHERE at < ?", (before,))


def forget(store: Store, recipient: str) -> int:
    """Drop the events of a recipient, and those that name it in any way; how many. Within a transaction."""
    like = "".join(f"!{each}" if each in "!%_" else each for each in recipient)
    return store.run("DELETE FROM events WHERE recipient = ? OR LOWER(named) = ? OR LOWER(text) LIKE ? ESCAPE '!'",
                     (recipient, recipient, f"%{like}%"))
