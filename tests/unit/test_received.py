# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Received fields of the programs and providers that probes arrive at."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import received
from ansible_collections.mailfleet.sending.plugins.module_utils.received import Received

DATE = "Mon, 23 Nov 2026 20:00:00 +0000"
POSTFIX = f""" from mta1.example.com (mta1.example.com [198.51.100.10])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)
\t(No client certificate requested)
\tby mx.gmail.com (Postfix) with ESMTPS id 4ZxYw1abc
\tfor <probe@gmail.com>; {DATE} (UTC)"""


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            POSTFIX,
            Received(
                by="mx.gmail.com",
                helo="mta1.example.com",
                client_name="mta1.example.com",
                confirmed=True,
                address="198.51.100.10",
                protocol="ESMTPS",
                tls=True,
                tls_version="TLSv1.3",
                cipher="TLS_AES_256_GCM_SHA384",
                id="4ZxYw1abc",
                date=f"{DATE} (UTC)",
            ),
        ),
        (
            f" from MTA1.example.com. (unknown [IPv6:2001:DB8:61:0::10])\n"
            f" by mx.gmail.com (Postfix) with ESMTP id 1; {DATE}",
            Received(
                by="mx.gmail.com",
                helo="mta1.example.com",
                confirmed=False,
                address="2001:db8:61::10",
                protocol="ESMTP",
                id="1",
                date=DATE,
            ),
        ),
        (
            f" from [198.51.100.10] (mta1.example.com [198.51.100.10])"
            f" by mx.gmail.com (Postfix) with SMTP id 2; {DATE}",
            Received(
                by="mx.gmail.com",
                helo="[198.51.100.10]",
                client_name="mta1.example.com",
                confirmed=True,
                address="198.51.100.10",
                protocol="SMTP",
                id="2",
                date=DATE,
            ),
        ),
        (
            f" by mta1.example.com (Postfix, from userid 0)\n\tid 3; {DATE}",
            Received(by="mta1.example.com", id="3", date=DATE),
        ),
        (
            f""" from mta1.example.com ([198.51.100.10])
\tby mx.freemail.test with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384
\t(Exim 4.96)
\t(envelope-from <probe+ip@e.example.com>)
\tid 1vNabc-000123-0A
\tfor probe@freemail.test;
\t{DATE}""",
            Received(
                by="mx.freemail.test",
                helo="mta1.example.com",
                client_name="mta1.example.com",
                confirmed=True,
                address="198.51.100.10",
                protocol="esmtps",
                tls=True,
                tls_version="TLS1.3",
                cipher="TLS_AES_256_GCM_SHA384",
                id="1vNabc-000123-0A",
                date=DATE,
            ),
        ),
        (
            f""" from host7.example.net ([2001:db8:61::10] helo=mta1.example.com)
\tby mx.freemail.test with esmtps (TLS1.2:ECDHE_RSA_AES_256_GCM_SHA384:256) (Exim 4.92) id 1; {DATE}""",
            Received(
                by="mx.freemail.test",
                helo="mta1.example.com",
                client_name="host7.example.net",
                confirmed=True,
                address="2001:db8:61::10",
                protocol="esmtps",
                tls=True,
                tls_version="TLS1.2",
                cipher="ECDHE_RSA_AES_256_GCM_SHA384",
                id="1",
                date=DATE,
            ),
        ),
        (
            f" from [198.51.100.11] (helo=mta1b.example.com)\n"
            f"\tby mx.freemail.test with esmtp (Exim 4.96) id 1; {DATE}",
            Received(
                by="mx.freemail.test",
                helo="mta1b.example.com",
                confirmed=False,
                address="198.51.100.11",
                protocol="esmtp",
                id="1",
                date=DATE,
            ),
        ),
        (
            f""" from mta1.example.com (mta1.example.com. [198.51.100.10])
        by mx.google.com with ESMTPS id 5b1f-20020a17090
        for <someone@gmail.com>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        {DATE}""",
            Received(
                by="mx.google.com",
                helo="mta1.example.com",
                client_name="mta1.example.com",
                confirmed=None,
                address="198.51.100.10",
                protocol="ESMTPS",
                tls=True,
                tls_version="TLS1_3",
                cipher="TLS_AES_256_GCM_SHA384",
                id="5b1f-20020a17090",
                date=DATE,
            ),
        ),
        (
            f" by 2002:a05:6a10:1234 with SMTP id ab12csp;\n        {DATE}",
            Received(by="2002:a05:6a10:1234", protocol="SMTP", id="ab12csp", date=DATE),
        ),
        (
            f""" from mta1.example.com (198.51.100.10) by
 DB1PEPF0003.mail.protection.outlook.com (10.167.8.1) with Microsoft SMTP
 Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.1.1
 via Frontend Transport; {DATE}""",
            Received(
                by="db1pepf0003.mail.protection.outlook.com",
                helo="mta1.example.com",
                address="198.51.100.10",
                protocol="Microsoft",
                tls=True,
                tls_version="TLS1_3",
                cipher="TLS_AES_256_GCM_SHA384",
                id="15.20.1.1",
                date=DATE,
            ),
        ),
        (
            f""" from 198.51.100.10
 (EHLO mta1.example.com)
 by 10.197.32.140 with SMTPs
 (version=TLSv1_3 cipher=TLS_AES_128_GCM_SHA256); {DATE}""",
            Received(
                by="10.197.32.140",
                helo="mta1.example.com",
                address="198.51.100.10",
                protocol="SMTPs",
                tls=True,
                tls_version="TLSv1_3",
                cipher="TLS_AES_128_GCM_SHA256",
                date=DATE,
            ),
        ),
        (
            f" from mx.gmail.com\n\tby mx.gmail.com with LMTP\n\tid 0BcDe\n"
            f"\t(envelope-from <a@b.example>)\n\tfor <c@gmail.com>; {DATE}",
            Received(by="mx.gmail.com", helo="mx.gmail.com", protocol="LMTP", id="0BcDe", date=DATE),
        ),
        (
            f" FROM a.example ([192.0.2.9]) BY b.example"
            f" VIA TCP WITH ESMTPSA ID <x@b.example> FOR <c@b.example>; {DATE}",
            Received(
                by="b.example",
                helo="a.example",
                address="192.0.2.9",
                protocol="ESMTPSA",
                tls=True,
                id="x@b.example",
                date=DATE,
            ),
        ),
        (
            " from by (by [192.0.2.9]) by with id id",
            Received(by="with", helo="by", client_name="by", address="192.0.2.9", id="id"),
        ),
    ],
    ids=[
        "postfix",
        "postfix-unknown-v6",
        "postfix-literal",
        "postfix-local",
        "exim",
        "exim-other-helo-old-tls",
        "exim-unconfirmed",
        "gmail",
        "gmail-inner",
        "outlook",
        "yahoo",
        "dovecot-lmtp",
        "rfc-5321",
        "keywords-as-names",
    ],
)
def test_forms_in_use(text, expected):
    assert received.parse(text) == expected
    assert received.parse(text.replace("\n", "\r\n") + "\r\n") == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no `by`"),
        (f" from mta1.example.com (mta1.example.com [198.51.100.10]); {DATE}", "no `by`"),
        (" by", "no `by`"),
        (" hello by mx.example", "expected `from` or `by`"),
        (" from a (b by c", "does not end"),
        (" from a) by c", "unexpected '\\)'"),
        (" from " + "a" * 20000, "at most 16384"),
    ],
)
def test_what_is_none_is_a_typed_error(text, message):
    with pytest.raises(received.ReceivedError, match=message):
        received.parse(text)


@given(st.text(alphabet=st.sampled_from('ab1.:[]()=; \t\r\n"\\\x00é'), max_size=120), st.integers(0, len(POSTFIX)))
def test_any_text_parses_or_is_a_typed_error(text, at):
    for candidate in (text, POSTFIX[:at] + text + POSTFIX[at:], POSTFIX[:at] + text):
        try:
            assert received.parse(candidate).by
        except received.ReceivedError:
            pass


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "()",
        '"',
        "a ",
        "by ",
        "[",
        "(a ",
        '"\\',
        " ",
        "using TLS",
        "(using TLS with cipher ",
        "version=TLS,",
        "(version=TLS)",
    ],
)
def test_hostile_repetition_takes_bounded_time(unit):
    begin = time.process_time()
    for prefix in ("", " from a ", " from a (", " by b "):
        try:
            received.parse((prefix + unit * 20000)[: received.MAX_LENGTH])
        except received.ReceivedError:
            pass
    assert time.process_time() - begin < 1
