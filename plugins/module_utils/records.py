# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS records as data: what is wanted, why, how two values compare, and how they are written down.

A `Record` is canonical from the moment it is made, so that records compare by their key and the object that is
published is the very object that is verified later.
"""
from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.a_labels import to_a_labels

DEFAULT_TTL = 3600
MAX_TTL = 2**31 - 1  # RFC 2181 section 8
MAX_STRING = 255  # octets of one character-string, RFC 1035 section 3.3

_NAME_TYPES = frozenset({"CNAME", "NS", "PTR"})
_LABEL = re.compile(r"[!-~]{1,63}")
_UNUSUAL_IN_NAME = frozenset('"();@$\\')
_SPF = re.compile(rb"v=spf1( |$)", re.IGNORECASE)
_DMARC = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(;|$)", re.IGNORECASE)
_DKIM = re.compile(rb"[ \t]*v[ \t]*=[ \t]*DKIM1[ \t]*(;|$)", re.IGNORECASE)
_STRINGS = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^"\\\s]|\\.)+)', re.DOTALL)
_OCTETS = re.compile(r"\\(\d{3})|\\(.)|([^\\])", re.DOTALL)
_DKIM_KEY = re.compile(rb"(^|;)[ \t\r\n]*p[ \t\r\n]*=")


def absolute_name(text: str) -> str:
    """The domain name in lower case with its trailing dot, labels of other letters than ASCII's as A-labels (RFC 5890).

    Raises ValueError where it is none (RFC 1035 2.3.4).
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a domain name: a string is expected")
    name = text.strip().lower().removesuffix(".")
    if name == "" and text.strip() == ".":
        return "."
    try:
        name = to_a_labels(name)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a domain name: {error}") from None
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) and not _UNUSUAL_IN_NAME & set(label) for label in labels):
        raise ValueError(f"{text!r} is not a domain name: labels of 1 to 63 characters are expected")
    if len(name) > 253:
        raise ValueError(f"{text!r} is not a domain name: it has {len(name)} characters, at most 253 are allowed")
    return name + "."


def plain_address(text: str) -> str:
    """An IP address in its canonical form, as DNS and packets have it.

    Raises ValueError where it is none, has a zone (RFC 4007 11), or is an IPv4 address in IPv6 (RFC 4291 2.5.5.2).
    """
    address = ipaddress.ip_address(text.strip())
    if address.version == 6 and (address.scope_id or address.ipv4_mapped):
        raise ValueError(f"{text!r}: an address without a zone, and an IPv4 one in dotted form, is expected")
    return str(address)


def wire_length(name: str) -> int:
    """Octets that a domain name takes in a message when it is written out (RFC 1035 3.1)."""
    return 1 if name == "." else len(absolute_name(name)) + 1


def to_bytes(value: str) -> bytes:
    """The octets of a TXT value; what was not UTF-8 when it was read comes out as it went in."""
    return value.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    """A TXT value as text; `to_bytes` makes the same octets of it again."""
    return data.decode("utf-8", "surrogateescape")


