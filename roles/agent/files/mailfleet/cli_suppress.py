# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet suppress``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import typing as t

from . import events, list_files, suppressions
from .cli_settings import actor, moment, settings_of
from .errors import Status, Trouble
from .event import clean
from .recipients import fold, is_address, wanted
from .rules import ALL, DAY, Entry
from .settings import Settings
from .store import Store, open_store

MOST_DAYS = 36500  # a moment that is much later has no date


def add(_commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the commands."""
    inner = groups["suppress"]

    def command(name: str, run: t.Callable[[argparse.Namespace], int], told: str) -> argparse.ArgumentParser:
        made = inner.add_parser(name, help=told)
        made.set_defaults(run=run)
        return made

    put = command("add", _add, "put an address on the list")
    put.add_argument("address")
    put.add_argument("--stream", default=ALL, help="mail of this stream only, instead of all")
    put.add_argument("--days", type=int, default=0, help="for so many days only")
    put.add_argument("--detail", default="", help="why, for the audit trail")
    remove = command("remove", _remove, "take an address off the list; status 1 where it was not on it")
    remove.add_argument("address")
    remove.add_argument("--stream", help="of this stream only, instead of all")
    remove.add_argument("--detail", default="", help="why, for the audit trail")
    why = command("why", _why, "tell whether and why an address is on the list; status 1 where it is not")
    why.add_argument("address")
    why.add_argument("--stream", help="for mail of this stream only")
    shown, export = command("list", _list, "show the list"), command("export", _export, "write the list as a file")
    for each in (shown, export):
        each.add_argument("--stream", help="of this stream only")
    export.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    import_ = command("import", _import, "put a file on the list: CSV, JSON lines, or an address a line")
    import_.add_argument("file", help="- for standard input")
    import_.add_argument("--stream", default=ALL, help="of what names none, instead of all")


def _add(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    address, now = wanted(asked.address, "ADDRESS"), int(time.time())
    if not 0 <= asked.days <= MOST_DAYS:
        raise Trouble("--days", str(asked.days), f"a number of days, {MOST_DAYS} at most, 0 for ever")
    entry = Entry(_known(asked.stream, "--stream", settings), address, "manual", clean(asked.detail, 300), "", now,
                  now + asked.days * DAY if asked.days else 0)
    store = open_store(settings)
    with store.transaction():
        suppressions.put(store, [entry], actor(settings), now)
    print(_told(entry, now))
    return Status.DONE


def _remove(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    address, now = wanted(asked.address, "ADDRESS"), int(time.time())
    store = open_store(settings)
    with store.transaction():
        there = [each for each in suppressions.of(store, address)
                 if each.removed < 0 and (asked.stream is None or each.stream == fold(asked.stream))]
        detail = clean(asked.detail, 300)
        gone = [dataclasses.replace(each, removed=now // DAY, detail=detail or each.detail) for each in there]
        suppressions.put(store, gone, actor(settings), now)
    for each in gone:
        print(f"{each.recipient} is off the list of {_stream(each)}")
    if not gone:
        print(f"{address} was not on the list")
    return Status.DONE if gone else Status.NO


def _why(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    address, now = wanted(asked.address, "ADDRESS"), int(time.time())
    store = open_store(settings)
    # Another name for a stream would be answered by a no.
    stream = None if asked.stream is None else _known(asked.stream, "--stream", settings)
    found = [each for each in suppressions.of(store, address) if stream is None or each.stream in (stream, ALL)]
    for entry in found:
        print(_told(entry, now))
        if (event := events.get(store, entry.event)) if entry.event else None:
            print(f"  by event {event.number} of {moment(event.at)} at {event.host}: {event.kind}, {event.reason} "
                  f"{event.status} (rule {event.rule}): {event.text}")
    for each in suppressions.audit(store, address):
        told = f"{each.action} by {each.actor} for {each.stream}: {each.cause} {each.detail}"
        print(f"  {moment(each.at)}: {told}".rstrip())
    holds = any(entry.holds(now) for entry in found)
    if not holds:
        print(f"{address} is not suppressed")
    return Status.DONE if holds else Status.NO


def _list(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    now = int(time.time())
    for entry in _holding(open_store(settings), asked.stream, now):
        print(_told(entry, now))
    return Status.DONE


def _export(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    list_files.write(_holding(open_store(settings), asked.stream, int(time.time())), asked.format, sys.stdout)
    return Status.DONE


def _import(asked: argparse.Namespace) -> int:
    try:
        if asked.file == "-":
            text = sys.stdin.buffer.read().decode("utf-8")
        else:
            with open(asked.file, encoding="utf-8") as file:
                text = file.read()
    except UnicodeDecodeError as error:
        raise Trouble(asked.file, f"octet {error.start} is no UTF-8", "UTF-8") from error
    settings = settings_of(asked)
    now = int(time.time())
    entries = list_files.read(text, asked.file, _known(asked.stream, "--stream", settings), now,
                              lambda stream, where: _known(stream, where, settings))
    store = open_store(settings)
    with store.transaction():
        there = suppressions.get(store, {(each.stream, each.recipient) for each in entries})
        new = [each for each in entries if not _covered(there.get((each.stream, each.recipient)), each, now)]
        suppressions.put(store, new, actor(settings), now)
    print(f"{len(new)} added, {len(entries) - len(new)} were on the list already")
    return Status.DONE


def _known(stream: str, where: str, settings: Settings) -> str:
    """A stream that somebody named; raises Trouble where mail of none would ever meet the entry."""
    stream, streams = fold(stream), sorted({*settings.streams.values()})
    # A sender domain that no stream has is a stream of its own.
    if stream != ALL and stream not in streams and (
            "." not in stream or not is_address(f"x@{stream}") or stream in settings.streams):
        raise Trouble(where, repr(stream[:100]), f"one of {', '.join(streams)}, or a sender domain that none has")
    return stream


def _covered(there: Entry | None, new: Entry, now: int) -> bool:
    return there is not None and there.holds(now) and (there.until == 0 or 0 < new.until <= there.until)


def _holding(store: Store, stream: str | None, now: int) -> t.Iterator[Entry]:
    return (each for each in suppressions.holding(store, now) if stream is None or each.stream == fold(stream))


def _stream(entry: Entry) -> str:
    return "all streams" if entry.stream == ALL else entry.stream


def _told(entry: Entry, now: int) -> str:
    if entry.removed >= 0:
        state = "was taken off"
    elif not entry.holds(now):
        state = f"ended {moment(entry.until)}"
    else:
        state = f"until {moment(entry.until)}" if entry.until else "for ever"
    told = f"{entry.recipient}  {_stream(entry)}  {entry.cause}  since {moment(entry.since)}  {state}  {entry.detail}"
    return told.rstrip()
