# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much may leave from a new address, where the rest goes, and what the inventory says of it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils import warmup
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import IDLE, LEAST, WAITING, Day, cap, gate
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_schedules import DEFAULT, SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
START = datetime.date(2026, 11, 2)
CAPS = (50, 100, 250, 500, 1000)
GOOD, BAD = Day(sent=40), Day(sent=40, bounced=10)

schedules = st.lists(st.integers(1, 10**6), min_size=1, max_size=20).map(sorted)
fine = st.builds(Day, st.integers(1, 10**6))
any_day = st.builds(Day, *[st.integers(0, 400)] * 3)


def on(day: int) -> datetime.date:
    """The day that is so many behind the start."""
    return START + datetime.timedelta(days=day)


def days(*found: Day) -> dict[datetime.date, Day]:
    return {on(number): each for number, each in enumerate(found)}


class TestCap:
    @given(schedules, st.integers(0, 40))
    def test_without_counters_it_is_the_schedules_step(self, schedule, day):
        expected = schedule[day] if day < len(schedule) else None
        assert cap(START, schedule, on(day)).messages == cap(START, schedule, on(day), {}).messages == expected

    @given(schedules, st.lists(any_day, max_size=60))
    def test_it_is_never_above_the_schedules_step(self, schedule, found):
        for day in range(len(found) + 1):
            step = schedule[day] if day < len(schedule) else None
            messages = cap(START, schedule, on(day), days(*found[:day])).messages
            assert step is None or messages is not None and messages <= step

    @given(schedules, st.lists(fine, max_size=30))
    def test_it_never_falls_where_mail_leaves_and_no_bound_is_exceeded(self, schedule, found):
        caps = [cap(START, schedule, on(day), days(*found)).messages or 10**9 for day in range(len(found) + 1)]
        assert caps == sorted(caps)

    @given(schedules, st.lists(any_day, max_size=40), st.data())
    def test_what_was_counted_today_or_later_does_not_change_todays(self, schedule, found, data):
        day = data.draw(st.integers(0, len(found)))
        before, whole = days(*found[:day]), days(*found)
        assert not before or cap(START, schedule, on(day), before) == cap(START, schedule, on(day), whole)

    @given(schedules, st.lists(st.sampled_from([GOOD, BAD]), max_size=30))
    def test_each_day_that_was_over_a_bound_is_one_step_less(self, schedule, found):
        good = [each == GOOD for each in found]
        # Behind the end of the schedule nothing is held any more.
        done = 0
        for each in good:
            done += each or done >= len(schedule)
        expected = schedule[done] if done < len(schedule) else None
        assert cap(START, schedule, on(len(found)), days(*found)).messages == expected

    @given(schedules, st.lists(fine, min_size=1, max_size=25), st.integers(IDLE, 2 * IDLE))
    def test_idle_for_long_it_begins_at_the_first_step_again(self, schedule, found, idle):
        counters = days(*found)
        assert cap(START, schedule, on(len(found) + idle), counters).messages == schedule[0]
        later = {**counters, on(len(found) + idle): GOOD}
        expected = schedule[1] if len(schedule) > 1 else None
        assert cap(START, schedule, on(len(found) + idle + 1), later).messages == expected

    @given(schedules, st.lists(fine, min_size=1, max_size=25), st.integers(0, IDLE - 1))
    def test_idle_for_less_it_stays(self, schedule, found, idle):
        here, later = (cap(START, schedule, on(len(found) + more), days(*found)).messages for more in (0, idle))
        assert here == later

    def test_what_was_before_the_first_counter_counts_as_the_schedule_says(self):
        assert cap(START, CAPS, on(3), {on(3): Day()}) == (500, "day 4 of 5")

    def test_a_start_long_ago_costs_no_more_than_what_was_counted(self):
        asked = []

        class Counters(dict):
            def get(self, day, default=None):
                asked.append(day)
                return super().get(day, default)

        first = datetime.date(1, 1, 1)
        for counters in ({on(3): Day()}, {on(4): Day()}, {on(2): GOOD, on(3): GOOD}):
            assert cap(first, CAPS, on(3), Counters(counters)).messages is None
        assert cap(first, CAPS, first + datetime.timedelta(days=2), Counters({on(3): GOOD})).messages == CAPS[2]
        assert asked == [on(2)]

    @pytest.mark.parametrize("found, over", [
        (Day(sent=9, bounced=1), ""),
        (Day(sent=49, deferred=1), ""),
        (Day(sent=48, deferred=2), "2 deferrals of 50, over 0.5 %"),
        (Day(sent=LEAST - 1, deferred=1), ""),
        (Day(sent=LEAST - 6, bounced=6), ""),
        (Day(sent=LEAST - 7, bounced=7), "7 bounces of 200, over 3 %"),
        (Day(sent=9949, deferred=51), "51 deferrals of 10000, over 0.5 %"),
        (Day(sent=9950, deferred=50), ""),
        (Day(bounced=10), "10 bounces of 10, over 3 %"),
    ])
    def test_bounds(self, found, over):
        assert found.over == over

    @pytest.mark.parametrize("day, counters, reason", [
        (0, days(Day()), "day 1 of 5"),
        (2, days(GOOD, BAD), "day 2 of 5, held: 2026-11-03 had 10 bounces of 50, over 3 %"),
        (2, days(GOOD), "day 2 of 5, not counted on: nothing left for 1 day"),
        (IDLE + 2, days(GOOD, GOOD), "day 1 of 5, begun again: nothing left for 30 days"),
        (5, days(*[GOOD] * 5), "warm: the schedule is over"),
        (-1, {}, "begins on 2026-11-02"),
    ])
    def test_the_reason(self, day, counters, reason):
        assert cap(START, CAPS, on(day), counters).reason == reason


