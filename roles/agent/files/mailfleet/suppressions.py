# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The suppression list in the store. Each change has a number and an entry in the audit trail."""

from __future__ import annotations

import dataclasses
import typing as t

from .rules import DAY, Entry
from .store import Store

_COLUMNS = "stream, recipient, cause, detail, event, since, until, removed, changed"
_PUT = f"""INSERT INTO suppressions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (stream, recipient) DO UPDATE SET cause = excluded.cause, detail = excluded.detail,
    event = excluded.event, since = excluded.since, until = excluded.until, removed = excluded.removed,
    changed = excluded.changed"""


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What was done to an entry: ``added`` or ``removed``, when, and by whom."""

    change: int
    at: int
    stream: str
    recipient: str
    action: str
    cause: str
    actor: str
    detail: str


def put(store: Store, entries: t.Sequence[Entry], actor: str, now: int) -> None:
    """Put entries on the list, or removed ones off it, in place of those that there are. Within a transaction."""
    change = store.advance("changes", len(entries))
    numbered = [dataclasses.replace(entry, changed=change + place) for place, entry in enumerate(entries, 1)]
    store.many(_PUT, [tuple(getattr(each, name) for name in Entry.__slots__) for each in numbered])
    store.many(
        "INSERT INTO audit (change, at, stream, recipient, action, cause, actor, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(each.changed, now, each.stream, each.recipient, "added" if each.removed < 0 else "removed", each.cause, actor,
          each.detail) for each in numbered])


def get(store: Store, keys: t.Collection[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
    """The entries of some streams and recipients, holding or not."""
    found = store.matching(f"SELECT {_COLUMNS} FROM suppressions WHERE (stream, recipient) {{values}}", sorted(keys))
    return {row[:2]: Entry(*row) for row in found}


def of(store: Store, recipient: str) -> list[Entry]:
    """All entries of a recipient, holding or not."""
    found = store.rows(f"SELECT {_COLUMNS} FROM suppressions WHERE recipient = ? ORDER BY stream", (recipient,))
    return [Entry(*row) for row in found]


def audit(store: Store, recipient: str) -> list[Audit]:
    """What was done to a recipient's entries, in order."""
    found = store.rows("SELECT change, at, stream, recipient, action, cause, actor, detail FROM audit "
                       "WHERE recipient = ? ORDER BY change", (recipient,))
    return [Audit(*row) for row in found]


def holding(store: Store, now: int) -> t.Iterator[Entry]:
    """All entries that hold, in the order of their keys, a thousand at a time."""
    after = ("", "")
    while True:
        found = store.rows(f"SELECT {_COLUMNS} FROM suppressions WHERE (stream, recipient) > (?, ?) AND removed < 0 "
                           "AND (until = 0 OR until > ?) ORDER BY stream, recipient LIMIT 1000", (*after, now))
        yield from (Entry(*row) for row in found)
        if len(found) < 1000:
            return
        after = found[-1][:2]


def changed(store: Store, after: int, most: int = 1000) -> list[Entry]:
    """The entries that changed after a change, in order, removed ones among them."""
    found = store.rows(f"SELECT {_COLUMNS} FROM suppressions WHERE changed > ? ORDER BY changed LIMIT ?", (after, most))
    return [Entry(*row) for row in found]


def tidy(store: Store, before: int) -> None:
    """Drop entries that ended before a moment, and the trail behind it of what is on no list. Within a transaction.

    A removed entry stays as long as tokens of its time may come back, so that none of them puts it back.
    """
    gone = "(removed >= 0 AND removed < ?) OR (removed < 0 AND until > 0 AND until < ?)"
    last = store.rows(f"SELECT MAX(changed) FROM suppressions WHERE {gone}", (before // DAY, before))[0][0]
    if last is not None:
        store.run(f"DELETE FROM suppressions WHERE {gone}", (before // DAY, before))
        store.run("UPDATE counters SET value = ? WHERE name = 'floor' AND value < ?", (last, last))
    store.run("DELETE FROM audit WHERE at < ? AND NOT EXISTS (SELECT 1 FROM suppressions AS entry "
              "WHERE entry.stream = audit.stream AND entry.recipient = audit.recipient)", (before,))


def forget(store: Store, recipient: str) -> tuple[int, int]:
    """Drop a recipient from the list and the trail; how many entries of each. Within a transaction."""
    entries = store.run("DELETE FROM suppressions WHERE recipient = ?", (recipient,))
    trail = store.run("DELETE FROM audit WHERE recipient = ?", (recipient,))
    if entries:
        # Copies are read anew: a trace of what was removed would be a trace of the address.
        change = store.advance("changes", 1) + 1
        store.run("UPDATE counters SET value = ? WHERE name = 'floor'", (change,))
    return entries, trail
