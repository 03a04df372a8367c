# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts on a message that arrived, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import judgement
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

EXPECTED = judgement.Expectation(
    subject="198.51.100.10 example.com probe@gmail.com",
    address="198.51.100.10",
    helo="mta1.example.com",
    domain="example.com",
    bounce_domain="e.example.com",
    authserv_id="mx.gmail.com",
    receivers=("mx.gmail.com",),
)
DMARC = "Authentication-Results: mx.gmail.com; dmarc=pass (p=none dis=none) header.from=example.com"
SPF = (
    "Authentication-Results: mx.gmail.com; spf=pass (sender SPF authorized) smtp.mailfrom=e.example.com"
    " (client-ip=198.51.100.10; helo=mta1.example.com; envelope-from=probe@e.example.com; receiver=gmail.com)"
)
DKIM = (
    "Authentication-Results: mx.gmail.com;\n\tdkim=pass (2048-bit key; unprotected) header.d=example.com"
    " header.i=@example.com header.a=rsa-sha256 header.s=m20261123 header.b=abc/DEF1"
)
RECEIVED = (
    "Received: from mta1.example.com (mta1.example.com [198.51.100.10])\n"
    "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\n"
    "\tby mx.gmail.com (Postfix) with ESMTPS id 4ZxYw1\n\tfor <probe@gmail.com>; Mon, 23 Nov 2026 20:00:00 +0000 (UTC)"
)
LMTP = (
    "Received: from mx.gmail.com\n\tby mx.gmail.com with LMTP\n\tid 0BcDe\n\tfor <probe@gmail.com>;"
    " Mon, 23 Nov 2026 20:00:01 +0000"
)
MESSAGE = (
    "DKIM-Signature: v=1; d=example.com\n"
    "Received: from [192.0.2.9] (unknown [192.0.2.9]) by mta1.example.com (Postfix) with ESMTPSA id 77;"
    " Mon, 23 Nov 2026 20:00:00 +0000\nFrom: probe@example.com\nSubject: probe"
)
GOOD = (
    "Return-Path: <probe@e.example.com>",
    "Delivered-To: probe@gmail.com",
    LMTP,
    DMARC,
    SPF,
    DKIM,
    RECEIVED,
    MESSAGE,
)


def judge(*fields: str, expected: judgement.Expectation = EXPECTED):
    message = "\n".join(fields).replace("\n", "\r\n") + "\r\n\r\nAuthentication-Results: mx.gmail.com; none\r\n"
    return {verdict.check: verdict for verdict in judgement.judge(message.encode(), expected)}


def statuses(verdicts) -> dict[str, str]:
    return {check: verdict.status.value for check, verdict in verdicts.items()}


def replaced(old: str, new: str, fields: tuple[str, ...] = GOOD) -> list[str]:
    assert any(old in text for text in fields)
    return [text.replace(old, new) for text in fields]


def test_three_fields_of_three_programs_are_merged():
    verdicts = judge(*GOOD)
    assert statuses(verdicts) == dict.fromkeys(("dkim", "spf", "dmarc", "origin", "helo", "ptr", "tls"), "ok")
    assert verdicts["spf"].source == SPF
    assert verdicts["dkim"].found == "dkim=pass header.d=example.com header.i=@example.com"
    assert verdicts["dkim"].expected == "dkim=pass header.d=example.com by mx.gmail.com"
    assert verdicts["tls"].found == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert verdicts["tls"].source.startswith(
        "Received: from mta1.example.com (mta1.example.com [198.51.100.10]) (using"
    )
    assert verdicts["ptr"].subjects == ("198.51.100.10 example.com probe@gmail.com",)


