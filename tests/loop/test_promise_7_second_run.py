# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second run changes nothing; check mode lists what a run then does, no less and no more; --limit limits nothing."""

from __future__ import annotations

import json

import lab_runs
import lab_world as lab
import pytest
from lab_runs import records

# Another pace, another end of an SPF record, and one domain of a provider more.
ANOTHER = {
    "sending_providers": [
        {"name": "throttle", "domains": ["orange.fr", "wanadoo.fr", "voila.fr"], "connections": 2, "delay": "2s"}
    ],
    "sending_domains": [
        {
            "name": "example.com",
            "bounce_domain": "e.example.com",
            "dmarc": {"policy": "quarantine", "rua": ["dmarc@example.com"]},
        },
        {"name": "example.us", "bounce_domain": "e.example.us", "spf": {"include": ["example.com"], "all": "fail"}},
    ],
}


def files(run: lab_runs.Run) -> dict[tuple[str, str], tuple[str, str]]:
    """What the tasks of a run say that they did to Postfix, or would do: (server, file) -> (before, after)."""
    return {
        (task.host, part["after_header"]): (part["before"], part["after"])
        for task in run.of("postfix_config")
        for part in task.result.get("diff") or []
    }


def others(run: lab_runs.Run) -> set[tuple[str, str]]:
    """Which tasks besides these changed something, or would."""
    return {
        (task.host, task.task)
        for task in run.tasks
        if task.result.get("changed") and task.module not in ("dns_records", "postfix_config")
    }


def test_a_second_run_changes_nothing(second):
    assert set(second.run.recap) == set(lab.SERVERS)
    for host, counts in second.run.recap.items():
        assert counts["changed"] == counts["failed"] == counts["unreachable"] == 0, (host, counts)
    assert not [task.task for task in second.run.tasks if task.result.get("changed")]
    # Nor is it seen to that nothing is there of what nobody wants, where a look at the server found nothing.
    assert second.run.of("server_check") and not second.run.of("agent_config")


def test_check_mode_on_a_finished_fleet_says_that_nothing_would_change(second):
    checked = lab_runs.run("--check", "--diff")
    checked.ok()
    assert checked.changed == 0
    assert not records(checked) and not files(checked) and not others(checked)
    untold = [task.result["unverified"] for task in checked.tasks if task.result.get("unverified")]
    assert not untold, "nothing is left open on servers that stand"


@pytest.fixture(scope="module")
def changed_inventory(second):
    """Check mode after a change of the inventory, the run that follows, and check mode after it."""
    lab.stand()
    try:
        checked, done = lab_runs.run("--check", "--diff", variables=ANOTHER), lab_runs.run("--diff", variables=ANOTHER)
        again = lab_runs.run("--check", "--diff", variables=ANOTHER)
    finally:
        lab.play().ok()
    return checked, done, again


def test_check_mode_lists_the_files_that_a_run_then_changes(changed_inventory):
    checked, done, _again = changed_inventory
    checked.ok()
    done.ok()
    assert files(checked) == files(done)
    assert set(files(done)) == {
        (server, name)
        for server in lab.SERVERS
        for name in ("/etc/postfix/main.cf", "/etc/postfix/master.cf", "table transport")
    }
    for server in lab.SERVERS:
        assert "throttle_destination_rate_delay = 2s" in files(done)[server, "/etc/postfix/main.cf"][1]
        assert "voila.fr" in files(done)[server, "table transport"][1]


def test_check_mode_lists_the_records_that_a_run_then_publishes(changed_inventory):
    checked, done, _again = changed_inventory
    assert records(checked) == records(done)
    assert set(records(done)) == {("example.us.", "TXT"), ("_dmarc.example.com.", "TXT")}
    assert '"v=spf1 include:example.com -all"' in records(done)["example.us.", "TXT"][0]


def test_check_mode_lists_the_other_tasks_that_then_change_something(changed_inventory):
    checked, done, _again = changed_inventory
    assert others(checked) == others(done)


def test_after_the_run_check_mode_lists_nothing_any_more(changed_inventory):
    _checked, _done, again = changed_inventory
    again.ok()
    assert again.changed == 0 and not records(again) and not files(again)


@pytest.fixture(scope="module")
def limited(second, tmp_path_factory):
    """A run for mta1 alone, while a record of mta2's is missing."""
    lost = [("mta2b.example.com", "A", []), ("21.100.51.198.in-addr.arpa", "PTR", [])]
    report = tmp_path_factory.mktemp("limited") / "report.json"
    with lab_runs.changed(*lost):
        run = lab_runs.run("--limit", "mta1.example.com", variables={"sending_report": str(report)})
        found = {(owner, kind): lab_runs.read(owner, kind) for owner, kind, _none in lost}
    run.ok()
    return run, json.loads(report.read_text(encoding="utf-8")), found


def test_with_limit_the_records_still_name_the_other_server(limited):
    run, _report, _found = limited
    for owner in ("example.com", "e.example.com"):
        assert all(lab_runs.passes(lab.answer(owner, "TXT"), address) for address in lab.HELO)
    assert "10 mta2.example.com." in lab.answer("e.example.com", "MX")
    removed = [values for _added, values, _ttl in records(run).values() if values]
    assert not removed


def test_with_limit_publishing_still_runs_for_all(limited):
    run, _report, found = limited
    assert set(records(run)) == {("mta2b.example.com.", "A"), ("21.100.51.198.in-addr.arpa.", "PTR")}
    assert found == {
        ("mta2b.example.com", "A"): ["198.51.100.21"],
        ("21.100.51.198.in-addr.arpa", "PTR"): ["mta2b.example.com."],
    }


def test_with_limit_preflight_and_verification_still_run(limited):
    run, report, _found = limited
    assert {task.host for task in run.tasks} == {"mta1.example.com"}, "the other server itself is left alone"
    for module in (
        "validate_argument_spec",
        "desired_state",
        "server_check",
        "dns_records",
        "dkim_verify",
        "mail_probe",
        "ptr_verify",
        "spf_verify",
        "fleet_report",
    ):
        assert run.of(module, "mta1.example.com"), module
    assert {row["address"] for row in report["paths"]} == set(lab.HELO)
    ptr = {subject for each in report["verdicts"] if each["check"] == "ptr" for subject in each["subjects"]}
    assert set(lab.HELO) <= ptr and report["proved"] is True
