# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in postfix_config: shown by a real Postfix, renewed, refused, undone, and never seen with their keys."""

from __future__ import annotations

import json
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path

import certificates
import pytest
from certificates import Pair
from postfix_node import BASE, MODULE, STATE, Node

AUTHORITY = certificates.pair("an authority", ends=3650)
GOOD, RENEWED, SOON, OVER = (
    certificates.pair(begins=-60, ends=days, issuer=AUTHORITY) for days in (60, 90, 5, -1)
)


@pytest.fixture
def files(tmp_path):
    """Write the halves of a pair, or of two, on the controller, and return the layer that names them."""

    def layer(chain: Pair, key: Pair | str | None = None) -> dict:
        certificate, private = tmp_path / "mta1.crt", tmp_path / "mta1.key"
        certificate.write_text(chain.certificate + AUTHORITY.certificate)
        private.write_text(key if isinstance(key, str) else (key or chain).key)
        return named(certificate, private)

    return layer


def named(certificate: Path | str, key: Path | str) -> dict:
    return {
        "parameters": {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": "{certificate:mail}",
            "smtpd_tls_cert_file": "",
            "smtpd_tls_key_file": "",
        },
        "certificates": {"mail": {"certificate": str(certificate), "key": str(key)}},
    }


def shown(node: Node) -> bytes:
    """The certificate that Postfix shows to a client, in DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(node.server.address, 25, "test", 20) as client:
        client.starttls(context=context)
        return client.sock.getpeercert(binary_form=True)


def pid(node: Node) -> str:
    return node.shell("cat /var/spool/postfix/pid/master.pid").strip()


def folder(node: Node) -> list[str]:
    """Names and modes of what stands beside the tables."""
    return node.shell("stat -c '%n %a %U:%G' /etc/postfix/mailfleet/*.pem").splitlines()


def test_a_given_certificate_is_shown_renewed_and_otherwise_left_alone(node, files):
    layers = {"postfix": BASE, "tls": files(GOOD)}
    told = node.apply(layers, "--check", "--diff")
    done = node.apply(layers, "--diff")
    assert done["proof"]["certificates"] == {"127.0.0.1:25": GOOD.fingerprint}
    assert shown(node) == GOOD.der
    (file,) = folder(node)
    path = node.shell("postconf -h smtpd_tls_chain_files").strip()
    assert file == f"{path} 600 root:root"
    assert node.shell(f"stat -c '%a %U:%G' {STATE} {STATE}/generations/*/tables/*.pem").splitlines() == [
        "700 root:root", "600 root:root"]
    before, master = node.state(), pid(node)
    for options in ((), ("--check",)):
        assert not node.apply(layers, *options)["changed"]
    assert node.state() == before

    layers["tls"] = files(RENEWED)
    told_again = node.apply(layers, "--check", "--diff")
    again = node.apply(layers, "--diff")
    assert again["reloaded"] and not again["restarted"] and pid(node) == master
    assert again["proof"]["certificates"] == {"127.0.0.1:25": RENEWED.fingerprint} and shown(node) == RENEWED.der
    assert len(folder(node)) == 1 and folder(node) != [file], "the former key is gone"
    for foreseen, made in ((told, done), (told_again, again)):
        assert {key: foreseen[key] for key in ("changed", "diff", "reloaded")} == {
            key: made[key] for key in ("changed", "diff", "reloaded")}
    (part,) = [part for part in again["diff"] if part["after_header"] == "certificate mail"]
    assert [part[side].split(" until ")[0] for side in ("before", "after")] == [GOOD.fingerprint, RENEWED.fingerprint]


PLACE = "layers.tls.certificates.mail"
CUT = RENEWED.key[:100]
WRONG = {
    "over": (lambda files: files(OVER), [f"{PLACE}: found a certificate that ended on ", "renew it"]),
    "another key": (
        lambda files: files(RENEWED, GOOD), [f"{PLACE}: found a key that does not belong", "give the key that this"]),
    "halved key": (
        lambda files: files(RENEWED, f"{CUT}\n-----END PRIVATE KEY-----\n"), [f"{PLACE}: found what OpenSSL cannot"]),
    "cut-off key": (lambda files: files(RENEWED, CUT), ["mta1.key: found no private key, expected one in PEM form"]),
    "passphrase": (
        lambda files: files(RENEWED, RENEWED.locked("secret")), ["mta1.key: found a private key with a passphrase"]),
    "no file": (
        lambda files: named("/etc/hostname", "/nowhere.key"), [f"{PLACE}.key: found /nowhere.key, which cannot"]),
    "misnamed": (
        lambda files: {**files(RENEWED), "certificates": {"mial": files(RENEWED)["certificates"]["mail"]}},
        ["found {certificate:mail}", "did you mean mial?"]),
}


@pytest.fixture(scope="module")
def showing(machine):
    """A Postfix that shows GOOD."""
    machine.fresh()
    pair = {"mail": GOOD.key + GOOD.certificate}
    layer = {**named("", ""), "certificates": {"mail": {}}}
    machine.apply({"postfix": BASE, "tls": layer}, secret_certificates=pair)
    return machine


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_certificate_is_refused_and_the_former_goes_on(showing, files, what):
    before, master = showing.standing(), pid(showing)
    layer, words = WRONG[what]
    message = showing.refused({"tls": layer(files)})
    assert [word for word in words if word not in message] == [], message
    assert showing.standing() == before and pid(showing) == master and shown(showing) == GOOD.der


def test_a_mistake_in_a_certificate_is_told_with_all_others(showing, files):
    message = showing.refused({"tls": files(OVER, GOOD), "more": {"parameters": {"smtpd_banna": "hi"}}})
    for word in ("ended on", "does not belong", "did you mean smtpd_banner?"):
        assert word in message


def test_one_that_ends_soon_is_a_warning_in_every_run(node, files):
    layers = {"postfix": BASE, "tls": files(SOON)}
    for changed in (True, False):
        said = " ".join(node.controller.play({MODULE: {"layers": layers}}, node.server).stderr.split())
        assert node.controller.outcome["changed"] is changed
        assert f"layers.tls.certificates.mail: a certificate ends on {SOON.public.not_valid_after_utc:%Y-%m-%d}" in said


def test_one_that_has_ended_since_is_told_where_nothing_is_new(node, files):
    """Its time goes by while it is shown; what stands goes on, and other changes wait, too."""
    layers = {"postfix": BASE, "tls": files(GOOD)}
    node.apply(layers)
    clock = "/usr/lib/python3/dist-packages/usercustomize.py"
    later = ("import datetime\nclass Later(datetime.datetime):\n    @classmethod\n    def now(cls, zone=None):\n"
             "        return super().now(zone) + datetime.timedelta(days=61)\ndatetime.datetime = Later\n")
    node.server.write(clock, later)
    try:
        assert "found a certificate that ended on" in node.refused(layers)
        assert "found a certificate that ended on" in node.refused({"more": {"parameters": {"biff": "yes"}}})
    finally:
        node.shell(f"rm {clock}")
    assert shown(node) == GOOD.der and not node.apply(layers)["changed"]


def test_what_cannot_be_proved_by_a_handshake_is_undone(node, files):
    node.apply({"postfix": BASE, "tls": files(GOOD)})
    before, pem = node.files(), folder(node)
    silent = {"parameters": {"smtpd_discard_ehlo_keywords": "starttls"}}
    message = node.refused({"tls": files(RENEWED), "more": silent}, prove={"timeout": 8})
    assert "no TLS with the certificate of /etc/postfix/mailfleet/mail." in message
    assert "stands again and is up" in message
    assert node.files() == before and folder(node) == pem and shown(node) == GOOD.der


@pytest.mark.parametrize("step", ["tables", "switch", "prove", "clean"])
def test_a_renewal_that_is_cut_off_is_undone_or_carried_to_its_end(node, files, step):
    layers = {"postfix": BASE, "tls": files(GOOD)}
    node.apply(layers)
    pem = RENEWED.key + RENEWED.certificate + AUTHORITY.certificate
    node.cut_off(step, "behind", {"postfix": BASE, "tls": {**named("", ""), "certificates": {"mail": {"pem": pem}}}})
    assert shown(node) in (GOOD.der, RENEWED.der)
    layers["tls"] = files(RENEWED)
    assert f"cut off at step {step}" in node.apply(layers)["recovered"]
    assert shown(node) == RENEWED.der and len(folder(node)) == 1
    assert not node.shell("ls -A /etc/postfix/mailfleet | grep '^\\.' || :")


def test_a_bare_server_is_told_of_what_is_wrong_too(node, files):
    node.shell("mv /usr/sbin/postconf /usr/sbin/postconf.away")
    try:
        told = node.apply({"tls": files(GOOD)}, "--check", "--diff")
        node.controller.play({MODULE: {"layers": {"tls": files(GOOD, RENEWED)}}, "ignore_errors": True}, node.server,
                             ("--check",))
    finally:
        node.shell("mv /usr/sbin/postconf.away /usr/sbin/postconf")
    assert any(part["after_header"] == "certificate mail" for part in told["diff"])
    assert "a key that does not belong" in node.controller.outcome["msg"]


def test_a_key_is_read_from_a_vault_and_shows_nowhere(node, files, tmp_path):
    layers = {"postfix": BASE, "tls": files(GOOD)}
    password = tmp_path / "password"
    password.write_text("of the vault\n")
    vault = str(Path(sys.executable).with_name("ansible-vault"))
    subprocess.run([vault, "encrypt", "--vault-password-file", str(password), str(tmp_path / "mta1.key")], check=True,
                   capture_output=True)
    task = {MODULE: {"layers": layers}}
    locked = node.controller.play(task, node.server, check=False)
    assert locked.returncode and "mta1.key, which cannot be read" in locked.stdout and "vault" in locked.stdout

    opened = ("--vault-password-file", str(password), "-vvv", "--diff")
    runs = [node.controller.play(task, node.server, opened)]
    assert shown(node) == GOOD.der
    files(RENEWED)
    runs.append(node.controller.play({**task, "failed_when": True, "ignore_errors": True}, node.server, opened))
    said = "".join(run.stdout + run.stderr for run in runs) + json.dumps(node.controller.outcome)
    assert RENEWED.fingerprint in said and GOOD.fingerprint in said
    log = node.shell("journalctl --no-pager; find /var/log /tmp /var/tmp /root/.ansible -type f -exec cat {} + | "
                     "tr -cd '[:print:]\\n'")
    for line in (GOOD.key + RENEWED.key).splitlines():
        if not line.startswith("-"):
            assert len(line) > 20 and line not in said and line not in log
