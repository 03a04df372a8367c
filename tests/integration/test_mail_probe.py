# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe from a real Postfix with Dovecot's logins to a real Postfix with Dovecot's mailboxes.

The receiver of this test stamps no results. That all are missing is what must be noticed here; the lab's receivers,
which judge, show the rest.
"""

from __future__ import annotations

import imaplib
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import Controller, Server, run

PASSWORD = "a-password-for-mailboxes"
CERTIFICATE = """
cd {folder}
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Test-CA -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=test -keyout server.key -out server.csr
printf 'subjectAltName=DNS:mta1.example.com,DNS:mx.test' > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
"""
SENDER = """
postconf -M submission/inet="submission inet n - n - - smtpd" ip-a/unix="ip-a unix - - n - - smtp"
postconf -P submission/inet/smtpd_tls_security_level=encrypt submission/inet/smtpd_sasl_auth_enable=yes \
  submission/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject \
  submission/inet/smtpd_sender_restrictions=reject_sender_login_mismatch ip-a/unix/smtp_helo_name=mta1.example.com
printf 'probe+ip-a@e.example.com probe\\n' > /etc/postfix/logins
printf '/@mx.test$/ ip-a:[{receiver}]\\n/@lost.test$/ ip-a:[{receiver}]:26\\n' > /etc/postfix/transport
postmap /etc/postfix/logins
postconf -e maillog_file= myhostname=mta1.example.com mydestination= smtp_tls_security_level=may \
  smtpd_tls_cert_file=/root/server.pem smtpd_tls_key_file=/root/server.key smtpd_sasl_type=dovecot \
  smtpd_sasl_path=private/auth smtpd_sender_login_maps=hash:/etc/postfix/logins \
  transport_maps=regexp:/etc/postfix/transport
systemctl restart postfix
"""
RECEIVER = """
echo '{sender} mta1.example.com' >> /etc/hosts
useradd --system --create-home vmail
printf 'probe@mx.test probe/\\njunk@mx.test junk/.Junk/\\n' > /etc/postfix/boxes
postmap /etc/postfix/boxes
postconf -e maillog_file= myhostname=mx.test mydestination= virtual_mailbox_domains=mx.test \
  smtpd_tls_security_level=may virtual_mailbox_base=/home/vmail \
  virtual_mailbox_maps=hash:/etc/postfix/boxes virtual_uid_maps=static:$(id -u vmail) \
  virtual_gid_maps=static:$(id -g vmail) smtp_host_lookup=native smtpd_tls_cert_file=/root/server.pem \
  smtpd_tls_key_file=/root/server.key virtual_minimum_uid=100 \
  smtpd_tls_received_header=yes
