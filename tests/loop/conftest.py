# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that several files look at: each is made once, when it is first wanted."""

from __future__ import annotations

import dataclasses
import json

import lab_runs
import pytest


@dataclasses.dataclass(frozen=True)
class Second:
    """A run over a finished fleet with all output, its count of tasks, and what a fact cache kept of it."""

    run: lab_runs.Run
    counts: dict
    cache: str


@pytest.fixture(scope="session")
def second(tmp_path_factory) -> Second:
    folder = tmp_path_factory.mktemp("second")
    facts, counts = folder / "facts", folder / "counts.json"
    facts.mkdir()
    run = lab_runs.run(
        "-vvv",
        "--diff",
        environment={
            "ANSIBLE_CALLBACKS_ENABLED": "mailfleet.sending.task_count",
            "MAILFLEET_TASK_COUNT": str(counts),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(facts),
        },
    )
    run.ok()
    kept = "".join(path.read_text(encoding="utf-8") for path in sorted(facts.rglob("*")) if path.is_file())
    return Second(run, json.loads(counts.read_text(encoding="utf-8")), kept)
