# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verification of DNS against what others take for it, and against the round trips that nobody can avoid.

See README.md. Nothing here fails because something is slow; it fails where an answer is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".collections"))

import cases
import measured
import others
import worlds
from served import ROOT, Served

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server

# Addresses of loopback that nothing else listens at: modules ask authoritative servers at port 53.
HERE, PORT = ("127.0.0.61", "127.0.0.64"), 53
COUNT = 200
SERVERS, ADDRESSES, DOMAINS = 200, 5, 200
DEADLINE = 600


class Table:
    """Prints lines as they are known, each with its ratio to the first of its case."""

    def __init__(self, latency: float) -> None:
        answers = f"every answer takes {latency * 1000:g} ms"
        print(f"{answers:66} {'seconds':>8} {'to ours':>8} {'questions':>10} {'memory':>8}", flush=True)

    def head(self, title: str) -> None:
        """Begin a case."""
        self._first = 0.0
        print(f"\n{title}", flush=True)

    def line(self, who: str, seconds: float, questions: int = 0, megabytes: float = 0) -> None:
        """Add a line to it."""
        self._first = self._first or seconds
        asked = f"{questions:,}" if questions else ""
        memory = f"{megabytes:.0f} MB" if megabytes else ""
        print(f"  {who:64} {seconds:8.2f} {seconds / self._first:8.2f} {asked:>10} {memory:>8}".rstrip(), flush=True)

    def bound(self, seconds: float | None) -> None:
        """Add what was promised of ours, where something was, and whether that was kept."""
        if seconds:
            self.line(f"promised at most: {'kept' if self._first <= seconds else 'NOT KEPT'}", seconds)

    def rounds(self, steps: Iterable[int], latency: float) -> None:
        """Add the round trips that the steps take, and nothing else."""
        rounds = cases.rounds_of(steps)
        self.line(f"{rounds:,} round trips that cannot be avoided", rounds * latency)


def check(found: object, expected: object, what: str) -> None:
    """Figures of wrong answers mean nothing."""
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return how many seconds the work took, and what it returned."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measure(case: cases.Case, server: Served, table: Table, latency: float) -> None:
    """Measure one case: once without latency, so that the server has its answers ready, and then all in turn."""
    def ours() -> dict[str, int]:
        with Lookup([Server(server.address, server.port)], deadline=DEADLINE, authority_port=server.port) as lookup:
            return case.ours(lookup)

    def theirs(items: list, cache: bool) -> list[bool]:
        return case.other(others.resolver(server.address, server.port, cache), items)

    server.latency(0)
    ours()
    theirs(list(case.items), cache=True)
    server.latency(latency)
    table.head(case.name)
    seconds, counts = timed(ours)
    check(counts, case.expected, case.name)
    table.line("ours", seconds, server.latency(latency))
    table.bound(case.bound)
    name, options = case.module
    run, result = measured.module(name, {**options, "resolvers": [f"{server.address}:{server.port}"]})
    check({status: count for status, count in result["summary"].items() if count}, case.expected, name)
    table.line(f"{name} as a program, from JSON to JSON", run.seconds, server.latency(latency), run.megabytes)
    table.rounds(case.steps, latency)
    for items, cache in [(case.some, False)] + [(list(case.items), True)] * case.cached:
        seconds, right = timed(lambda items=items, cache=cache: theirs(items, cache))
        check(right, [case.items[item] for item in items], case.name_of_other)
        scale = len(case.items) / len(items)
        how = ", with a cache" if cache else f" ({len(items)} of them, times {scale:g})"
        table.line(case.name_of_other + how, seconds * scale, round(server.latency(latency) * scale))


