# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""verify.yml over a fleet whose DNS is right: what else it needs to prove it, and what its options do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import verify_runs
import worlds
from served import Served
from verify_runs import OTHER, Ran, play

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_unknown import CAUSE, MEND

DOMAINS = ("brand000.example", "brand001.example")
SERVERS = ("mta000.fleet.example", "mta001.fleet.example")


@pytest.fixture(scope="module")
def world():
    """The fleet of two servers and two domains, all of whose records are as they should be."""
    fleet = verify_runs.fleet()
    with verify_runs.serve(fleet):
        yield fleet


def no_alignment_by_dkim(ran, domain):
    return f"DKIM {domain} not known" in ran.verdicts["alignment", domain]["found"]


@pytest.mark.parametrize("keys", [None, {}], ids=["no state", "a state without keys"])
def test_without_a_key_that_is_known_nothing_is_proved(world, tmp_path, keys):
    ran = play("verify.yml", verify_runs.write(world, tmp_path, keys))
    assert ran.status != 0 and "\nNOT PROVED: " in ran.output and not ran.report["proved"]
    assert ran.accused == {(check, domain): "unknown" for check in ("dkim", "alignment") for domain in DOMAINS}
    for place in ran.accused:
        assert (ran.verdicts[place]["cause"], ran.verdicts[place]["mend"]) == (CAUSE, MEND)
    assert all(no_alignment_by_dkim(ran, domain) for domain in DOMAINS)
    assert ran.told == ["1. dkim unknown: brand000.example"]
    assert "[WARNING]" not in ran.output


def test_one_domain_without_a_known_key_is_accused_alone(world, tmp_path):
    ran = play("verify.yml", verify_runs.write(world, tmp_path, {DOMAINS[0]: world.keys[DOMAINS[0]]}))
    assert ran.status != 0 and not ran.report["proved"]
    assert ran.accused == {("dkim", DOMAINS[1]): "unknown", ("alignment", DOMAINS[1]): "unknown"}
    assert ran.verdicts["dkim", f"{worlds.SELECTOR}._domainkey.{DOMAINS[0]}."]["status"] == "ok"
    assert no_alignment_by_dkim(ran, DOMAINS[1]) and not no_alignment_by_dkim(ran, DOMAINS[0])


def test_with_scope_server_each_server_without_a_known_key_is_accused(tmp_path):
    fleet = verify_runs.fleet(OTHER, sending_dkim_scope="server")
    fleet.keys = {domain: {f"{selector}-mta000": {**key, "scope": "server", "server": SERVERS[0]}}
                  for domain, known in fleet.keys.items() for selector, key in known.items()}
    with verify_runs.serve(fleet, OTHER):
        ran = play("verify.yml", verify_runs.write(fleet, tmp_path, fleet.keys))
    assert ran.status != 0
    assert ran.accused == {("dkim", f"{domain} on {SERVERS[1]}"): "unknown" for domain in DOMAINS}
    for place in ran.accused:
        cause = f"{CAUSE} on {SERVERS[1]} with a selector like m[0-9]{{8}}-mta001"
        assert (ran.verdicts[place]["cause"], ran.verdicts[place]["mend"]) == (cause, MEND)
    assert ran.verdicts["dkim", f"{worlds.SELECTOR}-mta000._domainkey.{DOMAINS[0]}."]["status"] == "ok"


@pytest.mark.parametrize("name", ["verify.yml", "site.yml"])
@pytest.mark.parametrize("inventory, options", [
    ({"sending_servers": {"hosts": {}}}, ()),
    ({"others": {"hosts": {"web1": {}}}}, ()),
    ({"sending_servers": {"hosts": {}}, "others": {"hosts": {"web1": {}}}}, ()),
    ({"sending_servers": {"hosts": {"mta1": {}}}, "others": {"hosts": {"web1": {}}}}, ("--limit", "web1")),
], ids=["no host at all", "no such group", "an empty group", "a limit that leaves none"])
def test_a_fleet_of_no_server_is_a_failure_with_its_mend(tmp_path, name, inventory, options):
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    ran = play(name, tmp_path / "hosts.json", *options)
    said = " ".join(ran.output.split())
    assert ran.status != 0 and ran.report is None and "PROVED" not in said
    assert "there is no server, and nothing was done: the group sending_servers of the inventory is empty" in said
    assert "or give the inventory (-i) that does" in said
    assert "Make the desired state" not in said


def test_where_no_server_answers_dns_is_verified_and_their_keys_are_unknown(world, tmp_path):
    nowhere = {"ansible_host": "127.0.0.1", "ansible_port": 9}  # nothing listens there
    inventory = verify_runs.write(world, tmp_path, world.keys)
    checked = play("verify.yml", inventory, "--check", sending_verify_deployed=True, **nowhere)
    assert checked.status != 0 and "\nNOT PROVED: 2 unknown" in checked.output and checked.report is None
    ran = play("verify.yml", inventory, sending_verify_deployed=True, **nowhere)
    assert ran.status != 0 and "\nNOT PROVED: 2 unknown" in ran.output and not ran.report["proved"]
    assert ran.accused == {("deployed key", server): "unknown" for server in SERVERS}
    for server in SERVERS:
        verdict = ran.verdicts["deployed key", server]
        assert "port 9" in verdict["cause"] and verdict["mend"] == f"make {server} answer to Ansible, then check again"
    assert {"ptr", "spf", "spf record", "dkim", "dmarc", "alignment", "mx"} < {check for check, _what in ran.verdicts}


