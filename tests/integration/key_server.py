# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider elsewhere, as DNS knows it: a name server on a throw-away server, and mail signed with its key."""

from __future__ import annotations

import base64
import json

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from servers import Server

UNIT = "keys.service"
# Answers TXT by a file of names and texts (UDP alone, RFC 1035 4.1); null is a silent one. Other names do not exist.
# Its log has what it was asked.
PROGRAM = r"""
import json, socket, struct, sys
texts = json.load(open(sys.argv[1]))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    asked, whom = server.recvfrom(4096)
    at, labels = 12, []
    while asked[at]:
        labels.append(asked[at + 1:at + 1 + asked[at]].decode("latin-1").lower())
        at += 1 + asked[at]
    name = ".".join(labels)
    print(name, flush=True)
    if texts.get(name, "") is None:
        continue
    text = texts.get(name, "").encode()
    strings = b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, len(text), 255))
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 0, len(strings)) + strings if text else b""
    head = struct.pack("!HHHHH", 0x8180 | (0 if text else 3), 1, bool(text), 0, 0)
    server.sendto(asked[:2] + head + asked[12:at + 5] + answer, whom)
"""


class Provider:
    """`silent` names are never answered."""

    def __init__(self, server: Server, domains: tuple[str, ...], silent: tuple[str, ...] = ()) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self._pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                      serialization.NoEncryption())
        public = key.public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)
        record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        texts = {f"s1._domainkey.{domain}": record for domain in domains} | dict.fromkeys(silent)
        server.write("/root/keys.py", PROGRAM)
        server.write("/root/keys.json", json.dumps(texts))
        server.shell(f"systemd-run -q --unit={UNIT} python3 /root/keys.py /root/keys.json")
        # The file is mounted there, so it is written and not replaced.
        server.shell("echo nameserver 127.0.0.1 > /etc/resolv.conf")

    def sign(self, text: str, domain: str, selector: str = "s1", form: str = "relaxed", **more) -> str:
        """A message with its signature on top; lines end in LF."""
        raw = text.encode("latin-1").replace(b"\n", b"\r\n")
        signature = dkim.sign(raw, selector.encode(), domain.encode(), self._pem,
                              canonicalize=(form.encode(), form.encode()), **more)
        return (signature + raw).decode("latin-1").replace("\r\n", "\n")
