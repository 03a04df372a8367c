# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a log: by hours, then by days, for a while; and nothing of an address that is to be forgotten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from agent_world import DAY, NOW
from followed_log import Server, came, message, outcome, server, stamped
from mailfleet.cli import main
from mailfleet.errors import Unavailable
from mailfleet.maillog import counts
from mailfleet.maillog.counts import FORGOTTEN, HOURLY, without
from mailfleet.maillog.follower import by_hour
from mailfleet.store import Damaged

__all__ = ["server"]
HOUR = 3600


def periods(server: Server) -> list[tuple[int, int]]:
    return server.counts.rows("SELECT begin, ends FROM totals ORDER BY begin")


def test_counts_are_kept_by_the_hour_of_the_log(server):
    first = NOW // HOUR * HOUR
    for number, at in enumerate((first - 5 * HOUR, first - 5 * HOUR + 3599, first - 2 * HOUR, first + 1)):
        server.write(message(f"A{number:07}", f"u{number}@acme.test", "sent", at=at))
    server.run()
    assert periods(server) == [(first + hours * HOUR, first + (hours + 1) * HOUR) for hours in (-5, -2, 0)]
    assert [server.counts.totals(first - 5 * HOUR, first - 5 * HOUR + 1).total(),
            server.counts.totals(first - 4 * HOUR, first).total(), server.counts.totals(first).total(),
            server.counts.totals().total()] == [2, 1, 1, 4]
    server.write(message("A0000009", "u@acme.test", "sent", at=first + 2))
    server.run()
    assert len(periods(server)) == 3 and server.counts.totals(first).total() == 2


def test_older_hours_become_days_and_what_is_too_old_goes(server):
    days = (100, 89, 40, 40, 9, 7, 0)
    for number, age in enumerate(days):
        server.write(message(f"A{number:07}", f"u{number}@acme.test", "sent", at=NOW - age * DAY + number * 60))
    server.run()
    whole = server.counts.totals()
    server.counts.tidy(NOW, 90)
    lengths = [ends - begin for begin, ends in periods(server)]
    assert lengths == [DAY, DAY, DAY, HOUR, HOUR]
    assert server.counts.totals().total() == whole.total() - 1 == 6
    # Pictures still have the hours.
    assert sorted(server.counts.totals().hours) == sorted(whole.hours)[1:]
    server.counts.tidy(NOW + 2 * HOURLY, 90)
    server.counts.tidy(NOW + 2 * HOURLY, 90)
    assert [ends - begin for begin, ends in periods(server)] == [DAY] * 4
    assert server.counts.totals().total() == 5


def test_sums_never_go_back(server):
    server.write(message("A0000001", "u@acme.test", "sent"), message("A0000002", "v@acme.test", "bounced"))
    server.run()
    before = server.counts.sums()
    assert before["outcomes"] == {("other", "", "delivered", "default"): 1,
                                  ("other", "user-unknown", "bounced", "default"): 1}
    assert before["lines"] == {("qmgr",): 4, ("smtp",): 2}
    server.counts.tidy(NOW + 1000 * DAY, 90)
    assert server.counts.totals().total() == 0 and server.counts.sums() == before
    server.write(message("A0000003", "v@acme.test", "bounced"))
    server.run()
    assert server.counts.sums()["outcomes"]["other", "user-unknown", "bounced", "default"] == 2


def test_sums_have_few_rows_whatever_services_are_called(server, monkeypatch):
    monkeypatch.setattr(counts, "MOST_SUMS", 5)
    for number in range(20):
        server.write(stamped("A1: x", tag=f"postfix/x{number}"), outcome("A1", "u@acme.test", "sent").replace(
            b"postfix/smtp", f"postfix/s{number}/smtp".encode()))
        server.run()
    found = server.counts.sums()
    assert len(found["unknown"]) == len(found["outcomes"]) == 6
    assert found["unknown"]["other",] == 15 and sum(found["unknown"].values()) == 20
    assert found["outcomes"]["other", "other", "other", "other"] == 15 and sum(found["outcomes"].values()) == 20


@pytest.mark.parametrize("change", ["UPDATE totals SET totals = '{}'", "UPDATE totals SET totals = 'x'",
                                    "UPDATE place SET place = '{'"])
def test_counts_that_are_damaged_are_told(server, change):
    server.write(message("A0000001", "u@acme.test", "sent"))
    server.run()
    with server.counts.transaction():
        server.counts.run(change)
    server.close()
    server.start()
    server.write(message("A0000002", "u@acme.test", "sent"))
    with pytest.raises(Damaged, match="log.db: what it has of the log cannot be read: .*Move .*log.db away"):
        server.run()


