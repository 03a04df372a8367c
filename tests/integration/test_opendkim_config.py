# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDKIM on both Debian versions: signed through a real Postfix, judged by dkimpy, and broken on purpose."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import dkim
import pytest
import servers
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
smtp = smtplib.SMTP("127.0.0.1", 25, timeout=30)
try:
    smtp.sendmail("return@sink.test", ["to@sink.test"], sys.stdin.buffer.read())
    print("250 taken")
except smtplib.SMTPResponseException as error:
    print(error.smtp_code, error.smtp_error.decode())
except smtplib.SMTPRecipientsRefused as error:
    print(*[f"{code} {text.decode()}" for code, text in error.recipients.values()])
"""


def image(release: str) -> str:
    """Return the name of an image with OpenDKIM, which is made where there is none."""
    name = f"localhost/mailfleet-test-dkim{release}"
    if run("podman", "image", "exists", name, check=False).returncode:
        with tempfile.TemporaryDirectory() as folder:
            archive = f"{folder}/root.tar"
            packages = ",".join([*servers.PACKAGES, "opendkim", "openssl"])
            run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", servers.SUITES[release], archive)
            run("podman", "import", archive, name)
    return name


def start(name: str, release: str) -> Server:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "image", image)
        return Server(f"{name}{release}", release)


@pytest.fixture(scope="module", params=["12", "13"])
def server(request):
    server = start("dkim", request.param)
    parameters = POSTFIX | dkim_layer()["parameters"]
    settings = " ".join(f"'{key}={value}'" for key, value in parameters.items())
    server.shell(f"useradd --create-home sink; postconf -e {settings}; systemctl restart postfix")
    server.write("/root/send.py", SEND)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def controller(tmp_path_factory, server):
    controller = Controller(tmp_path_factory.mktemp("controller"))
    server.let_in(controller.public_key)
    keys = [{"domain": "example.com", "selector": "m1"}, {"domain": "example.us", "selector": "m1"}]
    directory = str(controller.folder / "secrets" / "dkim")
    controller.play({"mailfleet.sending.dkim_key": {"directory": directory, "keys": keys}})
    controller.publics = {f"{key['selector']}._domainkey.{key['domain']}.": key["public"]
                          for key in controller.outcome["keys"]}
    return controller


def config(controller: Controller, **other) -> dict:
    return {MODULE: POLICY | {"secrets_directory": str(controller.folder / "secrets")} | other}


@pytest.fixture(scope="module")
def signing(server, controller):
    """OpenDKIM with POLICY, for the tests that break nothing; they stand first."""
    controller.play(config(controller), server)
    return server


@pytest.fixture
def broken(server, controller):
    """OpenDKIM with POLICY, whatever the test before left, for a test that breaks it."""
    server.shell("chmod 755 /etc; systemctl reset-failed opendkim")
    controller.play(config(controller), server)
    return server


def pem(controller: Controller, domain: str = "example.com", selector: str = "m1") -> Path:
    return controller.folder / "secrets" / "dkim" / domain / f"{selector}.pem"


def ask(server: Server, value: str | None, login: str = "", client: str = "127.0.0.1", extra=()):
    """Hand a message with a From to the milter, as Postfix would."""
    headers = [("To", "b@example.org"), *([("From", value)] if value is not None else []), *extra]
    macros = {"i": "TEST", SENDER_MACRO: SENDER} | ({"{auth_authen}": login} if login else {})
    (about,) = json.loads(run("podman", "inspect", server.name).stdout)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(f"/proc/{about['State']['Pid']}/root{opendkim_conf.SOCKET}")
        return milter_client.submit(connection, milter_client.Message(
            tuple(headers), b"body\r\n", "return@example.com", ("b@example.org",), client, macros=macros))


def signed_by(outcome: milter_client.Outcome) -> str | None:
    """Return d= of the one signature, None where nothing was added."""
    assert outcome.action == "accept" and len(outcome.headers) < 2, outcome
    return re.search(r"\bd=([^;]+);", outcome.headers[0][1]).group(1) if outcome.headers else None


def send(server: Server, message: str) -> str:
    done = subprocess.run(["podman", "exec", "-i", server.name, "python3", "/root/send.py"], input=message.encode(),
                          capture_output=True, check=True, timeout=60)
    return done.stdout.decode().strip()


def received(server: Server, subject: str) -> bytes:
    """Return the message with a subject as it was delivered, with CRLF."""
    wait = f"for i in $(seq 50); do grep -q '^Subject: {subject}' /var/mail/sink && break; sleep 0.1; done"
    script = f"{wait}; cat /var/mail/sink"
    box = subprocess.run(["podman", "exec", server.name, "sh", "-c", script], capture_output=True, check=True).stdout
    (message,) = [part for part in box.split(b"\n\nFrom ") if f"\nSubject: {subject}\n".encode() in part]
    return message.partition(b"\n")[2].rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def pid(server: Server) -> str:
    return server.shell("systemctl show --value --property MainPID opendkim").stdout.strip()


def test_what_postfix_takes_is_signed_and_dkimpy_says_so(signing, controller):
    assert send(signing, "From: =?utf-8?q?A=2C?= B <a@news.example.com>\nTo: to@sink.test\nSubject: oracle\n"
                "List-Unsubscribe: <https://x.test/>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
                "Feedback-ID: f:1\nMIME-Version: 1.0\nContent-Type: text/plain\n\nbody  with\t white \n\n\n"
                ) == "250 taken"
    message = received(signing, "oracle")

    def txt(name, timeout=5):
        return b"v=DKIM1; k=rsa; p=" + controller.publics[name.decode()].encode()

    assert dkim.verify(message, dnsfunc=txt)
    assert not dkim.verify(message.replace(b"f:1", b"f:2"), dnsfunc=txt)
    signature = re.search(rb"DKIM-Signature: (.*?)\r\n\S", message, re.DOTALL).group(1).decode()
    tags = dict(re.sub(r"\s", "", tag).split("=", 1) for tag in signature.split(";"))
    assert (tags["d"], tags["s"], tags["a"], tags["c"]) == ("example.com", "m1", "rsa-sha256", "relaxed/relaxed")
    names = tags["h"].lower().split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id", "mime-version", "content-type"} <= set(names)
    assert names.count("from") == 2 and "l" not in tags


@pytest.mark.parametrize("value, domain", [
    ("a@example.com", "example.com"),
    ("A@EXAMPLE.COM", "example.com"),
    ("a@deep.news.example.com", "example.com"),
    ('"b@foreign.test" <a@example.com>', "example.com"),
    ("a@example.com (or <b@foreign.test>)", "example.com"),
    ('"a, \\"b\\" <c@foreign.test>"\n <a@example.us>', "example.us"),
    ("(comment (nested) \\) still) Ä <a@example.us>", "example.us"),
    ("a@mta1.example.us", "example.us"),
    ("a@example.org", None),
])
def test_from_in_every_form_is_signed_by_its_domain(signing, value, domain):
    assert signed_by(ask(signing, value)) == domain


@pytest.mark.parametrize("value, said", [
    ("a@foreign.test", "550 5.7.1 From domain foreign.test: no DKIM key"),
    ("a@notexample.com", "550 5.7.1 From domain notexample.com: no DKIM key"),
    ("a@other.example.us", "550 5.7.1 From domain other.example.us: no DKIM key"),
    ("a@com", "550 5.7.1 From domain com: no DKIM key"),
    ("a@example.net", "451 4.7.5 From domain example.net: its DKIM key has not been seen in DNS yet"),
    ("", "550 5.7.1 From must"),
    ("garbage", "550 5.7.1 From must"),
    ("a@example.com, b@example.com", "550 5.7.1 From must"),
    ("a@example.com <b@foreign.test>", "550 5.7.1 From must"),
    ("<a@example.com> <b@foreign.test>", "550 5.7.1 From must"),
    ("b@foreign.test (<a@example.com>", "550 5.7.1 From must"),
    ('"b@foreign.test <a@example.com>', "550 5.7.1 From must"),
    ("group: a@example.com;", "550 5.7.1 From must"),
    ("undisclosed-recipients:;", "550 5.7.1 From must"),
    ("<@foreign.test:a@example.com>", "550 5.7.1 From must"),
    ("a@[198.51.100.1]", "550 5.7.1 From must"),
    ("a@example.com\\", "550 5.7.1 From must"),
    ("a@exa mple.com", "550 5.7.1 From must"),
    ("a@b@example.com", "550 5.7.1 From must"),
])
def test_a_from_that_may_not_leave(signing, value, said):
    outcome = ask(signing, value)
    assert outcome.reply.startswith(said) and not outcome.headers
    assert outcome.action == ("tempfail" if said.startswith("4") else "reject")


def test_no_from_or_two(signing):
    assert ask(signing, None).action == "reject"
    assert ask(signing, "a@example.com", extra=[("From", "b@foreign.test")]).action == "reject"


@pytest.mark.parametrize("login, client, value, expected", [
    ("shop", "203.0.113.9", "a@example.com", "example.com"),
    ("shop", "203.0.113.9", "a@example.us", "login shop may not use it"),
    ("shop", "127.0.0.1", "a@example.us", "login shop may not use it"),
    ("probe", "203.0.113.9", "a@example.us", "example.us"),
    ("stranger", "127.0.0.1", "a@example.com", "login stranger may not use it"),
    ("'\"]%", "127.0.0.1", "a@example.com", "login ???? may not use it"),
    ("", "198.51.100.29", "a@example.us", "example.us"),
    ("", "198.51.100.29", "a@example.com", "client 198.51.100.29 may not use it"),
    ("", "198.51.100.30", "a@example.com", "example.com"),
    ("", "198.51.100.30", "a@example.us", "client 198.51.100.30 may not use it"),
    ("", "2001:db8:61::30", "a@example.com", "example.com"),
    ("", "2001:db8:61:0:1::1", "a@example.us", "client 2001:db8:61:0:1::1 may not use it"),
    ("", "::ffff:198.51.100.30", "a@example.com", "example.com"),
    ("", "::1", "a@example.us", "example.us"),
    ("", "203.0.113.9", "a@example.com", None),
    ("", "2001:db8:62::1", "MAILER-DAEMON@foreign.test", None),
])
def test_who_may_send_as_whom(signing, login, client, value, expected):
    outcome = ask(signing, value, login, client)
    if expected and " " in expected:
        assert outcome.action == "reject" and expected in outcome.reply
    else:
        assert signed_by(outcome) == expected


def test_smtp_hears_the_words_and_a_bare_from_does_not_get_by(signing):
    assert send(signing, "From: a@foreign.test\nSubject: s\n\nb\n") == (
        "550 5.7.1 From domain foreign.test: no DKIM key of this server covers it")
    assert send(signing, "From: a@example.net\nSubject: s\n\nb\n").startswith("451 4.7.5 From domain example.net")
    for bad in ("From:", "From: a@example.com\nFrom: b@foreign.test", "From: a@example.com\nFrom : b@foreign.test"):
        assert send(signing, f"{bad}\nSubject: s\n\nb\n").startswith("550 5.7.1 From must"), bad


def test_local_mail_and_own_notices_are_signed(signing):
    signing.shell("rm -f /var/mail/sink")
    signing.shell("printf 'From: root@example.us\\nSubject: local\\n\\nb\\n' | sendmail -f to@sink.test to@sink.test")
    assert b"d=example.us;" in received(signing, "local")
    signing.shell("printf 'From: root@example.us\\nSubject: s\\n\\nb\\n' | sendmail -f to@sink.test x@[192.0.2.300]")
    notice = received(signing, "Undelivered Mail Returned to Sender")
    head = notice.partition(b"\r\n\r\n")[0]
    assert re.search(rb"\r\nFrom: .*MAILER-DAEMON@mta1.example.us", head) and b" d=example.us;" in head


def test_a_dead_milter_defers(broken):
    broken.shell("systemctl stop opendkim")
    assert send(broken, "From: a@example.com\nSubject: s\n\nb\n").startswith("451 4.7.1")


def test_a_second_run_changes_and_restarts_nothing(broken, controller):
    before = pid(broken)
    controller.play(config(controller), broken)
    assert not controller.outcome["changed"] and controller.outcome["changes"] == [] and pid(broken) == before
    assert "From example.us" in controller.outcome["proved"]


def test_a_run_stopped_service_is_started(broken, controller):
    broken.shell("systemctl stop opendkim")
    controller.play(config(controller), broken)
    assert controller.outcome["changes"] == ["opendkim: started"]


def test_check_mode_says_what_the_run_then_does(broken, controller):
    change = config(controller, deferred=["example.net", "example.edu"])
    controller.play(change, broken, ("--check",))
    foreseen = controller.outcome
    assert ask(broken, "a@example.edu").reply.startswith("550")
    controller.play(change, broken)
    assert foreseen["changed"] and foreseen["changes"] == controller.outcome["changes"]
    assert foreseen["diff"] == controller.outcome["diff"] and foreseen["unverified"]
    assert ask(broken, "a@example.edu").reply.startswith("451")
    controller.play(change, broken, ("--check",))
    assert not controller.outcome["changed"] and controller.outcome["proved"] and not controller.outcome["unverified"]


@pytest.mark.parametrize("damage", [
    "head -c 400 m1.pem > x; cat x > m1.pem",
    "rm m1.pem; mkdir m1.pem",
    "rm m1.pem",
    "mv m1.pem x; ln -s x m1.pem",
])
def test_an_unreadable_key_fails_and_the_old_configuration_runs_on(broken, controller, damage):
    broken.shell(f"cd /etc/dkimkeys/example.us; {damage}")
    before, conf = pid(broken), broken.read("/etc/opendkim.conf")
    server_scope = [POLICY["signing"][0], {"domain": "example.us", "selector": "m1", "scope": "server"}]
    done = controller.play(config(controller, signing=server_scope, deferred=[], logins={}), broken, check=False)
    assert done.returncode and "m1" in done.stdout and "example.us" in done.stdout
    assert (pid(broken), broken.read("/etc/opendkim.conf")) == (before, conf)
    assert signed_by(ask(broken, "a@example.com")) == "example.com"
    broken.shell("rm -r /etc/dkimkeys/example.us")


def test_a_key_that_was_not_published_does_not_sign(broken, controller):
    wrong = POLICY["signing"][0] | {"public": controller.publics["m1._domainkey.example.us."]}
    done = controller.play(config(controller, signing=[wrong, POLICY["signing"][1]]), broken, check=False)
    assert done.returncode and "m1._domainkey.example.com: it is not the key whose public half" in done.stdout


def test_a_proof_that_fails_brings_the_old_configuration_back(broken, controller):
    conf = broken.read("/etc/opendkim.conf")
    broken.shell("chmod 777 /etc")  # OpenDKIM starts, but RequireSafeKeys keeps it from using any key
    done = controller.play(config(controller, deferred=["example.net", "example.edu"]), broken, check=False)
    broken.shell("chmod 755 /etc")
    assert done.returncode and "the milter does not do what was promised" in done.stdout
    assert "key data is not secure" in done.stdout and "The configuration of before stands again" in done.stdout
    assert broken.read("/etc/opendkim.conf") == conf
    assert signed_by(ask(broken, "a@example.com")) == "example.com"
    controller.play(config(controller), broken)
    assert not controller.outcome["changed"]


def test_an_interrupted_run_is_taken_up(broken, controller):
    conf = broken.read("/etc/opendkim.conf")
    broken.write("/etc/opendkim/previous.conf", conf)
    broken.shell("touch /etc/opendkim/unproved; sed -i 's/^Mode s/Mode v/' /etc/opendkim.conf; chmod 777 /etc")
    assert controller.play(config(controller, deferred=[], logins={}), broken, check=False).returncode
    broken.shell("chmod 755 /etc")
    assert broken.read("/etc/opendkim.conf") == conf, "the proved configuration, not the one that was under way"
    broken.shell("touch /etc/opendkim/unproved")
    controller.play(config(controller), broken)
    assert controller.outcome["changes"] == ["the last run ended before its proof: proved again"]
    broken.shell("test ! -e /etc/opendkim/unproved")


def test_contradictions_are_told_before_anything_changes(broken, controller):
    wrong = config(controller, deferred=["example.com"], logins={"a": ["x.test"]})
    done = controller.play(wrong, broken, check=False)
    assert done.returncode and "example.com: found 2 times" in done.stdout
    assert "logins.a: found the domain" in done.stdout


def test_no_secret_shows(broken, controller):
    broken.shell("rm -r /etc/dkimkeys/example.com /etc/opendkim; echo > /etc/opendkim.conf")
    done = controller.play(config(controller), broken, ("-vvv", "--diff"))
    secrets = [line for line in pem(controller).read_text().splitlines() if "-" not in line]
    places = "cat /var/log/syslog /var/log/mail.log; journalctl; find /tmp /var/tmp /root -type f -exec cat {} +"
    shown = [done.stdout, done.stderr, json.dumps(controller.outcome), broken.shell(places).stdout]
    assert "opendkim_config" in shown[-1], "the log tells of the module, so a secret would be found there"
    assert not [line for text in shown for line in secrets if line in text or line[:40] in text]
    modes = broken.shell("cd /etc/dkimkeys; stat -c '%a %U:%G' . example.com example.com/m1.pem "
                          "/var/spool/postfix/opendkim").stdout.splitlines()
    assert modes == ["700 opendkim:opendkim", "700 opendkim:opendkim", "600 opendkim:opendkim",
                     "2750 opendkim:postfix"]


def test_a_vaulted_key_is_the_same_key(broken, controller):
    password = controller.folder / "password"
    password.write_text("vault password of the test")
    plain = pem(controller).read_bytes()
    vault = str(Path(servers.sys.executable).with_name("ansible-vault"))
    run(vault, "encrypt", "--vault-password-file", str(password), str(pem(controller)))
    try:
        controller.play(config(controller), broken, ("--vault-password-file", str(password)))
        assert not controller.outcome["changed"]
    finally:
        pem(controller).write_bytes(plain)


def test_a_key_of_the_server_never_leaves_it(broken, controller):
    key = {"domain": "example.us", "selector": "own", "type": "ed25519"}
    controller.play({"mailfleet.sending.dkim_key": {
        "directory": "/etc/dkimkeys", "owner": "opendkim", "group": "opendkim", "keys": [key]}}, broken)
    (made,) = controller.outcome["keys"]
    entry = {"domain": "example.us", "selector": "own", "scope": "server", "public": made["public"]}
    only = config(controller, signing=[entry], deferred=["example.com"])
    controller.play(only, broken)
    assert "a=ed25519-sha256" in ask(broken, "a@example.us").headers[0][1]
    assert ask(broken, "a@example.com").reply.startswith("451 4.7.5")
    assert not list(controller.folder.glob("secrets/dkim/example.us/own*"))
    controller.play(only, broken)
    assert not controller.outcome["changed"]
    controller.play(config(controller, retired=[{"domain": "example.us", "selector": "own"}]), broken)
    assert "/etc/dkimkeys/example.us/own.pem: removed" in controller.outcome["changes"]
    broken.shell("test ! -e /etc/dkimkeys/example.us/own.pem; test -e /etc/dkimkeys/example.us/m1.pem")


@pytest.mark.parametrize("release", ["12", "13"])
def test_check_mode_before_anything_is_installed(release, tmp_path):
    bare = start("bare", release)
    try:
        bare.shell("dpkg --purge opendkim postfix; userdel opendkim; rm -rf /etc/dkimkeys /etc/opendkim.conf")
        controller = Controller(tmp_path)
        bare.let_in(controller.public_key)
        controller.play(config(controller), bare, ("--check", "--diff"))
        assert controller.outcome["changes"] == [
            "/etc/dkimkeys/example.com/m1.pem: made",
            "/etc/dkimkeys/example.us/m1.pem: made",
            "/etc/opendkim.conf: made",
        ]
        assert len(controller.outcome["unverified"]) == 3
        bare.shell("test ! -e /etc/opendkim; test ! -e /etc/dkimkeys")
        done = controller.play(config(controller), bare, check=False)
        assert done.returncode
        for domain in ("example.com", "example.us"):
            path = pem(controller, domain)
            assert f"{path}: the key of scope fleet is not there; make it with dkim_key" in done.stdout
        done = controller.play({MODULE: {}}, bare, check=False)
        assert done.returncode and "install the package opendkim first" in done.stdout
    finally:
        bare.stop()
