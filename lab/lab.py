# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a small mail world in containers on this machine. See README.md beside this file."""
from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import images
import material
import network
import nodes
from plan import NODES, PREFIX, ZONES, Node, node
from shell import CACHE, LAB, RUN, LabError, Progress, attempt, run

INVENTORY = LAB / "inventory"
# What runs of the collection leave beside the inventory: it describes a world that `reset` and `down` end.
LEFT_BY_RUNS = ("state", "secrets", "observations.json", ".mailfleet")
LOCK = Path("/run/lock/mailfleet-lab.lock")
SOCKETS = Path("/run/mailfleet")   # of Ansible's connections to the servers: see the Makefile


def in_parallel(action: Callable[[Node], Any], which: Iterable[Node]) -> list[Any]:
    """Do something to several nodes at once; returns the results, raises the first failure after all have ended."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        waiting = [pool.submit(action, each) for each in which]
    return [done.result() for done in waiting]


def is_well(each: Node, present: dict[str, tuple[str, str]], progress: Progress) -> bool:
    """Whether the node's container runs as defined; one that merely stopped is started, once the way to it is proved.

    Raises LabError where the host would reach the lab by another way.
    """
    state, made_from = present.get(each.container, ("", ""))
    if not state:
        return False
    if made_from != nodes.definition(each):
        progress.say(f"{each.name}: replaced, its definition has changed")
        return False
    if state not in ("running", "exited", "stopped"):
        progress.say(f"{each.name}: replaced, it is {state}")   # its making was interrupted
        return False
    if state != "running":
        progress.say(f"{each.name}: was {state}, starting it")
        if not start_again(each):
            progress.say(f"{each.name}: replaced, it does not start")
            return False
        try:
            nodes.wait(each)
        except LabError:
            pass   # looked at next
    if down := nodes.units_down(each):
        progress.say(f"{each.name}: replaced, {', '.join(down)}")
        return False
    return True


def start_again(each: Node) -> bool:
    """Start a container that stopped; returns whether it did, raises LabError where the way to it is not the bridge."""
    # After a reboot no bridge stands before the network of a first container is set up, which `init` does.
    if attempt([*nodes.PODMAN, "init", each.container]).returncode:
        return False
    network.check_route()
    return attempt([*nodes.PODMAN, "start", each.container]).returncode == 0


def make(which: list[Node], progress: Progress) -> None:
    """Make nodes anew: all are set up and the way to them proved before any of them may send a packet."""
    present = nodes.present()

    def remake(each: Node) -> None:
        if each.container in present:
            nodes.remove(each.container)
        nodes.create(each)

    in_parallel(remake, which)
    check_route(progress)
    in_parallel(nodes.start, which)
    in_parallel(nodes.wait, which)
    progress.say(f"running: {', '.join(each.name for each in which)}")


def wait_for_dns(progress: Progress) -> None:
    """Wait until every zone is answered through the resolver and by the secondary."""
    deadline = time.monotonic() + 30
    for server in ("198.51.100.2", "198.51.100.3", "198.51.100.4"):
        query = ["kdig", f"@{server}", "+short", "+time=1", "+retry=0"]
        for zone in ZONES:
            query += [zone, "SOA"]
        while (answers := nodes.execute(node("resolver"), query).count("hostmaster.lab.test.")) < len(ZONES):
            if time.monotonic() > deadline:
                raise LabError(f"{server} answers for {answers} of {len(ZONES)} zones: look at "
                               f"'podman exec {PREFIX}ns1 journalctl -u knot', and at the same of ns2")
            time.sleep(0.2)
    progress.say(f"DNS: {len(ZONES)} zones answered by ns1, ns2 and the resolver")


def up(progress: Progress) -> None:
    """Build what is missing, replace what is not right, use again what is."""
    material.ensure_all()
    images.ensure_all(list(dict.fromkeys(each.image for each in NODES)), progress)
    present = nodes.present()
    for stranger in sorted(set(present) - {each.container for each in NODES}):
        progress.say(f"{stranger}: removed, no such node any more")
        nodes.remove(stranger)
    if not network.is_right():
        for container in nodes.present():
            nodes.remove(container)
        network.remove()
        network.create()
        progress.say("network: made")
        present = {}
    well = in_parallel(lambda each: is_well(each, present, progress), NODES)
    wanting = [each for each, is_so in zip(NODES, well) if not is_so]
    if any(well):
        progress.say(f"used again: {', '.join(each.name for each in NODES if each not in wanting)}")
    if {each.name for each in NODES if each.bare} | {"ns1"} <= {each.name for each in wanting}:
        forget_runs()   # of a world that is not there any more: another clone had the lab, or it was down
    if wanting:
        make(wanting, progress)
    else:
        check_route(progress)
    wait_for_dns(progress)
    in_parallel(nodes.prepare, wanting)
    progress.say(f"the lab is up: inventory {os.path.relpath(INVENTORY)}")


def reset(progress: Progress) -> None:
    """Bare servers, starting zones, empty mailboxes; what earlier runs left beside the inventory goes."""
    network.check_route()
    material.ensure_all()
    lasting = [each for each in NODES if not each.bare]
    for each, down in zip(lasting, in_parallel(nodes.units_down, lasting)):
        if down:
            raise LabError(f"{each.name}: {', '.join(down)}: 'lab/lab.py up' mends that")
    primary, secondary = node("ns1"), node("ns2")
    nodes.put(primary, [each for each in nodes.files(primary, int(time.time())) if each.path.endswith(".zone")])
    nodes.execute(primary, ["knotc", "--blocking", "--force", "zone-purge", "+journal", "--"])
    nodes.execute(primary, ["knotc", "--blocking", "zone-reload", "--"])
    nodes.execute(secondary, ["knotc", "--blocking", "zone-retransfer", "--"])
    nodes.execute(node("resolver"), ["unbound-control", "flush_zone", "."])
    progress.say("zones: as they started")
    for each in NODES:
        if "mailboxes" in each.trees:
            nodes.execute(each, ["find", "/srv/mail", "-mindepth", "1", "-delete"])
    progress.say("mailboxes: empty")
    forget_runs()
    bare = [each for each in NODES if each.bare]
    make(bare, progress)
    in_parallel(nodes.prepare, bare)
    wait_for_dns(progress)
    progress.say("reset done")


def forget_runs() -> None:
    """Remove what runs of the collection wrote beside the inventory."""
    for name in LEFT_BY_RUNS:
        path = INVENTORY / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def status(progress: Progress) -> None:
    """Say how each node is; raises LabError where one is not well."""
    present, unwell = nodes.present(), 0
    for each, down in zip(NODES, in_parallel(nodes.units_down, NODES)):
        state, made_from = present.get(each.container, ("absent", ""))
        faults = down if state == "running" else [state]
        if made_from and made_from != nodes.definition(each):
            faults.append("of an older definition")
        unwell += bool(faults)
        print(f"{each.name:9} {each.hostname:18} {', '.join(faults) or 'running':28} {' '.join(each.addresses)}")
    if unwell:
        raise LabError(f"{unwell} of {len(NODES)} nodes are not well: 'lab/lab.py up' mends that")
    progress.say(f"all {len(NODES)} nodes are well")


def down(progress: Progress) -> None:
    """Remove containers, network and whatever was made for them."""
    for container in nodes.present():
        nodes.remove(container)
    network.remove()
    network.remove_rules()
    forget_runs()
    for folder in (RUN, SOCKETS):
        shutil.rmtree(folder, ignore_errors=True)
    LOCK.unlink(missing_ok=True)
    progress.say("the lab is gone: no container, no network, no key of it is left")


def clean(progress: Progress) -> None:
    """down, and remove the images and their cache as well."""
    down(progress)
    for image in set(run(["podman", "images", "--quiet", "--filter", "label=mailfleet.digest"]).split()):
        run(["podman", "rmi", "--force", image])
    shutil.rmtree(CACHE, ignore_errors=True)
    progress.say("images and cache removed")


def check_route(progress: Progress) -> None:
    """Prove that no lab address is reached by the uplink."""
    progress.say(f"way to {network.check_route()} addresses: all by the lab's bridge")


def build_images(progress: Progress) -> None:
    """Build or import the images only."""
    images.ensure_all(list(images.IMAGES), progress)


VERBS = {"up": up, "reset": reset, "status": status, "down": down, "clean": clean, "check-route": check_route,
         "images": build_images}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other lab.py work meanwhile; raises LabError where one does."""
    while True:
        with open(LOCK, "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError("another lab.py is at work; wait until it has ended") from None
            if os.fstat(lock.fileno()).st_nlink:   # `down` has not just removed it
                yield
                return


def main() -> int:
    """Carry out one verb; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{name:12} {(verb.__doc__ or '').splitlines()[0]}"
                                                      for name, verb in VERBS.items()))
    parser.add_argument("verb", choices=VERBS)
    verb = VERBS[parser.parse_args().verb]
    if os.geteuid():
        print("lab.py: the lab makes containers and a network, and needs root: run it with sudo", file=sys.stderr)
        return 1
    try:
        with alone():
            verb(Progress())
    except LabError as error:
        print(f"lab.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
