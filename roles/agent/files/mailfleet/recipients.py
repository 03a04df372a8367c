# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses as keys: two spellings of one recipient are one key, in every language that makes tokens."""

from __future__ import annotations

import re

from .errors import Trouble

PROBE = "mailfleet-probe-"  # begins the addresses that the collection makes up (probe_bounces.nobody)
_CAPITALS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
# What stands in SMTP between the angle brackets (RFC 5321 section 4.1.2, RFC 6531). Nothing in it steers a terminal.
# And octets of a command line that are no UTF-8, half surrogate pairs in Python, are no text for any database.
_NO_TEXT = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
_FORM = re.compile(
    rf'(?:[^\s"@<>(),:;\\{_NO_TEXT}]{{1,64}}|"[^"{_NO_TEXT}]{{0,62}}")'
    rf"@(?:(?:[A-Za-z0-9.-]|[^\s\x00-\x7f{_NO_TEXT}]){{1,255}}|\[[^\]\s{_NO_TEXT}]{{1,250}}\])"
)
_DOT_STRING = re.compile(r'[^\s"(),:;<>@\[\\\].]+(?:\.[^\s"(),:;<>@\[\\\].]+)*')


def fold(address: str) -> str:
    """The key of an address: A to Z in lower case, white space and angle brackets around it gone.

    Only ASCII is folded, since what other letters become differs between languages and their versions.
    """
    address = address.strip()
    if address[:1] == "<" and address[-1:] == ">":
        address = address[1:-1].strip()
    return address.translate(_CAPITALS).removesuffix(".")


def plain(address: str) -> str:
    """The key of an address without quotation marks that it can do without: Postfix sets them in its notices around
    ``a..b`` and ``a.``, which are no dot-strings (RFC 5321 section 4.1.2), and which mail goes to all the same."""
    key = fold(address)
    if key[:1] != '"':
        return key
    local, _at, domain = key.rpartition("@")
    bare = f"{local[1:-1]}@{domain}"
    return bare if is_address(bare) else key


def spellings(recipient: str) -> tuple[str, ...]:
    """The keys that a recipient may have whom Postfix asks about: it names him without any quotation marks, and so as
    nobody else does whose local part has to have them, or has them in notices."""
    key = fold(recipient)
    local, _at, domain = key.rpartition("@")
    if _DOT_STRING.fullmatch(local):
        return (key,)
    quoted = re.sub(r'(["\\])', r"\\\1", local)
    return (key, f'"{quoted}"@{domain}')


def domain_of(address: str) -> str:
    """The domain of an address, folded; empty where it has none."""
    return fold(address).rpartition("@")[2] if "@" in address else ""


def is_probe(address: str) -> bool:
    """Whether nobody has an address: the round trip of a bounce is proved by mail to such ones."""
    return fold(address).startswith(PROBE)


def is_address(key: str) -> bool:
    """Whether a key has the form of an address."""
    return len(key) <= 320 and _FORM.fullmatch(key) is not None


def wanted(address: str, where: str) -> str:
    """The key of an address that somebody gave; raises Trouble where it has not the form of one."""
    key = plain(address)
    if not is_address(key):
        raise Trouble(where, repr(address[:100]), "an address such as user@example.com")
    return key
