# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot as the judge of logins, on both Debian versions, by a real Dovecot and a real Postfix."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

import pytest
from servers import Controller, Server, run

PASSWORD = "correct-horse-battery"
MODULE = "mailfleet.sending.submission_auth"
# Asks Postfix itself, over TLS, whether it lets a login in: 235 means yes, 535 no (RFC 4954).
LOGIN = """
import smtplib, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
smtp = smtplib.SMTP("127.0.0.1", 587, local_hostname="test")
smtp.starttls(context=context)
smtp.ehlo()
smtp.user, smtp.password = sys.argv[1:]
try:
    print(smtp.auth("PLAIN", smtp.auth_plain)[0])
except smtplib.SMTPAuthenticationError as error:
    print(error.smtp_code)
"""
SUBMISSION = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout /etc/ssl/private/t.key \
  -out /etc/ssl/certs/t.pem
postconf -M submission/inet="submission inet n - y - - smtpd"
postconf -e maillog_file= smtpd_tls_cert_file=/etc/ssl/certs/t.pem smtpd_tls_key_file=/etc/ssl/private/t.key \
  smtpd_tls_security_level=may smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_sasl_auth_enable=yes
systemctl restart postfix
"""


def ssha512(password: str) -> str:
    salt = b"a salt of test"
    return "{SSHA512}" + base64.b64encode(hashlib.sha512(password.encode() + salt).digest() + salt).decode()


APP = {"name": "app", "password_hash": ssha512(PASSWORD), "domains": ["example.com"]}


@pytest.fixture(scope="module", params=["12", "13"])
def server(request):
    server = Server(f"auth{request.param}", request.param)
    server.shell("dpkg --purge dovecot-imapd")
    server.shell(SUBMISSION)
    yield server
    server.stop()


@pytest.fixture
def controller(tmp_path, server):
    controller = Controller(tmp_path)
    server.let_in(controller.public_key)
    return controller


# Restarted: Dovecot 2.3 does not survive a reload that brings a listener back which our configuration switches off.
BARE = """
cd /etc/dovecot
rm -f submission-users *.before-mailfleet
cp /usr/share/dovecot/dovecot.conf .
systemctl restart dovecot
rm -f /var/spool/postfix/private/auth
"""


@pytest.fixture
def bare(server):
    """Dovecot as Debian installs it."""
    server.shell(BARE)
    return server


def task(controller: Controller, users=(APP,), **more):
    return {MODULE: {"users": list(users), "secrets_directory": str(controller.folder / "secrets"), **more}}


def login(server: Server, name: str, password: str) -> str:
    server.write("/root/login.py", LOGIN)
    return server.shell(f"python3 /root/login.py '{name}' '{password}'").stdout.strip()


def probe_password(controller: Controller) -> str:
    text = (controller.folder / "secrets" / "logins" / "probe").read_text()
    return text.splitlines()[0].removeprefix("password: ")


def state(server: Server) -> str:
    return server.shell(
        "cd /etc/dovecot; find . -name dovecot.conf -o -name submission-users | sort | xargs sha256sum;"
        "stat -c '%n %U:%G %a %Z' dovecot.conf"
    ).stdout


def test_from_bare_to_proved_and_no_further(bare, controller):
    before = state(bare)
    controller.play(task(controller), bare, ("--check", "--diff"))
    assert controller.outcome["changed"] and controller.outcome["logins"] == ["app", "probe"]
    assert state(bare) == before, "check mode changes nothing"
    assert not (controller.folder / "secrets").exists()
    planned = controller.outcome["configuration"]

    controller.play(task(controller), bare)
    assert controller.outcome["changed"] and controller.outcome["proved"]
    assert bare.read("/etc/dovecot/dovecot.conf") == planned, "check mode told the truth"
    assert login(bare, "app", PASSWORD) == "235"
    assert login(bare, "probe", probe_password(controller)) == "235"
    assert login(bare, "app", "wrong") == "535"

    listening = bare.shell("ss -Hltnup").stdout
    assert "sshd" in listening and "dovecot" not in listening
    modes = bare.shell(
        "stat -c '%U:%G %a' /var/spool/postfix/private/auth /etc/dovecot/submission-users /etc/dovecot/dovecot.conf"
    ).stdout
    assert modes.split("\n")[:3] == ["postfix:postfix 660", "root:dovecot 640", "root:root 644"]
    secret = controller.folder / "secrets" / "logins" / "probe"
    assert [oct(path.stat().st_mode & 0o777) for path in (secret, secret.parent, secret.parent.parent)] == [
        "0o600",
        "0o700",
        "0o700",
    ]

    after = state(bare)
    for options in ((), ("--check",)):
        controller.play(task(controller), bare, options)
        assert not controller.outcome["changed"]
    assert state(bare) == after


def test_a_login_that_is_no_longer_listed_cannot_log_in(bare, controller):
    controller.play(task(controller), bare)
    controller.play(task(controller, users=[], probe_login=False), bare, ("--diff",))
    assert controller.outcome["changed"] and controller.outcome["logins"] == []
    assert login(bare, "app", PASSWORD) == "535"


def test_secrets_show_nowhere(bare, controller):
    first = controller.play(task(controller), bare, ("-vvv", "--diff"))
    again = controller.play(
        task(controller, users=[{**APP, "password_hash": ssha512("another password")}]), bare, ("-vvv", "--diff")
    )
    assert "app (another password)" in again.stdout
    hashes = [line.partition(":")[2] for line in bare.read("/etc/dovecot/submission-users").splitlines()[1:]]
    log = bare.shell(
        "journalctl --no-pager; find /var/log /tmp /root -type f -exec cat {} + | tr -cd '[:print:]\\n'"
    ).stdout
    for secret in (probe_password(controller), ssha512(PASSWORD), *hashes):
        assert len(secret) > 20
        for output in (first.stdout, first.stderr, again.stdout, again.stderr, json.dumps(controller.outcome), log):
            assert secret not in output


def test_a_failed_proof_brings_the_former_state_back(bare, controller):
    controller.play(task(controller), bare)
    before = state(bare)
    late = {"name": "late", "password_hash": ssha512("x" * 20)}
    done = controller.play(
        task(controller, users=[late], probe_login=False, proof={"name": "late", "password": "not this one"}),
        bare,
        check=False,
    )
    assert (
        done.returncode
        and "denies the login late" in done.stdout
        and "the former configuration of Dovecot stands" in done.stdout
    )
    assert state(bare).splitlines()[:2] == before.splitlines()[:2]
    assert login(bare, "app", PASSWORD) == "235"
    assert login(bare, "late", "x" * 20) == "535"


def test_on_the_way_back_debians_own_dovecot_runs_again(bare, controller):
    """It has listeners that our configuration switches off: Dovecot 2.3 dies of a reload that brings them back."""
    before = state(bare)
    late = {"name": "late", "password_hash": ssha512("x" * 20)}
    proof = {"name": "late", "password": "not this one"}
    for _attempt in range(3):
        done = controller.play(task(controller, users=[late], probe_login=False, proof=proof), bare, check=False)
        assert "the former configuration of Dovecot stands again" in done.stdout
        assert bare.shell("sleep 1; systemctl is-active dovecot").stdout == "active\n"
        assert state(bare).splitlines()[0] == before.splitlines()[0]


def test_a_dovecot_that_dies_just_behind_its_reload_is_started_anew(bare, controller):
    controller.play(task(controller), bare)
    folder, dies = "/etc/systemd/system/dovecot.service.d", "kill -SEGV $MAINPID"
    later = f"systemd-run --quiet --on-active=0.05 --timer-property=AccuracySec=1ms {dies}"
    bare.write(f"{folder}/dies.conf", f"[Service]\nExecReload=\nExecReload=/bin/sh -c '{later}'\n")
    bare.shell("systemctl daemon-reload")
    began = bare.shell("date +%s").stdout.strip()
    try:
        controller.play(task(controller, users=[APP, {"name": "more", "password_hash": ssha512("x" * 20)}]), bare)
        assert controller.outcome["proved"]
        assert "status=11/SEGV" in bare.shell(f"journalctl -q -u dovecot --since=@{began}").stdout, "it did not die"
    finally:
        bare.shell(f"rm {folder}/dies.conf; systemctl daemon-reload")
    assert login(bare, "more", "x" * 20) == "235"


def test_files_that_were_never_loaded_are_loaded(bare, controller):
    """As after a run that was interrupted between writing and reloading."""
    controller.play(task(controller), bare)
    bare.shell(f"cp -a /etc/dovecot /root/written\n{BARE}\ncp -a /root/written/. /etc/dovecot; rm -r /root/written")
    controller.play(task(controller), bare, ("--check",))
    assert controller.outcome["changed"]
    controller.play(task(controller), bare)
    assert controller.outcome["changed"] and controller.outcome["proved"]
    assert login(bare, "app", PASSWORD) == "235"


def test_a_vaulted_secret_is_read(bare, controller):
    controller.play(task(controller), bare)
    password = probe_password(controller)
    vault = controller.folder / "vault"
    vault.write_text("vault password\n")
    run(
        str(Path(sys.executable).with_name("ansible-vault")),
        "encrypt",
        "--vault-password-file",
        str(vault),
        str(controller.folder / "secrets" / "logins" / "probe"),
    )
    controller.play(task(controller), bare, ("--vault-password-file", str(vault)))
    assert not controller.outcome["changed"]
    assert login(bare, "probe", password) == "235"


MAKERS = {
    **{scheme.lower(): f"doveadm pw -s {scheme} -p {PASSWORD}" for scheme in (
        "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "ARGON2ID", "ARGON2I", "PBKDF2", "SSHA512", "SSHA256", "SSHA",
        "SCRAM-SHA-256", "SCRAM-SHA-1")},
    **{f"crypt-{number}": f"openssl passwd -{number} {PASSWORD}" for number in (6, 5)},
    **{f"crypt-{name}": f"perl -e 'print crypt(q({PASSWORD}), q({setting}))'" for name, setting in {
        "2y": "$2y$05$abcdefghijklmnopqrstuu", "y": "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$", "7": "$7$CU..../....2Q9obwLhin8$",
        "gy": "$gy$j9T$F5Jx5fExrKuPp53xLKQ..1$", "sha1": "$sha1$40000$jtNX3nZ2$"}.items()},
}


def test_every_hash_that_is_taken_lets_its_login_in(bare, controller):
    users = [{"name": name, "password_hash": bare.shell(maker).stdout.strip()} for name, maker in MAKERS.items()]
    controller.play(task(controller, users=users), bare)
    assert [name for name in MAKERS if bare.shell(f"doveadm auth test {name} {PASSWORD}", check=False).returncode] == []


def test_mistakes_are_told_at_once_and_nothing_changes(server, controller):
    before = state(server)
    wrong = [
        {"name": "a:b", "password_hash": APP["password_hash"]},
        APP,
        APP,
        {"name": "c", "password_hash": "correct-horse"},
        {"name": "d", "password_hash": "{PLAIN}correct-horse"},
    ]
    done = controller.play(task(controller, users=wrong), server, check=False)
    for told in (
        "users[0].name",
        "'app' a second time",
        "users[3].password_hash: found something else",
        "users[4].password_hash: found something else",
    ):
        assert told in done.stdout
    assert done.returncode and "correct-horse" not in done.stdout
    done = controller.play(task(controller, users=[{**APP, "name": "probe"}]), server, check=False)
    assert done.returncode and "the fleet's own" in done.stdout
    assert state(server) == before


def test_a_dovecot_with_mailboxes_is_refused(bare, controller):
    bare.shell(
        "cd /etc/dovecot; sed -i '/^!include_try.*protocols/d' dovecot.conf; echo 'protocols = imap' >> dovecot.conf"
    )
    before = state(bare)
    for options in ((), ("--check",)):
        done = controller.play(task(controller), bare, options, check=False)
        assert done.returncode and "serves imap" in done.stdout
    assert state(bare) == before


def test_a_server_without_dovecot_can_be_checked(bare, controller):
    bare.shell("mv /usr/sbin/dovecot /usr/sbin/dovecot.away")
    try:
        controller.play(task(controller), bare, ("--check",))
        assert controller.outcome["changed"] and controller.outcome["version"] == ""
        done = controller.play(task(controller), bare, check=False)
        assert done.returncode and "dovecot-core" in done.stdout
    finally:
        bare.shell("mv /usr/sbin/dovecot.away /usr/sbin/dovecot")
