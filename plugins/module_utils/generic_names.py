# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that networks make up for the addresses of their customers, which receivers mistrust.

Such a name holds the address, in one of the many ways in which networks write it, or says what kind of line it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

# What kind a line is. DSL has many letters before it.
_LINES = frozenset((
    "dyn", "dynamic", "dhcp", "dsl", "adsl", "sdsl", "vdsl", "xdsl", "cable", "catv", "dial", "dialin", "dialup",
    "ppp", "pppoe", "broadband", "ftth"))
# What stands beside that in the same label, and says nothing else.
_BESIDE = frozenset((
    "client", "clients", "cust", "customer", "customers", "host", "hosts", "in", "ip", "line", "lines", "modem", "net",
    "pool", "pools", "res", "static", "subs", "subscriber", "up", "user", "users"))
# Labels below the top one of a country under which names are registered, as co.uk and com.br.
_REGISTRIES = frozenset((
    "ac", "ad", "asso", "biz", "co", "com", "ed", "edu", "go", "gob", "gouv", "gov", "gr", "id", "info", "lg", "ltd",
    "me", "ne", "net", "nom", "or", "org", "plc", "sch", "web"))
_TOKENS = re.compile(r"[a-z]+|[0-9]+")
# Four numbers in a row, wherever a row of them begins, with what networks put between: 198x51x100x10, 198_51_100_10.
_QUARTETS = re.compile(r"(?<![0-9])(?=([0-9]+)[._x-]([0-9]+)[._x-]([0-9]+)[._x-]([0-9]+))")
_BETWEEN = "-._x"
_DECIMAL, _HEX = "0123456789", "0123456789abcdef"


def is_generic(name: str, address: str) -> bool:
    """Return whether the name looks like one that a network made up for an address.

    Arguments: C(name) absolute, in lower case; C(address) an IPv4 or IPv6 address.
    """
    ip = ipaddress.ip_address(address)
    held = _holds_v4(name, ip) if ip.version == 4 else _holds_v6(name, ip)
    return held or _is_line(name)


def _is_line(name: str) -> bool:
    """Return whether a label says that it is a line of a customer.

    Not the domain's own: a company may be called cable. And not where it is part of other words, as in dynamic-media,
    unless it is numbered too.
    """
    for label in _below_domain(name):
        tokens = _TOKENS.findall(label)
        words = [token for token in tokens if not token.isdigit()]
        if not _LINES.isdisjoint(words) and (len(words) < len(tokens) or _LINES.union(_BESIDE).issuperset(words)):
            return True
    return False


def _below_domain(name: str) -> list[str]:
    """Return the labels below the domain that was registered, as far as that can be told from the name alone."""
    labels = name.removesuffix(".").split(".")
    country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _REGISTRIES
    return labels[:-3 if country else -2]


def _holds_v4(name: str, ip: ipaddress.IPv4Address) -> bool:
    """Return whether the name holds the octets, in either order: in a row, or as one number of any usual form."""
    octets = list(ip.packed)
    if any([*map(int, found)] in (octets, octets[::-1]) for found in _QUARTETS.findall(name)):
        return True
    for row in (octets, octets[::-1]):
        padded, digits = ("".join(f"{octet:{width}}" for octet in row) for width in ("03", "02x"))
        rows = (between.join(f"{octet:02x}" for octet in row) for between in "-._")
        if _stands(padded, name, _DECIMAL) or _stands(digits, name, _DECIMAL) or any(
                _stands(form, name, _HEX) for form in rows):
            return True
    return int(ip) >= 1 << 24 and _stands(str(int(ip)), name, _DECIMAL)  # what is less is a number like any other


def _holds_v6(name: str, ip: ipaddress.IPv6Address) -> bool:
    """Return whether the name holds the address: as a row of groups or nibbles, in full or short, or its last half."""
    groups = ip.exploded.split(":")
    digits = "".join(groups)
    if digits[16:] in re.sub(r"[^0-9a-f]", "", name.partition(".")[0]):
        return True
    return any(_stands(form, name, _HEX) for form in _rows_v6(groups, digits, ip.compressed))


def _rows_v6(groups: list[str], digits: str, compressed: str) -> Iterator[str]:
    for between in ("", *_BETWEEN):
        yield between.join(digits[::-1])
        yield between.join(digits)
    for between in _BETWEEN:
        yield between.join(groups)
        yield between.join(group.lstrip("0") or "0" for group in groups)
        yield compressed.replace(":", between)


def _stands(form: str, name: str, digits: str) -> bool:
    """Return whether a form stands somewhere in the name with no more digits around it."""
    at = name.find(form)
    while at >= 0:
        around = {name[at - 1:at], name[at + len(form):at + len(form) + 1]}
        if around.isdisjoint(digits):
            return True
        at = name.find(form, at + 1)
    return False
