# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing unvalidated reaches a running Postfix: it is refused, or undone, and the old one keeps running."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path

import breaking
import lab_runs
import lab_world as lab
import pytest
from lab_runs import apply, failure

SIGN = Path(__file__).with_name("sign_again.yml")
ONE, OTHER = lab.SERVERS
JOURNAL = "/var/lib/mailfleet/postfix/journal.json"
# Ends the process that holds the module's lock, as a power cut would.
KILL = """
import glob, os
for link in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        if os.readlink(link) == "/var/lib/mailfleet/postfix/lock":
            os.kill(int(link.split("/")[2]), 9)
            print("killed")
    except OSError:
        pass
"""
REFUSED = {
    "a misspelt parameter": (
        {"parameters": {"smtpd_banna": "hello"}},
        ["layers.loop.parameters.smtpd_banna: found unused parameter"],
    ),
    "a transport to a service nobody defines": (
        {"tables": {"transport": {"type": "hash", "entries": [["nowhere.test", "nowhere:"]]}}},
        [
            "layers.loop.tables.transport.entries[0] (nowhere.test): found transport nowhere",
            "expected a service nowhere/unix",
        ],
    ),
    "a table that does not build": (
        {
            "parameters": {"nested_header_checks": "{table:broken}"},
            "tables": {"broken": {"type": "pcre", "entries": [["/(never closed/", "REJECT"]]}},
        },
        ["layers.loop.tables.broken.entries[0]: found", "line 1", "expected a pcre table that builds"],
    ),
    "a bad value": (
        {"parameters": {"smtp_connect_timeout": "12x"}},
        ["smtp_connect_timeout: bad time value or unit: 12x"],
    ),
    "an open relay": (
        {
            "services": {
                "2526/inet": {
                    "private": "n",
                    "command": "smtpd",
                    "options": {"smtpd_relay_restrictions": "permit", "smtpd_recipient_restrictions": "permit"},
                }
            }
        },
        ["layers.loop.services.2526/inet: found", "expected no open relay"],
    ),
    "a key of another certificate": (
        {
            "services": {
                "2527/inet": {
                    "private": "n",
                    "command": "smtpd",
                    "options": {"smtpd_tls_chain_files": "{certificate:mixed}"},
                }
            },
            "certificates": {
                "mixed": {"certificate": str(lab.RUN / f"tls/{ONE}.crt"), "key": str(lab.RUN / f"tls/{OTHER}.key")}
            },
        },
        ["layers.loop.certificates.mixed: found a key that does not belong to the first certificate"],
    ),
}


@pytest.fixture
def before():
    """What both servers run with; afterwards they still, or again, run with it, and mail goes through."""
    found = {server: breaking.standing(server) for server in lab.SERVERS}
    yield found
    left = [server for server, standing in found.items() if breaking.standing(server) != standing]
    for server in left:
        apply(server, {})
    assert left == []
    breaking.assert_up()


def test_what_is_wrong_is_refused_with_its_cause_and_nothing_is_touched(before):
    pids = lab.ssh(OTHER, "cat", "/var/spool/postfix/pid/master.pid")
    for what, (layer, words) in REFUSED.items():
        said = failure(apply(OTHER, layer), OTHER)
        assert [word for word in words if word not in said] == [], f"{what}: {said}"
        assert breaking.standing(OTHER) == before[OTHER], what
    assert lab.ssh(OTHER, "cat", "/var/spool/postfix/pid/master.pid") == pids


def test_all_mistakes_are_told_at_once(before):
    layers = {f"loop{number}": layer for number, (layer, _words) in enumerate(REFUSED.values())}
    said = failure(lab_runs.run("--limit", ONE, playbook=lab_runs.APPLY, variables={"loop_layers": layers}), ONE)
    for what in ("smtpd_banna", "12x", "transport nowhere", "tables.broken", "no open relay", "certificates.mixed"):
        assert what in said


@pytest.mark.parametrize("server", lab.SERVERS)
def test_what_does_not_come_up_is_undone(before, server):
    """All checks pass, but nobody listens at the socket that smtpd asks for logins, and it hangs up."""
    options = {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": "private/none",
        "smtpd_tls_auth_only": "no",
    }
    layer = {"services": {"127.0.0.1:2526/inet": {"private": "n", "command": "smtpd", "options": options}}}
    said = failure(apply(server, layer, loop_prove={"timeout": 8}), server)
    assert "no 220 banner on 127.0.0.1:2526" in said and "stands again and is up" in said


def test_with_a_dead_milter_nothing_new_stays_and_the_next_run_puts_the_old_back(before):
    lab.ssh(ONE, "systemctl", "stop", "opendkim")
    try:
        said = failure(apply(ONE, {"parameters": {"smtp_connect_timeout": "29s"}}), ONE)
    finally:
        lab.ssh(ONE, "systemctl", "start", "opendkim")
    assert "milter does not answer" in said
    assert "29s" not in lab.ssh(ONE, "postconf", "smtp_connect_timeout")
    apply(ONE, {}).ok()


def test_a_run_that_is_cut_off_is_taken_up_by_the_next_one(before):
    layer = {"parameters": {"smtp_connect_timeout": "29s"}}
    prove = {"listeners": [{"address": "127.0.0.1", "port": 2526}], "timeout": 120}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(apply, ONE, layer, loop_prove=prove)
        try:
            breaking.until(lambda: '"prove"' in lab.ssh(ONE, "cat", JOURNAL, check=False), "the proof is under way",
                           120)  # a run has to begin
        finally:
            assert "killed" in lab.ssh(ONE, "python3", "-c", KILL)
        assert running.result().status != 0
    assert "29s" in lab.ssh(ONE, "postconf", "smtp_connect_timeout"), "it was not cut off behind the switch"
    (task,) = apply(ONE, {}).ok().of("postfix_config")
    assert task.result["changed"]
    assert "cut off at step prove" in task.result["recovered"] and "stands again" in task.result["recovered"]


@pytest.fixture
def damaged(tmp_path):
    """A copy of the inventory, and the private key of example.com in it, which a test may damage."""
    copy = breaking.copy_of_the_inventory(tmp_path)
    return copy, *(copy.secrets / "dkim/example.com").glob("*.pem")


def halved(pem: Path) -> None:
    pem.write_bytes(pem.read_bytes()[:800])


def another(pem: Path) -> None:
    (other,) = (pem.parent.parent / "example.us").glob("*.pem")
    pem.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [halved, another])
def test_a_damaged_key_stops_the_run_before_anything_changes(before, damaged, damage):
    copy, pem = damaged
    damage(pem)
    serials = {zone: breaking.serial(zone) for zone in breaking.ZONES}
    run = lab_runs.run(inventory=copy.path)
    assert str(pem) in failure(run, ONE, "dkim_key")
    assert not run.of("opendkim_config") and not run.of("postfix_config")
    assert {zone: breaking.serial(zone) for zone in breaking.ZONES} == serials


@pytest.mark.parametrize("damage", [halved, another])
def test_a_damaged_key_does_not_reach_opendkim(before, damaged, damage):
    copy, pem = damaged
    known = json.loads((copy.state / "keys.json").read_text())
    signing = [
        {"domain": domain, "selector": selector, "public": entry["public"]}
        for domain, keys in known.items()
        for selector, entry in keys.items()
    ]
    damage(pem)
    run = lab_runs.run("--limit", OTHER, inventory=copy.path, playbook=SIGN, variables={"loop_signing": signing})
    assert f"{pem.stem}._domainkey.example.com" in failure(run, OTHER, "opendkim_config")
