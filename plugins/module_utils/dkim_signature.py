# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DKIM signature, checked against the public half of the key that should have made it (RFC 6376, 6.1; RFC 8463)."""
from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import der
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import Public
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

# RFC 8017, 9.2: the DER of a DigestInfo for SHA-256, before the digest itself.
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")
_ALGORITHMS = {"rsa": "rsa-sha256", "ed25519": "ed25519-sha256"}


class SignatureFault(ValueError):
    """The signature is not one that a receiver would accept."""


def tags(value: str) -> dict[str, str]:
    """Return the tags of a DKIM-Signature field, white space taken out (RFC 6376, 3.2).

    Raises: SignatureFault where a piece is no tag=value.
    """
    found = {}
    for piece in value.strip().rstrip(";").split(";"):
        name, equals, text = piece.partition("=")
        if not equals:
            raise SignatureFault(f"DKIM-Signature: found {piece.strip()!r}, expected tag=value")
        found[name.strip()] = re.sub(r"\s+", "", text)
    return found


def verify(run: Programs, value: str, headers: Iterable[tuple[str, str]], body: bytes, public: Public
           ) -> dict[str, str]:
    """Return the tags of a signature after its hashes and the signature itself were found right.

    Arguments: C(run) runs openssl; C(value) that of the DKIM-Signature field; C(headers) the (name, value) pairs of
    the message, the topmost first; C(body) with CRLF line ends; C(public) the public half of the key.
    Knows relaxed/relaxed over the whole body only, since that is what is configured.
    Raises: SignatureFault saying which part does not hold.
    """
    found = tags(value)
    expected = {"v": "1", "a": _ALGORITHMS[public.type], "c": "relaxed/relaxed"}
    for name, text in expected.items():
        if found.get(name) != text:
            raise SignatureFault(f"DKIM-Signature: found {name}={found.get(name)}, expected {text}")
    if "l" in found:
        raise SignatureFault("DKIM-Signature: found l=, with which anybody may append to the message")
    try:
        body_hash = base64.b64decode(found["bh"], validate=True)
        signature = base64.b64decode(found["b"], validate=True)
        signed = found["h"].lower().split(":")
    except KeyError as error:
        raise SignatureFault(f"DKIM-Signature: there is no {error.args[0]}=") from error
    except binascii.Error as error:
        raise SignatureFault(f"DKIM-Signature: bh= or b= is not base64: {error}") from error
    if body_hash != hashlib.sha256(relaxed_body(body)).digest():
        raise SignatureFault("DKIM-Signature: bh= is not the hash of the body")
    _check(run, signature, _signed_text(signed, list(headers), value), public)
    return found


def relaxed_body(body: bytes) -> bytes:
    """Return the body in relaxed canonical form (RFC 6376, 3.4.4)."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def relaxed_header(name: str, value: str) -> str:
    """Return a header field in relaxed canonical form (RFC 6376, 3.4.2), without a line end."""
    unfolded = re.sub(r"\r?\n", "", value)
    return f"{name.lower().strip()}:" + re.sub(r"[ \t]+", " ", unfolded).strip(" ")


def _signed_text(signed: Sequence[str], headers: list[tuple[str, str]], value: str) -> bytes:
    """Return what the signature is over: each named field from the bottom up, then its own with an empty b=."""
    lines = []
    left = headers.copy()
    for wanted in signed:
        for at in range(len(left) - 1, -1, -1):
            if left[at][0].lower() == wanted:
                lines.append(relaxed_header(*left.pop(at)))
                break
    empty = re.sub(r"(^|;)(\s*b\s*=)[^;]*", r"\1\2", value)
    lines.append(relaxed_header("DKIM-Signature", empty))
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _check(run: Programs, signature: bytes, text: bytes, public: Public) -> None:
    """Raise SignatureFault where the signature over the text was not made by the key."""
    digest = hashlib.sha256(text).digest()
    key = base64.b64decode(public.public)
    if public.type == "rsa":
        numbers = der.rsa_pkcs1(der.spki(key)[1])
        size = (numbers.modulus.bit_length() + 7) // 8
        info = _SHA256_INFO + digest
        padded = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
        right = pow(int.from_bytes(signature, "big"), numbers.exponent, numbers.modulus).to_bytes(size, "big") == padded
    else:
        right = _ed25519(run, signature, digest, key)
    if not right:
        raise SignatureFault("DKIM-Signature: b= was not made by this key over this message")


def _ed25519(run: Programs, signature: bytes, digest: bytes, key: bytes) -> bool:
    """Return whether an Ed25519 signature holds; openssl wants files, none of which is secret."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": _ED25519_SPKI + key, "signature": signature, "digest": digest}
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        done = run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{folder}/key", "-rawin",
                    "-in", f"{folder}/digest", "-sigfile", f"{folder}/signature"])
    return done.status == 0
