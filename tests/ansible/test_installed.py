# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection installed from the clone, by the commands that the README prints, away from the clone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n# inventory/(\S+?)(?:,[^\n]*)?\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# What a user gets; the lab, the tests and what they need stay in the clone.
SHIPPED = {"COPYING", "FILES.json", "MANIFEST.json", "README.md", "changelogs", "docs", "meta", "playbooks", "plugins",
           "roles"}


class Installed:
    """A controller that has nothing of this collection but what was installed into its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        """What a program printed that must succeed."""
        done = self.attempt(program, *arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def attempt(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = {**kept, "ANSIBLE_COLLECTIONS_PATH": str(self.folder), "ANSIBLE_NOCOLOR": "1",
                       "ANSIBLE_HOME": str(self.folder / "home")}
        return subprocess.run([str(Path(sys.executable).with_name(program)), *arguments], cwd=cwd or self.folder,
                              env=environment, text=True, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"))
    build, install = (shlex.split(line) for line in re.findall(r"^ansible-galaxy .*$", README, re.MULTILINE))
    made.run(*build, "--output-path", str(made.folder), cwd=ROOT)
    # Nothing is downloaded, since it depends on no other collection.
    made.run(*install, "--collections-path", str(made.folder), "--offline")
    inventory = made.folder / "inventory"
    for name, text in BLOCKS:
        path = inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    one = (inventory / "host_vars/mta1.example.com.yml").read_text()
    likewise = one.replace("mta1", "mta2").replace("100.10", "100.20").replace("::10", "::20")
    (inventory / "host_vars/mta2.example.com.yml").write_text(likewise)
    return made


def test_what_is_shipped(installed):
    (archive,) = installed.folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    assert {name.split("/")[0] for name in names} == SHIPPED
    assert not [name for name in names if "__pycache__" in name or ".mailfleet" in name]


def test_every_variable_is_described(installed):
    spec = yaml.safe_load((ROOT / "roles/sending/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    shown = installed.run("ansible-doc", "-t", "role", "mailfleet.sending.sending")
    assert [name for name in spec["options"] if not re.search(rf"^[-=] {name} ", shown, re.MULTILINE)] == []
    # Keys of mappings, and keys of mappings in these, too.
    assert all(re.search(rf"^ +[-=] {name} ", shown, re.MULTILINE)
               for name in ("authserv_id", "password_file", "algorithm", "subdomain_policy", "lookups"))


@pytest.mark.parametrize("playbook", ["site", "verify", "plan", "observe"])
def test_its_playbooks_are_found_and_whole(installed, playbook):
    shown = installed.run("ansible-playbook", "-i", "inventory", "--syntax-check", f"mailfleet.sending.{playbook}")
    assert f"playbook: {installed.folder}/ansible_collections/mailfleet/sending/playbooks/{playbook}.yml" in shown


def test_the_inventory_of_the_readme_is_read_without_a_mistake(installed):
    """The run ends where it would reach the first server, and this test has none."""
    nobody = ("-e", "ansible_ssh_common_args='-o ProxyCommand=false'")
    done = installed.attempt("ansible-playbook", "-i", "inventory", *nobody, "--check", "mailfleet.sending.site")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "TASK [mailfleet.sending.sending : Check the inventory]" in done.stdout
    assert "ok: [mta1.example.com]" in done.stdout and "fatal: [mta2.example.com]: UNREACHABLE!" in done.stdout
