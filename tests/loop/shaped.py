# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers of the tests' own, each with a receiver that counts, and what the plan says of them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import apart
import breaking
import counting
import lab_world as lab
from counting import MESSAGE, Event, Habits

from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Share, shape
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import many

SENDER = "news@example.us"
PORT = "mailfleet-count"  # of the lab's bridge
LONG = bool(os.environ.get("MAILFLEET_LONG"))
TABLE = LONG or bool(os.environ.get("MAILFLEET_TABLE"))  # whether docs/shaping.md is written
SECONDS = 90 if LONG else 30  # over which a rate is measured, at least
POOL = {
    "name": "rest",
    "addresses": [
        "198.51.100.10",
        "198.51.100.11",
        {"address": "198.51.100.20", "weight": 3},
        {"address": "198.51.100.21", "weight": 1},
    ],
}
WEIGHTS = {"198.51.100.10": 1 / 2, "198.51.100.11": 1 / 2, "198.51.100.20": 3 / 4, "198.51.100.21": 1 / 4}


@dataclasses.dataclass(frozen=True)
class Case:
    """A provider with limits, its receiver's habits, and how much each server gets for it.

    Without limits it is a domain of no provider.
    """

    name: str
    limits: dict
    messages: int = 0
    habits: Habits = Habits()
    recipients: int = 1

    @property
    def domain(self) -> str:
        """What its recipients' addresses end with."""
        return f"{self.name}.sink.example.us"

    @property
    def place(self) -> str:
        """Where its receiver listens."""
        return f"198.51.100.{100 + ALL.index(self)}"

    def count(self, server: str) -> int:
        """How many messages a server gets: where one address has most of the mail, fewer, so that none has more."""
        return self.messages if server == "mta1.example.com" else self.messages * 2 // 3

    @property
    def expected(self) -> int:
        """How many recipients it has at all servers together."""
        return sum(self.count(server) for server in lab.SERVERS) * self.recipients


def enough(rate: float) -> int:
    """How many messages a server needs, so that an address of half its mail sends for long enough at a rate.

    Chance gives an address, or one of its services, less than its share: three standard deviations less at the most.
    """
    least = rate * (SECONDS + 2)
    return 2 * math.ceil(least + 3 * math.sqrt(least))


CASES = (
    Case("rate", {"rate": "1/s"}, enough(1)),
    Case("slowly", {"rate": "20/m"}, enough(1 / 3)),
    Case("together", {"fleet": {"rate": "8/s"}}, enough(2)),
    Case("slow-receiver", {"rate": "1/s"}, enough(0.35), Habits(hold=2.0)),
    Case("recipients", {"rate": "1/s", "recipients": 2}, enough(0.45), recipients=5),
    Case("reloaded", {"rate": "1/s"}, enough(1)),
    Case("connections", {"connections": 2, "messages": 5}, 60, Habits(hold=0.3)),
    Case("few-connections", {"fleet": {"connections": 3}, "messages": 10}, 40, Habits(hold=0.3)),
    Case("busy", {"connections": 2}, 40, Habits(busy=4)),
    Case("later", {"connections": 1, "messages": 4}, 40, Habits(later=4)),
)
RATED = tuple(case for case in CASES if "rate" in case.limits or "rate" in case.limits.get("fleet", {}))
# A provider whose mail waits, a domain that is throttled in the main Postfix by hand, and one that nobody throttles.
BACKLOG = Case("backlog", {"rate": "1/s"})
CONTROL = Case("control", {})
QUICK = Case("quick", {})
ALL = (*CASES, BACKLOG, CONTROL, QUICK)
PROVIDERS = [{"name": case.name, "domains": [case.domain], **case.limits} for case in ALL if case.limits]
RECORDS = [change for case in ALL for change in (
    (case.domain, "MX", [f"10 {case.domain}."]), (case.domain, "A", [case.place]))]


@contextlib.contextmanager
def receivers(folder: Path):
    """The receivers of all cases on addresses of the lab's network; afterwards their events are complete."""
    log = folder / "events"
    addresses = [f"{case.place}/24" for case in ALL]
    told = json.dumps({case.place: dataclasses.asdict(case.habits) for case in ALL})
    certificate, key = (str(lab.RUN / f"tls/mx.gmail.com.{suffix}") for suffix in ("crt", "key"))
    with apart.at_the_bridge(PORT, *addresses) as namespace, log.open("w") as out:
        program = [*namespace.enter, sys.executable, counting.__file__, told, certificate, key]
        process = subprocess.Popen(program, stdout=out)
        try:
            end = time.monotonic() + lab.PATIENCE
            while log.read_text() != "ready\n":
                assert time.monotonic() < end and process.poll() is None, "no receiver listens"
                time.sleep(0.1)
            yield log
        finally:
            process.terminate()
            process.wait(lab.PATIENCE)


