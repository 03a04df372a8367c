# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps caps on a node: what it counts, what it opens and shuts, and when it gives up."""

from __future__ import annotations

import datetime
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import postfix_warmup, warmup_node
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import WAITING, Day
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import Clock, Damaged, State, outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_node import Entry, Failed, Keeper

NOW = 1764000000 + 365 * 86400
TODAY = Clock().day(NOW)
NEW, OLD = "out-198-51-100-11", "out-198-51-100-12"


def member(service: str, caps=None, *, services: int = 1, start: datetime.date = TODAY) -> dict:
    names = [service, *(f"{service}-{number}" for number in range(2, services + 1))]
    warmups = [{"address": "198.51.100.11", "start": str(start), "caps": caps}] if caps else []
    return {"pool": "bulk", "service": service, "services": names, "weight": 1, "warmups": warmups}


def line(status: str = "sent", relay: str = "mx.acme.test[198.51.100.99]:25", to: str = "u@acme.test",
         answer: str = "250 ok") -> str:
    return (f"4dKvRJ1m2Fz9: to=<{to}>, relay={relay}, delay=1.2, delays=0.01/0/0.2/1, dsn=2.0.0, status={status} "
            f"({answer})")


def quoted(local: str) -> str:
    """A local part as RFC 5321 has it and Postfix logs it: in quotes, control characters and line ends shown as "?"."""
    shown = "".join(each if each.isprintable() else "?" for each in local)
    return '"' + re.sub(r'(["\\])', r"\\\1", shown) + '"'


class Node:
    """A home with a Keeper whose programs only take note of what they were told; postmap builds its file."""

    def __init__(self, folder, *members: dict, state: State | None = None) -> None:
        self.folder = folder
        (folder / "acme").mkdir(exist_ok=True)
        self.told: list[list[str]] = []
        self.lanes = {"acme": {"nexthop": "", "members": list(members)}}
        self.keeper = self.again(state or State())
        self.number = 0

    def again(self, state: State) -> Keeper:
        self.keeper = Keeper(self.lanes, state, Clock(), str(self.folder), self.run, self.reload)
        return self.keeper

    def run(self, command: list[str]) -> None:
        self.told.append(command)
        if command[0] == "postmap":
            path = command[1].removeprefix("hash:")
            with open(path, encoding="utf-8") as text, open(f"{path}.db", "w", encoding="utf-8") as built:
                built.write(text.read())

    def reload(self, lane: str) -> None:
        self.told.append(["reload", lane])

    def log(self, message: str = "", count: int = 1, service: str = NEW, moment: float = NOW, user: str = "0") -> None:
        for _each in range(count):
            self.number += 1
            name = f"postfix-acme/{service}/smtp"
            self.keeper.take(Entry(f"s={self.number}", moment, name, message or line(), user))

    @property
    def gate(self) -> dict[str, str]:
        lines = (self.folder / "acme" / "gate.db").read_text().splitlines()
        return dict(each.split(" ", 1) for each in lines)

    @property
    def reloads(self) -> int:
        return self.told.count(["reload", "acme"])


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path, member(NEW, [5, 9]), member(OLD))


