# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real Postfix logs is told as it was: by the commands on a server, by its metrics, and of the whole fleet."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import re
import time
import uuid
from pathlib import Path

import breaking
import lab_runs
import lab_world as lab
import pytest
from test_agent import REFUSED, SECRETS, SETTINGS, refused_within, return_path

FIRST, SECOND = lab.SERVERS
RUN = uuid.uuid4().hex[:8]
# Who gets how many of each server: mailboxes that are there, and one that is not.
MAIL = {"probe@gmail.com": 5, "probe@orange.fr": 4, "probe@freemail.test": 3, "nobody": 1}
NOBODY = {server: f"nobody-{RUN}-{number}@gmail.com" for number, server in enumerate(lab.SERVERS)}
WITHIN = 90.0  # seconds that it may take until what was sent is told of, beside all else that runs
BETWEEN = 12.0  # seconds that are longer than the longest pause between two commits of who follows the log
# The recipe in the main Postfix, and a lane, which is a Postfix of its own.
PROVIDERS = [{"name": "throttle", "domains": ["orange.fr", "wanadoo.fr"], "connections": 1, "delay": "1s"}, "google"]
METRICS = "/var/lib/mailfleet-metrics/mailfleet.prom"
PLAYBOOK = lab.ROOT / "playbooks/report.yml"


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Its inventory; when it began to send MAIL, and what its servers told before; the nonces of what each sent."""

    path: Path
    began: int
    before: dict[str, dict]
    sent: dict[str, dict[str, list[str]]]

    def outcomes(self, server: str) -> collections.Counter:
        """What a server tells of MAIL."""
        return rows(told(server)) - rows(self.before[server])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A fleet whose logs are followed, and which has sent MAIL from each server."""
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("maillog"))
    copy.write(sending_agent=SETTINGS, sending_agent_secrets=SECRETS, sending_networks=[], sending_providers=PROVIDERS)
    lab_runs.run(inventory=copy.path).ok()
    before = steady()
    began = int(time.time()) + 1  # of a second that nothing was logged in yet
    time.sleep(began - time.time())
    made = Fleet(copy.path, began, before, {server: send(server) for server in lab.SERVERS})
    for server in lab.SERVERS:
        end = time.monotonic() + WITHIN
        while sum(made.outcomes(server).values()) < sum(MAIL.values()) and time.monotonic() < end:
            time.sleep(1)
    yield made
    lab_runs.run().ok()
    for server in lab.SERVERS:
        lab.ssh(server, "sh", "-c", "rm -rf /var/lib/mailfleet-agent /var/spool/mailfleet")


def send(server: str) -> dict[str, list[str]]:
    """Submit MAIL at a server; the nonces of its messages by recipient."""
    found = collections.defaultdict(list)
    with lab.submission(server) as session:
        for name, many in MAIL.items():
            recipient = NOBODY[server] if name == "nobody" else name
            for _number in range(many):
                made = lab.message("news@example.com", recipient)
                found[recipient].append(lab.nonce(made))
                session.send_message(made, return_path(server, recipient), [recipient])
    return found


def told(server: str, *words: str) -> dict:
    """The report of a server."""
    return json.loads(lab.ssh(server, "mailfleet", "log", "report", "--json", *words))


def steady() -> dict[str, dict]:
    """The reports of the servers once they have read what was there."""
    counted, end = None, time.monotonic() + WITHIN
    while True:
        found = {server: told(server) for server in lab.SERVERS}
        last, counted = counted, {server: rows(report) for server, report in found.items()}
        if counted == last or time.monotonic() > end:
            return found
        time.sleep(BETWEEN)


def rows(report: dict) -> collections.Counter:
    """Provider and outcome to recipients, of what went to others."""
    found = collections.Counter()
    for provider, _address, outcome, _reason, _kind, _scope, many in report["totals"]["rows"]:
        if provider != "local":
            found[provider, outcome] += many
    return found


def suppressed(server: str) -> collections.Counter:
    """How many recipients of each domain a server did not take since they are on the list."""
    domains = told(server)["totals"]["domains"]
    return collections.Counter({name: outcomes.get("suppressed", 0) for name, outcomes in domains.items()})