def measure_playbook(fleet: worlds.Fleet, server: Served, table: Table, latency: float) -> None:
    """Measure verify.yml over the whole fleet."""
    desired = fleet.desired
    addresses, domains = desired["addresses"], desired["mail_domains"]
    checks = len(addresses) * len(domains) + len(addresses)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inventory, matrix = measured.write_inventory(fleet, folder), folder / "matrix.csv"
        nothing = folder / "nothing.json"
        nothing.write_text('[{"hosts": "all", "gather_facts": false, "tasks": []}]', encoding="utf-8")
        verify = ROOT / "playbooks" / "verify.yml"
        server.latency(0)
        measured.playbook(verify, inventory)
        server.latency(latency)
        table.head(f"verify.yml: {len(addresses):,} addresses by {len(desired['domains'])} domains and as many bounce "
                   "domains, and by HELO")
        run = measured.playbook(verify, inventory, "-e", f"sending_verify_matrix={matrix}")
        questions = server.latency(latency)
        check("PROVED" in run.output, True, run.output[-2000:])
        with matrix.open(encoding="utf-8") as lines:
            check(sum(1 for _line in lines), 1 + checks, "lines of the matrix")
        size = matrix.stat().st_size / 2**20
        table.line(f"ours, {checks:,} checks of SPF in a matrix of {size:.0f} MB; CPU {run.cpu:.1f} s", run.seconds,
                   questions, run.megabytes)
        table.bound(10)
        table.rounds(cases.steps_of(fleet), latency)
        spf = {"domains": domains, "addresses": addresses, "records": False,
               "resolvers": [f"{server.address}:{server.port}"]}
        run, result = measured.module("spf_verify", spf)
        check(result["summary"]["ok"], checks, "spf_verify")
        table.line(f"its spf_verify as a program, without a matrix; CPU {run.cpu:.1f} s", run.seconds,
                   server.latency(latency), run.megabytes)
        run = measured.playbook(nothing, inventory)
        table.line("a playbook without tasks", run.seconds, 0, run.megabytes)
        asked = others.resolver(server.address, server.port, cache=True)
        some = [(item["address"], domain) for item in addresses[:: len(addresses) // 10] for domain in domains[::40]]
        server.latency(0)
        for _again in range(2):  # the second time from its cache alone
            seconds, right = timed(lambda: [others.passes(asked, domain, [address])[0] for address, domain in some])
        check(all(right), True, "pyspf")
        table.line(f"pyspf in turn, asking nothing any more ({len(some)}, times {checks / len(some):,.0f})",
                   seconds * checks / len(some))


def measure_fleets(fleet: worlds.Fleet, only: str, table: Table, latency: float) -> None:
    """Measure the checks of verify.yml alone, where all is well, and where much is at fault."""
    wanted = fleet.desired
    options = {"addresses": wanted["addresses"], "domains": wanted["mail_domains"], "keys": wanted["public_keys"],
               "policies": wanted["policies"], "receivers": wanted["receivers"], "deadline": DEADLINE,
               "resolvers": [f"{HERE[0]}:{PORT}"]}
    for name, (change, status) in cases.FLEETS.items():
        if only not in name:
            continue
        with Served(change(cases.zones(fleet, 0, HERE)), HERE, PORT) as server:
            measured.module("fleet_verify", options)
            server.latency(latency)
            run, result = measured.module("fleet_verify", options)
            questions = server.latency(latency)
        table.head(f"fleet_verify as a program: {name}")
        check({each["status"] for each in result["verdicts"] if each["check"] == "spf"}, {status}, name)
        check(any(each["status"] == "unknown" for each in result["verdicts"]), False, name)
        table.line(f"ours; CPU {run.cpu:.1f} s", run.seconds, questions, run.megabytes)
        table.rounds(cases.steps_of(fleet), latency)


def measure_names(fleet: worlds.Fleet, table: Table, latency: float) -> None:
    """Measure SPF that looks up a name of its own for each address and domain."""
    wanted = fleet.desired
    domains = [domain["domain"] for domain in wanted["domains"]]
    options = {"domains": domains, "addresses": wanted["addresses"], "records": False, "deadline": DEADLINE,
               "resolvers": [f"{HERE[0]}:{PORT}"]}
    checks = len(wanted["addresses"]) * (len(domains) + 1)
    with Served(worlds.by_name(cases.zones(fleet, 0, HERE)), HERE, PORT) as server:
        server.latency(latency)
        run, result = measured.module("spf_verify", options)
        questions = server.latency(latency)
    check(result["summary"]["ok"], checks, "SPF by names")
    table.head(f"spf_verify as a program: {checks:,} checks, for each of which a macro makes a name to look up")
    table.line(f"ours; CPU {run.cpu:.1f} s", run.seconds, questions, run.megabytes)
    table.rounds(cases.steps_of_names(fleet, domains), latency)


def main() -> None:
    """Measure all, or what is asked for."""
    parser = argparse.ArgumentParser(prog="bench/dns", description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=20, help="of an answer of the server, in milliseconds (20)")
    parser.add_argument("--only", default="", metavar="TEXT", help="the cases whose names have it")
    options = parser.parse_args()
    latency = options.latency / 1000
    fleet = worlds.Fleet(SERVERS, ADDRESSES, DOMAINS, f"{HERE[0]}:{PORT}")
    table = Table(latency)
    with Served(cases.zones(fleet, COUNT, HERE), HERE, PORT) as server:
        for case in cases.cases(fleet, COUNT):
            if options.only in case.name:
                measure(case, server, table, latency)
        if options.only in "verify.yml":
            measure_playbook(fleet, server, table, latency)
    measure_fleets(fleet, options.only, table, latency)
    if options.only in "a name for each check":
        measure_names(fleet, table, latency)


if __name__ == "__main__":
    main()
