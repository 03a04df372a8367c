# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as the tests see it: playbooks run, servers reached by SSH, DNS asked and changed, mail sent and read."""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.policy
import imaplib
import json
import os
import re
import smtplib
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.update

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "lab"
RUN = LAB / "run"
INVENTORY = LAB / "inventory"
HOME = ROOT / ".cache/ansible/loop"  # what Ansible keeps between runs, so that the user's own is left alone
BIN = Path(sys.executable).parent
LOGINS = ("app", "shop")
SERVERS = {"mta1.example.com": "198.51.100.10", "mta2.example.com": "198.51.100.20"}
HELO = {
    "198.51.100.10": "mta1.example.com",
    "198.51.100.11": "mta1b.example.com",
    "2001:db8:61::10": "mta1.example.com",
    "198.51.100.20": "mta2.example.com",
    "198.51.100.21": "mta2b.example.com",
    "2001:db8:61::20": "mta2.example.com",
}
RECEIVERS = {
    "gmail.com": "198.51.100.40",
    "orange.fr": "198.51.100.41",
    "wanadoo.fr": "198.51.100.41",
    "freemail.test": "198.51.100.42",
}
PRIMARY, SECONDARY, RESOLVER = "198.51.100.2", "198.51.100.3", "198.51.100.4"
DATABASE = "198.51.100.31"
CONTROLLER = ("198.51.100.1", "2001:db8:61::1")
PATIENCE = 60  # seconds that a busy machine has for what takes a moment
TTL = 5  # the inventory's sending_dns_ttl, so that a record put back is the one that was there


@dataclasses.dataclass(frozen=True)
class Played:
    """What a run of a playbook left: its exit status, all that it printed, and its recap by host."""

    status: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The counts of PLAY RECAP, by host."""
        rows = re.findall(r"^(\S+)\s+: (ok=.*)$", self.output, re.MULTILINE)
        return {host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in rows}

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(counts["changed"] for counts in self.recap.values())

    def ok(self) -> Played:
        """This run, which must have succeeded."""
        assert self.status == 0, self.output[-12000:]
        return self


SITE = ROOT / "playbooks/site.yml"
_last: tuple = ()  # of what the last run was that may have changed a server, where it succeeded


def play(
    *arguments: str,
    variables: dict | None = None,
    inventory: Path = INVENTORY,
    playbook: Path = SITE,
    environment: dict[str, str] | None = None,
    program: tuple[str, ...] = (str(BIN / "ansible-playbook"),),
) -> Played:
    """Run a playbook as a user does, with variables of the inventory put in another way."""
    command = [*program, "-i", str(inventory), str(playbook), *arguments]
    if variables:
        command += ["--extra-vars", json.dumps(variables)]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(environment), capture_output=True, text=True, timeout=600, check=False
    )
    if "--check" not in arguments:
        global _last
        _last = () if done.returncode else (playbook, inventory, arguments, variables)
    return Played(done.returncode, done.stdout + done.stderr)


def stand() -> None:
    """Have the servers stand as the lab's inventory says, by a run where the last one was another.

    What a test does to a server besides, it puts back itself.
    """
    if _last != (SITE, INVENTORY, (), None):
        play().ok()


def _environment(more: dict[str, str] | None = None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "MOLECULE_", "MAILFLEET_"))
    }
    return {
        **kept,
        "ANSIBLE_HOME": str(HOME),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": "/run/mailfleet",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{BIN}:{os.environ['PATH']}",
        **(more or {}),
    }


def ssh(server: str, *command: str, check: bool = True, stdin: bytes | None = None) -> str:
    """Run a command on a server (by its name or address) and return what it printed."""
    options = [
        "-i",
        str(RUN / "ssh/id_ed25519"),
        "-o",
        f'UserKnownHostsFile="{RUN / "ssh/known_hosts"}"',
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "BatchMode=yes",
    ]
    quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in command)
    done = subprocess.run(
        ["ssh", *options, f"root@{SERVERS.get(server, server)}", quoted],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert not check or done.returncode == 0, f"{server}: {' '.join(command)}: {done.returncode}\n{text}"
    return text


def answer(name: str, kind: str, server: str = PRIMARY) -> list[str]:
    """The values at a name, TXT joined, as one server has them now."""
    reply = dns.query.tcp(dns.message.make_query(name, kind), server, timeout=PATIENCE)
    return sorted(
        b"".join(value.strings).decode() if kind == "TXT" else value.to_text()
        for rrset in reply.answer
        for value in rrset
        if rrset.rdtype == dns.rdatatype.from_text(kind)
    )


def change(zone: str, *changes: tuple) -> None:
    """Change a zone behind the collection's back: ("replace"|"add"|"delete", owner, type, value...)."""
    keys = dns.tsigkeyring.from_text({"mailfleet-lab": (RUN / "tsig.secret").read_text().strip()})
    update = dns.update.UpdateMessage(zone, keyring=keys, keyalgorithm="hmac-sha256")
    for verb, owner, kind, *values in changes:
        if verb == "delete":
            update.delete(owner, kind, *values)
        elif verb == "replace":
            update.replace(owner, TTL, kind, *values)
        else:
            update.add(owner, TTL, kind, *values)
    reply = dns.query.tcp(update, PRIMARY, timeout=PATIENCE)
    assert reply.rcode() == 0, reply


