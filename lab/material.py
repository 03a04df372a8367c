# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, passwords and certificates of the lab: made once into lab/run/, never committed."""
from __future__ import annotations

import base64
import secrets
from pathlib import Path

from plan import NODES, SERVER_CERTIFICATES, Node
from shell import RUN, run

SSH = RUN / "ssh"
CA = RUN / "ca"
TLS = RUN / "tls"
LOGINS = ("app", "shop")   # of the inventory
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only root reads, at no moment readable by others."""
    path.touch(mode=0o600)
    path.write_text(text)


def ensure_secret(name: str, value: str) -> None:
    """Make a one-line secret in lab/run/ unless it is there."""
    path = RUN / name
    if not path.exists():
        write_secret(path, value + "\n")


def ensure_ssh_key(path: Path, comment: str) -> None:
    """Make an SSH key pair unless it is there."""
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def ensure_certificate(name: str, names: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    """Make NAME.key and NAME.crt (with the lab's CA) in lab/run/tls unless they are there."""
    key, certificate = TLS / f"{name}.key", TLS / f"{name}.crt"
    if certificate.exists():
        return
    wanted = ",".join([f"DNS:{each}" for each in names] + [f"IP:{each}" for each in addresses])
    request = run(["openssl", "req", "-new", *NEW_KEY, "-keyout", str(key), "-subj", f"/CN={name}"])
    extensions = TLS / f"{name}.ext"
    extensions.write_text(f"subjectAltName={wanted}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    signed = run(["openssl", "x509", "-req", "-CA", str(CA / "ca.crt"), "-CAkey", str(CA / "ca.key"), "-days", "3650",
                  "-set_serial", str(secrets.randbits(100)), "-extfile", str(extensions)], stdin=request)
    extensions.unlink()
    certificate.write_text(signed)


def ensure_ca() -> None:
    """Make the lab's certificate authority unless it is there."""
    if (CA / "ca.crt").exists():
        return
    run(["openssl", "req", "-x509", *NEW_KEY, "-days", "3650", "-subj", "/CN=mailfleet lab CA",
         "-keyout", str(CA / "ca.key"), "-out", str(CA / "ca.crt"), "-addext", "keyUsage=critical,keyCertSign,cRLSign"])


def ensure_all() -> None:
    """Have everything that the nodes' files and the inventory refer to."""
    for folder in (RUN, SSH, CA, TLS):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure_secret("tsig.secret", base64.b64encode(secrets.token_bytes(32)).decode())
    ensure_secret("mailbox.secret", secrets.token_urlsafe(18))
    ensure_secret("postgresql.secret", secrets.token_urlsafe(18))
    for login in LOGINS:
        ensure_secret(f"{login}.secret", secrets.token_urlsafe(18))
        if not (RUN / f"{login}.hash").exists():
            hashed = run(["openssl", "passwd", "-6", "-stdin"], stdin=(RUN / f"{login}.secret").read_text())
            ensure_secret(f"{login}.hash", "{SHA512-CRYPT}" + hashed.strip())
    ensure_ca()
    for server, names in SERVER_CERTIFICATES.items():
        ensure_certificate(server, names, next(node.addresses for node in NODES if node.hostname == server))
    ensure_ssh_key(SSH / "id_ed25519", "mailfleet lab")
    known = []
    for node in NODES:
        ensure_ssh_key(SSH / f"host_{node.name}", node.hostname)
        public = (SSH / f"host_{node.name}.pub").read_text().rsplit(" ", 1)[0]
        known.append(f"{','.join([node.hostname, *node.addresses])} {public}\n")
        if node.certificate:
            ensure_certificate(node.hostname, node.certificate, node.addresses)
    (SSH / "known_hosts").write_text("".join(known))


def values(node: Node) -> dict[str, str]:
    """What a node's templates may name; a file that names a `secret_` is readable by root alone."""
    known = {
        "hostname": node.hostname,
        "second_address": node.addresses[1],
        "ca": (CA / "ca.crt").read_text(),
        "authorized_key": (SSH / "id_ed25519.pub").read_text(),
        "secret_host_key": (SSH / f"host_{node.name}").read_text(),
        "secret_tsig": (RUN / "tsig.secret").read_text().strip(),
        "secret_mailbox": (RUN / "mailbox.secret").read_text().strip(),
        "secret_postgresql": (RUN / "postgresql.secret").read_text().strip(),
    }
    if node.certificate:
        known["certificate"] = (TLS / f"{node.hostname}.crt").read_text()
        known["secret_certificate_key"] = (TLS / f"{node.hostname}.key").read_text()
    return known
