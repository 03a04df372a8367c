# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet events tail``, ``bounces unclassified``, ``quarantine`` and ``retry``, ``forget`` and ``tidy``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
import typing as t

from . import events, upkeep
from .cli_settings import moment, settings_of
from .errors import Status, Unavailable
from .event import Event
from .maillog.counts import Counts
from .quarantine import Quarantine
from .recipients import wanted
from .spool import Spool
from .store import open_store
from .unit import Stop, say

UNCLASSIFIED = ("undetermined",)  # the reasons of what no rule knows
_LOOK = 0.5  # seconds


def number(text: str) -> int:
    """A whole number as every database takes it; raises ValueError."""
    if abs(found := int(text)) >= 1 << 63:
        raise ValueError
    return found


def add(commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the commands."""
    tail = groups["events"].add_parser("tail", help="show events, one JSON object a line, in the order of commits")
    tail.add_argument("--lines", type=number, default=10, help="how many of the last ones (10)")
    tail.add_argument("--after", type=number, metavar="NUMBER", help="all behind this one instead")
    tail.add_argument("--follow", action="store_true", help="go on with what comes")
    tail.set_defaults(run=_tail)
    forget = commands.add_parser("forget", help="drop all that is known of an address")
    forget.add_argument("address")
    forget.set_defaults(run=_forget)
    commands.add_parser("tidy", help="drop what is older than it is kept").set_defaults(run=_tidy)
    unclassified = groups["bounces"].add_parser("unclassified", help="notices that no rule knows, newest first")
    unclassified.add_argument("--lines", type=number, default=50, help="how many at most (50)")
    unclassified.add_argument("--json", action="store_true", help="one JSON object a line")
    unclassified.set_defaults(run=_unclassified)
    quarantine = groups["bounces"].add_parser("quarantine", help="how many messages changed nothing, and why")
    quarantine.add_argument("--list", action="store_true", help="each of them instead, newest first")
    quarantine.set_defaults(run=_quarantine)
    retry = groups["bounces"].add_parser("retry", help="judge what is in quarantine anew, when its cause is mended")
    retry.add_argument("reasons", nargs="+", metavar="REASON", help="why it is there, as `bounces quarantine` says")
    retry.set_defaults(run=_retry)


def _show(found: t.Iterable[Event]) -> None:
    for event in found:
        print(json.dumps(event.as_json(), ensure_ascii=False), flush=True)


def _tail(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    store, stopped = open_store(settings), Stop()
    at = store.counter("events")
    if asked.after is None:
        shown = events.last(store, max(0, asked.lines))
        _show(shown)
        at = shown[-1].number if shown else at
    else:
        at = max(0, asked.after)
    while True:
        try:
            found = events.after(store, at, 500)
        except Unavailable as error:
            if not asked.follow:
                raise
            say(str(error))
            found = []
            stopped(5)
        _show(found)
        at = found[-1].number if found else at
        if not found and (not asked.follow or stopped(_LOOK)):
            return Status.DONE


def _unclassified(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    found = events.reasons(open_store(settings), UNCLASSIFIED, max(0, asked.lines))
    if asked.json:
        _show(found)
        return Status.DONE
    for event in found:
        print(f"{moment(event.at)}  {event.recipient}  {event.kind} {event.status or '-'}  {event.text}")
    if not found:
        print("Every notice was known to a rule.")
    return Status.DONE


def _quarantine(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    quarantine = Quarantine.of(settings)
    if asked.list:
        for kept in sorted(quarantine.messages(), key=lambda each: -each.since):
            print(f"{moment(int(kept.since))}  {kept.reason}  {kept.path}")
        return Status.DONE
    counts = quarantine.counts()
    for reason, many in counts.items():
        print(f"{reason}: {many['kept']} kept, {many['again']} came again, {many['gone']} gone")
    if not counts:
        print(f"Nothing is in {settings.quarantine}.")
    return Status.DONE


def _retry(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    quarantine = Quarantine.of(settings)
    there = {reason for reason, many in quarantine.counts().items() if many["kept"]}
    if unknown := sorted({*asked.reasons} - there):
        print(f"Nothing is in {settings.quarantine} for {', '.join(unknown)}; "
              f"what is: {', '.join(sorted(there)) or '-'}")
        return Status.NO
    released = quarantine.release(asked.reasons, Spool(settings.maildir))
    print(f"{released} messages are judged anew; what still changes nothing comes back to {settings.quarantine}")
    return Status.DONE


def _forget(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    address = wanted(asked.address, "ADDRESS")
    gone = upkeep.forget(address, open_store(settings), Quarantine.of(settings), settings.keys)
    print(f"{gone.events} events, {gone.entries} entries of the list, {gone.trail} of its trail, {gone.messages} "
          "messages in this host's quarantine are gone")
    if os.path.exists(settings.log.counts):
        with contextlib.closing(Counts(settings.log.counts)) as counts:
            print(f"{counts.forget(address)} of what this host counted in its mail log named it, and do no more")
    return Status.DONE


def _tidy(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    gone = upkeep.tidy(settings, open_store(settings), Spool(settings.maildir), Quarantine.of(settings), time.time())
    print(f"{gone} events are gone, older than {settings.retention_days} days")
    if os.path.exists(settings.log.counts):
        with contextlib.closing(Counts(settings.log.counts)) as counts:
            counts.tidy(int(time.time()), settings.retention_days)
    return Status.DONE
