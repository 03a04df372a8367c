# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complaints without a token: who is asked whether a known source signed them, about what, and what comes of it."""

from __future__ import annotations

import os
import time

import pytest
from agent_host import Host
from agent_world import message
from mailfleet import feedback
from mailfleet.finding import Kind
from mailfleet.store import Store
from mailfleet.suppressions import holding
from mailfleet.verifier import Verifier
from mailfleet.worker import MOST_UNVERIFIED
from milter_filter import AGREED, GOES_ON, Filter, added, packet

SOURCES = frozenset({"feedback.example"})
SIGNED = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=feedback.example;\n\ti=@feedback.example; s=s1;" \
         b"\n h=from:to; bh=x=; b=y\n\tz=\n"
HEAD = b"From: a@feedback.example\nTo: fbl@e.example.com\n"
RAW = SIGNED + HEAD + b"\nbody\n"
# What OpenDKIM makes of i= in a stranger's own signature that holds, as it was seen to.
CLAIMED = SIGNED.replace(b"d=feedback.example", b"d=evil.example").replace(
    b"i=@feedback.example", b"i=x=3Bdkim=3Dpass=20header.d=3Dfeedback.example=20@evil.example")


class Asked(list):
    """Says what it was told to, and keeps what it was asked about."""

    def __init__(self, *results: str) -> None:
        super().__init__()
        self.results = list(results)

    def __call__(self, fields, body) -> str:
        self.append((fields, body))
        return self.results.pop(0)


@pytest.mark.parametrize(("result", "found"), [
    ("pass", "feedback.example"), ("fail", ""), ("none", ""), ("neutral", ""), ("policy", ""), ("permerror", ""),
    ("", None), ("temperror", None),
])
def test_only_a_pass_is_one_and_silence_is_no_answer(result, found):
    assert feedback.verified(RAW, SOURCES, Asked(result)) == found


def test_the_message_is_told_as_it_came():
    asked = Asked("pass")
    raw = b"Return-Path: <>\nAuthentication-Results: x; dkim=pass\n" + RAW.replace(b"body\n", b"b\n\nc")
    feedback.verified(raw, SOURCES, asked)
    (told,) = asked
    assert told == ([b"Return-Path: <>", SIGNED[:-1], *HEAD.splitlines()], b"b\r\n\r\nc")
    asked = Asked("pass")
    feedback.verified(RAW.replace(b"\n", b"\r\n"), SOURCES, asked)
    assert asked[0] == ([SIGNED[:-1], *HEAD.splitlines()], b"body\r\n")


@pytest.mark.parametrize("raw", [
    HEAD + b"\nbody\n", b"", b"\n\n", b"no field\n\n" + RAW, RAW.replace(b"\n\n", b"\n"),
    RAW.replace(b"DKIM-Signature", b"X-DKIM-Signature"), HEAD + b"\n" + SIGNED,
    RAW.replace(b"d=feedback.example", b"d=evil.example"), RAW.replace(b"d=feedback.example", b"d=x.feedback.example"),
    RAW.replace(b"d=feedback.example", b"d=feedback.example\n .evil.example"), RAW.replace(b"d=feedback.example;", b""),
    RAW.replace(b"rsa-sha256", b"rsa-sha1"), CLAIMED + HEAD + b"\n",
    # These say things twice, or hold for a beginning of the body.
    *(RAW.replace(b"v=1;", tag) for tag in (b"d=evil.example;", b"v=1; s=s2;", b"v=1; L=1;", b"l=1;", b"l\n = 1;")),
    # A signature covers the last of each, and a reader may take the first.
    *(field + RAW for field in (b"from: b@evil.example\n", b"FROM : b@evil.example\n")),
    b"Content-Type: multipart/report\ncontent-type: text/plain\n" + RAW, b"X: \0\n" + RAW,
    RAW.replace(b"To:", b"X: " + b"x" * (1 << 18) + b"\nTo:"),
])
def test_nobody_is_asked_about_anything_but_a_plain_signature_of_a_source(raw):
    asked = Asked("pass")
    assert feedback.verified(raw, SOURCES, asked) == "" and not asked


def test_of_several_signatures_each_of_a_source_is_asked_about_alone():
    other, second = SIGNED.replace(b"feedback.example", b"evil.example"), SIGNED.replace(b"s=s1", b"s=s2")
    asked = Asked("fail", "pass")
    assert feedback.verified(other + SIGNED + CLAIMED + second + RAW, SOURCES, asked) == "feedback.example"
    assert [told[0] for told in asked] == [[each[:-1], *HEAD.splitlines()] for each in (SIGNED, second)]
    assert feedback.verified(SIGNED * 9 + HEAD + b"\n", SOURCES, Asked(*["fail"] * feedback.MOST)) == ""
    assert feedback.verified(SIGNED + RAW, SOURCES, Asked("", "fail")) is None
    assert feedback.verified(SIGNED + RAW, SOURCES, Asked("", "pass")) == "feedback.example"


FIELD = b"Authentication-Results: ours.example; dkim=pass header.d=feedback.example\n"


