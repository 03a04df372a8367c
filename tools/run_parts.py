# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the parts of `make test` one after another, count their tests, and close with one plain line.

A part that fails does not stop those behind it, and a part that ran no test has failed. Parts tell their tests by
JUnit files in the folder that MAILFLEET_REPORTS names; a linter has none and counts as one test. The lab waits most of
its time: other parts run beside it, their output kept in a file that is shown where they fail.

`run_parts.py [--long] [NAME ...]`, a name being that of a part or of a group of them; without one, all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from paths import BIN, CACHE, ROOT

PYTEST = (sys.executable, "-m", "pytest", "--junitxml={reports}/pytest.xml")
DNS_FILES = "python_files=test_dns_*.py"
TWO_FILES_AT_ONCE = ("--numprocesses=2", "--dist=loadfile")
TWO_TESTS_AT_ONCE = ("--numprocesses=2", "--dist=worksteal")


@dataclass(frozen=True)
class Part:
    """One program to run; its limit is in seconds, its group a name by which several parts are asked for.

    In the long form it may take twice as long. `beside` says that it may run while the lab does.
    """

    name: str
    command: tuple[str, ...]
    limit: int
    group: str = ""
    counts_as_one: bool = False
    long: tuple[str, ...] = ()
    needs: str = "."
    reports: str = ""
    beside: bool = False


def linter(name: str, *command: str) -> Part:
    return Part(name, command, limit=900, group="lint", counts_as_one=True)


PARTS = (
    linter("ruff", "ruff", "check", "."),
    linter("yamllint", "yamllint", "--strict", "."),
    linter("ansible-lint", "ansible-lint"),
    linter("docs", sys.executable, "tools/docs_lint.py"),
    linter("role-readmes", sys.executable, "tools/role_readmes.py", "--check"),
    linter("changelog", "antsibull-changelog", "lint"),
    Part("unit", (*PYTEST, *TWO_TESTS_AT_ONCE, "tests/unit"), limit=600),
    Part("ansible", (*PYTEST, "tests/ansible"), limit=900),
    # Those with a name server of their own take it from the container, so that this host gets no such daemon.
    Part("dns", (sys.executable, "tools/newest.py", "python", *PYTEST[1:], "-o", DNS_FILES, "tests/integration"),
         limit=900, group="integration", beside=True),
    Part("servers", (*PYTEST, *TWO_FILES_AT_ONCE, "--ignore-glob=*/test_dns_*.py", "tests/integration"),
         limit=1800, group="integration", beside=True),
    Part("sanity", (sys.executable, "tools/sanity.py"), limit=1800, beside=True),
    Part("newest", (sys.executable, "tools/newest.py"), limit=2400, beside=True),
    Part("molecule", ("molecule", "test", "--no-command-borders"), limit=2700, long=("--all",),
         needs="molecule/default", reports=".cache/molecule"),
)


@dataclass
class Result:
    """What came of a part, in tests and seconds."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""
    failures: list[str] = field(default_factory=list)


SHOWN = 30  # failed tests that are named once more at the end
WIDTH = 300  # letters of why each of them failed
STOPPED = threading.Event()


def run_all(parts: Sequence[Part], long: bool) -> list[Result]:
    """Run parts in their order, those beside the lab while it runs; return their results."""
    lab = [part for part in parts if part.needs != "."]
    beside = [part for part in parts if part.beside] if lab else []
    first = [part for part in parts if part not in (*lab, *beside)]
    results = [run(part, long) for part in first]
    with ThreadPoolExecutor(1) as other:
        try:
            quiet = other.submit(lambda: [run(part, long, quiet=True) for part in beside])
            results += [run(part, long) for part in lab]
            return results + quiet.result()
        except BaseException:
            STOPPED.set()
            raise


def run(part: Part, long: bool, quiet: bool = False) -> Result:
    """Run one part, and count its tests. Its output is shown as it comes, or where it is `quiet` only if it fails."""
    # A part of a part (those with the newest ansible-core) tells its tests to the outer one.
    folder = Path(os.environ.get("MAILFLEET_REPORTS", CACHE / "reports"))
    reports = ROOT / part.reports if part.reports else folder / part.name
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    command = [word.format(reports=reports) for word in (*part.command, *(part.long if long else ()))]
    print(f"\n=== {part.name}: {' '.join(command)}{' (beside the lab)' if quiet else ''}", flush=True)
    started = time.monotonic()
    output = reports.with_name(f"{part.name}.out")
    broken = ""
    with (
        output.open("wb") if quiet else contextlib.nullcontext() as kept,
        tempfile.TemporaryDirectory(prefix="mailfleet-", ignore_cleanup_errors=True) as scratch,
    ):
        # What tests write for a moment: copies of keys are among it, and pytest would keep those of three runs.
        # Molecule, too, begins anew: after a run that was cut off it would take the lab to be there and its own.
        environ = {**environment(part.name, reports, long), "PYTEST_DEBUG_TEMPROOT": scratch,
                   "MOLECULE_EPHEMERAL_DIRECTORY": scratch}
        try:
            status = watch(command, environ, part.limit * (2 if long else 1), kept)
        except OSError as error:
            status, broken = 127, str(error)
    result = Result(part.name) if part.counts_as_one else count(part.name, reports)
    result.seconds = time.monotonic() - started
    if part.counts_as_one:
        result.passed, result.failed = (1, 0) if status == 0 else (0, 1)
    elif status != 0 and result.failed == 0:
        result.failed, result.note = 1, broken or f"exit status {status}"
    elif result.passed + result.failed == 0:
        result.failed, result.note = 1, "ran no test"
    if status is None:
        result.note = f"stopped after {result.seconds:.0f} s"
    if quiet:
        place = f"(its output is in {os.path.relpath(output, ROOT)})"
        told = output.read_text(errors="replace") if result.failed else place
        print(f"\n=== {part.name} has ended\n{told}", flush=True)
    print(f"=== {line(result)}", flush=True)
    return result


def watch(command: Sequence[str], environ: dict[str, str], limit: int, output: BinaryIO | None = None) -> int | None:
    """Return the exit status of a command that nobody can answer, or None where it was stopped.

    It is after `limit` seconds, and where the whole run is to end. Its output goes to ours, or to `output`.
    """
    until = time.monotonic() + limit
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output,
                          stderr=output and subprocess.STDOUT, start_new_session=True) as process:
        try:
            while time.monotonic() < until and not STOPPED.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=1)
            return None
        finally:
            end(process.pid)


def end(group: int) -> None:
    """Leave nothing of a part alive after its limit or an interrupt: first those that clean up may do so."""
    for ask, seconds in ((signal.SIGTERM, 180), (signal.SIGKILL, 5)):
        until = time.monotonic() + seconds
        # Who interrupts a second time does not want to wait.
        with contextlib.suppress(ProcessLookupError, KeyboardInterrupt):
            if lives(group):
                os.killpg(group, ask)
            while lives(group) and time.monotonic() < until:
                time.sleep(0.2)


def lives(group: int) -> bool:
    """Return whether a process group has a process that has not ended (proc(5)); zombies may stay for long."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                return True
    return False


