# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounces that one server takes in have the other refuse: one list in a real database, whatever way they came."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import smtplib
import subprocess
import sys
import time
import uuid

import breaking
import dkim
import lab_runs
import lab_world as lab
import pytest
import verifying
from test_budget import AT_HOME, ON_THE_CONTROLLER

from ansible_collections.mailfleet.sending.plugins.plugin_utils import agent_program

DATABASE = (f"host=db1.example.com hostaddr={lab.DATABASE} dbname=mailfleet user=mailfleet sslmode=verify-full"
            " sslrootcert=/usr/local/share/ca-certificates/mailfleet-lab.crt")
MOST = 1 << 20  # octets of junk that a server keeps: the least that there is
# A provider whose complaints need no token, as anybody's name server knows it.
SOURCE = "complaints.example.com"
SETTINGS = {"store": {"postgresql": DATABASE}, "policy": {"refresh": 1}, "quarantine": {"bytes": MOST}, "log": {},
            "feedback_addresses": ["fbl"], "feedback": {"sources": [SOURCE]}}
# A mailbox that applications had their bounces sent to before there were return paths of the fleet's own.
ELSEWHERE = "bounces@wanadoo.fr"
SETTINGS["mailboxes"] = {"old": {"protocol": "pop3", "host": "mx.orange.fr", "user": ELSEWHERE, "every": 2,
                                 "ca_file": "/usr/local/share/ca-certificates/mailfleet-lab.crt"}}
SECRETS = {"postgresql": "{{ lookup('ansible.builtin.file', lab_run + '/postgresql.secret') }}",
           "mailboxes": {"old": "{{ lookup('ansible.builtin.file', lab_run + '/mailbox.secret') }}"}}
FIRST, SECOND = lab.SERVERS
REFUSED = "mailfleet-suppressed"
# Names of this run, since the database outlives one that was cut off.
NOBODY, NOBODY_ELSE = (f"nobody-{uuid.uuid4().hex[:12]}@gmail.com" for _name in range(2))
NOBODY_AT = "gmail.com"
BOUNCES = "e.example.com"
NOTICE = """\
From: MAILER-DAEMON@mx.example.net
To: <{path}>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user here

--b--
"""
COMPLAINT = """\
From: abuse@provider.example
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Reports/1
Version: 1
Original-Rcpt-To: <{recipient}>

--b
Content-Type: text/rfc822-headers

From: news@example.com
To: {recipient}
Subject: news

--b--
"""
ROLES = ("mailfleet.sending.agent", "mailfleet.sending.bounces", "mailfleet.sending.maillog")
MORE_ON_A_SERVER = 4  # tasks of each of these roles
WITHIN = 60.0  # seconds that a bounce may take to the refusal at every server, beside all else that runs


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The fleet with an agent: check mode, the run, and a second one, whose tasks are counted."""

    copy: breaking.Copy
    checked: lab_runs.Run
    first: lab_runs.Run
    second: lab_runs.Run
    counts: dict


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A fleet with an agent; afterwards none has one."""
    lab.stand()
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("agent"))
    # Without networks that send through port 25, it is for what comes back in whatever form it has.
    copy.write(sending_agent=SETTINGS, sending_agent_secrets=SECRETS, sending_probe_nobody_at=NOBODY_AT,
               sending_networks=[])
    checked = lab_runs.run("--check", "--diff", inventory=copy.path).ok()
    first = lab_runs.run("--diff", inventory=copy.path).ok()
    counts = tmp_path_factory.mktemp("counts") / "counts.json"
    enabled = {"ANSIBLE_CALLBACKS_ENABLED": "mailfleet.sending.task_count", "MAILFLEET_TASK_COUNT": str(counts)}
    second = lab_runs.run("--diff", inventory=copy.path, environment=enabled).ok()
    yield Fleet(copy, checked, first, second, json.loads(counts.read_text(encoding="utf-8")))
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


