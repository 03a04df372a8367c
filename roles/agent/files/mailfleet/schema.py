# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables, the same in SQLite and PostgreSQL, and how an older store becomes a newer one.

Versions only add: during a rollout agents of two versions share one store. What stands here never changes; a new
version is a new entry.
"""

from __future__ import annotations

VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        # events: place of the last event; changes: of the last change of the list; floor: changes up to here may lack
        # entries that were removed for good, so that a copy that is older has to be read as a whole.
        "INSERT INTO counters (name, value) VALUES ('events', 0), ('changes', 0), ('floor', 0)",
        """CREATE TABLE events (
            number BIGINT PRIMARY KEY, key TEXT NOT NULL UNIQUE, at BIGINT NOT NULL, host TEXT NOT NULL,
            source TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, scope TEXT NOT NULL, status TEXT NOT NULL,
            stream TEXT NOT NULL, recipient TEXT NOT NULL, named TEXT NOT NULL, token TEXT NOT NULL,
            day BIGINT NOT NULL, text TEXT NOT NULL, rule TEXT NOT NULL)""",
        "CREATE INDEX events_recipient ON events (recipient, stream)",
        "CREATE INDEX events_token ON events (token)",
        "CREATE INDEX events_at ON events (at)",
        # removed: the day on which somebody took it off the list, -1 where nobody did; until: 0 is for ever.
        """CREATE TABLE suppressions (
            stream TEXT NOT NULL, recipient TEXT NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL,
            event TEXT NOT NULL, since BIGINT NOT NULL, until BIGINT NOT NULL, removed BIGINT NOT NULL,
            changed BIGINT NOT NULL, PRIMARY KEY (stream, recipient))""",
        "CREATE INDEX suppressions_recipient ON suppressions (recipient)",
        "CREATE INDEX suppressions_changed ON suppressions (changed)",
        """CREATE TABLE audit (
            change BIGINT PRIMARY KEY, at BIGINT NOT NULL, stream TEXT NOT NULL, recipient TEXT NOT NULL,
            action TEXT NOT NULL, cause TEXT NOT NULL, actor TEXT NOT NULL, detail TEXT NOT NULL)""",
        "CREATE INDEX audit_recipient ON audit (recipient)",
        # upto: the last event that the hook has; held: who delivers to it now, and until when nobody else may.
        """CREATE TABLE outbox (
            hook TEXT PRIMARY KEY, upto BIGINT NOT NULL, tries BIGINT NOT NULL, next_at BIGINT NOT NULL,
            holder TEXT NOT NULL, held_until BIGINT NOT NULL)""",
    ),
)

COUNTERS = "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"