def canonical(rtype: str, value: str) -> str:
    """The one form in which values of a type compare equal exactly where they mean the same.

    Names lose their case and gain their dot, addresses take their shortest form, TXT stays as it is to the octet.
    Raises ValueError where the value cannot be one of that type.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a value of type {rtype}: a string is expected")
    if rtype == "TXT":
        return value
    if rtype == "A":
        return str(ipaddress.IPv4Address(value.strip()))
    if rtype == "AAAA":
        return str(ipaddress.IPv6Address(value.strip()))
    if rtype in _NAME_TYPES:
        return absolute_name(value)
    if rtype == "MX":
        preference, _space, host = value.strip().partition(" ")
        if not preference.isdecimal() or int(preference) > 65535:
            raise ValueError(f"{value!r} is not an MX value: '<preference 0 to 65535> <host>' is expected")
        return f"{int(preference)} {absolute_name(host)}"
    return " ".join(value.split())


def kind(value: str | bytes, owner: str = "") -> str:
    """What a TXT value is: `spf` (RFC 7208 4.5), `dmarc` (RFC 9989), `dkim` (RFC 6376 3.6.1) or `other`.

    With an owner under `_domainkey` a value with a `p=` tag is a DKIM key, too: there the version may be left out.
    """
    data = to_bytes(value) if isinstance(value, str) else value
    if _SPF.match(data):
        return "spf"
    if _DMARC.match(data):
        return "dmarc"
    if _DKIM.match(data) or ("._domainkey." in owner.lower() and _DKIM_KEY.search(data)):
        return "dkim"
    return "other"


@dataclass(frozen=True, order=True)
class Record:
    """An owner, a type and our value in it, and the reason why it is wanted.

    `owner` is absolute, in lower case, with a trailing dot. `value` of TXT is the whole string, joined and unquoted;
    of other types the presentation form. `ttl` is in seconds. All are brought into canonical form here; raises
    ValueError naming what was found.
    """

    owner: str
    type: str
    value: str
    ttl: int = DEFAULT_TTL
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type.isalnum():
            raise ValueError(f"{self.type!r} is not a record type")
        if isinstance(self.ttl, bool) or not isinstance(self.ttl, int) or not 0 <= self.ttl <= MAX_TTL:
            raise ValueError(f"{self.owner}: {self.ttl!r} is not a TTL: 0 to {MAX_TTL} seconds are expected")
        object.__setattr__(self, "owner", absolute_name(self.owner))
        object.__setattr__(self, "type", self.type.upper())
        object.__setattr__(self, "value", canonical(self.type, self.value))

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two records the same: owner, type and value."""
        return self.owner, self.type, self.value

    @property
    def kind(self) -> str:
        """`spf`, `dmarc`, `dkim` or `other` for TXT, the type in lower case for all others."""
        return kind(self.value, self.owner) if self.type == "TXT" else self.type.lower()

    @property
    def rdata(self) -> str:
        """The value as a zone file has it."""
        return quoted(to_bytes(self.value)) if self.type == "TXT" else self.value

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Record:
        """The record that `to_dict` made; raises ValueError for a key that is missing or unknown."""
        if not isinstance(data, Mapping):
            raise ValueError(f"{data!r} is not a record: owner, type and value are expected")
        if unknown := sorted(set(data) - {"owner", "type", "value", "ttl", "reason"}):
            raise ValueError(f"a record has no {', '.join(unknown)}")
        if missing := [name for name in ("owner", "type", "value") if name not in data]:
            raise ValueError(f"a record lacks its {', '.join(missing)}: {dict(data)}")
        return cls(**data)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def txt_strings(data: bytes) -> tuple[bytes, ...]:
    """A TXT value cut into the character-strings of at most 255 octets that carry it."""
    return tuple(data[at : at + MAX_STRING] for at in range(0, len(data), MAX_STRING)) or (b"",)


def quoted(data: bytes | Sequence[bytes]) -> str:
    """TXT as a zone file has it: quoted, cut and escaped (RFC 1035 5.1); strings already cut stay so."""
    strings = txt_strings(data) if isinstance(data, bytes) else data
    return " ".join(f'"{"".join(map(_escaped, string))}"' for string in strings)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def unquoted(text: str) -> bytes:
    """The octets of a TXT value that a zone file has as `text`, its strings joined; the inverse of `quoted`."""
    joined = b""
    for string, word in _STRINGS.findall(text):
        for decimal, escaped, plain in _OCTETS.findall(string or word):
            joined += bytes([int(decimal)]) if decimal else to_bytes(escaped or plain)
    return joined


def zone_of(owner: str, zones: Iterable[str]) -> str | None:
    """The zone that an owner belongs to: the longest of the given names that is the owner or a suffix of it."""
    name = absolute_name(owner)
    matching = [zone for zone in map(absolute_name, zones) if zone == "." or name == zone or name.endswith("." + zone)]
    return max(matching, key=len, default=None)


def relative_name(owner: str, zone: str) -> str:
    """The owner as it is written under `$ORIGIN zone`."""
    return "@" if owner == zone else owner if zone == "." else owner.removesuffix("." + zone)


def order(record: Record) -> tuple:
    """Sorts records as people read a zone: the parent before its children, then by type and value."""
    return tuple(reversed(record.owner.rstrip(".").split("."))), record.type, record.value


def zone_text(records: Iterable[Record], zones: Iterable[str] = (), *, relative: bool = False) -> str:
    """The records as zone text, by zone, each under the reason why it is wanted.

    Arguments: `zones`, names that the records are grouped by (records in none of them come last); `relative` writes
    `$ORIGIN` and owners relative to it, otherwise owners are absolute and the zone is a comment.
    """
    groups: dict[str | None, list[Record]] = {}
    zones = tuple(zones)
    for record in sorted(records, key=order):
        groups.setdefault(zone_of(record.owner, zones), []).append(record)
    lines = []
    for zone in sorted(groups, key=lambda name: (name is None, name or "")):
        lines += [""] if lines else []
        if zone is not None:
            lines.append(f"$ORIGIN {zone}" if relative else f"; zone {zone}")
        for record in groups[zone]:
            lines += [f"; {line}" for line in record.reason.splitlines()]
            owner = relative_name(record.owner, zone) if relative and zone else record.owner
            lines.append(f"{owner} {record.ttl} IN {record.type} {record.rdata}")
    return "\n".join(lines) + "\n" if lines else ""


def to_json(records: Iterable[Record]) -> str:
    """The records as a JSON list in zone order, one final newline."""
    return json.dumps([record.to_dict() for record in sorted(records, key=order)], indent=2) + "\n"
