# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix on a machine that is so busy that everything happens late, by a clock of the tests' own."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import postfix_control
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_control import Control, ControlError

MASTER, QMGR, AGENT = 10, 11, 12


class Busy:
    """A machine: what programs say, and which processes there are, both by the time."""

    def __init__(self, monkeypatch, folder) -> None:
        self.now, self.folder, self.stopped = 0.0, folder, []
        self.reloaded = self.handed = self.begun = self.ended = 0.0
        self.elsewhere = ""
        clock = SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(postfix_control, "time", clock)
        monkeypatch.setattr(postfix_control, "SYSTEMD", str(folder))
        monkeypatch.setattr(postfix_control, "_status", self.status)
        monkeypatch.setattr(postfix_control, "_stopped", self.stop)
        monkeypatch.setattr(postfix_control.Control, "_children", lambda _self, name="": [
            pid for pid in (QMGR, AGENT) if name in ("", self.status(pid)["Name"])])
        monkeypatch.setattr(postfix_control.Control, "open_deliveries",
                            lambda _self: int(self.begun <= self.now < self.ended))
        (folder / "pid").mkdir()
        (folder / "pid" / "master.pid").write_text(f"{MASTER}\n")
        self.control = Control(self.run, "/etc/postfix", str(folder))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, command: list[str]) -> SimpleNamespace:
        """A program's status and what it says; of systemctl, when it was called."""
        said = ""
        if command[0] == "journalctl" and self.now >= self.reloaded:
            said = "reload -- version 3.7.11\n"
        elif command[0] == "postconf":
            said = f"{self.elsewhere}\n"
        elif command[0] == "systemctl":
            self.restarted = self.now
        return SimpleNamespace(status=0, out=said, err="")

    def status(self, pid: int) -> dict[str, str]:
        name = {MASTER: "master", QMGR: "qmgr", AGENT: "smtp"}.get(pid)
        waits = pid == AGENT and self.handed <= self.now < self.begun
        return {"Name": name, "State": "R (running)" if waits else "S (sleeping)"} if name else {}

    @contextlib.contextmanager
    def stop(self, pids: list[int]):
        self.stopped.append(pids)
        yield


@pytest.fixture
def busy(monkeypatch, tmp_path):
    return Busy(monkeypatch, tmp_path)


def test_a_reload_that_takes_long_is_waited_for(busy):
    busy.reloaded = 12.0
    busy.control.reload()
    assert 12 <= busy.now < 12.2


def test_where_nobody_would_say_that_it_was_done_a_reload_is_not_waited_for_long(busy):
    busy.reloaded, busy.elsewhere = 1000.0, "/var/log/postfix.log"
    busy.control.reload()
    assert 3 <= busy.now < 3.2


def test_a_message_that_was_handed_out_and_is_not_begun_yet_is_not_sent_twice(busy):
    """Its agent has no processor for a second: it has not locked the message's file when the queue manager stops."""
    busy.handed, busy.begun, busy.ended = 0.0, 1.0, 4.0
    busy.control.restart(60)
    assert busy.restarted >= 4 and set(map(tuple, busy.stopped)) == {(QMGR,)}


def test_where_nothing_is_under_way_a_restart_is_at_once(busy):
    busy.control.restart(60)
    assert busy.restarted < 0.2


def test_who_never_rests_keeps_no_restart_away(busy):
    """Then what was seen is believed."""
    busy.handed, busy.begun = 0.0, 1000.0
    busy.control.restart(60)
    assert busy.restarted < postfix_control.BEGUN + 0.5


def test_a_delivery_that_does_not_end_keeps_a_restart_away(busy):
    busy.begun, busy.ended = 0.0, 1000.0
    with pytest.raises(ControlError, match="1 deliveries were still open after 5 s"):
        busy.control.restart(5)
