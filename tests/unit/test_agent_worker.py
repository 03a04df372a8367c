# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worker: what becomes of each message, and that none of them stops another."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
import time

import pytest
from agent_host import Host, host
from agent_world import DAY, FEEDBACK, NOW, PASSED, TODAY, message, read
from mailfleet import events, suppressions
from mailfleet.errors import Unavailable
from mailfleet.finding import Kind, Scope
from mailfleet.rules import ALL

__all__ = ["host"]


def held(host: Host) -> list[tuple[str, str, str]]:
    return [(each.stream, each.recipient, each.cause) for each in suppressions.holding(host.store, host.now)]


def test_a_bounce_becomes_an_event_and_an_entry_and_is_removed(host):
    host.put(message(to=host.token()))
    assert host.worker.round() == 1
    event, = events.after(host.store, 0, 10)
    assert (event.kind, event.recipient, event.stream, event.reason, event.at, event.host, event.day) == (
        "hard", "u@acme.test", "news", "userunknown", NOW, "mta1.example.com", NOW // DAY)
    assert event.token in host.token()
    assert held(host) == [("news", "u@acme.test", "hard")]
    assert host.spool.names() == [] and host.reasons() == {}
    assert host.worker.round() == 0


def test_the_same_notice_by_another_way_is_the_same(host):
    raw = message(to=host.token())
    host.put(raw, b"Received: by mta2\n\tfor you\nDelivered-To: x\n" + raw, raw.replace(b"\n", b"\r\n"))
    host.put(message(to=host.token(), extra="another"))
    host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 2


@pytest.mark.parametrize(("make", "reason", "place"), [
    (lambda host: message(), "no-token", "other"),
    (lambda host: message(to="b+x@e.example.com"), "no-token", "other"),
    (lambda host: message(to=host.token()[:-1] + "x"), "other-domain", "other"),
    (lambda host: message(to=host.token().replace("e.example.com", "e.example.us")), "other-domain", "other"),
    (lambda host: message(to=host.token(day=TODAY.replace(year=TODAY.year - 1))), "expired", "other"),
    (lambda host: message(to=host.token().replace("@", "_@").replace("b+a", "b+")), "no-token", "other"),
    (lambda host: message(to="b+a" + "a" * 25 + "@e.example.com"), "wrong-mac", "other"),
    (lambda host: message(to="b+z" + "a" * 25 + "@e.example.com"), "unknown-key", "other"),
    (lambda host: message("other@acme.test", to=host.token()), "other-recipient", "token"),
    (lambda host: message("", to=host.token()), "other-recipient", "token"),
    (lambda host: message(to=host.token(), findings=[]), "no-notice", "token"),
    (lambda host: message(findings=[]), "no-token", "other"),
    (lambda host: message(kind=Kind.COMPLAINT), "no-token", "other"),
    (lambda host: message(kind=Kind.COMPLAINT, to="b+a" + "a" * 25 + "@e.example.com"), "wrong-mac", "other"),
    (lambda host: b"garbage \xff\x00", "unreadable", "other"),
    (lambda host: b"garbage <" + host.token().upper().encode() + b">\xff", "unreadable", "token"),
    (lambda host: message(extra=f"To: {host.token()}"), "no-token", "token"),
    (lambda host: message(to="b+a" + "a" * 25 + "@e.example.com", extra=host.token()), "wrong-mac", "token"),
    (lambda host: b"", "unreadable", "other"),
])
def test_what_is_not_proved_changes_nothing_and_is_kept(host, make, reason, place):
    raw = make(host)
    host.put(raw)
    host.worker.round()
    assert host.reasons() == {reason: place}
    kept, = host.quarantine.kept(place)
    with open(kept.path, "rb") as file:
        assert file.read() == raw
    assert events.after(host.store, 0, 10) == [] and held(host) == [] and host.spool.names() == []


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, KeyError, UnicodeError])
def test_a_reader_that_fails_stops_nothing(host, error):
    def fails(raw: bytes):
        if b"fail" in raw:
            raise error("fail")
        return read(raw)
    host.start(reader=fails)
    host.put(message(to=host.token(), extra="fail"), message(to=host.token()))
    host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 1
    assert host.reasons() == {"unreadable": "token"}
    host.put(message(extra="fail again"))
    host.worker.round()
    told, = host.told
    assert re.match(f"the reader failed with {error.__name__} at test_agent_worker.py:[0-9]+; such messages", told)


