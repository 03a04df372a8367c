# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the writer of a wrong SPF record meant: the usual slips, each with the term to write instead."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils.records import unquoted
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import VERSION, SpfSyntaxError, parse_record

MAXIMUM_MENDED = 4096  # octets; nobody wrote a longer one by hand
_NETWORKS = 20  # that a range is written as at most
_NAMES = "include|exists|all|ptr|mx|a|ip4|ip6"
_LIKE_SPF = re.compile(r'[\s"\'\ufeff\u201c\u201d]*v?\s*[=:]?\s*spf\s*-?\s*[v12](?:\.0)?(?![0-9./])', re.IGNORECASE)
_VERSION = re.compile(r"\s*(?:v?\s*[=:]?\s*spf\s*-?\s*v?[12]?(?:\.0)?\s*[;,:.]?\s*)?", re.IGNORECASE)
_SIGNS = str.maketrans(
    dict.fromkeys("\"'`\u201c\u201d\u201e\u2018\u2019\ufeff\u200b", "")
    | dict.fromkeys("\t\r\n\u00a0\u2003", " ")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
)
_GAPS = re.compile(
    r"(?<![^ ])(?:(?:[-+~?]?(?:ipv?[46]|include|exists|mx|a) *:|(?:redirect|exp) *[=:]) *"  # ip4: 192.0.2.1
    rf"(?![-+~?]*(?:{_NAMES})(?:[:=/]|[.:]*(?![^ ])))(?=[^ ]*(?:\.|:[^ ]*:))"
    r"|[-+~?] +(?=all\b))", re.IGNORECASE)
# Where two strings, or two lines, were joined without a space.
_GLUED = re.compile(
    r"(?<=[A-Za-z0-9/])(?=[-+~?]?(?:include:|ip4:|ip6:|exists:|redirect=))|(?<=[A-Za-z0-9])(?=[-+~?]all$)|[;,]+",
    re.IGNORECASE)
_KIND = re.compile(r"([-+~?]*)(?:(ipv4|ipv6|ip4|ip6|ip|a|mx|include|addr|address)\s*[:=.]\s*)?(.+)", re.IGNORECASE)
_RANGE = re.compile(r"([0-9.]+)-([0-9.]+)")
_MECHANISM_AS_MODIFIER = re.compile(r"(?:ipv?[46]?|include|exists|all|ptr|mx|a|v)=", re.IGNORECASE)


class Meant(NamedTuple):
    """A piece of a record, what is to be written instead, and why."""

    written: str
    instead: str
    why: str

    def __str__(self) -> str:
        return f"{self.written!r}: {self.why}" + (f", {self.instead!r} is meant" if self.instead else "")


def is_like_spf(text: str) -> bool:
    """Return whether a TXT value that is no SPF record was meant as one."""
    return bool(_LIKE_SPF.match(text[:64]))


def meant_by(text: str) -> tuple[str, tuple[Meant, ...]]:
    """Return the record that was meant, empty where that cannot be told, and what is changed in it.

    Arguments: C(text) a TXT value that is wrong, or is no SPF record but like one.
    """
    if len(text) > MAXIMUM_MENDED:
        return "", ()
    changes: list[Meant] = []
    plain = _without_signs(text, changes)
    version = _VERSION.match(plain).group()
    if version.lower().rstrip(" ") != VERSION or (version.lower() == VERSION and plain[len(version):]):
        changes.append(Meant(version or text[:10], f"{VERSION} ", "a record begins with v=spf1 and a space (4.5)"))
    rest = plain[len(version):]
    closed = _GAPS.sub(lambda gap: gap.group().replace(" ", ""), rest)
    if closed != rest:
        gaps = [gap.group() for gap in _GAPS.finditer(rest) if " " in gap.group()]
        changes.append(Meant(gaps[0], "", "no space may stand here (4.6.1)"))
    terms: list[str] = []
    for written in closed.split():
        pieces = _terms(written)
        terms += pieces
        if pieces != [written]:
            changes.append(Meant(written, " ".join(pieces), _why(written, pieces)))
    record = " ".join([VERSION, *terms])
    return record if is_right(record) else "", tuple(changes)


def is_right(record: str) -> bool:
    """Return whether the grammar of RFC 7208, 12 takes the record."""
    try:
        parse_record(record)
    except SpfSyntaxError:
        return False
    return True


