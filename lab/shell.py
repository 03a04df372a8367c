# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab's files are, and how it runs programs and says what it does."""
from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

LAB = Path(__file__).resolve().parent
RUN = LAB / "run"
CACHE = LAB.parent / ".cache" / "lab"


class LabError(Exception):
    """Something that the person at the terminal can mend; its text is all that is shown."""


class Progress:
    """Lines with the seconds since the start, from any thread."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line at once."""
        with self.lock:
            print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)


def attempt(command: list[str], stdin: str | None = None, timeout: float | None = None) -> subprocess.CompletedProcess:
    """Run a program whose failure is an answer; returns what it wrote and its status, 124 after `timeout` seconds."""
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout:.0f} s")


def run(command: list[str], stdin: str | None = None) -> str:
    """Run a program that must succeed; returns its standard output, raises LabError with what it complained of."""
    try:
        done = attempt(command, stdin)
    except FileNotFoundError:
        raise LabError(f"the program {command[0]} is not installed on this host") from None
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip()
        raise LabError(f"'{' '.join(command)[:300]}' ended with status {done.returncode}:\n{complaint[-3000:]}")
    return done.stdout
