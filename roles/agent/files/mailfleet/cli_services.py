# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resident commands: ``mailfleet bounces work``, ``fetch`` and ``verify``, ``events send``, ``policy serve``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import threading
import time
import typing as t

from . import upkeep, verifying
from .cli_settings import settings_of
from .errors import Status, Unavailable
from .fetching import Fetcher, fetch
from .outbox import Sender
from .policy import Service
from .quarantine import Quarantine
from .settings import Settings
from .spool import Spool
from .store import Store, open_store
from .unit import Stop, ready, say
from .worker import Worker

TO_END = 3  # seconds; systemd waits for 10 (TimeoutStopSec)


def add(commands: t.Any, groups: t.Mapping[str, t.Any]) -> None:
    """Add the commands."""
    _resident(groups["bounces"], "work", "take in what came to the spool", _work)
    _resident(groups["bounces"], "fetch", "empty mailboxes elsewhere into the spool", _fetch)
    verify = groups["bounces"].add_parser("verify", help="run OpenDKIM, which verifies signatures, until told to stop")
    verify.set_defaults(run=_verify)
    _resident(groups["events"], "send", "deliver events to the webhooks", _send)
    serve = groups["policy"].add_parser("serve", help="answer whether a recipient is suppressed, until told to stop")
    serve.set_defaults(run=_serve)
    commands.add_parser("check", help="check the configuration, and do nothing").set_defaults(run=_check)


def _resident(inner: t.Any, name: str, told: str, run: t.Callable[[argparse.Namespace], int]) -> None:
    command = inner.add_parser(name, help=f"{told}, until told to stop")
    command.add_argument("--once", action="store_true", help="what is there now, and then end")
    command.set_defaults(run=run)


def _check(asked: argparse.Namespace) -> int:
    settings_of(asked)
    print(f"{asked.config} is in order")
    return Status.DONE


def _work(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    store, spool = open_store(settings), Spool(settings.maildir)
    quarantine = Quarantine.of(settings)
    quarantine.check(settings.maildir)
    worker = Worker(settings, store, spool, quarantine, importlib.import_module("mailfleet.notices").read, say)
    if asked.once:
        while worker.round():
            pass
        if worker.waiting:
            raise Unavailable(store.name, f"{worker.waiting} messages wait for it", "an answer", "Run this again later")
        if worker.unverified:
            raise Unavailable("mailfleet-verify.service", f"{worker.unverified} complaints wait for it", "an answer",
                              "Run this again later")
        if worker.left:
            raise Unavailable(spool.new, f"{worker.left} messages were left there", "none", "The line before says why")
        return Status.DONE
    stop, due, steady = Stop(), time.monotonic() + upkeep.FIRST, upkeep.Steady()

    def stopped(seconds: float) -> bool:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + upkeep.EVERY
            if steady():
                _upkeep(settings, store, spool, quarantine)
        return stop(seconds)

    ready()
    worker.work(stopped)
    return Status.DONE


def _upkeep(settings: Settings, store: Store, spool: Spool, quarantine: Quarantine) -> None:
    try:
        upkeep.tidy(settings, store, spool, quarantine)
    except Unavailable as error:
        say(str(error))


def _fetch(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    spool = Spool(settings.maildir)
    if asked.once:
        for remote in settings.remotes:
            while fetch(remote, spool, say):
                pass
        return Status.DONE
    stop, fetcher = Stop(), Fetcher(settings.remotes, spool, say)
    _beside(stop, [fetcher.round], "mailboxes")
    return Status.DONE


def _verify(_asked: argparse.Namespace) -> int:
    verifying.serve(Stop(), ready, say)
    return Status.DONE


def _send(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    holder = f"{settings.host}/{os.getpid()}/{time.time_ns()}"
    senders = [Sender(hook, open_store(settings), holder, say) for hook in settings.hooks]
    if asked.once:
        for sender in senders:
            while not sender.round():
                pass
        return Status.DONE
    _beside(Stop(), [sender.round for sender in senders], "webhooks")
    return Status.DONE


def _beside(stop: Stop, rounds: t.Sequence[t.Callable[[], float]], where: str) -> None:
    """Run rounds, each followed by the pause that it names, until told to stop.

    Each has a thread, since what waits for a host elsewhere hears no signal. What has not ended in time is cut off like
    by a kill, which loses nothing.
    """
    ended = threading.Event()

    def run(one: t.Callable[[], float]) -> None:
        pause = 0.0
        while not ended.wait(pause):
            pause = one()

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in rounds]
    for thread in threads:
        thread.start()
    ready()
    while not stop(1):
        if not all(thread.is_alive() for thread in threads):
            ended.set()
            raise Unavailable(where, "one of them ended unexpectedly", "none to", "The lines before say why")
    ended.set()
    until = time.monotonic() + TO_END
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _serve(asked: argparse.Namespace) -> int:
    settings = settings_of(asked)
    service = Service(settings.policy, settings.streams, open_store(settings), say)

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await service.serve(stop, ready)

    asyncio.run(serve())
    return Status.DONE
