# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What DNS panels and pasting hands do to DKIM key records, and the record that was meant.

Each step knows one kind of damage. They are taken in turn until the text can be read, so that only what stood in the
way is named. Every step takes time in proportion to the text, which may be 64 kB of anything.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from ansible_collections.mailfleet.sending.plugins.module_utils import der, dkim_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import DkimRecordError, KeyRecord
from ansible_collections.mailfleet.sending.plugins.module_utils.records import MAX_STRING

_ZONE_LINE = re.compile(r'[^"=;]{0,300}?(?:\bTXT\b[\s(]*+|\(\s*+(?="))', re.IGNORECASE)
_PEM_LINE = re.compile(r"(?<!-)-{2,}+\s*+(?:BEGIN|END)[A-Z ]{0,40}-{2,}+")
_INVISIBLE = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060\ufeff]")
_QUOTES = re.compile("[\"'`\u2018-\u201f\u00ab\u00bb]")
_BETWEEN_TAGS = re.compile(r"(?<=[^\s,;])[\s,]++(?=[vghknpst]\s?=)")
_WHITE = re.compile(r"\s+")
_BARE_KEY = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")
_DKIM = re.compile("dkim", re.IGNORECASE)
_MOST_PARTS = 4

Step = Callable[[str], "tuple[str, str] | None"]


@dataclass(frozen=True)
class Damage:
    """What was done to a record. Attributes: C(causes) each kind of damage in words; C(record) the record without it,
    None where C(secret) says that what came out holds a private key."""

    causes: tuple[str, ...]
    record: KeyRecord | None = None
    secret: bool = False


def undo(text: str) -> Damage | None:
    """Return the damage to a text that cannot be read as a record, None where it is of no kind that is known here."""
    causes: list[str] = []
    for step in _STEPS:
        changed = step(text)
        if changed is None:
            continue
        text, cause = changed
        causes.append(cause)
        try:
            return Damage(tuple(causes), dkim_record.parse_record(text))
        except DkimRecordError as error:
            if error.secret:
                return Damage(tuple(causes), secret=True)
    return None


def retyped(text: str) -> Damage | None:
    """Return the damage to a record of a type that nobody knows, None where its key is of no type that is known.

    Values are compared with their case (RFC 6376, 3.2), so that k=RSA is such a type.
    """
    changed = _key_type(text)
    return Damage((changed[1],), dkim_record.parse_record(changed[0])) if changed else None


def joined(values: Sequence[str]) -> KeyRecord | None:
    """Return the record of which several TXT values are the parts, None where they are not."""
    heads = [value for value in values if "=" in value and "p" in dict(_pieces(value))]
    if len(heads) != 1 or not 2 <= len(values) <= _MOST_PARTS:
        return None
    tails = [value for value in values if value is not heads[0]]
    for order in permutations(tails):
        try:
            record = dkim_record.parse_record("".join((*heads, *order)))
        except DkimRecordError:
            continue
        if all(_NOT_BASE64.sub("", tail) for tail in tails) and record.bits:
            return record
    return None


def read(text: str) -> KeyRecord | None:
    """Return the record that a text is, or was meant to be, None where it is none."""
    try:
        return dkim_record.parse_record(text)
    except DkimRecordError:
        damage = undo(text)
        return damage.record if damage else None


def is_private(text: str) -> bool:
    """Return whether a value holds a private key, or as much of one as shows that it is: it must not be repeated."""
    plain = _PEM_LINE.sub("", _QUOTES.sub("", text))
    key = dict(_pieces(plain)).get("p", plain)
    return "PRIVATE KEY" in text or der.is_private(_decoded(_NOT_BASE64.sub("", key)))


def loss(text: str, wanted: str = "") -> str:
    """Return in words how much of the key is missing or what stands in its place, nothing where neither can be told.

    Arguments: C(text) the damaged value; C(wanted) p= as it should be, where that is known.
    """
    found = _NOT_BASE64.sub("", dict(_pieces(_QUOTES.sub("", text))).get("p", ""))
    data = _decoded(found)
    if der.is_certificate(data):
        return "p= holds a certificate, not the key in it"
    wanted = wanted.rstrip("=")
    if found and found != wanted and wanted.startswith(found):
        lost = f"p= ends after {len(found)} of its {len(wanted)} characters"
    elif gone := der.missing(data):
        lost = f"p= is cut off: {len(data)} of the key's {len(data) + gone} bytes are there"
    else:
        return ""
    if MAX_STRING - 2 <= len(text) <= MAX_STRING + 1:
        lost += (f", where a string of a TXT ends ({MAX_STRING} bytes, RFC 1035, 3.3): a longer value is written as "
                 "several strings of one TXT")
    return lost


