# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's containers: their files, their making, and whether they are well."""
from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import resource
import subprocess
import tarfile
import time
from dataclasses import dataclass
from ipaddress import ip_address
from string import Template

import images
import material
from plan import NETWORK, PREFIX, PROXY, RESOLVER, Node
from shell import CACHE, LAB, LabError, attempt, run

PODMAN = ["podman", "--runtime", "runc"]   # crun refuses hosts whose cgroups are hybrid
UP_WITHIN = 60.0   # seconds for a container's services to come up
LIMITS = {"nofile": (resource.RLIMIT_NOFILE, 20000), "nproc": (resource.RLIMIT_NPROC, 30000)}


def ulimits() -> list[str]:
    """Limits passed by hand: podman's defaults may lie above what this root may set."""
    options = []
    for name, (which, wanted) in LIMITS.items():
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        options += ["--ulimit", f"{name}={value}:{value}"]
    return options


@dataclass(frozen=True)
class File:
    """A file for a node: its path without the leading slash, content and mode."""

    path: str
    content: bytes
    mode: int


def host_apt_settings() -> str:
    """What this host's apt is told about the age of the archive; the nodes read the same archive."""
    dump = run(["apt-config", "dump", "Acquire::Check-Valid-Until", "Acquire::Check-Date"])
    return "".join(line + "\n" for line in dump.splitlines() if line.startswith("Acquire::Check-"))


@functools.cache
def archive_values(suite: str) -> dict[str, str]:
    """The template values that tell a node where packages come from."""
    upstream = re.findall(r'"(http[^"]*)"', run(["apt-config", "dump", "Acquire::http::Proxy"]))
    return {
        # apt-cacher-ng fetches an https archive when a client asks for it in this spelling.
        "sources": "\n".join(images.host_archive().sources(suite)).replace("https://", "http://HTTPS///"),
        "apt_settings": host_apt_settings(),
        "package_proxy": PROXY,
        "upstream_proxy": f"Proxy: {upstream[0]}" if upstream else "# none: this host needs none either",
    }


def files(node: Node, serial: int) -> list[File]:
    """A node's files from its trees, later ones over earlier ones; those called *.in are filled by string.Template."""
    known = {"serial": str(serial), **material.values(node), **archive_values(images.IMAGES[node.image].suite)}
    found: dict[str, File] = {}
    for tree in node.trees:
        top = LAB / "nodes" / tree
        for path in sorted(each for each in top.rglob("*") if each.is_file()):
            name, text = str(path.relative_to(top)), path.read_text()
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            if name.endswith(".in"):
                name, mode = name.removesuffix(".in"), 0o600 if "${secret_" in text else mode
                try:
                    text = Template(text).substitute(known)
                except (KeyError, ValueError) as error:
                    raise LabError(f"{path}: no such value or a lone '$': {error}") from None
            found[name] = File(name, text.encode(), mode)
    return list(found.values())


