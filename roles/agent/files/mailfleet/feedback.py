# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complaints without a token of ours: believed from known sources only, whose signature our own filter has checked.

The filter on the bounce host (OpenDKIM verifying) writes an Authentication-Results field (RFC 8601) on top of every
message, whether signed or not, and removes those that came with its name. So the topmost field of that name is its own,
and no other is read.
"""

from __future__ import annotations

import re
import typing as t

_HEAD = 1 << 18  # octets of the header that are looked at
_FIELD = re.compile(rb"^Authentication-Results[ \t]*:((?:.*)(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_RESULT = re.compile(r"\s*dkim\s*(?:/\s*1\s*)?=\s*pass\b(.*)", re.IGNORECASE | re.DOTALL)
_DOMAIN = re.compile(r"(?:^|\s)header\.d\s*=\s*([A-Za-z0-9_.-]{1,253})(?=\s|$)", re.IGNORECASE)


def source(raw: bytes, authserv_id: str, sources: t.Collection[str]) -> str:
    """The known feedback source that signed a message, or an empty text.

    :arg authserv_id: the name that our own filter writes.
    :arg sources: domains (d=), in lower case.
    """
    if not sources or not authserv_id:
        return ""
    head = raw[:_HEAD].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for field in _FIELD.finditer(head):
        name, *results = _plain(field[1].decode("utf-8", "replace")).split(";")
        words = name.split()
        if not words or words[0].lower() != authserv_id.lower():
            continue
        for result in results:
            if passed := _RESULT.fullmatch(result):
                domain = _DOMAIN.search(passed[1])
                if domain and domain[1].lower() in sources:
                    return domain[1].lower()
        return ""
    return ""


def _plain(text: str) -> str:
    """The field without its comments, which may be nested, and with its quoted texts emptied: nothing there counts."""
    kept, depth, quoted, escaped = [], 0, False, False
    for each in text:
        if escaped:
            escaped = False
        elif each == "\\" and (quoted or depth):
            escaped = True
        elif each == '"' and not depth:
            quoted = not quoted
        elif each == "(" and not quoted:
            depth += 1
        elif each == ")" and depth:
            depth -= 1
            kept.append(" ")
        elif not depth and not quoted:
            kept.append(each)
    return "".join(kept)