def quote(text: str) -> str:
    """A TXT value cut and quoted as a zone file has it."""
    return " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))


def authority() -> ssl.SSLContext:
    """Trust in the lab's own authority."""
    return ssl.create_default_context(cafile=str(RUN / "ca/ca.crt"))


@contextlib.contextmanager
def submission(server: str, login: str = "app", password: str | None = None) -> Iterator[smtplib.SMTP]:
    """A session on port 587, logged in."""
    with smtplib.SMTP(SERVERS[server], 587, local_hostname="app.example.com", timeout=PATIENCE) as session:
        session._host = server  # the name that the certificate must bear
        session.starttls(context=authority())
        session.login(login, password or (RUN / f"{login}.secret").read_text().strip())
        yield session


def message(sender: str = "news@example.com", recipient: str = "probe@gmail.com", **fields: str) -> EmailMessage:
    """A small message with a nonce in its subject; a field given replaces or adds one."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"], made["Subject"] = sender, recipient, f"loop {uuid.uuid4().hex}"
    made["Date"], made["Message-ID"] = email.utils.formatdate(), email.utils.make_msgid(domain="example.com")
    for name, value in fields.items():
        del made[name.replace("_", "-")]
        made[name.replace("_", "-")] = value
    made.set_content("A message of the tests.\r\n")
    return made


def nonce(made: EmailMessage) -> str:
    """What finds a message again."""
    return str(made["Subject"]).split()[-1]


@contextlib.contextmanager
def mailbox(address: str) -> Iterator[imaplib.IMAP4_SSL]:
    """A receiver's mailbox, opened by IMAP."""
    domain = address.partition("@")[2]
    session = imaplib.IMAP4_SSL(RECEIVERS[domain], 993, ssl_context=_unnamed(), timeout=PATIENCE)
    try:
        session.login(address, (RUN / "mailbox.secret").read_text().strip())
        yield session
    finally:
        session.logout()


def _unnamed() -> ssl.SSLContext:
    """Receivers are reached by address here; their certificates bear names."""
    context = authority()
    context.check_hostname = False
    return context


def received(address: str, text: str, timeout: float = PATIENCE) -> email.message.Message | None:
    """The message that holds a text, from INBOX or Junk, as soon as it has arrived; None where it does not."""
    end = time.monotonic() + timeout
    while True:
        with mailbox(address) as session:
            for folder in ("INBOX", "Junk"):
                if session.select(folder, readonly=True)[0] != "OK":
                    continue
                found = session.search(None, "TEXT", f'"{text}"')[1][0].split()
                if found:
                    raw = session.fetch(found[-1].decode(), "(RFC822)")[1][0][1]
                    return email.message_from_bytes(raw, policy=email.policy.default)
        if time.monotonic() > end:
            return None
        time.sleep(1)


def results(arrived: email.message.Message) -> dict[str, str]:
    """Method -> result, of the Authentication-Results above the receiver's first Received line."""
    found: dict[str, str] = {}
    for name, value in arrived.items():
        if name.lower() == "received":
            break
        if name.lower() == "authentication-results":
            for method, result in re.findall(r"\b(dkim|spf|dmarc|iprev)=(\w+)", str(value)):
                found.setdefault(method, result)
    return found
