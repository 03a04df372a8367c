# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for secrets: what gives one away, and which files have it in them, on the controller and on servers.

As a program it looks again and again until its standard input ends, so that it finds what is there for a moment only.
It needs nothing but Python, and so runs on servers too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Where programs put what they need for a moment.
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
STARTED = time.time()
LARGEST = 4 << 20  # bytes; nothing that Ansible writes for a moment is larger


def lines_of_key(pem: str) -> list[str]:
    """The lines of a private key that hold its private numbers; those above hold the public ones, too."""
    body = [line for line in pem.splitlines() if line and not line.startswith("-")]
    return body[-len(body) // 2 : -1]


def given_away(text: str, secrets: Mapping[str, Iterable[str]]) -> set[str]:
    """The names of the secrets that a text has any string of."""
    return {name for name, strings in secrets.items() for string in strings if string in text}


def files(folder: str | Path, *, others: bool = False, since: float = 0) -> Iterator[Path]:
    """The files below a folder, written since a time; with ``others`` those alone that another user could read.

    What vanishes meanwhile is left out.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not others or about.st_mode & 0o005 == 0o005:
                yield from files(entry.path, others=others, since=since)
            continue
        readable, small = not others or about.st_mode & 0o004, about.st_size <= LARGEST
        if entry.is_file(follow_symlinks=False) and readable and small and about.st_mtime >= since:
            yield Path(entry.path)


def found_in(paths: Iterable[Path], secrets: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Path -> names of the secrets in it, for the files that have any; one that vanished has none."""
    found = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if names := given_away(text, secrets):
            found[str(path)] = sorted(names)
    return found


class Lookout:
    """Looks into folders while the `with` statement lasts, at what others can read: ``found`` as `found_in` returns it.

    ``rounds`` says how often it looked.
    """

    def __init__(self, folders: Iterable[str], secrets: Mapping[str, Iterable[str]], *enter: str) -> None:
        """What stands in ``enter`` enters the server."""
        self.command = [*enter, "python3", "-c", Path(__file__).read_text(encoding="utf-8")]
        self.task = {"folders": list(folders), "secrets": {name: list(strings) for name, strings in secrets.items()}}
        self.found: dict[str, list[str]] = {}
        self.rounds = 0

    def __enter__(self) -> Lookout:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(self.task) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "looking\n"
        return self

    def __exit__(self, *_error: object) -> None:
        told, _none = self.process.communicate(timeout=60)
        self.rounds, self.found = json.loads(told)


def main() -> None:
    """Look until standard input ends."""
    task = json.loads(sys.stdin.readline())
    began, over = time.time(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
    print("looking", flush=True)
    rounds, found = 0, {}
    while not over.wait(0.02):
        for folder in task["folders"]:
            found.update(found_in(files(folder, others=True, since=began - 1), task["secrets"]))
        rounds += 1
    print(json.dumps([rounds, found]))


if __name__ == "__main__":
    main()
