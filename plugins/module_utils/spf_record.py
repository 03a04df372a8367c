# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SPF record read into typed terms by the grammar of RFC 7208, 12, every mistake with its position."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

VERSION = "v=spf1"
LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})  # RFC 7208, 4.6.4

_NAME = r"[A-Za-z][A-Za-z0-9_.-]*"
_MODIFIER = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([-+?~]?)([A-Za-z0-9_.-]*)(.*)", re.DOTALL)
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_EXPAND = re.compile(r"%\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|%([%_-])")
_LITERAL = re.compile(r"[\x21-\x24\x26-\x7e]+")
_LITERAL_OR_SPACE = re.compile(r"[\x20-\x24\x26-\x7e]+")
_TOP_LABEL = re.compile(r"\.(?=[A-Za-z0-9-]*[A-Za-z-])[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?\Z")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_TAKES_DOMAIN = frozenset({"include", "a", "mx", "ptr", "exists"})
_NEEDS_DOMAIN = frozenset({"include", "exists"})
_TAKES_CIDR = frozenset({"a", "mx"})
_TAKES_NETWORK = frozenset({"ip4", "ip6"})


class Problem(NamedTuple):
    """One mistake in a record; C(position) is its offset from 0."""

    position: int
    message: str

    def __str__(self) -> str:
        return f"at character {self.position + 1}: {self.message}"