def test_counts_that_are_no_database_may_be_moved_away(tmp_path):
    (tmp_path / "log.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match="log.db: file is not a database; .*Move .*log.db away, with .*log.db-wal "):
        counts.Counts(str(tmp_path / "log.db")).load()


def test_a_block_is_parted_by_hours_in_both_forms_of_time_stamps():
    for lines in ([b"Nov 28 13:59:59 a\n", b"Nov 28 14:00:00 b\n", b"Nov 28 14:59:00 c\n", b"Nov 29 14:00:00 d\n"],
                  [b"2026-11-28T13:59:59Z a\n", b"2026-11-28T14:00:00Z b\n", b"2026-11-28T14:59:00Z c\n",
                   b"2026-11-29T14:00:00Z d\n"]):
        assert list(by_hour(b"".join(lines))) == [lines[0], lines[1] + lines[2], lines[3]]
        assert list(by_hour(lines[1] + lines[2])) == [lines[1] + lines[2]]
    for odd in (b"x\n", b"\n", b"\n\n", b"x\ny\n", b"Nov 28 13\nNov 28 14\n"):
        assert b"".join(by_hour(odd)) == odd


def everything(server: Server) -> str:
    names = (server.settings.log.counts + ending for ending in ("", "-wal"))
    return b"".join(Path(each).read_bytes() for each in names if os.path.exists(each)).decode("latin-1").lower()


def test_an_address_is_forgotten_in_counts_and_open_messages(server, capsys, tmp_path):
    said = ("host mx1.acme.test[192.0.2.1] said: 450 4.1.1 <{to}>: {to} and xu@acme.test are odd (in reply to RCPT TO "
            "command)")
    for number, to in enumerate(("U@acme.test", "w@acme.test")):
        server.write(message(f"A{number:07}", to, "deferred", said, "4.1.1"))
    server.run()
    before = server.counts.totals()
    server.close()
    assert "u@acme.test" in everything(server).replace("xu@acme.test", "")
    assert main(["--config", str(tmp_path / "agent.json"), "forget", "U@acme.test"]) == 0
    assert "2 of what this host counted in its mail log named it, and do no more" in capsys.readouterr().out
    left = everything(server)
    assert "u@acme.test" not in left.replace("xu@acme.test", "") and "w@acme.test" in left and FORGOTTEN in left
    after = server.counts.totals()
    assert after.rows == before.rows and after.hours == before.hours and after.samples != before.samples
    assert main(["--config", str(tmp_path / "agent.json"), "forget", "U@acme.test"]) == 0
    assert "0 of what this host" in capsys.readouterr().out


def test_who_follows_does_not_write_back_what_was_forgotten(server):
    """It has the address in its memory, and reads on from what is committed."""
    server.write(message("A0000001", "u@acme.test", "deferred"))
    server.run()
    assert "u@acme.test" in everything(server)
    assert server.counts.forget("u@acme.test") == 2
    assert "u@acme.test" not in everything(server)
    server.write(message("A0000002", "w@acme.test", "sent"))
    server.run()
    server.write(message("A0000003", "w@acme.test", "sent"))
    server.run()
    assert sum(server.counts.totals().lines.values()) == len(server.log.lines)
    server.close()
    assert "u@acme.test" not in everything(server)


@pytest.mark.parametrize(("value", "wanted"), [
    ("u@acme.test", FORGOTTEN), ("<U@Acme.TEST>: unknown", f"<{FORGOTTEN}>: unknown"),
    ("xu@acme.test u@acme.test.example -u@acme.test u@acme.tests", None), ("u@acme.test.", f"{FORGOTTEN}."),
    ("u@acme.test,u@acme.test", f"{FORGOTTEN},{FORGOTTEN}"), ("550-u@acme.test- no", f"550-{FORGOTTEN}- no"),
    ("u@acme.test-x.example u@acme.te", None), ("u@acme.test_", f"{FORGOTTEN}_"),
    ("x" * 488 + " <u@acme.tes", "x" * 488 + f" <{FORGOTTEN}"), ("x" * 496 + " xu@", None)])
def test_an_address_is_taken_out_of_a_text_and_no_other(value, wanted):
    text = json.dumps({"a": [[value, 1]], value: None})
    found = json.loads(without(text, "u@acme.test"))
    assert found == ({"a": [[wanted, 1]], wanted: None} if wanted else json.loads(text))


def test_an_address_beyond_ascii_is_taken_out_however_it_is_kept():
    for kept in ("jürgen@müller.test", "jürgen@müller.test".encode().decode("latin-1")):
        assert json.loads(without(json.dumps([kept]), "jürgen@müller.test")) == [FORGOTTEN]


def test_nothing_is_committed_where_something_else_was_meanwhile(server):
    server.write(came("A0000001"), outcome("A0000001", "u@acme.test", "sent"), stamped("A0000001: removed"))
    server.run()
    known = server.counts.load()
    totals = server.counts.totals()
    assert server.counts.commit(known.number - 1, {}, b"", [(0, totals)], NOW) is None
    assert server.counts.load() == known and server.counts.totals() == totals
