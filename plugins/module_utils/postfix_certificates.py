# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates with their keys, each pair one file under a name of its content, and what must hold before it is shown.

One file, as smtpd_tls_chain_files wants it (postconf(5), Postfix 3.4): there is no moment in which a new certificate
stands beside an old key.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import os
import re
import ssl
import typing as t
from datetime import UTC, datetime, timedelta

from ansible_collections.mailfleet.sending.plugins.module_utils import der
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\n(.*?)-----END \1-----", re.DOTALL)
ENDING = ".pem"
# Who lives for a few days only, renews later: a warning that always stands warns of nothing.
SOON = timedelta(days=14)
SOON_SHARE = 4


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A key and its chain: one PEM text, the key first, then the server's own certificate; `path` is where a layer has
    it."""

    name: str
    text: str = dataclasses.field(repr=False)
    path: str = ""

    @classmethod
    def read(cls, name: str, text: str, path: str) -> Certificate:
        """Return the pair that a PEM text holds, without whatever else there is in it.

        :raises Mistakes: as :func:`joined`.
        """
        return cls(name, joined((path, text), (path, text)), path)

    @functools.cached_property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates in DER, the server's own first."""
        return chain_der(self.text)

    @property
    def file(self) -> str:
        """The name of the file. Its digest tells nobody the key, which cannot be guessed."""
        return f"{self.name}.{hashlib.sha256(self.text.encode()).hexdigest()[:16]}{ENDING}"

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the pair."""
        return (self.file,)

    @property
    def mode(self) -> int:
        """The file's mode: Postfix's daemons open keys as root (TLS_README)."""
        return 0o600

    def reference(self, directory: str) -> str:
        """Return what a parameter says to use the pair from this directory."""
        return os.path.join(directory, self.file)

    @property
    def shown(self) -> str:
        """What may be shown of it: the fingerprints and dates of what every client gets to see."""
        return "".join(f"{fingerprint(each)} until {_day(der.validity(each)[1])}\n" for each in self.chain)


def joined(key: tuple[str, str], certificate: tuple[str, str]) -> str:
    """Return a private key and its chain as one PEM text, without whatever else there is in their files.

    :arg key: where the key is from, and a PEM text that holds it.
    :arg certificate: the same of the chain, the server's own certificate first.
    :raises Mistakes: where one of the two is not there, or cannot be read.
    """
    if mistakes := [mistake for mistake in (_key_mistake(*key), _chain_mistake(*certificate)) if mistake]:
        raise Mistakes(mistakes)
    return "".join(match[0] + "\n" for match in (*_keys(key[1]), *_certificates(certificate[1])))


def _key_mistake(path: str, text: str) -> Mistake | None:
    keys = _keys(text)
    if len(keys) != 1:
        return Mistake(path, f"{len(keys)} private keys" if keys else "no private key", "one in PEM form")
    if keys[0][1].startswith("ENCRYPTED") or "Proc-Type: 4,ENCRYPTED" in keys[0][2]:
        return Mistake(path, "a private key with a passphrase, which Postfix cannot ask for", "one without",
                       "take it away by `openssl pkey`, and encrypt the file with ansible-vault instead")
    return None


def _chain_mistake(path: str, text: str) -> Mistake | None:
    expected = "the server's own in PEM form, and behind it those of the authorities between"
    try:
        certificates = chain_der(text)
        for each in certificates:
            der.validity(each)
    except (binascii.Error, der.DerError) as error:
        return Mistake(path, f"a certificate that is damaged ({error})", expected)
    return None if certificates else Mistake(path, "no certificate", expected)


def chain_der(text: str) -> tuple[bytes, ...]:
    """Return the certificates in a PEM text in DER.

    :raises binascii.Error: where one of them is no base64.
    """
    return tuple(base64.b64decode("".join(match[2].split()), validate=True) for match in _certificates(text))


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate in DER, as openssl(1) writes it."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


def date_mistakes(certificates: t.Iterable[Certificate],
                  now: datetime | None = None) -> tuple[list[Mistake], list[str]]:
    """Check that certificates are in date, and say which will not be for long.

    An authority's certificate that has ended is no mistake: clients may know another way to the same root.

    :arg certificates: the pairs.
    :arg now: the time in UTC, None for the present.
    :returns: a mistake for each server's certificate that has ended or has not begun, and warnings.
    """
    mistakes, warnings, now = [], [], now or datetime.now(UTC)
    renew = "renew it, and give the run the new one"
    for pair in certificates:
        for number, certificate in enumerate(pair.chain):
            begins, ends = der.validity(certificate)
            what = "a certificate" if not number else f"an authority's certificate (number {number + 1} of the chain)"
            if not number and ends <= now:
                mistakes.append(Mistake(pair.path, f"{what} that ended on {_day(ends)}", "one that is in date", renew))
            elif not number and begins > now:
                mistakes.append(Mistake(pair.path, f"{what} that begins on {_day(begins)}", "one that is in date",
                                        f"look at the clock of this server, which has {_day(now)}"))
            elif ends - now < min(SOON, (ends - begins) / SOON_SHARE):
                tense = "ended" if ends <= now else "ends"
                warnings.append(f"{pair.path}: {what} {tense} on {_day(ends)}; {renew}")
    return mistakes, warnings


def pair_mistakes(file: str, pair: Certificate) -> list[Mistake]:
    """Let OpenSSL load a pair as Postfix will.

    :arg file: a file that holds it, for root only.
    :arg pair: the pair.
    :returns: what is wrong with it.
    """
    try:
        # Without a function for the passphrase, OpenSSL would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            return [Mistake(pair.path, "a key that does not belong to the first certificate", "its own",
                            "give the key that this certificate was made for, and of a chain the server's own first")]
        return [Mistake(pair.path, f"what OpenSSL cannot use ({error.reason or error})", "a certificate and its key",
                        "have a new pair made")]
    return []


def _keys(text: str) -> list[re.Match[str]]:
    return [match for match in _blocks(text) if match[1].endswith("PRIVATE KEY")]


def _certificates(text: str) -> list[re.Match[str]]:
    return [match for match in _blocks(text) if match[1] == "CERTIFICATE"]


def _blocks(text: str) -> t.Iterator[re.Match[str]]:
    return BLOCK.finditer(text.replace("\r\n", "\n"))


def _day(date: datetime) -> str:
    return f"{date:%Y-%m-%d %H:%M} UTC"