def read(log: Path) -> dict[str, list[Event]]:
    """The events so far, by case."""
    found = {case.place: [] for case in ALL}
    for line in log.read_text().rpartition("\n")[0].splitlines()[1:]:  # the last one may be half written
        event = Event(**json.loads(line))
        found[event.place].append(dataclasses.replace(event, recipients=tuple(event.recipients)))
    return {case.name: found[case.place] for case in ALL}


def send(server: str, case: Case, messages: int) -> None:
    """Hand a server messages, each with recipients of its own."""
    lab.ssh(
        server, "smtp-source", "-N", "-s", "2", "-m", str(messages), "-r", str(case.recipients), "-l", "400",
        "-M", "app.test", "-f", SENDER, "-t", f"x-{server}@{case.domain}", "127.0.0.1:25",
    )


def delivered(log: Path, case: Case) -> int:
    """How many recipients of a case have been delivered to."""
    return sum(len(event.recipients) for event in read(log)[case.name] if event.kind == MESSAGE)


def planned(copy: breaking.Copy) -> dict[str, list[Share]]:
    """What the plan says of each case, address by address."""
    variables = {"sending_providers": PROVIDERS, "sending_pools": [POOL],
                 "sending_domains": copy.read()["sending_domains"]}
    hosts = {server: copy.read(f"host_vars/{server}.yml") for server in lab.SERVERS}
    found = collections.defaultdict(list)
    for lane in shape(read_fleet(variables, hosts)).lanes:
        found[lane.provider.name] += lane.shares
    return found


def row(case: Case, events: list[Event], shares: list[Share]) -> tuple[str, str, str]:
    """A row of docs/shaping.md: the setting, what the plan promises, and what was measured."""
    habits = {"hold": "receiver takes {} s a message", "busy": "every {}th connection gets 421",
              "later": "every {}th message gets 451 first"}
    setting = [f"`{json.dumps(case.limits).replace(chr(34), '')[1:-1]}`"]
    setting += [f"{case.recipients} recipients a message"] if case.recipients > 1 else []
    setting += ["reloaded in the middle"] if case.name == "reloaded" else []
    setting += [text.format(value) for name, text in habits.items() if (value := getattr(case.habits, name))]
    promised, measured = [], []
    if case in RATED:
        said = {f"{share.rate(case.habits.hold):.2f}/s" for share in shares}
        promised.append(f"{' or '.join(sorted(said))} an address")
        found = [counting.rate(events, share.member.addresses[0].address, SECONDS) for share in shares]
        rates = sorted(rate for rate in found if rate)
        took = counting.taken(events)
        plan = shares[0].rate(took)
        measured.append(f"{rates[0]:.2f} to {rates[-1]:.2f}/s over {SECONDS} s, in which a message took {took:.2f} s on"
                        f" average (by the plan {plan:.2f}/s)")
    most = counting.most_at_once(events)
    promised.append(f"{many(max(share.connections for share in shares), 'connection')} an address")
    measured.append(f"at most {max(most.values())}")
    if "connections" in case.limits.get("fleet", {}):
        promised.append(f"{case.limits['fleet']['connections']} of the fleet")
        measured.append(f"at most {counting.most_of_all(events)} of the fleet")
    promised.append(f"{many(max(share.messages for share in shares), 'message')} on one")
    measured.append(f"at most {counting.most_a_connection(events)} on one")
    return ", ".join(setting), ", ".join(promised), ", ".join(measured)


def write_table(rows: list[tuple[str, str, str]]) -> None:
    """Put rows into docs/shaping.md in the place of those that stand there of the same settings."""
    path = lab.ROOT / "docs/shaping.md"
    before, begin, rest = path.read_text().partition("<!-- measured: begin -->\n")
    old, end, after = rest.partition("<!-- measured: end -->\n")
    kept = {line.split(" | ")[0]: line for line in old.splitlines()[2:]}
    kept |= {f"| {setting}": f"| {setting} | {promised} | {measured} |" for setting, promised, measured in rows}
    lines = ["| setting | the plan promises | measured |", "| --- | --- | --- |", *kept.values()]
    path.write_text(before + begin + "\n".join(lines) + "\n" + end + after)
