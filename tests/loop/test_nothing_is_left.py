# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs and the lab leave on this machine: nothing in the user's home, no rule in the packet filter.

That containers, networks, keys and files go is looked at in tests/unit/test_clean.py, where no lab has to end for it.
"""

from __future__ import annotations

import subprocess
import sys

import apart
import lab_world as lab

# As netavark 1.4 leaves them once its last container is gone; the rules for 203.0.113.0/24 are somebody else's.
RULES = """
*filter
:FORWARD ACCEPT [0:0]
:NETAVARK_FORWARD - [0:0]
:SOMEBODYS - [0:0]
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A FORWARD -s 203.0.113.0/24 -j SOMEBODYS
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:NETAVARK-HOSTPORT-DNAT - [0:0]
:NETAVARK-HOSTPORT-MASQ - [0:0]
:NETAVARK-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ
-A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE
-A NETAVARK-HOSTPORT-MASQ -m comment --comment "netavark portfw masq mark" -m mark --mark 0x2000 -j MASQUERADE
-A NETAVARK-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
COMMIT
"""
# podman of this machine has containers, and so would keep its rules here too.
REMOVE = "import sys; sys.path.insert(0, {lab!r}); import network; network.run = {run}; network.remove_rules()"
NO_CONTAINER = "(lambda run: lambda command: '' if command[0] == 'podman' else run(command))(network.run)"


def rules(namespace: apart.Namespace) -> list[str]:
    """All rules and chains of a namespace but the policies of its own chains."""
    listed = [apart.run(*namespace.enter, "iptables", "-t", table, "-S") for table in ("filter", "nat")]
    return [line for text in listed for line in text.splitlines() if not line.startswith("-P ")]


def test_no_chain_of_podmans_is_left_and_what_is_anothers_stays():
    remove = REMOVE.format(lab=str(lab.LAB), run=NO_CONTAINER)
    with apart.namespace() as namespace:
        restore = [*namespace.enter, "iptables-restore"]
        subprocess.run(restore, input=RULES, text=True, check=True, timeout=30)
        assert len(rules(namespace)) == 13
        for _time in ("and where there is nothing of it", "nothing happens"):
            apart.run(*namespace.enter, sys.executable, "-c", remove)
            assert rules(namespace) == [
                "-N SOMEBODYS",
                "-A FORWARD -s 203.0.113.0/24 -j SOMEBODYS",
                "-A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE",
            ]


def test_a_run_leaves_nothing_in_the_users_home(second):
    assert second.home == []
    assert any(lab.HOME.iterdir()), "what Ansible keeps is in the clone's cache"
