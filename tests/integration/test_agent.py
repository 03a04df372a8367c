# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent on a server with Postfix: bounces come by SMTP, and Postfix refuses mail to whom they are about."""

from __future__ import annotations

import json
import smtplib
import time

import pytest
from agent_node import CONFIG, ODD_FORMS, SESSION, Agent, fleet
from mailbox_server import NOTICE, PASSWORD, MailboxServer
from postfix_node import Node
from servers import SUITES, Controller, Server

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import SERVICES
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import service

MARKER = "550 5.7.1 <{}>: Recipient address rejected: mailfleet-suppressed"
DEAD = "dead@example.net"


@pytest.fixture(scope="module", params=list(SUITES))
def agent(request, tmp_path_factory):
    """A server with an agent, which its test leaves as it was."""
    server = Server(f"agent{request.param}", request.param)
    try:
        made = Agent(Node(server, Controller(tmp_path_factory.mktemp("controller"))), request.param)
        server.write("/root/session.py", SESSION)
        made.checked = made.config("--check", "--diff")
        made.first = made.config("--diff")
        made.started = [made.services("agent", "policy"), made.services("bounces", "bounces")]
        made.applied = made.postfix()
        yield made
    finally:
        server.stop()


def test_check_mode_tells_what_a_run_then_does_and_no_secret(agent):
    told, done = ({pair["after_header"] for pair in run["diff"]} for run in (agent.checked, agent.first))
    assert agent.checked["changed"] and agent.first["changed"] and told == done, agent.first
    key = json.loads((agent.secrets / "token_keys.json").read_text())["keys"]["a"]
    assert len(key) > 40 and key not in json.dumps([agent.checked, agent.first])
    assert (agent.secrets / "token_keys.json").stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(agent):
    again = [agent.config(), agent.services("agent", "policy"), agent.services("bounces", "bounces"), agent.postfix()]
    assert not any(run["changed"] for run in again), again


def test_with_more_words_neither_keys_nor_the_whole_program_are_shown(agent):
    agent.config("-vvv")
    assert "dropped_keys" in agent.shown and "cli_tokens.py" in agent.shown
    at = agent.shown.find("GNU General Public License")  # which each of the program's files names
    assert at < 0, agent.shown[max(0, at - 500):at + 100]
    assert json.loads((agent.secrets / "token_keys.json").read_text())["keys"]["a"] not in agent.shown


def test_secrets_and_sockets_are_for_whom_they_are_for(agent):
    shown = agent.node.shell(
        "stat -c '%n %a %U:%G' /etc/mailfleet/agent.json /etc/mailfleet/secrets.json /var/spool/mailfleet"
        " /var/lib/mailfleet-agent /var/spool/postfix/mailfleet /var/spool/postfix/mailfleet/policy")
    assert shown.splitlines() == [
        "/etc/mailfleet/agent.json 640 root:mailfleet", "/etc/mailfleet/secrets.json 600 mailfleet:mailfleet",
        "/var/spool/mailfleet 700 mailfleet:mailfleet", "/var/lib/mailfleet-agent 700 mailfleet:mailfleet",
        "/var/spool/postfix/mailfleet 2750 mailfleet:postfix",
        "/var/spool/postfix/mailfleet/policy 660 mailfleet:postfix"]


def test_postfix_waits_for_the_addresses_that_it_listens_at(agent):
    """Else it would not start at all when the server does."""
    assert "network-online.target" in agent.node.shell("systemctl show -P After postfix.service postfix@-.service")
    assert "network-online.target" in agent.node.shell("systemctl show -P Wants postfix.service")


def test_journald_keeps_all_that_postfix_says(agent):
    """More lines in a moment than the 10,000 that it takes of a unit by default."""
    unit = "postfix@-.service" if agent.release == "12" else "postfix.service"
    told = agent.node.shell(f"readlink /run/systemd/units/log-rate-limit-*:{unit}").split()
    assert told == ["1000000", "1000000"], "a burst, and an interval in microseconds"


def test_services_need_few_rights(agent):
    for name in ("policy", "bounces"):
        said = agent.node.shell(f"systemd-analyze security --no-pager {SERVICES[name].unit} | tail -1")
        print(said)
        assert float(said.split(": ")[1].split()[0]) < 2, said


