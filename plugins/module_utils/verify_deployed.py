# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the servers hold the DKIM keys that the state knows, from what dkim_key said of each in check mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_unknown
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import owner, parse_record, record_of
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_store import NEVER_REPLACED
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "deployed key"
FROM_CONTROLLER = "run site.yml, which puts the key of the controller there"
FROM_COPY = "put the server's own key back from a copy, or choose another sending_dkim_selector and run site.yml"


def verify_deployed(desired: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Return a verdict on each key of each server that was asked.

    Arguments: C(desired) what desired_state returned; C(results) by server what dkim_key returned there, C({}) where
    the server was not reached.
    """
    return [verdict for server, result in results.items() for verdict in _of_server(desired, server, result)]


def _of_server(desired: Mapping[str, Any], server: str, result: Mapping[str, Any]) -> Iterator[Verdict]:
    faults = {(fault["domain"], fault["selector"]): fault["cause"].removesuffix(f". {NEVER_REPLACED}")
              for fault in result.get("faults") or ()}
    source = f"{server}, by dkim_key in check mode"
    if not faults and result.get("public_keys") is None:
        yield Verdict(CHECK, (server,), Status.UNKNOWN, "no answer", "the keys that the state knows",
                      result.get("msg") or "the server was not reached",
                      f"make {server} answer to Ansible, then check again", source)
        return
    for keys, mend in ((desired["fleet_keys"], FROM_CONTROLLER), (desired["servers"][server]["keys"], FROM_COPY)):
        for key in keys:
            subject = f"{owner(key['selector'], key['domain'])} on {server}"
            cause = faults.get((key["domain"], key["selector"]), "")
            if cause:
                yield Verdict(CHECK, (subject,), Status.FAIL, "another key, or none", _words(key), cause, mend, source)
            elif key["public"]:
                yield Verdict(CHECK, (subject,), Status.OK, _words(key), _words(key), source=source)
            else:
                yield Verdict(CHECK, (subject,), Status.UNKNOWN, "", "", "the state knows no key of this name",
                              dkim_unknown.MEND, source)


def _words(key: Mapping[str, Any]) -> str:
    return str(parse_record(record_of(key["public"]))) if key["public"] else "a key that can be read"
