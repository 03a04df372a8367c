# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and lists in words, for texts that people read."""

from __future__ import annotations

import typing as t

NAMED = 5  # so many things are named, the others counted


def some(names: t.Sequence[str], most: int = NAMED) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def few(lines: t.Sequence[str], most: int = 20) -> list[str]:
    """The first lines, indented, and how many more there are."""
    more = [f"  and {len(lines) - most:,} more"] if len(lines) > most else []
    return [f"  {line}" for line in lines[:most]] + more


def many(count: int, what: str, several: str = "") -> str:
    """A number of things; ``several`` is what they are called where that is not ``what`` with an s."""
    return f"{count:,} {what if count == 1 else several or f'{what}s'}"