@pytest.mark.parametrize("method, line", [("dkim", DKIM), ("spf", SPF), ("dmarc", DMARC)])
def test_a_missing_result_is_a_failure(method, line):
    verdicts = judge(*(text for text in GOOD if text != line))
    assert [check for check, verdict in verdicts.items() if not verdict.ok] == [method]
    verdict = verdicts[method]
    assert (verdict.status, verdict.found) == (Status.FAIL, f"no {method} result")
    assert verdict.cause and verdict.mend and verdict.source.startswith("Received: ")


def test_missing_iprev_is_a_failure_where_it_is_expected():
    verdicts = judge(*GOOD, expected=replace(EXPECTED, methods=("dkim", "spf", "dmarc", "iprev")))
    assert (verdicts["iprev"].status, verdicts["iprev"].cause) == (Status.FAIL, "the receiver does not stamp iprev")


@pytest.mark.parametrize("stood", ["below", "within the message", "at the end"])
def test_what_the_message_brought_along_never_counts(stood):
    """The same text, once written by the receiver and once by the sender: only its place tells them apart."""
    for line, method in ((DKIM, "dkim"), (SPF, "spf"), (DMARC, "dmarc")):
        fields = [text for text in GOOD if text != line]
        at = {"below": fields.index(RECEIVED) + 1, "within the message": len(fields) - 1, "at the end": len(fields)}[
            stood
        ]
        fields.insert(at, line)
        assert statuses(judge(*fields))[method] == "fail"


def test_a_forged_received_field_moves_no_boundary():
    """A message that brings a Received field like the receiver's own, with results above it, gains nothing."""
    forged = (
        "Received: from mta1.example.com (mta1.example.com [198.51.100.10]) by mx.gmail.com (Postfix) with ESMTPS id 9;"
        " Mon, 23 Nov 2026 20:00:00 +0000"
    )
    verdicts = judge(LMTP, RECEIVED, DMARC, SPF, DKIM, forged, MESSAGE)
    assert {method: verdicts[method].status for method in ("dkim", "spf", "dmarc")} == dict.fromkeys(
        ("dkim", "spf", "dmarc"), Status.FAIL
    )


def test_a_forged_local_hand_over_moves_no_boundary():
    forged = "Received: by mx.gmail.com (Postfix, from userid 0) id 9; Mon, 23 Nov 2026 20:00:00 +0000"
    assert statuses(judge(RECEIVED, forged, DMARC, SPF, DKIM, RECEIVED, MESSAGE))["dkim"] == "fail"


def test_another_host_on_top_makes_nothing_count():
    """Results stand above a Received field by mx.gmail.com, but the mailbox is behind another host."""
    other = RECEIVED.replace("by mx.gmail.com", "by mx.elsewhere.example")
    verdicts = judge(other, *GOOD)
    assert statuses(verdicts) == {"received": "fail"}
    assert "is by mx.elsewhere.example, not by mx.gmail.com" in verdicts["received"].found
    assert "received_by" in verdicts["received"].mend


@pytest.mark.parametrize("fields", [[MESSAGE.split("\n", 2)[2]], ["Received: nonsense", *GOOD], [""]])
def test_without_the_receivers_own_field_nothing_counts(fields):
    assert statuses(judge(*fields)) == {"received": "fail"}


def test_results_of_another_authserv_id_do_not_count_and_are_named():
    verdicts = judge(*replaced("Results: mx.gmail.com;\n\tdkim", "Results: mx.evil.example; dkim"))
    assert verdicts["dkim"].status is Status.FAIL
    assert "is of mx.evil.example, not of mx.gmail.com" in verdicts["dkim"].found


def test_an_unreadable_field_does_not_count_and_is_named():
    verdicts = judge(*replaced("spf=pass (", "spf=pass (("))
    assert verdicts["spf"].status is Status.FAIL
    assert "cannot be read" in verdicts["spf"].found


