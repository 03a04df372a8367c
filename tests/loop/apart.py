# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces of the tests' own: a controller whose every packet can be told from those of this machine.

Its way to the lab is a cable to the lab's bridge. Its uplink leads to a cable's other end, and nowhere from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lab_world as lab
import watching

PORT = "mailfleet-apart"  # the cable's end at the lab's bridge
OWN = ("198.51.100.250", "2001:db8:61::250")  # nobody's in the lab
# Of documentation (RFC 5737, RFC 3849): its uplink with a router that is nobody, and what lies behind it.
UPLINK = {"203.0.113.2/30": "203.0.113.1", "2001:db8:ffff::2/64": "2001:db8:ffff::1"}
OUTSIDE = ("203.0.113.99", "2001:db8:fffe::99")
# Without link-local addresses and routers to look for, the kernel says nothing of its own accord.
QUIET = "cd /proc/sys/net/ipv6/conf/default; echo 1 >addr_gen_mode; echo 0 >router_solicitations"
SECONDS = 3600  # a namespace ends by itself, whatever becomes of its test


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@dataclasses.dataclass(frozen=True)
class Namespace:
    """A network namespace; ``pid`` is the process that holds it."""

    pid: int

    @property
    def enter(self) -> tuple[str, ...]:
        """What stands before a command that is to run in it."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    def ip(self, *arguments: str) -> str:
        """Run ip(8) in it."""
        return run(*self.enter, "ip", *arguments)

    def give(self, interface: str, *addresses: str) -> None:
        """Give an interface its addresses, and switch it on."""
        for address in addresses:
            self.ip("address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", interface, "up")


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace with an uplink that leads nowhere; what is sent to the outside stands on it as frames."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", f"echo made; exec sleep {SECONDS}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "made\n"
        made = Namespace(holder.pid)
        run(*made.enter, "sh", "-ec", QUIET)
        made.ip("link", "add", "uplink", "type", "veth", "peer", "name", "beyond")
        made.ip("link", "set", "lo", "up")
        made.ip("link", "set", "beyond", "up")
        made.give("uplink", *UPLINK)
        (beyond,) = json.loads(made.ip("-j", "link", "show", "beyond"))
        for router in UPLINK.values():
            made.ip("neighbour", "add", router, "lladdr", beyond["address"], "dev", "uplink", "nud", "permanent")
            made.ip("route", "add", "default", "via", router)
        yield made
    finally:
        holder.kill()
        holder.communicate()


@dataclasses.dataclass(frozen=True)
class Controller:
    """A namespace from which the lab can be reached, and what a playbook needs to run in it."""

    namespace: Namespace
    sockets: Path

    @property
    def program(self) -> tuple[str, ...]:
        """The program that plays."""
        return (*self.namespace.enter, str(lab.BIN / "ansible-playbook"))

    @property
    def environment(self) -> dict[str, str]:
        """Connections of its own, from its own address: the inventory names this machine's."""
        options = f"-o ControlMaster=auto -o ControlPersist=60s -o BindAddress={OWN[0]}"
        return {"ANSIBLE_SSH_ARGS": options, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets)}

    def watch(self) -> watching.Watch:
        """Watch all that it sends."""
        return watching.Watch("lab0", everything=True, enter=self.namespace.enter)


@contextlib.contextmanager
def at_the_bridge(port: str, *addresses: str) -> Iterator[Namespace]:
    """A namespace with a cable to the lab's bridge, `port` being the cable's end there."""
    # A MAC of its own, as the lab's nodes have: neighbours remember that of the last time for a while.
    mac = "02:00:" + ipaddress.ip_interface(addresses[0]).packed.hex(":")
    with namespace() as made:
        peer = ("peer", "name", "lab0", "address", mac, "netns", str(made.pid))
        run("ip", "link", "add", port, "type", "veth", *peer)
        try:
            run("ip", "link", "set", port, "master", watching.network.bridge(), "up")
            made.give("lab0", *addresses)
            yield made
        finally:
            run("ip", "link", "delete", port)


@contextlib.contextmanager
def controller() -> Iterator[Controller]:
    """A controller in a namespace with a cable to the lab's bridge."""
    sockets = Path(tempfile.mkdtemp(prefix="mf-"))  # short: a socket's path has at most 104 characters
    with at_the_bridge(PORT, f"{OWN[0]}/24", f"{OWN[1]}/64") as made:
        try:
            yield Controller(made, sockets)
        finally:
            for path in sockets.iterdir():
                leave = ["ssh", "-o", f"ControlPath={path}", "-O", "exit", "any"]
                subprocess.run(leave, capture_output=True, check=False, timeout=30)
            shutil.rmtree(sockets)
