# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDKIM installed on both Debian versions, run again, and broken on purpose."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from milter_servers import (
    MODULE,
    POLICY,
    ask,
    config,
    controller_with_keys,
    pem,
    pid,
    send,
    signed_by,
    signing_server,
)
from servers import Controller, Server, run


@pytest.fixture(scope="module", params=["12", "13"])
def server(request):
    server = signing_server("dkim", request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def controller(tmp_path_factory, server):
    return controller_with_keys(tmp_path_factory.mktemp("controller"), server)


@pytest.fixture
def broken(server, controller):
    """OpenDKIM with POLICY, whatever the test before left, for a test that breaks it."""
    server.shell("chmod 755 /etc; systemctl reset-failed opendkim")
    controller.play(config(controller), server)
    return server


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


def test_check_mode_says_that_a_key_which_is_yet_to_be_made_replaces_another_of_its_name(broken, controller):
    unmade = config(controller, signing=[POLICY["signing"][0] | {"public": ""}, POLICY["signing"][1]])
    there = pem(controller).rename(controller.folder / "kept.pem")
    try:
        controller.play(unmade, broken, ("--check",))
    finally:
        there.rename(pem(controller))
    assert "/etc/dkimkeys/example.com/m1.pem: replaced" in controller.outcome["changes"]
    assert "/etc/dkimkeys/example.com/m1.pem: the key is not there yet" in controller.outcome["unverified"]


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
    vault = str(Path(sys.executable).with_name("ansible-vault"))
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
    (made,) = controller.outcome["public_keys"]
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
    bare = Server(f"bare{release}", release)
    try:
        bare.shell("dpkg --purge opendkim postfix-lmdb postfix-pcre postfix; userdel opendkim; "
                   "rm -rf /etc/dkimkeys /etc/opendkim.conf")
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
