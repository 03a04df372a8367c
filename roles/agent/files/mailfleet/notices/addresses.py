# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses as notices write them: valid in form (RFC 5321 section 4.1.2, RFC 6531), or none at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Forwarders make local parts longer than the 64 octets of RFC 5321 (SRS), so a return path may be; a recipient may not.
LOCAL, WHOLE = 64, 254
# Vowels and accents of their own, as Thai and Indian scripts have them, which are no \w.
MARKS = r"\u0300-\u036f\u064b-\u065f\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
ATOM = rf"[\w{MARKS}!#$%&'*+/=?^`{{|}}~-]"
QUOTED = r'"(?:[^"\\\r\n]|\\.){1,64}"'
LABEL = r"[^\W_](?:[^\W_]|-(?=[^\W_]|-)){0,62}"
FORM = rf"(?:{ATOM}+(?:\.+{ATOM}+)*\.?|{QUOTED})@(?:{LABEL}(?:\.{LABEL}){{0,20}}\.?|\[[\w.:]{{2,60}}\])"
WHOLLY = re.compile(FORM)
# The look behind keeps the search from trying every end of a long word.
ANYWHERE = re.compile(rf"(?<![\w{MARKS}.!#$%&'*+/=?^`{{|}}~@-])(?:{ATOM}[\w{MARKS}.!#$%&'*+/=?^`{{|}}~-]{{0,127}}|"
                      rf"{QUOTED})@{LABEL}(?:\.{LABEL}){{1,20}}")


def address_of(text: str, longest: int = LOCAL) -> str:
    """Return the one address that a text is, without <>, source route (RFC 5321 appendix C) and display name; or ""."""
    text = text.strip()
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1]
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    text = text.strip(" \t<>;,").removesuffix(".")
    if len(text) > WHOLE or not WHOLLY.fullmatch(text):
        return ""
    local, _at, domain = text.rpartition("@")
    return text if len(local) <= longest and not (domain.isdigit() or ".." in domain) else ""


def addresses_in(text: str) -> list[str]:
    """Return all addresses in a text, in its order, each once."""
    return unique(ANYWHERE.findall(text)) if "@" in text else []


def unique(addresses: Iterable[str]) -> list[str]:
    """Return the addresses that are none twice; case does not tell two of them apart."""
    seen: dict[str, str] = {}
    for address in addresses:
        if address:
            seen.setdefault(address.lower(), address)
    return list(seen.values())
