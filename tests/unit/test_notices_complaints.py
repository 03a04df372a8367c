# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complaints (RFC 5965), and what is near to them and is none."""

from __future__ import annotations

import pytest
from mailfleet.finding import Kind, Scope
from mailfleet.notices import read
from notice_world import RETURNED, SENDER, complaint, parts


@pytest.mark.parametrize("kind", ["abuse", "fraud", "virus", "other", "opt-out", "Abuse", "x-unheard-of"])
def test_a_report_is_a_complaint_of_its_recipient(kind):
    (found,) = read(complaint(f"Feedback-Type: {kind}\nOriginal-Rcpt-To: <ann@example.net>")).findings
    assert (found.kind, found.reason, found.scope) == (Kind.COMPLAINT, "complaint", Scope.RECIPIENT)
    assert (found.recipient, found.rule) == ("ann@example.net", f"RFC 5965: {kind.lower()}")


@pytest.mark.parametrize("fields, recipients", [
    ("Original-Rcpt-To: ann@example.net\nOriginal-Rcpt-To: bob@example.net", ["ann@example.net", "bob@example.net"]),
    ("Removal-Recipient: ann@example.net", ["ann@example.net"]),
    ("Redacted-Address: redacted\nRedacted-Address: redacted@\nReported-Domain: example.org", ["ann@example.net"]),
    ("Reported-Domain: example.com", ["ann@example.net"]),
])
def test_whose_complaint_it_is(fields, recipients):
    found = read(complaint(f"Feedback-Type: abuse\n{fields}")).findings
    assert [each.recipient for each in found] == recipients


def test_a_redacted_address_is_told_where_nothing_else_is():
    raw = complaint("Feedback-Type: abuse\nRedacted-Address: h4sh3d@\nReported-Domain: example.net", "Subject: x\n\n")
    assert [each.recipient for each in read(raw).findings] == ["h4sh3d@example.net"]


def test_a_complaint_of_nobody_is_told_all_the_same():
    (found,) = read(complaint("Feedback-Type: abuse", "Subject: x\n\n")).findings
    assert (found.kind, found.recipient) == (Kind.COMPLAINT, "")


def test_the_return_path_of_the_message_is_mentioned():
    mentions = read(complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: ann@example.net")).mentions
    assert ("returned return-path", SENDER) in [(each.place, each.address) for each in mentions]
    redacted = RETURNED.replace(f"<{SENDER}>", "<redacted>")
    mentions = read(complaint(f"Feedback-Type: abuse\nOriginal-Mail-From: <{SENDER}>", redacted)).mentions
    assert ("original-mail-from", SENDER) in [(each.place, each.address) for each in mentions]


def test_a_failed_authentication_is_told_as_one_and_is_about_the_sender():
    raw = complaint("Feedback-Type: auth-failure\nAuth-Failure: dmarc\nOriginal-Rcpt-To: ann@example.net")
    (found,) = read(raw).findings
    assert (found.kind, found.reason, found.scope) == (Kind.COMPLAINT, "authentication", Scope.SENDER)


@pytest.mark.parametrize("lost", [b"\nboundary=", b"; b="])
def test_a_report_whose_boundary_was_lost_is_read(lost):
    """Some break the line of Content-Type without the space that goes on with it."""
    raw = complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: <ann@example.net>", "Subject: x\n\n")
    (found,) = read(raw.replace(b" boundary=", lost)).findings
    assert (found.kind, found.recipient) == (Kind.COMPLAINT, "ann@example.net")


def test_taken_out_of_spam_is_no_complaint():
    assert read(complaint("Feedback-Type: not-spam\nOriginal-Rcpt-To: ann@example.net")).findings == ()


def test_hotmail_complains_without_a_report():
    returned = "X-HmXmrOriginalRecipient: ann@example.net\n" + RETURNED
    raw = parts("<staff@provider.example>", "complaint about message from 192.0.2.1", ("message/rfc822", returned),
                Return_Path="<staff@provider.example>")
    (found,) = read(raw).findings
    assert (found.kind, found.recipient) == (Kind.COMPLAINT, "ann@example.net")


def test_a_report_that_a_person_attached_is_none():
    raw = parts("Bob <bob@example.net>", "Fwd: a complaint", ("text/plain", "See"), (
        "message/rfc822", complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: ann@example.net").decode()),
        Return_Path="<bob@example.net>")
    assert read(raw).findings == ()
    raw = parts("Bob <bob@example.net>", "Fwd: a complaint", ("message/feedback-report", "Feedback-Type: abuse\n"),
                Return_Path="<bob@example.net>")
    assert read(raw).findings == ()
