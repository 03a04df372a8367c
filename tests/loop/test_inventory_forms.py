# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other forms of the same inventory and of the same command: they prove the same fleet and change nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import breaking
import lab_world as lab
import pytest
import yaml

pytestmark = pytest.mark.long


@pytest.fixture
def copy(tmp_path) -> breaking.Copy:
    return breaking.copy_of_the_inventory(tmp_path)


class Vault:
    """A vault of the test's own, and what was put into it."""

    def __init__(self, folder: Path) -> None:
        self.password = folder / "vault-password"
        self.password.write_text("the vault's password\n")
        self.secrets: list[str] = []

    def encrypt(self, *files: Path) -> None:
        """Encrypt files in their places, and remember their lines as secrets."""
        for file in files:
            self.secrets += [line for line in file.read_text().splitlines() if len(line) > 12 and line[:5] != "-----"]
        command = [str(lab.BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(self.password)]
        subprocess.run([*command, *map(str, files)], check=True, capture_output=True, timeout=60)

    def text(self, value: str) -> str:
        """A value as it stands encrypted in YAML."""
        file = self.password.with_name("value")
        file.write_text(value)
        self.encrypt(file)
        return "!vault |\n" + textwrap.indent(file.read_text(), " " * 20)


def proved(played: lab.Played) -> lab.Played:
    played.ok()
    assert set(played.recap) == set(lab.SERVERS)
    assert played.changed == 0 and "\nPROVED: " in played.output, played.output[-12000:]
    return played


def test_with_all_secrets_in_a_vault(copy, tmp_path):
    """The TSIG secret and the logins' hashes in the variables; files of keys, passwords and the certificate's key."""
    vault, files = Vault(tmp_path), tmp_path / "vaulted"
    files.mkdir()
    for source in (lab.RUN / "mailbox.secret", *(lab.RUN / "tls").glob("*.key")):
        shutil.copy2(source, files)
    vault.encrypt(*files.iterdir(), *copy.secrets.glob("dkim/*/*.pem"), copy.secrets / "logins/probe")
    known = copy.read()
    users, key, mailboxes = known["sending_users"], known["lab_dns_key"], known["sending_probe_mailboxes"]
    secrets = {"THE_SECRET": "tsig.secret"}
    key["secret"] = "THE_SECRET"
    for number, user in enumerate(users):
        user["password_hash"] = f"THE_HASH_{number}"
        secrets[user["password_hash"]] = f"{user['name']}.hash"
    for mailbox in mailboxes:
        mailbox["imap"]["password_file"] = "{{ inventory_dir }}/../vaulted/mailbox.secret"
    certificate = "{{ inventory_dir }}/../vaulted/{{ inventory_hostname }}.key"
    copy.write(sending_users=users, lab_dns_key=key, sending_probe_mailboxes=mailboxes, sending_tls_key=certificate)
    file = copy.path / breaking.GROUP_FILE
    text = file.read_text()
    for word, secret in secrets.items():
        assert text.count(word) == 1
        text = text.replace(word, vault.text((lab.RUN / secret).read_text().strip()))
    file.write_text(text)

    opened = ("--vault-password-file", str(vault.password))
    played = proved(lab.play("-vvv", "--diff", *opened, inventory=copy.path))
    assert not [secret for secret in vault.secrets if secret in played.output]

    locked = lab.play(inventory=copy.path)
    assert locked.status != 0 and locked.changed == 0
    assert "no vault secrets" in locked.output and "Traceback" not in locked.output


def test_in_one_file_and_by_the_playbooks_full_name(copy):
    hosts = yaml.safe_load((copy.path / "hosts.yml").read_text())
    group = hosts["sending_servers"]
    group["vars"] |= copy.read()
    for server, variables in group["hosts"].items():
        variables |= copy.read(f"host_vars/{server}.yml")
    for name in ("group_vars", "host_vars"):
        shutil.rmtree(copy.path / name)
    (copy.path / "hosts.yml").unlink()
    fleet = copy.path / "fleet.yml"
    fleet.write_text(yaml.safe_dump(hosts))
    files = {name: text for name, text in copy.files().items() if not name.endswith("report.json")}
    proved(lab.play(inventory=fleet, playbook=Path("mailfleet.sending.site")))
    assert {name: text for name, text in copy.files().items() if not name.endswith("report.json")} == files


@pytest.mark.parametrize("task", ["Report", "Publish the records", "Sign, and prove it", "Install the configuration"])
def test_a_run_that_begins_in_its_midst_stops_at_once_and_says_what_is_missing(copy, task):
    played = lab.play("--start-at-task", task, inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert re.search(r"'sending_(desired|signing)' is undefined", played.output), played.output
    assert "Traceback" not in played.output