def environment(name: str, reports: Path, long: bool) -> dict[str, str]:
    """Return the environment of a part: this interpreter's tools, this clone's collection, nothing of the user's."""
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(CACHE / "ansible" / name),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": "/run/mailfleet",  # short, since a socket's path has at most 104 characters
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
        "RUFF_CACHE_DIR": str(CACHE / "ruff"),
        "MAILFLEET_REPORTS": str(reports),
        "MAILFLEET_LONG": "1" if long else "",
        "MAILFLEET_PART": name,
        # What is shown, is shown at once, also where it goes into a file.
        "PYTHONUNBUFFERED": "1",
    }


def count(name: str, reports: Path) -> Result:
    """Count the test cases of all JUnit files under `reports`; a file that is not whole counts as one that failed."""
    result = Result(name)
    for path in sorted(reports.rglob("*.xml")):
        try:
            cases = list(ElementTree.parse(path).iter("testcase"))
        except ElementTree.ParseError as error:
            # Its writer was cut short: how many tests there were nobody knows.
            result.failed += 1
            result.failures.append(f"{path.name}: not a whole JUnit file: {error}")
            continue
        for case in cases:
            wrong = [*case.iterfind("failure"), *case.iterfind("error")]
            if wrong:
                result.failed += 1
                why = " ".join(wrong[0].get("message", "").split())[:WIDTH]
                result.failures.append(f"{case.get('classname', '')} {case.get('name', '')}: {why}".strip(" :"))
            elif case.find("skipped") is not None:
                result.skipped += 1
            else:
                result.passed += 1
    return result


def line(result: Result) -> str:
    """Return a result as a row of the table."""
    figures = f"{result.passed:5} passed {result.failed:4} failed {result.skipped:4} skipped {result.seconds:6.0f} s"
    return f"{result.name:14}{figures}  {result.note}".rstrip()


def chosen(names: Sequence[str]) -> list[Part]:
    """Return the parts that `names` ask for, in the order in which they run."""
    known = {name for part in PARTS for name in (part.name, part.group) if name}
    for name in names:
        if name not in known:
            sys.exit(f"no part is called {name}; there are: {', '.join(sorted(known))}")
    wanted = [part for part in PARTS if not names or part.name in names or part.group in names]
    return [part for part in wanted if (ROOT / part.needs).exists()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the parts of `make test` and count their tests.")
    parser.add_argument("--long", action="store_true", help="run the long forms of the tests")
    parser.add_argument("name", nargs="*", help="a part, or a group of parts; without one, all")
    arguments = parser.parse_args()
    # Asked to end, we end by way of `finally`, which ends the part too.
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit(143))
    started = time.monotonic()
    results = run_all(chosen(arguments.name), arguments.long)
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    skipped, seconds = sum(result.skipped for result in results), time.monotonic() - started
    print("\n=== all parts")
    for result in [*results, Result("together", passed, failed, skipped, seconds)]:
        print(line(result))
    # Once more at the end, where who has but the last lines finds them.
    for failure in [f"{result.name}: {test}" for result in results for test in result.failures][:SHOWN]:
        print(f"FAILED {failure}")
    # Inside another part (the newest ansible-core) the closing line is for the outer run to say.
    if "MAILFLEET_PART" not in os.environ:
        print(f"\n{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
