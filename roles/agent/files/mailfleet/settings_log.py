# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part ``log`` of the configuration: where the mail log is, and what is made of it."""

from __future__ import annotations

import dataclasses
import typing as t

from .maillog.log_event import BOUNCED, DEFERRED, DELIVERED, EXPIRED
from .maillog.view import View

if t.TYPE_CHECKING:
    from .settings_reader import Reader

# What may become events. What was rejected was told to who handed it in, and never was a message.
EVENTS = (DELIVERED, DEFERRED, BOUNCED, EXPIRED)


@dataclasses.dataclass(frozen=True)
class Log:
    """How the mail log is followed.

    ``source`` is ``file`` or ``journal``; ``file`` the one that is written, beside which are those that it is rotated
    to; ``counts`` the database of this server's counts; ``metrics`` a file for node_exporter's textfile collector,
    empty for none; ``queues`` the configuration folders of the Postfix instances whose queues are counted; ``view``
    what of the inventory the log is read with (the part ``maillog``).

    ``events`` are the outcomes that join the event stream. Each is a row of the shared store, in PostgreSQL of 450
    bytes with its indexes, for as many days as ``retention_days`` says, and goes to each webhook; of deferrals there is
    one for a message and recipient. A fleet that sends a million a day and keeps 90 days so needs 40 GB for
    ``delivered``. Without ``delivered`` a delivery does not let the count of soft failures begin anew, and who fails
    now and then is suppressed as who always does.

    Whoever may write to syslog may write what looks like a bounce. Where a server has other users, ``journal`` is the
    source to have: of it only lines count that Postfix' user or root wrote.
    """

    source: str = "file"
    file: str = "/var/log/mail.log"
    events: tuple[str, ...] = EVENTS
    counts: str = "/var/lib/mailfleet-agent/log.db"
    metrics: str = ""
    queues: tuple[str, ...] = ("/etc/postfix",)
    view: View = dataclasses.field(default_factory=View)


def read(top: Reader) -> Log:
    """Read the parts ``log`` and ``maillog``; mistakes are noted in the reader."""
    part, plain = top.part("log"), Log()
    events = part.names("events") if part.has("events") else plain.events
    for each in events:
        if each not in EVENTS:
            part.note("events", each, f"one of {', '.join(EVENTS)}")
    queues = part.names("queues") if part.has("queues") else plain.queues
    for each in queues:
        if not each.startswith("/"):
            part.note("queues", each, "absolute paths of Postfix' configuration folders")
    found = Log(
        part.choice("source", ("file", "journal"), plain.source), part.path_of("file", plain.file), tuple(events),
        part.path_of("counts", plain.counts), part.path_of("metrics", plain.metrics), tuple(queues),
        View.read(top.part("maillog")),
    )
    part.done()
    return found
