# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delays as Postfix logs them, counted in buckets of a logarithmic scale.

Postfix prints two significant digits. Eight buckets an octave are 9 % wide; what is told of one is its middle, at most
5 % off.
"""

from __future__ import annotations

import functools
import math
import typing as t

STAGES = ("before", "queue", "connect", "send", "total")
_OCTAVE = 8
_LEAST = 0.01  # seconds: Postfix logs nothing less, save 0
NONE = -1  # the bucket of 0 s
_MOST = 31 * _OCTAVE


def bucket(seconds: float) -> int:
    """The bucket of a delay."""
    if not seconds > 0:
        return NONE
    return min(_MOST, round(math.log2(min(max(seconds, _LEAST), 1e9) / _LEAST) * _OCTAVE))


def seconds(number: int) -> float:
    """The middle of a bucket."""
    return 0.0 if number == NONE else float(f"{_LEAST * 2 ** (number / _OCTAVE):.3g}")


@functools.lru_cache(maxsize=8192)
def of_text(text: bytes) -> int:
    """The bucket of a number as the log has it; what is none counts as 0."""
    try:
        return bucket(float(text))
    except (ValueError, OverflowError):
        return NONE


def percentiles(counts: t.Mapping[int, int], wanted: t.Sequence[int] = (50, 90, 99)) -> dict[int, float]:
    """Delays that so many per cent are not above, by the per cent; none where nothing was counted."""
    whole = sum(counts.values())
    found: dict[int, float] = {}
    if not whole:
        return found
    seen, left = 0, sorted(wanted)
    for number in sorted(counts):
        seen += counts[number]
        while left and seen * 100 >= left[0] * whole:
            found[left.pop(0)] = seconds(number)
    return found
