# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab on paper agrees with itself and with its inventory."""

from __future__ import annotations

import re
import sys
from ipaddress import ip_address
from pathlib import Path
from string import Template

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))   # the lab's modules stand beside lab.py

import images
import material
import plan
from shell import LAB

ZONE_FILES = sorted((LAB / "nodes/ns1/etc/knot/zones").glob("*.zone.in"))
FLEET = {"198.51.100.10", "198.51.100.11", "198.51.100.20", "198.51.100.21", "2001:db8:61::10", "2001:db8:61::20"}


def test_every_address_is_of_the_lab_and_has_one_node():
    addresses = [ip_address(each) for node in plan.NODES for each in node.addresses]
    assert len(addresses) == len(set(addresses))
    assert not set(addresses) & {ip_address(each) for each in plan.GATEWAYS}
    assert all(any(each in subnet for subnet in plan.SUBNETS) for each in addresses)


def test_every_node_has_its_image_and_its_trees():
    for node in plan.NODES:
        assert node.image in images.IMAGES
        assert all((LAB / "nodes" / tree).is_dir() for tree in node.trees)


def test_only_the_proxy_has_an_uplink():
    assert [node.name for node in plan.NODES if node.uplink] == ["proxy"]


def test_servers_are_bare():
    for node in plan.NODES:
        if node.bare:
            assert not {"postfix", "opendkim", "dovecot-core"} & set(images.IMAGES[node.image].packages)


@pytest.mark.parametrize("server", ["ns1", "ns2"])
def test_name_servers_serve_the_zones_of_the_plan(server):
    configured = re.findall(r'^  - domain: "?([^"\n]+)', (LAB / f"nodes/{server}/etc/knot/knot.conf").read_text(), re.M)
    assert sorted(configured) == sorted(plan.ZONES)
    assert {path.name.removesuffix(".zone.in") for path in ZONE_FILES} == {"root", *plan.ZONES} - {"."}


@pytest.mark.parametrize("path", ZONE_FILES, ids=lambda path: path.name)
def test_starting_zones_are_short_lived_and_hold_nothing_of_the_fleet(path):
    text = Template(path.read_text()).substitute(serial=1)
    assert re.search(r"^\$TTL 5$", text, re.M) and re.search(r" SOA .* 5$", text, re.M)
    assert not FLEET & set(text.split())
    if path.name.startswith("example."):
        assert not re.search(r"v=spf1|v=DMARC1|v=DKIM1", text)


def test_the_inventory_names_the_servers_of_the_plan():
    hosts = yaml.safe_load((LAB / "inventory/hosts.yml").read_text())["sending_servers"]["hosts"]
    servers = [node for node in plan.NODES if node.bare]
    assert {name: each["ansible_host"] for name, each in hosts.items()} == {
        node.hostname: node.addresses[0] for node in servers}
    for node in servers:
        own = yaml.safe_load((LAB / f"inventory/host_vars/{node.hostname}.yml").read_text())["sending_addresses"]
        assert {each["address"] for each in own} == set(node.addresses)
        assert {each["helo"] for each in own} == set(plan.SERVER_CERTIFICATES[node.hostname])


def test_the_inventory_knows_the_lab_s_logins_and_the_host_of_the_application():
    group = yaml.safe_load((LAB / "inventory/group_vars/sending_servers.yml").read_text())
    assert tuple(user["name"] for user in group["sending_users"]) == material.LOGINS
    assert all(f"'/{user['name']}.hash'" in user["password_hash"] for user in group["sending_users"])
    assert [each["network"] for each in group["sending_networks"]] == list(plan.node("app").addresses)


def test_an_image_is_known_by_what_it_holds():
    one = images.Image("a", "trixie", ("server",))
    assert one.digest == images.Image("b", "trixie", ("server",)).digest
    assert one.digest != images.Image("a", "bookworm", ("server",)).digest
    assert one.digest != images.Image("a", "trixie", ("exim",)).digest


def test_a_file_of_mirrors_stands_for_its_first(tmp_path):
    listing = tmp_path / "mirrors"
    listing.write_text("# ours\nhttp://one.example/debian\tpriority:1\nhttp://two.example/debian\n")
    assert images._mirror(f"mirror+file:{listing}") == "http://one.example/debian"
    assert images._mirror("http://three.example/debian/") == "http://three.example/debian/"


def test_a_host_without_security_updates_gives_none_to_the_nodes():
    archive = images.Archive("http://one.example/debian", None)
    assert archive.sources("trixie") == ["deb http://one.example/debian trixie main",
                                         "deb http://one.example/debian trixie-updates main"]
