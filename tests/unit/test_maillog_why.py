# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a reply in the log means is what the same reply means in a notice, whatever was read before."""

from __future__ import annotations

import random

import pytest
from mailfleet.event import key, occurrence_in_log
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import View
from mailfleet.maillog.why import Why, gist
from mailfleet.notices import read
from mailfleet.reasons import ORDER, classify
from notice_world import report

REPLIES = sorted({text for reason in ORDER
                  for text in (*reason.phrases.values(), *reason.vague.values(), *reason.never)})
CODED = [text for text in REPLIES if text[:1] in "45" and text[1:3].isdigit() and text.isascii()]
ID = "4cRzFz1KvWz9tqr"


def status_in(text: str) -> str:
    return next((word for word in text.split() if word[:2] in ("4.", "5.") and word.count(".") == 2), f"{text[0]}.0.0")


def variant(text: str, chance: random.Random) -> str:
    """The same reply at another time: other numbers behind its codes, another address, another host."""
    words = []
    for at, word in enumerate(text.split()):
        if word.isdigit() and at > 1 and len(word) != 3:
            word = str(chance.randrange(10 ** len(word)))
        elif "@" in word and ".example" in word:
            word = word.replace("user", f"u{chance.randrange(999)}")
        words.append(word)
    return " ".join([*words, f"{chance.choice('abq')}c{chance.randrange(99)}si{chance.randrange(10**7)}"])


def test_what_is_kept_never_answers_for_a_reply_of_another_meaning():
    why, chance = Why(View()), random.Random(1)
    texts = [*REPLIES, *(variant(text, chance) for text in REPLIES for _again in range(2))]
    chance.shuffle(texts)
    for text in texts:
        status = status_in(text)
        for said in (text, f"host mx{chance.randrange(99)}.acme.example[192.0.2.{chance.randrange(99)}] said: {text}"):
            meaning, _host = why.meaning(said.encode(), status.encode())
            alone = classify(text, status)
            assert meaning[:4] == (alone.reason, alone.kind, alone.scope, alone.rule), text
    assert len(why._masked) < len(set(texts))  # variants are one reply


def test_the_host_that_said_it_is_known():
    why = Why(View())
    for text, host in (("host MX1.acme.example[192.0.2.1]:25 said: 450 no", "mx1.acme.example"),
                       ("delivery temporarily suspended: host mx.acme.example[2001:db8::1] said: 450 no",
                        "mx.acme.example"),
                       ("connect to mx.acme.example[192.0.2.1]:25: Connection refused", "mx.acme.example"),
                       ("lost connection with mx.acme.example[192.0.2.1] while sending RCPT TO", "mx.acme.example"),
                       ("Host or domain name not found. Name service error for name=x.example type=A", ""), ("", "")):
        assert why.meaning(text.encode(), b"4.0.0")[1] == host


def test_a_suspended_delivery_means_what_suspended_it():
    for text in (*CODED, "connect to mx.acme.example[192.0.2.1]:25: Connection refused"):
        said, status = f"host mx.acme.example[192.0.2.1] said: {text}", status_in(text).encode()
        again = f"delivery temporarily suspended: {said}"
        assert Why(View()).meaning(again.encode(), status)[0][:4] == Why(View()).meaning(said.encode(), status)[0][:4]


def test_the_gist_leaves_out_what_differs():
    one = "host a1.acme.example[192.0.2.1] said: 450 4.7.1 <ann@b.example>: wait 300 seconds, qc12si8475009pab.211"
    other = "host b2.acme.example[192.0.2.77] said: 450 4.7.1 <joe@c.example>: wait 9 seconds, bx99si123456789.7"
    assert gist(one) == gist(other) != gist(one.replace("4.7.1", "4.2.2")) and b"450 4.7.1" in gist(one)


@pytest.mark.parametrize("text", CODED)
def test_log_and_notice_are_one_event(text):
    """Whichever comes first, the key of both is the same: the kind and the recipient are."""
    status = status_in(text)
    said = f"host mx.example.net[192.0.2.1] said: {text} (in reply to RCPT TO command)"
    notice = report(f"Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: {status}\n"
                    f"Remote-MTA: dns; mx.example.net\nDiagnostic-Code: smtp; {text}\n",
                    f"This is the mail system at host mta1.example.com.\n\n<ann@example.net>: {said}\n")
    (finding,) = read(notice).findings
    reader = LogReader(View(), host="mta1.example.com", events=True)
    outcome = "bounced" if status[0] == "5" else "deferred"
    reader.feed(f"2026-11-28T13:03:35+00:00 mta1 postfix/smtp[1]: {ID}: to=<ann@example.net>, "
                f"relay=mx.example.net[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn={status}, status={outcome} "
                f"({said})\n".encode())
    (event,) = reader.take()[1]
    place = occurrence_in_log("mta1.example.com", ID)
    assert key(event.kind, event.recipient, place) == key(finding.kind, finding.recipient, place)
