# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what every task returned on every host, as the tests compare it: a JSON object a line, with its times."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host, task) -> None:
        self.started[host.get_name(), task._uuid] = time.time()

    def _write(self, outcome, status: str) -> None:
        host, task = outcome.host.get_name(), outcome.task
        line = {
            "host": host,
            "task": task.get_name(),
            "action": task.action,
            "status": status,
            "start": self.started[host, task._uuid],
            "end": time.time(),
            "result": dict(outcome.result),
        }
        with open(os.environ["LOOP_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result) -> None:
        self._write(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        self._write(result, "failed")

    def v2_runner_on_unreachable(self, result) -> None:
        self._write(result, "unreachable")

    def v2_runner_on_skipped(self, result) -> None:
        self._write(result, "skipped")
