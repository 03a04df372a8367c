# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DKIM key record in DNS (RFC 6376, 3.6.1; RFC 8301; RFC 8463): written, read, compared."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import der
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name

MINIMUM_RSA_BITS = 1024  # RFC 8301, 3.2: verifiers must not accept less
WANTED_RSA_BITS = 2048  # RFC 8301, 3.2: signers should use at least this
LARGEST_RSA_BITS = 4096  # RFC 8301, 3.2: verifiers must know up to this, and may know more
RECORD_RULE = "RFC 6376, 3.6.1"
SYNTAX_RULE = "RFC 6376, 3.2"
KNOWN_TAGS = ("v", "g", "h", "k", "n", "p", "s", "t")

_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAG_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e \t\r\n]*")
_WHITE = re.compile(r"[ \t\r\n]+")
_HYPHENATED = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_SELECTOR_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


class DkimRecordError(ValueError):
    """The text is not a DKIM key record, or the key in it is none.

    Attributes: C(position) is the offset in the text, from 0, of what is wrong; C(rule) the section that it breaks;
    C(secret) says that the text holds a private key and must not be shown.
    """

    def __init__(self, message: str, position: int = 0, rule: str = RECORD_RULE, secret: bool = False) -> None:
        super().__init__(message)
        self.position = position
        self.rule = rule
        self.secret = secret


@dataclass(frozen=True)
class KeyRecord:
    """A key record as its tags say, defaults filled in.

    Attributes: C(key_type) "rsa", "ed25519" or another that this module does not know; C(public) the key's bytes as
    published, empty where it is revoked; C(hashes) the h= list, empty where every hash is allowed; C(services) the
    s= list; C(flags) the t= list; C(notes) the n= text; C(bits) the key's size, 0 where the key type is unknown or
    the key revoked; C(identity) equal for two records of the same key, whatever form it is written in;
    C(unknown) the names of tags that RFC 6376 does not define; C(form) how an RSA key is written, "spki" or "pkcs1";
    C(tags) all tags in their order, white space taken out of p=.
    """

    key_type: str
    public: bytes
    hashes: tuple[str, ...] = ()
    services: tuple[str, ...] = ("*",)
    flags: tuple[str, ...] = ()
    notes: str = ""
    bits: int = 0
    identity: tuple[object, ...] = ()
    unknown: tuple[str, ...] = ()
    form: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def revoked(self) -> bool:
        """Return whether p= is empty: the owner withdrew the key."""
        return not self.public

    @property
    def testing(self) -> bool:
        """Return whether t=y says that verifiers must treat the mail as unsigned when it fails."""
        return "y" in self.flags

    @property
    def strict(self) -> bool:
        """Return whether t=s forbids an i= in a subdomain of d=."""
        return "s" in self.flags

    @property
    def for_email(self) -> bool:
        """Return whether s= allows the key for mail."""
        return bool({"*", "email"} & set(self.services))

    @property
    def sha256(self) -> bool:
        """Return whether h= allows SHA-256, the only hash in use since RFC 8301."""
        return not self.hashes or "sha256" in self.hashes

    @property
    def granularity(self) -> str | None:
        """Return g=, which RFC 4871 had and RFC 6376 has no more; None where the tag is not there."""
        return dict(self.tags).get("g")

    def without(self, *names: str, **changed: str) -> str:
        """Return the value of the record without some tags, others changed, v= first."""
        kept = {name: changed.get(name, value) for name, value in self.tags if name not in names}
        return "; ".join(f"{name}={value}" for name, value in ({"v": "DKIM1"} | kept).items())

    def __str__(self) -> str:
        """Return the key in words; its fingerprint is that of C(openssl pkey -pubin -outform DER | sha256sum)."""
        if self.revoked:
            return "a revoked key"
        size = f" of {self.bits} bits" if self.bits else ""
        return f"{self.key_type[:40]} key{size}, SHA-256 {hashlib.sha256(self.public).hexdigest()[:16]}…"


def owner(selector: str, domain: str) -> str:
    """Return the absolute name, in lower case, of the record of a selector and domain (RFC 6376, 3.6.2.1).

    Raises: ValueError where the selector is not labels of letters, digits and inner hyphens, or the domain no name.
    """
    for label in selector.split("."):
        if not _SELECTOR_LABEL.fullmatch(label) or len(label) > 63:
            raise DkimRecordError(
                f"selector {selector!r}: found {label!r}; expected letters, digits and inner hyphens, at most 63")
    return absolute_name(f"{selector}._domainkey.{absolute_name(domain)}")


def format_record(public: str, key_type: str = "rsa") -> str:
    """Return the value of the record that publishes a key.

    Arguments: C(public) the public half in base64, RSA as SubjectPublicKeyInfo, Ed25519 as its 32 bytes.
    Raises: DkimRecordError where it is no such key.
    """
    value = f"v=DKIM1; k={key_type}; p={_WHITE.sub('', public)}"
    if parse_record(value).revoked:
        raise DkimRecordError("the public half is empty; an empty p= would revoke the key", len(value))
    return value


