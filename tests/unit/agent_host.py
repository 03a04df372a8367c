# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bounce host in a folder, for the tests of its worker."""

from __future__ import annotations

import os

import pytest
from agent_world import NOW, TODAY, read, settings_in
from mailfleet import events, suppressions
from mailfleet.quarantine import Quarantine
from mailfleet.settings import Settings
from mailfleet.spool import FETCHED, Spool
from mailfleet.store import open_store
from mailfleet.worker import Worker


class Host:
    """A bounce host in a folder, with a trivial reader and a clock that stands still."""

    def __init__(self, folder, **changes) -> None:
        self.settings: Settings = settings_in(folder, **changes)
        self.now = NOW
        self.told: list[str] = []
        self.start()

    def start(self, steps=lambda _name: None, reader=read) -> Worker:
        self.store = open_store(self.settings)
        self.spool = Spool(self.settings.maildir)
        self.quarantine = Quarantine.of(self.settings)
        self.worker = Worker(self.settings, self.store, self.spool, self.quarantine, reader, self.told.append, steps,
                             lambda: self.now)
        return self.worker

    def put(self, *raws: bytes) -> None:
        for raw in raws:
            path = self.spool.path(self.spool.deliver(raw))
            os.utime(path, (self.now, self.now))

    def arrive(self, *raws: bytes) -> None:
        """Put messages there as Postfix does."""
        for raw in raws:
            path = self.spool.path(self.spool.deliver(raw))
            os.rename(path, path.removesuffix(FETCHED))

    def token(self, recipient="u@acme.test", domain="e.example.com", day=TODAY) -> str:
        return self.settings.keys.new(recipient, domain, day)

    @property
    def state(self) -> dict:
        self.store.close()
        kept = {place: sorted(os.path.basename(each.path) for each in self.quarantine.kept(place))
                for place in ("token", "other")}
        found = events.after(self.store, 0, 99)
        return {
            "events": sorted((each.key, each.kind, each.recipient, each.stream) for each in found),
            "list": [(each.stream, each.recipient, each.cause) for each in suppressions.holding(self.store, self.now)],
            "trail": len(self.store.rows("SELECT change FROM audit")), "kept": kept, "spool": self.spool.names(),
        }

    def reasons(self) -> dict[str, str]:
        return {each.reason: place for place in ("token", "other") for each in self.quarantine.kept(place)}


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.store.close()
