# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read out of Postfix' log: domains and days, whatever receivers and addresses hold."""

from __future__ import annotations

import bz2
import datetime
import gzip
import lzma
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.mail_log import Tally, from_text, to_text
from ansible_collections.mailfleet.sending.plugins.module_utils.mail_log_files import LONGEST, read

TODAY = datetime.date(2026, 11, 28)
FILES = ["mail.log", "mail.log.1", "mail.log.2.gz", "mail.log.3.xz", "mail.log-20261124.bz2"]
SENT = "status=sent (250 2.0.0 Ok: queued as 4BC)"


def line(to="a@example.com", status=SENT, tag="postfix/smtp", time="2026-11-28T02:33:24.123456+00:00",
         relay="mx.example.com[192.0.2.1]:25", more="") -> bytes:
    text = f"{time} mta1 {tag}[123]: 4BCDEF12: to=<{to}>, {more}relay={relay}, delay=1.2, dsn=2.0.0, {status}\n"
    return text.encode("utf-8", "surrogateescape")


def counted(*lines: bytes, days=14, **options) -> dict[str, dict[str, int]]:
    tally = Tally(TODAY, days, **options)
    for each in lines:
        tally.add(each)
    return tally.days


def day(*lines: bytes) -> dict[str, int]:
    """The counts of the only day, which is today."""
    return counted(*lines).get("2026-11-28", {})


