# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers, careless applications and one login against another try, and what becomes of it."""

from __future__ import annotations

import smtplib

import breaking
import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
RETURN_PATH = "b@e.example.com"


def reply(server: str, raw: bytes, sender: str = RETURN_PATH, login: str = "app") -> tuple[int, bytes]:
    """What a server says to a message, sent byte for byte."""
    with lab.submission(server, login) as session:
        for code, text in (session.mail(sender), session.rcpt("probe@gmail.com")):
            if code != 250:
                session.rset()
                return code, text
        assert session.docmd("DATA")[0] == 354
        session.send(raw + b".\r\n")
        return session.getreply()


def written(author: bytes, fields: bytes = b"") -> bytes:
    """A message whose From stands there byte for byte."""
    rest = b"\r\n".join(line for line in lab.message().as_bytes().split(b"\r\n") if not line.startswith(b"From:"))
    return author + b"\r\n" + fields + rest


@EVERY_SERVER
def test_a_stranger_cannot_make_a_server_sign_a_notice_to_somebody_else(server):
    """A notice of success (RFC 3461) goes to whoever stands in MAIL FROM, with the stranger's words, signed by us."""
    with smtplib.SMTP(lab.SERVERS[server], 25, local_hostname="outside.example.net", timeout=30) as session:
        session.ehlo()
        assert not session.has_extn("dsn")
        assert session.mail("probe@gmail.com")[0] == 250
        code, text = session.docmd("RCPT", f"TO:<postmaster@{server}> NOTIFY=SUCCESS")
    assert code == 501, text


@EVERY_SERVER
@pytest.mark.parametrize(
    "author",
    [
        b"From : news@gmail.com",
        b"From: news@example.com\r\nFrom : news@gmail.com",
        b"From: news@gmail.com\r\n <news@example.com>",
        b"From: news@gmail.com (a) <news@example.com>",
        b"From: <news@gmail.com> <news@example.com>",
        b"From: (a(b) news@example.com) news@gmail.com",
        b"From: all: news@example.com;",
        b"From: <@gmail.com:news@example.com>",
        b"From: news@example.com\r, news@gmail.com",
        b"From: news@gmail.com\x0b<news@example.com>",
        b"From: <>",
        b"X-None: 1",
        b" From: news@gmail.com\r\nFrom: news@example.com",
        b"X-Folded: 1\nFrom: news@gmail.com\r\nFrom: news@example.com",
        "From: Grüße <news@example.com>".encode(),
    ],
)
def test_a_from_that_may_be_read_in_two_ways_is_refused(server, author):
    assert reply(server, written(author))[0] == 550


@EVERY_SERVER
@pytest.mark.parametrize(
    "author", [b"From: news@example.com\x00, news@gmail.com", b"From: news@example.com\r\nX-Nul: \x00"]
)
def test_nul_is_refused_since_the_signature_would_not_cover_what_follows_it(server, author):
    assert reply(server, written(author))[0] == 550


@EVERY_SERVER
def test_a_header_line_that_a_relay_would_break_is_refused(server):
    code, text = reply(server, written(b'From: "' + b"a" * 999 + b'" <news@example.com>'))
    assert code == 550 and b"998" in text
    folded = b'From: "' + b"\r\n ".join([b"a" * 60] * 20) + b'" <news@example.com>'
    assert reply(server, written(folded))[0] == 250


@EVERY_SERVER
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"])
def test_a_message_cannot_hold_a_second_one(server, end):
    """Only CR LF . CR LF ends a message; what else looks like an end stays within it, and the signature holds."""
    first, second = lab.message(), lab.message()
    inner = b"MAIL FROM:<b@e.example.com>\r\nRCPT TO:<probe@gmail.com>\r\nDATA\r\n" + second.as_bytes()
    assert reply(server, first.as_bytes().rstrip(b"\r\n") + end + inner)[0] == 250
    arrived = lab.received("probe@gmail.com", lab.nonce(first))
    assert lab.nonce(second) in arrived.as_string()
    assert lab.results(arrived)["dkim"] == "pass"


@EVERY_SERVER
@pytest.mark.parametrize(
    "sender",
    [
        "PROBE+IP-198-51-100-11@E.EXAMPLE.COM",
        '"probe+ip-198-51-100-11"@e.example.com',
        "@x.example:probe+ip-198-51-100-11@e.example.com",
        "probe+ip-198-51-100-11%e.example.com@e.example.com",
        "probe+x+y@e.example.us",
        '"x@gmail.com"@e.example.com',
        "gmail.com!x@e.example.com",
        "root@mta1.example.com",
    ],
)
def test_a_return_path_of_another_form_is_still_not_the_logins(server, sender):
    with lab.submission(server) as session:
        session.docmd("MAIL", f"FROM:<{sender}>")
        code, text = session.rcpt("probe@gmail.com")
    assert code == 553 and b"not owned" in text


@EVERY_SERVER
def test_wrong_passwords_lock_out_nobody_else_behind_the_same_address(server):
    for _time in range(3):
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught, lab.submission(server, password="wrong"):
            pass
        assert caught.value.smtp_code == 535
    with lab.submission(server) as session:
        assert session.noop()[0] == 250


@EVERY_SERVER
def test_a_local_user_cannot_send_as_somebody_elses_domain(server):
    for arguments, author in (
        (["-f", "cron@example.com"], b"From: news@gmail.com"),
        (["-G", "-f", "cron@example.com"], b"From: news@gmail.com"),
        (["-f", "cron@example.com"], b"From: cron@example.com\r\nFrom: news@gmail.com"),
        (["-f", "news@orange.fr"], b"X-None: 1"),
    ):
        raw = written(author)
        nonce = raw.split(b"Subject: loop ")[1][:32].decode()
        lab.ssh(server, "sendmail", "-i", *arguments, "probe@gmail.com", stdin=raw)
        assert lab.received("probe@gmail.com", nonce, timeout=4) is None
    breaking.empty_queues()
