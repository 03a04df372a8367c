# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`source: file` on a server: rsyslog writes the log, logrotate rotates and packs it, mail flows and is counted."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from agent_node import Agent, fleet
from mailfleet.maillog.totals import Totals
from postfix_node import Node
from servers import SUITES, Controller, Server

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import agent_of
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import SERVICES
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.log_view import with_log

UNIT = SERVICES["log"].unit
DOMAIN = "acme.test"
FLEET = {"sending_providers": [{"name": "acme", "domains": [DOMAIN], "connections": 20}]}
ROTATE = "logrotate --force /etc/logrotate.d/rsyslog"
# Another's server: what it says depends on the recipient's name, and it notes what it said.
ANSWERS = {"good": "250 2.0.0", "gone": "550 5.1.1", "later": "450 4.2.0"}
RECEIVER = f"""
import socketserver
ANSWERS = {ANSWERS!r}
class Server(socketserver.StreamRequestHandler):
    def handle(self):
        def say(text): self.wfile.write(text.encode() + b"\\r\\n")
        say("220 acme")
        data, taken = False, []
        for line in self.rfile:
            word = line[:4].upper().strip()
            if data:
                if line == b".\\r\\n":
                    data = False
                    said.writelines(f"good {{each}}\\n" for each in taken)
                    said.flush()
                    taken = []
                    say("250 2.0.0 taken")
            elif word == b"RCPT":
                address = line.split(b"<")[1].split(b">")[0].decode()
                kind = address.partition("-")[0]
                if kind == "good":
                    taken.append(address)
                else:
                    said.write(f"{{kind}} {{address}}\\n")
                    said.flush()
                say(ANSWERS[kind] + " status=sent (so it says)")
            elif word == b"DATA":
                data = True
                say("354 go on")
            elif word == b"QUIT":
                say("221 bye")
                return
            else: say("250 yes")
said = open("/root/said", "a")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
socketserver.ThreadingTCPServer(("0.0.0.0", 2525), Server).serve_forever()
"""
# Hands in a message each 30 ms until it is told to stop: to one who is there, to one who is not, now and then to one
# whose mail is to come later; and asks for what is not allowed. Notes what was taken.
SENDER = f"""
import os, smtplib, time
handed = open("/root/handed", "a")
number = 0
with smtplib.SMTP("127.0.0.1", 25) as smtp:
    smtp.ehlo("app.example.com")
    while not os.path.exists("/root/stop"):
        number += 1
        to = ["good-{{}}", "gone-{{}}", *(["later-{{}}"] if number % 5 == 0 else [])]
        to = [each.format(number) + "@{DOMAIN}" for each in to]
        if number % 7 == 0:
            smtp.mail("news@foreign.test")
            assert smtp.rcpt(to[0])[0] == 554
            smtp.rset()
            handed.write("refused\\n")
        assert smtp.sendmail("news@example.com", to, "Subject: hello\\n\\nhello\\n") == {{}}
        handed.writelines(f"{{each}}\\n" for each in to)
        handed.flush()
        time.sleep(0.03)
"""


@pytest.fixture(scope="module", params=SUITES.values())
def followed(request, tmp_path_factory):
    """A server whose log was followed while mail flowed: how its log was rotated and the service killed meanwhile."""
    release = {suite: release for release, suite in SUITES.items()}[request.param]
    server = Server(f"logfile{release}", release)
    try:
        agent = Agent(Node(server, Controller(tmp_path_factory.mktemp("controller"))), release)
        made = fleet(server, FLEET, log={"source": "file"})
        settings = with_log(agent_of(made, made.servers[0])["settings"], made, made.servers[0], ())
        node = agent.node
        server.write("/root/receiver.py", RECEIVER)
        server.write("/root/sender.py", SENDER)
        node.shell("systemd-run --quiet --unit=receiver python3 /root/receiver.py")
        # Not at loopback: what Postfix passes on within its host is no delivery.
        acme = {"tables": {"transport": {"type": "hash", "entries": [[DOMAIN, f"smtp:[{server.address}]:2525"]]}}}

        def follow() -> list[dict]:
            return [agent.config(made=made, **settings), agent.services("maillog", "log")]

        follow()
        agent.services("agent", "policy")
        # What is put off is not tried again while the tests count, however long that takes.
        node.shell("postconf -e minimal_backoff_time=1h maximal_backoff_time=2h queue_run_delay=1h")
        node.apply({"postfix": postfix_layer(made, made.servers[0]), "acme": acme})
        yield SimpleNamespace(agent=agent, node=node, again=follow, while_rotated=while_rotated(agent))
    finally:
        server.stop()