def test_a_dead_address_is_refused_once_its_bounce_came(agent):
    path = agent.path(DEAD)
    assert agent.session(path, DEAD)[-1].startswith("250 ")
    agent.bounce(path, DEAD)
    agent.wait(f"mailfleet suppress why {DEAD}", "hard")
    told = agent.wait("mailfleet events tail", DEAD)
    event = next(json.loads(line) for line in told.splitlines() if DEAD in line)
    assert (event["kind"], event["status"], event["stream"]) == ("hard", "5.1.1", "example.com")
    agent.answered(MARKER.format(DEAD), path, DEAD)  # the copy that Postfix is answered from comes behind
    assert agent.session(path, "alive@example.net")[-1].startswith("250 ")


def test_no_message_is_left_over_and_none_twice(agent):
    agent.wait("ls /var/spool/mailfleet/bounces/new | wc -l", "0\n")


@pytest.mark.parametrize("form", ODD_FORMS)
def test_a_bounce_in_a_form_that_we_do_not_send_is_taken_as_it_is(agent, form):
    recipient = "odd@example.net"
    path = agent.path(recipient)
    text = NOTICE.format(path=path, recipient=recipient).replace(*ODD_FORMS[form])
    ours = agent.session("news@example.com", "somebody@example.net", text)[-1]
    converts = form == "8bit" and agent.release == "13"
    assert ours.startswith("250 " if converts else "550 5."), ours
    try:
        answers = agent.session("", path, text, agent.node.server.address)
        assert answers[-1].startswith("250 2.0.0"), answers
        agent.wait(f"mailfleet suppress why {recipient}", "hard")
    finally:
        agent.node.shell(f"mailfleet forget {recipient}")


def test_a_bounce_meets_no_rule_of_the_operators_for_other_mail(agent):
    """Such as greylisting, a blocklist, or a delay."""
    rules = {f"smtpd_{step}_restrictions": "reject" for step in ("client", "helo", "data", "end_of_data")}
    assignments = " ".join(f"{name}={value}" for name, value in rules.items())
    try:
        agent.node.shell(f"postconf -e {assignments} && postfix reload")
        agent.answered("554 5.7.1", "news@example.com", "somebody@example.net")
        agent.bounce(agent.path("quick@example.net"), "quick@example.net")
    finally:
        agent.node.shell(f"postconf -X {' '.join(rules)} && postfix reload")
    agent.wait("mailfleet suppress why quick@example.net", "hard")


def test_whoever_comes_from_outside_is_relayed_nowhere(agent):
    for sender in ("", "news@example.com"):
        answer = agent.session(sender, "somebody@example.net", host=agent.node.server.address)[-1]
        assert answer.startswith("554 5.7.1") and "Relay access denied" in answer, answer


def test_where_networks_send_through_port_25_it_is_one_again_and_parted_when_they_do_not(agent):
    variables = {"sending_networks": [{"network": "192.0.2.0/24", "domains": ["example.com"]}]}
    try:
        # One and the same place is not let go of by a reload.
        assert agent.postfix(fleet(agent.node.server, variables))["restarted"]
        assert agent.node.shell("postconf -M smtp/inet").split()[-1] == "smtpd"
        assert "as-it-came" not in agent.node.shell("postconf -M")
        assert agent.session("", agent.path("x@example.net"), host=agent.node.server.address)[-1].startswith("250 ")
    finally:
        assert agent.postfix()["restarted"]
    assert agent.node.shell("postconf -M smtp/inet") == ""


def test_what_is_no_return_path_is_refused_at_rcpt(agent):
    for local in ("b+short", "b", "news", "root", "b+" + "a" * 27):
        answer = agent.session("", f"{local}@e.example.com")[-1]
        assert answer.startswith("550 5.1.1"), (local, answer)
    for local in ("postmaster", "abuse", "FBL", "b+" + "a" * 26):
        assert agent.session("", f"{local}@e.example.com")[-1].startswith("250 "), local


def test_a_forged_token_suppresses_nobody_and_is_kept(agent):
    path = agent.path("victim@example.net")
    forged = path.replace(path[2:28], path[2:27] + ("a" if path[27] != "a" else "b"))
    agent.bounce(forged, "victim@example.net")
    agent.wait("mailfleet bounces quarantine", "wrong-mac")
    assert "victim" not in agent.node.shell("mailfleet suppress list")