def archive(node: Node, contents: list[File]) -> bytes:
    """The files as a tar, with the links that enable the node's units."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for each in contents:
            entry = tarfile.TarInfo(each.path)
            entry.size, entry.mode, entry.mtime = len(each.content), each.mode, int(time.time())
            tar.addfile(entry, io.BytesIO(each.content))
        own = {each.path for each in contents}
        for unit in node.units:
            link = tarfile.TarInfo(f"etc/systemd/system/multi-user.target.wants/{unit}.service")
            folder = "/etc" if f"etc/systemd/system/{unit}.service" in own else "/lib"
            link.type, link.linkname = tarfile.SYMTYPE, f"{folder}/systemd/system/{unit}.service"
            tar.addfile(link)
    return stream.getvalue()


def options(node: Node) -> list[str]:
    """The options of `podman create`."""
    # podman gives one address of each family; the unit lab-addresses sets a second one.
    first = {"ip6" if ":" in each else "ip": each for each in reversed(node.addresses)}
    # A MAC of its own keeps a node that was made anew reachable: the neighbours remember the old one for a while.
    settings = {"interface_name": "lab0", "mac": "02:00:" + ip_address(first["ip"]).packed.hex(":"), **first}
    network = f"{NETWORK}:" + ",".join(f"{key}={value}" for key, value in settings.items())
    chosen = ["--name", node.container, "--hostname", node.hostname, "--systemd=always", *ulimits(),
              "--cap-add", "NET_ADMIN,NET_RAW,SYS_ADMIN,AUDIT_WRITE", "--network", network, "--no-hosts",
              "--sysctl", "net.ipv4.ip_forward=0", "--stop-signal", "SIGRTMIN+3"]
    if node.uplink:
        folder = CACHE / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        return [*chosen, "--network", "podman:interface_name=uplink0", "--volume", f"{folder}:/var/cache/apt-cacher-ng"]
    return [*chosen, "--dns", RESOLVER, "--dns-search", "."]


def definition(node: Node) -> str:
    """A digest of all that makes the node what it is; a container with another one is replaced."""
    parts = [images.IMAGES[node.image].digest, *options(node), repr(node), *map(repr, files(node, serial=0))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def present() -> dict[str, tuple[str, str]]:
    """The containers of the lab, each with its state and the definition it was made from."""
    listing = json.loads(run(["podman", "ps", "--all", "--format", "json", "--filter", f"name=^{PREFIX}"]) or "[]")
    return {each["Names"][0]: (each["State"], (each["Labels"] or {}).get("mailfleet.definition", ""))
            for each in listing}


def create(node: Node) -> None:
    """Make the container with its files and set up its network, without starting anything in it."""
    label = f"mailfleet.definition={definition(node)}"
    run([*PODMAN, "create", *options(node), "--label", label, f"localhost/{node.image}", "/lib/systemd/systemd"])
    put(node, files(node, serial=int(time.time())))
    run([*PODMAN, "init", node.container])


def put(node: Node, contents: list[File]) -> None:
    """Copy files into the container."""
    done = subprocess.run([*PODMAN, "cp", "-", f"{node.container}:/"], input=archive(node, contents),
                          capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"copying files to {node.container} failed: {done.stderr.decode()}")


def start(node: Node) -> None:
    """Start the container; returns at once."""
    run([*PODMAN, "start", node.container])


def remove(container: str) -> None:
    """Remove a container in whatever state it is."""
    run([*PODMAN, "rm", "--force", "--time", "0", "--volumes", container])


def execute(node: Node, command: list[str]) -> str:
    """Run a command in the node; returns its output."""
    return run([*PODMAN, "exec", node.container, *command])


def units_down(node: Node) -> list[str]:
    """The node's units that are not active, each with its state; all of them where the container does not answer."""
    wanted = [f"{unit}.service" for unit in (*node.units, "ssh")]
    answer = attempt([*PODMAN, "exec", node.container, "systemctl", "is-active", *wanted], timeout=20)
    states = answer.stdout.split()
    if len(states) != len(wanted):
        return [f"the container does not answer: {answer.stderr.strip()}"]
    return [f"{unit} is {state}" for unit, state in zip(wanted, states) if state != "active"]


def wait(node: Node) -> None:
    """Wait until the node's units run; raises LabError with the journal's words where they do not."""
    deadline = time.monotonic() + UP_WITHIN
    while down := units_down(node):
        if time.monotonic() > deadline:
            journal = attempt([*PODMAN, "exec", node.container, "journalctl", "--no-pager", "--lines=15", "-p4"])
            raise LabError(f"{node.container}: {', '.join(down)} after {UP_WITHIN:.0f} s\n{journal.stdout}")
        time.sleep(0.3)


def prepare(node: Node) -> None:
    """Run what a new node needs once; a node for which that fails is removed, so that the next run makes it anew."""
    try:
        for command in node.prepare:
            execute(node, list(command))
    except LabError:
        remove(node.container)
        raise
