# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signed return paths: ``b+<token>@<bounce domain>``, 28 characters before the @.

A token is 26 characters of lower-case base32 (RFC 4648 section 6: a to z, 2 to 7):

===========  ==  ==============================================================================================
key id        1  which of the shared keys made it, so that keys rotate with overlap
day           3  the day of UTC it was made, counted from 2020-01-01, big-endian: enough until 2109
id           10  which recipient: the beginning of HMAC-SHA256(key, "mailfleet recipient 1 " + recipient), 50 bits
MAC          12  the beginning of HMAC-SHA256(key, "mailfleet token 1 " + domain + " " + the 14 before), 60 bits
===========  ==  ==============================================================================================

The recipient is not inside, but bound: whoever knows the key and an address can tell whether the token is that
address's. So every bounce host knows it by the shared secret alone, without a mapping that would have to be stored and
shared before the message may leave; a notice names the address, and the token says whether that is believed. The keyed
hash tells nobody without the key whom mail went to.

Base32 in one case survives hosts that fold case; 28 characters leave forwarders room for SRS within the 64 of a local
part where the bounce domain has 22 octets at most. All is checked offline. A key is a text of ASCII, whose octets are
HMAC's key.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import hashlib
import hmac
import re
import typing as t

from .recipients import fold

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
EPOCH = datetime.date(2020, 1, 1).toordinal()
LENGTH = 26
# For Postfix' tables of the types regexp and pcre: what else begins with b+ is refused at RCPT.
POSTFIX = r"/^b\+[a-z2-7]{26}@/"
SKEW = 1  # days that the clock of an application may be ahead

_TOKEN = re.compile(r"b\+([a-z2-7]{26})")
# SRS0=hash=time=domain=local and SRS1=hash=host==hash=time=domain=local; + and - may stand for the first =. Hash and
# time have no = in them. What is inside SRS1 begins with the separator of the SRS0 that it was.
_SRS0 = re.compile(r"srs0[=+-][^=@]*=[^=@]*=([^=@]+)=(.+)")
_SRS1 = re.compile(r"srs1[=+-][^=@]*=[^=@]+=([=+-].+)")


class Result(enum.StrEnum):
    """What a check found."""

    VALID = "valid"
    MALFORMED = "malformed"
    WRONG_MAC = "wrong MAC"
    EXPIRED = "expired"
    OTHER_DOMAIN = "other domain"
    UNKNOWN_KEY = "unknown key"


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check.

    ``token`` are its 26 characters, empty where it is malformed; ``domain`` the bounce domain that it was read with;
    ``day`` the days since 1970-01-01 when it was made, -1 where that is not known. Only where ``result`` is ``VALID``
    anything of it is to be believed.
    """

    result: Result
    token: str = ""
    domain: str = ""
    day: int = -1

    def __bool__(self) -> bool:
        return self.result is Result.VALID


@dataclasses.dataclass(frozen=True)
class Keys:
    """The keys that the whole fleet shares, and what is believed.

    :ivar keys: by key id, one character of the alphabet; old ones stay until the last token of theirs has expired.
    :ivar current: the id of the one that makes tokens.
    :ivar domains: the bounce domains, in lower case.
    :ivar days: how long a token is believed.
    """

    keys: t.Mapping[str, str] = dataclasses.field(repr=False)
    current: str
    domains: tuple[str, ...]
    days: int = 30

    def new(self, recipient: str, domain: str, today: datetime.date) -> str:
        """Make the return path of a message to a recipient, for one of the bounce domains."""
        key = self.keys[self.current]
        domain = fold(domain)
        head = self.current + _day(today.toordinal() - EPOCH) + _id(key, recipient)
        return f"b+{head}{_mac(key, domain, head)}@{domain}"

    def check(self, address: str, today: datetime.date) -> Checked:
        """Check a return path, in the form in which it comes back: folded, or within SRS0 or SRS1."""
        token, domain = _parts(address)
        if not token:
            return Checked(Result.MALFORMED)
        key = self.keys.get(token[0])
        if key is None:
            return Checked(Result.UNKNOWN_KEY, token, domain)
        head, mac = token[:14], token[14:]
        if domain not in self.domains or not hmac.compare_digest(mac, _mac(key, domain, head)):
            other = domain not in self.domains or any(
                hmac.compare_digest(mac, _mac(key, each, head)) for each in self.domains)
            return Checked(Result.OTHER_DOMAIN if other else Result.WRONG_MAC, token, domain)
        made = EPOCH + sum(ALPHABET.index(each) << 5 * place for place, each in zip((2, 1, 0), token[1:4]))
        age = today.toordinal() - made
        result = Result.VALID if -SKEW <= age <= self.days else Result.EXPIRED
        return Checked(result, token, domain, made - datetime.date(1970, 1, 1).toordinal())

    def recipient(self, checked: Checked, addresses: t.Iterable[str]) -> str:
        """Which of some addresses is the recipient of a valid token, as its key; empty where none is."""
        return next((fold(each) for each in addresses if self.is_of(checked.token, each)), "") if checked else ""

    def is_of(self, token: str, address: str) -> bool:
        """Whether a token, believed by now, is bound to an address."""
        key = self.keys.get(token[0])
        return key is not None and hmac.compare_digest(_id(key, address), token[4:14])


def _parts(address: str) -> tuple[str, str]:
    """The token and the domain of a return path; two empty texts where it is none."""
    local, _at, domain = fold(address).rpartition("@")
    if len(local) > 1024:
        return "", ""
    if outer := _SRS1.fullmatch(local):
        local = f"srs0{outer[1]}"
    if inner := _SRS0.fullmatch(local):
        domain, local = inner.groups()
    found = _TOKEN.fullmatch(local)
    return (found[1], domain) if found else ("", "")


def _base32(key: str, text: str, length: int) -> str:
    digest = hmac.digest(key.encode("ascii"), text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.b32encode(digest[:10])[:length].decode("ascii").lower()


def _id(key: str, recipient: str) -> str:
    return _base32(key, f"mailfleet recipient 1 {fold(recipient)}", 10)


def _mac(key: str, domain: str, head: str) -> str:
    return _base32(key, f"mailfleet token 1 {domain} {head}", 12)


def _day(number: int) -> str:
    if not 0 <= number < 1 << 15:
        raise ValueError(f"day {number} since 2020-01-01; a token has room for 0 to 32767")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in (2, 1, 0))
