# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module dns_records as Ansible runs it, against a real Knot DNS: check mode, diff, what fails and what not."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from knot_server import OTHER_SECRET, SECRET, Knot

ROOT = Path(__file__).resolve().parents[2]
SPF = {"owner": "example.com.", "type": "TXT", "value": "v=spf1 ip4:198.51.100.10 ~all", "reason": "SPF of example.com"}
A = {"owner": "mta1.example.com", "type": "A", "value": "198.51.100.10", "ttl": 300}
AUX = {"owner": "example.net.", "type": "TXT", "value": "v=spf1 include:example.com ~all"}
# The record of _spf takes 9 lookups with what it includes: one too many where another include stands beside its own.
GOOGLE = "".join(
    [
        '_spf 60 IN TXT "v=spf1 ', " ".join(f"include:n{number}.google.com" for number in range(9)), ' ~all"\n',
        *(f'n{number} 60 IN TXT "v=spf1 ip4:203.0.113.{number} ~all"\n' for number in range(9)),
    ]
)
FOREIGN = '"v=spf1 include:_spf.google.com -all"'
OK = {"check": "ptr", "subjects": ["198.51.100.10"], "status": "ok"}
FAULT = {"check": "arrival", "subjects": ["mta1"], "status": "fail"}
PTR = {"owner": "10.113.0.203.in-addr.arpa.", "type": "PTR", "value": "mta1.example.com.", "reason": "address of mta1"}


class Task:
    """One task of dns_records: its result, all that it printed, and whether Ansible says that it went well."""

    def __init__(self, folder: Path, options: dict, *, check: bool = False) -> None:
        publish = {"name": "Publish", "mailfleet.sending.dns_records": "{{ options }}", "register": "made"}
        hand_over = {
            "name": "Hand the result to the test",
            "ansible.builtin.copy": {"content": "{{ made }}", "dest": str(folder / "result.json")},
            "check_mode": False,
            "diff": False,
        }
        playbook = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": sys.executable},
                "tasks": [{"name": "Publish and hand over", "block": [publish], "always": [hand_over]}],
            }
        ]
        (folder / "ansible.cfg").write_text("")
        (folder / "playbook.yml").write_text(json.dumps(playbook))
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")), str(folder / "playbook.yml"), "-i", "localhost,",
            "-c", "local", "--diff", "-vvv", "-e", json.dumps({"options": options}), *(["--check"] if check else []),
        ]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_INJECT_FACT_VARS": "false",
        }
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=folder)
        self.output = ran.stdout + ran.stderr
        assert (folder / "result.json").exists(), self.output
        self.result = json.loads((folder / "result.json").read_text())


@pytest.fixture
def knot(tmp_path):
    folder = tmp_path / "knot"
    folder.mkdir()
    zones = {"example.com.": '@ 77 IN TXT "foreign \\255 \\"value\\""\n', "example.net.": "", "google.com.": GOOGLE}
    server = Knot(folder, zones)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def zones(knot):
    key = {"name": "test", "secret": SECRET}
    server = {"server": "127.0.0.1", "port": knot.port, "key": key}
    return [{"name": "example.com", **server}, {"name": "example.net", **server}, {"name": "113.0.203.in-addr.arpa"}]


def test_check_mode_tells_what_the_run_then_does(knot, zones, tmp_path):
    options = {"zones": zones, "records": [SPF, A, AUX, PTR], "resolvers": [f"127.0.0.1:{knot.port}"], "timeout": 1}
    checked = Task(tmp_path, options, check=True)
    assert checked.result["changed"]
    assert knot.serial("example.com.") == 1
    done = Task(tmp_path, options)
    for part in ("changed", "zones", "published", "conflicts", "manual", "unanswered", "diff"):
        assert checked.result[part] == done.result[part], part
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.10"]
    assert [zone["name"] for zone in done.result["zones"]] == ["example.com.", "example.net."]
    assert done.result["zones"][1]["changes"] == [
        {"owner": "example.net.", "type": "TXT", "added": [f'"{AUX["value"]}"'], "removed": [], "ttl": 3600}
    ]
    first = done.result["diff"][0]
    assert first["before"] == 'example.com. 77 IN TXT "foreign \\255 \\"value\\""\n'
    assert first["after"] == (
        'example.com. 77 IN TXT "foreign \\255 \\"value\\""\n'
        'example.com. 77 IN TXT "v=spf1 ip4:198.51.100.10 ~all"\n'
        "mta1.example.com. 300 IN A 198.51.100.10\n"
    )
    again = Task(tmp_path, {**options, "published": done.result["published"]})
    assert not again.result["changed"]
    assert again.result["published"] == done.result["published"]
    assert again.result["diff"] == []
    for task in (checked, done, again):
        assert SECRET not in task.output


