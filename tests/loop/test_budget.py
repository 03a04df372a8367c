# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs that changes nothing: rounds on each server and on the controller, skipped ones counted too."""

from __future__ import annotations

import lab_world as lab

# The role postfix installs the throttles' layer with its own.
ROLES = ("mailfleet.sending.postfix", "mailfleet.sending.dkim")
# These run in Ansible itself, in the name of the first server; it is the controller that works.
AT_HOME = ("desired_state", "dkim_signing", "fleet_report")
ON_A_SERVER, ON_THE_CONTROLLER = 14, 12


def test_a_server_costs_at_most_14_tasks_for_postfix_dkim_and_throttle(second):
    assert set(second.counts["servers"]) == set(lab.SERVERS)
    for server, figures in second.counts["servers"].items():
        by_role = {role: figures["roles"][role] for role in ROLES}
        total = sum(count for counts in by_role.values() for count in counts.values())
        print(f"{server}: {total} of {ON_A_SERVER}: {by_role}")
        assert all(counts["executed"] for counts in by_role.values())
        assert total <= ON_A_SERVER


def test_the_controller_costs_at_most_12_tasks(second):
    figures = second.counts["controller"]
    at_home = [task.task for module in AT_HOME for task in second.run.of(module)]
    total = figures["executed"] + figures["skipped"] + len(at_home)
    print(f"controller: {total} of {ON_THE_CONTROLLER}: {figures['tasks'] + at_home}")
    assert figures["executed"] and at_home
    assert total <= ON_THE_CONTROLLER
