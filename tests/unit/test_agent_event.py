# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes an event the same when it is told again: by the log and by the notice, by one way and another."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.event import clean, key, occurrence, occurrence_in_log

NOTICE = b"""Return-Path: <>
Received: from mta2.example.com by mta1.example.com (Postfix)
\tid 4dKvRJ1m2Fz9; Wed, 18 Nov 2026 10:00:00 +0000
From: MAILER-DAEMON
Subject: Undelivered

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; MTA1.example.com
X-Postfix-Queue-ID: 4dKvRJ0h7Dz9
X-Postfix-Sender: rfc822; b+x@e.example.com

Final-Recipient: rfc822; u@acme.test
--x--
"""


def test_a_notice_of_postfix_is_what_its_log_tells():
    assert occurrence(NOTICE) == occurrence_in_log("mta1.example.com", "4dKvRJ0h7Dz9")
    assert occurrence(NOTICE.replace(b"\n", b"\r\n")) == occurrence(NOTICE)
    assert occurrence(NOTICE.replace(b"4dKvRJ0h7Dz9", b"4dKvRJ0h7Dz8")) != occurrence(NOTICE)


@pytest.mark.parametrize("without", [b"Reporting-MTA: dns; MTA1.example.com\n", b"X-Postfix-Queue-ID: 4dKvRJ0h7Dz9\n"])
def test_any_other_is_its_content_whatever_way_it_came(without):
    other = NOTICE.replace(without, b"")
    assert occurrence(other).startswith("digest ")
    again = b"Delivered-To: b+x@e.example.com\nReceived: by\n a\nAuthentication-Results: x;\n\tdkim=none\n" + other
    assert occurrence(again) == occurrence(other) == occurrence(again.replace(b"\n", b"\r\n"))
    assert occurrence(other.replace(b"Undelivered", b"Returned")) != occurrence(other)
    # In the body it is no trace.
    assert occurrence(other + b"Received: by another\n") != occurrence(other)


def test_the_key_is_of_kind_recipient_and_delivery():
    told = key("hard", "u@acme.test", occurrence_in_log("MTA1", "A"))
    # Others make it too, so it stays as it is.
    assert told == hashlib.sha256(b"mailfleet event 1\nhard\nu@acme.test\nqueue mta1 A").hexdigest()[:40]
    others = {key("soft", "u@acme.test", "queue mta1 A"), key("hard", "v@acme.test", "queue mta1 A"),
              key("hard", "u@acme.test", "queue mta1 B")}
    assert len(others | {told}) == 4


@given(st.binary(max_size=300))
def test_whatever_it_is_it_has_an_occurrence(raw):
    assert occurrence(raw) == occurrence(raw)


@given(st.text())
def test_a_text_is_one_that_databases_take(text):
    found = clean(text, 20)
    assert len(found) <= 20 and "\x00" not in found and "\n" not in found
    assert all(each.isprintable() or ord(each) > 0x9f for each in found)  # nothing steers a terminal
    found.encode()


def test_what_steers_a_terminal_is_no_text():
    assert clean("\x1b[2J550 5.1.1\x07 \x9b31m\x7f") == "\ufffd[2J550 5.1.1\ufffd \ufffd31m\ufffd"
    assert clean("a\u202egpj.exe\u2066b") == "a\ufffdgpj.exe\ufffdb"
