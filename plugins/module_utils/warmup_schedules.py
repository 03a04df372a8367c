# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schedules of warm-up that can be named by a word: how many messages may leave from a new address, day by day.

No mailbox provider publishes one; whoever sends much has his own. They speak of an address's whole mail. Here a
schedule holds for each provider by itself, since each of them judges by what it gets.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PAGES, Source


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A shipped schedule: the caps, a day each, and who says so."""

    name: str
    caps: tuple[int, ...]
    source: Source


DEFAULT = "gentle"
# The pages name no figure for days between the ninth (the eighth) and the last: they are filled so that each day has
# the same part more, and rounded down.
SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("gentle", (50, 100, 250, 500, 1000, 2500, 5000, 7500, 10000, 13800, 19300, 26800, 37200, 51700, 71900,
                            100000), PAGES),
        Schedule("brisk", (200, 500, 1000, 2000, 5000, 10000, 20000, 40000, 54000, 73000, 100000, 135000, 184000,
                           250000), PAGES),
        # It has 28 an hour on the first day and 1.4 times as many each day behind it.
        Schedule("steep", tuple(24 * int(20 * 1.4**day) for day in range(1, 21)),
                 Source("SendGrid's limits an hour, times 24", "2026-11", "community")),
    )
}
