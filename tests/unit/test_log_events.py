# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the log says as events: what it suppresses, what it never does, and that a notice of the same counts once."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from agent_world import DAY, NOW, TODAY, postgresql_schema
from followed_log import GREYLISTED, UNKNOWN, Server, came, message, outcome, server, stamped, went
from mailfleet import events, notices, suppressions
from mailfleet.event import LOG, UNPROVED
from mailfleet.maillog.log_event import LogEvent
from mailfleet.maillog.stream import event_of
from mailfleet.quarantine import Quarantine
from mailfleet.rules import Entry
from mailfleet.spool import Spool
from mailfleet.worker import Worker

from ansible_collections.mailfleet.sending.plugins.module_utils import probe_bounces

__all__ = ["server"]

# What Postfix 3.7 sends to the return path; its log says the same in brackets.
NOTICE = """Return-Path: <>
Delivered-To: {path}
Received: by mta1.example.com (Postfix)
\tid 4D3F21A02B; Thu, 19 Nov 2026 11:06:40 +0000 (UTC)
Date: Thu, 19 Nov 2026 11:06:40 +0000 (UTC)
From: MAILER-DAEMON@mta1.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {path}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="{queue_id}.1795/mta1.example.com"
Message-Id: <20261119110640.4D3F21A02B@mta1.example.com>

This is a MIME-encapsulated message.

--{queue_id}.1795/mta1.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mta1.example.com.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

                   The mail system

<{to}>: {text}

--{queue_id}.1795/mta1.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mta1.example.com
X-Postfix-Queue-ID: {queue_id}
X-Postfix-Sender: rfc822; {path}
Arrival-Date: Thu, 19 Nov 2026 11:06:38 +0000 (UTC)

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{original}
Action: failed
Status: {status}
Remote-MTA: dns; mx1.acme.test
Diagnostic-Code: smtp; {reply}

--{queue_id}.1795/mta1.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822

Return-Path: <{path}>
Received: from app.example.com (app.example.com [192.0.2.7])
\tby mta1.example.com (Postfix) with ESMTPS id {queue_id}
\tfor <{original}>; Thu, 19 Nov 2026 11:06:38 +0000 (UTC)
From: News <news@example.com>
To: <{original}>
Subject: The news

Hello.

--{queue_id}.1795/mta1.example.com--
"""


def notice(path: str, to: str, queue_id: str, text: str = UNKNOWN, status: str = "5.1.1", original: str = "") -> bytes:
    text = text.format(to=to)
    reply = text.partition(" said: ")[2].partition(" (in reply")[0] or text
    return NOTICE.format(path=path, to=to, queue_id=queue_id, text=text, reply=reply, status=status,
                         original=original or to).encode()


class Both(Server):
    """A server that is a bounce host, too."""

    def take_in(self, raw: bytes) -> Worker:
        spool = Spool(self.settings.maildir)
        spool.deliver(raw)
        worker = Worker(self.settings, self.store, spool, Quarantine.of(self.settings), notices.read, self.told.append,
                        clock=lambda: self.now)
        worker.round()
        assert worker.counts.messages == 1 and worker.counts.quarantined == 0
        return worker


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request, tmp_path):
    drop, more = None, {}
    if request.param == "postgresql":
        conninfo, drop = postgresql_schema()
        more = {"store": {"postgresql": conninfo}}
    made = Both(tmp_path, **more)
    yield made
    made.close()
    made.log.close()
    if drop:
        drop()


FULL = ("host mx1.acme.test[192.0.2.1] said: 552 5.2.2 <{to}>: mailbox is full (in reply to RCPT TO command)")
LATE = ("delivery temporarily suspended: connect to mx1.acme.test[192.0.2.1]:25: Connection timed out")


@pytest.mark.parametrize("first", ["log", "notice"])
@pytest.mark.parametrize(("text", "status", "original", "kind"), [
    (UNKNOWN, "5.1.1", "", "hard"), (UNKNOWN, "5.1.1", "alias@acme.test", "hard"), (FULL, "5.2.2", "", "soft")])