def is_mistaken(modifier: str) -> bool:
    """Return whether a modifier without meaning (ip4=192.0.2.1) was meant as a mechanism."""
    return bool(_MECHANISM_AS_MODIFIER.match(modifier))


def _without_signs(text: str, changes: list[Meant]) -> str:
    """Return the text without quotes, its white space as spaces and its dashes as ASCII has them."""
    plain = text.replace('\\"', '"')
    if plain.lstrip().startswith('"'):
        plain = unquoted(plain.strip()).decode("utf-8", "replace")
    if '"' in text:
        changes.append(Meant('"', "", "quotes belong to the zone file, not into the value (RFC 1035, 5.1)"))
    if foreign := sorted({sign for sign in plain if sign != '"' and sign.translate(_SIGNS) != sign}):
        changes.append(Meant("".join(foreign), "", "spaces, signs and letters are those of ASCII (4.6.1)"))
    return plain.translate(_SIGNS)


def _terms(written: str) -> list[str]:
    """Return the terms that were meant by what stands between two spaces."""
    if is_right(f"{VERSION} {written}") and not is_mistaken(written):
        return [written]
    parts = [part for part in _GLUED.split(written) if part]
    if len(parts) > 1:
        return [piece for part in parts for piece in _terms(part)]
    if written.lower().startswith(VERSION):
        return []
    return _term(written)


def _term(written: str) -> list[str]:
    """Return the terms that were meant by one."""
    text = re.sub(r"^([-+~?]*all)[.:]+$", r"\1", written, flags=re.IGNORECASE)
    text = re.sub(r"^([-+~?])[-+~?]+", r"\1", text)
    text = re.sub(r"^[-+~?]?(redirect|exp)[:=]", r"\1=", text, flags=re.IGNORECASE)
    text = re.sub(rf"^([-+~?]?)({_NAMES})=", r"\1\2:", text, flags=re.IGNORECASE)
    text = re.sub(r"^([-+~?]?(?:a|mx|ptr|all)):(?=/|$)", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"^([-+~?]?(?:include|redirect|a|mx)[:=])(?:https?://|[^@:/]*@)([^/]+)/?$", r"\1\2", text,
                  flags=re.IGNORECASE)
    sign, kind, value = _KIND.fullmatch(text).groups()
    if networks := _networks(value):
        return [f"{sign}{network}" for network in networks]
    if (kind or "").lower().startswith("ip") and re.search(r"\.[A-Za-z][A-Za-z0-9-]*\.?$", value):
        return [f"{sign}a:{value}"]
    return [text]


def _networks(value: str) -> list[str]:
    """Return the ip4 and ip6 terms of what is an address, a network or a range, however it is written."""
    value = value.strip("[]").replace("\\", "/")
    try:
        if match := _RANGE.fullmatch(value):
            first, last = map(ipaddress.IPv4Address, match.groups())
            networks = []
            for network in ipaddress.summarize_address_range(first, last):
                networks.append(network)
                if len(networks) > _NETWORKS:
                    return []
        elif match := re.fullmatch(r"((?:\d+\.){1,3})\*", value):
            dots = match.group(1).count(".")
            networks = [ipaddress.ip_network(f"{match.group(1)}{'0.' * (3 - dots)}0/{8 * dots}")]
        else:
            networks = [ipaddress.ip_network(value.replace("]", ""), strict=False)]
    except (ValueError, TypeError):
        return []
    return [f"ip{network.version}:{network.network_address if network.prefixlen == network.max_prefixlen else network}"
            for network in networks]


def _why(written: str, pieces: list[str]) -> str:
    low = written.lower().lstrip("+-~?")
    if not pieces:
        return "the version stands once, at the beginning (4.5)"
    if len(pieces) > 1 and _GLUED.search(written):
        return "terms stand apart by spaces; strings are joined without one (3.3, 4.6.1)"
    if low.startswith(("redirect", "exp")):
        return "a modifier has an equals sign and no qualifier (4.6.1)"
    if low.startswith(("ip4:", "ip6:")) and pieces[0].lstrip("+-~?").startswith("a:"):
        return "ip4 and ip6 take addresses, a takes a name (5.3, 5.6)"
    if pieces[0].lstrip("+-~?").startswith(("ip4:", "ip6:")):
        return "addresses and networks are written as ip4:address/length and ip6:address/length (5.6)"
    return "this is no term (4.6.1)"