def _decoded(encoded: str) -> bytes:
    """Return the bytes of base64 that may have lost its end."""
    return base64.b64decode(encoded[:len(encoded) // 4 * 4])


def _pieces(text: str) -> list[tuple[str, str]]:
    """Return the (name, value) of all that looks like a tag, names as written."""
    parts = (piece.partition("=") for piece in text.split(";"))
    return [(name.strip(), value.strip()) for name, equals, value in parts if equals]


def _zone_line(text: str) -> tuple[str, str] | None:
    match = _ZONE_LINE.match(text)
    if not match:
        return None
    rest = text[match.end():]
    strings = rest.split('"')[1::2]
    return "".join(strings) if strings else rest, "a whole line of a zone file was pasted as the value"


def _quotes(text: str) -> tuple[str, str] | None:
    # Between two strings of one TXT there is nothing, not even a space (RFC 6376, 3.6.2.2).
    plain = _QUOTES.sub("", re.sub(r'"\s*+"', "", text))
    return (plain, "quotation marks were published as part of the value") if plain != text else None


def _backslashes(text: str) -> tuple[str, str] | None:
    if "\\" not in text:
        return None
    return text.replace("\\", ""), "backslashes were published, which belong before a semicolon in zone files only"


def _invisible(text: str) -> tuple[str, str] | None:
    found = _INVISIBLE.search(text)
    if not found:
        return None
    # The no-break space is one where the parser wants one; the others have no width.
    plain = _INVISIBLE.sub("", text.replace("\u00a0", " "))
    return plain, f"the value holds a character that cannot be seen, U+{ord(found.group()):04X}"


def _pem(text: str) -> tuple[str, str] | None:
    plain = _PEM_LINE.sub("", text)
    return (plain, "the BEGIN and END lines of the key's file stand in p=") if plain != text else None


def _semicolons(text: str) -> tuple[str, str] | None:
    plain = _BETWEEN_TAGS.sub("; ", text)
    return (plain, "semicolons between the tags are missing") if plain != text else None


def _bare_key(text: str) -> tuple[str, str] | None:
    """A key without p= before it, alone or among tags."""
    if any(name.lower() == "p" for name, _value in _pieces(text)):
        return None
    pieces = [_WHITE.sub("", piece) for piece in text.split(";")]
    keys = [piece for piece in pieces if _BARE_KEY.fullmatch(piece)]
    if len(keys) != 1:
        return None
    plain = ";".join(f"p={piece}" if piece in keys else piece for piece in pieces)
    return plain, "the key stands there without p= before it"


def _stray(text: str) -> tuple[str, str] | None:
    """What is no tag: an empty one, or a comment of the zone file behind the value."""
    pieces = text.split(";")
    kept = [piece for piece in pieces if "=" in piece]
    if not kept or len(kept) >= len(pieces) - (not pieces[-1].strip()):
        return None
    stray = [piece.strip() for piece in pieces if "=" not in piece and piece.strip()]
    cause = f"{stray[0][:40]!r} was published as part of the value" if stray else "there is a semicolon too many"
    return ";".join(kept), cause


def _names(text: str) -> tuple[str, str] | None:
    pieces = _pieces(text)
    wrong = [name for name, _value in pieces if name not in dkim_record.KNOWN_TAGS
             and name.lower() in dkim_record.KNOWN_TAGS]
    if not wrong:
        return None
    plain = "; ".join(f"{name.lower() if name in wrong else name}={value}" for name, value in pieces)
    return plain, f"names of tags are in lower case: found {wrong[0]}= (RFC 6376, 3.2)"


def _version(text: str) -> tuple[str, str] | None:
    pieces = _pieces(text)
    found = [value for name, value in pieces if name == "v"]
    if len(found) != 1 or not _DKIM.match(found[0]) or pieces[0] == ("v", "DKIM1"):
        return None
    rest = [f"{name}={value}" for name, value in pieces if name != "v"]
    return "; ".join(["v=DKIM1", *rest]), "v= is to be DKIM1, in capitals and first"


def _padding(text: str) -> tuple[str, str] | None:
    pieces = dict(_pieces(text))
    key = _WHITE.sub("", pieces.get("p", "")).rstrip("=")
    if not key or len(key) % 4 == 1 or pieces["p"].count("=") == -len(key) % 4:
        return None
    pieces["p"] = key + "=" * (-len(key) % 4)
    return "; ".join(f"{name}={value}" for name, value in pieces.items()), "p= does not end in the = that belong there"


def _key_type(text: str) -> tuple[str, str] | None:
    """A sound key under a wrong k=, or wrapped as RSA keys are and Ed25519 keys are not."""
    pieces = dict(_pieces(text))
    try:
        data = base64.b64decode(_WHITE.sub("", pieces.get("p", "")), validate=True)
    except (binascii.Error, ValueError):
        return None
    key_type = pieces.get("k", "rsa")
    if raw := _unwrapped(data):
        pieces |= {"k": "ed25519", "p": base64.b64encode(raw).decode()}
        cause = ("the Ed25519 key is wrapped in a SubjectPublicKeyInfo; p= has its 32 bytes alone "
                 "(RFC 8463, 4.2)")
    elif len(data) == 32 and key_type != "ed25519":
        pieces["k"] = "ed25519"
        cause = "p= holds an Ed25519 key, and without k=ed25519 it counts as another (RFC 8463, 4.2)"
    elif key_type != "rsa" and _is_rsa(data):
        pieces["k"] = "rsa"
        cause = f"p= holds an RSA key, yet k= is {key_type[:40] or 'empty'}"
    else:
        return None
    ordered = {name: pieces[name] for name in ("v", "k") if name in pieces} | pieces
    return "; ".join(f"{name}={value}" for name, value in ordered.items()), cause


def _unwrapped(data: bytes) -> bytes:
    """Return the key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410, 4), nothing where it is none."""
    try:
        algorithm, key = der.spki(data)
    except der.DerError:
        return b""
    return key if algorithm == der.ED25519 and len(key) == 32 else b""


def _is_rsa(data: bytes) -> bool:
    try:
        return bool(der.rsa(data))
    except der.DerError:
        return False


_STEPS: tuple[Step, ...] = (_zone_line, _invisible, _quotes, _backslashes, _pem, _semicolons, _bare_key, _stray, _names,
                            _version, _padding, _key_type)
