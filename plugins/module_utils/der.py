# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As much of ASN.1 DER (X.690) as public keys need: nested elements, integers, the two forms of an RSA key.

Besides: what something is that is no public key at all, how much of it is missing where it was cut off, and the dates
of a certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

INTEGER = 0x02
BIT_STRING = 0x03
NULL = 0x05
OBJECT_ID = 0x06
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30

RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")  # 1.2.840.113549.1.1.1
ED25519 = bytes.fromhex("2b6570")  # 1.3.101.112


class DerError(ValueError):
    """The bytes are not the DER that was expected."""


class RsaPublic(NamedTuple):
    """An RSA public key as its numbers."""

    modulus: int
    exponent: int


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the (tag, content) pairs that stand one after another in data.

    Raises: DerError where an element is cut off, or its length is not in the shortest form (X.690, 10.1).
    """
    found = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise DerError(f"element at byte {at} is cut off")
        tag, length = data[at], data[at + 1]
        start = at + 2
        if length >= 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[start:start + octets], "big")
            if not 1 <= octets <= 4 or start + octets > len(data) or length < 0x80 or length >> 8 * (octets - 1) == 0:
                raise DerError(f"element at byte {at} has no valid length")
            start += octets
        if start + length > len(data):
            raise DerError(f"element at byte {at} says {length} bytes, only {len(data) - start} follow")
        found.append((tag, data[start:start + length]))
        at = start + length
    return found


def _one_sequence(data: bytes) -> list[tuple[int, bytes]]:
    outer = elements(data)
    if len(outer) != 1 or outer[0][0] != SEQUENCE:
        raise DerError("not one SEQUENCE")
    return elements(outer[0][1])


def _integer(content: bytes) -> int:
    value = int.from_bytes(content, "big", signed=True)
    if not content or value <= 0:
        raise DerError("a number of the key is not positive")
    return value


def rsa_pkcs1(data: bytes) -> RsaPublic:
    """Return the key of an RSAPublicKey (RFC 8017, A.1.1).

    Raises: DerError where data is something else.
    """
    inner = _one_sequence(data)
    if [tag for tag, _content in inner] != [INTEGER, INTEGER]:
        raise DerError("not a SEQUENCE of two INTEGERs")
    return RsaPublic(_integer(inner[0][1]), _integer(inner[1][1]))


def spki(data: bytes) -> tuple[bytes, bytes]:
    """Return the algorithm's encoded object identifier and the key of a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).

    Raises: DerError where data is something else.
    """
    inner = _one_sequence(data)
    if [tag for tag, _content in inner] != [SEQUENCE, BIT_STRING]:
        raise DerError("not a SubjectPublicKeyInfo")
    algorithm = elements(inner[0][1])
    if not algorithm or algorithm[0][0] != OBJECT_ID:
        raise DerError("the algorithm has no object identifier")
    bits = inner[1][1]
    if not bits or bits[0] != 0:
        raise DerError("the key is not whole bytes")
    return algorithm[0][1], bits[1:]


def rsa(data: bytes) -> tuple[RsaPublic, str]:
    """Return the numbers of an RSA key and how it is written, "spki" or "pkcs1".

    RFC 6376, 3.6.1 names RSAPublicKey (PKCS#1), yet its own examples and all who publish write SubjectPublicKeyInfo.
    Raises: DerError where data is neither, or its numbers cannot be a key's.
    """
    try:
        algorithm, key = spki(data)
    except DerError:
        numbers, form = rsa_pkcs1(data), "pkcs1"
    else:
        if algorithm != RSA_ENCRYPTION:
            raise DerError("it is a key of another algorithm")
        numbers, form = rsa_pkcs1(key), "spki"
    if not numbers.modulus & 1 or not numbers.exponent & 1 or numbers.exponent < 3:
        raise DerError("its numbers are no key: modulus and exponent of one are odd, the exponent is at least 3")
    return numbers, form


def rsa_spki(pkcs1: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an RSAPublicKey (RFC 3279, 2.3.1)."""
    algorithm = _element(SEQUENCE, _element(OBJECT_ID, RSA_ENCRYPTION) + _element(NULL, b""))
    return _element(SEQUENCE, algorithm + _element(BIT_STRING, b"\0" + pkcs1))


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, length] if length < 0x80 else [tag, 0x80 | len(octets), *octets]) + content


def is_private(data: bytes) -> bool:
    """Return whether data begins as a private key does, PKCS#1 or PKCS#8 (RFC 8017, A.1.2; RFC 5208, 5), even cut off.

    Both begin with the number of a version, 0 or 1, where a public key has its algorithm or a large number.
    """
    start = 2 + (data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0)
    return data[:1] == bytes([SEQUENCE]) and data[start:start + 3] in (b"\x02\x01\x00", b"\x02\x01\x01")


def is_certificate(data: bytes) -> bool:
    """Return whether data is built as an X.509 certificate is (RFC 5280, 4.1)."""
    try:
        return [tag for tag, _content in _one_sequence(data)] == [SEQUENCE, SEQUENCE, BIT_STRING]
    except DerError:
        return False


def validity(data: bytes) -> tuple[datetime, datetime]:
    """Return from when until when an X.509 certificate is valid (RFC 5280, 4.1.2.5), in UTC.

    Raises: DerError where data is no certificate.
    """
    if not is_certificate(data):
        raise DerError("not a certificate")
    # The version has a tag of its own, and there is none in version 1; serial number, algorithm and issuer follow.
    inner = elements(_one_sequence(data)[0][1])
    inner = [content for tag, content in inner if tag in (INTEGER, SEQUENCE)]
    dates = [_time(tag, content) for tag, content in elements(inner[3])] if len(inner) > 3 else []
    if len(dates) != 2:
        raise DerError("a certificate without the two dates of its validity")
    return dates[0], dates[1]


def _time(tag: int, content: bytes) -> datetime:
    """Return a time; the years of two digits are those from 1950 to 2049 (RFC 5280, 4.1.2.5.1)."""
    text = content.decode("ascii", "replace")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        if tag not in (UTC_TIME, GENERALIZED_TIME):
            raise ValueError(f"tag {tag}")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise DerError("a date that is none") from error


def missing(data: bytes) -> int:
    """Return how many bytes are missing at the end of a SEQUENCE that was cut off, 0 where none are."""
    if data[:1] != bytes([SEQUENCE]) or len(data) < 4:
        return 0
    octets = data[1] & 0x7F if data[1] & 0x80 else 0
    length = int.from_bytes(data[2:2 + octets], "big") if octets else data[1]
    return max(0, 2 + octets + length - len(data)) if octets <= 2 else 0