def test_a_bounce_and_its_notice_are_one_event_whichever_comes_first(both, first, text, status, original, kind):
    of = original or "U@acme.test"
    path = both.token(of.lower())
    both.write(message("4D3F21A02A", "U@acme.test", "bounced", text, status, sender=path, original=original))
    raw = notice(path, "U@acme.test", "4D3F21A02A", text, status, original)
    if first == "log":
        both.run()
        both.take_in(raw)
    else:
        both.take_in(raw)
        both.run()
    assert both.events == [("log" if first == "log" else "bounce", kind, of.lower(), "news")]
    assert both.suppressed == ([("news", of.lower())] if kind == "hard" else [])
    (found,) = events.after(both.store, 0, 10)
    assert (found.token, found.status) == (path.partition("@")[0][2:], status)


@pytest.mark.parametrize("first", ["log", "notice"])
def test_a_message_that_was_given_up_and_its_notice_are_one_event(both, first):
    path, text = both.token(), LATE
    began = NOW - 5 * DAY
    both.write(came("4D3F21A02A", path, began),
               outcome("4D3F21A02A", "u@acme.test", "deferred", text, "4.4.1", at=began))
    both.run()
    both.write(came("4D3F21A02A", path), came("4D3F21A02A", path).replace(
        b", size=1000, nrcpt=1 (queue active)", b", status=expired, returned to sender"), went("4D3F21A02A"))
    raw = notice(path, "u@acme.test", "4D3F21A02A", text, "4.4.1")
    for told in ([both.run, lambda: both.take_in(raw)] if first == "log" else [lambda: both.take_in(raw), both.run]):
        told()
    assert [each[1:] for each in both.events] == [("deferred", "u@acme.test", "news"), ("soft", "u@acme.test", "news")]
    assert both.suppressed == []


