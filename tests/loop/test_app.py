# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application's own host sends: by submission with a certificate that it verifies, and by a listed network.

The network of that host may use example.com, the login ``shop`` example.us: neither lends its domain to the other.
"""

from __future__ import annotations

import itertools
import json

import breaking
import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
RECIPIENTS = {"probe@gmail.com": {"dkim", "spf", "dmarc"}, "probe@freemail.test": {"dkim", "spf", "iprev"}}
RELAYS = {
    "mta1.example.com": ("198.51.100.10", "2001:db8:61::10"),
    "mta2.example.com": ("198.51.100.20", "2001:db8:61::20"),
}
OWN = {"198.51.100.30", "2001:db8:61::30"}

# What the application runs: it trusts what its system trusts, and tells how each session and each message ended.
PROGRAM = """
import json, smtplib, ssl, sys

def deliver(session, sender, recipient, text):
    try:
        session.sendmail(sender, [recipient], text)
        return ["taken", 250, ""]
    except smtplib.SMTPSenderRefused as error:
        return ["MAIL", error.smtp_code, error.smtp_error.decode()]
    except smtplib.SMTPRecipientsRefused as error:
        return ["RCPT", *[(code, text.decode()) for code, text in error.recipients.values()][0]]
    except smtplib.SMTPDataError as error:
        return ["DATA", error.smtp_code, error.smtp_error.decode()]

def talk(host, port, name, login, messages):
    told = {"own": "", "failed": "", "messages": []}
    with smtplib.SMTP(host, port, local_hostname="app.example.com", timeout=30) as session:
        told["own"] = session.sock.getsockname()[0]
        session._host = name or host
        try:
            session.starttls(context=ssl.create_default_context())
        except ssl.SSLError as error:
            session.close()
            return {**told, "failed": str(error)}
        if login:
            session.login(*login)
        told["messages"] = [deliver(session, *message) for message in messages]
    return told

print(json.dumps([talk(**wanted) for wanted in json.load(sys.stdin)]))
"""


def session(host: str, *messages: tuple, port: int = 587, name: str = "", login: str = "") -> dict:
    """A session of the application: (return path, recipient, message) each, and who logs in."""
    credentials = [login, (lab.RUN / f"{login}.secret").read_text().strip()] if login else None
    wanted = [(sender, recipient, made.as_string()) for sender, recipient, made in messages]
    return {"host": host, "port": port, "name": name, "login": credentials, "messages": wanted}


def talk(*sessions: dict) -> list[dict]:
    """Let the application's host hold sessions one after another; how each went."""
    told = json.loads(breaking.inside("app", "python3", "-c", PROGRAM, stdin=json.dumps(sessions)))
    assert {each["own"] for each in told} <= OWN, "it did not speak from its own address"
    return told


def refused(server: str, sender: str, author: str, **options) -> tuple[str, int, str]:
    """Where and how a server refuses a message: at which command, with which code and words."""
    message = (sender, "probe@gmail.com", lab.message(author))
    ((step, code, text),) = talk(session(server, message, **options))[0]["messages"]
    assert step != "taken", f"{server} took a message of {author} from {sender}"
    return step, code, text


@EVERY_SERVER
def test_what_the_application_may_send_passes_at_its_receivers(server):
    """By both logins with TLS under the server's name, and without a login over either family."""
    sent, sessions = [], []
    ways = [
        *(
            {"host": server, "login": login, "domain": domain}
            for login, domain in (("app", "example.com"), ("app", "example.us"), ("shop", "example.us"))
        ),
        *({"host": host, "port": 25, "name": server, "domain": "example.com"} for host in RELAYS[server]),
    ]
    for way, recipient in itertools.product(ways, RECIPIENTS):
        options = dict(way)
        domain, host = options.pop("domain"), options.pop("host")
        sent.append((recipient, lab.message(f"news@{domain}", recipient), domain))
        sessions.append(session(host, (f"b@e.{domain}", recipient, sent[-1][1]), **options))
    told = talk(*sessions)
    assert [each["messages"] for each in told] == [[["taken", 250, ""]]] * len(sent), told
    assert {each["own"] for each in told} == OWN
    for recipient, made, domain in sent:
        arrived = lab.received(recipient, lab.nonce(made))
        assert arrived is not None, f"a message of {domain} to {recipient} did not arrive"
        assert lab.results(arrived) == dict.fromkeys(RECIPIENTS[recipient], "pass"), arrived.as_string()
        assert breaking.signature(arrived)[0] == domain


@EVERY_SERVER
@pytest.mark.parametrize("port", [587, 25])
def test_another_name_than_the_certificates_is_noticed(server, port):
    (other,) = set(lab.SERVERS) - {server}
    right, wrong = talk(*(session(lab.SERVERS[server], port=port, name=name) for name in (server, other)))
    assert right["failed"] == ""
    assert "certificate verify failed: Hostname mismatch" in wrong["failed"] and other in wrong["failed"]


@EVERY_SERVER
@pytest.mark.parametrize("sender", ["news@example.com", "b@e.example.com"])
def test_a_login_cannot_take_the_return_path_of_anothers_domain(server, sender):
    step, code, text = refused(server, sender, "news@example.us", login="shop")
    assert (step, code) == ("RCPT", 553) and "not owned by user shop" in text


@EVERY_SERVER
def test_a_login_cannot_write_as_anothers_domain_though_its_host_may(server):
    step, code, text = refused(server, "b@e.example.us", "news@example.com", login="shop")
    assert (step, code) == ("DATA", 550) and "example.com" in text


@EVERY_SERVER
def test_a_listed_network_does_not_stand_for_a_login(server):
    step, code, _text = refused(server, "b@e.example.com", "news@example.com")
    assert (step, code) in (("MAIL", 530), ("RCPT", 554))


@EVERY_SERVER
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("sender", ["b@e.example.us", "news@example.us", "news@example.net", ""])
def test_a_listed_network_relays_with_its_own_return_paths_only(server, family, sender):
    options = {"port": 25, "name": server}
    step, code, text = refused(RELAYS[server][family], sender, "news@example.com", **options)
    assert (step, code) == ("RCPT", 554) and "Access denied" in text


@EVERY_SERVER
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_a_bounce_from_a_listed_network_is_taken_for_the_server_itself(server, family):
    """Its own mail server reports what it could not deliver, by the null sender and in a name that has no key here."""
    notice = lab.message("MAILER-DAEMON@app.example.net", "postmaster@e.example.com")
    options = {"port": 25, "name": server}
    (told,) = talk(session(RELAYS[server][family], ("", "postmaster@e.example.com", notice), **options))
    assert told["messages"] == [["taken", 250, ""]]


@EVERY_SERVER
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("domain", ["example.us", "example.net"])
def test_a_listed_network_writes_as_its_own_domain_only(server, family, domain):
    options = {"port": 25, "name": server}
    step, code, text = refused(RELAYS[server][family], "b@e.example.com", f"news@{domain}", **options)
    assert (step, code) == ("DATA", 550) and domain in text
