# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each phrase is needed, each status code is read, and what contradicts itself is judged by where it was said."""

from __future__ import annotations

import re

import pytest
from mailfleet.finding import Kind, Scope
from mailfleet.reasons import CODES, ORDER, STATUSES, by_status, classify, status_of
from mailfleet.reasons.reason import Phrase, needed
from mailfleet.reasons.wording import LONGEST, wording_of
from mailfleet.refusal import TEXT

BY_NAME = {reason.name: reason for reason in ORDER}


@pytest.mark.parametrize("name", BY_NAME)
def test_no_phrase_is_shadowed_by_another(name):
    """Each phrase decides the text beside it: one before it that had the text too would make it useless."""
    reason = BY_NAME[name]
    decided = {phrase: classify(text).rule for phrase, text in {**reason.phrases, **reason.vague}.items()}
    assert {phrase: rule for phrase, rule in decided.items() if rule != f"{name}: {phrase}"} == {}


@pytest.mark.parametrize("name", BY_NAME)
def test_no_text_has_a_reason_that_it_must_not_have(name):
    assert BY_NAME[name].never
    assert [text for text in BY_NAME[name].never if classify(text).reason == name] == []


def test_a_phrase_is_shadowed_where_one_before_it_has_its_text(monkeypatch):
    first = BY_NAME["mailbox-full"]
    monkeypatch.setitem(first.phrases, "overquota and more", "452 4.2.2 overquota and more")
    assert classify(first.phrases["overquota and more"]).rule == "mailbox-full: overquota"


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_code_decides_where_words_do_not(status):
    full = status if status[0].isdigit() else f"5{status}"
    found = classify("", full)
    expected = STATUSES[status].name
    # 5.1.x of addresses stay so; a policy's or a mailbox's code says nothing else either.
    assert (found.reason, found.rule) == (expected, f"{expected}: status {full}")


def test_only_four_reasons_are_hard():
    assert sorted(name for name, reason in BY_NAME.items() if reason.kind is Kind.HARD) == [
        "domain-unknown", "moved", "no-mail", "user-unknown"]
    assert {reason.scope for reason in ORDER if reason.kind is Kind.HARD} == {Scope.RECIPIENT, Scope.DOMAIN}


def test_every_reply_code_that_means_something_means_a_status_code():
    soft = {code: status for code, status in CODES.items() if by_status(status, Kind.SOFT)}
    assert len(soft) > len(CODES) / 2
    assert [code for code, status in soft.items() if not classify(f"{code} ..", "").rule.endswith(status)] == []


@pytest.mark.parametrize("text, status, kind, reason", [
    ("550 5.1.1 User unknown", "", "hard", "user-unknown"),
    ("450 4.1.1 User unknown", "", "soft", "user-unknown"),
    ("550 User unknown", "4.1.1", "hard", "user-unknown"),
    ("User unknown", "4.1.1", "soft", "user-unknown"),
    ("Host or domain name not found", "4.4.4", "soft", "unreachable"),
    ("550 5.1.1 Mailbox full", "", "soft", "mailbox-full"),
    ("550 5.1.1 refused: your IP is listed by the RBL of example.org", "5.1.1", "soft", "blocked"),
    ("550 5.2.1 User unknown", "", "soft", "filtered"),
    ("550 5.2.1 User unknown (in reply to RCPT TO command)", "", "hard", "user-unknown"),
    ("550 5.7.1 User unknown (in reply to RCPT TO command)", "", "soft", "filtered"),
    ("550 5.7.1 No such user here (in reply to RCPT TO command)", "", "hard", "user-unknown"),
    ("550 5.7.1 No such user here", "", "soft", "filtered"),
    ("550 5.7.1 No such user here (in reply to end of DATA command)", "", "soft", "filtered"),
    ("450 4.7.1 No such user here (in reply to RCPT TO command)", "", "soft", "user-unknown"),
    ("550 User unknown (in reply to end of DATA command)", "5.0.0", "soft", "filtered"),
    ("550 not accepted -- invalid mailbox. Local mailbox a@example.com is unavailable: user not found (in reply to end "
     "of DATA command)", "", "hard", "user-unknown"),
    ("552 1 Requested mail action aborted, mailbox not found (in reply to end of DATA command)", "", "hard",
     "user-unknown"),
    ("550 5.1.1 User unknown (in reply to end of DATA command)", "", "hard", "user-unknown"),
    ("554 delivery error: dd This user doesn't have an account (in reply to end of DATA command)", "", "hard",
     "user-unknown"),
    ("550 550 User unknown (state 14)", "", "hard", "user-unknown"),
    ("550 550 User unknown (state 18)", "", "soft", "filtered"),
    ("550 Domain does not exist (in reply to MAIL FROM command)", "5.0.0", "soft", "sender"),
    ("550 Rejected (in reply to MAIL FROM command)", "5.0.0", "soft", "sender"),
    ("550 Rejected (in reply to EHLO command)", "5.0.0", "soft", "blocked"),
    ("550 Rejected", "5.0.0", "soft", "undetermined"),
    ("host mx.example.com[192.0.2.1] refused to talk to me: 554 no", "4.0.0", "soft", "blocked"),
    ("SMTP error from remote mail server after RCPT TO:<a@example.com>: 550 5.2.1 User unknown", "", "hard",
     "user-unknown"),
    ("", "", "soft", "undetermined"),
    ("", "5.1.1", "hard", "user-unknown"),
    ("", "4.1.1", "soft", "user-unknown"),
])
def test_what_contradicts_itself(text, status, kind, reason):
    found = classify(text, status)
    assert (found.kind, found.reason) == (kind, reason)


