# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab keeps what other tests build on: its DNS, its judges, its mailboxes, and that nothing leaves it.

Needs a running lab (`lab/lab.py up`), bare or provisioned.
"""

from __future__ import annotations

import imaplib
import json
import poplib
import secrets
import ssl
import subprocess
import sys
import time
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.resolver
import dns.tsig
import dns.tsigkeyring
import dns.update
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))  # the lab's modules stand beside lab.py

import plan
import watching
from shell import LAB

RUN = LAB / "run"
NS1, NS2 = "198.51.100.2", "198.51.100.3"
UPDATABLE = ("example.com", "example.us", "100.51.198.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")
# Each mailbox with its host's address and the id of its judge.
MAILBOXES = {
    "probe@gmail.com": ("198.51.100.40", "mx.gmail.com"),
    "probe@orange.fr": ("198.51.100.41", "mx.orange.fr"),
    "probe@wanadoo.fr": ("198.51.100.41", "mx.orange.fr"),
    "probe@freemail.test": ("198.51.100.42", "mx.freemail.test"),
}
JUDGED = {
    "mx.gmail.com": {"spf", "dkim", "dmarc"},
    "mx.orange.fr": {"spf", "dkim", "dmarc"},
    "mx.freemail.test": {"iprev", "spf"},
}

SEND = """
import smtplib, ssl, sys
host, recipient, message = sys.argv[1], sys.argv[2], sys.stdin.buffer.read()
with smtplib.SMTP(host, 25, local_hostname="app.example.com", timeout=60) as session:
    session.starttls(context=ssl.create_default_context())
    session.sendmail("app@app.example.com", [recipient], message)
    print(*sorted(session.esmtp_features))
"""


def inside(node: str, *command: str, stdin: bytes = b"") -> str:
    """Run a command in a node; returns what it wrote, fails the test where it fails."""
    done = subprocess.run(
        ["podman", "--runtime", "runc", "exec", "-i", plan.PREFIX + node, *command],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def send(recipient: str, *headers: str) -> tuple[str, list[str]]:
    """Send a message from app straight to the recipient's provider; returns its Message-ID and what EHLO offered."""
    identifier = f"<{secrets.token_hex(8)}@app.example.com>"
    message = "\r\n".join(
        [
            *headers,
            "From: app@app.example.com",
            f"To: {recipient}",
            f"Message-ID: {identifier}",
            "Subject: a test of the lab",
            "",
            "Good day.",
            "",
        ]
    )
    offered = inside("app", "python3", "-c", SEND, MAILBOXES[recipient][1], recipient, stdin=message.encode())
    return identifier, offered.split()


def trusting_the_lab() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=RUN / "ca" / "ca.crt")


def password() -> str:
    return (RUN / "mailbox.secret").read_text().strip()


def fetch(mailbox: str, identifier: str, folder: str = "INBOX", within: float = 60) -> Message:
    """Wait for a message in a folder of a mailbox, as a reader with IMAP would find it."""
    with imaplib.IMAP4_SSL(MAILBOXES[mailbox][0], 993, ssl_context=trusting_the_lab(), timeout=60) as session:
        session.login(mailbox, password())
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            session.select(folder)
            _status, (numbers,) = session.search(None, "HEADER", "Message-ID", identifier)
            if numbers:
                _status, parts = session.fetch(numbers.split()[-1].decode(), "(RFC822)")
                return message_from_bytes(parts[0][1])
            time.sleep(0.2)
    raise AssertionError(f"{identifier} has not arrived in {folder} of {mailbox} within {within} s")


@pytest.mark.parametrize("server", [NS1, NS2, plan.RESOLVER, "2001:db8:61::2", "2001:db8:61::3", "2001:db8:61::4"])
def test_every_zone_is_answered_and_nothing_is_remembered_for_long(server):
    for zone in plan.ZONES:
        answer = dns.query.udp(dns.message.make_query(zone, "SOA"), server, timeout=30)
        assert answer.rcode() == dns.rcode.NOERROR and answer.answer, f"{zone} at {server}"
        assert answer.answer[0].ttl <= 5
        assert answer.answer[0][0].minimum <= 5


def test_the_resolver_knows_nothing_but_the_lab():
    answer = dns.query.udp(dns.message.make_query("www.debian.org", "A"), plan.RESOLVER, timeout=30)
    assert answer.rcode() == dns.rcode.NXDOMAIN


def test_what_others_published_is_there():
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [plan.RESOLVER]
    texts = [b"".join(each.strings) for each in resolver.resolve("example.com", "TXT")]
    assert any(each.startswith(b"google-site-verification=") for each in texts)
    for name in ("198.51.100.40", "2001:db8:61::40"):
        assert resolver.resolve_address(name)[0].to_text() == "mx.gmail.com."


def update(zone: str, secret: str) -> dns.update.Update:
    keyring = dns.tsigkeyring.from_text({"mailfleet-lab.": secret})
    return dns.update.Update(zone, keyring=keyring, keyname="mailfleet-lab.", keyalgorithm="hmac-sha256")


@pytest.mark.parametrize("zone", UPDATABLE)
def test_an_update_by_key_arrives_at_the_secondary(zone):
    secret, value = (RUN / "tsig.secret").read_text().strip(), secrets.token_hex(8)
    change = update(zone, secret)
    change.replace("a-test-of-the-lab", 5, "TXT", f'"{value}"')
    assert dns.query.tcp(change, NS1, timeout=30).rcode() == dns.rcode.NOERROR
    try:
        deadline, seen = time.monotonic() + 60, ""
        while value not in seen and time.monotonic() < deadline:
            seen = dns.query.udp(dns.message.make_query(f"a-test-of-the-lab.{zone}", "TXT"), NS2, timeout=30).to_text()
            time.sleep(0.1)
        assert value in seen
    finally:
        change = update(zone, secret)
        change.delete("a-test-of-the-lab")
        dns.query.tcp(change, NS1, timeout=30)


