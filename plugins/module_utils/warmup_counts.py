# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What left from addresses that are warmed up, counted from the mail log of a node, and kept over its restarts.

It runs on nodes, with the standard library alone.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Day

# What smtp(8) logs of a recipient. Both he and the receiver's answer, which is last, may hold anything, a line like it
# as well. So it is read from its begin: an address is logged as RFC 5321 has it (info_log_address_format), where a ">"
# stands in a quoted string only, and the first words behind it are Postfix' own.
ADDRESS = r'<(?:"(?:[^"\\]|\\.)*")?[^"<>\s]*>'
WORDS = r", relay=([^,]+), (?:conn_use=\d+, )?delay=[^,]+, delays=[^,]+, dsn=[\d.]+, status=(\w+) "
BEGIN = re.compile(r"\w+: to=<")
LINE = re.compile(rf"\w+: to={ADDRESS},(?: orig_to={ADDRESS},)?{WORDS[1:]}")
# For addresses of another form: it is not known which of the words are the recipient's, but that some are Postfix'.
ANY = re.compile(f">{WORDS}")
VERSION = 1
FIRST = datetime.date(1970, 1, 1)


class Damaged(ValueError):
    """Counters that cannot be read; the text says what is wrong with them."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the log: its place, its moment in seconds, the service's name, the line, and the user who wrote it.

    The name is what the writer says. The user is the kernel's word, a number; empty where it is not known.
    """

    cursor: str
    moment: float
    name: str
    message: str
    user: str


def entry(line: bytes) -> Entry:
    """Read an entry as ``journalctl --output=json`` writes it; what it lacks, or has more than once, is empty.

    :raises ValueError: where it is none, with a place and a moment.
    """
    try:
        found = json.loads(line)
        cursor, moment = _text(found["__CURSOR"]), int(found["__REALTIME_TIMESTAMP"]) / 1e6
    except (KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"no entry of the log: {error!r}") from error
    name, message, user = (_field(found.get(key)) for key in ("SYSLOG_IDENTIFIER", "MESSAGE", "_UID"))
    return Entry(cursor, moment, name, message, user)


def _field(value: t.Any) -> str:
    """A field of an entry. What is no UTF-8 comes as numbers, and what is there more than once as a list of all."""
    try:
        return value if isinstance(value, str) else bytes(value if isinstance(value, list) else []).decode(
            "utf-8", "replace")
    except (TypeError, ValueError):
        return ""


def outcome(message: str) -> str:
    """What became of a recipient, by a line of the log.

    :arg message: the line, without the service's name.
    :returns: C(sent), C(deferred) or C(bounced), a field of Day; empty for other lines, and for a message that reached
        no host of the provider, of which the provider knows nothing.
    """
    if not BEGIN.match(message):
        return ""
    whole = LINE.match(message)
    found = [(relay, status) for relay, status in ([whole.groups()] if whole else ANY.findall(message))
             if status in Day._fields]
    if all(relay == "none" for relay, _status in found):
        return ""
    return t.cast(str, found[0][1])


@dataclasses.dataclass(frozen=True)
class Clock:
    """Days, in UTC; tests may have them shorter from a moment on, both in seconds."""

    begin: int = 0
    length: int = 86400

    def day(self, now: float) -> datetime.date:
        """The day of a moment, given in seconds since 1970."""
        return self._first + datetime.timedelta(days=int((now - self.begin) // self.length))

    def begins(self, day: datetime.date) -> int:
        """When a day begins."""
        return self.begin + (day - self._first).days * self.length

    @property
    def _first(self) -> datetime.date:
        return FIRST + datetime.timedelta(days=self.begin // 86400)


@dataclasses.dataclass
class State:
    """How far the log was read, and what was counted up to there: one file, so that nothing is counted twice.

    ``counters`` are days by lane and member, ``opened`` the services that were last let send, by lane. On the day
    ``closed`` nothing leaves.
    """

    cursor: str = ""
    counters: dict[str, dict[datetime.date, Day]] = dataclasses.field(default_factory=dict)
    opened: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    closed: datetime.date | None = None

    def add(self, key: str, day: datetime.date, result: str = "") -> None:
        """Count a message, or nothing, which says that the day is known."""
        days = self.counters.setdefault(key, {})
        found = days.setdefault(day, Day())
        if result:
            days[day] = found._replace(**{result: getattr(found, result) + 1})

    @property
    def text(self) -> str:
        """The file's content."""
        counters = {key: {str(day): list(counted) for day, counted in days.items()} for key, days in
                    self.counters.items()}
        return json.dumps({"version": VERSION, "cursor": self.cursor, "counters": counters, "opened": self.opened,
                           "closed": str(self.closed) if self.closed else None}, indent=1) + "\n"

    @classmethod
    def read(cls, text: str) -> State:
        """Read what ``text`` wrote; raises Damaged for everything else."""
        try:
            found = json.loads(text)
            if found.keys() != {"version", "cursor", "counters", "opened", "closed"} or found["version"] != VERSION:
                raise Damaged("not the counters of this program")
            counters = {
                key: {datetime.date.fromisoformat(day): Day(*_numbers(counted)) for day, counted in days.items()}
                for key, days in found["counters"].items()
            }
            opened = {lane: [str(service) for service in services] for lane, services in found["opened"].items()}
            closed = datetime.date.fromisoformat(found["closed"]) if found["closed"] else None
            return cls(_text(found["cursor"]), counters, opened, closed)
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise Damaged(str(error)) from error


def _numbers(value: t.Any) -> list[int]:
    whole = isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    if not whole or len(value) != 3 or min(value) < 0:
        raise Damaged(f"{value!r} is no day's counters")
    return value


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise Damaged(f"{value!r} is no place in the log")
    return value


def put(path: str, text: str) -> None:
    """Write a file that is whole, and on the disk, under its name."""
    beside = f"{path}.new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