def test_what_to_publish_by_hand(knot, zones, tmp_path):
    resolvers = [f"127.0.0.1:{knot.port}"]
    foreign = {"owner": "example.com.", "type": "TXT", "value": "v=spf1 mx -all"}
    Task(tmp_path, {"zones": zones, "records": [foreign, A]})
    by_hand = [{"name": zone["name"]} for zone in zones]
    task = Task(tmp_path, {"zones": by_hand, "records": [SPF, A, AUX, PTR], "resolvers": resolvers, "timeout": 0.5})
    assert not task.result["changed"]
    assert task.result["zones"] == task.result["published"] == []
    states = {
        each["record"]["owner"]: each["status"] for zone in task.result["manual"] for each in zone["records"]
    }
    assert states == {"example.com.": "fail", "example.net.": "absent", PTR["owner"]: "unknown"}
    texts = {zone["zone"]: zone["text"] for zone in task.result["manual"]}
    assert 'example.com. 3600 IN TXT "v=spf1 mx ip4:198.51.100.10 -all"' in texts["example.com."]
    assert texts["113.0.203.in-addr.arpa."] == (
        "; zone 113.0.203.in-addr.arpa.\n"
        "; address of mta1\n"
        "10.113.0.203.in-addr.arpa. 3600 IN PTR mta1.example.com.\n"
    )


def test_one_zone_that_refuses_stops_no_other_and_fails_the_task(knot, zones, tmp_path):
    zones[0]["key"] = {"name": "test", "secret": OTHER_SECRET}
    kept = {**A, "owner": "old.example.com.", "reason": ""}
    task = Task(tmp_path, {"zones": zones, "records": [SPF, A, AUX], "published": [kept]})
    assert task.result["failed"]
    assert "zone example.com. at 127.0.0.1" in task.result["msg"]
    assert knot.values("example.net.", "TXT") == [f'"{AUX["value"]}"']
    assert [record["owner"] for record in task.result["published"]] == ["old.example.com.", "example.net."]
    assert OTHER_SECRET not in task.output
    assert SECRET not in task.output


def test_a_zone_out_of_reach_does_not_fail_the_task(knot, zones, tmp_path):
    zones[0]["port"] = 1
    task = Task(tmp_path, {"zones": zones, "records": [SPF, AUX], "timeout": 1})
    assert not task.result["failed"]
    assert task.result["changed"]
    assert task.result["unanswered"] == ["example.com."]
    assert "no connection" in task.result["zones"][0]["error"]
    assert "zone example.com. at 127.0.0.1 port 1: no connection" in task.output


def test_conflicts_are_returned_and_do_not_fail(knot, zones, tmp_path):
    knot.change("example.net.", ("add", "example.net.", 60, "TXT", '"v=spf1 include:n1.google.com -all"'))
    options = {"zones": zones, "records": [AUX], "resolvers": [f"127.0.0.1:{knot.port}"]}
    task = Task(tmp_path, options)
    assert not task.result["failed"]
    assert not task.result["changed"]
    (conflict,) = task.result["conflicts"]
    assert conflict["zone"] == "example.net."
    assert conflict["merged"] == ["v=spf1 include:n1.google.com include:example.com -all"]
    adopted = Task(tmp_path, {**options, "adopt": ["example.net"]})
    assert adopted.result["changed"]
    assert knot.values("example.net.", "TXT") == [f'"{conflict["merged"][0]}"']


