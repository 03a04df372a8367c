# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Complaints without a token come to a real Postfix, and a real OpenDKIM says whether a known source signed them."""

from __future__ import annotations

import pytest
from agent_node import ODD_FORMS, SESSION, Agent, fleet
from key_server import UNIT, Provider
from mailbox_server import NOTICE
from postfix_node import Node
from servers import SUITES, Controller, Server

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import SERVICES

SOURCE, STRANGER = "feedback.example", "evil.example"
FEEDBACK = {"sources": [SOURCE]}
VERIFY = SERVICES["verify"].unit
COMPLAINT = """\
From: feedback@{domain}
To: fbl@e.example.com
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: provider/1
Version: 1
Original-Rcpt-To: {recipient}

--b
Content-Type: message/rfc822

From: news@example.com
To: {recipient}
Subject: news

hello
--b--
"""


class Bounces(Agent):
    """A bounce host that knows a source of complaints."""

    def __init__(self, node: Node, release: str) -> None:
        super().__init__(node, release)
        node.server.write("/root/session.py", SESSION)
        self.provider = Provider(node.server, (SOURCE, STRANGER), (f"silent._domainkey.{SOURCE}",))
        self.made = fleet(node.server, feedback=FEEDBACK)
        self.install()
        self.postfix(self.made)

    def install(self, *options: str) -> list[dict]:
        """Have what an inventory with the source says."""
        return [self.config(*options, made=self.made),
                self.services("bounces", "bounces", "verify", options=options)]

    def take(self, text: str, to: str = "fbl@e.example.com") -> None:
        """Bring a message as a stranger's server does."""
        answers = self.session(f"feedback@{SOURCE}", to, text, self.node.server.address)
        assert answers[-1].startswith("250 2.0.0"), answers

    def complain(self, recipient: str, domain: str = SOURCE, **signature) -> str:
        """A signed complaint."""
        return self.provider.sign(COMPLAINT.format(domain=domain, recipient=recipient), domain, **signature)

    def suppressed(self, recipient: str) -> None:
        self.wait(f"mailfleet suppress why {recipient}", "complaint")

    def kept(self, recipient: str, reason: str = "no-token") -> None:
        """Wait until a complaint is in quarantine; it has suppressed nobody."""
        self.wait(f"grep -l {recipient} /var/spool/mailfleet/quarantine/other/{reason}.*", "other/")
        assert recipient not in self.node.shell("mailfleet suppress list")


@pytest.fixture(scope="module", params=list(SUITES))
def bounces(request, tmp_path_factory):
    """A bounce host, which its test leaves as it was."""
    server = Server(f"feedback{request.param}", request.param)
    try:
        yield Bounces(Node(server, Controller(tmp_path_factory.mktemp("controller"))), request.param)
    finally:
        server.stop()


@pytest.mark.parametrize("form", ["relaxed", "simple"])
def test_a_complaint_that_a_source_signed_suppresses(bounces, form):
    recipient = f"{form}@example.net"
    bounces.take(bounces.complain(recipient, form=form))
    bounces.suppressed(recipient)


def test_it_holds_for_what_was_sent_whatever_form_that_has(bounces):
    """What the worker hands to OpenDKIM is what came by SMTP: octets, dots, and empty lines at the end."""
    text = COMPLAINT.format(domain=SOURCE, recipient="form@example.net").replace("Subject: complaint", "\n".join(
        ("X-Octets: Gr\xfc\xdfe", "X-Folded:  a\n\t b  ", "X-EMPTY:", "Subject:complaint"))).replace(
        "A complaint.", f"Gr\xfc\xdfe \n.\n..dots\n{'x' * 3000}\n\n") + "\n\n\n"
    bounces.take(bounces.provider.sign(text, SOURCE, form="simple"))
    bounces.suppressed("form@example.net")


HEADER_I = b"x=3Bdkim=3Dpass=20header.d=3D" + SOURCE.encode() + b"=20@" + STRANGER.encode()
CLAIM = f"dkim=pass header.d={SOURCE} header.s=s1"
CLAIMS = "\n".join((
    f"Authentication-Results: mta1.example.com; {CLAIM}", f"AUTHENTICATION-RESULTS:\n\tMTA1.example.com 1;\n\t{CLAIM}",
    f"Authentication-Results: verifier.mailfleet.invalid; {CLAIM}", f"Authentication-Results: (x) mailfleet; {CLAIM}",
    f"Authentication-Results : mta2.example.com; {CLAIM}", ""))


