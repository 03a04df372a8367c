# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names with other letters than ASCII's as DNS has them (RFC 5890, 2.3.2.1)."""

from __future__ import annotations

import re

# Letters that IDNA 2003, which Python has, turns into others and IDNA 2008 does not: two domains, maybe of two owners.
_AMBIGUOUS = re.compile("[\u00df\u03c2\u200c\u200d]")


def to_a_labels(name: str) -> str:
    """Return a name in lower case with its labels as A-labels; one of ASCII alone stays as it is.

    Raises: ValueError where it has no such form, or a letter that IDNA 2003 and 2008 (RFC 5894, 7.2) read in two ways.
    """
    if name.isascii():
        return name
    if found := _AMBIGUOUS.search(name):
        raise ValueError(f"{found.group()!r} is read in two ways (RFC 5894, 7.2): write the A-label, xn--...")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"it has no A-labels (RFC 5890): {error}") from None
