# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates with dates of a test's choice, made by the cryptography package."""

from __future__ import annotations

import dataclasses
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclasses.dataclass(frozen=True)
class Pair:
    """A private key and its certificate."""

    private: ec.EllipticCurvePrivateKey
    public: x509.Certificate

    @property
    def key(self) -> str:
        """The key in PEM (PKCS#8)."""
        return self._pem(serialization.NoEncryption())

    def locked(self, passphrase: str) -> str:
        """The key in PEM with a passphrase."""
        return self._pem(serialization.BestAvailableEncryption(passphrase.encode()))

    @property
    def certificate(self) -> str:
        """The certificate in PEM."""
        return self.public.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.public.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """Its SHA-256 fingerprint as openssl(1) writes it."""
        return self.public.fingerprint(hashes.SHA256()).hex(":").upper()

    def _pem(self, encryption: serialization.KeySerializationEncryption) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def pair(name: str = "mta1.example.com", begins: float = -1, ends: float = 90, issuer: Pair | None = None) -> Pair:
    """Make a key, and a certificate for it that is valid between two moments, in days from now."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=issuer.public.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + datetime.timedelta(days=begins),
        not_valid_after=now + datetime.timedelta(days=ends),
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Pair(key, builder.sign(issuer.private if issuer else key, hashes.SHA256()))
