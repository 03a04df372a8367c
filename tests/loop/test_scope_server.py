# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scope ``server``: each server makes keys of its own, signs with them, and no private half ever leaves it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import breaking
import lab_world as lab
import pytest

PREFIX = "own"


@pytest.fixture(scope="module")
def own_keys(tmp_path_factory) -> Iterator[breaking.Copy]:
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("scope"))
    copy.write(sending_dkim_scope="server", sending_dkim_selector=PREFIX)
    with breaking.zones_put_back():
        lab.play(inventory=copy.path).ok()
        yield copy
    breaking.prove_all()
    for server in lab.SERVERS:
        lab.ssh(server, "find", "/etc/dkimkeys", "-name", f"{PREFIX}*", "-delete")


@pytest.mark.parametrize("server", lab.SERVERS)
def test_each_server_signs_with_a_key_of_its_own(own_keys, server):
    label = server.split(".")[0]
    made = lab.message()
    with lab.submission(server) as session:
        session.send_message(made, "b@e.example.com", "probe@gmail.com")
    arrived = lab.received("probe@gmail.com", lab.nonce(made))
    assert lab.results(arrived)["dkim"] == "pass"
    assert re.search(rf"\bs={PREFIX}\d{{8}}-{label};", str(arrived["DKIM-Signature"]))


def test_no_private_half_is_on_the_controller(own_keys):
    assert not list(own_keys.secrets.rglob(f"{PREFIX}*"))
    assert not [
        path
        for path in own_keys.path.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes() and PREFIX in str(path)
    ]


@pytest.mark.parametrize("server", lab.SERVERS)
def test_the_key_is_opendkims_alone(own_keys, server):
    listing = lab.ssh(server, "find", "/etc/dkimkeys", "-name", f"{PREFIX}*.pem", "-printf", "%m %u:%g %f\\n").split(
        "\n"
    )
    assert len([line for line in listing if line]) == 2
    assert all(line.startswith("600 opendkim:opendkim ") for line in listing if line)
