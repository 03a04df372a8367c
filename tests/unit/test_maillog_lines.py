# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fixture a kind of line: what each says, in both forms of time stamps, and that no other is taken for it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_world import VIEW, LogWorld
from mailfleet.maillog.log_event import LogEvent
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.sources import instance_of
from mailfleet.maillog.stamps import Clock
from mailfleet.maillog.totals import Totals
from mailfleet.maillog.view import View
from mailfleet.refusal import MARKER

AT = 1_795_871_015  # 2026-11-28 13:03:35 UTC
STAMPS = ("2026-11-28T13:03:35.123456+00:00", "2026-11-28T14:03:35+01:00", "2026-11-28T13:03:35Z",
          "2026-11-28T07:33:35.5-0530", "Nov 28 13:03:35")
SENT = "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 153053D)"
BOUNCED = "dsn=5.1.1, status=bounced (550 5.1.1 user unknown)"
MX = "aspmx.l.google.com[192.0.2.1]"
GOOGLE = f"relay={MX}:25, delay=3.6, delays=0.2/0.02/0.04/3.3"
ORANGE = "relay=mx.orange.fr[192.0.2.9]:25, delay=0, delays=0/0/0/0"
NOWHERE = "relay=none, delay=100, delays=0/0/0/100"
ENDS = "; from=<b@example.com> to=<a@gmail.com> proto=ESMTP helo=<x>"


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """Traditional stamps are in the zone of the host."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def reader(**named) -> LogReader:
    return LogReader(View.of(VIEW), host="mta1.example.com", events=True, reference=AT + 3600, **named)


def read(*lines: str | bytes, tag: str = "postfix/smtp", stamp: str = STAMPS[0]) -> tuple[Totals, list[LogEvent]]:
    """What lines say, each of them without what stands before it."""
    found = reader()
    for line in lines:
        raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        found.feed(f"{stamp} mta1 {tag}[123]: ".encode() + raw + b"\n")
    return found.take()


def feed(found: LogReader, *lines: str) -> None:
    """Lines of the main instance, each from its service on."""
    found.feed("".join(f"{STAMPS[0]} mta1 postfix/{line}\n" for line in lines).encode())


def one(line: str | bytes, **named) -> LogEvent:
    totals, events = read(line, **named)
    assert len(events) == 1 and totals.unknown == {}
    return events[0]


@pytest.mark.parametrize("stamp", STAMPS)
def test_a_delivery_in_all_forms_of_stamps(stamp):
    event = one(f"4cRzFz1KvWz9tqr: to=<ann@gmail.com>, {GOOGLE}, {SENT}", stamp=stamp)
    assert event == LogEvent("mta1.example.com", "4cRzFz1KvWz9tqr", AT, "delivered", "ann@gmail.com", "", "", "google",
                             "default", "aspmx.l.google.com[192.0.2.1]:25", "2.0.0", "", "delivered", "", "", "", 3.6)


def test_a_traditional_stamp_is_of_the_last_year_that_it_can_be_of():
    new_year = 1_767_225_600  # 2026-01-01 00:00:00 UTC
    clock = Clock(new_year + 7200)
    assert clock.read(b"Dec 31 23:59:59") == new_year - 1
    assert clock.read(b"Jan  1 00:00:00") == new_year
    # Clocks and zones differ by less than a day.
    assert clock.read(b"Jan  1 20:00:00") == new_year + 20 * 3600
    assert clock.read(b"Jan  3 02:00:01") == new_year - 363 * 86400 + 7201
    # The 29th of February is of the last leap year, here 2024.
    assert clock.read(b"Feb 29 12:00:00") == 1_709_208_000
    for wrong in (b"Feb 30 12:00:00", b"Xyz  1 00:00:00", b"Jan 00 00:00:00", b"Jan  1 0a:00:00", b"",
                  b"2026-13-01T00:00:00Z", b"2026-01-01T00:00:00", b"\xff\xfe"):
        assert clock.read(wrong) == -1


def test_the_zone_of_the_host_counts_for_traditional_stamps(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    assert Clock(AT + 86400).read(b"Nov 28 14:03:35") == AT


@pytest.mark.parametrize(("tag", "address"), [
    ("postfix/smtp", "default"), ("postfix-out/smtp", "default"), ("postfix/-out/smtp", "default"),
    ("postfix/relay/smtp", "default"), ("postfix/ip-192-0-2-10/smtp", "192.0.2.10"),
    ("postfix-google/out-192-0-2-11/smtp", "192.0.2.11"), ("postfix-google/out-192-0-2-11-3/smtp", "192.0.2.11"),
    ("postfix/slow/smtp", "192.0.2.12"), ("postfix/ip-2001-db8--10/smtp", "2001:db8::10"),
    ("postfix/bulk/smtp", "bulk"), ("postfix/-out/slow/smtp", "192.0.2.12"), ("postfix/lmtp", "local"),
    ("postfix/error", "none")])
def test_the_part_between_tells_the_sending_address(tag, address):
    assert one(f"A1: to=<ann@gmail.com>, {GOOGLE}, {SENT}", tag=tag).address == address


def test_an_instance_is_the_first_part_of_a_name():
    tags = {b"postfix/smtp": b"postfix", b"postfix-out/ip-1/smtp": b"postfix-out",
            b"postfix/-out/smtp": b"postfix/-out", b"postfix/submission/smtpd": b"postfix"}
    assert {tag: instance_of(tag) for tag in tags} == tags


@pytest.mark.parametrize(("relay", "to", "provider"), [
    ("gmail-smtp-in.l.google.com[192.0.2.1]:25", "a@gmail.com", "google"),
    ("ASPMX.L.GOOGLE.COM[2001:db8::1]:25", "a@hosted.example", "google"),
    ("mx.notgoogle.com[192.0.2.1]:25", "a@acme.example", "other"),
    ("mx.acme.example[192.0.2.1]:25", "a@Orange.FR", "orange"),
    ("none", "a@yahoo.com", "yahoo"), ("sub1.example.com[private/dovecot-lmtp]", "a@gmail.com", "local")])
def test_a_relay_is_of_a_provider_by_its_mx_and_else_by_the_domain(relay, to, provider):
    assert one(f"A1: to=<{to}>, relay={relay}, delay=1, delays=0/0/0/1, {SENT}").provider == provider


def test_what_never_reached_a_host_is_of_the_provider_that_is_named():
    event = one(f"A1: to=<a@hosted.example>, {NOWHERE}, dsn=4.4.1, status=deferred (connect to {MX}:25: timed out)")
    assert (event.provider, event.reason, event.kind) == ("google", "unreachable", "soft")


DECOYS = [
    # What a receiver may write, and what a sender may ask for.
    (f"A1: to=<ann@gmail.com>, {GOOGLE}, dsn=5.1.1, status=bounced (host {MX} said: 550 5.1.1 User unknown, dsn=2.0.0, "
     "status=sent (250 ok) to=<b@example.com>, relay=mx.orange.fr[192.0.2.9]:25)", "ann@gmail.com", ""),
    (f'A1: to=<"a>, {ORANGE}, {SENT}"@gmail.com>, {GOOGLE}, {BOUNCED}', f'"a>, {ORANGE}, {SENT}"@gmail.com', ""),
    (f'A1: to=<ann@gmail.com>, orig_to=<"x>, relay=none"@example.com>, {GOOGLE}, {BOUNCED}',
     "ann@gmail.com", '"x>, relay=none"@example.com'),
    (f'A1: to=<"a\\"b c"@gmail.com>, {GOOGLE}, {BOUNCED}', '"a\\"b c"@gmail.com', ""),
    # info_log_address_format = internal, and Postfix before 3.5.
    (f"A1: to=<a b@gmail.com>, {GOOGLE}, {BOUNCED}", "a b@gmail.com", ""),
    (f"A1: to=<a>b@gmail.com>, orig_to=<c>d@example.com>, {GOOGLE}, {BOUNCED}", "a>b@gmail.com", "c>d@example.com"),
    (f"A1: to=ann@gmail.com, orig_to=root, relay={MX}:25, conn_use=7, delay=3.6, delays=0.2/0.02/0.04/3.3, "
     f"tls=dane/!requiretls:nocertmatch, {BOUNCED}", "ann@gmail.com", "root"),
]


@pytest.mark.parametrize(("line", "recipient", "original"), DECOYS)
def test_what_is_quoted_is_not_believed(line, recipient, original):
    event = one(line)
    assert (event.recipient, event.original, event.outcome) == (recipient, original, "bounced")
    assert (event.provider, event.reason, event.kind, event.status) == ("google", "user-unknown", "hard", "5.1.1")
    assert event.relay == f"{MX}:25"


@pytest.mark.parametrize("relay", ["127.example[192.0.2.5]:25", "localhost[192.0.2.5]:25", "127.0.0.1.x[192.0.2.5]:25"])
def test_who_is_named_like_this_host_is_another(relay):
    assert one(f"A1: to=<a@gmail.com>, relay={relay}, delay=1, delays=0/0/0/1, {SENT}").outcome == "delivered"


@pytest.mark.parametrize(("before", "known"), [
    ("4F00A: host a.example[192.0.2.3] said: 450 ", True), ("message repeated 2 times: [ 4F00A", False)])
def test_what_is_not_behind_a_queue_id_is_no_delivery(before, known):
    """Where there is a further MX, Postfix logs what the first one said: that may look like an outcome."""
    totals, events = read(f"{before}: to=<ann@gmail.com>, {GOOGLE}, {BOUNCED} (in reply to MAIL FROM command)")
    assert not totals.rows and not events and totals.unknown == ({} if known else {"smtp": 1})


def test_eight_bits_and_worse_are_read():
    said = b"dsn=5.1.1, status=bounced (550 5.1.1 unbekannt \xff\x00\x1b[31m user unknown)"
    event = one(b"A1: to=<j\xc3\xbcrgen@gmail.com>, " + GOOGLE.encode() + b", " + said)
    assert event.recipient == "jürgen@gmail.com" and event.reason == "user-unknown"
    assert "\x00" not in event.text and "\x1b" not in event.text
    long = f"A1: to=<a@gmail.com>, {GOOGLE}, dsn=4.7.0, status=deferred ({'x' * 900_000})"
    assert one(long).text == "x" * 500


def test_names_of_domains_have_no_case():
    totals, _events = read(f"A1: to=<a@GMail.com>, {GOOGLE}, {SENT}", f"A1: to=<a@gmail.COM>, {GOOGLE}, {BOUNCED}")
    assert totals.domains == {"gmail.com": {"delivered": 1, "bounced": 1}}


def test_each_that_is_taken_has_its_time():
    found = reader()
    for _again in range(2):
        feed(found, f"smtp[1]: A1: to=<a@gmail.com>, {GOOGLE}, {SENT}")
        totals, _events = found.take()
        assert totals.first == totals.last == AT


def test_mail_that_stays_on_this_host_is_not_delivered_by_that():
    for relay in ("127.64.3.9[127.64.3.9]:10025", "localhost[127.0.0.1]:10024", "::1[::1]:10025",
                  "mta1.example.com[127.0.1.1]:10024", "ip6-localhost[::1]:10025"):
        line = f"A1: to=<a@gmail.com>, relay={relay}, delay=1, delays=0/0/0/1, {SENT}"
        totals, events = read(line, tag="postfix/lane/smtp")
        assert (events, totals.rows, totals.counts["handed_over"]) == ([], {}, 1)


@pytest.mark.parametrize(("tag", "line"), [
    ("postfix/submission/smtpd", "NOQUEUE: reject: RCPT from x[192.0.2.7]: {ours}{ends}"),
    ("postfix/submission/smtpd", "NOQUEUE: reject: RCPT from x[192.0.2.7]: {ours}{ends} sasl_method=PLAIN "
     "sasl_username=app"),
    ("postfix/smtp", "A1: to=<a@gmail.com>, {google}, dsn=5.7.1, status=bounced (host b.example[192.0.2.8] said: "
     "{ours})")])
def test_our_own_refusal_is_no_dead_address(tag, line):
    ours = f"550 5.7.1 <a@gmail.com>: Recipient address rejected: {MARKER}: not sent, this recipient is on our list"
    totals, events = read(line.format(ours=ours, ends=ENDS, google=GOOGLE), tag=tag)
    assert events == [] and [row[2:5] for row in totals.rows] == [("suppressed", "suppressed", "soft")]
    assert totals.domains == {"gmail.com": {"suppressed": 1}}


UNKNOWN = "550 5.1.1 <a@gmail.com>: Recipient address rejected: User unknown in virtual mailbox table"
REFUSALS = [
    ("postfix/smtpd", f"NOQUEUE: reject: RCPT from x[192.0.2.7]: {UNKNOWN}{ENDS}", "", "5.1.1", "user-unknown"),
    ("postfix/smtpd", "4cRzFz1KvWz9tqr: milter-reject: RCPT from x.example[192.0.2.7]: 451 4.7.1 Greylisting, "
     f"please come back later{ENDS}", "4cRzFz1KvWz9tqr", "4.7.1", "rate"),
    ("postfix/cleanup", "A1: milter-reject: END-OF-MESSAGE from x.example[192.0.2.7]: 5.7.1 Blocked by SpamAssassin"
     f"{ENDS}", "A1", "5.7.1", "spam"),
    ("postfix/cleanup", f"A1: reject: header Subject: from=<x> viagra from x.example[192.0.2.7]{ENDS}: 5.7.1 message "
     "content rejected", "A1", "5.7.1", "spam"),
    ("postfix/cleanup", "A1: reject: mime-error improper use of 8-bit data in message header: From: ?? <b@example.com> "
     f"from unknown[192.0.2.7]{ENDS}", "A1", "5.6.0", "content"),
    ("postfix/smtpd", f"proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=319-02 - spam{ENDS}", "", "5.7.0", "spam"),
    ("postfix/smtpd", f"NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <a@gmail.com>: User unknown; to=<a> nobody"
     f"{ENDS}", "", "5.1.1", "user-unknown"),
    # Postfix 3.10, of who has logged in.
    ("postfix/submission/smtpd", f"NOQUEUE: reject: RCPT from x[192.0.2.7]: {UNKNOWN}{ENDS} sasl_method=PLAIN "
     "sasl_username=app", "", "5.1.1", "user-unknown"),
    ("postfix/submission/smtpd", f"NOQUEUE: reject: RCPT from x[192.0.2.7]: {UNKNOWN}{ENDS} sasl_method=PLAIN "
     "sasl_username=a b: c sasl_sender=d@x.example", "", "5.1.1", "user-unknown"),
    # A HELO name that looks like the end of the line.
    ("postfix/smtpd", f"NOQUEUE: reject: RCPT from x[192.0.2.7]: {UNKNOWN}; from=<b@example.com> to=<a@gmail.com> "
     "proto=ESMTP helo=<; from=<c@x.example> to=<d@x.example> proto=ESMTP helo=<e>>", "", "5.1.1", "user-unknown"),
    # A recipient that does.
    ("postfix/smtpd", 'NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <"; from=<c@x.example> to=<d@x.example> '
     f'proto=ESMTP helo=<e>"@gmail.com>: Recipient address rejected: User unknown{ENDS}', "", "5.1.1", "user-unknown"),
]


@pytest.mark.parametrize(("tag", "line", "queue_id", "status", "reason"), REFUSALS)
def test_what_this_host_refused(tag, line, queue_id, status, reason):
    event = one(line, tag=tag)
    assert (event.outcome, event.recipient, event.sender) == ("rejected", "a@gmail.com", "b@example.com")
    assert (event.queue_id, event.status, event.reason, event.provider) == (queue_id, status, reason, "google")
    # Refused here is not refused there: it was sent from no address.
    assert event.address == "none" and event.text in line and "sasl_" not in event.text


def test_a_warning_that_it_would_be_refused_is_no_refusal():
    totals, events = read(f"NOQUEUE: reject_warning: RCPT from x[192.0.2.7]: 553 5.7.1 <b@x>: Sender rejected{ENDS}",
                          f"NOQUEUE: discard: MAIL from x[192.0.2.7]: <b@x>: spam{ENDS}", tag="postfix/smtpd")
    assert (events, totals.rows, totals.unknown) == ([], {}, {})


def test_what_expired_expires_for_those_who_waited():
    said = f"host {MX} said: 452 4.2.2 mailbox full (in reply to RCPT TO command)"
    wait = f"{GOOGLE}, dsn=4.2.2, status=deferred ({said})"
    found = reader()
    feed(found, "qmgr[1]: A1: from=<b+x@e.example.com>, size=1, nrcpt=2 (queue active)",
         f"smtp[2]: A1: to=<a@gmail.com>, {wait}", f"smtp[2]: A1: to=<b@gmail.com>, {wait}",
         f"smtp[2]: A1: to=<a@gmail.com>, {GOOGLE}, {SENT}",
         "qmgr[1]: A1: from=<b+x@e.example.com>, status=expired, returned to sender", "qmgr[1]: A1: removed",
         # A queue id may be used again.
         "qmgr[1]: A1: from=<>, status=force-expired, returned to sender")
    totals, events = found.take()
    expired = [(each.recipient, each.reason, each.kind, each.status, each.sender, each.provider, each.text, each.delay)
               for each in events if each.outcome == "expired"]
    # Of what was said its gist is kept, which many share.
    gist = said.replace(MX, "~")
    assert expired == [("b@gmail.com", "mailbox-full", "soft", "4.2.2", "b+x@e.example.com", "google", gist, 3.0)]
    assert totals.total(outcome="expired") == 2 and totals.total(outcome="expired", reason="undetermined") == 1
    assert totals.total(outcome="deferred") == 2 and totals.deferred == {"google": 1}


def test_what_waits_longest_is_known_until_it_is_gone():
    found = reader()
    wait = "dsn=4.4.1, status=deferred (connect to x.example[192.0.2.1]:25: timed out)"
    feed(found, f"smtp[2]: A1: to=<a@gmail.com>, {NOWHERE}, {wait}",
         f"smtp[2]: B1: to=<a@orange.fr>, {NOWHERE.replace('100', '4000')}, {wait}")
    assert found.waiting.oldest() == (AT - 4000, "mta1 postfix B1")
    assert found.waiting.by_provider() == {"google": 1, "orange": 1}
    feed(found, "postsuper[2]: B1: removed")
    assert found.waiting.oldest() == (AT - 100, "mta1 postfix A1")
    feed(found, f"smtp[2]: A1: to=<a@gmail.com>, {GOOGLE}, {SENT}")
    assert found.waiting.oldest() is None


def test_what_was_requeued_waits_under_another_queue_id():
    found = reader()
    feed(found, f"smtp[1]: A1B2C: to=<a@gmail.com>, {NOWHERE}, dsn=4.4.1, status=deferred (connect to x: timed out)")
    assert found.waiting.oldest() == (AT - 100, "mta1 postfix A1B2C")
    feed(found, "postsuper[9]: A1B2C: requeued", "postsuper[9]: Requeued: 1 message")
    assert found.waiting.oldest() is None and found.take()[0].unknown == {}


def test_who_was_passed_on_within_this_host_does_not_expire():
    found = reader()
    feed(found, *(f"smtp[1]: A1B2C: to=<{each}@gmail.com>, {NOWHERE}, dsn=4.4.1, status=deferred (refused)"
                  for each in "ab"),
         "smtp[1]: A1B2C: to=<a@gmail.com>, relay=127.0.0.1[127.0.0.1]:10025, delay=1, delays=0/0/0/1, "
         f"{SENT}",
         "qmgr[2]: A1B2C: from=<s@example.com>, status=expired, returned to sender")
    totals, _events = found.take()
    assert totals.total(outcome="expired") == totals.counts["handed_over"] == 1


def test_one_queue_id_of_two_instances_is_two_messages():
    found = reader()
    wait = f"A1: to=<a@gmail.com>, {NOWHERE}, dsn=4.4.1, status=deferred (connect to x.example[192.0.2.1]:25: time)"
    feed(found, f"smtp[2]: {wait}", f"smtp[2]: {wait}")
    found.feed(f"{STAMPS[0]} mta1 postfix-out/smtp[2]: {wait}\n{STAMPS[0]} mta2 postfix/smtp[2]: {wait}\n".encode())
    assert found.take()[0].deferred == {"google": 3} and len(found.waiting.messages) == 3


def test_tls_is_that_of_the_process():
    found = reader()
    made = f"Untrusted TLS connection established to {MX}:25: TLSv1.3 with cipher X (256/256 bits)"
    sent = f"A1: to=<a@gmail.com>, {GOOGLE}, {SENT}"
    feed(found, f"smtp[1]: {made}", f"smtp[2]: {sent}", f"smtp[1]: {sent}", f"smtp[1]: {sent}",
         f"smtp[1]: {sent.replace('192.0.2.1', '192.0.2.2')}", f"smtp[3]: {made.replace('established', 'reused')}",
         f"smtp[3]: SSL_connect error to {MX}:25: -1", f"smtp[3]: {sent}")
    assert found.take()[0].tls == {"google": [2, 5]}


def test_opendkim_signs_or_says_why_not():
    totals, _events = read("A1: DKIM-Signature field added (s=x, d=example.com)", "A1: error loading key 'x'",
                           "A1: no signing table match for 'a@b.example'", "OpenDKIM Filter v2.11.0 starting (args: "
                                                                           "-f)",
                           "something that nobody has seen", tag="opendkim")
    assert (totals.counts["signed"], totals.counts["signing_errors"], totals.unknown) == (1, 1, {"opendkim": 1})


def test_what_is_unknown_is_counted_by_service():
    sent = f"A1: to=<a@gmail.com>, {GOOGLE}, {SENT}"
    lines = [f"{STAMPS[0]} mta1 postfix/smtp[1]: A1: nothing like it", f"{STAMPS[0]} mta1 dovecot[7]: x", "", "x" * 40,
             f"{STAMPS[0]} mta1 kernel: [1.2] x", f"yesterday, 13:00:00 mta1 postfix/smtp[1]: {sent}"]
    found = reader()
    found.feed("\n".join(lines).encode() + b"\n")
    totals, events = found.take()
    assert events == [] and totals.rows == {}
    assert sum(totals.unknown.values()) == sum(totals.lines.values()) == len(lines)
    assert totals.unknown["smtp"] >= 1 and totals.unknown["dovecot"] == totals.unknown["kernel"] == 1


@pytest.mark.parametrize(("tag", "service", "line"), [
    ("mailfleet-check/smtp", "mailfleet-check", "fatal: open /etc/postfix/main.cf: Permission denied"),
    ("mailfleet-check", "mailfleet-check", "something that no Postfix says"),
    ("mailfleet-check/qmgr", "mailfleet-check", "A1: removed"),
    ("postfix-google/qmgr", "qmgr", "30D833CA22A: status=deferred (bounce failed)")])
def test_what_is_known_and_tells_of_no_recipient_counts_as_a_line(tag, service, line):
    totals, events = read(line, line, tag=tag)
    assert (events, totals.rows, totals.counts["removed"]) == ([], {}, 0)
    assert (totals.lines, totals.unknown) == ({service: 2}, {})


SAMPLE = LogWorld(seed=3).text(300).split(b"\n")


BITS = (b"[", b"]: ", b": to=<", b'"', b"; from=<", b"@", b", dsn=", b" status=", b"reject: ")


@given(st.data())
def test_no_line_is_too_much(data):
    line = bytearray(data.draw(st.sampled_from(SAMPLE)))
    for _change in range(data.draw(st.integers(0, 4))):
        place = st.integers(0, len(line))
        at, end = sorted(data.draw(st.tuples(place, place)))
        line[at:end] = data.draw(st.one_of(st.binary(max_size=20), st.sampled_from(BITS)))
    found = reader()
    found.feed(bytes(line).replace(b"\n", b"") + b"\n")
    totals, _events = found.take()
    assert sum(totals.lines.values()) == 1
    assert Totals.from_json(totals.as_json()) == totals


@pytest.mark.parametrize("piece", [b"<", b"a@", b"1.", b"[", b'"\\', b", dsn=", b"; from=<", b"x-1", b": ", b"host "])
def test_long_lines_take_no_longer_than_their_length(piece):
    took = []
    begins = (b"to=<", b"to=<" + GOOGLE.encode() + b", dsn=4.0.0, status=deferred (", b"reject: RCPT from x[1]: 550 ")
    for many in (20_000, 80_000):
        block = b""
        for tag in ("smtp", "smtpd", "cleanup", "qmgr"):
            for begin in begins:
                head = f"{STAMPS[0]} mta1 postfix/{tag}[1]: A1: ".encode()
                block += head + begin + piece * (many // len(piece)) + b"\n"
        began = time.process_time()
        reader().feed(block)
        took.append(time.process_time() - began)
    assert took[1] < max(12 * took[0], 0.5)
