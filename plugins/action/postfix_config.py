# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands certificates and their keys over from the controller: read, decrypted in memory, passed apart with no_log."""

from __future__ import annotations

import copy
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import joined
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import Refused

HALVES = ("key", "certificate")


class ActionModule(ActionBase):
    """Takes the paths out of the layers, and runs the module of the same name with what they hold."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the server."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        layers = copy.deepcopy(arguments.get("layers"))
        pairs = dict(arguments.get("secret_certificates") or {})
        mistakes: list[Mistake] = []
        # What is no layer, or no certificate, the module tells.
        for layer, content in layers.items() if isinstance(layers, dict) else ():
            named = content.get("certificates") if isinstance(content, dict) else None
            for name, entry in named.items() if isinstance(named, dict) else ():
                if isinstance(entry, dict) and entry:
                    try:
                        pairs[name] = self._pair(f"layers.{layer}.certificates.{name}", entry)
                        named[name] = {}
                    except Mistakes as error:
                        mistakes += error.mistakes
        if mistakes:
            raise AnsibleActionFail(str(Refused(mistakes)))
        arguments |= {"layers": layers, "secret_certificates": pairs}
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)

    def _pair(self, path: str, entry: dict[str, Any]) -> str:
        """Return key and chain in PEM; raises Mistakes."""
        if set(entry) != set(HALVES) or not all(isinstance(entry[half], str) for half in HALVES):
            expected = "the files `certificate` and `key` on the controller"
            raise Mistakes([Mistake(path, f"the keys {', '.join(sorted(map(str, entry)))}", expected)])
        read, mistakes = {}, []
        for half in HALVES:
            try:
                file = self._find_needle("files", entry[half])
                read[half] = (file, str(self._loader.get_text_file_contents(file)))
            except (AnsibleError, OSError, UnicodeDecodeError) as error:
                found = f"{entry[half]}, which cannot be read ({_first_line(error)})"
                mistakes.append(Mistake(f"{path}.{half}", found, "a PEM file on the controller"))
        if mistakes:
            raise Mistakes(mistakes)
        return joined(read["key"], read["certificate"])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