class TestLines:
    @pytest.mark.parametrize("message, expected", [
        (line(), "sent"),
        (line("deferred", answer="host said: 451 4.7.1 later"), "deferred"),
        (line("bounced"), "bounced"),
        (line("deferred", relay="none"), ""),
        (line().replace("delay=1.2", "conn_use=2, delay=1.2"), "sent"),
        (line().replace("<u@acme.test>", "<u@acme.test>, orig_to=<v@acme.test>"), "sent"),
        ("4dKvRJ1m2Fz9: from=<a@example.us>, size=300, nrcpt=1 (queue active)", ""),
        (line().replace("delay=1.2", "delay=1e+05"), "sent"),
        (line(to=""), "sent"),
        (line(to="u+a=b'{c}@xn--d-eka.acme.test"), "sent"),
        (line(to="ü@acme.test"), "sent"),
        (line("undeliverable"), ""),
        ("connect to mx.acme.test[198.51.100.99]:25: Connection refused", ""),
        ("", ""),
    ])
    def test_by_example(self, message, expected):
        assert outcome(message) == expected

    @given(st.text(max_size=60), st.sampled_from(["sent", "deferred", "bounced"]), st.text(max_size=60))
    def test_whatever_recipient_and_answer_hold_a_message_that_reached_a_host_counts(self, local, status, answer):
        clean = local.replace("\n", "").replace("\r", "")
        assert outcome(line(status, to=f'"{clean}"@acme.test', answer=answer)) != ""

    @given(st.text(max_size=60), st.sampled_from(["sent", "deferred", "bounced"]), st.text(max_size=60))
    def test_a_recipient_that_is_logged_as_postfix_does_chooses_nothing(self, local, status, answer):
        assert outcome(line(status, to=f"{quoted(local)}@acme.test", answer=answer)) == status

    DECOYS = tuple(f">{line(status, relay=relay).partition('>')[2]}" for status in ("sent", "deferred", "bounced")
                   for relay in ("none", "mx.acme.us[198.51.100.98]:25"))

    @pytest.mark.parametrize("decoy", DECOYS)
    @pytest.mark.parametrize("begin", ["", "a", '"', "\\", '\\"', "a@acme.test", '"@acme.test', '"@a>, orig_to=<a'])
    @pytest.mark.parametrize("relay, status, expected", [
        ("mx.acme.test[198.51.100.99]:25", "bounced", "bounced"), ("none", "deferred", ""),
        ("mx.acme.test[198.51.100.99]:25", "undeliverable", ""),
    ])
    def test_decoys_choose_nothing(self, begin, decoy, relay, status, expected):
        to = f"{quoted(begin + decoy)}@acme.test"
        for message in (
            line(status, relay, to=to),
            line(status, relay, answer=begin + decoy),
            line(status, relay, to=to, answer=begin + decoy),
            line(status, relay, to=f"u@acme.test>, orig_to=<{to}"),
            line(status, relay, to=f"{to}>, orig_to=<{to}", answer=begin + decoy),
        ):
            assert outcome(message) == expected, message

    @pytest.mark.parametrize("decoy", DECOYS)
    def test_what_a_host_said_is_no_outcome(self, decoy):
        assert outcome(f"4dKvRJ1m2Fz9: host mx.acme.test[198.51.100.99] said: 451 to=<a@acme.test{decoy}") == ""

    @pytest.mark.parametrize("decoy", DECOYS)
    def test_an_address_of_another_form_hides_nothing(self, decoy):
        assert outcome(line(to=f" {decoy} @acme.test")) != ""
        assert outcome(line(to=f" {decoy.replace('status=', 'status=un')} @acme.test")) == "sent"

    @given(st.binary(max_size=200))
    def test_what_is_no_entry_is_told(self, junk):
        with pytest.raises(ValueError):
            warmup_node.entry(junk)

    WHOLE = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1764000000500000", "SYSLOG_IDENTIFIER": "x", "MESSAGE": "ok",
             "_UID": "105"}

    def test_an_entry_is_read_and_bytes_that_are_no_text_too(self):
        assert warmup_node.entry(json.dumps(self.WHOLE).encode()) == Entry("s=1", 1764000000.5, "x", "ok", "105")
        found = warmup_node.entry(json.dumps({**self.WHOLE, "MESSAGE": [111, 107, 255]}).encode())
        assert found.message == "ok�"

    @pytest.mark.parametrize("field, at", [("SYSLOG_IDENTIFIER", "name"), ("MESSAGE", "message"), ("_UID", "user")])
    @pytest.mark.parametrize("value", [..., None, ["a", "b"], ["105", "0"], [300], [1.5], {"a": 1}, 7, True, []])
    def test_a_field_of_another_form_is_empty_and_the_entry_has_its_place(self, field, at, value):
        made = {**self.WHOLE, field: value}
        if value is ...:
            del made[field]
        found = warmup_node.entry(json.dumps(made).encode())
        assert (found.cursor, found.moment, getattr(found, at)) == ("s=1", 1764000000.5, "")

    @pytest.mark.parametrize("wrong", [
        {"__CURSOR": None}, {"__CURSOR": 7}, {"__CURSOR": ["s=1"]}, {"__REALTIME_TIMESTAMP": None},
        {"__REALTIME_TIMESTAMP": "later"}, {"__REALTIME_TIMESTAMP": ["1"]}, {"__REALTIME_TIMESTAMP": "9" * 400},
    ])
    def test_an_entry_without_its_place_or_moment_is_none(self, wrong):
        with pytest.raises(ValueError):
            warmup_node.entry(json.dumps({**self.WHOLE, **wrong}).encode())


class TestClock:
    @given(st.integers(0, 2**33), st.sampled_from([(0, 86400), (1764000007, 30)]))
    def test_a_day_begins_where_it_does(self, now, made):
        clock = Clock(*made)
        if abs(now - clock.begin) < 10**6 * clock.length:
            assert clock.begins(clock.day(now)) <= now < clock.begins(clock.day(now) + datetime.timedelta(days=1))

    def test_days_are_those_of_utc(self):
        midnight = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC).timestamp()
        assert [str(Clock().day(midnight + more)) for more in (-1, 0)] == ["2026-11-27", "2026-11-28"]


states = st.builds(
    State, st.text(max_size=20),
    st.dictionaries(st.text(max_size=9), st.dictionaries(st.dates(), st.builds(Day, *[st.integers(0, 9**9)] * 3))),
    st.dictionaries(st.text(max_size=9), st.lists(st.text(max_size=9))), st.none() | st.dates())


