# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scope ``server``: each server makes keys of its own, signs with them, and no private half ever leaves it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import breaking
import lab_runs
import lab_world as lab
import pytest
import secrecy

PREFIX, BARE = "own", "bare"
DOMAINS = ("example.com", "example.us")
# What a rented server may lack: nothing but python3 and an SSH login is asked for.
LACKING = ("openssl", "ca-certificates", "python3-apt", "rsyslog")


@dataclasses.dataclass(frozen=True)
class Own:
    """A copy of the inventory, the run that made each server's keys, and their private halves by server and domain."""

    copy: breaking.Copy
    run: lab_runs.Run
    private: dict[str, list[str]]


def own(folder: Path, prefix: str) -> Own:
    """Let servers make keys of their own, under selectors with a prefix."""
    copy = breaking.copy_of_the_inventory(folder)
    copy.write(sending_dkim_scope="server", sending_dkim_selector=prefix)
    run = lab_runs.run("-vvv", "--diff", inventory=copy.path)
    run.ok()
    private = {
        f"{server} {domain}": secrecy.lines_of_key(
            lab.ssh(server, "sh", "-c", f"cat /etc/dkimkeys/{domain}/{prefix}*.pem")
        )
        for server in lab.SERVERS
        for domain in DOMAINS
    }
    assert all(len(lines) > 8 for lines in private.values())
    return Own(copy, run, private)


@pytest.fixture(scope="module")
def zones() -> Iterator[None]:
    with breaking.zones_put_back():
        yield
    breaking.prove_all()
    for server in lab.SERVERS:
        for prefix in (PREFIX, BARE):
            lab.ssh(server, "find", "/etc/dkimkeys", "-name", f"{prefix}*", "-delete")


@pytest.fixture(scope="module")
def own_keys(zones, tmp_path_factory) -> Own:
    return own(tmp_path_factory.mktemp("scope"), PREFIX)


def assert_signs_with_its_own(server: str, prefix: str) -> None:
    label = server.split(".")[0]
    made = lab.message()
    with lab.submission(server) as session:
        session.send_message(made, "b@e.example.com", "probe@gmail.com")
    arrived = lab.received("probe@gmail.com", lab.nonce(made))
    assert lab.results(arrived)["dkim"] == "pass"
    assert re.search(rf"\bs={prefix}\d{{8}}-{label};", str(arrived["DKIM-Signature"]))


@pytest.mark.parametrize("server", lab.SERVERS)
def test_each_server_signs_with_a_key_of_its_own(own_keys, server):
    assert_signs_with_its_own(server, PREFIX)


def test_no_private_half_is_on_the_controller(own_keys):
    """Not in the inventory with its state and secrets, where the fleet's own keys are found by the same search."""
    fleets = {
        str(path.relative_to(own_keys.copy.path)): secrecy.lines_of_key(path.read_text())
        for path in own_keys.copy.secrets.glob("dkim/*/*.pem")
    }
    assert len(fleets) == len(DOMAINS)
    found = secrecy.found_in(secrecy.files(own_keys.copy.path), {**own_keys.private, **fleets})
    assert found == {str(own_keys.copy.path / name): [name] for name in fleets}
    holders = [path for path in secrecy.files(own_keys.copy.path) if b"PRIVATE KEY" in path.read_bytes()]
    assert {str(path.relative_to(own_keys.copy.path)) for path in holders} == set(fleets)


def test_no_private_half_was_shown_or_returned(own_keys):
    assert "ESTABLISH SSH CONNECTION" in own_keys.run.output, "it was verbose"
    assert secrecy.given_away(own_keys.run.output, own_keys.private) == set()
    for task in own_keys.run.tasks:
        assert secrecy.given_away(json.dumps(task.result), own_keys.private) == set(), task.task


def test_no_private_half_is_in_what_the_controllers_programs_left(own_keys):
    shared = [path for folder in secrecy.SCRATCH for path in secrecy.files(folder, others=True, since=secrecy.STARTED)]
    assert secrecy.found_in([*secrecy.files(lab.HOME), *shared], own_keys.private) == {}


def test_no_private_half_is_on_another_server(own_keys):
    for server in lab.SERVERS:
        others = {name: lines for name, lines in own_keys.private.items() if not name.startswith(server)}
        patterns = "\n".join(line for lines in others.values() for line in lines)
        assert len(others) == len(DOMAINS)
        places = ("/etc", "/var", "/root", "/tmp", "/run")
        found = lab.ssh(server, "grep", "-rlaF", "-D", "skip", "-f", "-", *places, check=False, stdin=patterns.encode())
        assert [line for line in found.splitlines() if not line.startswith("grep:")] == []


@pytest.mark.parametrize("server", lab.SERVERS)
def test_the_key_is_opendkims_alone(own_keys, server):
    listing = lab.ssh(server, "find", "/etc/dkimkeys", "-name", f"{PREFIX}*.pem", "-printf", "%m %u:%g %f\\n").split(
        "\n"
    )
    assert len([line for line in listing if line]) == 2
    assert all(line.startswith("600 opendkim:opendkim ") for line in listing if line)


@pytest.mark.long
def test_servers_with_nothing_but_python_and_ssh_make_their_keys(own_keys, tmp_path):
    breaking.make_bare(*lab.SERVERS)
    for server in lab.SERVERS:
        lab.ssh(server, "dpkg", "--purge", "--force-depends", *LACKING)
        assert lab.ssh(server, "sh", "-c", "command -v openssl; true") == ""
    made = own(tmp_path, BARE)
    assert "\nPROVED: " in made.run.output
    for server in lab.SERVERS:
        (installed, *_later) = made.run.of("packages", server)
        assert installed.result["installed"] == ["openssl"]
        assert_signs_with_its_own(server, BARE)
    assert lab_runs.run(inventory=made.copy.path).ok().changed == 0
