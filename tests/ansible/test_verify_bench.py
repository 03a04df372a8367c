# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bench/dns measures of verify.yml, in a small form: the fleet of the bench is proved, and its matrix is whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "dns"))

import cases
import measured
import worlds
from served import ROOT, Served

ADDRESSES, PORT = ("127.0.0.62", "127.0.0.63"), 53  # where modules ask authoritative servers


def test_verify_yml_proves_the_fleet_of_the_bench_by_whom_it_is_told_to_ask(tmp_path):
    fleet = worlds.Fleet(servers=2, addresses=3, domains=2, resolver=ADDRESSES[0])
    inventory, matrix = measured.write_inventory(fleet, tmp_path), tmp_path / "matrix.csv"
    playbook = ROOT / "playbooks" / "verify.yml"
    with Served(cases.zones(fleet, 1, ADDRESSES), ADDRESSES, PORT):
        run = measured.playbook(playbook, inventory, "-e", f"sending_verify_matrix={matrix}")
        assert "ns2.fleet.example." in (tmp_path / ".mailfleet/state/verify.json").read_text("utf-8")
        # As YAML reads it, where it is not quoted.
        resolvers_only = measured.playbook(playbook, inventory, "-e", json.dumps({"sending_dns_authoritative": False}))
        assert "ns2.fleet.example." not in (tmp_path / ".mailfleet/state/verify.json").read_text("utf-8")
    assert "\nPROVED: " in run.output and "changed=0" in run.output and "\nPROVED: " in resolvers_only.output
    # Six addresses, each with two domains, their bounce domains, and its HELO name.
    rows = matrix.read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == 6 * (2 + 2 + 1) and all(",ok,pass," in row for row in rows)
