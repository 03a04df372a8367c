# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading messages that came back: how fast and how right, beside others in the same run.

See README.md. Nothing here fails because something is slow.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/agent/files"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/unit"))

import rivals
from agent_world import settings_in
from bounce_corpus import CORPUS, Count, cases, count
from mailfleet import reasons
from mailfleet.finding import Finding
from mailfleet.notices import read
from mailfleet.quarantine import Quarantine
from mailfleet.spool import Spool
from mailfleet.store_sqlite import SqliteStore
from mailfleet.worker import Worker

Read = Callable[[bytes], tuple[Finding, ...]]
MESSAGES = 100_000
RATE, RATE_WITH_COMMITS = 800, 600
BATCHES = 25
READERS: dict[str, Read] = {
    "ours": lambda raw: read(raw).findings,
    "flufl.bounce": rivals.flufl,
    "RFC 3464 alone, with email of the standard library": rivals.plain,
}


def rate(reader: Read, raws: list[bytes], fresh: bool = False) -> float:
    """Return how many messages a CPU-second it reads: the best of three rounds, from nothing each where `fresh`."""
    best = float("inf")
    for _round in range(3):
        if fresh:
            reasons.judge.cache_clear()
        began = time.process_time()
        for raw in raws:
            reader(raw)
        best = min(best, time.process_time() - began)
    return len(raws) / best


def megabytes() -> float:
    """Return the memory that this process has now."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def compare(raws: list[bytes]) -> None:
    """Print the speed of all, and their ratios to ours."""
    print(f"{len(raws)} messages, {sum(map(len, raws)) / len(raws) / 1024:.1f} KiB each\n")
    print(f"{'':52} {'a CPU-second':>12} {'to ours':>8}")
    first = rate(READERS["ours"], raws, fresh=True)
    print(f"{'ours, each wording for the first time':52} {first:12,.0f} {1:8.2f}")
    for name, reader in READERS.items():
        speed = rate(reader, raws)
        print(f"{name:52} {speed:12,.0f} {speed / first:8.2f}", flush=True)
    print(f"{'promised at least: ' + ('kept' if first >= RATE else 'NOT KEPT'):52} {RATE:12,.0f} {RATE / first:8.2f}\n")


def commit() -> None:
    """Print the speed of the worker: a Maildir, tokens, the store with its commits, quarantine and removal."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        spool, store = Spool(settings.maildir), SqliteStore(settings.sqlite)
        worker = Worker(settings, store, spool, Quarantine.of(settings), read, print)
        today, known = datetime.datetime.now(datetime.UTC).date(), list(cases())
        for number in range(BATCHES * settings.batch):
            _name, raw, expected = known[number % len(known)]
            recipient = expected[0]["recipient"] if expected else "somebody@example.net"
            path = settings.keys.new(recipient, "e.example.com", today)
            spool.deliver(f"Delivered-To: {path}\nX-Number: {number}\n".encode() + raw)
        reasons.judge.cache_clear()
        began = time.process_time()
        while worker.round():
            pass
        speed = worker.counts.messages / (time.process_time() - began)
        store.close()
    done = worker.counts
    print(f"{done.messages} messages from a Maildir in batches of {settings.batch}: {done.events} events committed, "
          f"{done.quarantined} put aside")
    print(f"{'ours, with commits':52} {speed:12,.0f}")
    kept = "kept" if speed >= RATE_WITH_COMMITS else "NOT KEPT"
    print(f"{'promised at least: ' + kept:52} {RATE_WITH_COMMITS:12,.0f} {RATE_WITH_COMMITS / speed:8.2f}\n")


def judge() -> None:
    """Print how right all are."""
    print(f"{'':52} {'recipients':>10} {'hard, soft':>10} {'soft as hard':>12} {'reasons':>8} {'complaints':>10} "
          f"{'others flagged':>14}")
    for name, reader in READERS.items():
        total: Count = count(reader)
        print(f"{name:52} {total.share(total.found):10.1%} {total.share(total.kinds):10.1%} "
              f"{total.share(total.soft_called_hard, total.soft):12.1%} {total.share(total.reasons):8.1%} "
              f"{total.complaints_found:6} / {total.complaints} {total.others_flagged:10} / {total.others}", flush=True)
    print()


def remember(raws: list[bytes], messages: int) -> None:
    """Print the memory while many messages are read, each another one: numbers in them change."""
    print("messages read  memory")
    shown = {messages // 10 * step for step in range(1, 11)}
    for number in range(1, messages + 1):
        raw = raws[number % len(raws)]
        read(raw.replace(b"Message-ID: <", b"Message-ID: <%d." % number).replace(b"550 ", b"550 x%d " % number))
        if number in shown or number == len(raws):
            print(f"{number:13,} {megabytes():4.0f} MB", flush=True)


def main() -> None:
    """Measure all, or what is asked for."""
    parser = argparse.ArgumentParser(prog="bench/bounces", description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=MESSAGES,
                        help=f"to read while memory is measured ({MESSAGES:,})")
    options = parser.parse_args()
    if not CORPUS.exists():
        sys.exit(f"The corpus of bounces was expected at {CORPUS}, and is not there.")
    raws = [raw for _name, raw, _expected in cases()]
    compare(raws)
    commit()
    judge()
    remember(raws, options.messages)


if __name__ == "__main__":
    main()
