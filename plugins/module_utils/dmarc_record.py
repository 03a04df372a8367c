# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A DMARC record read as RFC 9989, 4.7 and 4.8 say, every mistake with its position, and written with changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import domain_name

VERSION = "v=DMARC1"
# What RFC 9989 dropped (C.5.2), and the values that said nothing anyway (RFC 7489, 6.3).
REMOVED = {"pct": "100", "rf": "afrf", "ri": "86400"}
POLICY_TAGS = ("p", "sp", "np")

_WHITE = " \t"
_VERSION = re.compile(r"v[ \t]*=[ \t]*(?-i:DMARC1)[ \t]*(?=;|\Z)", re.IGNORECASE)
_LIKE_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1", re.IGNORECASE)
_AROUND = "\"'\u201c\u201d \t\r\n;"
_NAME = re.compile(r"[A-Za-z]+")
_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e]+")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):((?:[A-Za-z0-9._~:/?#\[\]@$&'()*+;=-]|%[0-9A-Fa-f]{2})+)")
_SIZE = re.compile(r"![0-9]+[kmgt]?\Z", re.IGNORECASE)
_AUTHORITY = re.compile(r"//(?:[^/?#@]*@)?([^/?#:]*)")


class Policy(str, Enum):
    """What is wanted for mail that fails DMARC, from weakest to strictest."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        """Return how strict it is, from 0."""
        return list(Policy).index(self)

    @property
    def lowered(self) -> Policy:
        """Return the policy one level below, which t=y asks for (RFC 9989, 4.7)."""
        return list(Policy)[max(0, self.rank - 1)]


class Problem(NamedTuple):
    """One mistake in a record; C(position) is its offset from 0, C(tag) the name of the tag that it is in."""

    position: int
    tag: str
    message: str

    def __str__(self) -> str:
        return f"at character {self.position + 1}: {self.message}"


class DmarcRecordError(ValueError):
    """The text is no DMARC record at all. Attribute: C(position), the offset from 0 of what is wrong."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class ReportUri(NamedTuple):
    """An address that reports go to.

    C(text) is the URI without a size; C(scheme) in lower case; C(host) the domain that it leads to, in lower case,
    empty where it has none; C(size) the obsolete "!10m" that stood behind it.
    """

    text: str
    scheme: str
    host: str
    size: str = ""