class TestLines:
    @pytest.mark.parametrize("status, count", [
        (SENT, 1), ("status=bounced (host mx said: 550 5.1.1 no such user)", 1),
        ("status=deferred (connect to mx[192.0.2.1]:25: Connection timed out)", 0)])
    def test_what_was_done_with_counts(self, status, count):
        assert day(line(status=status)) == {"example.com": count}
        assert day(line(status=status), line(status=status), line(to="b@Example.com")) == {"example.com": 2 * count + 1}

    @pytest.mark.parametrize("tag", ["postfix/smtp", "postfix/slow/smtp", "postfix-google/out-198-51-100-10/smtp",
                                     "postfix/ip-198-51-100-10/smtp", "postfix/error", "postfix/retry"])
    def test_every_delivery_to_elsewhere_counts(self, tag):
        assert day(line(tag=tag)) == {"example.com": 1}

    @pytest.mark.parametrize("tag", ["postfix/local", "postfix/virtual", "postfix/pipe", "postfix/qmgr", "opendkim",
                                     "sshd/smtp", "smtp", "postfix", "postfix/smtpd"])
    def test_nothing_else_does(self, tag):
        assert day(line(tag=tag)) == {}

    @pytest.mark.parametrize("relay", ["127.88.1.2[127.88.1.2]:10025", "localhost[127.0.0.1]:10024", "::1[::1]:10025",
                                       "mta1.example.com[127.0.1.1]:10025"])
    def test_what_is_handed_on_in_the_server_counts_where_it_leaves(self, relay):
        assert day(line(relay=relay)) == {}
        assert day(line(relay=relay), line(tag="postfix-google/out-1/smtp")) == {"example.com": 1}

    @pytest.mark.parametrize("relay", ["127.mx.example[192.0.2.1]:25", "localhost.example[2001:db8::1]:25"])
    def test_a_receiver_with_a_name_like_the_servers_own_counts(self, relay):
        assert day(line(relay=relay)) == {"example.com": 1}

    def test_mail_that_found_no_relay_counts_as_seen(self):
        assert day(line(relay="none", status="status=deferred (x)")) == {"example.com": 0}

    @pytest.mark.parametrize("to, domain", [
        ("A@Example.COM", "example.com"),
        ("a+b=c@b.example", "b.example"),
        ('"a@b>, relay=x"@c.example', "c.example"),
        ("ü@d.example", "d.example"),
        ("a@bücher.example", "xn--bcher-kva.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
    ])
    def test_of_an_address_the_domain_is_left(self, to, domain):
        assert day(line(to=to)) == {domain: 1}

    @pytest.mark.parametrize("to", ["", "postmaster", "a@", "a@localhost", "a@[192.0.2.1]", "a@b c.example",
                                    "a@192.0.2.1", "a@" + "x" * 300 + ".example", "a@\udcff.example"])
    def test_what_has_no_domain_is_left_out(self, to):
        assert day(line(to=to)) == {}

    def test_the_address_that_it_was_sent_to_first_is_not_looked_at(self):
        assert day(line(more="orig_to=<x@other.example>, ")) == {"example.com": 1}

    @pytest.mark.parametrize("said", [
        "status=deferred (host mx said: 451 to=<x@evil.example>, relay=x, status=sent (in reply to RCPT TO))",
        "status=deferred (host mx said: 451 ]: A: to=<x@evil.example>, relay=x, status=sent (y))",
    ])
    def test_what_a_receiver_wrote_is_not_taken_for_a_delivery(self, said):
        assert day(line(status=said)) == {"example.com": 0}
        head = "2026-11-28T02:33:24+00:00 mta1 postfix/smtp[1]: 4BC: host mx[192.0.2.1] said: "
        decoy = "postfix/smtp[1]: 4BD: to=<x@evil.example>, relay=mx[192.0.2.1]:25, status=sent (ok)\n"
        assert day((head + decoy).encode()) == {}

    @given(st.binary(max_size=300))
    def test_no_line_is_too_odd(self, data):
        tally = Tally(TODAY, 14)
        tally.add(data)
        tally.add(b"2026-11-28T02:33:24+00:00 mta1 postfix/smtp[1]: 4BC: to=<" + data)
        tally.add(line().replace(b"a@example.com", data))
        assert from_text(to_text(tally.days)) == tally.days

    @given(st.text(max_size=60))
    def test_whatever_a_local_part_holds_nothing_of_it_is_kept(self, local):
        local = local.replace("\n", "").replace("\r", "")
        assert day(line(to=f"{local.encode('utf-8', 'replace').decode()}@example.com")) == {"example.com": 1}


class TestDays:
    @pytest.mark.parametrize("time, expected", [
        ("2026-11-28T02:33:24.123456+00:00", "2026-11-28"),
        ("2026-11-27T23:59:59+0100", "2026-11-27"),
        ("Nov 28 02:33:24", "2026-11-28"),
        ("Nov  3 02:33:24", "2026-11-03"),
        # The clock of a log may be ahead of the date that was asked for by a night.
        ("Nov 29 00:00:01", "2026-11-29"),
        ("Nov 30 02:33:24", "2025-11-30"),
        ("Dec 31 02:33:24", "2025-12-31"),
        ("Feb 29 02:33:24", "2024-02-29"),
    ])
    def test_both_formats_and_years_that_are_not_written(self, time, expected):
        assert list(counted(line(time=time), days=3000)) == [expected]

    @pytest.mark.parametrize("time", ["Foo 28 02:33:24", "Feb 30 02:33:24", "2026-13-01T00:00:00",
                                      "2026-12-24T00:00:00", "yesterday"])
    def test_a_line_without_a_day_that_was_is_left_out(self, time):
        assert counted(line(time=time), days=3000) == {}

    def test_only_so_many_days_count(self):
        lines = [line(time=f"2026-11-{number}T00:00:00") for number in (25, 26, 27, 28)]
        assert list(counted(*lines, days=2)) == ["2026-11-27", "2026-11-28"]

    def test_memory_is_bounded_by_pairs_of_day_and_domain(self):
        tally = Tally(TODAY, 14, pairs=3)
        for number in range(10):
            tally.add(line(to=f"a@n{number % 5}.example"))
        assert tally.days == {"2026-11-28": {f"n{number}.example": 2 for number in range(3)}}
        assert (tally.lines, tally.more) == (10, 4)


class TestText:
    def test_there_and_back(self):
        days = {"2026-11-27": {}, "2026-11-28": {"b.example": 2, "a.example": 0}, "2026-11-29": {"b.example": 10**12}}
        told = to_text(days)
        assert told["counts"] == "a.example - 0 -\nb.example - 2 1000000000000\n"
        assert from_text(told) == days

    @pytest.mark.parametrize("damage", [
        {"days": {}}, {"days": ["x"]}, {"counts": []}, {"counts": "a.example"}, {"counts": "a.example -1"},
        {"counts": "A.example 1"}, {"counts": "a@b.example 1"}, {"counts": "a.example 1 2"}, {"counts": "a.example x"}])
    def test_what_comes_from_a_server_is_checked(self, damage):
        told = to_text({"2026-11-28": {"a.example": 1}})
        assert from_text(told)
        with pytest.raises(ValueError):
            from_text({**told, **damage})


class TestFiles:
    """The newest file has today, the one before yesterday, and so on."""

    @pytest.fixture
    def log(self, tmp_path):
        def write(name: str, data: bytes, age: int) -> None:
            opener = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(os.path.splitext(name)[1], open)
            with opener(tmp_path / name, "wb") as file:
                file.write(data)
            then = 1_795_000_000 - age * 86400
            os.utime(tmp_path / name, (then, then))

        for age, name in enumerate(FILES):
            write(name, line(time=f"2026-11-{28 - age}T01:00:00") * (age + 1), age)
        self.write = write
        return tmp_path

    def read(self, log, days=14, seconds=60.0, command=("false",)):
        return read(TODAY, days, seconds, f"{log}/mail.log*", command)

    def test_rotated_and_compressed_ones_are_read(self, log):
        days, names, notes = self.read(log)
        assert {each: counts["example.com"] for each, counts in days.items()} == {
            f"2026-11-{28 - age}": age + 1 for age in range(5)}
        assert [os.path.basename(name) for name in names] == FILES
        assert notes == []

    def test_what_is_older_than_the_days_is_not_read_on(self, log):
        days, names, _notes = self.read(log, days=2)
        assert list(days) == ["2026-11-27", "2026-11-28"]
        assert [os.path.basename(name) for name in names] == ["mail.log", "mail.log.1", "mail.log.2.gz"]

    def test_damage_is_told_and_the_rest_read(self, log):
        whole = (log / "mail.log.2.gz").read_bytes()
        (log / "mail.log.2.gz").write_bytes(whole[: len(whole) // 2])
        (log / "mail.log.3.xz").write_bytes(b"no xz at all")
        days, _names, notes = self.read(log)
        assert "2026-11-24" in days and "2026-11-25" not in days
        assert len(notes) == 2 and all("cannot be read whole" in note for note in notes)

    def test_what_is_no_file_is_passed_over(self, log):
        os.mkfifo(log / "mail.log.pipe")
        (log / "mail.log.d").mkdir()
        (log / "mail.log.gone").symlink_to(log / "nowhere")
        assert stat.S_ISFIFO((log / "mail.log.pipe").stat().st_mode)
        days, _names, notes = self.read(log)
        assert len(days) == 5 and notes == []

    def test_where_time_is_short_it_is_told(self, log):
        self.write("mail.log", line(time="2026-11-28T01:00:00") * 20_000, 0)
        days, _names, notes = self.read(log, seconds=0.0)
        assert notes == [f"{log}/mail.log was not read to its end: 0 s had passed"]
        assert list(days) == ["2026-11-28"] and 4000 < days["2026-11-28"]["example.com"] < 20_000

    def test_a_line_that_is_too_long_comes_in_pieces(self, log):
        self.write("mail.log", b"x" * LONGEST + line(), 0)
        days, _names, _notes = self.read(log)
        assert days["2026-11-28"] == {"example.com": 1}

    def journal(self, folder, *lines: bytes, status=0):
        """A program that prints lines as journalctl does, and tells what it was asked for."""
        path = folder / "journalctl"
        (folder / "lines").write_bytes(b"".join(lines))
        path.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\ncat {folder}/lines\nexit {status}\n')
        path.chmod(0o755)
        return (str(path), "--reverse")

    def test_without_files_the_journal_is_read(self, tmp_path):
        command = self.journal(tmp_path, line(time="2026-11-28T02:33:24+0000"), line(time="2026-11-26T02:33:24+0000"))
        days, names, notes = self.read(tmp_path, command=command)
        assert days == {"2026-11-26": {"example.com": 1}, "2026-11-28": {"example.com": 1}}
        assert (names, notes) == (["the journal"], [])
        assert (tmp_path / "asked").read_text() == "--reverse --since=2026-11-15\n"

    def test_where_files_ended_days_ago_the_journal_goes_on_and_the_fuller_count_holds(self, log, tmp_path):
        for name in ("mail.log", "mail.log.1"):
            (log / name).unlink()
        command = self.journal(tmp_path, line(time="2026-11-28T02:33:24+0000"), line(time="2026-11-26T02:33:24+0000"),
                               *5 * [line(time="2026-11-25T02:33:24+0000")])
        days, names, _notes = self.read(log, command=command)
        assert {each: counts["example.com"] for each, counts in days.items()} == {
            "2026-11-24": 5, "2026-11-25": 5, "2026-11-26": 3, "2026-11-28": 1}
        assert names[-1] == "the journal"

    def test_a_journal_that_cannot_be_read_is_told(self, tmp_path):
        command = self.journal(tmp_path, status=1)
        days, names, notes = self.read(tmp_path, command=command)
        assert (days, names) == ({}, []) and notes == [
            f"the journal cannot be read: {command[0]} ended with exit status 1"]
        _days, _names, notes = self.read(tmp_path, command=(str(tmp_path / "nothing"),))
        assert "No such file" in notes[0]

    def test_a_journal_without_end_is_left_when_time_is_up(self, tmp_path):
        _days, _names, notes = self.read(tmp_path, seconds=0.05, command=("sh", "-c", "yes some line"))
        assert notes == ["the journal was not read to its end: 0.05 s had passed"]
