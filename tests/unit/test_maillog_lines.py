# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fixture a kind of line: what each says, in both forms of time stamps, and that no other is taken for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from log_world import VIEW, LogWorld
from mailfleet.maillog.log_event import LogEvent
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.sources import instance_of
from mailfleet.maillog.stamps import Clock
from mailfleet.maillog.totals import Totals
from mailfleet.maillog.view import View

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/maillog"
AT = 1_795_871_015  # 2026-11-28 13:03:35 UTC
STAMPS = ("2026-11-28T13:03:35.123456+00:00", "2026-11-28T14:03:35+01:00", "2026-11-28T13:03:35Z",
          "2026-11-28T07:33:35.5-0530", "Nov 28 13:03:35")
SENT = "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 153053D)"
GOOGLE = "relay=aspmx.l.google.com[192.0.2.1]:25, delay=3.6, delays=0.2/0.02/0.04/3.3"


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
    for wrong in (b"Feb 30 12:00:00", b"Xyz  1 00:00:00", b"Jan 00 00:00:00", b"Jan  1 0a:00:00", b"", b"2026-13-01T00:00:00Z",
                  b"2026-01-01T00:00:00", b"\xff\xfe"):
        assert clock.read(wrong) == -1


def test_the_zone_of_the_host_counts_for_traditional_stamps(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    assert Clock(AT + 86400).read(b"Nov 28 14:03:35") == AT


@pytest.mark.parametrize(("tag", "address"), [
    ("postfix/smtp", "default"), ("postfix-out/smtp", "default"), ("postfix/-out/smtp", "default"),
    ("postfix/relay/smtp", "default"), ("postfix/ip-192-0-2-10/smtp", "192.0.2.10"),
    ("postfix-google/out-192-0-2-11/smtp", "192.0.2.11"), ("postfix-google/out-192-0-2-11-3/smtp", "192.0.2.11"),
    ("postfix/slow/smtp", "192.0.2.12"), ("postfix/ip-2001-db8--10/smtp", "2001:db8::10"), ("postfix/bulk/smtp", "bulk"),
    ("postfix/-out/slow/smtp", "192.0.2.12"), ("postfix/lmtp", "local"), ("postfix/error", "none")])
def test_the_part_between_tells_the_sending_address(tag, address):
    assert one(f"0F5383D: to=<ann@gmail.com>, {GOOGLE}, {SENT}", tag=tag).address == address


def test_an_instance_is_the_first_part_of_a_name():
    tags = {b"postfix/smtp": b"postfix", b"postfix-out/ip-1/smtp": b"postfix-out", b"postfix/-out/smtp": b"postfix/-out",
            b"postfix/submission/smtpd": b"postfix"}
    assert {tag: instance_of(tag) for tag in tags} == tags


@pytest.mark.parametrize(("relay", "to", "provider"), [
    ("gmail-smtp-in.l.google.com[192.0.2.1]:25", "a@gmail.com", "google"), ("ASPMX.L.GOOGLE.COM[2001:db8::1]:25",
                                                                            "a@hosted.example", "google"),
    ("mx.notgoogle.com[192.0.2.1]:25", "a@acme.example", "other"), ("mx.acme.example[192.0.2.1]:25", "a@Orange.FR", "orange"),
    ("none", "a@yahoo.com", "yahoo"), ("sub1.example.com[private/dovecot-lmtp]", "a@gmail.com", "local")])
def test_a_relay_is_of_a_provider_by_its_mx_and_else_by_the_domain(relay, to, provider):
    assert one(f"0F5383D: to=<{to}>, relay={relay}, delay=1, delays=0/0/0/1, {SENT}").provider == provider


def test_what_never_reached_a_host_is_of_the_provider_that_is_named():
    event = one("0F5383D: to=<a@hosted.example>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred "
                "(connect to "
                "aspmx.l.google.com[192.0.2.1]:25: Connection timed out)")
    assert (event.provider, event.reason, event.kind) == ("google", "unreachable", "soft")


DECOYS = [
    # What a receiver may write, and what a sender may ask for.
    (f"0F5383D: to=<ann@gmail.com>, {GOOGLE}, dsn=5.1.1, status=bounced (host aspmx.l.google.com[192.0.2.1] said: "
     f"550 5.1.1 "
     "User unknown, dsn=2.0.0, status=sent (250 ok) to=<b@example.com>, relay=mx.orange.fr[192.0.2.9]:25)", "ann@gmail.com", ""),
    (f'0F5383D: to=<"a>, relay=mx.orange.fr[192.0.2.9]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent '
     f'("@gmail.com>, '
     f'{GOOGLE}, dsn=5.1.1, status=bounced (550 5.1.1 user unknown)',
     '"a>, relay=mx.orange.fr[192.0.2.9]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent ("@gmail.com', ""),
    (f'0F5383D: to=<ann@gmail.com>, orig_to=<"x>, relay=none"@example.com>, {GOOGLE}, dsn=5.1.1, status=bounced (550 '
     f'5.1.1 user '
     'unknown)', "ann@gmail.com", '"x>, relay=none"@example.com'),
    (f'0F5383D: to=<"a\\"b c"@gmail.com>, {GOOGLE}, dsn=5.1.1, status=bounced (550 5.1.1 user unknown)', '"a\\"b '
                                                                                                         'c"@gmail.com', ""),
    # info_log_address_format = internal, and Postfix before 3.5.
    (f"0F5383D: to=<a b@gmail.com>, {GOOGLE}, dsn=5.1.1, status=bounced (550 5.1.1 user unknown)", "a b@gmail.com", ""),
    (f"0F5383D: to=<a>b@gmail.com>, orig_to=<c>d@example.com>, {GOOGLE}, dsn=5.1.1, status=bounced (550 5.1.1 user "
     f"unknown)",
     "a>b@gmail.com", "c>d@example.com"),
    ("0F5383D: to=ann@gmail.com, orig_to=root, relay=aspmx.l.google.com[192.0.2.1]:25, conn_use=7, delay=3.6, "
     "delays=0.2/0.02/0.04/3.3, tls=dane/!requiretls:nocertmatch, dsn=5.1.1, status=bounced (550 5.1.1 user unknown)",
     "ann@gmail.com", "root"),
]


@pytest.mark.parametrize(("line", "recipient", "original"), DECOYS)
def test_what_is_quoted_is_not_believed(line, recipient, original):
    event = one(line)
    assert (event.recipient, event.original, event.outcome) == (recipient, original, "bounced")
    assert (event.provider, event.reason, event.kind, event.status) == ("google", "user-unknown", "hard", "5.1.1")
    assert event.relay == "aspmx.l.google.com[192.0.2.1]:25"


def test_eight_bits_and_worse_are_read():
    line = b"0F5383D: to=<j\xc3\xbcrgen@gmail.com>, " + GOOGLE.encode() + b", dsn=5.1.1, status=bounced (550 5.1.1 "
                                                                          b"unbekannt \xff\x00\x1b[31m user unknown)"
    event = one(line)
    assert event.recipient == "jürgen@gmail.com" and event.reason == "user-unknown"
    assert "\x00" not in event.text and "\x1b" not in event.text
    assert one(f"0F5383D: to=<a@gmail.com>, {GOOGLE}, dsn=4.7.0, status=deferred (" + "x" * 900_000 + ")").text == "x" * 500


def test_mail_that_stays_on_this_host_is_not_delivered_by_that():
    for relay in ("127.64.3.9[127.64.3.9]:10025", "localhost[127.0.0.1]:10024", "::1[::1]:10025"):
        totals, events = read(f"0F5383D: to=<a@gmail.com>, relay={relay}, delay=1, delays=0/0/0/1, {SENT}", tag="postfix/lane/smtp")
        assert (events, totals.rows, totals.counts["handed_over"]) == ([], {}, 1)


def test_our_own_refusal_is_no_dead_address():
    ours = "550 5.7.1 <a@gmail.com>: Recipient address rejected: mailfleet-suppressed: not sent, this recipient is "
           "on our list"
    for line, tag in ((f"NOQUEUE: reject: RCPT from x[192.0.2.7]: {ours}; from=<b@example.com> to=<a@gmail.com> "
                       f"proto=ESMTP "
                       "helo=<x>", "postfix/submission/smtpd"),
                      (f"0F5383D: to=<a@gmail.com>, {GOOGLE}, dsn=5.7.1, status=bounced (host "
                       f"mta2.example.com[192.0.2.8] said: "
                       f"{ours})", "postfix/smtp")):
        totals, events = read(line, tag=tag)
        assert events == [] and {(row[2], row[3], row[4]) for row in totals.rows} == {("suppressed", "suppressed", "soft")}


REFUSALS = [
    ("postfix/smtpd", "NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 550 5.1.1 <a@gmail.com>: Recipient address "
                      "rejected: User "
     "unknown in virtual mailbox table; from=<b@example.com> to=<a@gmail.com> proto=ESMTP helo=<x>", "", "5.1.1", "user-unknown"),
    ("postfix/smtpd", "4cRzFz1KvWz9tqr: milter-reject: RCPT from x.example[192.0.2.7]: 451 4.7.1 Greylisting in "
                      "action, please "
     "come back later; from=<b@example.com> to=<a@gmail.com> proto=ESMTP helo=<x>", "4cRzFz1KvWz9tqr", "4.7.1", "rate"),
    ("postfix/cleanup", "4104E3D: milter-reject: END-OF-MESSAGE from x.example[192.0.2.7]: 5.7.1 Blocked by "
                        "SpamAssassin; "
     "from=<b@example.com> to=<a@gmail.com> proto=ESMTP helo=<x>", "4104E3D", "5.7.1", "spam"),
    ("postfix/cleanup", "4104E3D: reject: header Subject: from=<x> viagra from x.example[192.0.2.7]; "
                        "from=<b@example.com> "
     "to=<a@gmail.com> proto=ESMTP helo=<x>: 5.7.1 message content rejected", "4104E3D", "5.7.1", "spam"),
    ("postfix/smtpd", "proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=31619-02 - spam; from=<b@example.com> "
     "to=<a@gmail.com> proto=SMTP helo=<x>", "", "5.7.0", "spam"),
    # A HELO name, and a recipient, that look like the end of the line.
    ("postfix/smtpd", "NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 550 5.1.1 <a@gmail.com>: Recipient address "
                      "rejected: User "
     "unknown; from=<b@example.com> to=<a@gmail.com> proto=ESMTP helo=<; from=<c@x.example> to=<d@x.example> "
     "proto=ESMTP helo=<e>>",
     "", "5.1.1", "user-unknown"),
]


@pytest.mark.parametrize(("tag", "line", "queue_id", "status", "reason"), REFUSALS)
def test_what_this_host_refused(tag, line, queue_id, status, reason):
    event = one(line, tag=tag)
    assert (event.outcome, event.recipient, event.sender) == ("rejected", "a@gmail.com", "b@example.com")
    assert (event.queue_id, event.status, event.reason, event.provider) == (queue_id, status, reason, "google")
    # Refused here is not refused there: it was sent from no address.
    assert event.address == "none" and event.text in line


def test_a_warning_that_it_would_be_refused_is_no_refusal():
    totals, events = read("NOQUEUE: reject_warning: RCPT from x[192.0.2.7]: 553 5.7.1 <b@x>: Sender address "
                          "rejected; from=<b@x> "
                          "to=<a@gmail.com> proto=ESMTP helo=<x>", "NOQUEUE: discard: MAIL from x[192.0.2.7]: <b@x>: "
                                                                   "spam; "
                          "from=<b@x> proto=ESMTP helo=<x>", tag="postfix/smtpd")
    assert (events, totals.rows, totals.unknown) == ([], {}, {})


def test_what_expired_expires_for_those_who_waited():
    found = reader()
    wait = "dsn=4.2.2, status=deferred (host aspmx.l.google.com[192.0.2.1] said: 452 4.2.2 mailbox full (in reply to "
           "RCPT TO))"
    lines = ["qmgr[1]: A1: from=<b+x@e.example.com>, size=1, nrcpt=2 (queue active)", f"smtp[2]: A1: "
                                                                                      f"to=<a@gmail.com>, {GOOGLE}, "
                                                                                      f"{wait}",
             f"smtp[2]: A1: to=<b@gmail.com>, {GOOGLE}, {wait}", f"smtp[2]: A1: to=<a@gmail.com>, {GOOGLE}, {SENT}",
             "qmgr[1]: A1: from=<b+x@e.example.com>, status=expired, returned to sender", "qmgr[1]: A1: removed",
             # A queue id may be used again.
             "qmgr[1]: A1: from=<>, status=force-expired, returned to sender"]
    found.feed("".join(f"{STAMPS[0]} mta1 postfix/{line}\n" for line in lines).encode())
    totals, events = found.take()
    expired = [(each.recipient, each.reason, each.kind, each.status, each.sender, each.provider, each.text)
               for each in events if each.outcome == "expired"]
    said = "host aspmx.l.google.com[192.0.2.1] said: 452 4.2.2 mailbox full (in reply to RCPT TO)"
    assert expired == [("b@gmail.com", "mailbox-full", "soft", "4.2.2", "b+x@e.example.com", "google", said)]
    assert totals.total(outcome="expired") == 2 and totals.total(outcome="expired", reason="undetermined") == 1
    assert totals.total(outcome="deferred") == 2 and totals.deferred == {"google": 1}


def test_what_waits_longest_is_known_until_it_is_gone():
    found = reader()

    def feed(line: str) -> None:
        found.feed(f"{STAMPS[0]} mta1 postfix/{line}\n".encode())

    wait = "relay=none, delay=100, delays=0/0/0/1, dsn=4.4.1, status=deferred (connect to x.example[192.0.2.1]:25: "
           "timed out)"
    feed(f"smtp[2]: A1: to=<a@gmail.com>, {wait}")
    feed(f"smtp[2]: B1: to=<a@orange.fr>, {wait.replace('100', '4000')}")
    assert found.waiting.oldest() == (AT - 4000, "mta1 postfix B1")
    assert found.waiting.by_provider() == {"google": 1, "orange": 1}
    feed("postsuper[2]: B1: removed")
    assert found.waiting.oldest() == (AT - 100, "mta1 postfix A1")
    feed(f"smtp[2]: A1: to=<a@gmail.com>, {GOOGLE}, {SENT}")
    assert found.waiting.oldest() is None


def test_tls_is_that_of_the_process():
    found = reader()
    made = "Untrusted TLS connection established to aspmx.l.google.com[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 "
           "bits)"
    lines = [(1, made), (2, "A1: " + f"to=<a@gmail.com>, {GOOGLE}, {SENT}"), (1, f"A2: to=<a@gmail.com>, {GOOGLE}, "
                                                                                 f"{SENT}"),
             (1, f"A3: to=<a@gmail.com>, {GOOGLE}, {SENT}"), (1, f"A4: to=<a@gmail.com>, "
                                                                 f"{GOOGLE.replace('192.0.2.1', '192.0.2.2')}, {SENT}"),
             (3, made.replace("established", "reused")), (3, "SSL_connect error to aspmx.l.google.com[192.0.2.1]:25: "
                                                             "-1"),
             (3, f"A5: to=<a@gmail.com>, {GOOGLE}, {SENT}")]
    found.feed("".join(f"{STAMPS[0]} mta1 postfix/smtp[{pid}]: {line}\n" for pid, line in lines).encode())
    assert found.take()[0].tls == {"google": [2, 5]}


def test_opendkim_signs_or_says_why_not():
    totals, _events = read("A1: DKIM-Signature field added (s=x, d=example.com)", "A1: error loading key 'x'",
                           "A1: no signing table match for 'a@b.example'", "OpenDKIM Filter v2.11.0 starting (args: "
                                                                           "-f)",
                           "something that nobody has seen", tag="opendkim")
    assert (totals.counts["signed"], totals.counts["signing_errors"], totals.unknown) == (1, 1, {"opendkim": 1})


def test_what_is_unknown_is_counted_by_service():
    lines = [f"{STAMPS[0]} mta1 postfix/smtp[1]: A1: nothing like it", f"{STAMPS[0]} mta1 dovecot[7]: x", "", "x" * 40,
             f"{STAMPS[0]} mta1 kernel: [1.2] x", "yesterday, 13:00:00 mta1 postfix/smtp[1]: A1: to=<a@gmail.com>, "
             f"{GOOGLE}, {SENT}"]
    found = reader()
    found.feed("\n".join(lines).encode() + b"\n")
    totals, events = found.take()
    assert events == [] and totals.rows == {}
    assert sum(totals.unknown.values()) == sum(totals.lines.values()) == len(lines)
    assert totals.unknown["smtp"] >= 1 and totals.unknown["dovecot"] == totals.unknown["kernel"] == 1


SERVICES = {"command-counter-data": "", "delays": "", "relay": "", "tls-features": "smtp", "script": "postfix-script"}


@pytest.mark.skipif(not CORPUS.exists(), reason=f"the lines of real logs are not beside this clone: {CORPUS}")
def test_real_lines_are_read_to_their_fields():
    wrong, seen = [], 0
    for path in sorted(CORPUS.glob("*.yaml")):
        case = yaml.safe_load(path.read_text(encoding="utf-8"))
        service = path.stem.rpartition("_")[0].replace("_", "-")
        service = SERVICES.get(service, service)
        if not service or case["pattern"].startswith("^%{POSTFIX_TLS_FEATURES}"):
            continue  # no line of its own, but a field of one
        seen += 1
        totals, events = read(case["data"].replace("\n", " "), tag=f"postfix/{service}")
        said, event = case["results"], events[0] if events else None
        told = said.get("postfix_keyvalue_data", "")
        fields = dict(each.partition("=")[::2] for each in told.replace(",", "").split(" ") if "=" in each)
        if totals.unknown:
            wrong.append(f"{path.name}: unknown")
        if "delays" not in fields or said.get("postfix_status") not in ("sent", "deferred", "bounced"):
            continue
        if totals.counts["handed_over"]:
            assert fields["relay"].startswith("127.")
        elif event is None or (event.queue_id, event.recipient, event.original, event.relay, event.status) != (
                said["postfix_queueid"], fields["to"].strip("<>"), fields.get("orig_to", "").strip("<>"),
                fields["relay"] if event.relay else "", fields["dsn"]):
            wrong.append(f"{path.name}: {event}")
    assert wrong == [] and seen > 170


SAMPLE = LogWorld(seed=3).text(300).split(b"\n")


@given(st.data())
def test_no_line_is_too_much(data):
    line = bytearray(data.draw(st.sampled_from(SAMPLE)))
    for _change in range(data.draw(st.integers(0, 4))):
        at, end = sorted(data.draw(st.tuples(st.integers(0, len(line)), st.integers(0, len(line)))))
        line[at:end] = data.draw(st.one_of(st.binary(max_size=20), st.sampled_from((b"[", b"]: ", b": to=<", b'"', b"; from=<", b"@"))))
    found = reader()
    found.feed(bytes(line).replace(b"\n", b"") + b"\n")
    totals, _events = found.take()
    assert sum(totals.lines.values()) == 1
    assert Totals.from_json(totals.as_json()) == totals


@pytest.mark.parametrize("piece", [b"<", b"a@", b"1.", b"[", b'"\\', b", dsn=", b"; from=<", b"x-1", b": ", b"host "])
def test_long_lines_take_no_longer_than_their_length(piece):
    took = []
    for many in (20_000, 80_000):
        begins = [b"to=<", b"to=<" + GOOGLE.encode() + b", dsn=4.0.0, status=deferred (", b"reject: RCPT from x[1]: "
                                                                                          b"550 "]
        block = b"".join(f"{STAMPS[0]} mta1 postfix/{tag}[1]: A1: ".encode() + begin + piece * (many // len(piece)) + b"\n"
                         for tag in ("smtp", "smtpd", "cleanup", "qmgr") for begin in begins)
        began = time.process_time()
        reader().feed(block)
        took.append(time.process_time() - began)
    assert took[1] < max(12 * took[0], 0.5)
