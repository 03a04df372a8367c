# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which domains mail went to, by day, read from Postfix' log. Of an address nothing but its domain is looked at.

A line of a delivery is ``TIME HOST TAG[PID]: QUEUE-ID: to=<ADDRESS>, …relay=WHERE, …status=WHAT (WHY)``. It is read as
bytes, since addresses may be in any encoding, and WHY is what the receiver wrote.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import domain_name

# Pairs of a day and a domain that are kept, some 100 bytes each; other domains count in the sums of days alone.
PAIRS = 500_000
MONTHS = {name: number for number, name in enumerate(
    (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
# What delivers to elsewhere, and what says that nothing did.
PROGRAMS = (b"smtp", b"error", b"retry")
DONE = (b"sent ", b"bounced ")
# Nothing is delivered to elsewhere there: content filters, and what hands mail to lanes, whose own line comes later.
# The address tells it, since a name is the receiver's to choose.
LOOPBACK = re.compile(rb"[^,\[]*\[(?:127\.|::1\])")


ABSENT = "-"
COUNT = re.compile(r"(?:[0-9]{1,18}|-)\Z")


class Tally:
    """Deliveries by day and domain.

    :arg today: the date of the server; a time stamp without a year is of the last year in which it is not to come.
    :arg days: of how many days, today among them, deliveries are counted.
    :arg pairs: how many pairs of a day and a domain are kept.
    """

    def __init__(self, today: datetime.date, days: int, pairs: int = PAIRS) -> None:
        self.today = today
        # Of a time zone that is ahead the next day is here already.
        self.first, self.last = today - datetime.timedelta(days=days - 1), today + datetime.timedelta(days=1)
        self.lines = self.before = self.more = 0
        self._left = pairs
        self._counts: dict[str, dict[bytes, int]] = {}
        self._stamp: tuple[bytes, str] = (b"", "")

    def add(self, line: bytes) -> str:
        """Count one line, if it is that of a delivery.

        :returns: the day of a delivery, of others an empty text; ``lines`` counts deliveries within the days,
            ``before`` older ones, ``more`` those whose domain found no place.
        """
        at = line.find(b": to=<")
        if at < 0:
            return ""
        program = _program(line, at)
        status = line.find(b", status=", at)
        if program not in PROGRAMS or status < 0:
            return ""
        day = self._day(line)
        relay = line.rfind(b", relay=", at, status)
        domain = _domain(line[at + len(b": to=<") : relay if relay > 0 else status])
        if not day or not domain or (relay > 0 and LOOPBACK.match(line, relay + len(b", relay="))):
            return ""
        if day < self.first.isoformat():
            self.before += 1
            return day
        done = line.startswith(DONE, status + len(b", status="))
        self.lines += 1
        counts = self._counts.setdefault(day, {})
        if domain in counts:
            counts[domain] += done
        elif self._left:
            self._left -= 1
            counts[domain] = int(done)
        else:
            self.more += 1
        return day

    @property
    def totals(self) -> dict[str, int]:
        """For each day how many recipients were done with, without those whose domain found no place."""
        return {day: sum(counts.values()) for day, counts in self._counts.items()}

    @property
    def days(self) -> dict[str, dict[str, int]]:
        """For each day the domains with how many recipients were done with: delivered to, or given up.

        0 where every delivery was deferred. What can be no domain is left out.
        """
        found: dict[str, dict[str, int]] = {}
        for day, counts in sorted(self._counts.items()):
            named = found[day] = {}
            for raw, count in counts.items():
                name = domain_name(raw.decode("utf-8", "replace"))
                if name:
                    named[name] = named.get(name, 0) + count
        return found

    def _day(self, line: bytes) -> str:
        """The day of a line, an empty text where it has none, or one that is to come."""
        # "Nov 28 …" or "2026-11-28T…": lines of one day follow each other.
        stamp = line[:10] if line[:1].isdigit() else line[:6]
        if stamp != self._stamp[0]:
            self._stamp = stamp, self._read(stamp)
        return self._stamp[1]

    def _read(self, stamp: bytes) -> str:
        try:
            if len(stamp) == 10:
                day = datetime.date.fromisoformat(stamp.decode("ascii"))
            else:
                month, number = MONTHS[stamp[:3]], int(stamp[3:])
                year = self.today.year
                while (month, number) == (2, 29) and year % 4:
                    year -= 1
                day = datetime.date(year, month, number)
                if day > self.last:
                    day = day.replace(year=year - (4 if (month, number) == (2, 29) else 1))
        except (KeyError, ValueError):
            return ""
        return day.isoformat() if day <= self.last else ""


def to_text(days: t.Mapping[str, t.Mapping[str, int]]) -> dict[str, t.Any]:
    """The counts as ``days``, a list, and ``counts``, a text: a line for each domain with its count on each day.

    A hyphen stands for a day without a delivery. It is a text since a long list is slow in Ansible.
    """
    lines = (f"{domain} {' '.join(str(days[day].get(domain, ABSENT)) for day in days)}\n"
             for domain in sorted({domain for counts in days.values() for domain in counts}))
    return {"days": list(days), "counts": "".join(lines)}


def from_text(told: t.Mapping[str, t.Any]) -> dict[str, dict[str, int]]:
    """The counts of what to_text made.

    :raises ValueError: where it is nothing of the kind: it comes from a server.
    """
    days, text = told.get("days"), told.get("counts")
    if not isinstance(days, list) or not isinstance(text, str):
        raise ValueError("found no list of days with a text of counts")
    found: list[dict[str, int]] = [{} for _day in days]
    for line in text.splitlines():
        domain, *counts = line.split(" ")
        if domain_name(domain) != domain or len(counts) != len(days) or not all(map(COUNT.match, counts)):
            raise ValueError(f"found the line {line[:80]!r}, expected a domain and {len(days)} counts")
        for count, of_day in zip(counts, found, strict=True):
            if count != ABSENT:
                of_day[domain] = int(count)
    return {datetime.date.fromisoformat(day).isoformat(): counts for day, counts in zip(days, found, strict=True)}


def _program(line: bytes, at: int) -> bytes:
    """The program that wrote a line, such as smtp of ``postfix/slow/smtp[7]:``; empty where it is none of Postfix.

    Between its tag and ``: to=`` stands the queue id and nothing else: what a receiver wrote may look like a delivery.
    """
    end = line.find(b"]: ")
    if not 0 < end < at or not line[end + 3 : at].isalnum():
        return b""
    tag = line[line.rfind(b" ", 0, end) + 1 : end].partition(b"[")[0]
    return tag.rpartition(b"/")[2] if tag.startswith(b"postfix") and b"/" in tag else b""


def _domain(text: bytes) -> bytes:
    """The domain of ``ADDRESS>`` and what may follow it; empty where there is none."""
    address = text.partition(b">, orig_to=<")[0].rstrip(b">")
    return address.rpartition(b"@")[2][:255] if b"@" in address else b""