def member(service: str, *, services: int = 1, weight: int = 1, warms: bool = False, pool: str = "bulk") -> dict:
    names = [service, *(f"{service}-{number}" for number in range(2, services + 1))]
    return {"pool": pool, "service": service, "services": names, "weight": weight, "warmups": [{}] if warms else []}


members = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4), st.integers(1, 3), st.booleans()), min_size=1, max_size=6,
).map(lambda found: [member(f"out-{at}", services=services, weight=weight, warms=warms, pool=pool)
                     for at, (pool, services, weight, warms) in enumerate(found)])


class TestGate:
    @given(members, st.lists(st.integers(0, 4), min_size=6, max_size=6), st.sampled_from(["", "acme.test"]))
    def test_everything_that_the_choice_may_say_has_its_place_in_its_pool(self, found, counts, nexthop):
        opened = {each["service"]: count for each, count in zip(found, counts) if each["warmups"]}
        able = {each["service"]: each["services"][:opened.get(each["service"], 9)] for each in found}
        entries = gate(found, nexthop, opened)
        of = {name: each for each in found for name in each["services"]}
        assert set(entries) == set(of)
        for service, result in entries.items():
            pool = [each for each in found if each["pool"] == of[service]["pool"]]
            if not any(able[each["service"]] for each in pool):
                assert result == WAITING
                continue
            taker, _colon, behind = result.partition(":")
            assert behind == nexthop and of[taker] in pool and taker in able[of[taker]["service"]]
            if able[of[service]["service"]]:
                assert of[taker] is of[service] and (taker == service or service not in able[of[service]["service"]])
            else:
                assert not of[taker]["warmups"] or all(each["warmups"] for each in pool)

    def test_warm_members_share_by_their_weights(self):
        found = [member("new", services=6, warms=True), member("a", weight=2), member("b")]
        takers = list(gate(found, "", {"new": 0}).values())[:6]
        assert [takers.count(name) for name in ("a:", "b:")] == [4, 2]


def mistakes(warmup: object, helo: str = "mta1.example.com", today: datetime.date | None = START) -> dict[str, str]:
    """The mistakes, by what stands behind the path of the address."""
    address = {"address": "198.51.100.10", "helo": helo, "warmup": warmup}
    with pytest.raises(Mistakes) as caught:
        read_fleet({"sending_domains": [{"name": "example.com"}]}, {"mta1": {"sending_addresses": [address]}},
                   today=today)
    assert all(each.path.startswith("mta1: sending_addresses[0].") for each in caught.value.mistakes)
    return {each.path.partition("].")[2]: f"{each.found} | {each.expected} | {each.mend}"
            for each in caught.value.mistakes}


def read(warmup: object, today: datetime.date | None = START):
    address = {"address": "198.51.100.10", "helo": "mta1.example.com", "warmup": warmup}
    made = read_fleet({"sending_domains": [{"name": "example.com"}]}, {"mta1": {"sending_addresses": [address]}},
                      today=today)
    return made.servers[0].addresses[0].warmup