@pytest.mark.parametrize(("field", "found"), [
    (FIELD, "feedback.example"), (FIELD.replace(b"ours.example;", b"Ours.Example 1;"), "feedback.example"),
    (FIELD.replace(b" ours", b"\n\tours").replace(b"pass ", b"pass\n "), "feedback.example"),
    (FIELD.replace(b"ours.example", b"(ours.example;) x.example"), ""), (FIELD.replace(b"ours", b"theirs"), ""),
    (FIELD.replace(b"ours", b"theirs") + FIELD, "feedback.example"),
    (FIELD.replace(b"pass", b"temperror"), ""), (FIELD.replace(b"pass", b"temperror") + FIELD, ""),
])
def test_a_filter_of_the_operators_own_is_believed_by_its_topmost_field(field, found):
    assert feedback.named(field + RAW, "ours.example", SOURCES) == found


@pytest.mark.parametrize("signature", [CLAIMED, SIGNED.replace(b"v=1;", b"v=1; l=1;"), SIGNED.replace(b"s=s1;", b"")])
def test_it_is_not_about_a_signature_that_is_not_plain(signature):
    """OpenDKIM says pass of such, and its field is where a stranger wants it to name a source."""
    claimed = b"Authentication-Results: ours.example;\n\tdkim=pass header.d=evil.example header.i=x;dkim=pass" \
              b" header.d=feedback.example @evil.example header.s=s1\n"
    for field in (FIELD, claimed):
        assert feedback.named(field + RAW, "ours.example", SOURCES) == "feedback.example"
        assert feedback.named(field + signature + RAW, "ours.example", SOURCES) == ""


class TestVerifier:
    FIELDS = (b"From: a@feedback.example", b"DKIM-Signature: v=1;\n\tb=x")
    STEPS = (AGREED, *[GOES_ON] * 8)  # and one for the body

    def ask(self, tmp_path, *answers: bytes, body: bytes = b"body\r\n"):
        place = str(tmp_path / "socket")
        filter_ = Filter(answers, place)
        result = Verifier(place)(self.FIELDS, body)
        filter_.join(5)
        return result, filter_.heard

    def result(self, tmp_path, value: str, name: str = "Authentication-Results") -> str:
        return self.ask(tmp_path, *self.STEPS, GOES_ON, added(name, value))[0]

    def test_a_message_is_told_in_order_and_as_a_strangers(self, tmp_path):
        result, heard = self.ask(tmp_path, *self.STEPS, GOES_ON,
                                 added("Authentication-Results", "x.invalid;\n\tdkim=pass (2048-bit key) header.d=y"))
        assert result == "pass" and [each[:1] for each in heard] == [bytes([letter]) for letter in b"OCHDMRTLLNBEQ"]
        assert heard[1] == b"C[192.0.2.1]\0" + b"4\0\x19" + b"192.0.2.1\0"
        assert heard[7:9] == [b"LFrom\0 a@feedback.example\0", b"LDKIM-Signature\0 v=1;\n\tb=x\0"]
        assert heard[10] == b"Bbody\r\n"

    @pytest.mark.parametrize(("value", "result"), [
        ("x.invalid; dkim=none", "none"), ("x.invalid;\n\tdkim=fail reason=\"dkim=pass\" header.d=x", "fail"),
        ("x.invalid; dkim=temperror", "temperror"), ("dkim=pass", ""), ("x.invalid; spf=pass; dkim=pass", ""),
    ])
    def test_the_first_result_of_the_field_counts(self, tmp_path, value, result):
        assert self.result(tmp_path, value) == result

    def test_no_other_field_counts(self, tmp_path):
        assert self.result(tmp_path, "x.invalid; dkim=pass", "X-Authentication-Results") == ""

    @pytest.mark.parametrize("answers", [
        [], [GOES_ON], [packet(b"O\0")], [AGREED], [AGREED, packet(b"r")], [AGREED, packet(b"t")],
        [AGREED, packet(b"y550 5.7.1 no\0")], [AGREED, b"\0\0\0\0"], [AGREED, b"\xff" * 4],
        [AGREED, packet(b"r"), *[GOES_ON] * 9, added("Authentication-Results", "x; dkim=pass")],
        [packet(AGREED[4:13] + b"\0\0\0\x80")], [*STEPS, GOES_ON, packet(b"a")], [*STEPS, GOES_ON, packet(b"t")],
    ])
    def test_whatever_else_it_says_is_no_answer(self, tmp_path, answers):
        assert self.ask(tmp_path, *answers)[0] == ""

    def test_a_long_body_goes_in_pieces(self, tmp_path):
        heard = self.ask(tmp_path, *self.STEPS, GOES_ON, GOES_ON, added("Authentication-Results", "x; dkim=pass"),
                         body=b"x" * 70000)[1]
        assert [len(each) for each in heard if each[:1] == b"B"] == [65536, 4466]

    def test_bounces_do_not_wait_behind_what_is_waited_for_in_vain(self, tmp_path, monkeypatch):
        times, asked = [0.0], []

        def silent(*_about):
            asked.append(times[0])
            times[0] += 4
            return ""

        monkeypatch.setattr("mailfleet.verifier._ask", silent)
        verifier = Verifier("nowhere", lambda: times[0])
        for _second in range(60):
            assert verifier(self.FIELDS, b"") == ""
            times[0] += 1
        assert asked[:3] == [0, 24, 48]

    def test_one_that_is_not_there_costs_nothing(self, tmp_path):
        began = time.monotonic()
        assert [Verifier(str(tmp_path / "socket"))(self.FIELDS, b"") for _each in range(50)] == [""] * 50
        assert time.monotonic() - began < 10  # a fifth of a second for each would be waiting


