# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input is told with its path, all of it at once, before anything changes: in DNS, in the state, on a server."""

from __future__ import annotations

import json

import breaking
import lab_runs
import lab_world as lab
import pytest

HOSTS = {server: f"host_vars/{server}.yml" for server in lab.SERVERS}
ONE, OTHER = HOSTS
# What a run may have done before it stops.
HARMLESS = {"assert", "fleet_report", "desired_state", "server_check"}


@pytest.fixture
def refused(tmp_path):
    """A copy of the inventory and a run of it, which must fail with a message and change nothing.

    But what the run before it proved holds no longer.
    """
    copy = breaking.copy_of_the_inventory(tmp_path)
    report = copy.state / "report.json"
    report.write_text(json.dumps({**copy.report(), "proved": True}))
    files, serials = copy.files(), {zone: breaking.serial(zone) for zone in breaking.ZONES}
    before = {server: breaking.standing(server) for server in lab.SERVERS}

    def run() -> str:
        played = lab_runs.run(inventory=copy.path)
        assert played.status != 0
        assert {task.module for task in played.tasks if task.status != "skipped"} <= HARMLESS
        assert played.changed == 0
        assert "Traceback" not in played.output
        return "\n".join(str(task.result["msg"]) for task in played.tasks if task.status == "failed")

    yield copy, run
    assert copy.report()["proved"] is False
    left = copy.files()
    name = str(report.relative_to(copy.path / ".mailfleet"))
    assert {**left, name: b""} == {**files, name: b""}
    assert {zone: breaking.serial(zone) for zone in breaking.ZONES} == serials
    assert {server: breaking.standing(server) for server in lab.SERVERS} == before


def test_all_mistakes_of_the_inventory_at_once_each_with_its_path(refused):
    copy, run = refused
    main, auxiliary = copy.read()["sending_domains"]
    copy.write(
        sending_domains=[main, {**auxiliary, "spf": {"include": ["exmaple.com"]}}],
        sending_providers=["gogle"],
        sending_dkim_selector="m_1",
    )
    addresses = copy.read(HOSTS[OTHER])["sending_addresses"]
    first = copy.read(HOSTS[ONE])["sending_addresses"][0]["address"]
    addresses[0]["address"] = first
    addresses[1]["helo"] = "mta2b"
    copy.write(HOSTS[OTHER], sending_addresses=addresses)
    lines = run().splitlines()
    for path, found, mend in (
        ("sending_domains[1].spf.include[0]", "exmaple.com", "did you mean example.com?"),
        ("sending_providers[0]", "gogle", ""),
        ("sending_dkim_selector", "m_1", "lower-case letters, digits and -"),
        (f"{OTHER}: sending_addresses[0].address", first, f"{ONE}: sending_addresses[0].address has this one"),
        (f"{OTHER}: sending_addresses[1].helo", "mta2b", "fully qualified"),
    ):
        (line,) = [line for line in lines if line.strip().startswith(f"{path}:")]
        assert f"found {found}, expected" in line.replace("'", "") and mend in line
    assert len(lines) == 6, "a mistake that was not made"


def test_spf_that_needs_more_than_ten_lookups(refused):
    copy, run = refused
    main, auxiliary = copy.read()["sending_domains"]
    external = [{"name": f"_spf{number}.example.net", "lookups": 4} for number in range(3)]
    copy.write(sending_domains=[{**main, "spf": {"external": external}}, auxiliary])
    said = run()
    assert "sending_domains[0].spf" in said
    assert "lookups" in said and "10" in said


def test_addresses_that_the_servers_cannot_bind(refused):
    copy, run = refused
    for server, address in ((ONE, "198.51.100.98"), (OTHER, "198.51.100.99")):
        addresses = copy.read(HOSTS[server])["sending_addresses"]
        addresses[1]["bind"] = address
        copy.write(HOSTS[server], sending_addresses=addresses)
    said = run()
    for server, address in ((ONE, "198.51.100.98"), (OTHER, "198.51.100.99")):
        assert f"{server}: sending_addresses[1]: found {address}" in said and "can bind" in said


def test_a_value_that_the_role_does_not_take(refused):
    copy, run = refused
    copy.write(sending_dkim_bits=999)
    assert "sending_dkim_bits: found 999, expected one of 1024, 2048, 3072, 4096" in run()