def test_only_so_much_of_a_message_is_read(tmp_path):
    host = Host(tmp_path, intake={"largest": 1 << 16})
    seen = []
    host.start(reader=lambda raw: seen.append(len(raw)) or read(message()))
    host.put(b"x" * (1 << 20))
    host.worker.round()
    assert seen == [1 << 16]


def test_the_tokens_own_recipient_counts_among_many(host):
    told = [["v@acme.test", "hard", "r", "recipient", "", "", "rule", ""],
            ["U@Acme.Test", "soft", "full", "recipient", "", "", "rule", ""]]
    host.put(message(to=host.token(), findings=told))
    host.worker.round()
    assert [(each.recipient, each.kind, each.named) for each in events.after(host.store, 0, 10)] == [
        ("u@acme.test", "soft", "")]
    assert held(host) == []


@pytest.mark.parametrize(("sent", "named", "written"), [
    ("a..b@acme.test", '"a..b"@acme.test', ()), ("a..b@acme.test", '"a..b"@acme.test', ('"a..b"@acme.test',)),
    ("a..b@acme.test", '"A..b"@acme.test', ("a..b@acme.test",)), ("a..b@acme.test", "a..b@acme.test", ()),
    ('"a b"@acme.test', '"a b"@acme.test', ('"a b"@acme.test',)),
    ('"a..b"@acme.test', '"a..b"@acme.test', ("a..b@acme.test",))])
def test_quotation_marks_that_postfix_sets_make_no_other_recipient(host, sent, named, written):
    host.put(message(named, to=host.token(sent), written=written, addressed=written))
    host.worker.round()
    assert [(each.recipient, each.kind) for each in events.after(host.store, 0, 10)] == [(sent, "hard")]


def test_a_forwarded_recipient_is_found_by_what_the_message_was_addressed_to(host):
    host.put(message("alias@elsewhere.test", to=host.token(), addressed=["U@acme.test"]))
    host.worker.round()
    event, = events.after(host.store, 0, 10)
    assert (event.recipient, event.named) == ("u@acme.test", "alias@elsewhere.test")
    assert held(host) == [("news", "u@acme.test", "hard")]


def test_a_notice_of_another_recipient_of_the_same_message_changes_nothing(host):
    """One that stands beside ours in its header: ours has its mail."""
    host.put(message("V@acme.test", to=host.token(), addressed=["u@acme.test", "v@acme.test"],
                     written=["u@acme.test", "v@acme.test"]))
    host.worker.round()
    assert events.after(host.store, 0, 10) == [] and held(host) == []
    assert host.reasons() == {"other-recipient": "token"}


def test_a_token_written_in_many_ways_is_looked_at_once(tmp_path):
    """Each address of a notice costs a HMAC for each token."""
    asked = []
    host = Host(tmp_path)
    told = json.loads(message("", to=host.token(), addressed=[f"u{each}@x.test" for each in range(100)]).partition(
        b"\n\n")[2])
    local, domain = host.token().split("@")
    told["mentions"] = [["envelope", f"SRS0=abcd=ef=e.example.com={local.replace('b+', 'B+')}@{each}.test"]
                        for each in range(30)] + [["envelope", f"{local}@{domain}"]]
    keys = host.settings.keys
    is_of = type(keys).is_of
    try:
        type(keys).is_of = lambda *given: asked.append(given) or is_of(*given)
        host.put(b"X: y\n\n" + json.dumps(told).encode())
        host.worker.round()
    finally:
        type(keys).is_of = is_of
    assert 0 < len(asked) <= 101
    host.store.close()


def test_of_several_findings_that_name_others_the_mildest_counts(host):
    told = [["a@x.test", "hard", "r", "recipient", "", "", "rule", ""],
            ["b@x.test", "soft", "full", "recipient", "", "", "rule", ""]]
    host.put(message(to=host.token(), findings=told, addressed=["u@acme.test"]))
    host.worker.round()
    assert [each.kind for each in events.after(host.store, 0, 10)] == ["soft"]


@pytest.mark.parametrize(("kind", "scope", "entries"), [
    (Kind.HARD, Scope.RECIPIENT, 1), (Kind.HARD, Scope.DOMAIN, 1), (Kind.HARD, Scope.NETWORK, 0),
    (Kind.SOFT, Scope.RECIPIENT, 0), (Kind.AUTO_REPLY, Scope.RECIPIENT, 0), (Kind.DELIVERED, Scope.RECIPIENT, 0),
    (Kind.COMPLAINT, Scope.RECIPIENT, 1), (Kind.COMPLAINT, Scope.SENDER, 0),
])
def test_what_suppresses(host, kind, scope, entries):
    host.put(message(kind=kind, scope=scope, to=host.token()))
    host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 1
    assert len(held(host)) == entries