def test_a_bounce_without_a_token_is_of_the_senders_stream(server):
    server.write(message("A0000001", "u@acme.test", "bounced"), message("A0000002", "v@acme.test", "sent"))
    server.run()
    assert server.events == [("log", "hard", "u@acme.test", "news"), ("log", "delivered", "v@acme.test", "news")]
    assert server.suppressed == [("news", "u@acme.test")]
    assert {each.day for each in events.after(server.store, 0, 10)} == {(NOW - 2) // DAY}


def test_mail_of_nobodys_stream_makes_no_event(server):
    server.write(message("A0000001", "u@acme.test", "bounced", sender=""),
                 message("A0000002", "u@acme.test", "bounced", sender="root@mta1.example.com"),
                 outcome("A0000003", "u@acme.test", "bounced"))
    server.run()
    assert server.events == [] and server.counts.totals().total(outcome="bounced") == 3


def other_mac(path: str) -> str:
    return path.replace("@", "a@" if path[27] != "a" else "b@")[:27] + ("a" if path[27] != "a" else "b") + path[28:]


@pytest.mark.parametrize(("make", "told"), [
    (other_mac, "token: wrong MAC: "), (lambda path: path.replace(".com", ".us"), "token: other domain: "),
    (lambda path: "b+z" + path[3:], "token: unknown key: "),
    (lambda path: "b+short@e.example.com", "token: malformed: ")])
def test_a_token_that_is_wrong_changes_nothing_and_is_recorded(server, make, told):
    server.write(message("A0000001", "u@acme.test", "bounced", sender=make(server.token())))
    server.run()
    (found,) = events.after(server.store, 0, 10)
    assert (found.source, found.kind, found.recipient, found.token) == (UNPROVED, "hard", "u@acme.test", "")
    assert found.rule.startswith(told) and server.suppressed == []


def test_an_expired_token_or_anothers_changes_nothing_and_is_recorded(server):
    old = server.token(day=TODAY - datetime.timedelta(days=31))
    server.write(message("A0000001", "u@acme.test", "bounced", sender=old),
                 message("A0000002", "u@acme.test", "bounced", sender=server.token("v@acme.test")))
    server.run()
    assert [each.rule.partition(": ")[0] for each in events.after(server.store, 0, 10)] == [
        "token", "token of another recipient"]
    assert {each[0] for each in server.events} == {UNPROVED} and server.suppressed == []


def test_what_is_not_proved_hides_nothing_that_is(server):
    """The same delivery, told with a wrong token first, and then with its own."""
    server.write(message("A0000001", "u@acme.test", "bounced", sender=other_mac(server.token())))
    server.run()
    server.write(message("A0000001", "u@acme.test", "bounced", sender=server.token()))
    server.run()
    assert [each[0] for each in server.events] == [UNPROVED, LOG] and server.suppressed == [("news", "u@acme.test")]


def test_failures_that_are_not_proved_are_no_failures_of_the_past(server):
    wrong = [message(f"B{number:07}", "u@acme.test", "bounced", FULL, "5.2.2", at=NOW - number * DAY,
                     sender="b+short@e.example.com") for number in range(6, 0, -1)]
    server.write(*wrong, message("A0000001", "u@acme.test", "bounced", FULL, "5.2.2"))
    server.run()
    assert len(server.events) == 7 and server.suppressed == []


def test_failures_of_five_days_suppress_and_a_delivery_lets_them_begin_anew(server):
    def failures(to, days):
        return [message(f"{to[0].upper()}{number:07}", to, "bounced", FULL, "5.2.2", at=NOW - number * DAY)
                for number in days]

    server.write(*failures("a@acme.test", (5, 4, 3, 2, 1)), *failures("b@acme.test", (5, 4, 3)),
                 message("C0000001", "b@acme.test", "sent", at=NOW - 3 * DAY), *failures("b@acme.test", (2, 1)))
    server.run()
    assert server.suppressed == [("news", "a@acme.test")]


OURS = ("host mta2.example.com[192.0.2.2] said: 550 5.7.1 <{to}>: Recipient address rejected: mailfleet-suppressed: "
        "not sent, this recipient is on our own suppression list (in reply to RCPT TO command)")


def test_a_refusal_by_our_own_list_is_none_whatever_who_reads_makes_of_it(server):
    said = {"host": "mta1.example.com", "queue_id": "A1", "at": NOW, "outcome": "bounced", "recipient": "u@acme.test",
            "original": "", "sender": "news@example.com", "provider": "other", "address": "default", "relay": "",
            "status": "5.1.1", "reason": "user-unknown", "kind": "hard", "scope": "recipient", "rule": "", "delay": 1}
    assert event_of(LogEvent(**said, text=OURS), server.settings, NOW) is None
    assert event_of(LogEvent(**said, text=UNKNOWN), server.settings, NOW) is not None


def test_a_bounce_of_an_address_that_was_made_up_is_proved_by_what_comes_back_alone(server):
    nobody = probe_bounces.nobody("0a1b2c3d4e5f6071", "gmail.com")
    server.write(message("A0000001", nobody, "bounced", UNKNOWN, "5.1.1"),
                 message("A0000002", "u@acme.test", "bounced", UNKNOWN, "5.1.1"))
    server.run()
    assert server.events == [("log", "hard", "u@acme.test", "news")]
    assert server.counts.totals().total(outcome="bounced") == 2


def refused(to: str, reply: str) -> bytes:
    return stamped(f"NOQUEUE: reject: RCPT from app[192.0.2.7]: {reply}; from=<news@example.com> to=<{to}> proto=ESMTP "
                   "helo=<app>", tag="postfix/submission/smtpd")


def test_a_refusal_by_our_own_list_is_no_event(server):
    reply = OURS.partition(" said: ")[2].partition(" (in")[0].format(to="v@acme.test")
    server.write(message("A0000001", "u@acme.test", "bounced", OURS, "5.7.1"), refused("v@acme.test", reply))
    server.run()
    assert server.events == [] and server.suppressed == []
    assert server.counts.totals().total(outcome="suppressed") == 2


def test_a_rejection_of_what_is_handed_in_is_no_event(server):
    server.write(refused("u@acme.test", "550 5.1.1 <u@acme.test>: Recipient address rejected: User unknown"))
    server.run()
    assert server.events == [] and server.counts.totals().total(outcome="rejected") == 1


def test_a_deferral_is_told_once_and_is_no_failure(server, monkeypatch):
    recorded, record = [], events.record
    monkeypatch.setattr(events, "record", lambda store, found, *more: recorded.append(len(found)) or record(
        store, found, *more))
    for number in range(6):
        server.write(message("A0000001", "u@acme.test", "deferred", GREYLISTED.replace("4.7.1", "4.2.2"), "4.2.2",
                             at=NOW - (6 - number) * DAY))
        server.run()
    server.write(message("A0000001", "u@acme.test", "sent"))
    server.run()
    assert [each[1] for each in server.events] == ["deferred", "delivered"] and server.suppressed == []
    assert recorded == [1, 1]  # what was told is not told to the store again
    assert server.counts.totals().total(outcome="deferred") == 6


@pytest.mark.parametrize("wanted", [[], ["bounced"], ["delivered", "deferred"]])
def test_outcomes_that_are_not_wanted_make_no_events(tmp_path, wanted):
    server = Server(tmp_path, log={"events": wanted})
    server.write(message("A0000001", "u@acme.test", "bounced"), message("A0000002", "v@acme.test", "sent"),
                 message("A0000003", "w@acme.test", "deferred"))
    server.run()
    kinds = {"bounced": "hard", "delivered": "delivered", "deferred": "deferred"}
    assert {each[1] for each in server.events} == {kinds[each] for each in wanted}
    assert sum(server.counts.totals().by("outcome").values()) == 3
    server.close()


@pytest.mark.parametrize(("days", "holds"), [(-1, True), (0, False), (1, False)])
def test_an_address_that_was_taken_off_comes_back_by_mail_of_a_later_day_only(server, days, holds):
    today = (NOW - 2) // DAY
    with server.store.transaction():
        suppressions.put(server.store, [Entry("news", "u@acme.test", "manual", "", "", NOW - 9 * DAY, 0, today + days)],
                         "root", NOW)
    server.write(message("A0000001", "u@acme.test", "bounced"))
    server.run()
    assert bool(server.suppressed) == holds


def test_our_own_log_leaves_room_for_notices(server):
    path = server.token()
    server.write(*[message(f"A{number:07}", "u@acme.test", "sent", sender=path) for number in range(150)])
    server.run()
    assert len(server.events) == 150
    both = [each for each in events.after(server.store, 0, 200) if each.token]
    assert len(both) == 150
    with server.store.transaction():
        told = events.record(server.store, [dataclasses.replace(both[0], key=f"n{number}", source="bounce")
                                            for number in range(101)], server.settings.rules, NOW)
    assert (len(told.events), len(told.beyond)) == (100, 1)
    server.write(message("B0000001", "u@acme.test", "bounced", sender=path))
    server.run()
    assert server.suppressed == [("news", "u@acme.test")]


def test_what_is_older_than_events_are_kept_is_counted_and_not_told(server):
    days = server.settings.retention_days
    server.write(message("A0000001", "u@acme.test", "bounced", at=server.now - days * DAY - 1),
                 message("A0000002", "v@acme.test", "bounced", at=server.now - days * DAY))
    server.run()
    assert [each[2] for each in server.events] == ["v@acme.test"]
    assert server.counts.totals().total(outcome="bounced") == 2


def test_a_log_whose_clock_is_ahead_is_not_believed_to_be_later(server):
    server.write(message("A0000001", "u@acme.test", "bounced", at=NOW + 9 * DAY))
    server.run()
    assert [each.at for each in events.after(server.store, 0, 10)] == [server.now]
