# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""verify.yml over a fleet whose DNS is right: what else it needs to prove it, and what its options do."""

from __future__ import annotations

import pytest
import verify_runs
import worlds
from verify_runs import OTHER, play

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
