# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mistakes of an inventory as the playbooks tell them: all at once, by the collection's own words, nothing touched."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ONE, OTHER = "mta1.example.com", "mta2.example.com"
HERE = "{{ inventory_dir }}"
HOSTS = {
    ONE: {"sending_addresses": [{"address": "198.51.100.10", "helo": ONE}]},
    OTHER: {"sending_addresses": [{"address": "198.51.100.20", "helo": OTHER}]},
}
VARIABLES = {
    "sending_domains": [{"name": "example.com"}],
    "sending_users": [{"name": "app", "password_hash": "$6$salt$hash"}],
    "sending_tls_certificate": HERE + "/tls/server.crt",
    "sending_tls_key": HERE + "/tls/server.key",
    "sending_tls_ca": HERE + "/tls/ca.crt",
    "sending_probe_mailboxes": [{"address": "me@gmail.com", "authserv_id": "mx.google.com",
                                 "imap": {"host": "imap.gmail.com", "password_file": HERE + "/tls/mailbox"}}],
    # Nobody is reached, neither by way of the network nor here.
    "ansible_ssh_common_args": "-o ProxyCommand=false",
}
FILES = {
    "server.crt": "-----BEGIN CERTIFICATE-----\n",
    "server.key": "-----BEGIN PRIVATE KEY-----\n",
    "ca.crt": "-----BEGIN CERTIFICATE-----\n",
    "mailbox": "s3cret-in-a-file\n",
}
# What runs before the inventory is checked, and on the controller only.
BEFORE = ("Stop where there is no server", "Reach no server where", "Read those of servers that answer",
          "Take back the last report")
UNREACHED = f"fatal: [{ONE}]: UNREACHABLE!"