def test_a_token_suppresses_its_own_recipient_only(agent):
    agent.bounce(agent.path("mallory@example.net"), "bystander@example.net")
    agent.wait("mailfleet bounces quarantine", "other-recipient")
    assert "bystander" not in agent.node.shell("mailfleet suppress list")


def test_a_bounce_in_a_mailbox_elsewhere_is_fetched_by_its_service(agent):
    mailbox, recipient, ca_file = MailboxServer("elsewhere"), "elsewhere@example.net", "/usr/local/share/elsewhere.pem"
    try:
        agent.node.server.write(ca_file, mailbox.certificate)
        mailbox.put({recipient: agent.path(recipient)})
        agent.config(mailboxes={"old": mailbox.settings("pop3", ca_file)}, secrets={"mailboxes": {"old": PASSWORD}})
        agent.services("bounces", "bounces", "fetch")
        agent.wait(f"mailfleet suppress why {recipient}", "hard")
        end = time.monotonic() + 60  # it is removed there once it is safe here, whoever has read it by then
        while mailbox.count() and time.monotonic() < end:
            time.sleep(0.3)
        assert mailbox.count() == 0
    finally:
        mailbox.server.stop()
        agent.services("bounces", "bounces")
        agent.config()


def test_what_comes_to_an_unsigned_return_path_of_postfix_own_suppresses_nobody(agent):
    wanted, recipient = fleet(agent.node.server, intake={"unsigned": "bounces"}), "victim@example.net"
    try:
        agent.config(made=wanted)
        agent.postfix(wanted)
        agent.bounce("bounces+victim=example.net@e.example.com", recipient)
        told = agent.wait("mailfleet events tail", '"unsigned"')
        assert recipient in told and recipient not in agent.node.shell("mailfleet suppress list")
        assert agent.session("", "bounces@e.example.com")[-1].startswith("550 5.1.1")
        # Whoever may send has Postfix make such a return path, be it from a network of ours or not.
        with smtplib.SMTP(agent.node.server.address, 25) as smtp:
            smtp.ehlo("app.example.com")
            assert smtp.mail("bounces@e.example.com", ["XVERP"])[0] == 250
            assert smtp.rcpt("postmaster@e.example.com")[0] == 250 and smtp.data(b"Subject: hello\n\n")[0] == 250
        agent.wait("cat /var/spool/mailfleet/quarantine/other/no-token.*",
                   "Return-Path: <bounces+postmaster=e.example.com@e.example.com>")
    finally:
        agent.postfix()
        agent.config()
    assert agent.session("", "bounces+victim=example.net@e.example.com")[-1].startswith("550 5.1.1")


def test_users_of_the_host_cannot_hand_in_mail_that_nobody_is_asked_about(agent):
    said = agent.node.shell(f"echo hello | runuser -u nobody -- sendmail -f news@example.com {DEAD} 2>&1 || :")
    assert "not allowed to submit mail" in said, said


def test_a_probe_proves_that_mail_to_nobody_comes_back_and_leaves_nothing(agent):
    node = agent.node
    node.shell("dpkg --purge dovecot-imapd >/dev/null 2>&1")
    agent.play({"mailfleet.sending.submission_auth": {"users": [], "secrets_directory": str(agent.secrets)}})
    # Somebody else's server, as far as Postfix knows, which refuses everybody.
    refuses = {"myhostname": "mx.nobody.test",
               "smtpd_client_restrictions": "check_recipient_access static:{550 5.1.1 no such user here}"}
    agent.postfix(nobody={
        "services": {"127.0.0.1:2525/inet": service("smtpd", private="n", options=refuses)},
        "tables": {"transport": {"type": "hash", "entries": [["nobody.test", "smtp:[127.0.0.1]:2525"]]}},
    })

    def probe(domain: str, timeout: int, *options: str) -> dict:
        return agent.play({"mailfleet.sending.bounce_probe": {
            "submissions": [{"server": "mta1", "host": node.server.address, "verify": False}],
            "domains": [{"domain": "example.us"}, {"domain": "e.example.com"}],  # a domain's own, where none is named
            "bounce_domains": ["e.example.com"], "nobody_at": domain, "secrets_directory": str(agent.secrets),
            "timeout": timeout}}, *options)

    node.shell("mailfleet suppress add kept@example.net")
    try:
        found = probe("nobody.test", 90)
        (verdict,) = found["verdicts"]
        assert verdict["status"] == "ok" and "hard, user-unknown 5.1.1" in verdict["found"], (verdict, agent.log())
        assert found["recipient"].endswith("@nobody.test") and not found["changed"]
        known = node.shell("mailfleet events tail --lines 1000; mailfleet suppress list")
        assert "kept@example.net" in known and "nobody.test" not in known
        node.shell(f"systemctl stop {SERVICES['bounces'].unit}")
        (verdict,) = probe("nobody.test", 2)["verdicts"]
        assert verdict["status"] == "unknown" and "no bounce was taken in within 2 s; mta1 took" in verdict["cause"]
        assert probe("nobody.test", 2, "--check")["summary"]["unknown"] == 1
        assert (agent.secrets / "logins/probe").read_text().split()[1] not in json.dumps(found)
    finally:
        node.shell(f"systemctl start {SERVICES['bounces'].unit}")
        agent.postfix(nobody={})


