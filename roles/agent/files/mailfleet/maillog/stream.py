# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the log tells as events of the one stream.

The notice that Postfix sends of a bounce says what its log says. So both make one event, whichever is read first: of
the same kind, recipient, host and queue id.

- A deferral is an event of the kind ``deferred``, one for a message and recipient, which the first attempt makes and
  further ones do not change. It is no failure yet; what the message comes to is the failure, or the delivery.
- The log is our own word. Without a token the stream is that of the sender's domain, where the configuration knows it;
  mail of nobody's stream (notices, the host's own) makes no events.
- A token that is wrong, expired or another recipient's means that it is not known whose mail it was: the event is
  recorded as ``log-unproved`` and changes nothing, under a key of its own.
- A refusal by our own list says nothing of the recipient, and is no event.
- Mail to an address that was made up to prove that bounces come back is no event either: what came back is to prove it.
"""

from __future__ import annotations

import datetime
import typing as t

from .. import event as events
from ..event import LOG, UNPROVED, Event
from ..finding import Kind
from ..recipients import domain_of, fold, is_probe
from ..refusal import is_ours
from ..rules import DAY
from ..settings import Settings
from ..tokens import Checked, Result
from .log_event import DEFERRED, DELIVERED, LogEvent


def event_of(found: LogEvent, settings: Settings, now: int) -> Event | None:
    """The event of what the log says; None where it makes none.

    :arg now: seconds of UTC; the log of a clock that was ahead is not believed to be later.
    """
    if found.outcome not in settings.log.events or not found.queue_id or not found.sender or is_ours(found.text):
        return None
    if any(is_probe(each) for each in (found.original, found.recipient)):
        return None
    at = min(found.at, now)
    if at < now - settings.retention_days * DAY:
        return None  # what was forgotten since is not told anew
    addresses = list(dict.fromkeys(fold(each) for each in (found.original, found.recipient) if each))
    domain = domain_of(found.sender)
    checked = settings.keys.check(found.sender, datetime.datetime.fromtimestamp(at, datetime.UTC).date())
    doubt = _doubt(found.sender, checked, addresses, settings)
    if not checked and domain not in settings.streams:
        return None
    recipient = settings.keys.recipient(checked, addresses) or (addresses[0] if addresses else "")
    if not recipient:
        return None
    if checked and not doubt:
        stream, token, day = settings.stream(checked.domain), checked.token, checked.day
    else:
        # A notice that was forwarded (SRS) has a token of another domain than its own.
        stream = settings.stream(domain if domain in settings.streams else checked.domain)
        token, day = "", max(0, int(at - found.delay)) // DAY
    named = "" if fold(found.recipient) == recipient else events.clean(fold(found.recipient), 320)
    recipient = events.clean(recipient, 320)
    kind = {DELIVERED: Kind.DELIVERED, DEFERRED: Kind.DEFERRED}.get(found.outcome, found.kind)
    occurrence = events.occurrence_in_log(found.host, found.queue_id)
    key = events.key(kind, recipient, f"{UNPROVED} {occurrence}" if doubt else occurrence)
    return Event(key, at, settings.host, UNPROVED if doubt else LOG, kind, events.clean(found.reason, 100), found.scope,
                 events.clean(found.status, 20), stream, recipient, named, token, day, events.clean(found.text),
                 events.clean(f"{doubt}{found.rule}", 200))


def _doubt(sender: str, checked: Checked, addresses: t.Sequence[str], settings: Settings) -> str:
    """Why a return path is not to be believed; empty where it is, or claims nothing."""
    if checked:
        return "" if settings.keys.recipient(checked, addresses) else "token of another recipient: "
    if checked.result is not Result.MALFORMED:
        return f"token: {checked.result}: "
    local, _at, domain = fold(sender).rpartition("@")
    return "token: malformed: " if local.startswith("b+") and domain in settings.keys.domains else ""
