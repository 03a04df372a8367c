# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailfleet log report``, ``trace`` and ``advise``."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import time
import typing as t

from .cli_settings import acting
from .errors import Status, Trouble
from .maillog import advise, page, report, trace
from .maillog.counting import Wanted
from .maillog.counts import Counts
from .maillog.files import JOURNAL, of_log
from .maillog.parts import How, read
from .maillog.reader import LogReader
from .maillog.totals import Totals
from .maillog.view import Known, View, load
from .settings import load as load_settings

_AGO = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def add(_commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the commands."""
    inner = groups["log"]
    told = {"report": "what became of mail, by provider and reason",
            "trace": "one message's whole story; status 1 where there is none",
            "advise": "which throttles to set where providers say that it is too much"}
    made = {name: inner.add_parser(name, help=each) for name, each in told.items()}
    made["trace"].add_argument("wanted", metavar="ADDRESS|QUEUE-ID|TOKEN", help="whose, or which message")
    for name in ("report", "advise"):
        for bound, each in (("since", "from then on"), ("until", "before then")):
            made[name].add_argument(f"--{bound}", metavar="TIME",
                                    help=f"{each}: 2026-11-28, 2026-11-28T13:00, or 90m, 24h, 7d ago")
        made[name].add_argument("--provider", action="append", default=[], help="of this one only; may be given again")
        made[name].add_argument("--domain", action="append", default=[], help="of this recipient domain only")
    for name, run in (("report", _report), ("trace", _trace), ("advise", _advise)):
        if name != "advise":
            made[name].add_argument("--json", action="store_true", help="as JSON")
        if name == "report":
            made[name].add_argument("--html", metavar="FILE", help="write it as a page for a browser, and print "
                                    "nothing but what --json asks for")
        # With a default of its own, since argparse would tell of it as required else.
        made[name].add_argument("files", metavar="FILE", nargs="*", default=[],
                                help="files of the log, the oldest first, plain, .gz, .xz or .bz2, - for standard "
                                "input, journal: for journald's (what was counted by the service, else "
                                "the log that it follows, else /var/log/mail.log and what it was rotated to, else "
                                "journal:)")
        made[name].set_defaults(run=run)


def _how(asked: argparse.Namespace, now: float) -> tuple[How, Known]:
    known = load(asked.config)
    wanted = Wanted(_moment(asked.since, "--since", now) if asked.since else 0,
                    _moment(asked.until, "--until", now) if asked.until else 1 << 62,
                    frozenset(asked.provider), frozenset(each.lower().encode() for each in asked.domain))
    # What can never be counted would be told as if all were quiet.
    names = (known.view or View()).names
    if strange := sorted(wanted.providers - names):
        mend = "" if known.view else f"{asked.config} has no others, or who asks may not read it"
        raise Trouble("--provider", repr(strange[0][:60]), f"one of {', '.join(sorted(names))}", mend)
    if wanted.since >= wanted.until:
        raise Trouble("--until", repr(asked.until), f"a time behind that of --since, {asked.since}")
    return How(known.view or View(), known.host or os.uname().nodename, None,
               None if wanted == Wanted() else wanted), known


def _moment(text: str, option: str, now: float) -> int:
    """A moment in seconds of UTC; without a zone it is of this host's."""
    if ago := _AGO.fullmatch(text):
        return int(now) - int(ago[1]) * _UNITS[ago[2]]
    try:
        return int(datetime.datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError) as error:
        expected = "a time such as 2026-11-28, 2026-11-28T13:00, or 24h for a day ago"
        raise Trouble(option, repr(text[:60]), expected) from error


def files_of(asked: argparse.Namespace, known: Known) -> list[str]:
    """The log that is named, else the one that is followed, else the one that is there."""
    if asked.files or known.source == "journal":
        return asked.files or [JOURNAL]
    return of_log(known.file) if known.file else of_log()


def _counted(asked: argparse.Namespace, how: How, followed: bool) -> tuple[LogReader, Totals, list[str], int] | None:
    """What the service has counted, so that nobody reads a day's log again; None where it does not run, or more is
    asked than it knows. Of the hours that are partly asked for it knows but the whole. The last is when it counted."""
    if asked.files or asked.provider or asked.domain or not followed:
        return None
    settings = load_settings(asked.config)
    if not os.path.exists(settings.log.counts):
        return None
    reader, wanted = how.reader(), how.wanted or Wanted()
    with acting(settings, asked.config), contextlib.closing(Counts(settings.log.counts)) as counts:
        committed = counts.load()
        if committed.open:
            reader.restore(committed.open)
        return reader, counts.totals(wanted.since, wanted.until), [settings.log.counts], committed.at


def _report(asked: argparse.Namespace) -> int:
    how, known = _how(asked, time.time())
    counted_at = None
    if counted := _counted(asked, how, known.followed):
        reader, totals, files, counted_at = counted
    else:
        files = files_of(asked, known)
        reader = read(how, files)
        totals, _events = reader.take()
    told = report.as_json(reader, totals, known.view, files, counted_at)
    if asked.html:
        page.write(told, asked.html)
    if asked.json:
        print(json.dumps(told, ensure_ascii=False))
    elif not asked.html:
        print(report.text(told), end="")
    return Status.DONE


def _trace(asked: argparse.Namespace) -> int:
    stories = trace.trace(files_of(asked, load(asked.config)), asked.wanted)
    for number, story in enumerate(stories):
        if asked.json:
            print(json.dumps({"ids": story.ids, "lines": [{"at": each.at, "who": each.who, "said": each.said}
                                                          for each in story.lines]}, ensure_ascii=False))
            continue
        print(("\n" if number else "") + (f"Message {', '.join(story.ids)}" if story.ids else "Refused"))
        for each in story.lines:
            print(f"  {each.at}  {each.who}\n      {each.said}")
    if not stories and not asked.json:
        print(f"The log says nothing of {asked.wanted}.")
    return Status.DONE if stories else Status.NO


def _advise(asked: argparse.Namespace) -> int:
    how, known = _how(asked, time.time())
    listener = advise.Listener(how.view, host=how.host, wanted=how.wanted)
    read(how, files_of(asked, known), processes=1, reader=listener)
    totals, _events = listener.take()
    print(advise.text(advise.advise(listener, totals, how.view), listener), end="")
    return Status.DONE