@dataclass(frozen=True)
class DmarcRecord:
    """What a record says; a tag that is missing or cannot be read has its default.

    Attributes: C(policy), C(subdomain) and C(nonexistent) are p=, sp= and np= as written, None where they are not
    there; C(psd) "y", "n" or "u"; C(testing) t=y; C(strict_dkim), C(strict_spf) the alignment modes; C(fo) the options
    of failure reports; C(rua), C(ruf) the report addresses that can be read; C(tags) all tags that can be read by
    name in their order, the first of each; C(unknown) names that RFC 9989 does not know; C(problems) what receivers
    discard; C(broken) the policy tags whose value is no policy.
    """

    text: str
    tags: Mapping[str, str] = field(hash=False)
    policy: Policy | None = None
    subdomain: Policy | None = None
    nonexistent: Policy | None = None
    psd: str = "u"
    testing: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False
    fo: tuple[str, ...] = ("0",)
    rua: tuple[ReportUri, ...] = ()
    ruf: tuple[ReportUri, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Return whether p= is a policy, and sp= and np= are where they stand (RFC 9989, 4.10.1)."""
        return self.policy is not None and not self.broken

    @property
    def applies(self) -> bool:
        """Return whether receivers apply DMARC by this record: one that is not sound counts as p=none where it asks
        for reports at an address that can be read, and as nothing otherwise (RFC 9989, 4.10.1)."""
        return self.sound or bool(self.rua)

    @property
    def policy_second(self) -> bool:
        """Return whether no other tag stands before p=."""
        return next(iter(self.tags), "p") == "p"

    def requested(self, tag: str = "p") -> Policy:
        """Return the policy for the domain itself ("p"), for its subdomains ("sp"), or for names below it that do not
        exist ("np"); what is not there falls back to the one before (RFC 9989, 4.7)."""
        if not self.sound:
            return Policy.NONE
        asked = {"p": (self.policy,), "sp": (self.subdomain, self.policy),
                 "np": (self.nonexistent, self.subdomain, self.policy)}[tag]
        return next(policy for policy in asked if policy is not None)

    def applied(self, tag: str = "p") -> Policy:
        """Return what a receiver does: the policy, or with t=y the one below it."""
        return self.requested(tag).lowered if self.testing else self.requested(tag)


def is_dmarc(text: str) -> bool:
    """Return whether a TXT value is a DMARC record (RFC 9989, 4.10: it begins with the version)."""
    return bool(_VERSION.match(text))


@lru_cache(maxsize=4096)
def parse_record(text: str) -> DmarcRecord:
    """Return what the joined strings of one TXT record say (RFC 9989, 4.7 and 4.8).

    Mistakes behind the version are in C(problems), since receivers discard them and go on.
    Raises: DmarcRecordError where the text does not begin with v=DMARC1.
    """
    version = _VERSION.match(text)
    if not version:
        raise DmarcRecordError(*_no_version(text))
    reading = _Reading()
    at = version.end() + 1
    for piece in text[version.end():].split(";")[1:]:
        reading.take(piece, at)
        at += len(piece) + 1
    return reading.record(text)


def amended(record: DmarcRecord, changes: Mapping[str, str | None]) -> str:
    """Return the record with tags set, or removed where the change is None, and without what cannot be read.

    p= stands second, where receivers of RFC 7489 want it (6.4); the others keep their order.
    """
    tags = {name: value for name, value in record.tags.items() if name != "p"}
    tags = {"p": record.tags.get("p")} | tags | dict(changes)
    return "; ".join([VERSION, *(f"{name}={value}" for name, value in tags.items() if value is not None)])


def meant_by(text: str) -> str:
    """Return the record that a text which is none was meant as, empty where that cannot be told.

    What is undone are quotation marks, backslashes and white space around it, and a version in another case or place.
    """
    match = _LIKE_VERSION.search(text)
    if not match:
        return ""
    rest = f"{text[:match.start()]};{text[match.end():]}".replace("\\", "")
    record = parse_record(f"{VERSION};{rest.strip(_AROUND)}")
    return amended(record, {}) if record.sound else ""


def closest(value: str) -> str | None:
    """Return the policy that a misspelt one was meant to be, or None where none is near."""
    return next(iter(difflib.get_close_matches(value.lower(), [policy.value for policy in Policy], n=1)), None)


def _no_version(text: str) -> tuple[str, int]:
    """Return why a text is no DMARC record, and where."""
    bare = text.lstrip("\"' \t\r\n")
    if bare != text and (is_dmarc(bare) or is_dmarc(bare.rstrip("\"'"))):
        kind = "a quotation mark" if text[0] in "\"'" else "white space"
        return f"{kind} stands before {VERSION}, as part of the value", 0
    match = _LIKE_VERSION.search(text)
    if match and match.start() == 0:
        written = match.group().partition("=")[2].strip()
        if written != "DMARC1":
            return f"v= is {written!r}; its case matters: DMARC1", match.end() - len(written)
        return f"found {text[match.end():match.end() + 20]!r} behind {VERSION}, expected a semicolon", match.end()
    if match:
        return f"{VERSION} stands here; it must be the first tag", match.start()
    return f"found {text[:20]!r}, expected {VERSION} and then a semicolon or the end", 0


class _Reading:
    """Takes the tags of one record."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.at: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.broken: list[str] = []

    def take(self, piece: str, start: int) -> None:
        """Take the text between two semicolons; C(start) is its offset."""
        written, equals, value = piece.partition("=")
        name = written.strip(_WHITE).lower()
        start += len(written) - len(written.lstrip(_WHITE))
        value_at = start + len(written.lstrip(_WHITE)) + 1 + len(value) - len(value.lstrip(_WHITE))
        value = value.strip(_WHITE)
        if not piece.strip(_WHITE):
            return  # a last semicolon, or two in a row
        if not equals or not _NAME.fullmatch(name):
            self.note(start, "", f"{_short(piece.strip(_WHITE))} is no tag=value")
        elif name in self.tags or name == "v":
            self.note(start, name, f"the tag {name}= stands twice, and receivers differ in which they take")
        elif not (match := _VALUE.match(value)) or match.end() < len(value):
            wrong = match.end() if match else 0
            held = f"holds {value[wrong]!r}" if value else "is empty"
            self.note(value_at + wrong, name, f"the value of {name}= {held}")
            if name in POLICY_TAGS:
                self.broken.append(name)
        else:
            self.tags[name], self.at[name] = value, value_at

    def note(self, position: int, tag: str, message: str) -> None:
        self.problems.append(Problem(position, tag, message))

    def record(self, text: str) -> DmarcRecord:
        policies = {name: self.policy(name) for name in POLICY_TAGS}
        record = DmarcRecord(
            text, self.tags, policies["p"], policies["sp"], policies["np"],
            psd=self.choice("psd", "ynu", "u"), testing=self.choice("t", "yn", "n") == "y",
            strict_dkim=self.choice("adkim", "rs", "r") == "s", strict_spf=self.choice("aspf", "rs", "r") == "s",
            fo=self.options(), rua=self.uris("rua"), ruf=self.uris("ruf"),
            unknown=tuple(name for name in self.tags if name not in _KNOWN),
            problems=tuple(sorted(self.problems)), broken=tuple(self.broken),
        )
        return record

    def policy(self, name: str) -> Policy | None:
        value = self.tags.get(name)
        if value is None:
            return None
        try:
            return Policy(value.lower())
        except ValueError:
            self.note(self.at[name], name, f"{name}= is {_short(value)}, expected none, quarantine or reject")
            self.broken.append(name)
            return None

    def choice(self, name: str, letters: str, default: str) -> str:
        value = self.tags.get(name, default).lower()
        if len(value) == 1 and value in letters:
            return value
        self.note(self.at[name], name, f"{name}= is {_short(value)}, expected {' or '.join(letters)}")
        return default

    def options(self) -> tuple[str, ...]:
        found = tuple(item.strip(_WHITE).lower() for item in self.tags.get("fo", "0").split(":"))
        if wrong := [item for item in found if item not in ("0", "1", "d", "s")]:
            self.note(self.at["fo"], "fo", f"fo= holds {_short(wrong[0])}, expected 0, 1, d or s, with colons between")
            return ("0",)
        return found

    def uris(self, name: str) -> tuple[ReportUri, ...]:
        found = []
        at = self.at.get(name, 0)
        for item in self.tags[name].split(",") if name in self.tags else ():
            uri = item.strip(_WHITE)
            try:
                found.append(_uri(uri))
            except ValueError as error:
                self.note(at + len(item) - len(item.lstrip(_WHITE)), name, f"{name}= holds {_short(uri)}: {error}")
            at += len(item) + 1
        return tuple(found)


_KNOWN = {*POLICY_TAGS, *REMOVED, "adkim", "aspf", "fo", "psd", "rua", "ruf", "t"}


def _uri(text: str) -> ReportUri:
    """Return the URI (RFC 3986). Raises: ValueError."""
    size = _SIZE.search(text)
    bare = text[: size.start()] if size else text
    match = _URI.fullmatch(bare)
    if not match:
        scheme = "; mailto: is missing" if "@" in text and ":" not in text else ""
        raise ValueError(f"no URI (RFC 3986){scheme}")
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme == "mailto":
        local, _at, host = rest.partition("?")[0].rpartition("@")
        name = domain_name(host)
        if not local or not name:
            raise ValueError("no address of mail")
        return ReportUri(bare, scheme, name, size.group() if size else "")
    authority = _AUTHORITY.match(rest)
    return ReportUri(bare, scheme, authority.group(1).lower() if authority else "", size.group() if size else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