class Odd(NamedTuple):
    plain: Ran
    given: Ran
    checked: Ran  # in check mode
    written_in_check_mode: list[str]
    folder: Path
    port: int


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A fleet that is proved with a warning, and two runs over it: without an option, and with all of them in its
    inventory, asking another resolver at a port of its own."""
    fleet, folder = verify_runs.fleet(OTHER), tmp_path_factory.mktemp("odd")
    zones = fleet.zones({verify_runs.NAMESERVER: OTHER})
    (reverse,) = (zone for zone in zones if zone.endswith(".in-addr.arpa"))
    zones[reverse][f"1.{reverse}"] = {"PTR": ["other.fleet.example."]}
    zones["fleet.example"]["other.fleet.example"] = {"A": ["198.18.0.1"]}
    lists = {"list.example": {f"{name}.list.example": {"A": ["127.0.0.2"]} for name in ("2.0.0.127", "2.0.18.198")}}
    with (
        verify_runs.serve(fleet, OTHER, zones),
        Served(zones | lists) as resolver,
    ):
        plain = play("verify.yml", verify_runs.write(fleet, folder / "plain", fleet.keys))
        fleet.variables |= {
            "sending_ptr_is_helo": True,
            "sending_blocklists": [{"name": "ours", "zone": "list.example", "kinds": ["ip4"]}],
            "sending_verify_matrix": str(folder / "matrix.csv"),
            "sending_verify_report": str(folder / "report.json"),
            "sending_dns_resolvers": [f"127.0.0.1:{resolver.port}"],
        }
        inventory = verify_runs.write(fleet, folder / "set", fleet.keys)
        checked = play("verify.yml", inventory, "--check", report=folder / "report.json")
        written = sorted(path.name for path in folder.iterdir())
        given = play("verify.yml", inventory, report=folder / "report.json")
    return Odd(plain, given, checked, written, folder, resolver.port)


def test_without_options_the_fleet_is_proved_with_a_warning(odd):
    assert odd.plain.status == 0 and "\nPROVED: 1 warn, " in odd.plain.output and odd.plain.report["proved"]
    assert odd.plain.accused == {("ptr", "198.18.0.1"): "warn"}


def test_sending_ptr_is_helo_makes_another_name_a_fault(odd):
    assert odd.given.accused["ptr", "198.18.0.1"] == "fail" and odd.given.status != 0
    assert odd.given.verdicts["ptr", "198.18.0.1"]["cause"] == (
        "the address greets as mta000-1.fleet.example., which is not its name")


def test_sending_blocklists_are_asked_and_where_there_are_none_the_report_says_so(odd):
    assert odd.given.accused["blocklist", "198.18.0.2 in ours"] == "fail"
    assert odd.given.verdicts["blocklist", "198.18.0.1 in ours"]["status"] == "ok"
    assert not any(check == "blocklist" for check, _subject in odd.plain.verdicts)
    line = "blocklists: name some in sending_blocklists"
    assert line in odd.plain.report["not_checked"] and f"- {line}" in odd.plain.output
    assert not any("blocklists" in line for line in odd.given.report["not_checked"])


def test_sending_verify_matrix_is_where_every_result_of_spf_is_written(odd):
    header, *rows = (odd.folder / "matrix.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("address,identity,domain,status,result,chain")
    # Four addresses, each with two domains, their bounce domains, and its HELO name.
    assert len(rows) == 4 * (2 + 2 + 1) and all(",ok,pass," in row for row in rows)


def test_sending_verify_report_is_where_the_report_is_written_and_nowhere_else(odd):
    assert odd.given.report["verdicts"] and not odd.given.report["proved"]
    assert [path.name for path in (odd.folder / "set" / ".mailfleet" / "state").iterdir()] == ["keys.json"]
    assert (odd.folder / "plain" / ".mailfleet" / "state" / "verify.json").exists()


def test_sending_dns_resolvers_may_name_a_port(odd):
    source = "TXT _mta-sts.brand000.example. asked of "
    assert odd.plain.verdicts["mta-sts", "brand000.example."]["source"] == f"{source}{OTHER}"
    assert odd.given.verdicts["mta-sts", "brand000.example."]["source"] == f"{source}127.0.0.1:{odd.port}"


def test_in_check_mode_nothing_is_written(odd):
    assert "\nNOT PROVED: 2 fail" in odd.checked.output and odd.checked.status == odd.given.status
    assert odd.written_in_check_mode == ["plain", "set"]