def test_the_probe_proves_that_mail_to_nobody_comes_back_and_is_refused_by_both(fleet):
    for run in (fleet.first, fleet.second):
        (task,) = run.of("bounce_probe")
        assert task.result["recipient"].endswith(f"@{NOBODY_AT}")
        told = {subject: each for each in task.result["verdicts"] for subject in each["subjects"]}
        assert set(told) == set(lab.SERVERS) and {each["status"] for each in told.values()} == {"ok"}, told
        assert all(REFUSED in each["found"] and "hard, user-unknown" in each["found"] for each in told.values())
    assert set(fleet.copy.verdicts("bounces")) == set(lab.SERVERS)
    assert {each["status"] for task in fleet.checked.of("bounce_probe") for each in task.result["verdicts"]} == {
        "unknown"}


def test_nothing_is_left_of_the_probe(fleet):
    recipients = [task.result["recipient"] for run in (fleet.first, fleet.second) for task in run.of("bounce_probe")]
    known = lab.ssh(FIRST, "mailfleet", "events", "tail", "--lines", "2000")
    known += lab.ssh(SECOND, "mailfleet", "suppress", "list")
    assert len(recipients) == 2 and not any(recipient in known for recipient in recipients)


def test_the_agent_costs_few_tasks_and_the_controller_none(fleet):
    for server, figures in fleet.counts["servers"].items():
        totals = {role: sum(figures["roles"][role].values()) for role in ROLES}
        print(f"{server}: {totals} of {MORE_ON_A_SERVER} each")
        assert all(0 < total <= MORE_ON_A_SERVER for total in totals.values()), server
    figures = fleet.counts["controller"]
    total = figures["executed"] + figures["skipped"] + sum(len(fleet.second.of(module)) for module in AT_HOME)
    print(f"controller: {total} of {ON_THE_CONTROLLER}: {figures['tasks']}")
    assert figures["executed"] and total <= ON_THE_CONTROLLER
    assert len(fleet.second.of("bounce_probe")) == 1


def test_verify_tells_whose_keys_of_return_paths_differ_and_no_key(fleet, tmp_path):
    fine = verifying.verify(tmp_path, fleet.copy.path, sending_verify_deployed=True)
    keys = {subject: each["status"] for (check, subject), each in fine.verdicts.items() if check == "token key"}
    assert keys == {f"a on {server}": "ok" for server in lab.SERVERS} and fine.proved
    file = "/etc/mailfleet/secrets.json"
    key = json.loads((fleet.copy.secrets / "token_keys.json").read_text())["keys"]["a"]
    lab.ssh(SECOND, "sh", "-c", f"cp -p {file} {file}.before; sed -i s/{key}/{'k' * 43}/ {file}")
    try:
        found = verifying.verify(tmp_path, fleet.copy.path, sending_verify_deployed=True)
        refused = lab_runs.run(inventory=fleet.copy.path)
    finally:
        lab.ssh(SECOND, "mv", f"{file}.before", file)
    assert found.accused == {("token key", f"a on {SECOND}"): "fail"}
    assert "has another key of return paths than this server: a" in lab_runs.failure(refused, SECOND, "agent_config")
    for output in (fine.played.output, found.played.output, refused.output):
        assert key not in output and "k" * 43 not in output


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


def signed(fleet, recipient: str, days: int = 0, domain: str = BOUNCES) -> str:
    """The return path of a message of some days ago, made with the fleet's key."""
    key = json.loads((fleet.copy.secrets / "token_keys.json").read_text())["keys"]["a"]
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days)
    return agent_program.return_path("a", key, domain, recipient, day).partition("@")[0] + f"@{BOUNCES}"


def bring(path: str, *texts: str, host: str = lab.SERVERS[FIRST]) -> None:
    """Hand messages in as anybody's server does."""
    with smtplib.SMTP(host, 25, local_hostname="outside.example.net", timeout=30) as session:
        for text in texts:
            session.sendmail("", [path], text.encode("latin-1"))


def test_a_bounce_in_a_mailbox_elsewhere_is_fetched_and_refused_by_both(fleet):
    """By POP3 from a provider's Dovecot, with nothing of the return path but what it quotes."""
    recipient = f"elsewhere-{uuid.uuid4().hex[:8]}@gmail.com"
    path = signed(fleet, recipient)
    returned = f"--b\nContent-Type: text/rfc822-headers\n\nReturn-Path: <{path}>\nTo: {recipient}\n\n--b--\n"
    notice = NOTICE.format(path=ELSEWHERE, recipient=recipient).replace("--b--\n", returned)
    assert notice.count(path) == 1
    bring(ELSEWHERE, notice, host=lab.RECEIVERS["wanadoo.fr"])
    for server in lab.SERVERS:
        assert REFUSED in refused_within(server, recipient), server
    with lab.mailbox(ELSEWHERE) as session:
        breaking.until(lambda: session.select("INBOX")[1] == [b"0"], "what is safe here is removed there", WITHIN)