def test_a_complaint_without_an_address_is_resolved_by_an_earlier_event(host):
    host.put(message(kind=Kind.DELIVERED, to=host.token()))
    host.worker.round()
    host.put(message("", Kind.COMPLAINT, to=host.token()))
    host.worker.round()
    assert held(host) == [("news", "u@acme.test", "complaint")]


def test_an_automatic_reply_that_names_nobody_is_kept_as_an_event(host):
    host.put(message("", Kind.AUTO_REPLY, to=host.token()))
    host.worker.round()
    assert [(each.kind, each.recipient) for each in events.after(host.store, 0, 10)] == [("auto-reply", "")]


@pytest.mark.parametrize(("field", "entries"), [
    (PASSED, 1), (PASSED.upper(), 1), ("", 0),
    (PASSED.replace("pass", "fail"), 0), (PASSED.replace("feedback.example", "evil.example"), 0),
    (PASSED.replace("bounce.example.com", "other.example.com"), 0),
    # Our own filter's is the topmost, and says all.
    ("Authentication-Results: bounce.example.com; dkim=none\n" + PASSED, 0),
    ("Authentication-Results: bounce.example.com; spf=pass (dkim=pass header.d=feedback.example)\n", 0),
    ('Authentication-Results: bounce.example.com; dkim=fail reason="x; dkim=pass header.d=feedback.example"\n', 0),
    ("Authentication-Results: bounce.example.com; dkim=pass header.d=evil.example;\n"
     " dkim=pass header.d=feedback.example\n", 1),
    ("X: y\n\n" + PASSED, 0),
])
def test_a_complaint_without_a_token_needs_a_known_source_that_signed(tmp_path, field, entries):
    host = Host(tmp_path, feedback=FEEDBACK)
    host.arrive(field.encode() + message(kind=Kind.COMPLAINT), field.encode() + message("v@acme.test"))
    host.worker.round()
    assert held(host) == [(ALL, "u@acme.test", "complaint")] * entries
    host.store.close()


def test_what_is_fetched_from_elsewhere_is_of_no_known_source(tmp_path):
    """Whoever writes to that mailbox writes its header, and no filter of ours has seen it."""
    host = Host(tmp_path, feedback=FEEDBACK)
    host.put(PASSED.encode() + message(kind=Kind.COMPLAINT))
    host.worker.round()
    assert held(host) == [] and host.reasons() == {"no-token": "other"}
    host.store.close()


def test_a_feedback_of_known_source_is_about_the_stream_that_it_shows(tmp_path):
    host = Host(tmp_path, feedback=FEEDBACK)
    stale = host.token(domain="e.example.us", day=TODAY.replace(year=TODAY.year - 1))
    host.arrive(PASSED.encode() + message(kind=Kind.COMPLAINT, to=stale))
    host.worker.round()
    assert held(host) == [("shop", "u@acme.test", "complaint")]
    host.store.close()


def test_a_token_grows_no_older_while_its_message_waits(host):
    host.put(message(to=host.token()))
    host.now += 60 * DAY
    host.worker.round()
    assert [each.at for each in events.after(host.store, 0, 10)] == [NOW]


def test_events_wait_for_the_store_and_junk_does_not(host):
    def fails():
        raise Unavailable("the database", "gone")
    host.put(message(to=host.token()), message())
    working, host.store._connect = host.store._connect, fails
    assert host.worker.round() == 2
    assert host.worker.waiting == 1 and host.reasons() == {"no-token": "other"}
    assert host.told == [f"the database: gone; messages wait in {host.settings.maildir}"]
    host.put(message("v@acme.test", to=host.token("v@acme.test")), message(extra="more junk"))
    assert host.worker.round() == 2  # those that wait are not read again
    assert host.worker.waiting == 2 and len(list(host.quarantine.kept("other"))) == 2
    host.store._connect = working
    assert host.worker.round() == 0  # it is not asked yet
    host.now += 5
    assert host.worker.round() == 2
    assert len(events.after(host.store, 0, 10)) == 2 and host.spool.names() == []
    assert len(host.told) == 2 and host.told[1].endswith("answers again")