TYPE = COMPLAINT[COMPLAINT.index("Content-Type: "):].partition("\n")[0] + "\n"


def appended(message: str, report: str) -> str:
    """A message with a report behind what its signature covers, and the type of one."""
    assert "l=7;" in message and "content-type" not in message.lower()
    return message.replace("\nSubject:", f"\n{TYPE}Subject:", 1) + report.partition("\n\n")[2]


@pytest.mark.parametrize("case", [
    "unsigned", "stranger", "claimed", "claimed-and-failed", "body", "from", "length", "identity", "no-key",
    "second-type", "truncated",
])
def test_what_no_source_signed_suppresses_nobody_and_is_kept(bounces, case):
    recipient = f"{case}@example.net"
    text, signed = COMPLAINT.format(domain=SOURCE, recipient=recipient), bounces.complain(recipient)
    bounces.take({
        "unsigned": lambda: text,
        "stranger": lambda: bounces.complain(recipient, STRANGER),
        "claimed": lambda: CLAIMS + text,
        "claimed-and-failed": lambda: CLAIMS + signed.replace("A complaint", "Another complaint"),
        "body": lambda: signed.replace("A complaint", "Another complaint"),
        "from": lambda: f"From: feedback@{STRANGER}\n{signed}",
        # Anybody appends to what is signed up to some octet.
        "length": lambda: appended(bounces.provider.sign(
            f"From: feedback@{SOURCE}\nSubject: hello\n\nhello\n", SOURCE, length=True), text),
        "identity": lambda: bounces.complain(recipient, STRANGER, identity=HEADER_I),
        "no-key": lambda: bounces.complain(recipient, selector="none"),
        "second-type": lambda: TYPE + bounces.provider.sign(text.replace(TYPE, "Content-Type: text/plain\n"), SOURCE),
        "truncated": lambda: signed.replace("s=s1", "s=s2", 1),
    }[case]())
    bounces.kept(recipient)


def test_nobody_but_a_source_has_a_name_server_asked(bounces):
    for domain in (STRANGER, SOURCE):
        bounces.take(bounces.complain(f"{domain}@example.net", domain, selector="unheard"))
        bounces.kept(f"{domain}@example.net")
    asked = bounces.wait(f"journalctl -q -o cat -u {UNIT}", f"unheard._domainkey.{SOURCE}")
    assert STRANGER not in asked


def test_while_nobody_verifies_complaints_wait_and_bounces_do_not(bounces):
    bounces.node.shell(f"systemctl stop {VERIFY}")
    try:
        bounces.take(bounces.complain("waits@example.net"))
        bounces.bounce(bounces.path("dead@example.net"), "dead@example.net")
        bounces.wait("mailfleet suppress why dead@example.net", "hard")
        bounces.wait("journalctl -q -o cat -u mailfleet-bounces", "complaints wait in")
        assert "waits@" not in bounces.node.shell("mailfleet suppress list")
        bounces.wait("ls /var/spool/mailfleet/bounces/new | wc -l", "1\n")
    finally:
        bounces.node.shell(f"systemctl start {VERIFY}")
    bounces.node.shell("systemctl restart mailfleet-bounces")  # else it asks again in a minute
    bounces.suppressed("waits@example.net")


def test_while_the_name_server_is_silent_they_wait_too(bounces):
    bounces.take(bounces.complain("silent@example.net", selector="silent"))
    bounces.wait("grep -l silent@ /var/spool/mailfleet/bounces/new/*", "/new/")
    bounces.bounce(bounces.path("gone@example.net"), "gone@example.net")
    bounces.wait("mailfleet suppress why gone@example.net", "hard")
    assert bounces.node.shell("grep -l silent@ /var/spool/mailfleet/bounces/new/*").count("\n") == 1
    assert "silent@" not in bounces.node.shell("mailfleet suppress list")
    # It was waited for in vain, so that nobody asks for a while.
    bounces.node.shell("rm -f /var/spool/mailfleet/bounces/new/*; systemctl restart mailfleet-bounces")


