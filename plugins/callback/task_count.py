# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts what a run of a playbook costs: every task on every host is a round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
name: task_count
type: aggregate
short_description: Count the tasks that each server and the controller went through
version_added: 1.0.0
description:
  - Writes as JSON how many tasks ran and how many were skipped, on the controller and on each server, as a whole and
    for each role.
  - Counts everything that costs a round, the validation of a role's arguments, the gathering of facts and retried
    attempts of a task included. A loop counts as one task.
  - A task that is delegated to the controller counts as the controller's, once for every host that it ran for.
    One that is delegated to another server counts as that server's.
  - A skipped task is counted apart, since its condition is evaluated but nothing is sent to the host.
    An include or import of tasks or of a role is not counted, but what it brings in is.
  - Prints nothing.
requirements:
  - to be enabled by its full name in C(callbacks_enabled)
options:
  path:
    description: The file to write at the end of the run. Without it nothing is counted.
    type: path
    env:
      - name: MAILFLEET_TASK_COUNT
    ini:
      - section: callback_task_count
        key: path
author:
  - mailfleet.sending contributors (@mailfleet)
"""

import json
import typing as t
from collections import Counter
from pathlib import Path

from ansible.plugins.callback import CallbackBase

CONTROLLER = ("localhost", "127.0.0.1", "::1")
NO_ROUND = ("include_tasks", "import_tasks", "include_role", "import_role", "meta")


class CallbackModule(CallbackBase):
    """Each event of a task's end on a host is one round; which of them it was decides the column."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mailfleet.sending.task_count"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.rounds: Counter[tuple[str, str, str]] = Counter()  # (host, role, column)
        self.tasks: dict[tuple[str, str], list[str]] = {}  # names, in the order in which a host finished them

    def _count(self, result: t.Any, column: str) -> None:
        task = result.task
        if task.action.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.") in NO_ROUND:
            return
        # The task in a result has its templates filled in, delegate_to among them (but for a loop's, whose items may
        # each go elsewhere).
        host = task.delegate_to or result.host.get_name()
        host = "controller" if host in CONTROLLER else host
        self.rounds[host, task._role.get_name() if task._role else "", column] += 1
        self.tasks.setdefault((host, column), []).append(task.get_name())

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._count(result, "executed")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._count(result, "executed")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._count(result, "executed")

    def v2_runner_retry(self, result: t.Any) -> None:
        self._count(result, "executed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._count(result, "skipped")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        path = self.get_option("path")
        if path:
            Path(path).write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")

    def _summary(self) -> dict[str, t.Any]:
        """Return `{controller: FIGURES, servers: {NAME: FIGURES}}`."""
        hosts = {host for host, _role, _column in self.rounds}
        return {
            "controller": self._figures("controller"),
            "servers": {host: self._figures(host) for host in sorted(hosts - {"controller"})},
        }

    def _figures(self, host: str) -> dict[str, t.Any]:
        """Return executed and skipped rounds of a host, the same by role (`""` is outside of roles), and the names."""
        of_host = {(role, column): rounds for (name, role, column), rounds in self.rounds.items() if name == host}
        columns = ("executed", "skipped")
        return {
            **{column: sum(rounds for (role, ours), rounds in of_host.items() if ours == column) for column in columns},
            "roles": {role: {column: of_host.get((role, column), 0) for column in columns}
                      for role in sorted({role for role, _column in of_host})},
            "tasks": self.tasks.get((host, "executed"), []),
        }
