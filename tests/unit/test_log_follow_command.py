# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``mailfleet log follow``, and the settings that it runs with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from agent_world import config, mistakes_of, settings_in
from followed_log import message, outcome
from mailfleet import cli, cli_log_follow, events
from mailfleet.cli import main
from mailfleet.maillog import follower
from mailfleet.maillog.counts import Counts
from mailfleet.maillog.totals import Totals
from mailfleet.settings import load
from mailfleet.settings_log import EVENTS
from mailfleet.store import open_store
from rotated_log import Log

PACKAGE = Path(cli.__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path):
    """A configuration whose log is in the same folder."""
    return config(tmp_path, log={"file": str(tmp_path / "mail.log"), "counts": str(tmp_path / "log.db"), "queues": [],
                                 "metrics": str(tmp_path / "mailfleet.prom")})


def known(tmp_path) -> tuple[int, int]:
    """How many events and lines are committed."""
    settings = load(str(tmp_path / "agent.json"))
    counts, store = Counts(settings.log.counts), open_store(settings)
    many = len(events.after(store, 0, 1000)), sum(counts.totals().lines.values())
    counts.close()
    store.close()
    return many


def test_what_is_there_is_followed_to_its_end(place, tmp_path, capsys):
    log = Log(tmp_path)
    for start in range(3):
        for number in range(20):
            log.write(message(f"A{start}{number:06}", f"u{number}@acme.test", "sent"))
        log.rotate()
    for _again in range(2):
        assert main(["--config", place, "log", "follow", "--once"]) == 0
    assert capsys.readouterr().err == ""
    assert known(tmp_path) == (60, 180)
    labels = 'provider="other",reason="",outcome="delivered",address="default"'
    assert f"mailfleet_log_outcomes_total{{{labels}}} 60\n" in (tmp_path / "mailfleet.prom").read_text()
    log.close()


def test_more_than_a_batch_is_followed_to_its_end(place, tmp_path, monkeypatch):
    monkeypatch.setattr(follower, "BATCH", 100)
    monkeypatch.setattr("mailfleet.maillog.follow.BLOCK", 1000)
    log = Log(tmp_path)
    for number in range(50):
        log.write(message(f"A{number:07}", f"u{number}@acme.test", "sent"))
    assert main(["--config", place, "log", "follow", "--once"]) == 0
    assert known(tmp_path) == (50, 150)
    log.close()


def test_once_tells_what_does_not_answer(place, tmp_path, capsys):
    (tmp_path / "mail.log").write_bytes(message("A0000001", "u@acme.test", "sent"))
    os.mkdir(tmp_path / "mailfleet.db")
    assert main(["--config", place, "log", "follow", "--once"]) == 4
    assert "the log waits" in capsys.readouterr().err
    os.rmdir(tmp_path / "mailfleet.db")
    assert main(["--config", place, "log", "follow", "--once"]) == 0
    found = json.loads(Path(place).read_text())
    found["log"]["file"] = str(tmp_path / "none" / "mail.log")
    Path(place).write_text(json.dumps(found))
    assert main(["--config", place, "log", "follow", "--once"]) == 4
    told = capsys.readouterr().err
    assert "none: No such file or directory; expected the folder of the log. Let the agent's user read it" in told


def test_the_service_follows_and_ends_in_order_when_it_is_told_to(place, tmp_path):
    log = Log(tmp_path)
    service = subprocess.Popen([sys.executable, "-m", "mailfleet", "--config", place, "log", "follow"],
                               env={**os.environ, "PYTHONPATH": str(PACKAGE)}, stderr=subprocess.PIPE)
    try:
        for number in range(3):
            log.write(message(f"A{number:07}", "u@acme.test", "deferred"))
            end = time.monotonic() + 60
            while known(tmp_path)[0] <= number and time.monotonic() < end:
                time.sleep(0.05)
            log.write(outcome(f"A{number:07}", "u@acme.test", "deferred"))
            log.rotate()
    finally:
        service.send_signal(signal.SIGTERM)
        told = service.communicate(timeout=60)[1]
    assert (service.returncode, told) == (0, b"")
    assert known(tmp_path)[0] == 3
    assert main(["--config", place, "log", "follow", "--once"]) == 0
    assert known(tmp_path) == (3, 9)
    log.close()


def test_a_file_of_metrics_is_written_now_and_then(place, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(cli_log_follow.time, "monotonic", lambda: now[0])
    settings = settings_in(tmp_path, log={"counts": str(tmp_path / "log.db"), "queues": [],
                                          "metrics": str(tmp_path / "mailfleet.prom")})
    made = follower.Follower(settings, Counts(settings.log.counts), open_store(settings), lambda: None)
    teller = cli_log_follow.Teller(settings, made)
    written = []
    monkeypatch.setattr(cli_log_follow.metrics, "write", lambda *_what: written.append(now[0]))
    for _each in range(40):
        teller.look()
        now[0] += 1
    assert written == [100, 115, 130]


def test_what_is_too_old_goes_by_the_command_and_by_the_service(place, tmp_path, monkeypatch, capsys):
    settings = load(place)
    counts = Counts(settings.log.counts)

    def old() -> int:
        return counts.totals().total()

    def fill() -> None:
        found = Totals()
        found.count(("other", "default", "delivered", "", "delivered", "recipient"), 3600, 1)
        assert counts.commit(counts.load().number, {}, b"", [(3600, found)], 3600) and old() == 1

    fill()
    assert main(["--config", place, "tidy"]) == 0 and old() == 0
    fill()

    class Rounds:
        """A service that is told to stop in its third round."""

        def __init__(self) -> None:
            self.many = 0

        def __call__(self, _seconds: float) -> bool:
            self.many += 1
            return self.many > 2

    monkeypatch.setattr(cli_log_follow, "Stop", Rounds)
    assert main(["--config", place, "log", "follow"]) == 0 and old() == 1
    monkeypatch.setattr(cli_log_follow.upkeep, "FIRST", 0)
    assert main(["--config", place, "log", "follow"]) == 0 and old() == 0
    counts.close()


def test_settings_have_defaults_that_serve(tmp_path):
    log = settings_in(tmp_path).log
    assert (log.source, log.file, log.events, log.metrics) == ("file", "/var/log/mail.log", EVENTS, "")
    assert log.queues == ("/etc/postfix",) and log.view.domains == {}
    log = settings_in(tmp_path, log={"source": "journal", "events": ["bounced"], "queues": []},
                      maillog={"providers": {"acme": {"domains": ["acme.test"]}}}).log
    assert (log.source, log.events, log.queues) == ("journal", ("bounced",), ())
    assert log.view.domains == {"acme.test": "acme"}


@pytest.mark.parametrize(("changes", "told"), [
    ({"log": {"source": "syslog"}}, "log.source: 'syslog'; expected one of file, journal"),
    ({"log": {"events": ["rejected"]}}, "log.events: 'rejected'; expected one of delivered, deferred, bounced, exp"),
    ({"log": {"file": "mail.log"}}, "log.file: 'mail.log'; expected an absolute path"),
    ({"log": {"queues": ["postfix"]}}, "log.queues: 'postfix'; expected absolute paths of Postfix' configuration"),
    ({"log": {"metric": "/x"}}, "log.metric: no such setting; expected metrics"),
    ({"maillog": {"providers": {"a": {"domains": ["?"]}}}}, "maillog.providers.a.domains[0]: '?'"),
])
def test_what_is_wrong_in_the_settings_is_told(tmp_path, changes, told):
    assert told in mistakes_of(tmp_path, **changes)