@pytest.mark.parametrize("text", [
    "550 Your certificate is not valid", "550 Invalid HELO, host unknown", "554 unknown host in HELO",
    "550 mailbox unavailable due to spam", "550 The domain does not exist: sender", "554 Your host is not found in DNS",
    "550 Host unknown: reverse lookup of client failed", "550 5.1.8 Invalid domain of sender",
    "550 user not found in directory for sender a@example.com", "550 access from unknown host denied",
    "550 your domain has no MX record found", "550 Invalid user agent header", "550 address not valid in From header",
    "550 no mx for sender domain example.com", "554 5.7.1 URL listed; domain unknown to us",
    "550 this domain does not accept mail from hosts without rDNS", "550 your account is closed due to spam complaints",
    "550 account removed for abuse", "550 No such domain as claimed in HELO", "553 something else", "551 no", "521 no",
    "550 account not found in the whitelist", "550 user unknown in LDAP: temporary failure", "550 unknown user agent",
    "550 mailbox unavailable due to policy restrictions", "550 Invalid recipient rate exceeded", "550 invalid user or "
    "password", "550 invalid address in Reply-To", "550 From domain does not exist", "550 return path: no such user",
    "550 verification failed for b@example.org: no such user", "550 Non-existent domain in MAIL FROM", "554 unknown "
    "domain in Message-ID", "550 this mailbox is not available at this time", "554 no valid recipients: all greylisted",
    "550 mailbox not found in the cache, please retry", "550 the mailbox moved to another server of ours",
    "550 Too many invalid recipients", "550 too many unknown users in one session: no such user",
    "550 Access denied: the sending domain has a null MX", "550-mailbox unavailable 550-Sender address has null MX",
    "550 5.1.1 Recipient address rejected: undeliverable address: mail for example.com loops back to myself",
])
def test_words_on_others_make_nobody_hard(text):
    assert classify(text, "5.0.0").kind == "soft"


def test_the_command_can_be_given():
    assert classify("550 User unknown", "5.0.0", "RCPT TO").kind == "hard"
    assert classify("550 User unknown", "5.0.0", "DATA").kind == "soft"
    assert classify("550 User unknown", "5.0.0", ".").kind == "soft"
    assert classify("550 User unknown", "5.0.0", "?").kind == "soft"


@pytest.mark.parametrize("reply", ["550 <a@example.com>: Recipient address rejected: User unknown in virtual table",
                                   "550 Requested action not taken: mailbox unavailable"])
def test_some_replies_tell_what_they_answer(reply):
    assert classify(reply, "5.0.0", "?").kind == "hard"
    assert classify(f"what it said: {reply}", "5.0.0", "?").kind == "soft"
    assert classify(reply, "5.0.0", "DATA").kind == "soft"


@pytest.mark.parametrize("text", [
    "550 <virus-spam-full@example.com>: {}", "550 host spam.blacklist.example.com[192.0.2.1] said: {}",
    "550 {} see https://example.com/mailbox-full#spam", "550 {} 0123456789abcdef@mx.example.com",
])
def test_addresses_hosts_and_links_are_no_words(text):
    assert classify(text.format("")).reason == "undetermined"
    assert classify(text.format("User unknown"), "", "RCPT TO").reason == "user-unknown"


def test_replies_that_differ_in_numbers_have_one_wording():
    first = "550 5.1.1 <a@example.com>: user unknown at mx1.example.com [192.0.2.1] 01:02:03 id 8Zq0aaBB77cc"
    other = "550-5.1.1 <b@example.net>: user unknown at mx2.example.net [198.51.100.77] 23:59:59 id 0123456789ab"
    assert wording_of(first) == wording_of(other)


def test_a_status_code_is_read_at_its_place_only():
    assert status_of("550 5.1.1 no") == "5.1.1"
    assert status_of("no mailbox (#5.1.1)") == "5.1.1"
    assert status_of("550-5.7.26 x") == "5.7.26"
    assert status_of("550 no") == "5.0.0"
    assert status_of("host mx.example.com[192.0.2.1] said: 451 no") == "4.0.0"
    assert status_of("host 5.1.1.9 said no, version 4.94.2-5") == ""
    assert status_of("") == ""


def test_braces_and_gaps():
    assert Phrase("a {b|c} d").found_in(" a c d ")
    assert not Phrase("a {b|c} d").found_in(" a e d ")
    assert Phrase("alpha * omega").found_in(" alpha omega ")
    assert Phrase("alpha * omega").found_in(" alpha and then omega ")
    assert not Phrase("alpha * omega").found_in(f" alpha {'x' * 70} omega ")
    assert not Phrase("full").found_in(" unfulled is careful ")
    assert Phrase("{a{1|2}|b}c").found_in(" a2c ")
    assert needed("{user|account} unknown") == (" unknown",)


def test_no_phrase_takes_long():
    """Each word of a phrase, again and again, is the worst that a server can say."""
    for reason in ORDER:
        for phrase in {**reason.phrases, **reason.vague}:
            word = re.split(r"[{}|*]", phrase.strip("{"))[0]
            Phrase(phrase).found_in(wording_of(f"{word} " * (LONGEST // (len(word) + 1))))


def test_our_own_refusal_says_nothing_of_the_recipient():
    verdict = classify(f"host mta1.example.com said: {TEXT} (in reply to RCPT TO command)", "5.7.1")
    assert (verdict.reason, verdict.kind, verdict.scope) == ("suppressed", Kind.SOFT, Scope.SENDER)