def record_of(public: str) -> str:
    """Return the value of the record that publishes a public half in base64, its type told by its length.

    Raises: DkimRecordError where it is no such key.
    """
    # 32 bytes are 44 characters of base64; no RSA key is as short.
    return format_record(public, "ed25519" if len(_WHITE.sub("", public)) == 44 else "rsa")


def parse_record(text: str) -> KeyRecord:
    """Return what the joined strings of one TXT record say (RFC 6376, 3.6.1).

    Raises: DkimRecordError with the position where the text breaks RFC 6376, or the key cannot be read.
    """
    tags = _tags(text)
    version = tags.get("v")
    if version is not None and (next(iter(tags)) != "v" or version[0] != "DKIM1"):
        raise DkimRecordError(f"v= is {_short(version[0])}; expected DKIM1 as the first tag, or none", version[1])
    if "p" not in tags:
        raise DkimRecordError("there is no p= tag", len(text))
    key_type, at = tags.get("k", ("rsa", 0))
    if not _HYPHENATED.fullmatch(key_type):
        raise DkimRecordError(f"k= is {_short(key_type)}; expected the name of a key type, such as rsa", at)
    encoded, at = tags["p"]
    try:
        public = base64.b64decode(_WHITE.sub("", encoded), validate=True)
    except binascii.Error as error:
        raise DkimRecordError(f"p= is not base64: {_base64_fault(encoded)}", at) from error
    if der.is_private(public):
        raise DkimRecordError("p= holds a private key", at, secret=True)
    try:
        bits, identity, form = _measure(key_type, public)
    except der.DerError as error:
        rule = "RFC 8463, 4.2" if key_type == "ed25519" else RECORD_RULE
        raise DkimRecordError(f"p= holds no {key_type[:40]} key: {error}", at, rule) from error
    return KeyRecord(
        key_type=key_type,
        public=public,
        hashes=_names(tags, "h"),
        services=_names(tags, "s") or ("*",),
        flags=_names(tags, "t"),
        notes=tags.get("n", ("", 0))[0],
        bits=bits,
        identity=identity,
        unknown=tuple(name for name in tags if name not in KNOWN_TAGS),
        form=form,
        tags=tuple((name, _WHITE.sub("", value) if name == "p" else value) for name, (value, _at) in tags.items()),
    )


def _tags(text: str) -> dict[str, tuple[str, int]]:
    """Return tag name to (value, offset of the value) in their order (RFC 6376, 3.2)."""
    tags: dict[str, tuple[str, int]] = {}
    at = 0
    pieces = text.split(";")
    for number, piece in enumerate(pieces):
        name, equals, value = piece.partition("=")
        start = at + len(name) + 1
        name = name.strip(" \t\r\n")
        if not equals:
            # The last semicolon may end the list; an empty piece elsewhere is no tag.
            if name or number != len(pieces) - 1 or not tags:
                raise DkimRecordError(f"{_short(piece.strip())} is no tag=value", at, SYNTAX_RULE)
        elif not _TAG_NAME.fullmatch(name):
            raise DkimRecordError(f"{_short(name)} is no tag name", at, SYNTAX_RULE)
        elif name in tags:
            raise DkimRecordError(f"the tag {name[:40]}= stands twice", at, SYNTAX_RULE)
        elif not (match := _TAG_VALUE.match(value)) or match.end() < len(value):
            wrong = match.end() if match else 0
            raise DkimRecordError(f"the value of {name[:40]}= holds {value[wrong]!r}", start + wrong, SYNTAX_RULE)
        else:
            stripped = value.strip(" \t\r\n")
            tags[name] = (stripped, start + (value.find(stripped) if stripped else 0))
        at += len(piece) + 1
    return tags


def _names(tags: dict[str, tuple[str, int]], name: str) -> tuple[str, ...]:
    """Return a colon-separated list; unrecognised names stay, since verifiers ignore them."""
    value, at = tags.get(name, ("", 0))
    if not value:
        return ()
    names = tuple(item.strip(" \t\r\n") for item in value.split(":"))
    for item in names:
        if item != "*" and not _HYPHENATED.fullmatch(item):
            raise DkimRecordError(f"{name}= holds {_short(item)}; expected names separated by colons", at)
    return names


def _base64_fault(encoded: str) -> str:
    """Return what is wrong with p=: a character that is not base64, or too few of them."""
    found = re.search(r"[^A-Za-z0-9+/= \t\r\n]", encoded)
    if found:
        return f"found {found.group()!r} at its character {found.start() + 1}"
    return f"its {len(_WHITE.sub('', encoded))} characters are no multiple of 4, or its = stand in the wrong place"


def _short(text: str) -> str:
    """Return text as a message shows it: whoever wrote the record chose its length."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _measure(key_type: str, public: bytes) -> tuple[int, tuple[object, ...], str]:
    """Return the key's size in bits, what is equal for equal keys, and the form of an RSA key."""
    if not public:
        return 0, (key_type,), ""
    if key_type == "rsa":
        numbers, form = der.rsa(public)
        return numbers.modulus.bit_length(), (key_type, numbers), form
    if key_type == "ed25519":
        if len(public) != 32:
            raise der.DerError(f"it has {len(public)} bytes; RFC 8463 wants the 32 of the key itself")
        return 256, (key_type, public), ""
    return 0, (key_type, public), ""
