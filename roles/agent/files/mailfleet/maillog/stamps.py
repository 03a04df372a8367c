# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a line was written: traditional time stamps, which have no year and no zone, and those of RFC 3339."""

from __future__ import annotations

import datetime
import re
import time

MONTHS = {name: number for number, name in enumerate(
    (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
DAY = 86400  # seconds
_MOST = 4096  # stamps that are kept
_ZONE = re.compile(rb"Z|[+-]\d\d:?\d\d")


class Clock:
    """Reads time stamps, each of them once.

    :arg reference: a moment that no line is later than, in seconds of UTC; None for now. A traditional stamp is of the
        last year in which it is not to come (a day is allowed for clocks and zones), in this host's time zone.
    """

    def __init__(self, reference: float | None = None) -> None:
        self.reference = reference
        self._known: dict[bytes, int] = {}

    def read(self, stamp: bytes) -> int:
        """The moment of a stamp in seconds of UTC; -1 where it is none.

        Of one of RFC 3339 the first 19 bytes, whole seconds, and the zone at its end count.
        """
        found = self._known.get(stamp)
        if found is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[stamp] = self._read(stamp)
        return found

    def _read(self, stamp: bytes) -> int:
        try:
            if stamp[:1].isdigit():
                zone = next((zone for at in (-1, -6, -5) if (zone := _ZONE.fullmatch(stamp[at:]))), None)
                whole = stamp[:19] + zone[0] if zone else b""
                return int(datetime.datetime.fromisoformat(whole.decode("ascii")).timestamp())
            return self._traditional(stamp)
        except (KeyError, ValueError, OverflowError, OSError):
            return -1

    def _traditional(self, stamp: bytes) -> int:
        """``Nov 28 13:03:15``, as RFC 3164 section 4.1.2 has it."""
        month, day = MONTHS[stamp[:3]], int(stamp[3:6])
        hour, minute, second = (int(each) for each in stamp[7:].split(b":"))
        latest = (time.time() if self.reference is None else self.reference) + DAY
        year = time.localtime(latest).tm_year
        for _before in range(9):  # the 29th of February may be eight years back
            try:
                datetime.date(year, month, day)
            except ValueError:
                year -= 1
                continue
            found = int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
            if found <= latest:
                return found
            year -= 1
        return -1
