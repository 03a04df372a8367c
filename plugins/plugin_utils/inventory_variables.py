# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's variables become the fleet, here and nowhere else: those of the whole group, whatever C(--limit) says."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleError

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory import read_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_files import Files
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_names import FLEET_WIDE, GROUP, OF_HOST
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.state import today
from ansible_collections.mailfleet.sending.plugins.plugin_utils.agent_program import judge


def read_variables(
    templar: t.Any, task_vars: t.Mapping[str, t.Any], files: Files | None = None, date: object = None
) -> Fleet:
    """Return the fleet.

    Arguments: C(templar) and C(task_vars) those of the action; C(files) looks at the controller's disk, and without it
    no file that the inventory names is looked into; C(date) the day that the task was given, today where that is none:
    a task's arguments are judged behind the inventory.
    Raises: Mistakes with all of them, those among them of values that no value could be made of.
    """
    hosts, hostvars = task_vars.get("groups", {}).get(GROUP, []), task_vars["hostvars"]
    unfilled: dict[str, Mistake] = {}

    def filled(path: str, fill: t.Callable[[], t.Any]) -> t.Any:
        try:
            return fill()
        except AnsibleError as error:
            unfilled[path] = Mistake(path, f"cannot be filled in: {' '.join(str(error).split())}", "")
            return None

    variables = {
        name: filled(name, lambda name=name: templar.template(task_vars[name]))
        for name in FLEET_WIDE
        if name in task_vars
    }
    # Ansible puts the variables of a host together anew for each time that the host is named.
    of_host = {host: (hostvars[host], hostvars.raw_get(host)) for host in hosts}
    own = {
        host: {name: filled(f"{host}: {name}", lambda of=of, name=name: of.get(name)) for name in OF_HOST}
        for host, (of, _raw) in of_host.items()
    }
    try:
        raw = {host: raw for host, (_of, raw) in of_host.items()}
        fleet = read_fleet(variables, own, raw, files, _day(date), judge)
        mistakes: tuple[Mistake, ...] = ()
    except Mistakes as error:
        # What no value could be made of was read as nothing, which is not the mistake.
        mistakes = tuple(mistake for mistake in error.mistakes if mistake.path not in unfilled)
    if unfilled or mistakes:
        raise Mistakes([*unfilled.values(), *mistakes])
    return fleet


def _day(date: object) -> datetime.date:
    try:
        return datetime.date.fromisoformat(t.cast(str, date))
    except (TypeError, ValueError):
        return today()
