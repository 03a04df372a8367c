# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits as receivers see them: what the plan promises, held against what came, for each kind of limit side by side.

Each case is a provider of its own with a receiver that counts; some are slow, greet with 421 or answer 451.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import breaking
import counting
import lab_runs
import lab_world as lab
import pytest
import shaped
from counting import BUSY, LATER, MESSAGE, Event
from shaped import BACKLOG, CASES, CONTROL, QUICK, RATED, SECONDS, WEIGHTS

from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Share

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclasses.dataclass(frozen=True)
class World:
    """The fleet's inventory, the receivers' log, and the rows of docs/shaping.md that come of it."""

    copy: breaking.Copy
    log: Path
    rows: list[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What all receivers saw, the shares of the plan by case, and when what was refused was first asked for again."""

    events: dict[str, list[Event]]
    shares: dict[str, list[Share]]
    asked_again: float


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The fleet with all providers, and their receivers' log; afterwards all is as it was."""
    lab.stand()
    rows: list[tuple[str, str, str]] = []
    folder = tmp_path_factory.mktemp("shaping")
    copy = breaking.copy_of_the_inventory(folder)
    copy.write(sending_providers=shaped.PROVIDERS, sending_pools=[shaped.POOL])
    with lab_runs.changed(*shaped.RECORDS):
        lab_runs.run(inventory=copy.path).ok()
        with shaped.receivers(folder) as log:
            yield World(copy, log, rows)
        for server in lab.SERVERS:
            for name in ("", *(f"-{case.name}" for case in (*CASES, BACKLOG))):
                lab.ssh(server, "postsuper", "-c", f"/etc/postfix{name}", "-d", "ALL")
    if shaped.TABLE:
        shaped.write_table(rows)
    lab.play().ok()


@pytest.fixture(scope="module")
def measured(world):
    """The mail of all cases at once, and what came of it."""
    log = world.log
    with ThreadPoolExecutor(4) as pool:
        both = [(server, case, case.count(server)) for case in CASES for server in lab.SERVERS]
        list(pool.map(lambda each: shaped.send(*each), both))
    later = threading.Timer(SECONDS / 2, reload_in_the_middle)
    later.start()
    wait_for(log, RATED, 6 * SECONDS)
    later.join()
    asked_again = time.time()
    # What was refused is asked for again at once, as Postfix would in its own time, until it is taken.
    wait_for(log, CASES, 6 * SECONDS, ask_again)
    found = Measured(shaped.read(log), shaped.planned(world.copy), asked_again)
    world.rows.extend(shaped.row(case, found.events[case.name], found.shares[case.name]) for case in CASES)
    return found


def wait_for(log: Path, cases, seconds: float, meanwhile=lambda: None) -> None:
    end = time.monotonic() + seconds
    while left := {case.name: n for case in cases if (n := case.expected - shaped.delivered(log, case)) > 0}:
        assert time.monotonic() < end, left
        meanwhile()
        time.sleep(3)


def ask_again() -> None:
    for server in lab.SERVERS:
        for name in ("busy", "later"):
            lab.ssh(server, "postqueue", "-c", f"/etc/postfix-{name}", "-f")


def reload_in_the_middle() -> None:
    for server in lab.SERVERS:
        lab.ssh(server, "systemctl", "reload", "postfix")
        lab.ssh(server, "systemctl", "reload", "mailfleet-lane@reloaded")


@EVERY_CASE
def test_every_recipient_gets_the_message_once(measured, case):
    got = [recipient for event in measured.events[case.name] if event.kind == MESSAGE for recipient in event.recipients]
    assert len(got) == case.expected
    assert len(set(got)) == len(got)


@EVERY_CASE
def test_connections_and_messages_on_one_stay_within_the_limit(measured, case):
    events = measured.events[case.name]
    for share in measured.shares[case.name]:
        most = counting.most_at_once(events).get(share.member.addresses[0].address, 0)
        assert most <= (share.connections or math.inf)
    if "connections" in case.limits:
        assert max(counting.most_at_once(events).values()) == case.limits["connections"], "the limit was never reached"
    whole = case.limits.get("fleet", {}).get("connections", math.inf)
    assert counting.most_of_all(events) <= whole
    assert counting.most_a_connection(events) <= case.limits.get("messages", 1)


def test_connections_are_used_again_under_tls(measured):
    assert counting.most_a_connection(measured.events["connections"]) == 5


@pytest.mark.parametrize("case", RATED, ids=lambda case: case.name)
def test_the_rate_is_what_the_plan_says(measured, case):
    looked_at = set()
    for share in measured.shares[case.name]:
        address = share.member.addresses[0].address
        rate = counting.rate(measured.events[case.name], address, SECONDS)
        if rate is not None:
            looked_at.add(share.member.server)
            promised = share.rate(counting.taken(measured.events[case.name]))
            # The short form runs beside other tests, which take their part of the time between a pause and a delivery.
            least = 0.9 if shaped.LONG else 0.75
            assert least * promised <= rate <= 1.1 * share.rate(case.habits.hold), (address, rate, promised)
    assert looked_at == set(lab.SERVERS), "nobody sent for long enough"


def test_a_message_has_no_more_recipients_than_the_limit(measured):
    counts = {len(event.recipients) for event in measured.events["recipients"] if event.kind == MESSAGE}
    assert max(counts) == 2


def test_a_provider_that_is_busy_now_and_then_still_gets_mail(measured):
    """Nothing but what met a 421 waits: the rest came in the first go, before anything was asked for again."""
    events = measured.events["busy"]
    refused = sum(event.kind == BUSY for event in events)
    came = [event.time for event in events if event.kind == MESSAGE]
    at_once = [time for time in came if time < measured.asked_again]
    assert refused >= 10 and len(at_once) >= 0.6 * len(came), (refused, len(at_once), len(came))


def test_what_is_put_off_comes_later(measured):
    events = measured.events["later"]
    assert sum(event.kind == LATER for event in events) == sum(event.kind == MESSAGE for event in events) // 4


@pytest.mark.parametrize("address", WEIGHTS)
def test_a_pool_spreads_its_mail_by_its_weights(measured, address):
    """Within three standard deviations of a binomial distribution, over all cases that give each address a share.

    What waits while a lane is reloaded is chosen anew. It waits for the address that has most of the mail, and some of
    it then goes to the others: that case is another distribution.
    """
    cases = [case for case in CASES if case.name not in ("few-connections", "recipients", "reloaded")]
    server = next(name for name, own in lab.SERVERS.items() if address[:-1] == own[:-1])
    own = [each for each in WEIGHTS if each[:-1] == address[:-1]]
    counts = collections.Counter(
        event.peer
        for case in cases
        for event in measured.events[case.name]
        if event.kind == MESSAGE
    )
    total = sum(counts[each] for each in own)
    assert total == sum(case.count(server) for case in cases)
    share = WEIGHTS[address]
    assert abs(counts[address] - share * total) <= 3 * math.sqrt(total * share * (1 - share)), counts


# How many messages a queue holds in memory (0: as many as Postfix likes, which is 20,000), and how many wait.
BACKLOGS = [(100, 200), *([(0, 25000)] if shaped.LONG else [])]
SERVER = "mta1.example.com"
QUEUES = ("postfix", f"postfix-{BACKLOG.name}")
# What a guide says: a service for one delivery at a time, a pause, and an entry in the transport table.
BY_HAND = f"""
postconf -M control/unix='control unix - - y - 1 smtp'
postconf -e control_destination_rate_delay=1s \
  transport_maps="inline:{{{{{CONTROL.domain} = control:}}}}, $(postconf -h transport_maps)"
"""


@pytest.fixture(scope="module", params=BACKLOGS, ids=lambda each: f"{each[1]}-waiting")
def backlog(world, measured, request):
    """The world, how many messages a queue holds in memory meanwhile, and a number that is larger."""
    limit, waiting = request.param
    files = ("/etc/postfix/master.cf", *(f"/etc/{name}/main.cf" for name in QUEUES))
    kept = {file: lab.ssh(SERVER, "cat", file) for file in files}
    lab.ssh(SERVER, "sh", "-ec", BY_HAND)
    for name in QUEUES:
        if limit:
            lab.ssh(SERVER, "postconf", "-c", f"/etc/{name}", "-e", f"qmgr_message_active_limit={limit}")
        lab.ssh(SERVER, "postfix", "-c", f"/etc/{name}", "reload")
    yield world, limit or 20000, waiting
    for file, text in kept.items():
        lab.ssh(SERVER, "sh", "-c", f"cat > {file}", stdin=text.encode())
    for name in QUEUES:
        lab.ssh(SERVER, "postsuper", "-c", f"/etc/{name}", "-d", "ALL")
        lab.ssh(SERVER, "postfix", "-c", f"/etc/{name}", "reload")


def delays(log: Path, case: shaped.Case, count: int) -> list[float]:
    """How long other mail takes, one message a second, while and after a server gets so many for a provider.

    Infinite for what did not arrive within 3 s of the last.
    """
    before = len(arrivals(log))
    parts = [min(200, count - done) for done in range(0, count, 200)]
    handed: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(lambda: [shaped.send(SERVER, case, part) for part in parts])
        while len(handed) < 6 or not flood.done():
            shaped.send(SERVER, QUICK, 1)
            handed.append(time.time())
            time.sleep(1)
        flood.result()
    time.sleep(3)
    came = arrivals(log)[before:]
    lost = len(handed) - len(came)
    return [arrived - sent for sent, arrived in zip(handed, came, strict=False)] + [math.inf] * lost


def arrivals(log: Path) -> list[float]:
    return [event.time for event in shaped.read(log)[QUICK.name] if event.kind == MESSAGE]


def held(name: str) -> int:
    """How many messages stand in a queue."""
    folders = " ".join(f"/var/spool/{name}/{queue}" for queue in ("incoming", "active", "deferred"))
    return int(lab.ssh(SERVER, "sh", "-c", f"find {folders} -type f | wc -l"))


def test_a_backlog_beyond_the_active_limit_delays_other_mail_by_less_than_a_second(backlog):
    world, limit, waiting = backlog
    took = delays(world.log, BACKLOG, waiting)
    world.rows.append((
        f"`rate: 1/s`, {waiting:,} messages at once, `qmgr_message_active_limit` {limit:,}",
        "other mail waits less than 1 s", f"{len(took)} other messages: at most {max(took):.2f} s"))
    assert max(took) < 1, took
    assert held(f"postfix-{BACKLOG.name}") > 0.8 * waiting, "the mail does not wait in its lane"
    assert held("postfix") < 10


def test_without_a_lane_the_same_backlog_holds_all_mail(backlog):
    """The control: Postfix as it is, with a pause in a service of its own, and no lane."""
    world, limit, _waiting = backlog
    # Some leave meanwhile; and once its memory is full Postfix takes a message a second, so that many more take long.
    waiting = limit + max(100, limit // 50)
    took = delays(world.log, CONTROL, waiting)
    lost = took.count(math.inf)
    world.rows.append((
        f"`destination_rate_delay = 1s` by hand, no lane, {waiting:,} messages at once,"
        f" `qmgr_message_active_limit` {limit:,}",
        "nothing: Postfix as it is", f"{lost} of {len(took)} other messages had not arrived when all was handed over"))
    assert took[-1] == math.inf
