# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role throttle alone finds what site.yml installed, changes its own layer, and leaves the others as they are."""

from __future__ import annotations

import copy
from pathlib import Path

import lab_runs
import lab_world as lab

THROTTLE = Path(__file__).with_name("throttle.yml")
SERVER = "mta1.example.com"
RATE = "throttle_destination_rate_delay"


def throttled(layer: dict, *options: str) -> lab_runs.Run:
    return lab_runs.run("--limit", SERVER, "--diff", *options, playbook=THROTTLE, variables={"loop_layer": layer}).ok()


def settings() -> set[str]:
    """All that main.cf sets, and the services."""
    return set((lab.ssh(SERVER, "postconf", "-n") + lab.ssh(SERVER, "postconf", "-Mf")).splitlines())


def test_the_role_throttle_alone_changes_its_own_layer_and_no_other(second):
    layer = second.run.of("desired_state")[-1].result["servers"][SERVER]["layers"]["throttle"]
    before = settings()
    assert throttled(layer).changed == 0, "site.yml has installed it"
    slower = copy.deepcopy(layer)
    slower["parameters"][RATE] = "3s"
    try:
        told, done = throttled(slower, "--check"), throttled(slower)
        assert told.changed == done.changed == 1
        (foreseen,), (made,) = (run.of("postfix_config") for run in (told, done))
        assert foreseen.result["diff"] == made.result["diff"] and len(made.result["diff"]) == 1
        assert settings() ^ before == {f"{RATE} = 1s", f"{RATE} = 3s"}
    finally:
        throttled(layer)
    assert settings() == before
