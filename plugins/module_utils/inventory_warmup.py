# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of addresses that are warmed up."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import fleet as model
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_schedules import DEFAULT, SCHEDULES

MOST = 100_000_000  # messages a day
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def warmup(reader: Reader, value: t.Any, path: str, today: datetime.date | None) -> model.Warmup | None:
    """Read C(warmup) of an address.

    :arg today: the day, in UTC, that a start may not lie behind; None where that is not to be looked at.
    :returns: None where the address is warm, or where what is said is of no use.
    """
    if value is None:
        return None
    fields = reader.mapping(value, path, ("start", "schedule"), ("start",))
    start = _start(reader, fields["start"], f"{path}.start", today) if fields.get("start") else None
    schedule = fields.get("schedule")
    name = schedule if isinstance(schedule, str) else DEFAULT if schedule is None else ""
    where = f"{path}.schedule"
    if name in SCHEDULES:
        caps = SCHEDULES[name].caps
    elif name or not isinstance(schedule, (list, tuple)):
        expected = "a shipped schedule (" + ", ".join(SCHEDULES) + "), or a list of messages a day"
        reader.note(where, schedule, expected, nearest(name, SCHEDULES))
        return None
    else:
        caps = _caps(reader, schedule, where)
    return model.Warmup(start, caps, name) if start and caps else None


def _start(reader: Reader, value: t.Any, path: str, today: datetime.date | None) -> datetime.date | None:
    """The first day. YAML makes a date of what looks like one."""
    start = None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        start = datetime.date(value.year, value.month, value.day)
    elif isinstance(value, str) and DAY.match(value):
        try:
            start = datetime.date.fromisoformat(value)
        except ValueError:
            pass
    if start is None:
        shown = value if isinstance(value, (str, int, float)) else str(value)
        reader.note(path, shown, "a day such as 2026-11-20")
    elif today and start > today:
        # Until then mail would have to leave from it without any cap, or not at all.
        reader.note(path, str(start), f"a day that has begun (in UTC it is {today})",
                    "leave warmup out until its first day, and the address out of all pools")
        return None
    return start


def _caps(reader: Reader, value: t.Sequence[t.Any], path: str) -> tuple[int, ...]:
    """Caps, a day each; none of use where one is wrong."""
    before, caps = len(reader.mistakes), []
    for where, item in reader.items(value, path):
        messages = reader.integer(item, where, 1, MOST, 0)
        if messages and caps and messages < max(caps):
            reader.note(where, item, f"at least {max(caps)}, as on a day before", "leave the day out, or raise it")
        caps.append(messages)
    if not caps:
        reader.note(path, value, "a cap for one day at least", f"leave it out for {DEFAULT}")
    return tuple(caps) if len(reader.mistakes) == before else ()