class TestState:
    @given(states)
    def test_what_was_written_is_read(self, state):
        assert State.read(state.text) == state

    @given(states, st.data())
    def test_a_file_that_was_cut_off_is_damaged(self, state, data):
        with pytest.raises(Damaged):
            State.read(state.text[:data.draw(st.integers(0, len(state.text) - 3))])

    @pytest.mark.parametrize("text", [
        "", "[]", "null", "{}", '{"version": 1}',
        State().text.replace('"version": 1', '"version": 2'), State().text.replace('""', "7"),
        State(counters={"a": {TODAY: Day(1)}}).text.replace("1,", "-1,", 1).replace("-1,", "1,", 1).replace(
            "    1,", "    -1,"),
        "[" * 10**5,
    ])
    def test_other_files_are_damaged(self, text):
        with pytest.raises(Damaged):
            State.read(text)


class TestKeeper:
    def test_it_opens_and_shuts_before_the_cap_can_be_exceeded(self, node):
        node.keeper.keep(NOW)
        assert node.gate == {NEW: f"{NEW}:", OLD: f"{OLD}:"}
        node.told.clear()
        node.log(count=4)
        node.keeper.keep(NOW)
        assert node.gate[NEW] == f"{NEW}:" and node.told == []
        node.log()
        node.keeper.keep(NOW)
        assert node.gate == {NEW: f"{OLD}:", OLD: f"{OLD}:"}
        assert node.told[1:] == [["reload", "acme"]]

    def test_the_next_day_opens_without_a_reload(self, node):
        node.log(count=5)
        node.keeper.keep(NOW)
        node.told.clear()
        node.keeper.keep(NOW + 86400)
        assert node.gate[NEW] == f"{NEW}:" and node.reloads == 0

    def test_where_there_is_no_warm_address_mail_waits(self, tmp_path):
        alone = Node(tmp_path, member(NEW, [5]))
        alone.log(count=5)
        alone.keeper.keep(NOW)
        assert alone.gate == {NEW: WAITING}

    def test_each_kind_of_attempt_counts_and_no_other_line(self, node):
        for status in ("sent", "deferred", "bounced"):
            node.log(line(status))
        node.log(line("deferred", relay="none"))
        node.log("statistics: max connection rate")
        node.log(service=OLD)
        assert node.keeper.state.counters["acme/" + NEW] == {TODAY: Day(1, 1, 1)}

    def test_lines_that_others_wrote_by_postfixs_name_move_on_and_do_not_count(self, node, capsys):
        keeper = Keeper(node.lanes, State(), Clock(), str(node.folder), node.run, node.reload, trusted=("0", "105"))
        node.keeper = keeper
        for user in ("1000", "", "65534", "1050"):
            node.log(user=user)
        assert keeper.state.cursor == "s=4" and keeper.state.counters == {}
        told = capsys.readouterr().err
        assert told.count("not counted") == 1 and "by user 1000, and Postfix writes as user 0 or 105" in told
        for user in ("105", "0"):
            node.log(user=user)
        assert keeper.state.counters == {"acme/" + NEW: {TODAY: Day(2)}}

    @given(caps=st.integers(1, 30), services=st.integers(1, 12), rounds=st.lists(st.integers(0, 12), max_size=40))
    def test_never_more_than_the_cap_leaves_with_one_message_under_way_in_each_open_service(
            self, tmp_path_factory, caps, services, rounds):
        node = Node(tmp_path_factory.mktemp("node"), member(NEW, [caps], services=services))
        left, under_way = 0, 0
        for logged in rounds:
            # Some that are under way come to the log, and then each open service that has none begins one.
            done = min(logged, under_way)
            under_way, left = under_way - done, left + done
            node.log(count=done)
            node.keeper.keep(NOW)
            opened = len(node.keeper.state.opened["acme"])
            under_way = max(under_way, opened)
            assert left + under_way <= caps
            assert opened or left > caps - services

    def test_with_more_services_than_the_cap_has_messages_some_are_open(self, tmp_path):
        node = Node(tmp_path, member(NEW, [1, 90000], services=3))
        node.keeper.keep(NOW)
        assert set(node.gate.values()) == {f"{NEW}:"}
        node.log()
        node.keeper.keep(NOW)
        assert set(node.gate.values()) == {WAITING}

    def test_a_day_over_a_bound_holds_the_cap(self, tmp_path):
        node = Node(tmp_path, member(NEW, [5, 9]), member(OLD))
        node.log(count=3)
        node.log(line("deferred", answer="451 later"), count=2)
        found = node.keeper.caps("acme", node.lanes["acme"]["members"][0], TODAY + datetime.timedelta(days=1))
        assert found.messages == 5 and "held" in found.reason and "2 deferrals of 5" in found.reason

    def test_shut_lets_nobody_send_and_the_next_start_opens_again(self, node):
        node.keeper.keep(NOW)
        node.keeper.shut()
        assert node.gate[NEW] == f"{OLD}:" and node.reloads == 2
        node.keeper.keep(NOW)
        assert node.gate[NEW] == f"{NEW}:"

    def test_what_was_counted_goes_on_where_it_was_saved(self, node):
        node.log(count=2)
        node.keeper.save()
        node.log(count=2)  # cut off before these were saved
        saved = warmup_node.kept(str(node.folder), Clock())
        assert saved.cursor == "s=2" and saved.counters["acme/" + NEW][TODAY] == Day(2)

    def test_cut_off_between_the_table_and_the_reload_it_does_both_again(self, node):
        node.keeper.keep(NOW)
        node.keeper.save()
        node.log(count=5)

        def dies(lane):
            raise KeyboardInterrupt

        node.keeper.reload = dies
        with pytest.raises(KeyboardInterrupt):
            node.keeper.keep(NOW)
        again = node.again(warmup_node.kept(str(node.folder), Clock()))
        node.number, node.told = 0, []
        node.log(count=5)
        again.keep(NOW)
        assert node.reloads == 1 and node.gate[NEW] == f"{OLD}:"

    def test_one_lane_that_does_not_obey_does_not_keep_the_others_open(self, node):
        node.lanes["last"] = {"nexthop": "", "members": [member("out-198-51-100-13", [5])]}
        (node.folder / "last").mkdir()
        keeper = node.again(State())
        keeper.keep(NOW)

        def refuses(lane):
            if lane == "acme":
                raise Failed("no")

        keeper.reload = refuses
        with pytest.raises(Failed, match="no"):
            keeper.shut()
        assert WAITING in (node.folder / "last" / "gate.db").read_text()

    def test_a_lane_that_hangs_takes_no_time_of_the_others_when_all_is_shut(self, node):
        lanes = {f"lane{number}": {"nexthop": "", "members": [member("out-198-51-100-13", [5])]} for number in range(5)}
        node.lanes |= lanes
        for lane in lanes:
            (node.folder / lane).mkdir()
        node.again(State()).keep(NOW)

        def hangs(command):
            if "/lane4/" not in command[1]:
                warmup_node.run_program(["sleep", "60"], 0.4)
            node.run(command)

        node.keeper.run = hangs
        begun = time.monotonic()
        with pytest.raises(Failed) as caught:
            node.keeper.shut()
        assert time.monotonic() - begun < 1.6
        told = str(caught.value).split("; ")
        assert [each.partition(":")[0] for each in told] == ["acme", "lane0", "lane1", "lane2", "lane3"]
        assert all("timed out after 0.4 seconds" in each for each in told)
        assert WAITING in (node.folder / "lane4" / "gate.db").read_text()

    def test_systemd_waits_longer_for_all_to_be_shut_than_that_waits_for_its_programs(self):
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", postfix_warmup.UNIT, re.MULTILINE)
        assert int(seconds) > warmup_node.HURRY + 1
        assert f"{warmup_node.HURRY} s for its programs" in postfix_warmup.UNIT

    def test_a_table_that_is_no_text_is_written_anew(self, node):
        node.keeper.keep(NOW)
        (node.folder / "acme" / "gate").write_bytes(b"\xff\xfe")
        node.keeper.keep(NOW)
        assert (node.folder / "acme" / "gate").read_text().startswith(f"{NEW} {NEW}:")

    def test_addresses_of_one_helo_name_have_the_least_of_their_caps(self, tmp_path):
        both = member(NEW, [5, 9])
        both["warmups"].append({"address": "2001:db8::11", "start": str(TODAY), "caps": [3]})
        node = Node(tmp_path, both)
        assert node.keeper.caps("acme", both, TODAY).messages == 3
        assert node.keeper.caps("acme", both, TODAY + datetime.timedelta(days=1)).messages == 9


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
        assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("name, signalled", [("master", True), ("sleep", False)])
    def test_a_lane_is_reloaded_by_its_masters_signal_and_nobody_elses(self, tmp_path, name, signalled):
        with subprocess.Popen(["sleep", "60"]) as process:
            for path, text in {"spool/postfix-acme/pid/master.pid": f"{process.pid:>20}\n",
                               f"proc/{process.pid}/comm": f"{name}\n"}.items():
                (tmp_path / path).parent.mkdir(parents=True)
                (tmp_path / path).write_text(text)
            warmup_node.reload_lane("acme", str(tmp_path / "spool"), str(tmp_path / "proc"))
            if not signalled:
                process.kill()
            assert process.wait(10) == (-signal.SIGHUP if signalled else -signal.SIGKILL)
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
