# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of return paths that servers hold, from what agent_keys_info returned of each."""

from __future__ import annotations

import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import report
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_tokens import (
    BY_RUN,
    NO_FILE,
    PUT_BACK,
    WHOSE,
    verify_tokens,
)

DESIRED = {"servers": {"mta1": {"agent": {"settings": {}}}, "mta2": {"agent": {"settings": {}}}, "mta3": {"agent": {}}}}


def of(states: dict, server: str = "a", known: bool = True) -> dict:
    return {"known": known, "states": states, "current": {"controller": "a", "server": server}}


def told(result: dict) -> dict:
    verdicts = verify_tokens(DESIRED, {"mta1": result})
    assert all("mta1" in verdict.source for verdict in verdicts)
    return {subject: (each.status, each.mend) for each in verdicts for subject in each.subjects}


def test_every_key_of_every_server_with_an_agent_has_its_verdict():
    verdicts = verify_tokens(DESIRED, {"mta1": of({"a": "same", "b": "same"}), "mta2": of({"a": "same"}), "mta3": {}})
    assert [(verdict.check, *verdict.subjects, verdict.status) for verdict in verdicts] == [
        ("token key", "a on mta1", "ok"), ("token key", "b on mta1", "ok"), ("token key", "a on mta2", "ok")]


@pytest.mark.parametrize(("state", "mend"), [("other", WHOSE), ("lacking", BY_RUN), ("left", PUT_BACK)])
def test_a_key_that_differs_is_a_fault_of_it_alone(state, mend):
    assert told(of({"a": "same", "b": state})) == {"a on mta1": (Status.OK, ""), "b on mta1": (Status.FAIL, mend)}


def test_another_key_makes_tokens_there():
    assert told(of({"a": "same", "b": "same"}, server="b"))["current on mta1"] == (Status.WARN, BY_RUN)


def test_a_server_without_the_program_lacks_its_key_and_that_is_told_once():
    assert told(of({"a": "lacking"}, server="")) == {"a on mta1": (Status.FAIL, BY_RUN)}


def test_what_could_not_be_compared_is_unknown():
    assert told({}) == {"mta1": (Status.UNKNOWN, "make mta1 answer to Ansible, then check again")}
    failure = {"failure": "it is no JSON", "known": False, "states": {}, "current": {}}
    assert told(failure) == {"mta1": (Status.UNKNOWN, "mend what the cause names, then check again")}
    assert verify_tokens(DESIRED, {"mta1": failure})[0].cause == "it is no JSON"


def test_without_the_controllers_file_nothing_is_known():
    assert told(of({}, known=False)) == {"mta1": (Status.UNKNOWN, NO_FILE)}


def test_the_report_tells_it():
    made = report.make({**DESIRED, "paths": [], "domains": []}, [], {}, {}, tokens={"mta1": of({"a": "other"})})
    assert [(fault.check, fault.subjects) for fault in made.faults] == [("token key", ("a on mta1",))]