@pytest.fixture
def bounce_host(tmp_path):
    """One that knows a source, and is told what to believe of signatures."""
    made = Host(tmp_path, feedback={"sources": ["feedback.example"]})
    made.asked = made.worker._ask_signed = Asked()
    yield made
    made.store.close()


def complaint(recipient: str = "u@acme.test", signed: bytes = SIGNED) -> bytes:
    return signed + message(recipient, Kind.COMPLAINT)


def suppressed(host: Host) -> list[str]:
    return [each.recipient for each in holding(host.store, host.now)]


def test_a_complaint_that_a_source_signed_suppresses_wherever_it_came_from(bounce_host):
    bounce_host.asked.results = ["pass", "pass"]
    bounce_host.arrive(complaint())
    bounce_host.put(complaint("fetched@acme.test"))
    bounce_host.worker.round()
    assert suppressed(bounce_host) == ["fetched@acme.test", "u@acme.test"] and not bounce_host.spool.names()


def test_one_that_nobody_signed_or_that_only_says_so_is_kept(bounce_host):
    bounce_host.asked.results = ["fail"]
    bounce_host.arrive(complaint(), complaint("v@acme.test", b""), complaint("w@acme.test", FIELD + CLAIMED))
    bounce_host.worker.round()
    assert suppressed(bounce_host) == [] and bounce_host.reasons() == {"no-token": "other"}
    assert len(list(bounce_host.quarantine.kept("other"))) == 3 and len(bounce_host.asked) == 1


def test_bounces_and_complaints_with_a_token_ask_nobody(bounce_host):
    token = bounce_host.token()
    bounce_host.arrive(SIGNED + message(), SIGNED + message(kind=Kind.COMPLAINT, to=token), SIGNED + message(to=token))
    bounce_host.worker.round()
    assert not bounce_host.asked and suppressed(bounce_host) == ["u@acme.test"]


def test_a_complaint_waits_until_somebody_says_who_signed_it(bounce_host):
    bounce_host.asked.results = ["", "temperror", "pass"]
    bounce_host.arrive(complaint(), message())
    assert bounce_host.worker.round() == 2 and bounce_host.worker.unverified == 1
    assert bounce_host.reasons() == {"no-token": "other"} and len(bounce_host.spool.names()) == 1
    assert "complaints wait in" in bounce_host.told[0] and "mailfleet-verify.service" in bounce_host.told[0]
    assert bounce_host.worker.round() == 0 and len(bounce_host.asked) == 1  # not asked again yet
    for waits in (1, 0):
        bounce_host.now += 61
        assert bounce_host.worker.round() == 1 and bounce_host.worker.unverified == waits
    assert suppressed(bounce_host) == ["u@acme.test"] and len(bounce_host.told) == 2
    assert not bounce_host.spool.names()
    bounce_host.asked.results = [""]
    bounce_host.arrive(complaint("v@acme.test"))
    bounce_host.worker.round()
    assert len(bounce_host.told) == 3 and bounce_host.told[2] == bounce_host.told[0]


def test_it_waits_for_a_day_and_is_kept(bounce_host):
    bounce_host.asked.results = ["", ""]
    bounce_host.arrive(complaint())
    (name,) = bounce_host.spool.names()
    os.utime(bounce_host.spool.path(name), (bounce_host.now, bounce_host.now))
    bounce_host.worker.round()
    bounce_host.now += 86400
    bounce_host.worker.round()
    assert bounce_host.reasons() == {"unverified": "other"} and suppressed(bounce_host) == []


def test_no_more_wait_than_can_be_looked_at_each_minute(bounce_host):
    bounce_host.asked.results = [""] * (MOST_UNVERIFIED + 5)
    for number in range(MOST_UNVERIFIED + 5):
        with open(bounce_host.spool.path(f"{number:04}"), "wb") as file:
            file.write(complaint(f"u{number}@acme.test"))
        os.utime(bounce_host.spool.path(f"{number:04}"), (bounce_host.now, bounce_host.now))
    bounce_host.worker.round()
    assert bounce_host.worker.unverified == MOST_UNVERIFIED
    assert len(list(bounce_host.quarantine.kept("other"))) == 5


def test_neither_an_event_nor_the_store_waits_with_it(bounce_host):
    assert isinstance(bounce_host.store, Store)
    bounce_host.asked.results = [""]
    bounce_host.arrive(complaint(), message("v@acme.test", to=bounce_host.token("v@acme.test")))
    bounce_host.worker.round()
    assert suppressed(bounce_host) == ["v@acme.test"] and bounce_host.worker.unverified == 1
