# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone that takes no updates: its records are printed, the rest goes on, and so does the next run."""

from __future__ import annotations

import ipaddress

import breaking
import lab_world as lab

REVERSE = "8.b.d.0.1.0.0.2.ip6.arpa"
POINTER = ipaddress.ip_address("2001:db8:61::20").reverse_pointer


def test_a_hosters_zone_is_printed_and_the_next_run_goes_on_from_there(tmp_path):
    copy = breaking.copy_of_the_inventory(tmp_path)
    zones = [zone for zone in copy.read()["sending_zones"] if zone["name"] != REVERSE]
    copy.write(sending_zones=zones)
    with breaking.zones_put_back():
        lab.change(REVERSE, ("delete", f"{POINTER}.", "PTR"))
        breaking.settle(REVERSE)
        played = lab.play(inventory=copy.path)
        assert played.status != 0
        assert f"{POINTER}. 5 IN PTR mta2.example.com." in played.output, "what to publish is printed as zone text"
        assert "NOT PROVED" in played.output
        assert played.recap["mta2.example.com"]["failed"] == 0, "the servers were configured all the same"
        verdicts = copy.report()["verdicts"]
        pointers = [
            verdict for verdict in verdicts if verdict["check"] == "ptr" and verdict["status"] in ("absent", "fail")
        ]
        assert pointers and all("2001:db8:61::20" in str(verdict["subjects"]) for verdict in pointers)
        lab.change(REVERSE, ("add", f"{POINTER}.", "PTR", "mta2.example.com."))
        breaking.settle(REVERSE)
        again = lab.play(inventory=copy.path).ok()
        assert "NOT PROVED" not in again.output and f"{POINTER}. 5 IN PTR" not in again.output
