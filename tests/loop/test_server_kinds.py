# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of other kinds than the lab's two: with addresses of one family only, and without submission."""

from __future__ import annotations

import re
from collections.abc import Iterator

import breaking
import lab_world as lab
import pytest
import yaml

pytestmark = pytest.mark.long
ONE, OTHER = lab.SERVERS
LISTENS = "ss -Hlnt 'sport = :25 or sport = :587' | awk '{print $4}' | sort"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Iterator[breaking.Copy]:
    """A copy of the inventory for servers of another kind; afterwards the lab's own two are what they were."""
    made = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("kinds"))
    with breaking.zones_put_back():
        yield made
    breaking.prove_all()


def of_family(copy: breaking.Copy, server: str, version: int) -> None:
    """Leave a server its addresses of one family."""
    file = f"host_vars/{server}.yml"
    addresses = copy.read(file)["sending_addresses"]
    copy.write(file, sending_addresses=[entry for entry in addresses if (":" in entry["address"]) == (version == 6)])


def reach_by_ipv6(copy: breaking.Copy, server: str, address: str) -> None:
    """Ansible reaches a server by IPv6, from the host's own address in the lab."""
    hosts = yaml.safe_load((copy.path / "hosts.yml").read_text())
    group = hosts["sending_servers"]
    options = re.sub(r"BindAddress=\S+", "BindAddress=2001:db8:61::1", group["vars"]["ansible_ssh_common_args"])
    group["hosts"][server] |= {"ansible_host": address, "ansible_ssh_common_args": options}
    (copy.path / "hosts.yml").write_text(yaml.safe_dump(hosts))


def test_one_server_with_ipv4_only_and_one_with_ipv6_only(copy):
    of_family(copy, ONE, 4)
    of_family(copy, OTHER, 6)
    reach_by_ipv6(copy, OTHER, "2001:db8:61::20")
    played = lab.play(inventory=copy.path).ok()
    assert "\nPROVED: " in played.output
    assert lab.answer(ONE, "AAAA") == [] and lab.answer(OTHER, "A") == []
    assert lab.ssh(ONE, "sh", "-c", LISTENS).split() == ["0.0.0.0:25", "0.0.0.0:587"]
    assert lab.ssh(OTHER, "sh", "-c", LISTENS).split() == ["[::]:25", "[::]:587"]
    assert lab.play(inventory=copy.path).ok().changed == 0


def test_a_server_without_submission_is_configured_and_unknown(copy):
    """It takes mail from loopback and listed networks only, so that no probe can be handed to it: never ok."""
    copy.write(f"host_vars/{ONE}.yml", sending_submission=False)
    for _run in ("first", "second"):
        played = lab.play(inventory=copy.path)
        failed = re.findall(r"^TASK \[(.*)\] \*+\n(?:(?!TASK).*\n)*fatal: ", played.output, re.MULTILINE)
        assert played.status != 0 and failed == ["mailfleet.sending.sending : Report"], played.output[-8000:]
    assert played.changed == 0
    told = copy.verdicts("probe")
    assert {verdict["status"] for verdict in told.values()} == {"unknown"}
    addresses = copy.read(f"host_vars/{ONE}.yml")["sending_addresses"]
    assert set(told) == {f"{ONE} {entry['address']}" for entry in addresses}
    assert ":587" not in lab.ssh(ONE, "sh", "-c", LISTENS)