@pytest.mark.parametrize(
    "old, new, check, status, told",
    [
        (
            "dkim=pass (2048-bit key; unprotected)",
            "dkim=fail (signature verification failed)",
            "dkim",
            "fail",
            "the receiver says fail (signature verification failed)",
        ),
        ("dkim=pass", "dkim=temperror", "dkim", "unknown", "the receiver says temperror"),
        (
            "header.d=example.com header.i=@example.com",
            "header.d=example.net",
            "dkim",
            "fail",
            "it is about example.net, not about example.com",
        ),
        ("spf=pass", "spf=softfail", "spf", "fail", "the receiver says softfail"),
        (
            "smtp.mailfrom=e.example.com",
            "smtp.helo=mta1.example.com",
            "spf",
            "fail",
            "the receiver says pass (sender SPF authorized), and does not name e.example.com",
        ),
        (
            "smtp.mailfrom=e.example.com",
            "smtp.mailfrom=probe@example.com",
            "spf",
            "fail",
            "it is about example.com, not about e.example.com",
        ),
        ("dmarc=pass", "dmarc=fail", "dmarc", "fail", "the receiver says fail"),
        ("header.from=example.com", "header.from=example.org", "dmarc", "fail", "it is about example.org"),
        ("(mta1.example.com [198.51.100.10])", "(unknown [198.51.100.10])", "ptr", "fail", "could not confirm"),
        (
            "(mta1.example.com [198.51.100.10])",
            "(host9.example.net [198.51.100.10])",
            "ptr",
            "warn",
            "is not the HELO name",
        ),
        ("from mta1.example.com (", "from localhost.localdomain (", "helo", "fail", "greeted under another name"),
        ("[198.51.100.10])", "[198.51.100.11])", "origin", "fail", "left from another address"),
        (
            "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\n"
            "\tby mx.gmail.com (Postfix) with ESMTPS",
            "\tby mx.gmail.com (Postfix) with ESMTP",
            "tls",
            "warn",
            "offers no TLS",
        ),
    ],
)
def test_one_thing_wrong_gives_one_fault(old, new, check, status, told):
    verdicts = judge(*replaced(old, new))
    assert [(name, verdict.status.value) for name, verdict in verdicts.items() if not verdict.ok] == [(check, status)]
    assert told in verdicts[check].cause
    assert verdicts[check].mend and verdicts[check].expected and verdicts[check].found


def test_an_unsigned_message_as_opendkim_stamps_it():
    line = "Authentication-Results: mx.gmail.com; dkim=none; dkim-atps=neutral"
    verdict = judge(*(line if text == DKIM else text for text in GOOD))["dkim"]
    assert (verdict.status, verdict.found) == (Status.FAIL, "dkim=none")
    assert verdict.cause == "the receiver says none, and does not name example.com"


def test_one_good_signature_among_several_is_enough():
    fields = replaced("dkim=pass", "dkim=fail header.d=example.com;\n\tdkim=pass")
    assert statuses(judge(*fields))["dkim"] == "ok"


def test_of_two_answers_to_one_question_the_worse_counts():
    assert statuses(judge(SPF.replace("spf=pass", "spf=fail"), *GOOD))["spf"] == "fail"
    assert statuses(judge(*GOOD[:-2], SPF.replace("spf=pass", "spf=fail"), *GOOD[-2:]))["spf"] == "fail"


def test_spf_of_the_helo_name_beside_that_of_the_sender():
    helo = "Authentication-Results: mx.gmail.com; spf=none smtp.helo=mta1.example.com"
    assert statuses(judge(helo, *GOOD))["spf"] == "ok"


def test_a_content_filter_on_loopback_is_the_receivers_own():
    inner = (
        "Received: from localhost (localhost [127.0.0.1]) by mx.gmail.com (Postfix) with ESMTP id 8;"
        " Mon, 23 Nov 2026 20:00:01 +0000"
    )
    assert set(statuses(judge(LMTP, inner, *GOOD[3:])).values()) == {"ok"}


