# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps caps on a node: what it opens and shuts, and when."""

from __future__ import annotations

import datetime
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warming import NEW, NOW, OLD, TODAY, line, member

from ansible_collections.mailfleet.sending.plugins.module_utils import postfix_warmup, warmup_node
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import WAITING, Day
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import Clock, Entry, State
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_node import Failed, Keeper


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

        together = threading.Barrier(5, timeout=60)  # of one after another none would come through

        def hangs(command):
            if "/lane4/" not in command[1]:
                together.wait()
                warmup_node.run_program(["sleep", "60"], 0.4)
            node.run(command)

        node.keeper.run = hangs
        with pytest.raises(Failed) as caught:
            node.keeper.shut()
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
