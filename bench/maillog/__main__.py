# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the mail log: how fast, in how much memory and how exactly, beside pflogsumm in the same run.

See README.md. Nothing here fails because something is slow.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/agent/files"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/unit"))

from log_world import HOST, START, VIEW, LogWorld
from mailfleet.maillog.files import blocks
from mailfleet.maillog.parts import How, read
from mailfleet.maillog.view import View

LINES = 1_000_000
RATE, RATIO, MEBIBYTES = 200_000, 5, 64
FORMS = ("traditional", "rfc3339")


class Run(t.NamedTuple):
    """What a program took: seconds of CPU of all its processes and of the clock, the most memory of one process in MiB,
    and what it printed."""

    cpu: float
    wall: float
    memory: float
    out: bytes


def run(command: list[str], keep: bool = True) -> Run:
    """Run a program to its end; pflogsumm prints a line for each recipient, which need not be kept."""
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} ended with status {process.returncode}")
        out.seek(0)
        printed = out.read() if keep else b""
        return Run(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024, printed)


def make(path: str, form: str, lines: int) -> None:
    """Write a log, and beside it what it says."""
    world = LogWorld(form=form, every=0.02, more=2000)
    with open(path, "wb") as file:
        file.writelines(world.lines(lines))
    Path(f"{path}.says").write_bytes(pickle.dumps(dict(world.says)))


def mistakes(told: dict[str, t.Any], says: dict[str, collections.Counter[t.Any]]) -> list[str]:
    """In which dimensions the totals are not what was written."""
    rows: collections.Counter[t.Any] = collections.Counter()
    for *row, many in told["rows"]:
        rows[tuple(row[:4])] += many
    found = {
        "rows": rows, "hours": {tuple(each[:4]): each[4] for each in told["hours"]}, "lines": told["lines"],
        "domains": {(name, outcome): many for name, each in told["domains"].items() for outcome, many in each.items()},
        "deferred": {"messages": sum(told["deferred"].values())},
        "tls": {name: over for name, (over, _all) in told["tls"].items()},
        "counts": {name: many for name, many in told["counts"].items() if many},
    }
    return [name for name, each in found.items() if dict(each) != dict(says[name])]


def one(path: str, processes: int, steps: bool) -> None:
    """Read a log, as a program of its own, and print its totals; with steps the memory at each tenth of it."""
    how = How(View.of(VIEW), HOST, START + 300 * 86400)
    if steps:
        size, done, shown = os.path.getsize(path), 0, 0
        reader = how.reader()
        for block in blocks(path):
            reader.feed(block)
            done += len(block)
            if done * 10 // size > shown:
                shown = done * 10 // size
                sys.stderr.write(f"{shown * 10:3d} % {_resident():6.1f} MiB\n")
    else:
        reader = read(how, [path], processes)
    print(json.dumps(reader.take()[0].as_json()))


def _resident() -> float:
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def row(name: str, lines: int, found: Run, rival: float) -> str:
    """A row of the table."""
    speed = lines / found.cpu
    ratio = f"{speed / rival:8.2f}" if rival else f"{'':8}"
    return f"{name:44} {speed:12,.0f} {lines / found.wall:12,.0f} {found.memory:8.0f} {ratio}"


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(prog="bench/maillog", description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=LINES, help=f"of the log ({LINES:,}; the bound is for 5,000,000)")
    parser.add_argument("--make", nargs=3, metavar=("FILE", "FORM", "LINES"), help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=3, metavar=("FILE", "PROCESSES", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    if options.read:
        path, processes, steps = options.read
        one(path, int(processes), steps == "1")
        return
    if options.make:
        path, form, lines = options.make
        make(path, form, int(lines))
        return
    pflogsumm = shutil.which("pflogsumm")
    if not pflogsumm:
        print("pflogsumm is not installed (Debian's package of that name), so nothing is compared.\n")
    # All of it in processes of their own: the most memory that one had counts for those that it starts, too.
    ours = [sys.executable, __file__, "--read"]
    with tempfile.TemporaryDirectory(prefix="bench-maillog-") as folder:
        rival = 0.0
        for form in FORMS:
            path = Path(folder) / form
            run([sys.executable, __file__, "--make", str(path), form, str(options.lines)])
            says = pickle.loads(Path(f"{path}.says").read_bytes())
            lines, size = sum(says["lines"].values()), path.stat().st_size
            print(f"{form}: {lines:,} lines, {size / 1e6:,.0f} MB, {size / lines:.0f} octets a line")
            print(f"{'':44} {'a CPU-second':>12} {'a second':>12} {'MiB':>8} {'to pflogsumm':>8}")
            if pflogsumm and form == "traditional":
                found = run([pflogsumm, str(path)], keep=False)
                rival = lines / found.cpu
                print(row("pflogsumm", lines, found, rival), flush=True)
            for name, processes in (("ours, one process", 1), (f"ours, {len(os.sched_getaffinity(0))} processes", 0)):
                found = run([*ours, str(path), str(processes), "0"])
                print(row(name, lines, found, rival), flush=True)
                wrong = mistakes(json.loads(found.out), says)
                print(f"  totals: {'exact' if not wrong else 'WRONG in ' + ', '.join(wrong)}")
                if processes == 1:
                    speed = lines / found.cpu
                    kept = [speed >= RATE, found.memory <= MEBIBYTES, not rival or speed >= RATIO * rival]
                    print(f"  promised: {RATE:,} a CPU-second, {MEBIBYTES} MiB, {RATIO} times pflogsumm: "
                          f"{'kept' if all(kept) else 'NOT KEPT'}", flush=True)
            print("  memory along the way", flush=True)
            run([*ours, str(path), "1", "1"])
            print()
            path.unlink()


if __name__ == "__main__":
    main()
