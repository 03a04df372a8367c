# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may relay what: everything that is nobody's or another's is refused, by Postfix or by the policy that signs."""

from __future__ import annotations

import smtplib

import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)


def refusal(action) -> tuple[int, str]:
    """The reply that an action is refused with."""
    with pytest.raises(smtplib.SMTPException) as caught:
        action()
    error = caught.value
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next((code, text.decode()) for code, text in error.recipients.values())
    return error.smtp_code, error.smtp_error.decode()


def outside(server: str, sender: str, recipient: str) -> None:
    """Port 25 from an address that no network lists: the host itself, at the lab's gateway."""
    with smtplib.SMTP(lab.SERVERS[server], 25, local_hostname="outside.example.net", timeout=30) as session:
        session.sendmail(sender, [recipient], lab.message(sender, recipient).as_bytes())


@EVERY_SERVER
@pytest.mark.parametrize(
    "recipient",
    [
        "probe@gmail.com",
        "probe%gmail.com@mta1.example.com",
        "@mta1.example.com:probe@gmail.com",
        '"probe@gmail.com"@mta1.example.com',
    ],
)
def test_nobody_relays_from_outside(server, recipient):
    for sender in ("news@example.com", "someone@example.net", ""):
        with smtplib.SMTP(lab.SERVERS[server], 25, local_hostname="outside.example.net", timeout=30) as session:
            session.ehlo()
            # Word for word: smtplib's own quoting would take a source route apart.
            assert session.docmd("MAIL", f"FROM:<{sender}>")[0] == 250
            code, text = session.docmd("RCPT", f"TO:<{recipient}>")
            assert code in (550, 554, 501), text
            assert session.docmd("DATA")[0] in (503, 554)


@EVERY_SERVER
def test_a_login_needs_tls_and_the_right_password(server):
    with smtplib.SMTP(lab.SERVERS[server], 587, local_hostname="app.example.com", timeout=30) as session:
        session.ehlo()
        assert not session.has_extn("auth")
        assert session.mail("news@example.com")[0] == 530
    with pytest.raises(smtplib.SMTPAuthenticationError), lab.submission(server, password="wrong"):
        pass


@EVERY_SERVER
@pytest.mark.parametrize(
    "sender", ["news@example.net", "news@gmail.com", "news@sub.example.com", "probe+ip-198-51-100-11@e.example.com"]
)
def test_a_login_has_its_own_return_paths_only(server, sender):
    with lab.submission(server) as session:
        code, text = refusal(lambda: session.sendmail(sender, ["probe@gmail.com"], lab.message().as_bytes()))
    assert code == 553 and "not owned" in text


@EVERY_SERVER
@pytest.mark.parametrize(
    ("author", "words"),
    [
        ("news@example.net", "example.net"),
        ("news@gmail.com", "gmail.com"),
        ("a@example.com, b@example.net", "one address"),
    ],
)
def test_a_from_that_no_key_covers_is_refused(server, author, words):
    with lab.submission(server) as session:
        code, text = refusal(
            lambda: session.sendmail("news@example.com", ["probe@gmail.com"], lab.message(author).as_bytes())
        )
    assert code == 550 and words in text


@EVERY_SERVER
def test_two_from_fields_are_refused(server):
    twice = b"From: news@example.com\r\n" + lab.message("news@example.net").as_bytes()
    with lab.submission(server) as session:
        code, _text = refusal(lambda: session.sendmail("news@example.com", ["probe@gmail.com"], twice))
    assert code == 550


@EVERY_SERVER
def test_the_servers_own_postmaster_can_be_written_to(server):
    outside(server, "someone@example.net", f"postmaster@{server}")
    outside(server, "", "postmaster@e.example.com")
