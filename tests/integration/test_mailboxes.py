# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounces in the mailbox of a real Dovecot: fetched, on the disk, removed there, and then believed.

The program runs as a process of this host, with the Python of the system, so that it can be killed wherever it is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from mailbox_server import PASSWORD, MailboxServer
from servers import ROOT

PROGRAM, PYTHON = str(ROOT / "roles/agent/files"), "/usr/bin/python3"
# Fetches as the command does, and kills itself at one of its steps; or at a command to the server, before it is sent.
CUT_OFF = """
import imaplib, os, poplib, signal, sys
from mailfleet.fetching import fetch
from mailfleet.settings import load
from mailfleet.spool import Spool
place, wanted, left = sys.argv[1], sys.argv[2], [int(sys.argv[3])]
def step(name):
    if name == wanted:
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
def noted(owner, method, name_of):
    real = getattr(owner, method)
    def call(self, *given):
        step(name_of(given))
        return real(self, *given)
    setattr(owner, method, call)
noted(poplib.POP3, "_putcmd", lambda given: given[0].split()[0])
noted(imaplib.IMAP4, "uid", lambda given: given[0] + (" BODY" if "BODY" in str(given) else ""))
settings = load(place)
remote, = settings.remotes
fetch(remote, Spool(settings.maildir), print, steps=step)
"""
STEPS = {
    "pop3": [("LIST", 0), ("RETR", 0), ("RETR", 2), ("stored", 0), ("stored", 2), ("DELE", 0), ("DELE", 2),
             ("QUIT", 0), ("removed", 0)],
    "imap": [("SEARCH", 0), ("FETCH BODY", 0), ("FETCH BODY", 2), ("stored", 0), ("stored", 2), ("STORE", 0),
             ("EXPUNGE", 0), ("removed", 0)],
}


class Host:
    """A bounce host in a folder, with the mailbox of a server elsewhere."""

    def __init__(self, folder: Path, mailbox: MailboxServer, protocol: str, tls: str) -> None:
        self.mailbox, self.place, self.spool = mailbox, str(folder / "agent.json"), folder / "spool"
        (folder / "ca.pem").write_text(mailbox.certificate)
        secrets = folder / "secrets.json"
        secrets.write_text(json.dumps({"token_keys": {"a": "k" * 32}, "mailboxes": {"seed": PASSWORD}}))
        secrets.chmod(0o600)
        Path(self.place).write_text(json.dumps({
            "host": "mta1.example.com", "secrets": str(secrets), "token": {"current": "a"},
            "streams": {"news": {"bounce_domains": ["e.example.com"], "senders": ["example.com"]}},
            "store": {"sqlite": str(folder / "mailfleet.db")}, "intake": {"maildir": str(self.spool)},
            "quarantine": {"folder": str(folder / "quarantine")},
            "mailboxes": {"seed": mailbox.settings(protocol, str(folder / "ca.pem"), tls)},
        }))

    def run(self, *arguments: str, status: int = 0) -> str:
        done = self._run("-m", "mailfleet", "--config", self.place, *arguments)
        assert done.returncode == status, done
        return done.stdout

    def cut_off(self, step: str, at: int) -> None:
        done = self._run("-c", CUT_OFF, self.place, step, str(at))
        assert done.returncode == -signal.SIGKILL, done

    def bounces(self, name: str, many: int) -> list[str]:
        """Bounces lie in the mailbox; whom they are about."""
        dead = [f"{name}{n}@example.net" for n in range(many)]
        self.mailbox.put({each: self.run("token", "new", "--recipient", each).strip() for each in dead})
        assert self.mailbox.count() == many
        return dead

    def suppressed(self) -> list[str]:
        """The recipients of all events, and so on the list."""
        found = [json.loads(line)["recipient"] for line in self.run("events", "tail", "--after", "0").splitlines()]
        listed = [line.split(",")[1] for line in self.run("suppress", "export").splitlines()[1:]]
        assert sorted(listed) == sorted(found)
        return sorted(found)

    @property
    def waiting(self) -> int:
        """How many messages are on the disk and not read yet."""
        return len(os.listdir(self.spool / "new"))

    @staticmethod
    def _run(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run([PYTHON, *command], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "PYTHONPATH": PROGRAM})


@pytest.fixture(scope="module")
def mailbox():
    made = MailboxServer("mailbox")
    try:
        yield made
    finally:
        made.server.stop()


@pytest.mark.parametrize(("protocol", "tls"), [
    ("pop3", "implicit"), ("pop3", "starttls"), ("imap", "implicit"), ("imap", "starttls")])
def test_a_bounce_in_a_mailbox_suppresses_its_recipient_and_is_gone_from_there(mailbox, tmp_path, protocol, tls):
    host = Host(tmp_path, mailbox, protocol, tls)
    dead = host.bounces("dead", 1)
    host.run("bounces", "fetch", "--once")
    assert mailbox.count() == 0 and host.waiting == 1
    host.run("bounces", "work", "--once")
    assert host.waiting == 0 and host.suppressed() == dead
    assert "news  hard" in host.run("suppress", "why", dead[0])


@pytest.mark.parametrize("protocol", list(STEPS))
def test_killed_anywhere_nothing_is_lost_and_nothing_counts_twice(mailbox, tmp_path, protocol):
    host, dead = Host(tmp_path, mailbox, protocol, "implicit"), []
    for step, at in STEPS[protocol]:
        dead += host.bounces(f"{step.lower().replace(' ', '-')}-{at}-", 3)
        host.cut_off(step, at)
        there = mailbox.count()
        assert there == (0 if step == "removed" else 3), step
        assert there == 3 or host.waiting == 3
        host.run("bounces", "fetch", "--once")
        assert mailbox.count() == 0 and host.waiting >= 3, step
        host.run("bounces", "work", "--once")
        assert host.waiting == 0 and host.suppressed() == sorted(dead), step


def test_a_mailbox_that_cannot_be_reached_is_told_and_tried_again(mailbox, tmp_path):
    host = Host(tmp_path, mailbox, "pop3", "implicit")
    dead = host.bounces("patient", 1)
    mailbox.server.shell("systemctl stop dovecot.socket dovecot 2>/dev/null || systemctl stop dovecot")
    host.run("bounces", "fetch", "--once", status=4)
    mailbox.server.shell("systemctl start dovecot")
    host.run("bounces", "fetch", "--once")
    host.run("bounces", "work", "--once")
    assert host.suppressed() == dead