def test_bounces_in_whatever_form_come_in_as_before(bounces):
    recipients = [f"odd{number}@example.net" for number in range(len(ODD_FORMS))]
    made = "; ".join(f"mailfleet token new --recipient {recipient} --domain e.example.com" for recipient in recipients)
    for path, recipient, change in zip(bounces.node.shell(made).split(), recipients, ODD_FORMS.values(), strict=True):
        text = NOTICE.format(path=path, recipient=recipient).replace(*change)
        answers = bounces.session("", path, text, bounces.node.server.address)
        assert answers[-1].startswith("250 2.0.0"), answers
    for recipient in recipients:
        bounces.wait(f"mailfleet suppress why {recipient}", "hard")


@pytest.mark.long
def test_where_networks_send_through_port_25_it_is_the_same(bounces):
    variables = {"sending_networks": [{"network": "192.0.2.0/24", "domains": ["example.com"]}]}
    try:
        bounces.postfix(fleet(bounces.node.server, variables, feedback=FEEDBACK))
        bounces.take(bounces.complain("shared@example.net"))
        bounces.suppressed("shared@example.net")
        bounces.take(COMPLAINT.format(domain=SOURCE, recipient="forged@example.net"))
        bounces.kept("forged@example.net")
    finally:
        bounces.postfix(bounces.made)


def test_a_second_run_changes_nothing(bounces):
    assert not any(run["changed"] for run in bounces.install())


def test_who_verifies_has_no_key_no_secret_and_few_rights(bounces):
    node = bounces.node
    said = node.shell(f"systemd-analyze security --no-pager {VERIFY} | tail -1")
    assert float(said.split(": ")[1].split()[0]) < 2, said
    for path in ("/etc/mailfleet/secrets.json", "/etc/dkimkeys", "/var/spool/mailfleet", "/var/lib/mailfleet-agent"):
        told = node.shell(f"test -e {path}; runuser -u mailfleet-verify -- ls {path} 2>&1 || :; "
                          f"runuser -u mailfleet-verify -- cat {path} 2>&1 || :")
        assert "Permission denied" in told and "token" not in told, told
    shown = node.shell("stat -c '%a %U:%G' /run/mailfleet-verify /run/mailfleet-verify/socket; "
                       f"systemctl show -P User {VERIFY}; ps -o user:20= -C opendkim")
    assert shown.splitlines()[:3] == ["750 mailfleet-verify:mailfleet", "770 mailfleet-verify:mailfleet",
                                      "mailfleet-verify"]
    assert "mailfleet-verify" in shown.splitlines()[3:] and "root" not in shown


def test_an_answer_that_is_none_fails_the_run(bounces):
    """Whoever stands in its place: what it says of a message without signature has to be right."""
    place = "/run/mailfleet-verify/socket"
    bounces.node.shell(f"mv {place} {place}.away")
    try:
        task = {"mailfleet.sending.agent_service": {"role": "bounces", "names": ["bounces", "verify"]},
                "ignore_errors": True}
        said = bounces.play(task)
        assert said["failed"] and f"{VERIFY}: {place} does not answer" in said["msg"], said
    finally:
        bounces.node.shell(f"mv {place}.away {place}")


@pytest.mark.parametrize("feedback", [
    {**FEEDBACK, "authserv_id": "filter.example.com"}, pytest.param({}, marks=pytest.mark.long)])
def test_without_sources_or_with_a_filter_of_the_operators_it_goes(bounces, feedback):
    made = fleet(bounces.node.server, feedback=feedback)
    try:
        assert bounces.config(made=made)["changed"]
        assert bounces.services("bounces", "bounces", options=["--check"])["stopped"] == ["verify"]
        assert bounces.services("bounces", "bounces")["stopped"] == ["verify"]
        said = bounces.node.shell(f"systemctl is-enabled {VERIFY} || :; ls -d /run/mailfleet-verify 2>&1 || :")
        assert said.startswith("disabled\n") and "No such file" in said, said
        bounces.take(bounces.complain("unknown@example.net"))
        bounces.kept("unknown@example.net")
        if feedback:
            bounces.take(f"Authentication-Results: filter.example.com; {CLAIM}\n" + bounces.complain("own@example.net"))
            bounces.suppressed("own@example.net")
    finally:
        bounces.install()
