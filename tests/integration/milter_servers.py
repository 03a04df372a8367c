# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away servers with Postfix and OpenDKIM, and what tests ask of their milter."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

from servers import Controller, Server, run

from ansible_collections.mailfleet.sending.plugins.module_utils import milter_client, opendkim_conf
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_dkim import dkim_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import SENDER, SENDER_MACRO

MODULE = "mailfleet.sending.opendkim_config"
POLICY = {
    "signing": [
        {"domain": "example.com", "selector": "m1", "subdomains": True},
        {"domain": "example.us", "selector": "m1"},
    ],
    "deferred": ["example.net"],
    "allowed_unsigned": ["example.org"],
    "logins": {"shop": ["example.com"], "probe": ["*"]},
    "networks": [
        {"network": "198.51.100.0/24", "domains": ["example.us"]},
        {"network": "198.51.100.30/32", "domains": ["example.com"]},
        {"network": "2001:db8:61::/64", "domains": ["example.com"]},
    ],
    "notice_domains": ["mta1.example.us"],
}
POSTFIX = {
    "compatibility_level": "3.6", "myhostname": "mta1.example.us", "myorigin": "mta1.example.us",
    "mydestination": "sink.test", "mynetworks": "127.0.0.0/8", "local_recipient_maps": "", "alias_maps": "",
    "luser_relay": "sink", "inet_protocols": "ipv4", "default_transport": "local", "maillog_file": "",
}
# What SMTP says to one message: its code and text, 250 where it was taken.
SEND = """
import smtplib, sys
smtp = smtplib.SMTP("127.0.0.1", 25, timeout=60)
try:
    smtp.sendmail("return@sink.test", ["to@sink.test"], sys.stdin.buffer.read())
    print("250 taken")
except smtplib.SMTPResponseException as error:
    print(error.smtp_code, error.smtp_error.decode())
except smtplib.SMTPRecipientsRefused as error:
    print(*[f"{code} {text.decode()}" for code, text in error.recipients.values()])
"""


def signing_server(name: str, release: str) -> Server:
    """Return a server whose Postfix hands all mail to the milter."""
    server = Server(f"{name}{release}", release)
    parameters = POSTFIX | dkim_layer()["parameters"]
    settings = " ".join(f"'{key}={value}'" for key, value in parameters.items())
    server.shell(f"useradd --create-home sink; postconf -e {settings}; systemctl restart postfix")
    server.write("/root/send.py", SEND)
    return server


def controller_with_keys(folder: Path, server: Server) -> Controller:
    """Return a controller with the keys of POLICY; C(publics) has their public halves by the name of the record."""
    controller = Controller(folder)
    server.let_in(controller.public_key)
    keys = [{"domain": "example.com", "selector": "m1"}, {"domain": "example.us", "selector": "m1"}]
    directory = str(controller.folder / "secrets" / "dkim")
    controller.play({"mailfleet.sending.dkim_key": {"directory": directory, "keys": keys}})
    controller.publics = {f"{key['selector']}._domainkey.{key['domain']}.": key["public"]
                          for key in controller.outcome["public_keys"]}
    return controller


def config(controller: Controller, **other) -> dict:
    return {MODULE: POLICY | {"secrets_directory": str(controller.folder / "secrets")} | other}


def pem(controller: Controller, domain: str = "example.com", selector: str = "m1") -> Path:
    return controller.folder / "secrets" / "dkim" / domain / f"{selector}.pem"


def ask(server: Server, value: str | None, login: str = "", client: str = "127.0.0.1", extra=(),
        sender: str = "return@example.com"):
    """Hand a message with a From to the milter, as Postfix would."""
    headers = [("To", "b@example.org"), *([("From", value)] if value is not None else []), *extra]
    macros = {"i": "TEST", SENDER_MACRO: SENDER, "{mail_addr}": sender} | ({"{auth_authen}": login} if login else {})
    (about,) = json.loads(run("podman", "inspect", server.name).stdout)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(f"/proc/{about['State']['Pid']}/root{opendkim_conf.SOCKET}")
        return milter_client.submit(connection, milter_client.Message(
            tuple(headers), b"body\r\n", sender, ("b@example.org",), client, macros=macros))


def signed_by(outcome: milter_client.Outcome) -> str | None:
    """Return d= of the one signature, None where nothing was added."""
    assert outcome.action == "accept" and len(outcome.headers) < 2, outcome
    return re.search(r"\bd=([^;]+);", outcome.headers[0][1]).group(1) if outcome.headers else None


def send(server: Server, message: str) -> str:
    done = subprocess.run(["podman", "exec", "-i", server.name, "python3", "/root/send.py"], input=message.encode(),
                          capture_output=True, check=True, timeout=120)
    return done.stdout.decode().strip()


def received(server: Server, subject: str) -> bytes:
    """Return the message with a subject as it was delivered, with CRLF."""
    wait = f"for i in $(seq 600); do grep -q '^Subject: {subject}' /var/mail/sink && break; sleep 0.1; done"
    script = f"{wait}; cat /var/mail/sink"
    box = subprocess.run(["podman", "exec", server.name, "sh", "-c", script], capture_output=True, check=True).stdout
    (message,) = [part for part in box.split(b"\n\nFrom ") if f"\nSubject: {subject}\n".encode() in part]
    return message.partition(b"\n")[2].rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def pid(server: Server) -> str:
    return server.shell("systemctl show --value --property MainPID opendkim").stdout.strip()