@pytest.mark.parametrize("server", lab.SERVERS)
def test_bounces_are_taken_in_a_form_that_we_do_not_send(fleet, server):
    recipient = f"odd-{uuid.uuid4().hex[:8]}@gmail.com"
    path = signed(fleet, recipient)
    notice = NOTICE.format(path=path, recipient=recipient).replace("--b\n", (
        "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
        f"Unzustellbar: Gr\xfc\xdfe {'x' * 2000}\n\n--b\n"), 1)
    bring(path, notice.replace("Subject: ", "Subject: \xdcbermittlung: "), host=lab.SERVERS[server])
    assert REFUSED in refused_within(FIRST, recipient)


def worked_off(server: str) -> None:
    """Wait until all that came is read: what came first need not be read first."""
    breaking.until(lambda: not breaking.bounces_to_read(server, BOUNCES), "all that came is read", WITHIN)


def events(server: str, *words: str) -> list[dict]:
    return [json.loads(line) for line in lab.ssh(server, "mailfleet", "events", "tail", *words).splitlines()]


def counted(server: str) -> int:
    """How many messages changed nothing there, those among them that are no longer kept."""
    return sum(sum(map(int, re.findall(r"(\d+) (?:kept|came again|gone)", line)))
               for line in lab.ssh(server, "mailfleet", "bounces", "quarantine").splitlines())


def test_a_flood_of_junk_fills_no_disk_and_keeps_no_bounce_out(fleet):
    """Twenty times what may be kept, to return paths that nobody signed and to abuse@."""
    junk = [f"From: x@example.net\nSubject: {number}\n\n" + ("y" * 70 + "\n") * 600 for number in range(250)]
    recipient = f"late-{uuid.uuid4().hex[:8]}@gmail.com"
    path = signed(fleet, recipient)
    before = counted(SECOND)
    bring(f"abuse@{BOUNCES}", *junk, host=lab.SERVERS[SECOND])
    bring(f"b+{'a' * 26}@{BOUNCES}", *junk, host=lab.SERVERS[SECOND])
    bring(path, NOTICE.format(path=path, recipient=recipient), host=lab.SERVERS[SECOND])
    assert REFUSED in refused_within(FIRST, recipient)
    worked_off(SECOND)
    assert counted(SECOND) - before == 2 * len(junk)
    kept = int(lab.ssh(SECOND, "du", "--summarize", "--bytes", "/var/spool/mailfleet").split()[0])
    print(f"{sum(map(len, junk)) * 2} octets came, {kept} are there")
    assert kept < 3 * MOST


def test_what_its_token_does_not_prove_suppresses_nobody(fleet):
    """Forged, expired, of days to come, of another domain, of another recipient, a complaint without any, a replay."""
    run = uuid.uuid4().hex[:8]
    victims = {case: f"{case}-{run}@gmail.com" for case in
               ("forged", "expired", "early", "foreign", "others", "complaint", "replayed", "last")}
    forged = signed(fleet, victims["forged"])
    paths = {
        "forged": forged[:27] + ("a" if forged[27] != "a" else "b") + forged[28:],
        "expired": signed(fleet, victims["expired"], days=40),
        "early": signed(fleet, victims["early"], days=-3),
        "foreign": signed(fleet, victims["foreign"], domain="e.example.org"),
        "others": signed(fleet, "somebody@gmail.com"),
        "replayed": signed(fleet, victims["replayed"]),
        "last": signed(fleet, victims["last"]),
    }
    before = events(FIRST, "--lines", "1")
    for case in ("forged", "expired", "early", "foreign", "others", "replayed", "replayed"):
        bring(paths[case], NOTICE.format(path=paths[case], recipient=victims[case]))
    bring(f"abuse@{BOUNCES}", COMPLAINT.format(recipient=victims["complaint"]))
    bring(paths["last"], NOTICE.format(path=paths["last"], recipient=victims["last"]))
    assert REFUSED in refused_within(FIRST, victims["last"])
    worked_off(FIRST)
    entries = lab.ssh(SECOND, "mailfleet", "suppress", "list")
    listed = {case for case, recipient in victims.items() if recipient in entries}
    assert listed == {"replayed", "last"}
    known = events(FIRST, "--after", str(before[-1]["number"] if before else 0))
    told = [event["recipient"] for event in known if event["recipient"] in victims.values()]
    # While the last one was waited for, mail to it went out, and came back too.
    assert set(told) == {victims["replayed"], victims["last"]} and told.count(victims["replayed"]) == 1, told
    kept = lab.ssh(FIRST, "mailfleet", "bounces", "quarantine")
    # To who does not know that domain, its token is one with another MAC.
    for reason, many in (("wrong-mac", 2), ("expired", 2), ("other-recipient", 1), ("no-token", 1)):
        assert f"{reason}: {many} kept" in kept, kept


