# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report of what the service has counted: the same as one of the log, which is not read again."""

from __future__ import annotations

import contextlib
import json
import os
import time
from argparse import Namespace

import pytest
from agent_world import config
from log_world import START, LogWorld
from mailfleet.cli import main
from mailfleet.cli_log import files_of
from mailfleet.maillog.counts import Counts
from mailfleet.maillog.files import JOURNAL, is_plain, of_log
from mailfleet.maillog.view import load


@pytest.fixture
def followed(tmp_path):
    """A configuration and a log that was followed to its end."""
    log = tmp_path / "mail.log"
    log.write_bytes(b"".join(LogWorld(every=20).lines(3000)))
    place = config(tmp_path, log={"file": str(log), "counts": str(tmp_path / "log.db"), "queues": []})
    assert main(["--config", place, "log", "follow", "--once"]) == 0
    return place, log


def report(capsys, place: str, *words: str) -> dict:
    assert main(["--config", place, "log", "report", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_is_that_of_the_log(followed, tmp_path, capsys):
    place, log = followed
    counted, read = report(capsys, place), report(capsys, place, str(log))
    assert counted.pop("files") == [str(tmp_path / "log.db")] and read.pop("files") == [str(log)]
    assert list(counted.pop("counted")) == counted["hosts"] and read.pop("counted") == {}
    assert counted["totals"]["rows"] and counted == read
    assert main(["--config", place, "log", "report"]) == 0
    assert "delivered" in capsys.readouterr().out


def test_it_says_when_that_was_last(followed, tmp_path, capsys):
    """Else who follows nothing any more would tell that all is quiet."""
    place, log = followed
    with contextlib.closing(Counts(str(tmp_path / "log.db"))) as counts:
        last = time.strftime("%Y-%m-%d %H:%M", time.gmtime(counts.load().at))
    for words, told in (((), True), (("--since", "1h"), True), ((str(log),), False)):
        assert main(["--config", place, "log", "report", *words]) == 0
        said = f"Counted by mailfleet-log.service, last at {last} UTC."
        assert (said in capsys.readouterr().out.splitlines()) is told
    for path in (log, *tmp_path.glob("log.db*")):
        path.unlink()
    assert main(["--config", place, "log", "follow", "--once"]) == 0
    capsys.readouterr()
    assert main(["--config", place, "log", "report"]) == 0
    assert "Counted by mailfleet-log.service, not one line yet: see" in capsys.readouterr().out


def test_what_was_not_counted_yet_is_not_told(followed, capsys):
    place, log = followed
    before = report(capsys, place)
    log.write_bytes(log.read_bytes() * 2)
    assert report(capsys, place) == before


def test_of_some_hours_it_is_that_of_the_log(followed, capsys):
    place, log = followed
    words = ("--since", "2025-12-31T21:00+00:00", "--until", "2025-12-31T22:00+00:00")
    counted, read = report(capsys, place, *words), report(capsys, place, str(log), *words)
    assert {each[0] for each in counted["totals"]["hours"]} == {START + 3600}
    assert counted["totals"]["rows"] == read["totals"]["rows"] and counted["totals"]["hours"]


@pytest.mark.parametrize("words", [("--provider", "local"), ("--domain", "gmail.com")])
def test_what_it_does_not_know_is_read_from_the_log_that_it_follows(followed, capsys, words):
    place, log = followed
    told = report(capsys, place, *words)
    assert told["files"] == [str(log)] and told["totals"]["rows"] != report(capsys, place)["totals"]["rows"]


def test_where_nobody_follows_the_log_it_is_read(followed, tmp_path, monkeypatch, capsys):
    _place, log = followed
    monkeypatch.setattr("mailfleet.cli_log.of_log", lambda: [str(log)])
    settings = json.loads((tmp_path / "agent.json").read_text())
    del settings["log"]
    (tmp_path / "agent.json").write_text(json.dumps(settings))
    assert report(capsys, str(tmp_path / "agent.json"))["files"] == [str(log)]


@pytest.mark.parametrize(("log", "wanted"), [
    ({"source": "journal"}, [JOURNAL]), ({"source": "file", "file": "{0}/own.log"}, ["{0}/own.log.1", "{0}/own.log"])])
def test_the_log_that_is_followed_is_the_one_that_is_read_whatever_else_was_left(tmp_path, log, wanted):
    for age, name in enumerate(("own.log", "own.log.1", "mail.log")):
        (tmp_path / name).write_text("x\n")
        os.utime(tmp_path / name, (START - age,) * 2)
    (tmp_path / "agent.json").write_text(json.dumps({"log": log}).replace("{0}", str(tmp_path)))
    known = load(str(tmp_path / "agent.json"))
    assert files_of(Namespace(files=[]), known) == [each.format(tmp_path) for each in wanted]
    assert files_of(Namespace(files=["-"]), known) == ["-"]


def test_without_a_file_it_is_the_journal(tmp_path, monkeypatch):
    monkeypatch.setattr("mailfleet.maillog.files.FILE", str(tmp_path / "mail.log"))
    monkeypatch.setattr("mailfleet.maillog.files.shutil.which", lambda name: f"/usr/bin/{name}")
    assert of_log(str(tmp_path / "mail.log")) == [JOURNAL] and not is_plain(JOURNAL)
    (tmp_path / "mail.log").write_text("x\n")
    assert of_log(str(tmp_path / "mail.log")) == [str(tmp_path / "mail.log")]