def test_an_update_survives_a_restart():
    secret, value = (RUN / "tsig.secret").read_text().strip(), secrets.token_hex(8)
    change = update("example.us", secret)
    change.replace("a-restart", 5, "TXT", f'"{value}"')
    dns.query.tcp(change, NS1, timeout=30)
    try:
        inside("ns1", "systemctl", "restart", "knot")
        answer = dns.query.udp(dns.message.make_query("a-restart.example.us", "TXT"), NS1, timeout=30)
        assert value in answer.to_text()
    finally:
        change = update("example.us", secret)
        change.delete("a-restart")
        dns.query.tcp(change, NS1, timeout=30)


@pytest.mark.parametrize(("zone", "server"), [("example.com", NS2), ("gmail.com", NS1)])
def test_no_update_elsewhere(zone, server):
    change = update(zone, (RUN / "tsig.secret").read_text().strip())
    change.add("a-test-of-the-lab", 5, "TXT", "x")
    with pytest.raises(dns.tsig.PeerBadKey):
        dns.query.tcp(change, server, timeout=30)


def test_no_update_without_the_key():
    change = dns.update.Update("example.com")
    change.add("a-test-of-the-lab", 5, "TXT", "x")
    assert dns.query.tcp(change, NS1, timeout=30).rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH)


@pytest.mark.parametrize("mailbox", MAILBOXES)
def test_a_message_is_judged_and_a_forged_verdict_is_gone(mailbox):
    judge = MAILBOXES[mailbox][1]
    forged = f"Authentication-Results: {judge}; dkim=pass header.d=forged.example; dmarc=pass"
    identifier, offered = send(mailbox, forged)
    message = fetch(mailbox, identifier)
    names = [name.lower() for name in message]
    verdicts = message.get_all("Authentication-Results")
    assert "forged.example" not in str(verdicts)
    assert all(each.split(";")[0].strip() == judge for each in verdicts)
    methods = {part.strip().split("=")[0] for each in verdicts for part in each.split(";")[1:]}
    assert methods >= JUDGED[judge]
    first_received = names.index("received")
    assert "authentication-results" not in names[first_received:], "a verdict below the judge's own Received line"
    received = message["Received"]
    assert f"by {judge}" in received and "TLS" in received and "app.example.com" in received
    assert ("8bitmime" in offered) == (judge != "mx.freemail.test")


@pytest.mark.parametrize("mailbox", MAILBOXES)
def test_disliked_mail_goes_to_junk(mailbox):
    identifier, _offered = send(mailbox, "X-Lab-Junk: yes")
    assert fetch(mailbox, identifier, folder="Junk")["X-Lab-Junk"] == "yes"


def test_pop3_reads_too():
    identifier, _offered = send("probe@gmail.com")
    fetch("probe@gmail.com", identifier)
    session = poplib.POP3_SSL("198.51.100.40", 995, context=trusting_the_lab(), timeout=60)
    session.user("probe@gmail.com")
    session.pass_(password())
    assert session.stat()[0] >= 1
    session.quit()


@pytest.mark.parametrize("node", plan.NODES, ids=lambda node: node.name)
def test_only_the_proxy_has_a_way_out(node):
    ways = [json.loads(inside(node.name, "ip", "-j", family, "route", "show", "default")) for family in ("-4", "-6")]
    assert ways == ([ways[0], []] if node.uplink else [[], []])
    assert bool(ways[0]) == node.uplink


@pytest.mark.parametrize("node", plan.NODES, ids=lambda node: node.name)
def test_addresses_are_those_of_the_plan(node):
    (lab0,) = json.loads(inside(node.name, "ip", "-j", "address", "show", "dev", "lab0", "scope", "global"))
    found = {each["local"] for each in lab0["addr_info"] if each}
    assert found == set(node.addresses)


def test_nothing_of_the_lab_is_on_another_interface():
    """Packages come, questions are asked and mail travels; a whole run is watched too, in test_nothing_leaves.py."""
    own = watching.of_the_lab()
    with watching.Watch(*own) as watch:
        inside("mta1", "apt-get", "-qq", "update")
        dns.query.udp(dns.message.make_query("www.debian.org", "A"), plan.RESOLVER, timeout=30)
        for mailbox in MAILBOXES:
            fetch(mailbox, send(mailbox)[0])
    seen = watch.seen
    assert seen.lab[own[0]] > 100, "the watch did not even see the lab's own traffic"
    # A packet of the host to itself (its own gateway address) goes by lo.
    assert seen.elsewhere(*own, "lo") == seen.questions == seen.strangers == {}
    assert seen.lost == 0


def test_a_server_cannot_reach_anything_but_the_lab():
    # Documentation addresses (RFC 5737, 3849): were there a route, still nobody would be asked.
    for address in ("203.0.113.99", "2001:db8:ffff::99"):
        attempt = f"import socket; socket.create_connection(({address!r}, 25), timeout=3)"
        done = subprocess.run(
            ["podman", "--runtime", "runc", "exec", plan.PREFIX + "mta1", "python3", "-c", attempt],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Network is unreachable" in done.stderr
