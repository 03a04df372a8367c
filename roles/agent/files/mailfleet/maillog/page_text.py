# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How page and report write things: strangers' text, numbers, moments, and where on an axis they are."""

from __future__ import annotations

import datetime
import html
import math
import typing as t
import unicodedata

HOUR, DAY = 3600, 86400  # seconds
PER_CENT = "\N{NO-BREAK SPACE}%"
_SHOWN = 600  # characters of a text
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))  # controls, what turns the direction of text, halves of pairs
_MARKS = 4  # on one letter: more of them reach over lines
_STEPS = (HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY, 91 * DAY, 364 * DAY)
_MONDAY = 4 * DAY  # 1970-01-05 was one
_TICKS = ((0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"), (600.0, "10 min"),
          (3600.0, "1 h"), (6 * 3600.0, "6 h"), (86400.0, "1 d"), (5 * 86400.0, "5 d"), (30 * 86400.0, "30 d"),
          (365 * 86400.0, "1 year"))
_NAMED = 3  # hosts
_ZERO = 0.06  # of a logarithmic axis is for 0


def esc(text: object, most: int = _SHOWN) -> str:
    """A text for HTML and for attributes in double quotes; what is not to be seen is named instead.

    Characters that turn the direction of what follows, marks heaped on one letter, and what XML 1.0 section 2.2 has not
    are among that. Behind about ``most`` characters of what is shown it is cut.
    """
    shown, room, marks = [], most, 0
    for char in str(text):
        if room <= 0:
            shown.append("…")
            break
        category = unicodedata.category(char)
        marks = marks + 1 if category[0] == "M" else 0
        if char in "\n\t":
            shown.append(" ")
        elif category in _UNSEEN or ord(char) & 0xFFFE == 0xFFFE or marks > _MARKS:
            shown.append(f"‹U+{ord(char):04X}›")
        else:
            shown.append(char)
        room -= len(shown[-1])
    return html.escape("".join(shown), quote=True)


def several(number: int, what: str) -> str:
    """So many of something, by its name in the singular."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def asides(counts: t.Mapping[str, int]) -> list[str]:
    """What was counted beside the outcomes, a sentence each."""
    told = []
    if counts["handed_over"]:
        told.append(f"Mail was passed on within this host {several(counts['handed_over'], 'time')}.")
    if counts["signing_errors"]:
        # It tells of what it signed only where it is configured to.
        signed = f"signed {several(counts['signed'], 'message')}, and " if counts["signed"] else ""
        told.append(f"OpenDKIM {signed}told of {several(counts['signing_errors'], 'error')}.")
    if counts["forgotten"]:
        told.append(f"{counts['forgotten']:,} waited while too many did, and may count as deferred twice.")
    return told


def last_counted(counted: t.Mapping[str, int]) -> str:
    """When services last counted a line, by host, 0 for never: one that ended tells nothing else of what came since."""
    def told(host: str) -> str:
        at = counted[host]
        return f"last at {moment(at)} UTC" if at else "not one line yet: see what its journal says"

    longest_ago = sorted(counted, key=lambda host: (counted[host], host))[:_NAMED]
    if len(counted) == 1:
        return f"Counted by mailfleet-log.service, {told(longest_ago[0])}."
    return "Counted by mailfleet-log.service; longest ago: " + "; ".join(
        f"{host} {told(host)}" for host in longest_ago) + "."


def moment(at: int, with_year: bool = True) -> str:
    """A moment of UTC, as the report's text has it."""
    try:
        found = datetime.datetime.fromtimestamp(at, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at} s"
    return found.strftime("%Y-%m-%d %H:%M" if with_year else "%m-%d %H:%M")


def share(part: int, whole: int) -> str:
    """A share in per cent; what is not all is never rounded to all, nor what is something to nothing."""
    if not whole:
        return "–"
    found = 100 * part / whole
    if 0 < found < 0.1:
        return f"under 0.1{PER_CENT}"
    if 99.9 < found < 100:
        return f"over 99.9{PER_CENT}"
    return f"{found:.1f}".removesuffix(".0") + PER_CENT


def span(seconds: float) -> str:
    """A length of time by its two largest units."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    for size, unit, smaller, name in ((DAY, "d", HOUR, "h"), (HOUR, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // smaller)
            return f"{int(seconds // size):,} {unit}" + (f" {rest} {name}" if rest else "")
    return ""


def exact(seconds: float) -> str:
    """Seconds as the JSON has them."""
    return f"{seconds:.10g}"


def percent(part: float) -> str:
    """A length or place in an SVG, by the part of its width; at most three digits behind the point."""
    return f"{100 * part:.3f}".rstrip("0").rstrip(".") + "%"


class Buckets:
    """Equal stretches of time, at most ``most`` of them, that begin at whole hours, days or weeks of UTC.

    ``step`` is their length in seconds, ``starts`` their beginnings. Without any hour there is none.
    """

    def __init__(self, hours: t.Iterable[int], most: int = 48) -> None:
        found = sorted(set(hours))
        first, last = (found[0], found[-1]) if found else (0, -1)
        wanted = next((each for each in _STEPS if (last - self._begin(first, each)) // each < most), 0)
        # Stamps of broken clocks may be centuries apart.
        self.step = wanted or -(-(last - first + HOUR) // (most - 1) // HOUR) * HOUR
        begin = self._begin(first, self.step)
        self.starts = list(range(begin, last + 1, self.step))

    @staticmethod
    def _begin(at: int, step: int) -> int:
        base = _MONDAY if step % (7 * DAY) == 0 else 0
        return (at - base) // step * step + base

    def place(self, hour: int) -> int:
        """In which of them an hour is."""
        return (hour - self.starts[0]) // self.step

    @property
    def name(self) -> str:
        """What one is called."""
        if self.step % DAY == 0:
            days = self.step // DAY
            return {1: "day", 7: "week"}.get(days, f"{days} days")
        return "hour" if self.step == HOUR else f"{self.step // HOUR} hours"

    @property
    def one(self) -> str:
        """How long one is."""
        return {HOUR: "an hour", DAY: "a day", 7 * DAY: "a week"}.get(self.step, self.name)

    def label(self, number: int) -> str:
        """When one begins, and for a part of a day when it ends."""
        begin = self.starts[number]
        if self.step % DAY == 0:
            return moment(begin)[:10] + ("" if self.step == DAY else f" and {self.step // DAY - 1} days")
        return f"{moment(begin)} to {moment(begin + self.step)[-5:]}"

    def ticks(self, most: int = 4) -> list[tuple[float, str]]:
        """Places on the axis, as parts of it, and what stands there."""
        if not self.starts:
            return []
        begin, whole = self.starts[0], len(self.starts) * self.step
        step = next((each for each in _STEPS if each >= self.step and whole / each <= most),
                    -(-whole // most // self.step) * self.step)
        found = []
        for at in range(self._begin(begin + step - 1, step), begin + whole, step):
            text = moment(at)
            day = step % DAY == 0 or at % DAY == 0
            found.append(((at - begin) / whole, (text[:7] if step > 90 * DAY else text[5:10]) if day else text[-5:]))
        return found


class LogAxis:
    """A logarithmic axis of seconds with a place for 0 at its beginning, between ticks that people count in."""

    def __init__(self, values: t.Iterable[float], most: int = 5) -> None:
        found = [each for each in values if each > 0]
        least, largest = (min(found), max(found)) if found else (0.1, 10.0)
        low = max((at for at, (each, *_said) in enumerate(_TICKS) if each <= least), default=0)
        high = min((at for at, (each, *_said) in enumerate(_TICKS) if each >= largest), default=len(_TICKS) - 1)
        high = max(high, low + 1) if low + 1 < len(_TICKS) else high
        low = min(low, high - 1)
        self._low, self._high = math.log10(_TICKS[low][0]), math.log10(_TICKS[high][0])
        kept = _TICKS[low : high + 1]
        every = -(-len(kept) // most)
        # Beside 0 there is no room for the first.
        self.ticks = [(0.0, "0"), *((self.place(each), text) for each, text in kept[1::every])]
        self.lines = [self.place(each) for each, _text in kept]

    def place(self, seconds: float) -> float:
        """Where so many seconds are, as a part of the axis."""
        if seconds <= 0:
            return 0.0
        part = (math.log10(seconds) - self._low) / (self._high - self._low)
        return _ZERO + (1 - _ZERO) * min(1.0, max(0.0, part))