postconf -F smtp/inet/chroot=n
systemctl restart postfix dovecot
"""
MAILBOXES = """
protocols = imap
ssl = required
ssl_cert = </root/server.pem
ssl_key = </root/server.key
mail_location = maildir:/home/vmail/%n
first_valid_uid = 100
passdb {
  driver = static
  args = password=a-password-for-mailboxes
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/home/vmail/%n
}
namespace inbox {
  inbox = yes
  separator = .
  mailbox Junk {
    auto = create
    special_use = \\Junk
  }
}
"""


@dataclass
class World:
    """A sending server, a receiving one, and the folder with the certificates."""

    sender: Server
    receiver: Server
    certificates: Path

    def imap(self, user: str) -> imaplib.IMAP4_SSL:
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
        context.check_hostname = False
        connection = imaplib.IMAP4_SSL(self.receiver.address, ssl_context=context, timeout=60)
        connection.login(user, PASSWORD)
        return connection

    def count(self, user: str, folder: str) -> int:
        connection = self.imap(user)
        try:
            return int(connection.select(folder)[1][0])
        finally:
            connection.logout()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("certificates")
    run("sh", "-ec", CERTIFICATE.format(folder=folder))
    sender, receiver = Server("sender", "13"), Server("receiver", "12")
    for server in (sender, receiver):
        for name in ("server.pem", "server.key"):
            server.write(f"/root/{name}", (folder / name).read_text())
    sender.shell("dpkg --purge dovecot-imapd")
    sender.shell(SENDER.format(receiver=receiver.address))
    receiver.write("/etc/dovecot/dovecot.conf", MAILBOXES)
    receiver.shell(RECEIVER.format(sender=sender.address))
    yield World(sender, receiver, folder)
    sender.stop()
    receiver.stop()


@pytest.fixture(scope="module")
def controller(world, tmp_path_factory) -> Controller:
    """A controller whose secrets folder has the login that submission_auth made on the sender."""
    controller = Controller(tmp_path_factory.mktemp("controller"))
    world.sender.let_in(controller.public_key)
    controller.play(
        {"mailfleet.sending.submission_auth": {"secrets_directory": str(controller.folder / "secrets")}}, world.sender
    )
    return controller


def mailbox(world: World, address: str = "probe@mx.test", **more):
    imap = {
        "host": world.receiver.address,
        "tls_name": "mx.test",
        "ca_file": str(world.certificates / "ca.pem"),
        "password": PASSWORD,
        **more.pop("imap", {}),
    }
    return {"address": address, "authserv_id": "mx.test", "imap": imap, **more}


def probe(world: World, controller: Controller, mailboxes, *options: str, check: bool = True, **more):
    task = {
        "submissions": [
            {
                "server": "mta1",
                "host": world.sender.address,
                "tls_name": "mta1.example.com",
                "ca_file": str(world.certificates / "ca.pem"),
            }
        ],
        "paths": [
            {"server": "mta1", "transport": "ip-a", "address": world.sender.address, "helo": "mta1.example.com"}
        ],
        "domains": [{"domain": "example.com", "bounce_domain": "e.example.com"}],
        "mailboxes": mailboxes,
        "secrets_directory": str(controller.folder / "secrets"),
        "timeout": 90,
        **more,
    }
    done = controller.play({"mailfleet.sending.mail_probe": task}, options=options, check=check)
    return done if not check else {verdict["check"]: verdict for verdict in controller.outcome["verdicts"]}


def test_a_message_goes_all_the_way_and_is_deleted(world, controller):
    verdicts = probe(world, controller, [mailbox(world)], text="Grüße, 8 bits")
    outcome = controller.outcome
    assert not outcome["changed"]
    subject = [f"mta1 {world.sender.address} example.com probe@mx.test"]
    assert all(verdict["subjects"] == subject for verdict in verdicts.values())
    assert {check: verdict["status"] for check, verdict in verdicts.items()} == {
        "arrival": "ok",
        "dkim": "fail",
        "spf": "fail",
        "dmarc": "fail",
        "origin": "ok",
        "helo": "ok",
        "ptr": "ok",
        "tls": "ok",
    }
    assert verdicts["dkim"]["found"] == "no dkim result", "a result that is missing is a failure"
    assert verdicts["tls"]["found"].startswith("TLSv1.3 ")
    assert verdicts["origin"]["source"].startswith("Received: from mta1.example.com (mta1.example.com [")
    (row,) = outcome["paths"]
    assert row["queue_id"] in world.sender.shell("journalctl --no-pager -t postfix/qmgr").stdout
    assert (row["dkim"], row["iprev"], row["origin"], row["arrival"]) == ("fail", "", "ok", "ok")
    assert world.count("probe", "INBOX") == 0
    assert outcome["summary"]["fail"] == 3 and len(outcome["faults"]) == 3


def test_junk_is_found_and_told(world, controller):
    verdicts = probe(world, controller, [mailbox(world, "junk@mx.test")])
    assert verdicts["arrival"]["status"] == "warn" and "in Junk" in verdicts["arrival"]["found"]
    assert world.count("junk", "Junk") == 0


def test_a_message_that_does_not_arrive_is_a_failure_with_its_last_known_place(world, controller):
    verdicts = probe(world, controller, [mailbox(world, "nobody@lost.test", imap={"user": "probe"})], timeout=2)
    assert list(verdicts) == ["arrival"]
    verdict = verdicts["arrival"]
    (row,) = controller.outcome["paths"]
    assert (verdict["status"], verdict["found"]) == ("fail", "did not arrive within 2 s")
    assert row["queue_id"] and row["queue_id"] in verdict["cause"] and row["queue_id"] in verdict["mend"]
    assert (row["dkim"], row["tls"], row["arrival"]) == ("unknown", "unknown", "fail")
    assert row["queue_id"] in world.sender.shell("mailq").stdout


def test_what_is_awaited_is_shown_and_no_password(world, controller):
    lost = mailbox(world, "nobody@lost.test", imap={"user": "probe"})
    done = probe(world, controller, [lost], "-vvv", check=False, timeout=6)
    shown = [line for line in done.stdout.splitlines() if line.startswith("mail_probe ")]
    subject = f"mta1 {world.sender.address} example.com nobody@lost.test"
    assert re.match(r"mail_probe after [0-5]\.", shown[0]) and shown[0].endswith("; next look in 0.5 s")
    assert f"0 of 1 have arrived; awaited: {subject}; " in shown[0]
    assert shown[-1].endswith(f"awaited: {subject}; the time is up") and len(shown) == 2
    assert done.stdout.index(shown[-1]) < done.stdout.index("\nok: [")
    assert PASSWORD not in done.stdout


def test_a_mailbox_that_is_called_as_its_password_shows_neither(world, controller):
    imap = {"user": "probe", "password": "a-wrong-one"}
    done = probe(world, controller, [mailbox(world, imap=imap), mailbox(world, "a-wrong-one@mx.test")], check=False)
    assert "a-wrong-one" not in done.stdout + done.stderr
    text = json.dumps(controller.outcome)
    assert "a-wrong-one" not in text and "********@mx.test" in text


def test_a_refused_submission_is_a_failure_with_the_reply(world, controller):
    verdicts = probe(world, controller, [mailbox(world)], domains=[{"domain": "example.net"}])
    assert list(verdicts) == ["submission"]
    assert verdicts["submission"]["status"] == "fail"
    assert verdicts["submission"]["found"].startswith(
        "553 5.7.1 <probe+ip-a@example.net>: Sender address rejected: not owned by user probe"
    )


@pytest.mark.parametrize(
    "change, told",
    [
        ({"login": {"user": "probe", "password": "a wrong one"}}, "535 5.7.8"),
        ({"submissions": [{"server": "mta1", "host": "127.0.0.1", "port": 1}]}, "Connection refused"),
    ],
)
def test_no_submission_at_all_is_a_failure(world, controller, change, told):
    verdicts = probe(world, controller, [mailbox(world)], **change)
    assert verdicts["submission"]["status"] == "fail" and told in verdicts["submission"]["found"]


def test_a_certificate_of_another_name_is_refused(world, controller):
    verdicts = probe(
        world,
        controller,
        [mailbox(world)],
        submissions=[
            {
                "server": "mta1",
                "host": world.sender.address,
                "tls_name": "mta9.example.com",
                "ca_file": str(world.certificates / "ca.pem"),
            }
        ],
    )
    assert "mta9.example.com" in verdicts["submission"]["found"]
    verdicts = probe(world, controller, [mailbox(world, imap={"tls_name": "mx9.test"})])
    assert verdicts["arrival"]["status"] == "unknown" and "mx9.test" in verdicts["arrival"]["found"]


def test_a_mailbox_that_cannot_be_read_is_unknown_and_gets_no_message(world, controller):
    before = world.count("probe", "INBOX")
    verdicts = probe(world, controller, [mailbox(world, imap={"password": "a wrong one"})])
    assert list(verdicts) == ["arrival"]
    assert verdicts["arrival"]["status"] == "unknown" and verdicts["arrival"]["found"].startswith(
        "logging in as probe@mx.test"
    )
    assert world.count("probe", "INBOX") == before


def test_without_a_mailbox_and_in_check_mode_nothing_is_proved(world, controller):
    for mailboxes, options, told in (
        ([], (), "no mailbox is configured"),
        ([mailbox(world)], ("--check",), "not sent in check mode"),
    ):
        verdicts = probe(world, controller, mailboxes, *options)
        assert list(verdicts) == ["probe"]
        assert (verdicts["probe"]["status"], verdicts["probe"]["found"]) == ("unknown", told)
        assert controller.outcome["paths"] == []
    assert world.count("probe", "INBOX") == 0


def test_a_server_that_takes_no_mail_from_logins_is_unknown_beside_the_others(world, controller):
    reached = {"server": "mta1", "transport": "ip-a", "address": world.sender.address, "helo": "mta1.example.com"}
    silent = {"server": "mta7", "transport": "ip-a", "address": "192.0.2.1", "helo": "mta7.example.com"}
    verdicts = probe(world, controller, [mailbox(world)], paths=[reached, silent])
    assert verdicts["arrival"]["status"] == "ok"
    assert (verdicts["probe"]["subjects"], verdicts["probe"]["status"]) == (["mta7 192.0.2.1"], "unknown")
    assert verdicts["probe"]["found"] == "submissions does not name the server"
    assert [path["server"] for path in controller.outcome["paths"]] == ["mta1"]


def test_a_mailbox_that_takes_no_mail_over_a_family_is_left_out_and_named(world, controller):
    probe(world, controller, [mailbox(world, families=["ipv6"])])
    assert controller.outcome["paths"] == []
    assert controller.outcome["not_checked"] == [
        f"{world.sender.address} to probe@mx.test: the mailbox takes no mail over ipv4"
    ]


def test_the_mail_of_others_stays_in_the_mailbox(world, controller):
    connection = world.imap("probe")
    connection.append("INBOX", r"(\Deleted)", None, b"Subject: Probe of taste\r\n\r\nKeep me.\r\n")
    connection.logout()
    assert probe(world, controller, [mailbox(world)])["arrival"]["status"] == "ok"
    assert world.count("probe", "INBOX") == 1
    connection = world.imap("probe")
    connection.select("INBOX")
    connection.expunge()
    connection.logout()


def test_passwords_come_from_files_and_show_nowhere(world, controller):
    password_file = controller.folder / "mailbox-password"
    password_file.write_text(PASSWORD + "\n")
    imap = {"password": None, "password_file": str(password_file)}
    verdicts = probe(world, controller, [mailbox(world, imap=imap)])
    assert verdicts["arrival"]["status"] == "ok"
    done = probe(world, controller, [mailbox(world, imap=imap)], "-vvv", check=False)
    secret = (
        (controller.folder / "secrets" / "logins" / "probe").read_text().splitlines()[0].removeprefix("password: ")
    )
    assert done.returncode == 0 and "mail_probe" in done.stdout
    for word in (PASSWORD, secret):
        assert word not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "change, told",
    [
        ({"secrets_directory": "/nonexistent"}, "run submission_auth first"),
        (
            {"paths": [{"server": "mta1", "transport": "ip-a", "address": "192.0.2", "helo": "mta1.example.com"}]},
            "192.0.2",
        ),
    ],
)
def test_mistakes_are_told(world, controller, change, told):
    done = probe(world, controller, [mailbox(world)], check=False, **change)
    assert done.returncode and told in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_a_mailbox_without_a_password_is_a_mistake(world, controller):
    done = probe(world, controller, [mailbox(world, imap={"password": None})], check=False)
    assert done.returncode and "mailboxes[0].imap.password: found nothing, expected a password" in done.stdout
