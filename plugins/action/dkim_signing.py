# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides which key signs on each server, and remembers which keys DNS was seen to serve."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mailfleet.sending.plugins.module_utils.signing import (
    Answer,
    Key,
    SigningError,
    decide,
    register,
    stops,
    taken,
    verdicts,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.state import State, StateError, today


class ActionModule(ActionBase):
    """Publish, see, sign: what was not seen does not sign."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(
            {
                "state": {"type": "path", "required": True},
                "domains": {"type": "list", "elements": "str", "required": True},
                "servers": {"type": "list", "elements": "str", "required": True},
                "keys": {"type": "dict", "required": True, "no_log": False},
                "wanted": {"type": "list", "elements": "dict", "required": True},
                "seen": {"type": "list", "elements": "dict", "required": True},
                "published": {"type": "dict", "default": {}},
                "unsigned": {"type": "str", "choices": ["defer", "allow"], "default": "defer"},
                "date": {"type": "str"},
            }
        )
        day = arguments["date"] or today().isoformat()
        try:
            state = State(arguments["state"], dry=self._task.check_mode)
            known = arguments["keys"]
            keys = [
                Key(domain, selector, entry["public"], entry["created"], entry["scope"], entry["server"])
                for domain, selectors in known.items()
                for selector, entry in selectors.items()
            ]
            wanted, seen = _names(arguments["wanted"]), _names(arguments["seen"])
            others = taken(arguments["published"])
            if self._task.check_mode:
                # What a run would make and publish: the answer that the run then gives where DNS serves it.
                seen |= wanted & {(key.domain, key.selector) for key in keys if key.owner not in others}
            known = register(known, keys, seen, day)
            state.write_json("keys.json", known)
            decisions = decide(
                keys,
                known,
                arguments["domains"],
                wanted=wanted,
                unsigned=arguments["unsigned"],
                servers=arguments["servers"],
            )
            if lines := stops(decisions, known, others):
                raise AnsibleActionFail("\n".join(lines))
        except (SigningError, StateError) as error:
            raise AnsibleActionFail(str(error)) from error
        servers: dict[str, dict[str, t.Any]] = {
            server: {"signing": [], "deferred": [], "allowed": []} for server in arguments["servers"]
        }
        for decision in decisions:
            place = servers[t.cast(str, decision.server)]
            if decision.answer is Answer.SIGNED:
                entry = known[decision.domain][decision.selector]
                place["signing"].append(
                    {
                        "domain": decision.domain,
                        "selector": decision.selector,
                        "scope": entry["scope"],
                        "public": entry["public"],
                    }
                )
            else:
                place["deferred" if decision.answer is Answer.DEFERRED else "allowed"].append(decision.domain)
        told = [verdict.to_dict() for verdict in verdicts(decisions)]
        awaited = sorted({f"{d.awaited}._domainkey.{d.domain}" for d in decisions if d.awaited})
        return {**result, "changed": bool(state.changed), "servers": servers, "awaited": awaited, "verdicts": told}


def _names(keys: list[dict[str, t.Any]]) -> set[tuple[str, str]]:
    return {(key["domain"], key["selector"]) for key in keys}
