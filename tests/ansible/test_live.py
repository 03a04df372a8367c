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


SPF = "v=spf1 ip4:192.0.2.1 -all"
NET = "2.0.192.in-addr.arpa"
# The options of each module that waits; what it waits for, and the values that end that: zone, name, type, value.
WAITS = {
    "dkim_verify": ({"keys": [{"domain": "example.com", "selector": "m1"}]},
                    ("example.com", "m1._domainkey.example.com", "TXT", RECORD)),
    "dmarc_verify": ({"domains": [{"domain": "example.com"}]},
                     ("example.com", "_dmarc.example.com", "TXT", "v=DMARC1; p=none")),
    "mx_verify": ({"domains": [{"domain": "b.example.com"}], "inbound_policies": False},
                  ("example.com", "b.example.com", "MX", "10 a.example.com.")),
    "ptr_verify": ({"addresses": [{"address": "192.0.2.1"}]}, (NET, f"1.{NET}", "PTR", "a.example.com.")),
    "spf_verify": ({"addresses": [{"address": "192.0.2.1"}], "domains": ["b.example.com"]},
                   ("example.com", "b.example.com", "TXT", SPF)),
}


def zones():
    return {"example.com": {"a.example.com": {"A": ["192.0.2.1"]}}, NET: {NET: {"TXT": ["x"]}},
            "com": {"com": {"TXT": ["x"]}}}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a play of one task, whose output is read line by line."""
    def begin(server: Nameserver, name: str, **task) -> subprocess.Popen[str]:
        arguments = {**WAITS[name][0], "resolvers": [str(server.server)], "authoritative": "no", "wait": 60}
        tasks = [{"name": "Wait", f"mailfleet.sending.{name}": arguments, "register": "found", **task},
                 {"name": "Tell", "ansible.builtin.debug": {"msg": "tries: {{ found.tries | length }}"}}]
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


@pytest.mark.parametrize("name", WAITS)
def test_each_try_is_shown_while_the_task_waits(start, name):
    zone, owner, rdtype, value = WAITS[name][1]
    with Nameserver(zones()) as server:
        process = start(server, name)
        first = next(line for line in process.stdout if line.startswith(f"{name} "))
        server.change(zone, owner, **{rdtype: [value]})  # and not before
        rest, _none = process.communicate(timeout=180)
    assert first.startswith(f"{name} after ") and f"1 of 1 not yet ({owner}.)" in first
    assert f"{server.server} holds 'no such name' of {owner}. {rdtype} until " in first
    assert f", {NEGATIVE_TTL} s; next try in 1 s" in first
    assert "all are as they should be\nok: [one]" in rest
    # A busy machine may have made the change later than the next try.
    assert f"tries: {2 + rest.count('1 of 1 not yet')}" in rest
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["dkim_verify", "spf_verify"])
def test_what_is_there_at_once_and_what_is_secret_is_not_shown(start, name):
    zone, owner, rdtype, value = WAITS[name][1]
    there = zones()
    there[zone][owner] = {rdtype: [value]}
    with Nameserver(there) as server:
        shown, _none = start(server, name).communicate(timeout=180)
        assert "tries: 1" in shown and f"\n{name} " not in shown
        server.change(zone, owner, A=["192.0.2.1"])
        process = start(server, name, no_log=True)
        while not server.asked[owner, rdtype] > 1:
            assert process.poll() is None
            time.sleep(0.05)
        server.change(zone, owner, **{rdtype: [value]})
        shown, _none = process.communicate(timeout=180)
        assert process.returncode == 0 and "tries: " in shown and f"\n{name} " not in shown
