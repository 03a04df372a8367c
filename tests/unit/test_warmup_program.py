# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps caps on a node as systemd runs it: what it reads, and when it gives up."""

from __future__ import annotations

import datetime
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from warming import NEW, OLD, line, member

from ansible_collections.mailfleet.sending.plugins.module_utils import postfix_warmup, warmup_node
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Day
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import Clock, State
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_node import Failed


class TestProgram:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        """A home, and a PATH on which journalctl gives what the file `log` has; the lane does not run."""
        home, programs = tmp_path / "home", tmp_path / "bin"
        home.mkdir()
        programs.mkdir()
        for name, script in {
            "journalctl": 'case "$*" in *--follow*) exit;; *--system*) log=oldest;; *--after-cursor=s=*) log=later;; '
                          f'*--after-cursor=*) exit 1;; *) log=log;; esac; cat {home}/$log',
            "postmap": 'cp "${1#hash:}" "${1#hash:}.db"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setattr(pwd, "getpwnam", {"postfix": SimpleNamespace(pw_uid=105)}.__getitem__)
        day = Clock().day(time.time())
        (home / "acme").mkdir()
        lanes = {"acme": {"nexthop": "", "members": [member(NEW, [5, 9], start=day), member(OLD)]}}
        (home / "wanted.json").write_text(json.dumps({"lanes": lanes}))
        self.log(home, 0)
        for name in ("oldest", "later"):
            (home / name).write_text("")
        return home

    @staticmethod
    def log(home, count: int, user: str = "105") -> None:
        moment = int(time.time() * 1e6)
        (home / "log").write_text("".join(json.dumps({
            "__CURSOR": f"s={number}", "__REALTIME_TIMESTAMP": str(moment), "MESSAGE": line(), "_UID": user,
            "SYSLOG_IDENTIFIER": f"postfix-acme/{NEW}/smtp"}) + "\n" for number in range(count)))

    @staticmethod
    def gate(home) -> str:
        return (home / "acme" / "gate.db").read_text().splitlines()[0].partition(" ")[2]

    def test_it_counts_what_the_log_has_before_it_opens_anything(self, home, capsys):
        self.log(home, 5)
        assert warmup_node.main([], str(home)) == 1
        assert self.gate(home) == f"{OLD}:"
        assert "shut, 5 of 5 left today, day 1 of 2" in capsys.readouterr().err

    def test_it_asks_the_log_who_wrote_a_line_and_counts_nobody_elses(self, home, capsys):
        self.log(home, 5, user="1000")
        assert warmup_node.main([], str(home)) == 1
        assert self.gate(home) == f"{NEW}:"
        assert "by user 1000, and Postfix writes as user 0 or 105" in capsys.readouterr().err
        assert "--output-fields=SYSLOG_IDENTIFIER,MESSAGE,_UID" in warmup_node.show(["x"], "", 0)

    def test_where_it_cannot_know_who_postfix_is_nothing_opens(self, home, capsys, monkeypatch):
        monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)
        assert warmup_node.main([], str(home)) == 1
        assert not (home / "acme" / "gate").exists()
        assert "there is no user postfix" in capsys.readouterr().err

    def test_a_log_that_cannot_be_read_is_told_and_all_is_shut_when_it_ends(self, home, capsys):
        (home / "log").unlink()
        assert warmup_node.main([], str(home)) == 1
        assert "nothing leaves from addresses that are warmed up until this is mended" in capsys.readouterr().err
        assert warmup_node.main(["shut"], str(home)) == 0
        assert self.gate(home) == f"{OLD}:"

    @pytest.mark.parametrize("content", [
        None, "", '{"lanes": {"ac', "[]", "null", "{}", '{"lanes": []}', '{"lanes": {}}', '{"lanes": {"acme": []}}',
        json.dumps({"lanes": {"acme": {"nexthop": "", "members": [member(NEW, [5], start="2026-13-01")]}}}),
        "[" * 10**5,
    ])
    def test_all_waits_where_it_cannot_be_read_what_is_wanted(self, home, capsys, monkeypatch, content):
        warmup_node.main([], str(home))
        (home / "other").mkdir()
        assert self.gate(home) == f"{NEW}:"
        capsys.readouterr()
        (home / "wanted.json").unlink()
        if content is not None:
            (home / "wanted.json").write_text(content)
        reloaded = []
        monkeypatch.setattr(warmup_node, "reload_lane", reloaded.append)
        assert warmup_node.main([], str(home)) == 1
        mend = f"{home}/wanted.json: "
        told = capsys.readouterr().err
        assert mend in told and "run the playbook, which writes it anew; nothing leaves" in told
        assert warmup_node.main(["shut"], str(home)) == 0
        assert mend in capsys.readouterr().err
        assert (home / "acme" / "gate.db").read_text() == (home / "other" / "gate.db").read_text() == ""
        assert sorted(reloaded) == ["acme", "other"]

    def test_what_was_shut_blindly_opens_again_once_it_is_known_what_is_wanted(self, home):
        whole = (home / "wanted.json").read_text()
        warmup_node.main([], str(home))
        (home / "wanted.json").write_text(whole[:40])
        warmup_node.main(["shut"], str(home))
        (home / "wanted.json").write_text(whole)
        warmup_node.main([], str(home))
        assert self.gate(home) == f"{NEW}:"

    def test_where_all_is_shut_programs_have_little_time(self, home, tmp_path, monkeypatch):
        (tmp_path / "bin" / "postmap").write_text("#!/bin/sh\nexec sleep 60\n")
        monkeypatch.setattr(warmup_node, "HURRY", 0.2)
        begun = time.monotonic()
        assert warmup_node.main(["shut"], str(home)) == 1
        assert time.monotonic() - begun < 40

    @pytest.mark.parametrize("name, signalled", [("master", True), ("sleep", False)])
    def test_a_lane_is_reloaded_by_its_masters_signal_and_nobody_elses(self, tmp_path, name, signalled):
        ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # children inherit that it is ignored, as under nohup
        with subprocess.Popen(["sleep", "60"]) as process:
            signal.signal(signal.SIGHUP, ours)
            for path, text in {"spool/postfix-acme/pid/master.pid": f"{process.pid:>20}\n",
                               f"proc/{process.pid}/comm": f"{name}\n"}.items():
                (tmp_path / path).parent.mkdir(parents=True)
                (tmp_path / path).write_text(text)
            warmup_node.reload_lane("acme", str(tmp_path / "spool"), str(tmp_path / "proc"))
            if not signalled:
                process.kill()
            assert process.wait(50) == (-signal.SIGHUP if signalled else -signal.SIGKILL)
        warmup_node.reload_lane("other", str(tmp_path / "spool"))

    @pytest.mark.parametrize("content", [b"garbage\n", b"12 13", b"\xff", b"1" * 5000])
    def test_a_master_that_is_not_known_is_told(self, tmp_path, content):
        path = tmp_path / "postfix-acme" / "pid" / "master.pid"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        with pytest.raises(Failed, match=r"master\.pid: .*restart postfix-acme"):
            warmup_node.reload_lane("acme", str(tmp_path))

    def test_a_program_that_fails_or_hangs_is_told(self):
        with pytest.raises(Failed, match="no such thing"):
            warmup_node.run_program(["sh", "-c", "echo no such thing >&2; exit 1"])
        with pytest.raises(Failed, match="timed out"):
            warmup_node.run_program(["sleep", "60"], 0.1)

    def test_damaged_counters_are_kept_aside_and_nothing_leaves_that_day(self, home, capsys):
        (home / "state.json").write_text('{"version": 1, "cur')
        warmup_node.main([], str(home))
        (aside,) = home.glob("state.json.damaged-*")
        assert aside.read_text() == '{"version": 1, "cur'
        assert self.gate(home) == f"{OLD}:" and "was damaged" in capsys.readouterr().err
        # The next start, on the same day, knows it still.
        warmup_node.main([], str(home))
        assert self.gate(home) == f"{OLD}:"

    @pytest.mark.parametrize("cursor", ["--garbage", "x\0y", "\ud800"])
    def test_a_place_in_the_log_that_is_damaged_is_given_up_once_with_what_was_counted(self, home, capsys, cursor):
        before = State(counters={f"acme/{NEW}": {self.today(): Day(1)}})
        text = json.dumps({**json.loads(before.text), "cursor": cursor})
        (home / "state.json").write_text(text)
        self.log(home, 3)
        warmup_node.main([], str(home))
        (aside,) = home.glob("state.json.damaged-*")
        assert aside.read_text() == text
        state = State.read((home / "state.json").read_text())
        assert (state.cursor, state.counters[f"acme/{NEW}"]) == ("s=2", {self.today(): Day(3)})
        assert self.gate(home) == f"{OLD}:" and "was damaged" in capsys.readouterr().err
        warmup_node.main([], str(home))
        assert len(list(home.glob("state.json.damaged-*"))) == 1 and "was damaged" not in capsys.readouterr().err

    def test_where_the_log_cannot_be_read_at_all_what_was_counted_stays(self, home):
        text = State("--garbage", {f"acme/{NEW}": {self.today(): Day(1)}}).text
        (home / "state.json").write_text(text)
        (home / "log").unlink()
        assert warmup_node.main([], str(home)) == 1
        assert (home / "state.json").read_text() == text and not list(home.glob("state.json.damaged-*"))

    @staticmethod
    def today() -> datetime.date:
        return Clock().day(time.time())

    def begin(self, home, start: int, oldest: int | None) -> None:
        """A member whose start is so many days ago, and a log whose oldest line is."""
        lanes = {"acme": {"nexthop": "", "members": [
            member(NEW, [5, 9], start=self.today() - datetime.timedelta(days=start)), member(OLD)]}}
        (home / "wanted.json").write_text(json.dumps({"lanes": lanes}))
        if oldest is not None:
            moment = int((time.time() - oldest * 86400) * 1e6)
            (home / "oldest").write_text(json.dumps({"__CURSOR": "o", "__REALTIME_TIMESTAMP": str(moment)}) + "\n")

    @pytest.mark.parametrize("start, oldest, told", [
        (1000, 900, "0 of 5 left today, day 1 of 2, begun again: nothing left for 60 days"),
        (20, 30, "0 of 5 left today, day 1 of 2, not counted on: nothing left for 20 days"),
        (20, 19, "0 of 9 left today, day 2 of 2, not counted on: nothing left for 19 days"),
        (20, 10, "0 of any number left today, warm: the schedule is over"),
        (1, None, "0 of 9 left today, day 2 of 2"),
        (0, 5, "0 of 5 left today, day 1 of 2"),
    ])
    def test_days_that_the_log_has_without_mail_are_no_days_with_mail(self, home, capsys, start, oldest, told):
        self.begin(home, start, oldest)
        warmup_node.main([], str(home))
        assert f"{told}\n" in capsys.readouterr().err

    def test_what_a_new_member_sent_before_is_counted_once_where_others_go_on(self, home):
        self.begin(home, 3, 30)
        (home / "state.json").write_text(State("s=9").text)
        self.log(home, 3)
        (home / "later").write_text((home / "log").read_text())
        warmup_node.main([], str(home))
        state = State.read((home / "state.json").read_text())
        start = self.today() - datetime.timedelta(days=3)
        assert (state.cursor, state.counters[f"acme/{NEW}"]) == ("s=2", {start: Day(), self.today(): Day(3)})

    def test_the_package_that_is_laid_down_runs_by_itself(self, home, tmp_path):
        package = tmp_path / "program"
        for path, text in postfix_warmup.sources().items():
            place = package / os.path.relpath(path, postfix_warmup.PROGRAM)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        command = [sys.executable, "-I", "-B", "-c",
                   "import sys; sys.path.insert(0, sys.argv[1]); from mailfleet import warmup_node;"
                   "sys.exit(warmup_node.main(['judge', sys.argv[2]]))", str(package)]
        done = subprocess.run([*command, str(home / "wanted.json")], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        (home / "wrong.json").write_text('{"lanes": {"acme": {}}}')
        wrong = subprocess.run([*command, str(home / "wrong.json")], capture_output=True, text=True, check=False)
        assert wrong.returncode and "KeyError" in wrong.stderr
