# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that waits for DNS shows each try when it ends, not when the task does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nameserver import NEGATIVE_TTL, Nameserver

ROOT = Path(__file__).resolve().parents[2]
RECORD = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a play of one task, whose output is read line by line."""
    def begin(server: Nameserver, **task) -> subprocess.Popen[str]:
        arguments = {"keys": [{"domain": "example.com", "selector": "m1"}], "resolvers": [str(server.server)],
                     "authoritative": "no", "wait": 60}
        tasks = [{"name": "Wait", "mailfleet.sending.dkim_verify": arguments, "register": "dkim", **task},
                 {"name": "Tell", "ansible.builtin.debug": {"msg": "tries: {{ dkim.tries | length }}"}}]
        (tmp_path / "site.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "one,", "-c", "local", "site.json"]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return started[-1]

    started: list[subprocess.Popen[str]] = []
    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_each_try_is_shown_while_the_task_waits(start):
    with Nameserver({"example.com": {"a.example.com": {"A": ["192.0.2.1"]}}}) as server:
        process = start(server)
        first = next(line for line in process.stdout if line.startswith("dkim_verify "))
        server.change("example.com", "m1._domainkey.example.com", TXT=[RECORD])  # and not before
        rest, _none = process.communicate(timeout=60)
    assert first.startswith("dkim_verify after 0.") and "1 of 1 not yet (m1._domainkey.example.com.)" in first
    assert f"{server.server} holds 'no such name' of m1._domainkey.example.com. TXT until " in first
    assert f", {NEGATIVE_TTL} s; next try in 1 s" in first
    assert "all are as they should be\nok: [one]" in rest and "tries: 2" in rest
    assert process.returncode == 0


def test_what_is_there_at_once_and_what_is_secret_is_not_shown(start):
    with Nameserver({"example.com": {"m1._domainkey.example.com": {"TXT": [RECORD]}}}) as server:
        shown, _none = start(server).communicate(timeout=60)
        assert "tries: 1" in shown and "\ndkim_verify " not in shown
        server.change("example.com", "m1._domainkey.example.com", A=["192.0.2.1"])
        process = start(server, no_log=True)
        while not server.asked["m1._domainkey.example.com", "TXT"] > 1:
            assert process.poll() is None
            time.sleep(0.05)
        server.change("example.com", "m1._domainkey.example.com", TXT=[RECORD])
        shown, _none = process.communicate(timeout=60)
        assert process.returncode == 0 and "tries: " in shown and "\ndkim_verify " not in shown
