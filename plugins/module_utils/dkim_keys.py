# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys for DKIM: made, read and measured by the program C(openssl), through pipes only."""
from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import der, programs
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

KEY_TYPES = ("rsa", "ed25519")
RSA_BITS = (1024, 2048, 3072, 4096)  # RFC 8301, 3.2: at least 1024 to sign, verifiers must know up to 4096
VAULT_HEADER = b"$ANSIBLE_VAULT;"

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class KeyFault(ValueError):
    """A key cannot be made or read, or its name is not allowed."""


@dataclass(frozen=True)
class Public:
    """The public half of a key as DNS has it.

    Attributes: C(type) "rsa" or "ed25519"; C(bits) its size; C(public) base64 of the SubjectPublicKeyInfo (RSA) or of
    the 32 bytes of the key (Ed25519, RFC 8463, 4.2).
    """

    type: str
    bits: int
    public: str


def check_name(kind: str, name: str) -> str:
    """Return a selector or domain that may become a file name and a name in DNS (RFC 6376, 3.1: sub-domain syntax).

    Arguments: C(kind) the word for the message, "selector" or "domain"; C(name) in lower case, without a final dot.
    Raises: KeyFault naming the label that is wrong.
    """
    for label in name.split("."):
        if not _LABEL.fullmatch(label):
            raise KeyFault(f"{kind} {name!r}: found the label {label!r}, expected 1 to 63 lower-case letters, digits "
                           "and inner hyphens")
    if len(name) > 200:
        raise KeyFault(f"{kind} {name!r}: found {len(name)} characters, expected at most 200")
    if kind == "domain" and "." not in name:
        raise KeyFault(f"domain {name!r}: found one label, expected a whole domain name such as example.com")
    return name


def make_private(run: Programs, key_type: str, bits: int = 2048) -> bytes:
    """Return a new private key as PKCS#8 in PEM, which OpenDKIM reads for both types.

    Arguments: C(run) runs openssl; C(key_type) one of KEY_TYPES; C(bits) the size of an RSA key, one of RSA_BITS.
    Raises: KeyFault for another type or size, or where openssl fails.
    """
    if key_type == "ed25519":
        return _openssl(run, ["genpkey", "-algorithm", "ed25519"])
    if key_type != "rsa":
        raise KeyFault(f"key type {key_type!r}: expected one of {', '.join(KEY_TYPES)}")
    if bits not in RSA_BITS:
        raise KeyFault(f"an RSA key of {bits} bits: expected one of {', '.join(map(str, RSA_BITS))}")
    return _openssl(run, ["genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"])


def read_private(run: Programs, pem: bytes) -> Public:
    """Return the public half of a private key in PEM, with its type and size.

    Raises: KeyFault where it is no private key, is protected by a passphrase, or is of a type that DKIM does not know.
    """
    if b"ENCRYPTED" in pem:
        raise KeyFault("it is protected by a passphrase; expected a private key without one")
    if b"PRIVATE KEY-----" not in pem:
        raise KeyFault("it holds no private key in PEM")
    encoded = _openssl(run, ["pkey", "-pubout", "-outform", "DER"], pem)
    try:
        algorithm, key = der.spki(encoded)
        if algorithm == der.RSA_ENCRYPTION:
            return Public("rsa", der.rsa_pkcs1(key).modulus.bit_length(), base64.b64encode(encoded).decode())
    except der.DerError as error:
        raise KeyFault(f"its public half cannot be read: {error}") from error
    if algorithm == der.ED25519:
        return Public("ed25519", 256, base64.b64encode(key).decode())
    raise KeyFault(f"it is neither an RSA nor an Ed25519 key (object identifier {algorithm.hex()})")


def require(found: Public, key_type: str, bits: int) -> None:
    """Raise KeyFault where a key is not of the type wanted, or an RSA key not of the size wanted (in bits)."""
    if found.type != key_type or (key_type == "rsa" and found.bits != bits):
        wanted = f"rsa of {bits} bits" if key_type == "rsa" else key_type
        raise KeyFault(f"it is a key of type {found.type} with {found.bits} bits, expected {wanted}")


def _openssl(run: Programs, arguments: Sequence[str], stdin: bytes | None = None) -> bytes:
    """Return what openssl writes; what it says of a failure holds no part of the key."""
    done = run(["openssl", *arguments], stdin)
    if done.status == programs.NOT_FOUND:
        raise KeyFault("the program openssl is not installed")
    if done.status == programs.TIMED_OUT:
        raise KeyFault(f"openssl {arguments[0]} did not end in time")
    if done.status:
        words = done.err.strip().splitlines()
        raise KeyFault(f"openssl {arguments[0]} refused it: {words[-1] if words else 'no reason given'}")
    return done.stdout