def test_a_complaint_that_a_known_source_signed_suppresses_at_both_without_a_token(fleet, tmp_path):
    key, recipient, other = tmp_path / "key.pem", *(f"{case}-{uuid.uuid4().hex[:8]}@gmail.com" for case in "so")
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", str(key), "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout"], check=True, capture_output=True, text=True)
    record = "v=DKIM1; k=rsa; p=" + "".join(public.stdout.splitlines()[1:-1])
    with lab_runs.changed((f"s1._domainkey.{SOURCE}", "TXT", [lab.quote(record)])):
        for whom, selector in ((other, b"s2"), (recipient, b"s1")):
            raw = COMPLAINT.format(recipient=whom).replace("\n", "\r\n").encode()
            signed_raw = dkim.sign(raw, selector, SOURCE.encode(), key.read_bytes()) + raw
            bring(f"fbl@{BOUNCES}", signed_raw.decode(), host=lab.SERVERS[SECOND])
        for server in lab.SERVERS:
            assert REFUSED in refused_within(server, recipient), server
    assert "complaint" in lab.ssh(FIRST, "mailfleet", "suppress", "why", recipient)
    assert other not in lab.ssh(FIRST, "mailfleet", "suppress", "list")


def test_what_holds_of_the_store_holds_of_a_real_server():
    """The unit tests of all that is kept, where the database is the fleet's."""
    conninfo = (f"host={lab.DATABASE} dbname=mailfleet user=mailfleet sslmode=require"
                f" password={(lab.RUN / 'postgresql.secret').read_text().strip()}")
    files = [f"tests/unit/test_agent_{subject}.py" for subject in ("store", "outbox", "policy", "killed")]
    command = [sys.executable, "-m", "pytest", "-q", "-k", "postgresql", *files]
    server = {"MAILFLEET_TEST_POSTGRESQL": conninfo}
    with breaking.may_make_databases():
        done = subprocess.run(command, cwd=lab.ROOT, check=False, capture_output=True, text=True,
                              env={**os.environ, **server})
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout


def test_others_are_not_refused(fleet):
    for server in lab.SERVERS:
        assert submit(server, return_path(server, "probe@gmail.com"), "probe@gmail.com") == "", server


@pytest.mark.long
def test_without_the_database_mail_waits_where_the_inventory_says_so(fleet):
    """Behind the age of the copy alone: until then it is as good as the database."""
    policy = {"refresh": 1, "unsure": "closed", "oldest": 5}
    fleet.copy.write(sending_agent={**SETTINGS, "policy": policy})
    try:
        lab_runs.run(inventory=fleet.copy.path).ok()
        path = return_path(FIRST, "probe@gmail.com")
        with breaking.stopped("postgresql", "db"):
            assert submit(FIRST, path, "probe@gmail.com") == ""
            time.sleep(8)
            said = submit(FIRST, path, "probe@gmail.com")
            assert said.startswith("450 4.3.0"), said
        end = time.monotonic() + WITHIN
        while (said := submit(FIRST, path, "probe@gmail.com")) and time.monotonic() < end:
            time.sleep(1)
        assert said == ""
    finally:
        fleet.copy.write(sending_agent=SETTINGS)
        lab_runs.run(inventory=fleet.copy.path).ok()


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
