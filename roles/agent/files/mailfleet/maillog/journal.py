# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log where journald has it: through journalctl(1), as lines like those of syslog.

Whoever may write to the log chooses the name that a line has there, but not the user. So only lines of Postfix' user
and root, as whom its processes begin, are taken, and of OpenDKIM's user those with its own name.
"""

from __future__ import annotations

import datetime
import json
import os
import pwd
import select
import subprocess
import time
import typing as t

from ..errors import Status, Trouble, Unavailable
from .follow import BLOCK, Say

NAME = "the journal"
# Facility 2 is mail (RFC 5424 section 6.2.1).
COMMAND = ("journalctl", "--quiet", "--no-pager", "--all", "--output=json")
FIELDS = "--output-fields=SYSLOG_IDENTIFIER,SYSLOG_PID,MESSAGE,_UID,_PID,_HOSTNAME"
POSTFIX, OPENDKIM = "postfix", "opendkim"


class Line(t.NamedTuple):
    """An entry of the journal: its cursor, and its line; an empty one where it is not to be believed."""

    cursor: str
    text: bytes


def users() -> dict[str, str]:
    """Whose lines are taken: numbers of users with the beginning of the name that a line must have.

    Raises Trouble where Postfix' user is not there, since nothing would be counted then.
    """
    try:
        found = {"0": "", str(pwd.getpwnam(POSTFIX).pw_uid): ""}
    except KeyError as error:
        wrong = Trouble(NAME, f"there is no user {POSTFIX}, whose lines are to be read", "one", "Install Postfix")
        wrong.status = Status.SETTINGS
        raise wrong from error
    try:
        found[str(pwd.getpwnam(OPENDKIM).pw_uid)] = OPENDKIM
    except KeyError:
        pass
    return found


class Journal:
    """The mail log of journald as one stream of lines; as ``follow.Files`` is used.

    :arg place: what ``place`` returned before; None to begin with its oldest entry.
    :arg since: seconds of UTC; entries of before are left out, to begin with.
    :arg follows: whether it waits for what comes.
    :arg whose: whose lines are taken, as ``users`` returns it, which is the default.
    """

    def __init__(
        self, place: dict[str, t.Any] | None = None, since: float = 0, say: Say = lambda _line: None, *,
        follows: bool = True, whose: t.Mapping[str, str] | None = None, command: t.Sequence[str] = (),
    ) -> None:
        self.say, self.follows = say, follows
        self.users = users() if whose is None else whose
        self.command = [*(command or COMMAND), FIELDS]
        place = place or {}
        self.since = float(place.get("since", since))
        self.lost, self.cut = int(place.get("lost", 0)), int(place.get("cut", 0))
        self._cursor = str(place.get("cursor", ""))
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._checked = not self._cursor

    def read(self) -> bytes:
        """Lines that are new, about a MiB at most; nothing where there are none now, or, where it does not follow, no
        more. Raises Unavailable where the journal cannot be read."""
        if not self._checked:
            self._check()
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdout is not None
        pipe, lines, size = self._process.stdout.fileno(), [], 0
        while size < BLOCK:
            if self.follows and not select.select([pipe], [], [], 0)[0]:
                break
            data = os.read(pipe, 1 << 18)
            if not data:
                self._ended()
                break
            *entries, self._rest = (self._rest + data).split(b"\n")
            for each in entries:
                line = line_of(each, self.users)
                self._cursor = line.cursor or self._cursor
                if line.text:
                    lines.append(line.text)
                    size += len(line.text)
        return b"".join(lines)

    def place(self) -> dict[str, t.Any]:
        """How far it was read, as JSON has it."""
        return {"path": NAME, "since": self.since, "cursor": self._cursor, "lost": self.lost, "cut": self.cut}

    def behind(self) -> int:
        """How many bytes are there that were not read yet: the journal does not tell."""
        return 0

    def to_end(self) -> None:
        """Pass by what is there already; before anything is read."""
        self.since = time.time()

    def close(self) -> None:
        """Let go of it."""
        process, self._process = self._process, None
        self._rest = b""
        if process is not None:
            process.kill()
            process.wait()
            t.cast("t.IO[bytes]", process.stdout).close()

    def _start(self) -> None:
        place = ([f"--after-cursor={self._cursor}"] if self._cursor else
                 [f"--since=@{int(self.since)}"] if self.since else [])
        follow = ["--follow", "--no-tail"] if self.follows else []
        self._process = self._run([*place, *follow])

    def _run(self, arguments: t.Sequence[str]) -> subprocess.Popen[bytes]:
        # Matches of one field are alternatives.
        matches = ["SYSLOG_FACILITY=2", *(f"_UID={each}" for each in self.users)]
        try:
            return subprocess.Popen([*self.command, *arguments, *matches], stdout=subprocess.PIPE,
                                    stdin=subprocess.DEVNULL)
        except OSError as error:
            raise Unavailable(self.command[0], error.strerror or str(error), "journalctl(1)") from error

    def _ended(self) -> None:
        """The reader has ended: in order where it was not told to follow."""
        assert self._process is not None
        status = self._process.wait()
        if status or self.follows:
            self.close()
            found, group = f"journalctl ended with status {status}", "the group systemd-journal"
            if not self.follows:
                raise Unavailable(NAME, found, "its entries", f"Run this as root, or as a member of {group}")
            raise Unavailable(NAME, found, "entries to go on coming",
                              f"The agent's user has to be in {group}; it is tried again")

    def _check(self) -> None:
        """See whether the entry that was read last is still there: what came behind it may be gone with it."""
        with self._run([f"--cursor={self._cursor}", "--lines=1"]) as process:
            line = t.cast("t.IO[bytes]", process.stdout).readline()
            process.kill()
        if not line or line_of(line, self.users).cursor != self._cursor:
            self.lost += 1
            self.say(f"{NAME}: the entry that was read last is gone; a stretch of the log may be lost")
        self._checked = True


def line_of(entry: bytes, users: t.Mapping[str, str]) -> Line:
    """The line of an entry as ``--output=json`` writes it: TIME HOST NAME[PID]: MESSAGE, the time in UTC (RFC 3339)."""
    try:
        found = json.loads(entry)
        cursor = _text(found["__CURSOR"])
        at = datetime.datetime.fromtimestamp(int(found["__REALTIME_TIMESTAMP"]) / 1e6, datetime.UTC)
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError, OSError):
        return Line("", b"")
    name = _text(found.get("SYSLOG_IDENTIFIER"))
    wanted = users.get(_text(found.get("_UID")))
    if wanted is None or not name.startswith(wanted) or not name:
        return Line(cursor, b"")
    pid = _text(found.get("SYSLOG_PID")) or _text(found.get("_PID")) or "0"
    head = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06}+00:00 {_text(found.get('_HOSTNAME')) or '-'} {name}[{pid}]: "
    message = " ".join(_text(found.get("MESSAGE")).splitlines())
    return Line(cursor, (head.replace("\n", " ") + message).encode("utf-8", "surrogateescape") + b"\n")


def _text(value: t.Any) -> str:
    """A field of an entry. What is no UTF-8 comes as numbers, and what is there more than once as a list of all."""
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode("utf-8", "surrogateescape") if isinstance(value, list) else ""
    except (TypeError, ValueError):
        return ""
