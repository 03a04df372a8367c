# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenDKIM signs, refuses and defers, asked through a real Postfix and over the milter protocol."""

from __future__ import annotations

import re

import dkim
import pytest
from milter_servers import ask, config, controller_with_keys, received, send, signed_by, signing_server


@pytest.fixture(scope="module", params=["12", "13"])
def server(request):
    server = signing_server("policy", request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def controller(tmp_path_factory, server):
    return controller_with_keys(tmp_path_factory.mktemp("controller"), server)


@pytest.fixture(scope="module")
def signing(server, controller):
    """OpenDKIM with POLICY; no test here changes it."""
    controller.play(config(controller), server)
    return server


def test_what_postfix_takes_is_signed_and_dkimpy_says_so(signing, controller):
    assert send(signing, "From: =?utf-8?q?A=2C?= B <a@news.example.com>\nTo: to@sink.test\nSubject: oracle\n"
                "List-Unsubscribe: <https://x.test/>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
                "Feedback-ID: f:1\nMIME-Version: 1.0\nContent-Type: text/plain\n\nbody  with\t white \n\n\n"
                ) == "250 taken"
    message = received(signing, "oracle")

    def txt(name, timeout=5):
        return b"v=DKIM1; k=rsa; p=" + controller.publics[name.decode()].encode()

    assert dkim.verify(message, dnsfunc=txt)
    assert not dkim.verify(message.replace(b"f:1", b"f:2"), dnsfunc=txt)
    signature = re.search(rb"DKIM-Signature: (.*?)\r\n\S", message, re.DOTALL).group(1).decode()
    tags = dict(re.sub(r"\s", "", tag).split("=", 1) for tag in signature.split(";"))
    assert (tags["d"], tags["s"], tags["a"], tags["c"]) == ("example.com", "m1", "rsa-sha256", "relaxed/relaxed")
    names = tags["h"].lower().split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id", "mime-version", "content-type"} <= set(names)
    assert names.count("from") == 2 and "l" not in tags


def padded(subject: str, octets: int) -> str:
    """A message whose fields come to more than so many octets."""
    padding = "".join(f"X-Padding: {'x' * 900}\n" for _field in range(octets // 900))
    return f"From: a@example.com\nTo: to@sink.test\nSubject: {subject}\n{padding}\nbody\n"


def test_large_headers_are_signed(signing):
    assert send(signing, padded("large", 250000)) == "250 taken"
    message = received(signing, "large")
    assert message.count(b"\r\nX-Padding: ") == 277 and message.count(b"DKIM-Signature: ") == 1


def test_headers_that_are_too_large_are_refused_for_good(signing):
    assert send(signing, padded("huge", 270000)) == "550 5.7.1 Command rejected"
    signing.shell("for i in $(seq 600); do journalctl --quiet --unit opendkim --grep 'too much header data' && exit; "
                  "sleep 0.1; done; exit 1")


@pytest.mark.parametrize("value, domain", [
    ("a@example.com", "example.com"),
    ("A@EXAMPLE.COM", "example.com"),
    ("a@deep.news.example.com", "example.com"),
    ('"b@foreign.test" <a@example.com>', "example.com"),
    ("a@example.com (or <b@foreign.test>)", "example.com"),
    ('"a, \\"b\\" <c@foreign.test>"\n <a@example.us>', "example.us"),
    ("(comment (nested) \\) still) Ä <a@example.us>", "example.us"),
    ("a@mta1.example.us", "example.us"),
    ("a@example.org", None),
])
def test_from_in_every_form_is_signed_by_its_domain(signing, value, domain):
    assert signed_by(ask(signing, value)) == domain


@pytest.mark.parametrize("value, said", [
    ("a@foreign.test", "550 5.7.1 From domain foreign.test: no DKIM key"),
    ("a@notexample.com", "550 5.7.1 From domain notexample.com: no DKIM key"),
    ("a@other.example.us", "550 5.7.1 From domain other.example.us: no DKIM key"),
    ("a@com", "550 5.7.1 From domain com: no DKIM key"),
    ("a@example.net", "451 4.7.5 From domain example.net: its DKIM key has not been seen in DNS yet"),
    ("", "550 5.7.1 From must"),
    ("garbage", "550 5.7.1 From must"),
    ("a@example.com, b@example.com", "550 5.7.1 From must"),
    ("a@example.com <b@foreign.test>", "550 5.7.1 From must"),
    ("<a@example.com> <b@foreign.test>", "550 5.7.1 From must"),
    ("b@foreign.test (<a@example.com>", "550 5.7.1 From must"),
    ('"b@foreign.test <a@example.com>', "550 5.7.1 From must"),
    ("group: a@example.com;", "550 5.7.1 From must"),
    ("undisclosed-recipients:;", "550 5.7.1 From must"),
    ("<@foreign.test:a@example.com>", "550 5.7.1 From must"),
    ("a@[198.51.100.1]", "550 5.7.1 From must"),
    ("a@example.com\\", "550 5.7.1 From must"),
    ("a@exa mple.com", "550 5.7.1 From must"),
    ("a@b@example.com", "550 5.7.1 From must"),
])
def test_a_from_that_may_not_leave(signing, value, said):
    outcome = ask(signing, value)
    assert outcome.reply.startswith(said) and not outcome.headers
    assert outcome.action == ("tempfail" if said.startswith("4") else "reject")


def test_no_from_or_two(signing):
    assert ask(signing, None).action == "reject"
    assert ask(signing, "a@example.com", extra=[("From", "b@foreign.test")]).action == "reject"


@pytest.mark.parametrize("login, client, value, expected", [
    ("shop", "203.0.113.9", "a@example.com", "example.com"),
    ("shop", "203.0.113.9", "a@example.us", "login shop may not use it"),
    ("shop", "127.0.0.1", "a@example.us", "login shop may not use it"),
    ("probe", "203.0.113.9", "a@example.us", "example.us"),
    ("stranger", "127.0.0.1", "a@example.com", "login stranger may not use it"),
    ("'\"]%", "127.0.0.1", "a@example.com", "login ???? may not use it"),
    ("", "198.51.100.29", "a@example.us", "example.us"),
    ("", "198.51.100.29", "a@example.com", "client 198.51.100.29 may not use it"),
    ("", "198.51.100.30", "a@example.com", "example.com"),
    ("", "198.51.100.30", "a@example.us", "client 198.51.100.30 may not use it"),
    ("", "2001:db8:61::30", "a@example.com", "example.com"),
    ("", "2001:db8:61:0:1::1", "a@example.us", "client 2001:db8:61:0:1::1 may not use it"),
    ("", "::ffff:198.51.100.30", "a@example.com", "example.com"),
    ("", "::1", "a@example.us", "example.us"),
    ("", "203.0.113.9", "a@example.com", None),
    ("", "2001:db8:62::1", "MAILER-DAEMON@foreign.test", None),
])
def test_who_may_send_as_whom(signing, login, client, value, expected):
    outcome = ask(signing, value, login, client)
    if expected and " " in expected:
        assert outcome.action == "reject" and expected in outcome.reply
    else:
        assert signed_by(outcome) == expected


@pytest.mark.parametrize("client, expected", [
    ("198.51.100.29", None), ("2001:db8:61::30", None), ("203.0.113.9", None),
    ("127.0.0.1", "no DKIM key"), ("::1", "no DKIM key"),
])
def test_a_bounce_from_a_network_is_for_this_server_itself(signing, client, expected):
    outcome = ask(signing, "MAILER-DAEMON@foreign.test", client=client, sender="")
    assert expected in outcome.reply if expected else signed_by(outcome) is None
    assert ask(signing, "a@foreign.test", "shop", client, sender="").action == "reject", "a login is judged"


def test_smtp_hears_the_words_and_a_bare_from_does_not_get_by(signing):
    assert send(signing, "From: a@foreign.test\nSubject: s\n\nb\n") == (
        "550 5.7.1 From domain foreign.test: no DKIM key of this server covers it")
    assert send(signing, "From: a@example.net\nSubject: s\n\nb\n").startswith("451 4.7.5 From domain example.net")
    for bad in ("From:", "From: a@example.com\nFrom: b@foreign.test", "From: a@example.com\nFrom : b@foreign.test"):
        assert send(signing, f"{bad}\nSubject: s\n\nb\n").startswith("550 5.7.1 From must"), bad


def test_local_mail_and_own_notices_are_signed(signing):
    signing.shell("rm -f /var/mail/sink")
    signing.shell("printf 'From: root@example.us\\nSubject: local\\n\\nb\\n' | sendmail -f to@sink.test to@sink.test")
    assert b"d=example.us;" in received(signing, "local")
    signing.shell("printf 'From: root@example.us\\nSubject: s\\n\\nb\\n' | sendmail -f to@sink.test x@[192.0.2.300]")
    notice = received(signing, "Undelivered Mail Returned to Sender")
    head = notice.partition(b"\r\n\r\n")[0]
    assert re.search(rb"\r\nFrom: .*MAILER-DAEMON@mta1.example.us", head) and b" d=example.us;" in head
