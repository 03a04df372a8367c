# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server whose mail log is followed: the lines of Postfix, its store, and its counts."""

from __future__ import annotations

import datetime
import functools

import pytest
from agent_world import NOW, TODAY, settings_in
from mailfleet import events, suppressions
from mailfleet.maillog.counts import Counts
from mailfleet.maillog.follower import Follower
from mailfleet.maillog.reader import LogReader
from mailfleet.store import open_store
from rotated_log import Log

SENDER = "news@example.com"
UNKNOWN = ("host mx1.acme.test[192.0.2.1] said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual "
           "mailbox table (in reply to RCPT TO command)")
GREYLISTED = ("host mx1.acme.test[192.0.2.1] said: 450 4.7.1 <{to}>: Recipient address rejected: Greylisted (in reply "
              "to RCPT TO command)")


def stamped(said: str, at: int = NOW, tag: str = "postfix/smtp") -> bytes:
    """A line as rsyslog writes it."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000001+00:00")
    return f"{moment} mta1 {tag}[7]: {said}\n".encode()


def came(queue_id: str, sender: str = SENDER, at: int = NOW) -> bytes:
    return stamped(f"{queue_id}: from=<{sender}>, size=1000, nrcpt=1 (queue active)", at, "postfix/qmgr")


def outcome(queue_id: str, to: str, status: str, text: str = "", dsn: str = "", *, original: str = "", at: int = NOW,
            delay: int = 2) -> bytes:
    """A line of what became of a recipient."""
    dsn = dsn or {"sent": "2.0.0", "bounced": "5.1.1", "deferred": "4.7.1"}[status]
    text = (text or {"sent": "250 2.0.0 Ok: queued", "bounced": UNKNOWN, "deferred": GREYLISTED}[status]).format(to=to)
    was = f" orig_to=<{original}>," if original else ""
    return stamped(f"{queue_id}: to=<{to}>,{was} relay=mx1.acme.test[192.0.2.1]:25, delay={delay}, "
                   f"delays=0.1/0/1/0.9, dsn={dsn}, status={status} ({text})", at)


def went(queue_id: str, at: int = NOW) -> bytes:
    return stamped(f"{queue_id}: removed", at, "postfix/qmgr")


def message(queue_id: str, to: str, status: str, *args, sender: str = SENDER, at: int = NOW, **more) -> bytes:
    """All lines of a message to one recipient."""
    ends = b"" if status == "deferred" else went(queue_id, at)
    return came(queue_id, sender, at) + outcome(queue_id, to, status, *args, at=at, **more) + ends


class Server:
    """A server in a folder, whose clock stands still."""

    def __init__(self, folder, **changes) -> None:
        log = {"file": str(folder / "mail.log"), "counts": str(folder / "log.db"), "queues": []}
        self.settings = settings_in(folder, log=log | changes.pop("log", {}), **changes)
        self.log = Log(folder)
        self.now = NOW + 10
        self.told: list[str] = []
        self.start()

    def start(self, steps=lambda _name: None) -> Follower:
        self.store, self.counts = open_store(self.settings), Counts(self.settings.log.counts)
        reader = functools.partial(LogReader, self.settings.log.view, host=self.settings.host, events=True)
        self.follower = Follower(self.settings, self.counts, self.store, reader, self.told.append, steps,
                                 lambda: self.now, follows=False)
        return self.follower

    def write(self, *lines: bytes) -> None:
        self.log.write(b"".join(lines))

    def token(self, recipient="u@acme.test", domain="e.example.com", day=TODAY) -> str:
        return self.settings.keys.new(recipient, domain, day)

    def run(self) -> None:
        """Follow what is there to its end."""
        while self.follower.round() == 0:
            pass

    def close(self) -> None:
        self.follower.close()
        self.store.close()
        self.counts.close()

    @property
    def events(self) -> list[tuple[str, ...]]:
        found = events.after(self.store, 0, 1000)
        return [(each.source, each.kind, each.recipient, each.stream) for each in found]

    @property
    def suppressed(self) -> list[tuple[str, str]]:
        return [(each.stream, each.recipient) for each in suppressions.holding(self.store, self.now)]

    @property
    def state(self) -> dict:
        """All that is known, but for what depends on when it was committed."""
        self.close()
        found = {
            "events": sorted((each.key, each.kind, each.recipient, each.stream, each.at)
                             for each in events.after(self.store, 0, 1000)),
            "list": [(each.stream, each.recipient, each.cause) for each in suppressions.holding(self.store, self.now)],
            "totals": self.counts.totals().as_json(), "sums": self.counts.sums(), "place": self.counts.load().place,
        }
        self.close()
        return found


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.close()
    made.log.close()