def test_what_waits_is_not_read_again_until_the_store_answers(host):
    def fails():
        raise Unavailable("the database", "gone")
    read_, seen = read, []
    host.start(reader=lambda raw: seen.append(raw) or read_(raw))
    working, host.store._connect = host.store._connect, fails
    host.put(*[message(to=host.token(), extra=str(n)) for n in range(5)])
    host.worker.round()
    for _each in range(5):
        host.now += 60
        assert host.worker.round() == 0
    assert len(seen) == 5 and host.worker.waiting == 5 and len(host.told) == 1
    host.store._connect = working
    host.now += 60
    assert host.worker.round() == 5 and len(seen) == 10 and host.worker.waiting == 0
    assert len(events.after(host.store, 0, 10)) == 5 and host.told[1].endswith("answers again")


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_makes_nothing_wait(host, jump):
    def fails():
        raise Unavailable("the database", "gone")
    host.put(message(to=host.token()))
    working, host.store._connect = host.store._connect, fails
    host.worker.round()
    host.now += jump
    host.store._connect = working
    assert host.worker.round() == 1 and len(events.after(host.store, 0, 10)) == 1


def test_a_flood_of_junk_fills_no_disk_without_the_store_either(tmp_path):
    def fails():
        raise Unavailable("the database", "gone")
    host = Host(tmp_path, quarantine={"bytes": 1 << 20})
    host.store._connect = fails
    for n in range(20):
        host.put(*[message(extra=f"{n} {m} " + "x" * 9000) for m in range(40)],
                 message("other@acme.test", to=host.token(), extra=str(n)), message(to=host.token(), extra=str(n)))
        host.worker.round()
        assert len(host.spool.names()) == n + 1  # what waits for the store
    size = sum(each.size for place in ("token", "other") for each in host.quarantine.kept(place))
    assert size <= (1 << 20) + 10 * 4096


def test_what_cannot_be_read_stops_none_of_the_others(host):
    os.mkdir(host.spool.path("0-a-folder"))
    host.put(message(to=host.token()), message())
    host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 1 and host.reasons() == {"no-token": "other"}
    for _each in range(3):
        assert host.worker.round() == 0
    told, = host.told
    assert told.startswith("0-a-folder stays in ") and "Is a directory; it is looked at again" in told
    os.rmdir(host.spool.path("0-a-folder"))
    assert host.worker.left == 1
    host.now += 61
    host.worker.round()
    assert host.worker.left == 0 and host.told == [told]


@pytest.mark.parametrize("jump", [61, -DAY])
def test_a_quarantine_without_room_keeps_no_event_back(host, monkeypatch, jump):
    def full(*_arguments, **_more) -> None:
        raise OSError(28, "No space left on device")

    host.put(*[message("other@acme.test", to=host.token(), extra=str(n)) for n in range(3)], message(to=host.token()))
    with monkeypatch.context() as patch:
        patch.setattr("mailfleet.quarantine.os.makedirs", full)
        host.worker.round()
        assert len(events.after(host.store, 0, 10)) == 1 and host.worker.left == 3 == len(host.spool.names())
        assert host.worker.round() == 0 and len(host.told) == 1 and "No space left" in host.told[0]
    host.now += jump
    host.worker.round()
    assert host.spool.names() == [] and host.reasons() == {"other-recipient": "token"}


@pytest.mark.parametrize("since", [-(1 << 40), -1, 1 << 33])
def test_a_message_of_any_time_is_read(host, monkeypatch, since):
    raw = message(to=host.token())
    host.put(raw)
    monkeypatch.setattr(host.spool, "read", lambda _name, _most: (raw, since))
    host.worker.round()
    assert host.spool.names() == [] and host.reasons() in ({}, {"expired": "other"})


def test_what_no_rule_can_make_sense_of_stops_nothing(host):
    host.start(reader=lambda raw: dataclasses.replace(read(raw), addressed=(None, 3)) if b"!" in raw else read(raw))
    host.put(message(to=host.token(), extra="!"), message(to=host.token()))
    host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 1 and host.reasons() == {"unreadable": "token"}
    assert host.told[0].startswith("the reader failed with AttributeError at recipients.py")


def test_new_mail_wakes_the_worker_and_it_stops_when_told(host):
    stop = threading.Event()
    working = threading.Thread(target=host.worker.work, args=(stop.wait,))
    working.start()
    host.put(message(to=host.token()))
    begun = time.monotonic()
    while host.spool.names() and time.monotonic() - begun < 60:
        time.sleep(0.02)
    assert host.spool.names() == []
    stop.set()
    working.join(60)
    assert not working.is_alive()
