# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever bytes come: no traceback, and a bounded time."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.notices import read
from mailfleet.notices.addresses import addresses_in
from mailfleet.notices.mime import LONGEST, MOST_PARTS, Message
from notice_world import RETURNED, complaint, parts, plain, report
from test_notices_texts import FORMS

UNKNOWN = "Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n"
DAEMON = "MAILER-DAEMON@mx.example.org"
MESSAGES = [report(UNKNOWN), complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: ann@example.net"),
            *(plain(sender, subject, body + RETURNED) for sender, subject, body, _expected in FORMS.values())]
# CPU seconds: a plain notice takes about a thousandth of it.
BOUND = 1.0


def spent(raw: bytes) -> float:
    began = time.process_time()
    read(raw)
    return time.process_time() - began


def bomb(depth: int) -> bytes:
    body = b"Content-Type: text/plain\n\nx\n"
    for level in range(depth):
        mark = b"=_%d" % level
        head = b'Content-Type: multipart/mixed; boundary="' + mark + b'"\n\n--' + mark + b"\n"
        body = head + body + b"\n--" + mark + b"--\n"
    return b"From: MAILER-DAEMON@x.example\nSubject: Undeliverable\n" + body


BIG = 50_000_000
HOSTILE = {
    "a bomb of multiparts": lambda: bomb(500),
    "as many parts as there can be": lambda: parts(DAEMON, "x", *[("text/plain", "550 a@example.net")] * 100_000),
    "50 MB of one line": lambda: plain(DAEMON, "failure notice", "x" * BIG),
    "50 MB of lines": lambda: plain(DAEMON, "failure notice", "<ann@example.net>:\n550 full\n" * (BIG // 30)),
    "50 MB returned": lambda: report(UNKNOWN, returned=RETURNED + "x" * 76 + "\n" * BIG),
    "50 MB of a header": lambda: b"Subject: " + b"x" * BIG,
    "many header lines": lambda: b"X: y\n" * 1_000_000,
    "many folded lines": lambda: b"X: y\n" + b" z\n" * 1_000_000,
    "many groups": lambda: report(UNKNOWN.join("\n" * 20_000)),
    "a megabyte of words that begin an address": lambda: plain(DAEMON, "failure notice", "a." * 500_000),
    "a megabyte of at": lambda: plain(DAEMON, "failure notice", "a@" * 500_000),
    "a megabyte of addresses": lambda: plain(DAEMON, "failure notice", "ann@example.net " * 60_000),
    "a megabyte of quotes": lambda: plain(DAEMON, "failure notice", '"' * 1_000_000),
    "a megabyte of brackets": lambda: plain(DAEMON, "failure notice", "<" * 1_000_000, Content_Type="text/html"),
    "a megabyte of spaces": lambda: plain(DAEMON, "failure notice", " " * 1_000_000),
    "a megabyte of dashes": lambda: plain(DAEMON, "failure notice", "-" * 1_000_000),
    "lines of spaces and dashes": lambda: plain(DAEMON, "failure notice", (" " * 40 + "-" * 40 + "\n") * 12_000),
    "styles without an end": lambda: plain(DAEMON, "failure notice", "<style>" * 9_000, Content_Type="text/html"),
    "scripts with one end": lambda: plain(DAEMON, "failure notice", "<script " * 8_000 + "</script>",
                                          Content_Type="text/html"),
    "one recipient again and again": lambda: report(
        "\n".join(f"Final-Recipient: rfc822; u@d.example\nAction: failed\nDiagnostic-Code: {each}\n"
                  for each in range(1_000)),
        text="".join(f"<u@d.example>: odd words {each}\n" for each in range(2_000))),
    "many recipients of one line": lambda: plain(DAEMON, "failure notice",
                                                 " to ".join(f"u{each}@d.example" for each in range(3_000))),
    "many recipients of a line each": lambda: plain(DAEMON, "failure notice",
                                                    "".join(f"<u{each}@d.example>:\n" for each in range(3_000))),
    "one recipient on one line": lambda: plain(DAEMON, "failure notice", "user unknown@" * 1_500),
    "many recipients of a session": lambda: plain(DAEMON, "failure notice", "Transcript of session follows\n" + "".join(
        f">>> RCPT TO:<u{each}@d.example>\n" for each in range(1_000))),
    "many failed recipients": lambda: plain(
        DAEMON, "failure notice", "odd words " * 1_000,
        X_Failed_Recipients=",".join(f"u{each}@d.example" for each in range(5_000))),
    "words that are encoded": lambda: plain(DAEMON, "=?utf-8?q?" + "=?" * 30_000, "x"),
    "parameters": lambda: plain(DAEMON, "x", "x", Content_Type="multipart/mixed" + "; a=b" * 100_000),
    "a boundary of quotes": lambda: plain(DAEMON, "x", "x",
                                          Content_Type='multipart/mixed; boundary="' + '\\"' * 30_000),
    "base64 that is none": lambda: plain(DAEMON, "x", "=" * 1_000_000, Content_Transfer_Encoding="base64"),
    "JSON in JSON": lambda: plain("no-reply@sns.amazonaws.com", "AWS Notification Message",
                                  '{"notificationType":' + "[" * 1_000_000),
    "reports in reports": lambda: "".join(
        f"From: <>\nContent-Type: multipart/report; boundary=x{n}y\n\n--x{n}y\nContent-Type: message/rfc822\n\n"
        for n in range(10_000)).encode(),
    "a report of no part": lambda: plain(DAEMON, "failure notice", "--x--\n",
                                         Content_Type="multipart/mixed; boundary=x"),
    "NULs": lambda: report(UNKNOWN).replace(b"\n", b"\0\n\0"),
    "reply codes": lambda: plain(DAEMON, "failure notice", "<ann@example.net>:\n" + "550 5.1.1 " * 100_000),
    "sessions": lambda: plain(DAEMON, "Returned mail", "Transcript of session follows\n" + "<<< 550-a\n" * 100_000),
    "a charset that is none": lambda: plain(DAEMON, "x", "x", Content_Type="text/plain; charset=zlib_codec"),
    "a charset of two bytes": lambda: plain(DAEMON, "x", "x", Content_Type="text/plain; charset=utf-16"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_soon(name):
    assert spent(HOSTILE[name]()) < BOUND


def test_a_long_message_is_read_at_its_beginning():
    assert [each.recipient for each in read(HOSTILE["50 MB returned"]()).findings] == ["ann@example.net"]
    assert len(Message(HOSTILE["50 MB of one line"]()).data) <= LONGEST
    assert len(Message(HOSTILE["as many parts as there can be"]()).parts) == MOST_PARTS


def test_nuls_do_not_hide_a_report():
    assert [each.recipient for each in read(HOSTILE["NULs"]()).findings] == ["ann@example.net"]


@given(st.binary(max_size=4000))
def test_any_bytes_are_read(raw):
    read(raw)


@given(st.sampled_from(MESSAGES), st.randoms(use_true_random=False), st.integers(1, 30))
def test_a_spoiled_message_is_read(raw, chance, times):
    data = bytearray(raw)
    for _time in range(times):
        at, end = sorted(chance.randrange(len(data) + 1) for _end in range(2))
        spoil(data, at, min(end, at + 200), chance)
    for each in read(bytes(data)).findings:
        assert isinstance(each.text, str)
        assert "\n" not in each.text


def spoil(data: bytearray, at: int, end: int, chance: random.Random) -> None:
    """Change a piece of a message in one of the ways in which mail is spoiled."""
    how = chance.randrange(6)
    if how == 0 and len(data) > 400:
        del data[at:end]
    elif how == 1:
        data[at:at] = data[at:end]
    elif how == 2:
        data[at:end] = bytes(chance.sample(range(256), min(8, end - at)))
    elif how == 3:
        data[at:end] = data[at:end].replace(b"\n", b"\r\n")
    elif how == 4:
        data[at:end] = data[at:end].replace(b"\n", b"\r")
    else:
        piece = list(data[at:end])
        chance.shuffle(piece)
        data[at:end] = bytes(piece)


@given(st.sampled_from(MESSAGES), st.integers(0, 3000))
def test_a_message_that_was_cut_off_is_read(raw, length):
    read(raw[:length])


@given(st.text(max_size=300))
def test_addresses_are_looked_for_in_any_text(text):
    assert all(address in text for address in addresses_in(text))
