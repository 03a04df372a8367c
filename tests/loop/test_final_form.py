# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail has its final form before it is signed: what a receiver gets is what was signed."""

from __future__ import annotations

import email.policy
import re
import smtplib

import lab_world as lab
import pytest

EVERY_SERVER = pytest.mark.parametrize("server", lab.SERVERS)
CONVERTS, REFUSES = "mta1.example.com", "mta2.example.com"  # Debian 13 and 12: Postfix 3.10 and 3.7


def signed_fields(arrived) -> list[str]:
    return re.sub(r"\s", "", re.search(r"\bh=([^;]+);", str(arrived["DKIM-Signature"])).group(1)).lower().split(":")


@EVERY_SERVER
def test_one_click_unsubscription_is_under_the_signature(server):
    made = lab.message(
        List_Unsubscribe="<https://example.com/u/1>",
        List_Unsubscribe_Post="List-Unsubscribe=One-Click",
        Feedback_ID="c:1:news:mf",
    )
    with lab.submission(server) as session:
        session.send_message(made, "b@e.example.com", "probe@gmail.com")
    arrived = lab.received("probe@gmail.com", lab.nonce(made))
    fields = signed_fields(arrived)
    assert {
        "list-unsubscribe",
        "list-unsubscribe-post",
        "feedback-id",
        "mime-version",
        "content-type",
        "subject",
        "date",
        "to",
    } <= set(fields)
    assert fields.count("from") == 2, "From must be oversigned"
    assert "l=" not in re.sub(r"\s", "", str(arrived["DKIM-Signature"])).replace("bl=", "")
    assert lab.results(arrived) == {"dkim": "pass", "spf": "pass", "dmarc": "pass"}


def eight_bit() -> bytes:
    made = lab.message(recipient="probe@freemail.test")
    made.set_content("Grüße aus dem Labor, naïve façade.\r\n", cte="8bit")
    return made.as_bytes(policy=email.policy.SMTP.clone(cte_type="8bit")), lab.nonce(made)


def test_eight_bit_mail_is_converted_before_it_is_signed():
    raw, nonce = eight_bit()
    assert any(octet > 127 for octet in raw)
    with lab.submission(CONVERTS) as session:
        session.sendmail("b@e.example.com", ["probe@freemail.test"], raw, mail_options=["BODY=8BITMIME"])
    arrived = lab.received("probe@freemail.test", nonce)
    assert arrived is not None
    assert lab.results(arrived)["dkim"] == "pass"
    assert "Grüße" in arrived.get_content()
    assert arrived["Content-Transfer-Encoding"] == "quoted-printable"


@pytest.mark.parametrize("encoding", [b"Content-Transfer-Encoding: 8bit", b"content-transfer-encoding:\r\n 8BIT"])
def test_eight_bit_mail_is_refused_where_postfix_cannot_convert_it(encoding):
    raw, _nonce = eight_bit()
    raw = raw.replace(b"Content-Transfer-Encoding: 8bit", encoding)
    assert encoding in raw
    with lab.submission(REFUSES) as session:
        assert not session.has_extn("8bitmime")
        with pytest.raises(smtplib.SMTPDataError) as caught:
            session.sendmail("b@e.example.com", ["probe@freemail.test"], raw)
    assert caught.value.smtp_code == 550 and b"quoted-printable" in caught.value.smtp_error


@EVERY_SERVER
def test_a_line_that_a_relay_would_break_is_refused(server):
    made = lab.message()
    body = made.as_bytes() + b"x" * 999 + b"\r\n"
    with lab.submission(server) as session:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            session.sendmail("b@e.example.com", ["probe@gmail.com"], body)
        assert b"998" in caught.value.smtp_error
        session.sendmail("b@e.example.com", ["probe@gmail.com"], lab.message().as_bytes() + b"x" * 998 + b"\r\n")


def with_long_field(octets: int) -> tuple[bytes, str]:
    """A message with a header field of so many octets in lines of a hundred, and its nonce."""
    made = lab.message()
    field = ("X-Long:" + "\r\n ".join(["", *["x" * 97] * (octets // 100 + 1)]))[:octets]
    return field.encode() + b"\r\n" + made.as_bytes(), lab.nonce(made)


@EVERY_SERVER
def test_a_header_field_that_postfix_would_cut_is_refused(server):
    whole, nonce = with_long_field(49000)
    with lab.submission(server) as session:
        session.sendmail("b@e.example.com", ["probe@gmail.com"], whole)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            session.sendmail("b@e.example.com", ["probe@gmail.com"], with_long_field(60100)[0])
    assert caught.value.smtp_code == 550 and b"50000 octets" in caught.value.smtp_error
    arrived = lab.received("probe@gmail.com", nonce)
    assert str(arrived["X-Long"]).count("x") == whole[:49000].count(b"x")
    assert lab.results(arrived)["dkim"] == "pass"


@EVERY_SERVER
def test_our_own_notices_are_signed(server):
    """Mail to an address that does not exist: the notice goes to its sender, here at gmail.com, signed by us."""
    nonce = lab.nonce(lab.message())
    text = f"From: cron@example.com\nTo: nobody-{nonce}@freemail.test\nSubject: loop {nonce}\n\nbounce me\n"
    lab.ssh(server, "sendmail", "-i", "-f", "probe@gmail.com", f"nobody-{nonce}@freemail.test", stdin=text.encode())
    arrived = lab.received("probe@gmail.com", nonce, timeout=90)
    assert arrived is not None and "MAILER-DAEMON@example.com" in str(arrived["From"])
    assert lab.results(arrived)["dkim"] == "pass"
    assert "d=example.com" in str(arrived["DKIM-Signature"])


@EVERY_SERVER
def test_the_servers_own_mail_is_roots_at_the_first_domain(server):
    """As cron writes it: without a sender, by root."""
    nonce = lab.nonce(lab.message())
    text = f"To: probe@gmail.com\nSubject: loop {nonce}\n\nCron <root@{server}> test\n"
    lab.ssh(server, "sendmail", "-i", "-t", stdin=text.encode())
    arrived = lab.received("probe@gmail.com", nonce)
    assert arrived is not None and arrived["From"].addresses[0].addr_spec == "root@example.com"
    assert "<root@example.com>" in str(arrived["Return-Path"])
    assert lab.results(arrived)["dkim"] == "pass"
