# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network, and the proof that what the host sends to the lab cannot leave by its uplink."""
from __future__ import annotations

import json
import shlex
import shutil

from plan import GATEWAYS, NETWORK, NODES, SUBNETS
from shell import LabError, attempt, run


def _options() -> list[str]:
    # Without an explicit gateway the host would have no address in the lab, and its packets would take the uplink.
    options = ["--internal", "--disable-dns", "--ipv6"]
    for subnet, gateway in zip(SUBNETS, GATEWAYS):
        options += ["--subnet", str(subnet), "--gateway", gateway]
    return options


def _found() -> dict | None:
    """What podman knows of the network; None where it has none."""
    inspected = attempt(["podman", "network", "inspect", NETWORK])
    return json.loads(inspected.stdout)[0] if inspected.returncode == 0 else None


def is_right() -> bool:
    """Whether the network exists as the plan wants it."""
    network = _found()
    if network is None:
        return False
    subnets = {(each["subnet"], each.get("gateway")) for each in network["subnets"]}
    return (network["internal"] and not network["dns_enabled"]
            and subnets == {(str(subnet), gateway) for subnet, gateway in zip(SUBNETS, GATEWAYS)})


def bridge() -> str:
    """The name of the bridge on the host (podman chooses it); raises LabError where there is no network."""
    network = _found()
    if network is None:
        raise LabError(f"podman has no network {NETWORK}: the lab is not up, 'lab/lab.py up' makes it")
    return network["network_interface"]


def create() -> None:
    """Make the network; raises LabError where the host already uses these addresses."""
    for link in _left():
        run(["ip", "link", "delete", link])
    run(["podman", "network", "create", *_options(), NETWORK])


def _left() -> list[str]:
    """The bridges of podman's that have a gateway's address, though podman has no network for them any more."""
    shown = json.loads(run(["ip", "-j", "-d", "address", "show", "type", "bridge"]) or "[]")
    return [link["ifname"] for link in shown if link.get("ifname", "").startswith("podman")
            and any(address.get("local") in GATEWAYS for address in link.get("addr_info", ()))]


def remove() -> None:
    """Remove the network with whatever podman left of its bridge."""
    if _found() is None:
        return
    interface = bridge()
    run(["podman", "network", "rm", "--force", NETWORK])
    if attempt(["ip", "link", "show", interface]).returncode == 0:
        run(["ip", "link", "delete", interface])


def remove_rules() -> None:
    """Remove what podman's last container of all leaves in the host's packet filter: chains that nothing needs.

    While podman has any container, whoever's it is, they stay.
    """
    if run(["podman", "ps", "--all", "--quiet"]).strip():
        return
    for program in filter(shutil.which, ("iptables", "ip6tables")):
        for table in ("filter", "nat"):
            _remove_chains([program, "--wait", "--table", table])
    if shutil.which("nft"):
        attempt(["nft", "delete", "table", "inet", "netavark"])   # where podman writes its rules by nft


def _remove_chains(command: list[str]) -> None:
    """Remove podman's chains from one table, with the rules that lead to them."""
    listed = attempt([*command, "--list-rules"])
    rules = [shlex.split(line) for line in listed.stdout.splitlines()] if listed.returncode == 0 else []
    chains = [rule[1] for rule in rules if rule[0] == "-N" and rule[1].startswith("NETAVARK")]
    for rule in rules:
        if rule[0] == "-A" and rule[1] not in chains and rule[-1] in chains:
            run([*command, "-D", *rule[1:]])
    for option in ("-F", "-X"):
        for chain in chains:
            run([*command, option, chain])


def check_route() -> int:
    """Ask the kernel which way each lab address would be reached, sending nothing.

    Returns the number of addresses asked; raises LabError naming all that would not leave by the lab's own bridge.
    """
    addresses = [address for node in NODES for address in node.addresses]
    own, astray = bridge(), []
    for address in addresses:
        answer = attempt(["ip", "-j", "route", "get", address])
        route = json.loads(answer.stdout)[0] if answer.returncode == 0 and answer.stdout.strip() else {}
        if route.get("dev") != own or "gateway" in route:
            astray.append(f"{address}: by {route['dev']}" if "dev" in route else f"{address}: {answer.stderr.strip()}")
    if astray:
        raise LabError(f"stopped before the first packet: these lab addresses are not reached by the lab's own bridge "
                       f"{own}:\n  " + "\n  ".join(astray) + "\nEither the lab is not up, or this host routes "
                       f"{' or '.join(map(str, SUBNETS))} elsewhere: remove that route ('ip route') and try again")
    return len(addresses)
