# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log of a node as the program of warm-up reads it: journald's, through journalctl(1).

It runs on nodes, with the standard library alone.
"""

from __future__ import annotations

import pwd
import subprocess
import time
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import Entry, entry

OWNER = "postfix"  # the user as whom Postfix delivers
JOURNAL = ("journalctl", "--quiet", "--no-pager", "--all", "--output=json")


class Failed(RuntimeError):
    """A program that did not do what it was told."""


def writers() -> frozenset[str]:
    """The numbers of the users whose lines are counted: Postfix', and root, as whom its processes begin.

    Whoever may write to the log chooses the name that a line has there, but not the user. Raises Failed where there is
    no such user, since nothing would be counted then.
    """
    try:
        return frozenset({"0", str(pwd.getpwnam(OWNER).pw_uid)})
    except KeyError as error:
        raise Failed(f"there is no user {OWNER}, whose lines of the log are to be counted; install Postfix") from error


def show(names: t.Collection[str], cursor: str, since: int) -> list[str]:
    """The command that shows what services logged, by their names, behind a place, or without one since a moment."""
    place = f"--after-cursor={cursor}" if cursor else f"--since=@{since}"
    fields = "--output-fields=SYSLOG_IDENTIFIER,MESSAGE,_UID"
    return [*JOURNAL, fields, place, *(f"--identifier={name}" for name in names)]


def read(command: list[str]) -> t.Iterator[Entry]:
    """What a command shows that ends; raises Failed where it fails."""
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as reader:
        for line in t.cast("t.IO[bytes]", reader.stdout):
            yield entry(line)
    if reader.returncode:
        raise Failed(f"journalctl ended with status {reader.returncode}")


def oldest() -> float:
    """The moment in seconds from which on there is a log: now where it is empty; raises Failed where it cannot be read.

    Logs of users may reach further back, and have nothing of Postfix.
    """
    command = [*JOURNAL, "--output-fields=_UID", "--system"]
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as reader:
        line = t.cast("t.IO[bytes]", reader.stdout).readline()
        if line:
            reader.kill()
    if reader.returncode and not line:
        raise Failed(f"journalctl ended with status {reader.returncode}")
    return entry(line).moment if line else time.time()