class World:
    """An inventory without mistakes, which a test may change before it runs a playbook."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hosts, self.variables = folder, copy.deepcopy(HOSTS), copy.deepcopy(VARIABLES)
        (folder / "inventory/tls").mkdir(parents=True)
        for name, text in FILES.items():
            (folder / "inventory/tls" / name).write_text(text)

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1",
                       "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_HOME": str(self.folder / "home")}
        return subprocess.run([str(BIN / name), *arguments], cwd=self.folder, env=environment, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)

    def play(self, playbook: str = "mailfleet.sending.site", *options: str) -> str:
        """What a run printed that failed and left no state behind."""
        group = {"hosts": self.hosts, "vars": self.variables}
        (self.folder / "inventory/hosts.json").write_text(json.dumps({"sending_servers": group}))
        ran = self.program("ansible-playbook", "-i", "inventory/hosts.json", playbook, *options)
        assert ran.returncode != 0 and "Traceback" not in ran.stdout, ran.stdout
        assert not (self.folder / "inventory/.mailfleet").exists()
        return ran.stdout

    def mistakes(self, *arguments: str) -> list[str]:
        """The mistakes that a run told, a line each, before anything else was done."""
        said = self.play(*arguments)
        assert UNREACHED not in said and said.count("\nfatal: ") == 1, said
        tasks = re.findall(r"^TASK \[(?:\S+ : )?(.*)\]", said, re.MULTILINE)
        assert [task.startswith(BEFORE) for task in tasks].count(False) == 1, said
        lines = said.partition("msg: ")[2].partition("\n\n")[0].splitlines()
        headline = next(at for at, line in enumerate(lines) if " in the inventory:" in line)
        told = [line.strip() for line in lines[headline + 1:]]
        assert lines[headline].split()[0] == str(len(told))
        return told


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def spoil(world: World) -> list[str]:
    """Make a mistake of each sort, and return how each should begin."""
    del world.hosts[ONE]["sending_addresses"][0]["helo"]
    world.hosts[OTHER]["sending_adresses"] = []
    world.variables |= {
        "sending_domain": [{"name": "example.net"}],
        "sending_domains": [{"name": "example.com", "bounce_domian": "e.example.com"}],
        "sending_users": [{"name": "app", "password_hash": "hunter2-is-no-hash"}],
        "sending_networks": "{{ networks_of_nobody }}",
        "sending_dkim_bits": 1000,
        "sending_verify_deployed": "perhaps",
        "sending_probe_mailboxes": [{"address": "me@gmail.com", "authserv_id": "mx.google.com"},
                                    {"address": "you@gmail.com", "authserv_id": "mx.google.com",
                                     "imap": {"host": "imap.gmail.com", "passwort": "hunter2-is-no-key"}}],
    }
    return [
        f"{ONE}: sending_addresses[0].helo: found nothing, expected a value; add helo",
        f"{OTHER}: sending_adresses: found an unknown variable,",
        "sending_domain: found an unknown variable, expected a variable of the role mailfleet.sending.sending;"
        " did you mean sending_domains?",
        "sending_domains[0].bounce_domian: found the unknown key",
        "sending_users[0].password_hash: found something else (not shown)",
        "sending_networks: cannot be filled in: 'networks_of_nobody' is undefined",
        "sending_dkim_bits: found 1000, expected one of 1024",
        "sending_verify_deployed: found 'perhaps', expected true or false",
        "sending_probe_mailboxes[0].imap: found nothing, expected a value; add imap",
        "sending_probe_mailboxes[1].imap.passwort: found the unknown key",
        "sending_probe_mailboxes[1].imap.password: found nothing, expected a password; give password or password_file",
    ]


@pytest.mark.parametrize("playbook", ["mailfleet.sending.site", "mailfleet.sending.verify",
                                      "mailfleet.sending.plan", "mailfleet.sending.observe"])
def test_all_are_told_at_once_and_no_secret_with_them(world, playbook):
    wanted = spoil(world)
    told = world.mistakes(playbook)
    assert [text for text in wanted if not any(line.startswith(text) for line in told)] == []
    assert len(told) == len(wanted)
    assert "hunter2" not in world.play(playbook, "-vvv")


def test_limit_hides_no_host(world):
    spoil(world)
    told = world.mistakes("mailfleet.sending.site", "--limit", OTHER)
    assert any(line.startswith(f"{ONE}: sending_addresses[0].helo: ") for line in told)


def test_files_that_cannot_be_read_are_told_with_the_variable(world):
    for name in FILES:
        (world.folder / "inventory/tls" / name).unlink()
    (world.folder / "inventory/tls/ca.crt").mkdir()
    told = world.mistakes()
    folder = world.folder / "inventory/tls"
    missing = "which cannot be read: No such file or directory, expected"
    for start in (
        *(f"{host}: sending_tls_{half}: found {folder}/server.{ending}, {missing}"
          for host in HOSTS for half, ending in (("certificate", "crt"), ("key", "key"))),
        f"sending_tls_ca: found {folder}/ca.crt, which cannot be read: Is a directory, expected",
        f"sending_probe_mailboxes[0].imap.password_file: found {folder}/mailbox, {missing}",
    ):
        assert any(line.startswith(start) for line in told), (start, told)
    assert len(told) == 6


def test_what_a_vault_holds_is_read_and_never_shown(world):
    password = world.folder / "vault-password"
    password.write_text("the vault's password\n")
    opened = ("--vault-password-file", str(password))
    names = [f"inventory/tls/{name}" for name in ("server.key", "mailbox")]
    assert world.program("ansible-vault", "encrypt", *opened, *names).returncode == 0
    told = world.mistakes()
    paths = [f"{ONE}: sending_tls_key", f"{OTHER}: sending_tls_key", "sending_probe_mailboxes[0].imap.password_file"]
    assert [next(line for line in told if line.startswith(f"{path}: ")) for path in paths] and len(told) == 3
    assert all("no vault secrets" in line for line in told)

    said = world.play("mailfleet.sending.site", "-vvv", *opened)
    assert UNREACHED in said and "in the inventory:" not in said
    assert "s3cret-in-a-file" not in said


def test_who_verifies_dns_needs_no_file_of_servers(world):
    for name in FILES:
        (world.folder / "inventory/tls" / name).unlink()
    world.variables |= {"sending_dns_wait": -1}
    (told,) = world.mistakes("mailfleet.sending.verify")
    assert told.startswith("sending_dns_wait: ")


def test_the_role_used_alone_is_checked_by_its_specs(world):
    play = [{"hosts": "sending_servers", "gather_facts": False, "roles": ["mailfleet.sending.sending"]}]
    (world.folder / "alone.json").write_text(json.dumps(play))
    world.variables |= {
        "sending_domains": [{"name": "example.com", "dmarc": {"policy": "none", "rua": ["d@example.com"]},
                             "spf": {"external": ["a.example.net", {"name": "b.example.net", "lookups": 2}]}},
                            {"name": "example.us", "dmarc": False, "spf": {"redirect": "example.com"}}],
        "sending_providers": ["google", {"name": "throttle", "domains": ["orange.fr"], "delay": 1}],
        "sending_zones": [{"name": "example.com", "server": "192.0.2.1", "key": {"name": "k", "secret": "c2VjcmV0"}}],
    }
    said = world.play("alone.json")
    assert said.count(UNREACHED) == 1 and "ok: [mta1.example.com]" in said, said

    del world.hosts[ONE]["sending_addresses"][0]["helo"]
    said = world.play("alone.json")
    assert "missing required arguments: helo found in sending_addresses" in said
