# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log as journald has it: whose lines are believed, and that each counts once over restarts."""

from __future__ import annotations

import json
import sys
import time

import pytest
from agent_world import NOW
from followed_log import Server, message, outcome
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.errors import Trouble, Unavailable
from mailfleet.maillog import journal
from mailfleet.maillog.journal import Journal, line_of

USERS = {"0": "", "101": "", "102": "opendkim"}
# What journalctl(1) does with the options that it is given here.
JOURNALCTL = """
import json, sys, time
options = [each.partition("=") for each in sys.argv[2:] if each.startswith("--")]
options = {name: value for name, _is, value in options}
wanted = {}
for each in sys.argv[2:]:
    if not each.startswith("-"):
        name, _is, value = each.partition("=")
        wanted.setdefault(name, set()).add(value)
assert {"--quiet", "--no-pager", "--all"} <= set(options) and options["--output"] == "json"
def fits(entry):
    return all(str(entry.get(name)) in values for name, values in wanted.items())
if open(sys.argv[1] + ".status").read():
    sys.exit(int(open(sys.argv[1] + ".status").read()))
file = open(sys.argv[1])
entries = list(map(json.loads, file))
first, left = 0, int(options.get("--lines", 1 << 30))
place = options.get("--after-cursor") or options.get("--cursor")
if place:
    known = [number for number, entry in enumerate(entries) if entry["__CURSOR"] >= place]
    first = (known[0] if known else len(entries)) + (
        "--after-cursor" in options and bool(known) and entries[known[0]]["__CURSOR"] == place)
shown = [entry for entry in entries[first:] if fits(entry)]
if "--since" in options:
    shown = [entry for entry in shown if int(entry["__REALTIME_TIMESTAMP"]) >= 1e6 * int(options["--since"][1:])]
for entry in shown[:left]:
    print(json.dumps(entry), flush=True)
while "--follow" in options:
    line = file.readline()
    if line and fits(json.loads(line)):
        print(line, end="", flush=True)
    elif not line:
        time.sleep(0.01)
"""


class Book:
    """A journal in a file."""

    def __init__(self, folder) -> None:
        self.path = folder / "journal"
        self.program = folder / "journalctl.py"
        self.program.write_text(JOURNALCTL)
        self.command = [sys.executable, str(self.program), str(self.path), *journal.COMMAND[1:]]
        self.path.touch()
        self.status("")
        self.many = 0

    def status(self, text: str) -> None:
        self.path.with_name("journal.status").write_text(text)

    def write(self, said: str = "A0000001: removed", name: str = "postfix/qmgr", uid: str = "101", **more) -> str:
        self.many += 1
        cursor = f"s=1;i={self.many:06}"
        found = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(NOW * 1_000_000 + self.many), "MESSAGE": said,
                 "SYSLOG_IDENTIFIER": name, "SYSLOG_PID": "7", "_UID": uid, "_HOSTNAME": "mta1", "SYSLOG_FACILITY": "2"}
        with self.path.open("a") as file:
            file.write(json.dumps(found | more) + "\n")
        return cursor

    def open(self, place=None, since=0, follows=False, say=lambda _line: None) -> Journal:
        return Journal(place, since, say, follows=follows, whose=USERS, command=self.command)


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)


def read(found: Journal, wanted: int = 0, within: float = 60) -> list[bytes]:
    """What there is; where it follows, until so many lines are there."""
    lines, end = [], time.monotonic() + within
    while (block := found.read()) or (len(lines) < wanted and time.monotonic() < end):
        lines += block.splitlines(keepends=True)
        if not block:
            time.sleep(0.01)
    return lines


def test_an_entry_is_a_line_as_syslog_writes_it(book):
    book.write()
    assert read(book.open()) == [b"2026-11-18T20:53:20.000001+00:00 mta1 postfix/qmgr[7]: A0000001: removed\n".replace(
        b"2026-11-18T20:53:20", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW)).encode())]


@pytest.mark.parametrize(("name", "uid", "believed"), [
    ("postfix/smtp", "101", True), ("postfix/postfix-script", "0", True), ("opendkim", "102", True),
    ("postfix/smtp", "102", False), ("postfix/smtp", "1000", False), ("opendkim", "1000", False), ("", "101", False)])
def test_whose_lines_are_believed(name, uid, believed):
    found = line_of(json.dumps({"__CURSOR": "c", "__REALTIME_TIMESTAMP": "1", "MESSAGE": "x", "_UID": uid,
                                "SYSLOG_IDENTIFIER": name}).encode(), USERS)
    assert found.cursor == "c" and bool(found.text) == believed


