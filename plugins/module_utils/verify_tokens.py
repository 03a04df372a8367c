# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all servers hold the keys of return paths that the controller has, from what agent_keys_info said of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_keys import State
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "token key"
OURS = "the key of the controller's token_keys.json"
BY_RUN = "run site.yml, which puts the keys of the controller there"
NO_FILE = ("keep token_keys.json with the inventory, in the folder that sending_secrets names; where it is lost, make"
           " it anew of token_keys in the servers' /etc/mailfleet/secrets.json")
PUT_BACK = ("put the servers' key (token_keys in /etc/mailfleet/secrets.json) back into token_keys.json, or name its id"
            " there among dropped, and run site.yml")
WHOSE = ("put the key of the other servers back: into token_keys.json where they all have this one, else remove"
         " /etc/mailfleet/secrets.json on this server; then run site.yml")
_FOUND = {
    State.OTHER: ("another key", "bounces of mail that one of them signed are not believed by the others", WHOSE),
    State.LACKING: ("no such key", "bounces of mail that it signed are not believed there", BY_RUN),
    State.LEFT: ("a key that the controller does not have", "what it signed is believed there and nowhere else",
                 PUT_BACK),
}


def verify_tokens(desired: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Return a verdict on each key of return paths of each server that should have the agent.

    Arguments: C(desired) what desired_state returned; C(results) by server what agent_keys_info returned there, C({})
    where the server was not reached.
    """
    return [verdict for server, result in results.items() if desired["servers"][server].get("agent")
            for verdict in _of_server(server, result)]


def _of_server(server: str, result: Mapping[str, Any]) -> Iterator[Verdict]:
    source = f"{server}, by agent_keys_info"
    if result.get("states") is None or result.get("failure"):
        mend = "mend what the cause names" if result.get("failure") else f"make {server} answer to Ansible"
        yield Verdict(CHECK, (server,), Status.UNKNOWN, "no answer", "the keys that the controller has",
                      result.get("failure") or "the server was not reached", f"{mend}, then check again", source)
        return
    if not result["known"]:
        yield Verdict(CHECK, (server,), Status.UNKNOWN, "", "", "the controller has no token_keys.json", NO_FILE,
                      source)
        return
    for name, state in sorted(result["states"].items()):
        subject = f"{name} on {server}"
        if state == State.SAME:
            yield Verdict(CHECK, (subject,), Status.OK, OURS, OURS, source=source)
            continue
        found, cause, mend = _FOUND[State(state)]
        expected = "no key of this id" if state == State.LEFT else OURS
        yield Verdict(CHECK, (subject,), Status.FAIL, found, expected, cause, mend, source)
    current = result["current"]
    # A server that lacks its key makes none at all: that was told.
    if current["server"] != current["controller"] and result["states"].get(current["controller"]) == State.SAME:
        yield Verdict(CHECK, (f"current on {server}",), Status.WARN, current["server"] or "none", current["controller"],
                      "mailfleet token new makes tokens with the former key there", BY_RUN, source)
