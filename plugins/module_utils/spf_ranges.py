# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of addresses of one family as ranges of their numbers: pairs of first and last, ascending, disjoint."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import itemgetter

Ranges = list[tuple[int, int]]

_FIRST, _LAST = itemgetter(0), itemgetter(1)


def whole(version: int) -> Ranges:
    """Return all addresses of a family, 4 or 6."""
    return [(0, 2**32 - 1 if version == 4 else 2**128 - 1)]


def of_numbers(numbers: Iterable[int]) -> Ranges:
    """Return the ranges that hold exactly the given addresses."""
    ranges: Ranges = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ranges


def bounds(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[int, int]:
    """Return the first and the last number of a network."""
    first = int(network.network_address)
    return first, first | (1 << network.max_prefixlen - network.prefixlen) - 1


def split(ranges: Ranges, first: int, last: int) -> tuple[Ranges, Ranges]:
    """Return what of the ranges lies from first to last, and the rest."""
    start = bisect_left(ranges, first, key=_LAST)
    end = bisect_right(ranges, last, lo=start, key=_FIRST)
    if start == end:
        return [], ranges
    touched = ranges[start:end]
    left = [(touched[0][0], first - 1)] if touched[0][0] < first else []
    right = [(last + 1, touched[-1][1])] if touched[-1][1] > last else []
    if left:
        touched[0] = first, touched[0][1]
    if right:
        touched[-1] = touched[-1][0], last
    return touched, ranges[:start] + left + right + ranges[end:]


def union(one: Ranges, other: Ranges) -> Ranges:
    """Return what is in either of two disjoint sets."""
    return sorted(one + other)
