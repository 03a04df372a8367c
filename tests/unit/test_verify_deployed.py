# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that servers hold, from what dkim_key returned of each."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_unknown
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_deployed import (
    FROM_CONTROLLER,
    FROM_COPY,
    verify_deployed,
)

P = f"{'A' * 43}="  # an Ed25519 key's 32 bytes


def key(domain: str, selector: str, public: str = P) -> dict:
    return {"domain": domain, "selector": selector, "public": public}


def fault(domain: str, selector: str) -> dict:
    return {"domain": domain, "selector": selector, "cause": f"/keys/{domain}/{selector}.pem: it is not the key"}


OURS, OWN = key("example.com", "m1"), key("example.com", "m1-mta1")
DESIRED = {"fleet_keys": [OURS], "servers": {"mta1": {"keys": [OWN]}, "mta2": {"keys": []}}}
GOOD = {"public_keys": [OWN, OURS]}


def told(result: dict, desired: dict | None = None) -> dict:
    verdicts = verify_deployed(desired or DESIRED, {"mta1": result})
    assert all("mta1" in verdict.source for verdict in verdicts)
    return {subject: (each.status, each.cause, each.mend) for each in verdicts for subject in each.subjects}


def test_every_key_of_every_server_has_its_verdict():
    verdicts = verify_deployed(DESIRED, {"mta1": GOOD, "mta2": {"public_keys": [OURS]}})
    assert [(*verdict.subjects, verdict.status) for verdict in verdicts] == [
        ("m1._domainkey.example.com. on mta1", "ok"),
        ("m1-mta1._domainkey.example.com. on mta1", "ok"),
        ("m1._domainkey.example.com. on mta2", "ok"),
    ]


def test_another_key_is_a_fault_of_that_key_alone_and_its_mend_is_where_it_comes_from():
    for wrong, mend in ((OURS, FROM_CONTROLLER), (OWN, FROM_COPY)):
        one = fault(wrong["domain"], wrong["selector"])
        name = f"{wrong['selector']}._domainkey.example.com. on mta1"
        found = told({"failed": True, "msg": one["cause"], "faults": [one]})
        assert found.pop(name) == (Status.FAIL, one["cause"], mend)
        assert [status for status, _cause, _mend in found.values()] == [Status.OK]


def test_a_server_that_did_not_answer_is_unknown():
    mend = "make mta1 answer to Ansible, then check again"
    assert told({}) == {"mta1": (Status.UNKNOWN, "the server was not reached", mend)}
    assert told({"unreachable": True, "msg": "timed out"}) == {"mta1": (Status.UNKNOWN, "timed out", mend)}


def test_a_key_that_the_state_does_not_know_is_unknown():
    desired = {"fleet_keys": [key("example.com", "m1", "")], "servers": {"mta1": {"keys": []}}}
    assert list(told(GOOD, desired=desired).values()) == [
        (Status.UNKNOWN, "the state knows no key of this name", dkim_unknown.MEND)]


def test_a_fleet_without_keys_has_nothing_to_compare():
    assert told({"public_keys": []}, desired={"fleet_keys": [], "servers": {"mta1": {"keys": []}}}) == {}
