# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report on the logs of a fleet, as ansible-playbook shows and writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from log_world import VIEW, LogWorld
from mailfleet.maillog import report
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import View


def of_server(host: str, seed: int) -> tuple[dict, LogWorld]:
    """What a server tells, and what its log was made of."""
    world, view = LogWorld(seed=seed, every=20), View.of(VIEW)
    reader = LogReader(view, host=host)
    reader.feed(b"".join(world.lines(2000)))
    return {"report": report.as_json(reader, reader.take()[0], view, ["/var/log/mail.log"]), "changed": False}, world


FIRST, SECOND = of_server("mta1.example.com", 1), of_server("mta2.example.com", 2)
UNREACHED = {"failed": True, "msg": "timed out waiting for the connection", "elapsed": 5}


def play(folder: Path, reports: dict, *options: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Report once in a play on two hosts; what was shown, and what the task returned."""
    (folder / "reports.json").write_text(json.dumps(reports))
    tasks = [
        {"name": "Report", "run_once": True, "register": "told", "mailfleet.sending.log_report": {
            "reports": "{{ lookup('ansible.builtin.file', 'reports.json') | from_json }}",
            "path": f"{folder}/log"}},
        {"name": "Keep", "run_once": True, "check_mode": False, "delegate_to": "localhost",
         "ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": f"{folder}/told.json"}},
    ]
    (folder / "site.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "one,two,", "-c", "local", *options,
               "site.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                          timeout=120)
    told = folder / "told.json"
    return done, json.loads(told.read_text()) if told.exists() else {}


def test_logs_are_put_together_shown_and_written_for_their_owner(tmp_path):
    done, told = play(tmp_path, {"mta1": FIRST[0], "mta2": SECOND[0]})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nMail of mta1.example.com, mta2.example.com: 2025-12-31" in done.stdout and "\\n" not in done.stdout
    sums = [sum(many for row, many in world.says["rows"].items() if row[2] == "delivered")
            for _report, world in (FIRST, SECOND)]
    assert told["outcomes"]["delivered"] == sum(sums) and min(sums) > 100
    assert told["servers"] == ["mta1", "mta2"] and told["missing"] == {} and not told["changed"]
    written = json.loads((tmp_path / "log/log.json").read_text())
    assert written["hosts"] == ["mta1.example.com", "mta2.example.com"]
    assert "<svg" in Path(told["path"]).read_text()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "log", *(tmp_path / "log").iterdir())}
    assert modes == {"log": 0o700, "log.json": 0o600, "log.html": 0o600}


def test_a_server_that_did_not_answer_is_named(tmp_path):
    done, told = play(tmp_path, {"mta1": FIRST[0], "mta2": UNREACHED, "mta3": {}}, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert told["missing"] == {"mta2": "timed out waiting for the connection", "mta3": "it was not asked"}
    assert "Not told of: mta2: timed out waiting for the connection" in done.stdout
    assert told["path"] == "" and not (tmp_path / "log").exists(), "check mode writes nothing"


@pytest.mark.parametrize("reports, words", [
    ({"mta1": UNREACHED}, "no server's log is known: mta1: timed out waiting for the connection"),
    ({"mta1": {"report": {"totals": {}}}}, "the report cannot be made: found no totals"),
    ({"mta1": {"report": {**FIRST[0]["report"], "totals": {"rows": [["x"]]}}}}, "the report cannot be made"),
])
def test_what_is_none_is_told_without_a_traceback(tmp_path, reports, words):
    done, told = play(tmp_path, reports)
    assert done.returncode != 0 and told == {}
    assert words in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr, done.stdout
