# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on their way as they are carried least safely: without pipelining, by a user who has to become root.

Modules with their arguments then lie in files for a moment, and Ansible is asked to tell all that it does.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator

import breaking
import lab_runs
import lab_world as lab
import pytest
import secrecy
import yaml

pytestmark = pytest.mark.long
USER = "deploy"
# Its home can be looked into by others, as it could on older systems.
MAKE = f"""
apt-get -qq install --no-install-recommends sudo >/dev/null
useradd --create-home --shell /bin/bash {USER}; chmod 755 /home/{USER}
mkdir /home/{USER}/.ssh; cp /root/.ssh/authorized_keys /home/{USER}/.ssh/; chown -R {USER}: /home/{USER}/.ssh
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
"""
# Connections of Ansible's stay open for a minute.
UNMAKE = f"pkill -KILL -u {USER}; rm /etc/sudoers.d/{USER}; userdel --force --remove {USER}; dpkg --purge sudo"
# What the run then has to bring anew.
LOSE = "rm /etc/postfix/mailfleet/smtpd.*.pem /etc/dovecot/submission-users /etc/dkimkeys/example.com/m*.pem"
FOLDERS = ("/home", "/tmp", "/var/tmp", "/dev/shm", "/run")


@pytest.fixture
def users() -> Iterator[None]:
    """The servers have a user who may become root."""
    with contextlib.ExitStack() as stack:
        for server in lab.SERVERS:
            stack.callback(lab.ssh, server, "sh", "-c", UNMAKE, check=False)
            lab.ssh(server, "sh", "-ec", MAKE)
        yield


def lookouts(stack: contextlib.ExitStack, secrets: dict[str, list[str]]) -> dict[str, secrecy.Lookout]:
    """Look into folders of the servers and of the controller while the stack lasts."""
    made = {"controller": secrecy.Lookout([*secrecy.SCRATCH, str(lab.HOME)], secrets)}
    for server in lab.SERVERS:
        enter = ("podman", "--runtime", "runc", "exec", "-i", f"mailfleet-lab-{server.partition('.')[0]}")
        made[server] = secrecy.Lookout(FOLDERS, secrets, *enter)
    for lookout in made.values():
        stack.enter_context(lookout)
    return made


def test_no_secret_shows_and_none_lies_open_on_the_way(secrets, users, tmp_path):
    copy = breaking.copy_of_the_inventory(tmp_path)
    hosts = yaml.safe_load((copy.path / "hosts.yml").read_text())
    hosts["sending_servers"]["vars"] |= {"ansible_user": USER, "ansible_become": True}
    (copy.path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    planted = {"planted": [uuid.uuid4().hex]}
    for server in lab.SERVERS:
        lab.ssh(server, "sh", "-c", LOSE)
    with contextlib.ExitStack() as stack:
        looked = lookouts(stack, {**secrets, **planted})
        for server in lab.SERVERS:
            lab.ssh(server, "sh", "-c", f"echo {planted['planted'][0]} >/home/planted; chmod 644 /home/planted")
        run = lab_runs.run("-vvvvv", "--diff", inventory=copy.path, environment={"ANSIBLE_PIPELINING": "0"})
        for server in lab.SERVERS:
            lab.ssh(server, "rm", "/home/planted")
    run.ok()
    assert "\nPROVED: " in run.output
    assert f"ESTABLISH SSH CONNECTION FOR USER: {USER}" in run.output and "AnsiballZ_postfix_config.py" in run.output
    assert all(run.recap[server]["changed"] >= 3 for server in lab.SERVERS)
    assert secrecy.given_away(run.output, secrets) == set()
    for task in run.tasks:
        assert secrecy.given_away(json.dumps(task.result), secrets) == set(), task.task
    assert looked.pop("controller").found == {}
    for server, lookout in looked.items():
        assert lookout.rounds > 100, "it looked too seldom to see what lies there for a moment"
        assert lookout.found == {"/home/planted": ["planted"]}, server
        left = lab.ssh(server, "find", "/tmp", "/var/tmp", f"/home/{USER}/.ansible", "-type", "f")
        assert left == "", server
