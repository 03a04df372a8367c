# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps addresses to the caps of their warm-up on a node, between the runs of a playbook.

It follows the mail log, counts what leaves from them, and writes for each lane the table behind the choice at random:
where a cap is reached, mail goes to warm addresses, or waits. Postfix sees by itself that the table changed. Only when
something is shut, the lane is told to look again at what it has chosen already. All is shut where the program ends.

It runs on nodes, with the standard library alone. MAILFLEET_DAY shortens days for tests: their begin and length.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import Cap, Day, cap, gate
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_counts import (
    Clock,
    Damaged,
    Entry,
    State,
    entry,
    outcome,
    put,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup_log import Failed, oldest, read, show, writers

HOME = "/var/lib/mailfleet/warmup"
SPOOL = "/var/spool"
WANTED = "wanted.json"
KEPT = "state.json"
SAVE = 15  # seconds after which what was counted is on the disk at the latest; what was not is counted again
PATIENCE = 60  # seconds that a program has
# Where all is shut, systemd ends it after TimeoutStopSec of the unit, a python3 and the last file among that.
HURRY = 3
BEHIND = 60  # days of the log that are counted where no counters are left


def _read(path: str) -> str | None:
    try:
        # A table that is no text is one that differs; a process may have any bytes for a name.
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def run_program(command: list[str], seconds: float = PATIENCE) -> None:
    """Run a program; raises Failed where it fails, or takes longer than so many seconds."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command, capture_output=True, text=True, errors="replace", check=False, timeout=seconds,
            stdin=subprocess.DEVNULL
        )
    except subprocess.SubprocessError as error:
        raise Failed(str(error)) from error
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")


def reload_lane(lane: str, spool: str = SPOOL, processes: str = "/proc") -> None:
    """Do what ``postfix reload`` does, which would need more rights: tell the lane's master(8), where it runs.

    systemd would do it too, for those only who may do everything (CAP_SYS_ADMIN). Raises Failed where it is not known
    who that is.
    """
    path = f"{spool}/postfix-{lane}/pid/master.pid"
    try:
        pid = int(_read(path) or 0)
    except ValueError as error:
        raise Failed(f"{path}: {error}, where the number of a process was expected; restart postfix-{lane}") from error
    # A file that outlived its master may name anybody.
    if pid and _read(f"{processes}/{pid}/comm") == "master\n":
        os.kill(pid, signal.SIGHUP)


@dataclasses.dataclass
class Keeper:
    """The lanes of a node with what was counted.

    ``run`` runs a program, ``reload`` has a lane's queue manager look anew at what it has; both raise Failed.
    ``trusted`` are the users whose lines count, by their numbers.
    """

    lanes: t.Mapping[str, t.Mapping[str, t.Any]]
    state: State
    clock: Clock = Clock()
    home: str = HOME
    run: t.Callable[[list[str]], None] = run_program
    reload: t.Callable[[str], None] = reload_lane
    trusted: t.Collection[str] = ("0",)
    dirty: bool = False
    doubted: bool = False

    def __post_init__(self) -> None:
        self.known = {
            f"postfix-{lane}/{service}/smtp": f"{lane}/{member['service']}"
            for lane, member in self._warming() for service in member["services"]
        }

    @property
    def since(self) -> int:
        """From when on the log has what has to be counted where nothing was yet."""
        starts = [datetime.date.fromisoformat(each["start"]) for _lane, member in self._warming()
                  for each in member["warmups"]]
        today = self.clock.day(time.time())
        return self.clock.begins(max(min(starts, default=today), today - datetime.timedelta(days=BEHIND)))

    @property
    def fresh(self) -> list[str]:
        """The names in the log of those of whom nothing was counted yet."""
        return [name for name, key in self.known.items() if not self.state.counters.get(key)]

    def begin(self, names: t.Collection[str], moment: float) -> None:
        """Know of names in the log from when on nothing but what was counted left: since the log's oldest moment."""
        first = max(self.clock.day(moment), self.clock.day(self.since))
        for lane, member in self._warming():
            key = f"{lane}/{member['service']}"
            if any(self.known[name] == key for name in names):
                start = min(datetime.date.fromisoformat(each["start"]) for each in member["warmups"])
                self.state.add(key, max(start, first))
                self.dirty = True

    def take(self, found: Entry) -> None:
        """Count a line of the log, where Postfix wrote it."""
        self.state.cursor, self.dirty = found.cursor, True
        if found.name not in self.known or not (result := outcome(found.message)):
            return
        if found.user in self.trusted:
            self.state.add(self.known[found.name], self.clock.day(found.moment), result)
        elif not self.doubted:
            self.doubted = True  # whoever writes such lines writes many
            say(f"a line of {found.name} is not counted: it is by user {found.user or 'unknown'}, and Postfix writes "
                f"as user {' or '.join(sorted(self.trusted))}")

    def keep(self, now: float) -> None:
        """Let send who may at a moment, and nobody else."""
        today = self.clock.day(now)
        for lane, member in self._warming():
            if today not in self.state.counters.get(f"{lane}/{member['service']}", {}):
                self.state.add(f"{lane}/{member['service']}", today)
                self.dirty = True
        for lane in self.lanes:
            opened = {member["service"]: self._open(lane, member, today) for _lane, member in self._warming(lane)}
            self._set(lane, opened, today)

    def shut(self) -> None:
        """Let nobody send, in whatever lane that can be done; raises Failed where it cannot in all of them."""
        today = self.clock.day(time.time())

        def one(lane: str) -> str:
            try:
                self._set(lane, {}, today)
            except (Failed, OSError) as error:
                return f"{lane}: {error}"
            return ""

        # All at once: a lane that has to be waited for takes none of the time that the others have.
        with ThreadPoolExecutor(max(1, len(self.lanes))) as lanes:
            wrong = [told for told in lanes.map(one, self.lanes) if told]
        if wrong:
            raise Failed("; ".join(wrong))

    def caps(self, lane: str, member: t.Mapping[str, t.Any], today: datetime.date) -> Cap:
        """The cap of a member: the least of its addresses, since the log does not say which of them a message took."""
        if self.state.closed == today:
            return Cap(0, "the counters were damaged, so nothing leaves today")
        counted = self.state.counters.get(f"{lane}/{member['service']}")
        found = [cap(datetime.date.fromisoformat(each["start"]), each["caps"], today, counted)
                 for each in member["warmups"]]
        return min(found, key=lambda each: sys.maxsize if each.messages is None else each.messages)

    def save(self) -> None:
        """Put what was counted on the disk, and how far."""
        put(os.path.join(self.home, KEPT), self.state.text)
        self.dirty = False

    def _open(self, lane: str, member: t.Mapping[str, t.Any], today: datetime.date) -> int:
        """How many services of a member may send."""
        services = len(member["services"])
        most = self.caps(lane, member, today).messages
        if most is None:
            return services
        # Each of them may have one message under way that the log does not have yet, and pauses for a second behind it.
        services = min(services, max(1, most // 2))
        counted = self.state.counters.get(f"{lane}/{member['service']}", {}).get(today, Day())
        return services if counted.messages + services <= most else 0

    def _set(self, lane: str, opened: t.Mapping[str, int], today: datetime.date) -> None:
        """Write a lane's table, and where something is shut that was open, have the lane look at it."""
        wanted = self.lanes[lane]
        entries = gate(wanted["members"], wanted["nexthop"], opened)
        text = "".join(f"{key} {value}\n" for key, value in entries.items())
        path = os.path.join(self.home, lane, "gate")
        sending = sorted(service for member in wanted["members"] if member["warmups"]
                         for service in member["services"][:opened.get(member["service"], 0)])
        before = self.state.opened.get(lane)
        if _read(path) != text or not os.path.exists(f"{path}.db"):
            put(f"{path}.next", text)
            self.run(["postmap", f"hash:{path}.next"])
            # The table first: were we cut off in between, the text would still differ, and all be done again.
            os.replace(f"{path}.next.db", f"{path}.db")
            os.replace(f"{path}.next", path)
        if before != sending:
            if before is None or set(before) - set(sending):
                self.reload(lane)
            self.state.opened[lane] = sending
            self.dirty = True
            for _lane, member in self._warming(lane):
                told = self.caps(lane, member, today)
                count = self.state.counters.get(f"{lane}/{member['service']}", {}).get(today, Day()).messages
                most = "any number" if told.messages is None else told.messages
                addresses = ", ".join(each["address"] for each in member["warmups"])
                now = "open" if opened.get(member["service"]) else "shut"
                say(f"{lane}: {addresses} {now}, {count} of {most} left today, {told.reason}")

    def _warming(self, only: str = "") -> list[tuple[str, t.Mapping[str, t.Any]]]:
        return [(lane, member) for lane, wanted in self.lanes.items() if only in ("", lane)
                for member in wanted["members"] if member["warmups"]]


def catch_up(keeper: Keeper) -> None:
    """Count what the log has by now; raises Failed where it cannot be read.

    Of members of whom nothing was counted yet it is read from as far back as it goes. A day without lines there is one
    on which nothing left from them.
    """
    state, fresh, last = keeper.state, keeper.fresh, 0.0
    if fresh and state.cursor:
        cursor = state.cursor
        for found in read(show(fresh, "", keeper.since)):
            keeper.take(found)
            last = found.moment
        state.cursor = cursor
    for found in read(show(keeper.known, state.cursor, keeper.since)):
        state.cursor = found.cursor
        if found.name not in fresh or found.moment > last:
            keeper.take(found)
    if fresh:
        keeper.begin(fresh, oldest())


def begun(lanes: t.Mapping[str, t.Any], clock: Clock, home: str) -> Keeper:
    """A keeper who has counted what the log has; raises Failed where it cannot be read.

    Where it can be read from its begin only, and not from the place that was kept, that place is damaged.
    """
    trusted = writers()
    keeper = Keeper(lanes, kept(home, clock), clock, home, trusted=trusted)
    cursor = keeper.state.cursor
    try:
        catch_up(keeper)
    except (Failed, ValueError) as error:
        if not cursor or keeper.state.cursor != cursor:
            raise
        keeper = Keeper(lanes, State(closed=clock.day(time.time())), clock, home, trusted=trusted)
        catch_up(keeper)
        aside(home, error)
    return keeper


def follow(keeper: Keeper) -> None:
    """Count what comes to the log, and keep the caps; it ends by an error only."""
    command = [*show(keeper.known, keeper.state.cursor, keeper.since), "--follow", "--no-tail"]
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as reader:
        pipe = t.cast("t.IO[bytes]", reader.stdout)
        os.set_blocking(pipe.fileno(), False)
        rest, saved = b"", time.monotonic()
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
            stack.callback(reader.kill)
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                now = time.time()
                tomorrow = keeper.clock.begins(keeper.clock.day(now) + datetime.timedelta(days=1))
                if selector.select(min(SAVE, max(0.01, tomorrow - now))):
                    found = os.read(pipe.fileno(), 1 << 20)
                    if not found:
                        raise Failed("journalctl ended, so the log can no longer be read")
                    *lines, rest = (rest + found).split(b"\n")
                    for line in lines:
                        keeper.take(entry(line))
                opened = {lane: list(names) for lane, names in keeper.state.opened.items()}
                keeper.keep(time.time())
                if keeper.dirty and (opened != keeper.state.opened or time.monotonic() - saved >= SAVE):
                    keeper.save()
                    saved = time.monotonic()


def kept(home: str, clock: Clock) -> State:
    """What was counted before; damaged counters are put aside, and nothing leaves on that day."""
    path = os.path.join(home, KEPT)
    try:
        with open(path, encoding="utf-8") as file:
            return State.read(file.read())
    except FileNotFoundError:
        return State()
    except (Damaged, UnicodeDecodeError) as error:
        aside(home, error)
        return State(closed=clock.day(time.time()))


def aside(home: str, error: Exception) -> None:
    """Keep damaged counters under another name."""
    path = os.path.join(home, KEPT)
    beside = f"{path}.damaged-{int(time.time())}"
    os.replace(path, beside)
    say(f"{path} was damaged ({error}); it is kept as {beside}. Nothing leaves today from addresses that are warmed "
        "up; what was counted before is counted again as far as the log goes")


def ready() -> None:
    """Tell systemd that all tables are as they must be (sd_notify(3))."""
    if place := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(place.replace("@", "\0", 1) if place.startswith("@") else place)
            notify.send(b"READY=1")


def say(text: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def wanted(path: str, clock: Clock) -> dict[str, t.Any]:
    """The lanes that are to be kept, as ``Keeper`` takes them; raises Failed where a file does not say them."""
    try:
        with open(path, encoding="utf-8") as file:
            lanes = json.load(file)["lanes"]
        keeper = Keeper(lanes, State(), clock)
        if not keeper.known or keeper.since < 0:
            raise ValueError("no address that warms up since 1970")
        for lane in lanes.values():
            gate(lane["members"], lane["nexthop"], {})
    except (OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise Failed(f"{path}: {error!r}, where lanes with their members were expected; run the playbook, which writes "
                     "it anew") from error
    return t.cast("dict[str, t.Any]", lanes)


def shut(home: str, clock: Clock) -> None:
    """Let nobody send from an address that is warmed up; raises Failed where that cannot be done in all lanes."""
    try:
        lanes = wanted(os.path.join(home, WANTED), clock)
    except Failed as error:
        say(f"{error}; until then all mail of these lanes waits")
        # Of a lane without members the table is empty, and what it does not know waits by the lane's default_transport.
        lanes = {each.name: {"nexthop": "", "members": []} for each in os.scandir(home) if each.is_dir()}
    quick = functools.partial(run_program, seconds=HURRY)
    keeper = Keeper(lanes, kept(home, clock), clock, home, quick, reload_lane)
    try:
        keeper.shut()
    finally:
        keeper.save()


def main(arguments: t.Sequence[str], home: str = HOME) -> int:
    """Keep the caps; with C(shut) shut all and end, with C(judge) only read what is wanted, from the file behind it."""
    begin, length = map(int, os.environ.get("MAILFLEET_DAY", "0 86400").split())
    clock = Clock(begin, length)
    try:
        if arguments[:1] == ["judge"]:
            wanted(arguments[1], clock)
            return 0
        if arguments[:1] == ["shut"]:
            shut(home, clock)
            return 0
        keeper = begun(wanted(os.path.join(home, WANTED), clock), clock, home)
        keeper.keep(time.time())
        keeper.save()
        ready()
        follow(keeper)
    except (Failed, OSError, ValueError) as error:
        say(str(error) if arguments[:1] == ["judge"] else
            f"{error}; nothing leaves from addresses that are warmed up until this is mended")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
