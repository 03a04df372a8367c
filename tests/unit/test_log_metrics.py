# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The counts as Prometheus reads them, and what waits in the queues."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time

import pytest
from agent_world import NOW
from followed_log import Server, message, server
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.cli_log_follow import Teller
from mailfleet.event import clean
from mailfleet.maillog import metrics, queues
from mailfleet.maillog.queues import Depth, Queues, ask
from mailfleet.maillog.view import View

__all__ = ["server"]

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?)")


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What the text format (0.0.4) says, read strictly: each family once, its help and type before its samples."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    assert text.endswith("\n") and "\r" not in text
    family, types = "", {}
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family, told = re.fullmatch(rf"# HELP ({NAME}) (\S.*)", line).groups()
            assert family not in found and not re.search(r"\\(?![\\n])", told)
            found[family] = {}
        elif line.startswith("# TYPE "):
            name, types[family] = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge)", line).groups()
            assert name == family and not found[family]
            assert family.endswith("_total") == (types[family] == "counter")
        else:
            name, inside, value = SAMPLE.fullmatch(line).groups()
            assert name == family and family in types
            labels, rest = [], inside or ""
            while rest:
                one = LABEL.match(rest)
                labels.append((one[1], one[2].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")))
                rest = rest[one.end():]
            assert len({each[0] for each in labels}) == len(labels) and tuple(labels) not in found[family]
            found[family][tuple(labels)] = float(value)
    assert all(found.values())
    return found


def told(server: Server, **more):
    plain = {"lost": 0, "cut": 0, "behind": 0, "committed": NOW, "now": NOW + 1, "waiting": False, "depth": None}
    return parsed(metrics.text(server.counts.sums(), **plain | more))


def test_counts_are_told_by_provider_reason_outcome_and_address(tmp_path):
    server = Server(tmp_path, maillog={"providers": {"acme": {"domains": ["acme.test"]}}})
    server.write(message("A0000001", "u@acme.test", "sent"), message("A0000002", "v@acme.test", "sent"),
                 message("A0000003", "w@other.test", "bounced"), b"Nov 28 13:00:00 mta1 postfix/smtp[1]: what?\n")
    server.run()
    found = told(server, lost=1, cut=2, behind=3)
    outcomes = {tuple(value for _name, value in labels): many
                for labels, many in found["mailfleet_log_outcomes_total"].items()}
    assert outcomes["acme", "", "delivered", "default"] == 2 and sum(outcomes.values()) == 3
    assert [name for name, _value in next(iter(found["mailfleet_log_outcomes_total"]))] == [
        "provider", "reason", "outcome", "address"]
    assert found["mailfleet_log_lines_total"][(("service", "qmgr"),)] == 6
    assert found["mailfleet_log_unknown_lines_total"] == {(("service", "smtp"),): 1}
    assert [found[f"mailfleet_log_{name}"][()] for name in (
        "lost_stretches_total", "cut_lines_total", "behind_bytes", "committed_timestamp_seconds",
        "written_timestamp_seconds", "waiting")] == [1, 2, 3, NOW, NOW + 1, 0]
    assert not [name for name in found if "queue" in name]
    server.close()


def test_no_recipient_and_no_token_is_told(server):
    for number in range(50):
        path = server.token(f"u{number}@acme.test")
        server.write(message(f"A{number:07}", f"u{number}@acme{number}.test", "bounced", sender=path))
    server.run()
    text = metrics.text(server.counts.sums(), lost=0, cut=0, behind=0, committed=0, now=0, waiting=True, depth=Depth())
    assert "@" not in text and "b+" not in text and "acme" not in text and len(text.splitlines()) < 40
    assert "committed" not in text  # nothing is known of it


TEXT = st.text(max_size=5) | st.text('\\"\n{}=,', max_size=150)


@given(st.lists(st.tuples(TEXT, TEXT, st.just("x"), TEXT), max_size=5), st.integers(0, 1 << 62))
def test_whatever_a_label_is_the_text_is_read_back(names, many):
    sums = {"outcomes": dict.fromkeys(names, many)}
    plain = {"lost": 0, "cut": 0, "behind": 0, "committed": 0, "now": 0, "waiting": False, "depth": None}
    found = parsed(metrics.text(sums, **plain)).get("mailfleet_log_outcomes_total", {})
    assert {tuple(value for _name, value in labels) for labels in found} == {
        tuple(clean(each, metrics.MOST_LABEL) for each in values) for values in sums["outcomes"]}


def test_a_file_is_there_whole_or_not_at_all_and_for_everybody(tmp_path):
    path, stop, seen = tmp_path / "mailfleet.prom", threading.Event(), set()
    metrics.write(str(path), "0" * 5000)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and os.listdir(tmp_path) == ["mailfleet.prom"]

    def look():
        while not stop.is_set():
            text = path.read_text()
            seen.add((len(text), len(set(text))))
            looks.release()

    thread, looks = threading.Thread(target=look), threading.Semaphore(0)
    thread.start()
    for number in range(100):
        metrics.write(str(path), str(number % 10) * 5000)
    assert looks.acquire(timeout=60)
    stop.set()
    thread.join()
    assert seen == {(5000, 1)}


def test_what_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        metrics.write(str(tmp_path / "mailfleet.prom"), "\ud800")
    assert os.listdir(tmp_path) == []


def queue(state: str, came: int, *recipients: tuple[str, str]) -> str:
    return json.dumps({"queue_name": state, "queue_id": "A1", "arrival_time": came, "message_size": 1, "forced_expire":
                       False, "sender": "news@example.com",
                       "recipients": [{"address": address} | ({"delay_reason": why} if why else {})
                                      for address, why in recipients]}) + "\n"


def program(folder, text: str) -> str:
    path = folder / "postqueue"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


VIEW = View.of({"providers": {"google": {"domains": ["gmail.com"], "mx": ["google.com"]}}})


def test_queues_are_counted_by_state_and_provider_over_instances(tmp_path):
    (tmp_path / "main").write_text(
        queue("active", NOW, ("u@gmail.com", "")) + queue("incoming", NOW) + queue("corrupt", NOW, ("x@acme.test", ""))
        + queue("deferred", NOW - 50, ("v@gmail.com", ""), ("w@acme.test", "")))
    (tmp_path / "lane").write_text(
        queue("deferred", NOW - 99, ("x@hosted.test", "host aspmx.l.Google.com[192.0.2.3] said: 421 later")))
    depth = ask([str(tmp_path / "main"), str(tmp_path / "lane")], VIEW, program(tmp_path, '[ "$3" = -j ] && cat "$2"'))
    assert depth.messages == {"incoming": 1, "active": 1, "deferred": 2, "hold": 0}
    assert depth.recipients == {("active", "google"): 1, ("deferred", "google"): 2, ("deferred", "other"): 1}
    assert (depth.oldest, depth.failed) == (NOW - 99, [])


@pytest.mark.parametrize("text", ["echo no JSON", "echo '[]'", "echo '{}'", "exit 69", "exec sleep 60", "exec yes '{'"])
def test_an_instance_that_does_not_say_is_unknown(tmp_path, text):
    began = time.monotonic()
    depth = ask(["/etc/postfix"], VIEW, program(tmp_path, text), timeout=0.3)
    assert depth.failed == ["/etc/postfix"] and sum(depth.messages.values()) == 0 and time.monotonic() - began < 30


def test_a_program_that_is_not_there_is_unknown(tmp_path):
    assert ask(["/etc/postfix"], VIEW, str(tmp_path / "none")).failed == ["/etc/postfix"]


def test_what_is_unknown_is_not_told_as_nothing(server):
    found = told(server, depth=Depth(failed=["/etc/postfix"]))
    assert found["mailfleet_log_queue_unknown"][()] == 1
    assert [name for name in found if "queue" in name] == ["mailfleet_log_queue_unknown"]
    depth = Depth(recipients={("active", "google"): 3}, oldest=NOW)
    depth.messages["active"] = 2
    found = told(server, depth=depth)
    assert found["mailfleet_log_queue_messages"] == {(("state", state),): 2.0 * (state == "active")
                                                     for state in queues.STATES}
    assert found["mailfleet_log_queue_recipients"] == {(("state", "active"), ("provider", "google")): 3}
    assert found["mailfleet_log_queue_oldest_deferred_timestamp_seconds"] == {(): NOW}
    assert "mailfleet_log_queue_oldest_deferred_timestamp_seconds" not in told(server, depth=Depth())


def test_queues_are_asked_beside_once_a_minute(monkeypatch):
    asked, now = [], [100.0]
    monkeypatch.setattr(queues.time, "monotonic", lambda: now[0])
    found = Queues(["/etc/postfix"], VIEW, lambda folders, _view: asked.append(folders) or Depth(at=now[0]))
    for _each in range(3):
        found.look()
        found.wait()
    assert asked == [["/etc/postfix"]] and found.depth == Depth(at=100)
    now[0] += queues.EVERY
    found.look()
    found.wait()
    assert len(asked) == 2


def test_a_file_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path, monkeypatch, capsys):
    server = Server(tmp_path, log={"metrics": str(tmp_path / "none" / "mailfleet.prom")})
    server.write(message("A0000001", "u@acme.test", "sent"))
    server.run()
    teller = Teller(server.settings, server.follower, lambda: NOW)
    for _each in range(2):
        teller.tell()
    assert capsys.readouterr().err.count("cannot be written") == 1
    (tmp_path / "none").mkdir()
    teller.tell()
    found = parsed((tmp_path / "none" / "mailfleet.prom").read_text())
    assert sum(found["mailfleet_log_outcomes_total"].values()) == 1
    assert found["mailfleet_log_behind_bytes"] == {(): 0}
    server.close()