def while_rotated(agent: Agent) -> list[str]:
    """Send, rotate and kill; return what was in the folder of the log behind each rotation."""
    node, seen = agent.node, []

    def rotate() -> None:
        node.shell(ROTATE)
        seen.append(node.shell("ls /var/log | grep ^mail.log | tr '\\n' ' '").strip())

    def flow(least: int) -> None:
        """Wait until so many messages more were handed in."""
        until = node.lines("/root/handed") + least
        agent.wait(f"test $(wc -l < /root/handed) -ge {until} && echo enough", "enough", 120)

    node.shell("touch /root/handed; systemd-run --quiet --unit=sender python3 /root/sender.py")
    flow(30)
    rotate()
    flow(30)
    node.shell(f"systemctl kill --signal=KILL {UNIT}")
    flow(30)
    rotate()
    agent.wait(f"systemctl show -P NRestarts {UNIT}", "1")
    flow(30)
    # Down for as long as what it has not read yet needs to be packed.
    node.shell(f"systemctl stop {UNIT}")
    flow(30)
    rotate()
    flow(30)
    rotate()
    flow(30)
    node.shell(f"systemctl start {UNIT}")
    flow(30)
    node.shell("touch /root/stop; while systemctl is-active -q sender; do sleep 0.1; done")
    assert "failed" not in node.shell("systemctl is-failed sender || :")
    return seen


def outcomes(totals: Totals) -> dict[str, int]:
    """What a report counts of the provider."""
    return {name: totals.total(provider="acme", outcome=name)
            for name in ("delivered", "bounced", "deferred", "rejected", "expired", "suppressed")}


def expected(node: Node) -> dict[str, int]:
    """What the two other ends say: of deliveries who took them, of refusals who asked."""
    said = [line.split()[0] for line in node.shell("cat /root/said").splitlines()]
    refused = node.shell("grep -c refused /root/handed").strip()
    return {"delivered": said.count("good"), "bounced": said.count("gone"), "deferred": said.count("later"),
            "rejected": int(refused), "expired": 0, "suppressed": 0}


def report(node: Node, *options: str) -> Totals:
    return Totals.from_json(json.loads(node.shell(f"mailfleet log report --json {' '.join(options)}"))["totals"])


def test_every_recipient_is_counted_once_by_the_service_and_out_of_the_files(followed):
    node = followed.node
    handed = node.shell("grep -vc refused /root/handed").strip()
    followed.agent.wait(f"test $(wc -l < /root/said) = {handed} && echo all", "all")
    wanted = expected(node)
    assert sum(wanted.values()) - wanted["rejected"] == int(handed) > 200 and min(
        wanted[name] for name in ("delivered", "bounced", "deferred", "rejected")) > 10
    until = time.monotonic() + 90
    while outcomes(report(node)) != wanted and time.monotonic() < until:
        time.sleep(0.5)
    assert outcomes(report(node)) == wanted, followed.agent.log()
    # With a provider named it is the files that are read.
    assert outcomes(report(node, "--provider", "acme")) == wanted
    time.sleep(2)
    assert outcomes(report(node)) == wanted
    metrics = node.shell("cat /var/lib/mailfleet-metrics/mailfleet.prom")
    assert "\nmailfleet_log_lost_stretches_total 0\n" in metrics


def test_the_log_was_rotated_and_packed_meanwhile(followed):
    first, second, *_more, last = followed.while_rotated
    assert first.split() == ["mail.log", "mail.log.1"] and second.split()[1:] == ["mail.log.1", "mail.log.2.gz"]
    assert last.split()[1:] == ["mail.log.1", "mail.log.2.gz", "mail.log.3.gz", "mail.log.4.gz"]


def test_a_message_is_traced_wherever_its_lines_are(followed):
    node = followed.node
    numbers = [int(line[5:].partition("@")[0]) for line in node.shell("grep good- /root/handed").splitlines()]
    for path in ("", ".1", ".2.gz", ".3.gz", ".4.gz"):
        found = node.shell(f"zcat -f /var/log/mail.log{path} | grep -o 'to=<good-[0-9]*' | tail -1").strip()
        number = int(found.rpartition("-")[2])
        assert number in numbers
        story = node.shell(f"mailfleet log trace good-{number}@{DOMAIN}")
        assert f"to=<good-{number}@{DOMAIN}>" in story and f"to=<gone-{number}@{DOMAIN}>" in story
        assert "status=sent (250 2.0.0 taken" in story and story.count("Message") == 1, story


def test_the_service_reads_by_its_group_and_nothing_else_of_it_is_open(followed):
    node = followed.node
    shown = node.shell("stat -c '%a %U:%G' /var/log/mail.log /var/log/mail.log.1 /var/log/mail.log.4.gz")
    assert set(shown.splitlines()) == {"640 root:adm"}
    groups = node.shell(f"grep ^Groups: /proc/$(systemctl show -P MainPID {UNIT})/status | cut -f2").split()
    assert node.shell("getent group adm | cut -d: -f3").strip() in groups
    assert node.shell(f"grep ^Uid: /proc/$(systemctl show -P MainPID {UNIT})/status").split()[1] != "0"
    refused = node.shell("runuser -u mailfleet -- cat /var/log/mail.log.4.gz 2>&1 || :")
    assert "Permission denied" in refused


def test_a_second_run_changes_nothing(followed):
    again = followed.again()
    assert not any(run["changed"] for run in again), again