def test_what_is_no_utf8_or_has_lines_stays_one_line():
    entry = {"__CURSOR": "c", "__REALTIME_TIMESTAMP": "1", "_UID": "0", "_PID": "9",
             "SYSLOG_IDENTIFIER": "postfix/smtp"}
    said = list(b"to=<\xe9@acme.test>\nNov 28 13:00:00 mta1 postfix/smtp[1]: A1: removed")
    found = line_of(json.dumps(entry | {"MESSAGE": said}).encode(), USERS).text
    assert found == (b"1970-01-01T00:00:00.000001+00:00 - postfix/smtp[9]: to=<\xe9@acme.test> Nov 28 13:00:00 mta1 "
                     b"postfix/smtp[1]: A1: removed\n")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(
                        ["__CURSOR", "__REALTIME_TIMESTAMP", "MESSAGE", "_UID", "SYSLOG_IDENTIFIER"]), each)))
def test_no_entry_is_a_traceback(value):
    found = line_of(json.dumps(value).encode(), USERS)
    assert found.text.count(b"\n") <= 1
    assert line_of(b"no JSON", USERS) == ("", b"")


@pytest.mark.parametrize("follows", [False, True])
def test_each_entry_is_read_once_over_restarts(book, follows):
    place, got = None, []
    for start in range(0, 30, 10):
        for number in range(start, start + 10):
            book.write(f"A{number:07}: removed")
            book.write("no mail", uid="1000")
        found = book.open(json.loads(json.dumps(place)), follows=follows)
        got += read(found, 10)
        place = found.place()
        found.close()
    assert [line.split()[3] for line in got] == [b"A%07d:" % number for number in range(30)]
    assert place["lost"] == 0


def test_what_comes_while_it_follows_is_read(book):
    found = book.open(follows=True)
    assert found.read() == b""
    for number in range(3):
        book.write(f"A{number}: removed")
        assert len(read(found, 1)) == 1
    found.close()


def test_an_entry_that_is_gone_is_told_and_what_came_behind_it_is_read(book):
    told = []
    for number in range(4):
        book.write(f"A{number}: removed")
    found = book.open()
    assert len(read(found)) == 4
    place = found.place()
    kept = [book.write(f"A{number}: removed") for number in range(4, 6)]
    lines = book.path.read_text().splitlines(keepends=True)
    book.path.write_text("".join(lines[-2:]))
    for lost in (1, 1):
        found = book.open(place, say=told.append)
        assert len(read(found)) == len(kept) and found.place()["lost"] == lost
    assert "the entry that was read last is gone; a stretch of the log may be lost" in told[0]
    again = book.open(found.place(), say=told.append)
    assert read(again) == [] and again.place()["lost"] == 1 and len(told) == 2


def test_to_begin_with_only_what_is_kept_is_read(book):
    book.write("A1: removed", __REALTIME_TIMESTAMP=str((NOW - 1000) * 1_000_000))
    book.write("A2: removed")
    found = book.open(since=NOW - 10)
    assert len(read(found)) == 1 and found.place()["since"] == NOW - 10
    assert len(read(book.open())) == 2


def test_what_is_there_can_be_passed_by(book):
    book.write()
    found = book.open()
    found.to_end()
    assert read(found) == [] and read(book.open(found.place())) == []


@pytest.mark.parametrize("follows", [False, True])
def test_a_journal_that_cannot_be_read_is_told_and_tried_again(book, follows):
    book.write()
    book.status("1")
    found = book.open(follows=follows)
    with pytest.raises(Unavailable, match="the journal: journalctl ended with status 1") as told:
        for _each in range(6000):
            found.read()
            time.sleep(0.01)
    # Who asks once is a person, for whom nobody tries again.
    assert ("it is tried again" if follows else "Run this as root") in str(told.value)
    assert ("Run this as root" if follows else "it is tried again") not in str(told.value)
    book.status("")
    assert len(read(found, 1)) == 1
    found.close()


def test_journalctl_that_is_not_there_is_told():
    with pytest.raises(Unavailable, match="/nowhere/journalctl: No such file"):
        Journal(whose=USERS, command=["/nowhere/journalctl"]).read()


def test_without_postfix_nothing_is_believed(monkeypatch):
    def getpwnam(_name):
        raise KeyError

    monkeypatch.setattr(journal.pwd, "getpwnam", getpwnam)
    with pytest.raises(Trouble, match="the journal: there is no user postfix"):
        journal.users()


def test_a_server_is_followed_by_its_journal(book, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "users", lambda: USERS)
    monkeypatch.setattr(journal, "COMMAND", book.command)
    server = Server(tmp_path, log={"source": "journal"})

    def write(lines: bytes) -> None:
        for line in lines.decode().splitlines():
            tag, said = line.split(" ", 2)[2].split(": ", 1)
            book.write(said, tag.partition("[")[0])

    write(message("A0000001", "u@acme.test", "bounced") + message("A0000002", "v@acme.test", "deferred"))
    server.run()
    server.close()
    server.start()
    write(outcome("A0000002", "v@acme.test", "sent"))
    server.run()
    assert [each[1:3] for each in server.events] == [
        ("hard", "u@acme.test"), ("deferred", "v@acme.test"), ("delivered", "v@acme.test")]
    assert server.counts.totals().lines == {"qmgr": 3, "smtp": 3}
    server.close()