@pytest.mark.parametrize("server", lab.SERVERS)
def test_what_is_told_is_what_receivers_got(fleet, server):
    found = fleet.outcomes(server)
    assert sum(found.values()) == sum(MAIL.values()), found
    by_outcome = collections.Counter()
    for (_provider, outcome), many in found.items():
        by_outcome[outcome] += many
    assert by_outcome == {"delivered": 12, "bounced": 1}
    for recipient, nonces in fleet.sent[server].items():
        if recipient.startswith("probe@"):
            for nonce in nonces:
                assert lab.received(recipient, nonce) is not None, (recipient, nonce)


def test_providers_are_those_of_the_inventory(fleet):
    assert fleet.outcomes(FIRST) == {
        ("google", "delivered"): 5, ("google", "bounced"): 1, ("throttle", "delivered"): 4, ("other", "delivered"): 3}


def test_the_journal_says_the_same_when_it_is_read_again(fleet):
    since = datetime.datetime.fromtimestamp(fleet.began, datetime.UTC).isoformat()
    for server in lab.SERVERS:
        counted, read = told(server), told(server, "--since", since, "journal:")
        assert read["files"] == ["journal:"]
        assert rows(read) == fleet.outcomes(server)
        unknown = set(counted["totals"]["unknown"]) & {"smtp", "smtpd", "cleanup", "qmgr", "bounce", "local", "pickup"}
        assert not unknown, counted["totals"]["unknown"]


def test_one_messages_story_is_told_by_its_token(fleet):
    def traced() -> str:
        return lab.ssh(FIRST, "mailfleet", "log", "trace", NOBODY[FIRST])

    breaking.until(lambda: "non-delivery notification" in traced(), "the journal has the whole story", WITHIN)
    story = traced()
    for said in ("postfix/submission/smtpd", "postfix-google/", "status=bounced", "non-delivery notification"):
        assert said in story, story
    token = re.search(r"from=<(b\+[a-z2-7]{26})@", story)[1]
    assert token in lab.ssh(FIRST, "mailfleet", "log", "trace", token)


def test_a_bounce_that_the_log_knew_first_counts_once(fleet):
    """The log of the server that sent and the notice that came back tell of one event."""
    def bounces() -> dict[str, list[dict]]:
        lines = lab.ssh(SECOND, "mailfleet", "events", "tail", "--lines", "500").splitlines()
        known = [event for event in map(json.loads, lines) if event["kind"] == "hard"]
        return {recipient: [event for event in known if event["recipient"] == recipient]
                for recipient in NOBODY.values()}

    breaking.until(lambda: all(bounces().values()), "both are known", WITHIN)
    time.sleep(3)
    known = bounces()
    for recipient, bounced in known.items():
        assert len(bounced) == 1, [(each["source"], each["host"], each["text"]) for each in bounced]
        assert "hard" in lab.ssh(SECOND, "mailfleet", "suppress", "why", recipient)


@pytest.mark.parametrize("server", lab.SERVERS)
def test_who_is_refused_at_submission_is_counted_at_its_domain_and_no_dead_address(fleet, server):
    """Postfix of Debian 13 says who had logged in behind the recipient, that of Debian 12 does not."""
    before = suppressed(server)
    assert REFUSED in refused_within(server, NOBODY[server])
    breaking.until(lambda: suppressed(server) - before, "the refusal is counted", WITHIN)
    assert suppressed(server) - before == {"gmail.com": 1}


def test_metrics_can_be_read_by_everybody_and_name_nobody(fleet):
    def read() -> str:
        return lab.ssh(FIRST, "runuser", "-u", "nobody", "--", "cat", METRICS, check=False)

    outcomes = re.compile(r'^mailfleet_log_outcomes_total\{provider="google",.*outcome="delivered".*\} \d+$', re.M)
    queues = re.compile(r"^mailfleet_\w*queue\w*\{.*\} \d+$", re.M)
    breaking.until(lambda: outcomes.search(text := read()) and queues.search(text), "both are told of", WITHIN)
    shown = read()
    assert RUN not in shown and "@" not in shown and "b+" not in shown


def test_the_fleets_logs_are_reported_together(fleet):
    played = lab.play(playbook=PLAYBOOK, inventory=fleet.path).ok()
    assert "\nMail of mta1.example.com, mta2.example.com: " in played.output, played.output
    page = fleet.path / ".mailfleet/log/log.html"
    together = json.loads(page.with_suffix(".json").read_text())
    assert rows(together) == sum((rows(told(server)) for server in lab.SERVERS), collections.Counter())
    assert "<svg" in page.read_text()