class TestInventory:
    @pytest.mark.parametrize("start", [START, "2026-11-02"])
    def test_the_default_serves(self, start):
        found = read({"start": start})
        assert (found.start, found.caps) == (START, SCHEDULES[DEFAULT].caps)

    def test_a_schedule_by_name_and_one_of_ones_own(self):
        assert read({"start": START, "schedule": "brisk"}).caps == SCHEDULES["brisk"].caps
        assert read({"start": START, "schedule": [10, 10, "20"]}).caps == (10, 10, 20)

    def test_an_address_without_it_is_warm(self):
        assert read(None) is None

    @pytest.mark.parametrize("value, path, words", [
        ("2026-11-02", "warmup", "a mapping with start"),
        ({}, "warmup.start", "nothing | a value | add start"),
        ({"start": START, "begin": 1}, "warmup.begin", "one of start, schedule"),
        ({"start": "2026-11-03"}, "warmup.start", "a day that has begun (in UTC it is 2026-11-02)"),
        ({"start": "2026-11-31"}, "warmup.start", "a day such as 2026-11-20"),
        ({"start": "yesterday"}, "warmup.start", "a day such as 2026-11-20"),
        ({"start": 20261120}, "warmup.start", "a day such as 2026-11-20"),
        ({"start": datetime.datetime(2026, 11, 2, tzinfo=datetime.UTC)}, "warmup.start", "a day such as 2026-11-20"),
        ({"start": START, "schedule": "gental"}, "warmup.schedule",
         "a shipped schedule (gentle, brisk, steep), or a list of messages a day | did you mean gentle?"),
        ({"start": START, "schedule": 50}, "warmup.schedule", "a shipped schedule"),
        ({"start": START, "schedule": []}, "warmup.schedule", "a cap for one day at least"),
        ({"start": START, "schedule": [0]}, "warmup.schedule[0]", "0 | a whole number from 1 to"),
        ({"start": START, "schedule": [50, 2.5]}, "warmup.schedule[1]", "2.5 | a whole number"),
        ({"start": START, "schedule": [50, True]}, "warmup.schedule[1]", "True | a whole number"),
        ({"start": START, "schedule": [50, 100, 70]}, "warmup.schedule[2]", "70 | at least 100, as on a day before"),
    ])
    def test_mistakes(self, value, path, words):
        found = mistakes(value)
        assert list(found) == [path] and words in found[path]

    def test_all_are_told_at_once(self):
        found = mistakes({"start": "2027-01-01", "schedule": [50, 0, 100, 10, "x"]}, helo="a b")
        assert list(found) == ["helo", "warmup.start", "warmup.schedule[1]", "warmup.schedule[3]", "warmup.schedule[4]"]

    def test_without_a_day_no_start_lies_behind_it(self):
        assert read({"start": "2036-01-01"}, today=None).start == datetime.date(2036, 1, 1)


class TestSchedules:
    def test_each_could_stand_in_an_inventory_and_has_its_source(self):
        for name, schedule in SCHEDULES.items():
            assert read({"start": START, "schedule": list(schedule.caps)}).caps == schedule.caps, name
            assert schedule.source.confidence in ("published", "community", "anecdotal")
            assert schedule.source.date >= "2026"

    def test_no_day_has_more_than_thrice_the_one_before(self):
        for schedule in SCHEDULES.values():
            assert all(later <= 3 * sooner for sooner, later in zip(schedule.caps, schedule.caps[1:]))

    def test_they_are_documented_as_they_are(self):
        specs = yaml.safe_load((ROOT / "roles/sending/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
        said = specs["options"]["sending_addresses"]["options"]["warmup"]["options"]["schedule"]
        assert said["default"] == DEFAULT
        told = re.findall(r"V\((\w+)\) (?:goes )?from ([\d,]+) to ([\d,]+) in (\d+)", said["description"])
        assert told == [(name, f"{each.caps[0]:,}", f"{each.caps[-1]:,}", str(len(each.caps)))
                        for name, each in SCHEDULES.items()]


def test_the_source_that_runs_on_nodes_imports_the_standard_library_only():
    source = Path(warmup.__file__).read_text()
    assert re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE) == ["__future__", "datetime", "typing"]