def test_a_merge_that_takes_too_many_lookups_is_not_written_though_adopted(knot, zones, tmp_path):
    knot.change("example.net.", ("add", "example.net.", 60, "TXT", FOREIGN))
    options = {"zones": zones, "records": [AUX], "resolvers": [f"127.0.0.1:{knot.port}"], "adopt": ["example.net"]}
    task = Task(tmp_path, options)
    assert not task.result["changed"] and knot.values("example.net.", "TXT") == [FOREIGN]
    (conflict,) = task.result["conflicts"]
    assert conflict["merged"] == []
    assert "merged it takes 11 lookups, 10 are allowed (include:_spf.google.com takes 10" in conflict["mend"]
    silent = Task(tmp_path, {**options, "resolvers": ["127.0.0.1:1"], "timeout": 0.5})
    assert not silent.result["changed"] and knot.values("example.net.", "TXT") == [FOREIGN]
    assert "make 127.0.0.1:1 answer, and run again" in silent.result["conflicts"][0]["mend"]


def test_nothing_is_removed_until_what_stays_is_proved(knot, zones, tmp_path):
    state = tmp_path / "state"
    moved = {**A, "value": "198.51.100.11"}
    options = {"zones": zones, "records": [moved], "state": str(state), "phase": "contract"}
    Task(tmp_path, {**options, "records": [A], "phase": "expand"})
    expanded = Task(tmp_path, {**options, "phase": "expand"}).result
    both, known = ["198.51.100.10", "198.51.100.11"], (state / "published.json").read_text()
    for proof in ([OK, FAULT], []):
        for check in (True, False):
            task = Task(tmp_path, {**options, "proof": proof, "expanded": {"changed": False}}, check=check)
            assert not task.result["changed"] and not task.result["failed"] and not task.result["diff"]
            assert all(zone["changes"] == [] for zone in task.result["zones"])
            assert task.result["withheld"] == [
                {"zone": "example.com.", "owner": "mta1.example.com.", "type": "A", "added": [],
                 "removed": ["198.51.100.10"], "ttl": 300}
            ]
            assert [verdict["status"] for verdict in task.result["against"]] == ["fail" if proof else "unknown"]
            assert knot.values("mta1.example.com.", "A") == both
            assert (state / "published.json").read_text() == known
    assert expanded["changed"] and not expanded["withheld"]
    # What was not there before the run cannot be seen in check mode: the run is taken to prove it.
    checked = Task(tmp_path, {**options, "proof": [FAULT], "expanded": expanded}, check=True).result
    assert checked["changed"] and not checked["withheld"]
    assert ["whether what stays is proved" in line for line in checked["not_checked"]] == [True]
    assert knot.values("mta1.example.com.", "A") == both
    done = Task(tmp_path, {**options, "proof": [OK], "expanded": expanded}).result
    assert done["changed"] and not done["withheld"] and done["zones"] == checked["zones"]
    assert "not_checked" not in done
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.11"]


def test_what_is_no_proof_is_told(knot, zones, tmp_path):
    task = Task(tmp_path, {"zones": zones, "records": [], "phase": "contract", "proof": [{"check": "ptr"}]})
    assert task.result["failed"] and "not a verdict: status is missing, subjects is missing" in task.result["msg"]
    assert "Traceback" not in task.output


def test_all_mistakes_at_once_and_nothing_is_sent(knot, zones, tmp_path):
    records = [A, {**A, "value": "198.51.100.300"}, SPF, {**SPF, "value": "v=spf1 -all"}]
    zones[1]["key"] = {"name": "test", "secret": "%%% no base64"}
    options = {"zones": [*zones, zones[0]], "records": records, "adopt": ["a..b"], "resolvers": ["dns.example"]}
    task = Task(tmp_path, options)
    assert task.result["failed"]
    for words in (
        "zones[1]: zone example.net.: the secret of key test. is not base64",
        "zones[3]: zone example.com. is given twice",
        "records[1]: ",
        "records: example.com. TXT: 2 values of kind spf are wanted",
        "adopt[0]: 'a..b' is not a domain name",
        "resolvers[0]: resolver 'dns.example'",
    ):
        assert words in task.result["msg"]
    assert "%%% no base64" not in task.output
    assert "Traceback" not in task.output
    assert knot.serial("example.com.") == 1


def test_what_was_published_is_remembered(knot, zones, tmp_path):
    options = {"zones": zones, "records": [A], "state": str(tmp_path / "state")}
    Task(tmp_path, options)
    moved = Task(tmp_path, {**options, "records": [{**A, "value": "198.51.100.11"}], "phase": "contract"})
    assert moved.result["conflicts"] == []
    assert knot.values("mta1.example.com.", "A") == ["198.51.100.11"]