EXIM = """Received: from mta1.example.com ([198.51.100.10])
\tby mx.freemail.test with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384
\t(Exim 4.96)
\t(envelope-from <probe+ip-198-51-100-10@e.example.com>)
\tid 1vNabc-000123-0A
\tfor probe@freemail.test;
\tMon, 23 Nov 2026 20:00:00 +0000
Authentication-Results: mx.freemail.test; dmarc=pass"""
EXIM_RESULTS = """Authentication-Results: mx.freemail.test;
\tiprev=pass (mta1.example.com) smtp.remote-ip=198.51.100.10;
\tspf=pass smtp.mailfrom=e.example.com;
\tdkim=pass header.d=example.com header.s=m20261123 header.a=rsa-sha256"""


def test_exim_stamps_iprev_and_no_dmarc():
    expected = replace(
        EXPECTED, authserv_id="mx.freemail.test", receivers=("mx.freemail.test",), methods=("dkim", "spf", "iprev")
    )
    assert statuses(judge(EXIM_RESULTS, EXIM, MESSAGE, expected=expected)) == dict.fromkeys(
        ("dkim", "spf", "iprev", "origin", "helo", "ptr", "tls"), "ok"
    )
    found = judge(
        EXIM_RESULTS.replace("iprev=pass", "iprev=fail"), EXIM, MESSAGE, expected=replace(expected, methods=("dkim",))
    )
    assert found["iprev"].status is Status.FAIL, "a result that is there is judged, expected or not"
    other = judge(EXIM_RESULTS.replace("ip=198.51.100.10", "ip=198.51.100.99"), EXIM, MESSAGE, expected=expected)
    assert other["iprev"].status is Status.FAIL


GMAIL = """Delivered-To: someone@gmail.com
Received: by 2002:a05:6a10:1234 with SMTP id ab12csp;
        Mon, 23 Nov 2026 12:00:01 -0800 (PST)
ARC-Authentication-Results: i=1; mx.google.com;
       dkim=pass header.i=@example.com header.s=m20261123 header.b=Xy+/Z;
       spf=pass (google.com: domain of probe@e.example.com designates 198.51.100.10 as permitted sender)
       smtp.mailfrom=probe@e.example.com;
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.com
Return-Path: <probe@e.example.com>
Received: from mta1.example.com (mta1.example.com. [198.51.100.10])
        by mx.google.com with ESMTPS id 5b1f-20020a17090
        for <someone@gmail.com>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Mon, 23 Nov 2026 12:00:00 -0800 (PST)
Received-SPF: pass (google.com: domain of probe@e.example.com designates 198.51.100.10 as permitted sender)
Authentication-Results: mx.google.com; dkim=fail header.i=@example.com"""


def test_gmail_repeats_its_results_above_its_received_field():
    """Gmail writes Authentication-Results below its own Received field; its ARC copy stands above, and counts."""
    expected = replace(EXPECTED, authserv_id="mx.google.com", receivers=("mx.google.com",))
    assert set(statuses(judge(GMAIL, MESSAGE, expected=expected)).values()) == {"ok"}
    silent = GMAIL.replace("ARC-Authentication-Results", "X-Other")
    assert statuses(judge(silent, MESSAGE, expected=expected))["dkim"] == "fail"


def test_outlook_does_not_tell_the_name_of_the_address():
    hop = (
        "Received: from mta1.example.com (198.51.100.10) by mx.gmail.com (10.1.1.1) with Microsoft SMTP Server"
        " (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20; Mon, 23 Nov 2026 20:00:00 +0000"
    )
    assert statuses(judge(DMARC, SPF, DKIM, hop, MESSAGE))["ptr"] == "unknown"


def test_header_fields_end_where_the_header_ends():
    assert judgement.header_fields(b"From x@y Mon\r\nA: 1\r\n 2\r\nB-c:\xff\r\n\r\nD: 3\r\n") == [
        ("a", " 1\r\n 2"),
        ("b-c", "\ufffd"),
    ]
    assert judgement.header_fields(b"A: 1\nno field\nB: 2\n") == [("a", " 1")]