def test_without_the_service_mail_passes_or_waits_as_the_inventory_says(agent):
    node = agent.node
    node.shell(f"systemctl stop {SERVICES['policy'].unit}")
    try:
        assert agent.session("news@example.com", DEAD)[-1].startswith("250 ")
        agent.postfix(fleet(node.server, policy={"unsure": "closed"}))
        answer = agent.session("news@example.com", DEAD)[-1]
        assert answer.startswith("450 4.7.1"), answer
    finally:
        node.shell(f"systemctl start {SERVICES['policy'].unit}")
        agent.postfix()


def test_a_configuration_that_the_program_does_not_like_is_not_installed(agent):
    before = agent.node.shell("cat /etc/mailfleet/agent.json; readlink /usr/local/lib/mailfleet-agent/current")
    refused = agent.config(retention_days=0)
    assert refused["failed"] and "retention_days: 0; expected a whole number" in refused["msg"], refused
    assert before == agent.node.shell("cat /etc/mailfleet/agent.json; readlink /usr/local/lib/mailfleet-agent/current")


def test_a_service_that_does_not_start_has_the_former_configuration_back(agent):
    node, unit = agent.node, SERVICES["policy"].unit
    before = node.shell("cat /etc/mailfleet/agent.json")
    # The program itself finds nothing wrong with it; that nothing can be bound there is seen when it starts.
    failed = agent.config(policy={"listen": "inet:192.0.2.1:10040"})
    assert failed["failed"] and f"{unit} did not start" in failed["msg"], failed
    assert "what stood before stands again" in failed["msg"]
    assert node.shell("cat /etc/mailfleet/agent.json") == before
    assert node.shell(f"systemctl is-active {unit}").strip() == "active"
    assert not agent.services("agent", "policy")["changed"]


def test_what_others_may_read_is_told_and_mended(agent):
    node = agent.node
    node.shell("chmod 644 /etc/mailfleet/secrets.json; chown root:root /var/spool/mailfleet")
    told, done = agent.config("--check", "--diff"), agent.config("--diff")
    assert told["changed"] and told["diff"] == done["diff"], told
    (pair,) = done["diff"]
    assert pair["after_header"] == "owners and modes"
    assert "/etc/mailfleet/secrets.json: mode 0644 becomes 0600" in pair["after"]
    assert "/var/spool/mailfleet: owner 0:0 becomes" in pair["after"]
    shown = node.shell("stat -c '%a %U' /etc/mailfleet/secrets.json /var/spool/mailfleet")
    assert shown.split() == ["600", "mailfleet", "700", "mailfleet"] and not agent.config()["changed"]


def test_a_program_that_is_not_as_it_was_laid_down_is_laid_down_anew(agent):
    file = "/usr/local/lib/mailfleet-agent/current/mailfleet/policy.py"
    agent.node.shell(f": > {file}")
    assert agent.config("--check")["changed"] and agent.config()["changed"] and not agent.config()["changed"]
    assert "class Service" in agent.node.shell(f"cat {file}")
    assert not agent.services("agent", "policy")["changed"]


def test_a_service_that_nobody_wants_and_that_would_come_back_is_ended(agent):
    agent.node.shell(f"systemctl enable -q {SERVICES['events'].unit}")
    assert agent.services("agent", "policy", options=["--check"])["stopped"] == ["events"]
    assert agent.services("agent", "policy")["stopped"] == ["events"]
    assert "disabled" in agent.node.shell(f"systemctl is-enabled {SERVICES['events'].unit} || :")