class SpfSyntaxError(ValueError):
    """The text breaks the grammar. Attribute: C(problems), in the order of their positions."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class Macro(NamedTuple):
    """One macro-expand: the letter (upper case where the value is to be URL-escaped) and its transformers.

    C(keep) is how many right-hand parts stay, 0 for all.
    """

    letter: str
    keep: int = 0
    reverse: bool = False
    delimiters: str = "."


MacroString = tuple["str | Macro", ...]


@dataclass(frozen=True)
class Mechanism:
    """One directive. C(domain) is None where the current domain is meant; C(network) stands only with ip4 and ip6;
    C(prefix4) and C(prefix6) are the lengths in bits that a and mx compare with; C(text) as written."""

    qualifier: str
    name: str
    domain: MacroString | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    prefix4: int
    prefix6: int
    text: str
    position: int


@dataclass(frozen=True)
class Modifier:
    """One modifier: redirect, exp, or another, which means nothing."""

    name: str
    value: MacroString
    text: str
    position: int


@dataclass(frozen=True)
class SpfRecord:
    """The terms of one record. C(redirect) is None where an "all" makes it void (RFC 7208, 5.1)."""

    mechanisms: tuple[Mechanism, ...]
    redirect: Modifier | None
    exp: Modifier | None
    others: tuple[Modifier, ...]
    text: str

    @property
    def looking_up(self) -> tuple[Mechanism | Modifier, ...]:
        """Return the terms that count against the limit of 10."""
        terms = tuple(term for term in self.mechanisms if term.name in LOOKING_UP)
        return terms + ((self.redirect,) if self.redirect else ())

    def candidates(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[Mechanism]:
        """Yield the mechanisms that may match a client, in their order: the networks that hold it not are left out.

        A record of 64 kB has thousands of networks, and is read for every address of a fleet.
        """
        at = self._first_network(ip)
        for place, mechanism in self._no_networks:
            if place > at:
                break
            yield mechanism
        if at < len(self.mechanisms):
            yield self.mechanisms[at]

    def _first_network(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
        """Return the place of the first network that holds the address, that behind the last term without one."""
        number, size = int(ip), ip.max_prefixlen
        found = (places.get(number >> size - length) for length, places in self._networks[ip.version].items())
        return min((place for place in found if place is not None), default=len(self.mechanisms))

    @cached_property
    def _no_networks(self) -> tuple[tuple[int, Mechanism], ...]:
        return tuple((place, term) for place, term in enumerate(self.mechanisms) if not term.network)

    @cached_property
    def _networks(self) -> dict[int, dict[int, dict[int, int]]]:
        """Return the first place of each network by family, length, and the bits of that length."""
        found: dict[int, dict[int, dict[int, int]]] = {4: {}, 6: {}}
        for place, term in enumerate(self.mechanisms):
            if network := term.network:
                bits = int(network.network_address) >> network.max_prefixlen - network.prefixlen
                found[network.version].setdefault(network.prefixlen, {}).setdefault(bits, place)
        return found


def is_spf(text: str) -> bool:
    """Return whether a TXT value is a record of this version (RFC 7208, 4.5)."""
    return text[:len(VERSION)].lower() == VERSION and text[len(VERSION):len(VERSION) + 1] in ("", " ")


@lru_cache(maxsize=4096)
def parse_record(text: str) -> SpfRecord:
    """Return the terms of a record (RFC 7208, 12).

    Raises: SpfSyntaxError with every mistake.
    """
    if not is_spf(text):
        raise SpfSyntaxError([Problem(0, f"found {text[:20]!r}, expected {VERSION} and then a space or the end")])
    problems: list[Problem] = []
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, Modifier] = {}
    others: list[Modifier] = []
    for match in re.finditer(r"[^ ]+", text[len(VERSION):]):
        position = match.start() + len(VERSION)
        try:
            term = _term(match.group(), position)
            if isinstance(term, Mechanism):
                mechanisms.append(term)
            elif term.name not in ("redirect", "exp"):
                others.append(term)
            elif modifiers.setdefault(term.name, term) is not term:
                raise SpfSyntaxError([Problem(position, f"{term.name}= stands twice")])
        except SpfSyntaxError as error:
            problems += error.problems
    if problems:
        raise SpfSyntaxError(problems)
    has_all = any(mechanism.name == "all" for mechanism in mechanisms)
    return SpfRecord(tuple(mechanisms), None if has_all else modifiers.get("redirect"), modifiers.get("exp"),
                     tuple(others), text)


def parse_explanation(text: str) -> MacroString:
    """Return the macros of an explanation, in which spaces and the letters c, r and t are allowed (RFC 7208, 6.2).

    Raises: SpfSyntaxError.
    """
    return _macro_string(text, 0, explanation=True)


def _wrong(position: int, message: str) -> SpfSyntaxError:
    return SpfSyntaxError([Problem(position, message)])


def _term(text: str, position: int) -> Mechanism | Modifier:
    if match := _MODIFIER.fullmatch(text):
        name, value = match.groups()
        at = position + len(name) + 1
        known = name.lower() in ("redirect", "exp")
        parts = _domain_spec(value, at) if known else _macro_string(value, at)
        return Modifier(name.lower(), parts, text, position)
    qualifier, written, rest = _MECHANISM.fullmatch(text).groups()
    name = written.lower()
    at = position + len(qualifier) + len(written)
    if name in _TAKES_NETWORK:
        network = _network(name, rest, at)
        return Mechanism(qualifier or "+", name, None, network, 32, 128, text, position)
    if name not in _TAKES_DOMAIN and name != "all":
        known = "all, include, a, mx, ptr, ip4, ip6, exists"
        raise _wrong(position, f"{text[:40]!r} is no mechanism ({known}) or modifier")
    prefix4, prefix6 = 32, 128
    if name in _TAKES_CIDR and (slash := rest.find("/", len(rest.rstrip("0123456789/")))) >= 0:
        prefix4, prefix6 = _prefixes(rest[slash:], at + slash)
        rest = rest[:slash]
    domain = None
    if name in _TAKES_DOMAIN and rest.startswith(":"):
        domain = _domain_spec(rest[1:], at + 1)
    elif rest:
        raise _wrong(at, f"{rest[:40]!r} may not follow {written}")
    elif name in _NEEDS_DOMAIN:
        raise _wrong(at, f"{written} needs a colon and a domain")
    return Mechanism(qualifier or "+", name, domain, None, prefix4, prefix6, text, position)


def _prefixes(text: str, position: int) -> tuple[int, int]:
    match = _CIDR.match(text)
    prefix4, prefix6 = (match.group(1) or 32, match.group(2) or 128) if match else (33, 129)
    if int(prefix4) > 32 or int(prefix6) > 128:
        raise _wrong(position, f"{text[:20]!r} is no prefix length: expected /0 to /32, then //0 to //128")
    return int(prefix4), int(prefix6)


def _network(name: str, rest: str, position: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, length = rest[1:].partition("/")
    network, limit = (ipaddress.IPv4Network, 32) if name == "ip4" else (ipaddress.IPv6Network, 128)
    try:
        # ipaddress takes zones ("%eth0"), netmasks and lengths with leading zeros, which this grammar does not.
        if not rest.startswith(":") or "%" in address or (slash and not _LENGTH.fullmatch(length)):
            raise ValueError
        return network((address, int(length or limit)), strict=False)
    except ValueError:
        raise _wrong(position, f"found {rest[:60]!r}, expected a colon and an IPv{name[2]} address, and at most "
                               f"/0 to /{limit} after it") from None


def _domain_spec(text: str, position: int) -> MacroString:
    """Return the parts of a domain-spec: a macro-string that ends in a macro or in a dot and a top label."""
    parts = _macro_string(text, position)
    if not parts:
        raise _wrong(position, "a domain is missing")
    # The last part in text: a trailing %% or %_ is a macro-expand too, and was made a str of its own.
    end = max((match.end() for match in _EXPAND.finditer(text)), default=0)
    if end < len(text) and not _TOP_LABEL.search(text, end):
        raise _wrong(position, f"{text[:60]!r} does not end in a dot and a top-level label, or in a macro")
    return parts


def _macro_string(text: str, position: int, explanation: bool = False) -> MacroString:
    parts: list[str | Macro] = []
    literal = _LITERAL_OR_SPACE if explanation else _LITERAL
    at = 0
    while at < len(text):
        if match := literal.match(text, at):
            parts.append(match.group())
        elif match := _EXPAND.match(text, at):
            letter, digits, reverse, delimiters, escape = match.groups()
            if letter:
                allowed = "slodiphcrtv" if explanation else "slodiphv"
                if letter.lower() not in allowed:
                    raise _wrong(position + at, f"%{{{letter}}} is no macro here: expected one of {', '.join(allowed)}")
                if digits and not int(digits[:9]):
                    raise _wrong(position + at, f"{match.group()} keeps no part: the number must not be 0")
                parts.append(Macro(letter, int(digits[:9] or 0), bool(reverse), delimiters or "."))
            else:
                parts.append(_ESCAPES[escape])
        elif text[at] == "%":
            raise _wrong(position + at, f"{text[at:at + 10]!r} is no macro: expected %{{letter}}, %%, %_ or %-")
        else:
            raise _wrong(position + at, f"the character {text[at]!r} is not allowed")
        at = match.end()
    return tuple(parts)
