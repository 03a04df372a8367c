# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole log is counted exactly, in all dimensions, in whatever pieces it is read."""

from __future__ import annotations

import collections
import json
import random
import time

import pytest
from log_world import HOST, START, VIEW, LogWorld
from mailfleet.errors import Trouble
from mailfleet.maillog import delays, parts, sources, totals, waiting
from mailfleet.maillog.counting import Wanted
from mailfleet.maillog.files import LONGEST, blocks, cuts
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.totals import MOST_DOMAINS, Totals
from mailfleet.maillog.view import View
from mailfleet.reasons import classify

LATER = START + 40 * 86400
HOW = parts.How(View.of(VIEW), HOST, LATER)


@pytest.fixture(scope="module", autouse=True)
def utc():
    """Traditional stamps are in the zone of the host."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TZ", "UTC")
    time.tzset()
    yield
    patch.undo()
    time.tzset()


def made(form: str, lines: int = 9000) -> tuple[bytes, LogWorld]:
    """A log over some hours and into the next year, and what it says."""
    world = LogWorld(seed=7, form=form, every=20.0)
    return world.text(lines), world


TEXT, WORLD = made("rfc3339")


def read(text: bytes, **named) -> tuple[Totals, LogReader]:
    reader = LogReader(HOW.view, host=HOST, reference=LATER, **named)
    reader.feed(text)
    return reader.take()[0], reader


WHOLE, READER = read(TEXT)


def by_row(found: Totals) -> dict[tuple[str, ...], int]:
    return found.by("provider", "address", "outcome", "reason")


@pytest.mark.parametrize("form", ["rfc3339", "traditional"])
def test_all_that_is_counted_is_what_was_written(form):
    text, world = made(form)
    found, reader = read(text)
    says = world.says
    assert by_row(found) == says["rows"] and found.hours == says["hours"]
    assert {(name, outcome): many for name, each in found.domains.items()
            for outcome, many in each.items()} == says["domains"]
    assert sum(found.deferred.values()) == says["deferred"]["messages"] > 50
    assert {name: over for name, (over, _all) in found.tls.items() if over} == says["tls"]
    assert {name: all_ for name, (_over, all_) in found.tls.items()} == says["sent"]
    assert {name: many for name, many in found.counts.items() if many} == says["counts"]
    assert found.lines == says["lines"] and found.unknown == {}
    # Each outcome is in each dimension once.
    assert sum(found.hours.values()) == sum(found.rows.values()) == sum(
        many for each in found.domains.values() for many in each.values())
    assert found.total(outcome="expired") > 3 and found.total(outcome="suppressed") > 3
    assert found.last > START + 4 * 3600 > found.first >= START  # a new year began
    assert reader.waiting.oldest() is None
    stages = collections.Counter()
    for (_provider, stage), buckets in found.delays.items():
        stages[stage] += sum(buckets.values())
    assert stages == dict.fromkeys(delays.STAGES, found.total(outcome="delivered"))
    for stage, seconds in (("queue", 0.02), ("connect", 0.31), ("send", 0.17)):
        assert list(found.delays["google", stage]) == [delays.bucket(seconds)]


def test_samples_say_why():
    for (_provider, reason), texts in WHOLE.samples.items():
        assert 1 <= len(texts) <= 3
        for text in texts:
            assert classify(text).reason == reason, text
    assert {reason for _provider, reason in WHOLE.samples} == {row[3] for row in WHOLE.rows} - {""}


@pytest.mark.parametrize("seed", range(4))
def test_in_pieces_at_any_line_and_with_another_reader_each_time(seed):
    """feed, take, state and restore, in random places: the same totals."""
    chance = random.Random(seed)
    ends = sorted(chance.sample(range(TEXT.count(b"\n")), 40))
    lines = TEXT.splitlines(keepends=True)
    reader, found = HOW.reader(), Totals()
    for start, end in zip([0, *ends], [*ends, len(lines)]):
        reader.feed(b"".join(lines[start:end]))
        if chance.random() < 0.7:
            found.add(reader.take()[0])
        if chance.random() < 0.7:
            found.add(reader.take()[0])
            state = reader.state()
            json.loads(state)
            reader = HOW.reader()
            reader.restore(state)
    found.add(reader.take()[0])
    assert found == WHOLE


def test_events_are_those_of_the_counts_in_pieces_too():
    def told(size: int) -> list:
        found, reader = [], LogReader(HOW.view, host=HOST, reference=LATER, events=True)
        lines = TEXT.splitlines(keepends=True)
        for at in range(0, len(lines), size):
            reader.feed(b"".join(lines[at : at + size]))
            found += reader.take()[1]
            state = reader.state()
            reader = LogReader(HOW.view, host=HOST, reference=LATER, events=True)
            reader.restore(state)
        return found

    whole = told(len(TEXT))
    assert told(997) == whole
    counted = collections.Counter((each.provider, each.address, each.outcome, each.reason) for each in whole)
    assert counted == {row: many for row, many in by_row(WHOLE).items() if row[2] != "suppressed"}
    assert all(each.sender.startswith("b+") for each in whole if each.outcome not in ("rejected",))
    assert all(each.text for each in whole if each.outcome in ("bounced", "deferred", "expired"))


@pytest.mark.parametrize("size", [700, 5_003, 60_001, 10**9])
def test_ranges_read_beside_each_other_are_the_whole(tmp_path, size):
    """Cut anywhere, as small as a line or two: what spans a cut is counted right."""
    place = tmp_path / "mail.log"
    place.write_bytes(TEXT)
    reader, worker = HOW.reader(), HOW.reader()
    ranges = cuts(str(place), size)
    assert ranges[0][0] == 0 and ranges[-1][1] == len(TEXT)
    assert all(TEXT[end - 1 : end] == b"\n" and end == start for (_a, end), (start, _b) in zip(ranges, ranges[1:]))
    for start, end in ranges:
        parts.absorb(reader, parts.part_of(worker, blocks(str(place), start, end)))
    assert reader.take()[0] == WHOLE
    assert reader.waiting.messages.keys() == READER.waiting.messages.keys() and reader.tls == READER.tls


def test_what_a_process_cannot_read_is_said_by_the_one_that_asked(tmp_path):
    (tmp_path / "mail.log").write_bytes(TEXT)
    ranges = cuts(str(tmp_path / "mail.log"), 200_000)
    with pytest.raises(Trouble, match=r"other\.log: No such file or directory; expected a file of a mail log"):
        parts.read_ranges(HOW.reader(), HOW, str(tmp_path / "other.log"), ranges, 2)


WAIT = "relay=none, delay=9, delays=1/1/1/1, dsn=4.4.1, status=deferred (connect to x.example[192.0.2.9]:25: timed out)"
GONE = "relay=mx.x.example[192.0.2.9]:25, delay=9, delays=1/1/1/1, dsn=2.0.0, status=sent (250 ok)"
CASES = {
    "an id that is used again": [f"smtp[1]: A1: to=<a@x.example>, {WAIT}", "qmgr[1]: A1: removed",
                                 f"smtp[1]: A1: to=<a@x.example>, {WAIT}", f"smtp[1]: A1: to=<a@x.example>, {GONE}",
                                 "qmgr[1]: A1: removed", "qmgr[1]: A1: from=<>, status=expired, returned to sender"],
    "who waits after another was done with": [
        f"smtp[1]: A1: to=<a@x.example>, {WAIT}", f"smtp[1]: A1: to=<a@x.example>, {GONE}",
        f"smtp[1]: A1: to=<b@x.example>, {WAIT}", f"smtp[1]: A1: to=<b@x.example>, {WAIT}"],
    "some expire, and others not": [
        f"smtp[1]: A1: to=<a@x.example>, {WAIT}", f"smtp[1]: A1: to=<b@y.example>, {WAIT}",
        f"smtp[1]: A1: to=<c@z.example>, {WAIT}", f"smtp[1]: A1: to=<a@x.example>, {GONE}",
        f"smtp[1]: A1: to=<b@y.example>, {WAIT.replace('timed out', 'Connection refused')}",
        "qmgr[1]: A1: from=<>, status=expired, returned to sender", "qmgr[1]: A1: removed",
        f"smtp[1]: A1: to=<d@x.example>, {WAIT}", "qmgr[1]: A1: from=<>, status=expired, returned to sender"],
    "a process and its connection": [
        "smtp[1]: Trusted TLS connection established to mx.x.example[192.0.2.9]:25: TLSv1.3",
        f"smtp[1]: A1: to=<a@b>, {GONE}",
        f"smtp[2]: A1: to=<a@b>, {GONE}", "smtp[1]: SSL_connect error to mx.x.example[192.0.2.9]:25: -1",
        f"smtp[1]: A1: to=<a@b>, {GONE}"],
}


@pytest.mark.parametrize("name", CASES)
def test_wherever_it_is_cut_it_is_the_same_story(name):
    lines = [f"2026-01-01T00:{at:02d}:00Z mta1 postfix/{line}\n".encode() for at, line in enumerate(CASES[name])]
    whole, alone = read(b"".join(lines))
    for cut in range(2 ** (len(lines) - 1)):
        ranges, reader = [lines[0]], HOW.reader()
        for at, line in enumerate(lines[1:]):
            if cut >> at & 1:
                ranges.append(line)
            else:
                ranges[-1] += line
        for each in ranges:
            parts.absorb(reader, parts.part_of(HOW.reader(), [each]))
        assert reader.take()[0] == whole, ranges
        assert reader.waiting.messages == alone.waiting.messages


def test_who_waits_for_long_counts_once_among_those_who_wait(monkeypatch):
    monkeypatch.setattr(waiting, "MOST", 2)
    reader = HOW.reader()
    for _again in range(5):
        reader.feed(f"2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A1: to=<a@x.example>, {WAIT}\n".encode())
    assert reader.take()[0].counts["forgotten"] == 0 and len(reader.waiting.messages) == 1


def test_processes_count_what_one_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "RANGE", 150_000)
    monkeypatch.setattr(parts, "LEAST", 300_000)
    (tmp_path / "mail.log").write_bytes(TEXT)
    assert parts.read(HOW, [str(tmp_path / "mail.log")], 2).take()[0] == WHOLE


def test_what_waits_over_a_cut_waits():
    lines = TEXT.splitlines(keepends=True)
    end = next(at for at, line in enumerate(lines) if at > 5000 and b"status=deferred" in line) + 1
    _found, alone = read(b"".join(lines[:end]))
    reader, worker = HOW.reader(), HOW.reader()
    for start in range(0, end, 100):
        parts.absorb(reader, parts.part_of(worker, [b"".join(lines[start : min(start + 100, end)])]))
    assert alone.waiting.oldest() is not None
    assert reader.waiting.oldest() == alone.waiting.oldest()
    assert reader.waiting.messages == alone.waiting.messages
    assert sum(reader.waiting.by_provider().values()) > 1


def test_only_what_is_wanted_is_counted():
    middle = START + 3 * 3600
    found, _reader = read(TEXT, wanted=Wanted(since=middle))
    before, _reader = read(TEXT, wanted=Wanted(until=middle))
    found.lines = before.lines = found.tls = before.tls = {}
    both = found + before
    assert (both.rows, both.hours, both.domains) == (WHOLE.rows, WHOLE.hours, WHOLE.domains)
    assert before.last < middle <= found.first
    google, _reader = read(TEXT, wanted=Wanted(providers=frozenset(["google"])))
    assert google.rows == {row: many for row, many in WHOLE.rows.items() if row[0] == "google"}
    plain, _reader = read(TEXT, wanted=Wanted(domains=frozenset([b"plain.example"])))
    assert plain.domains == {"plain.example": WHOLE.domains["plain.example"]}


@pytest.mark.parametrize("ends", ["dsn=2.0.0, status=sent (250 ok)", "dsn=5.1.1, status=bounced (550 unknown)"])
def test_what_ended_unwanted_waits_no_longer(ends):
    """A host that does not answer has no name, so what was deferred at one provider may end at another."""
    given_up = "from=<s@x>, status=expired, returned to sender"
    reader = parts.How(View.of(VIEW), HOST, START + 86_400, Wanted(providers=frozenset(["other"]))).reader()
    smtp = "2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A1"
    reader.feed(f"{smtp}: to=<a@x.example>, {WAIT}\n{smtp}: to=<b@x.example>, {WAIT}\n"
                f"{smtp}: to=<a@x.example>, relay=aspmx.l.google.com[192.0.2.1]:25, delay=1, delays=0/0/0/1, {ends}\n"
                f"2026-01-01T00:00:00Z mta1 postfix/qmgr[1]: A1: {given_up}\n".encode())
    assert reader.take()[0].total(outcome="expired") == 1


def test_totals_are_plain_data_and_come_back():
    again = Totals.from_json(json.loads(json.dumps(WHOLE.as_json())))
    assert again == WHOLE and again.rows == WHOLE.rows and again.hours == WHOLE.hours
    twice = WHOLE + again
    assert sum(twice.rows.values()) == 2 * sum(WHOLE.rows.values()) and twice.first == WHOLE.first


@pytest.mark.parametrize("damage", [
    {"version": 2}, {"rows": [["a", "b", "c", "d", "e", "f", -1]]}, {"rows": [["a", 1]]}, {"rows": None},
    {"hours": [[0.5, "a"]]}, {"domains": {"a": {"delivered": "1"}}}, {"tls": {"a": [1]}}, {"deferred": [1]},
    {"samples": [["a"]]},
    {"counts": {}}, {"first": True}, {"lines": {"x": 1e9}}])
def test_what_is_no_totals_is_refused(damage):
    with pytest.raises(ValueError):
        Totals.from_json(WHOLE.as_json() | damage)
    with pytest.raises(ValueError):
        Totals.from_json([])


@pytest.mark.parametrize("state", [b"", b"{}", b"[]", b'{"version":1}',
                                   b'{"version":1,"waiting":[[1]],"senders":[],"tls":[]}',
                                   b'{"version":1,"waiting":{"lasts":[],"messages":[["A",1,"x",[["a",0]]]]},'
                                   b'"senders":[],"tls":[]}'])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError):
        HOW.reader().restore(state)


def test_too_many_names_are_put_together_and_sums_stay_exact(monkeypatch):
    found = Totals()
    for number in range(3 * MOST_DOMAINS):
        found.count_domain(f"d{number}.example", {"delivered": 1})
        found.count_domain("big.example", {"delivered": 1, "bounced": 1})
    found.bound()
    assert len(found.domains) <= MOST_DOMAINS and found.domains["big.example"] == {"delivered": 3 * MOST_DOMAINS,
                                                                                   "bounced": 3 * MOST_DOMAINS}
    assert sum(each["delivered"] for each in found.domains.values()) == 6 * MOST_DOMAINS
    monkeypatch.setattr(totals, "MOST_HOURS", 20)
    monkeypatch.setattr(totals, "MOST_ROWS", 20)
    for number in range(100):
        found.count(("google", f"a{number}", "delivered", "", "delivered", ""), number * 3600, 2)
    found.unknown = {f"p{number}": 1 for number in range(1000)}
    found.bound()
    assert len(found.hours) <= 20 and len(found.rows) <= 21 and len(found.unknown) <= 201
    assert sum(found.hours.values()) == sum(found.rows.values()) == 200 and sum(found.unknown.values()) == 1000
    assert (99 * 3600, "google", "delivered", "") in found.hours


def test_lines_of_any_number_of_hosts_are_counted_and_few_hosts_are_kept(monkeypatch):
    monkeypatch.setattr(sources, "_MOST", 10)
    reader = HOW.reader()
    for host in range(95):
        for said in ("connect to x.example[192.0.2.1]:25: refused", "x y"):
            reader.feed(f"2026-01-01T00:00:00Z h{host} postfix/smtp[1]: {said}\n".encode())
    found, _events = reader.take()
    assert (found.lines, found.unknown) == ({"smtp": 190}, {"smtp": 95})
    assert len(reader.tls) <= 10 and reader.take()[0].lines == {}


def test_tls_to_a_host_that_mail_stays_at_is_no_delivery_by_smtp():
    """A process may be known to have TLS from a range of the file that another read."""
    reader, relay = HOW.reader(), "imap.x.example[192.0.2.4]:24"
    lmtp = "2026-01-01T00:00:00Z h postfix/lmtp[7]:"
    reader.feed(f"{lmtp} Trusted TLS connection established to {relay}: TLSv1.3\n".encode())
    line = f"{lmtp} A1: to=<a@x.example>, relay={relay}, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)\n"
    parts.absorb(reader, parts.part_of(HOW.reader(), [line.encode()]))
    found, _events = reader.take()
    assert (found.tls, found.total(provider="local")) == ({}, 1)


def test_memory_of_what_waits_is_bounded_and_told(monkeypatch):
    monkeypatch.setattr(waiting, "MOST", 5)
    reader = HOW.reader()
    for number in range(9):
        reader.feed(f"2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A{number}: to=<a@x.example>, relay=none, delay=1, "
                    f""
                    "delays=0/0/0/1, dsn=4.4.1, status=deferred (timed out)\n".encode())
    assert len(reader.waiting.messages) == 5 and list(reader.waiting.messages)[0] == b"mta1 postfix A4"
    found, _events = reader.take()
    assert (found.counts["forgotten"], found.deferred) == (4, {"other": 9})


def test_the_state_is_small_however_many_wait():
    reader = LogReader(HOW.view, host=HOST, reference=LATER, events=True)
    said = "status=deferred (host mx.x.example[192.0.2.9] said: 452 4.2.2 <a{0}@x.example>: over quota by {0} bytes)"
    for number in range(2000):
        reader.feed(f"2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A{number}: to=<a{number}@x.example>, relay=none, "
                    f"delay=1, delays=0/0/0/1, dsn=4.2.2, {said.format(number + 1000)}\n".encode())
    reader.feed(f"2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A0: to=<b@x.example>, {WAIT}\n".encode())
    state = reader.state()
    assert len(state) < 2000 * 150 and state.count(b"4.2.2") < 5
    again = LogReader(HOW.view, host=HOST, reference=LATER, events=True)
    again.restore(state)
    assert again.waiting.messages == reader.waiting.messages and again.state() == state


def test_lines_without_an_end_take_no_memory(tmp_path):
    place = tmp_path / "mail.log"
    place.write_bytes(b"x" * (3 << 20) + b"\nlast one")
    found = list(blocks(str(place)))
    assert [len(each) for each in found[1:]] == [9] and found[-1] == b"last one\n"
    assert LONGEST < len(found[0]) < LONGEST + (1 << 18) + 2 and found[0].endswith(b"x\n")


def test_delays_are_told_to_within_five_per_cent():
    for seconds in (0.01, 0.02, 0.31, 1, 3.6, 99, 63495, 400_000):
        assert abs(delays.seconds(delays.bucket(seconds)) / seconds - 1) < 0.05
    assert delays.seconds(delays.of_text(b"0")) == delays.seconds(delays.of_text(b"x")) == 0
    assert delays.of_text(b"nan") == delays.of_text(b"-5") == delays.NONE and delays.of_text(b"1e999") > 200
    counts = {delays.bucket(1): 89, delays.bucket(10): 10, delays.bucket(100): 1}
    assert delays.percentiles(counts) == {50: delays.seconds(delays.bucket(1)), 90: delays.seconds(delays.bucket(10)),
                                          99: delays.seconds(delays.bucket(10))}
    assert delays.percentiles({}) == {}