class TestKeysOfReturnPaths:
    """Each test leaves the file of the controller as the server has it."""

    def write(self, agent, **content) -> None:
        (agent.secrets / "token_keys.json").write_text(json.dumps(content))

    def keys(self, agent) -> dict:
        return json.loads((agent.secrets / "token_keys.json").read_text())["keys"]

    def states(self, agent, *options: str) -> dict:
        return agent.play({"mailfleet.sending.agent_keys_info": {"secrets_directory": str(agent.secrets)}}, *options)

    @pytest.mark.parametrize("options", [(), ("--check",)])
    def test_they_are_compared_and_no_digest_shows(self, agent, options):
        found = self.states(agent, *options)
        assert (found["known"], found["states"], found["failure"], found["changed"]) == (True, {"a": "same"}, "", False)
        assert found["current"] == {"controller": "a", "server": "a"}
        assert self.keys(agent)["a"] not in json.dumps(found) and "digest" not in json.dumps(found)

    def test_one_that_the_controller_lost_is_told_and_kept(self, agent):
        ours = self.keys(agent)
        before = agent.node.shell("cat /etc/mailfleet/secrets.json /etc/mailfleet/agent.json")
        for current, keys, said in (("b", {"b": "k" * 43}, "lacks a key"), ("a", {"a": "k" * 43}, "has another key")):
            self.write(agent, current=current, keys=keys)
            for options in ((), ("--check",)):
                refused = agent.config(*options)
                assert refused["failed"] and f"{said} of return paths" in refused["msg"], refused
                assert ours["a"] not in json.dumps(refused) and "k" * 43 not in json.dumps(refused)
            assert self.states(agent)["states"] == ({"b": "lacking", "a": "left"} if current == "b" else {"a": "other"})
        self.write(agent, current="a", keys=ours)
        assert agent.node.shell("cat /etc/mailfleet/secrets.json /etc/mailfleet/agent.json") == before
        assert not agent.config()["changed"]

    def test_they_rotate_by_two_runs(self, agent):
        ours, new = self.keys(agent), {"b": "k" * 43}
        former = agent.path("rotated@example.net")
        self.write(agent, current="a", keys={**ours, **new})
        assert agent.config()["changed"] and agent.path("rotated@example.net") == former
        self.write(agent, current="b", keys={**ours, **new})
        second = agent.config()
        assert second["changed"] and "warnings" not in second and agent.path("x@example.net").startswith("b+b")
        agent.bounce(former, "rotated@example.net")
        agent.wait("mailfleet suppress why rotated@example.net", "hard")
        self.write(agent, current="b", keys=new, dropped=["a"])
        assert agent.config()["changed"] and self.states(agent)["states"] == {"b": "same"}

    def test_a_key_that_makes_tokens_at_once_is_warned_of(self, agent):
        ours = self.keys(agent)
        self.write(agent, current="c", keys={**ours, "c": "c" * 43})
        (warning,) = agent.config()["warnings"]
        assert warning.startswith("the key c makes tokens from now on")


def is_there(agent) -> bool:
    """Whether a check of the server finds anything that is to be taken away."""
    return agent.play({"mailfleet.sending.server_check": {"server": "mta1.example.com", "addresses": []}})["agent"]


def test_it_goes_and_leaves_what_it_knows(agent):
    node = agent.node
    agent.play({"mailfleet.sending.postfix_config": {"layers": {"bounces": {}}}})
    assert agent.node.shell("postconf -M smtp/inet").split()[-1] == "smtpd"
    assert is_there(agent)
    assert agent.play({CONFIG: {}})["changed"] and not agent.play({CONFIG: {}})["changed"]
    assert not is_there(agent)
    left = node.shell("ls -d /etc/systemd/system/mailfleet-* /usr/local/bin/mailfleet /usr/local/lib/mailfleet-agent"
                      " /etc/mailfleet /var/spool/postfix/mailfleet 2>/dev/null || :")
    assert left == "" and node.shell("ls /var/lib/mailfleet-agent/mailfleet.db")
    assert "mailfleet" not in node.shell("systemctl list-units --all --plain --no-legend 'mailfleet-*'")
    assert "network-online.target" not in node.shell("systemctl show -P Wants postfix.service")
    # As a run that was cut off leaves it: the program goes last.
    node.shell("mkdir /usr/local/lib/mailfleet-agent")
    assert is_there(agent) and agent.play({CONFIG: {}})["changed"] and not is_there(agent)
