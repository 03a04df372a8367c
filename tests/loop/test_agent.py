# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounces that one server takes in have the other refuse: one list in a real database, whatever way they came."""

from __future__ import annotations

import dataclasses
import json
import smtplib
import time
import uuid

import breaking
import lab_runs
import lab_world as lab
import pytest

DATABASE = ("host=db1.example.com hostaddr=198.51.100.31 dbname=mailfleet user=mailfleet sslmode=verify-full"
            " sslrootcert=/usr/local/share/ca-certificates/mailfleet-lab.crt")
SETTINGS = {"store": {"postgresql": DATABASE}, "policy": {"refresh": 1}}
SECRETS = {"postgresql": "{{ lookup('ansible.builtin.file', lab_run + '/postgresql.secret') }}"}
FIRST, SECOND = lab.SERVERS
REFUSED = "mailfleet-suppressed"
# Names of this run, since the database outlives one that was cut off.
NOBODY, NOBODY_ELSE = (f"nobody-{uuid.uuid4().hex[:12]}@gmail.com" for _name in range(2))
WITHIN = 20.0  # seconds from a bounce to the refusal at every server


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The fleet with an agent: check mode, the run, and a second one."""

    copy: breaking.Copy
    checked: lab_runs.Run
    first: lab_runs.Run
    second: lab_runs.Run


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A fleet with an agent; afterwards none has one."""
    lab.play().ok()
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("agent"))
    copy.write(sending_agent=SETTINGS, sending_agent_secrets=SECRETS)
    checked = lab_runs.run("--check", "--diff", inventory=copy.path).ok()
    first, second = (lab_runs.run("--diff", inventory=copy.path).ok() for _run in range(2))
    yield Fleet(copy, checked, first, second)
    without = lab_runs.run().ok()
    assert without.of("agent_config")
    for server in lab.SERVERS:
        lab.ssh(server, "sh", "-c", "rm -rf /var/lib/mailfleet-agent /var/spool/mailfleet")


def return_path(server: str, recipient: str) -> str:
    return lab.ssh(server, "mailfleet", "token", "new", "--recipient", recipient, "--domain", "e.example.com").strip()


def submit(server: str, path: str, recipient: str) -> str:
    """Submit a message; what it was refused with, or an empty text."""
    message = lab.message("news@example.com", recipient)
    try:
        with lab.submission(server) as session:
            session.send_message(message, path, [recipient])
    except smtplib.SMTPRecipientsRefused as error:
        return " ".join(f"{code} {said.decode()}" for code, said in error.recipients.values())
    return ""


def refused_within(server: str, recipient: str) -> str:
    """Wait until a server refuses a recipient."""
    end = time.monotonic() + WITHIN
    while not (said := submit(server, return_path(server, recipient), recipient)) and time.monotonic() < end:
        time.sleep(1)
    return said


def test_the_fleet_is_proved_and_a_second_run_changes_nothing(fleet):
    assert "\nPROVED: " in fleet.first.output and "\nPROVED: " in fleet.second.output
    assert fleet.second.changed == 0


def test_check_mode_tells_what_the_run_does_and_no_secret_shows(fleet):
    for module in ("agent_config", "agent_service"):
        told, done = (sorted((task.host, task.task, task.result["changed"]) for task in run.of(module))
                      for run in (fleet.checked, fleet.first))
        assert told == done and len(told) >= 2, module
    key = json.loads((fleet.copy.secrets / "token_keys.json").read_text())["keys"]["a"]
    password = (lab.RUN / "postgresql.secret").read_text().strip()
    for run in (fleet.checked, fleet.first, fleet.second):
        assert key not in run.output and password not in run.output


def test_the_keys_are_the_same_on_all_servers(fleet):
    found = {lab.ssh(server, "cat", "/etc/mailfleet/secrets.json") for server in lab.SERVERS}
    assert len(found) == 1


def test_mail_to_nobody_comes_back_and_both_servers_refuse_the_next(fleet):
    assert submit(FIRST, return_path(FIRST, NOBODY), NOBODY) == ""
    for server in lab.SERVERS:
        assert REFUSED in refused_within(server, NOBODY), server
    why = lab.ssh(SECOND, "mailfleet", "suppress", "why", NOBODY)
    assert "hard" in why and "user-unknown" in why, why


def test_others_are_not_refused(fleet):
    for server in lab.SERVERS:
        assert submit(server, return_path(server, "probe@gmail.com"), "probe@gmail.com") == "", server


def test_without_the_database_mail_flows_and_bounces_wait(fleet):
    with breaking.stopped("postgresql", "db"):
        assert submit(FIRST, return_path(FIRST, "probe@gmail.com"), "probe@gmail.com") == ""
        # From the copy, those who are known are refused all the same.
        assert REFUSED in submit(FIRST, return_path(FIRST, NOBODY), NOBODY)
        assert submit(FIRST, return_path(FIRST, NOBODY_ELSE), NOBODY_ELSE) == ""
        time.sleep(6)
        assert submit(SECOND, return_path(SECOND, NOBODY_ELSE), NOBODY_ELSE) == ""
    for server in lab.SERVERS:
        assert REFUSED in refused_within(server, NOBODY_ELSE), server
