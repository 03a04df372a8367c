# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as ansible-playbook shows it: lines, not one text with escaped newlines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OK = {"check": "ptr", "subjects": ["198.51.100.10"], "status": "ok", "source": "query"}
FAULT = {**OK, "subjects": ["198.51.100.11"], "status": "fail", "found": "NXDOMAIN", "mend": "publish a PTR"}


def play(folder: Path, *options: str, **arguments) -> subprocess.CompletedProcess[str]:
    """Report in a play on two hosts, once; the next task shows whether the play went on."""
    (folder / "site.json").write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "tasks": [
                        {
                            "name": "Report",
                            "mailfleet.sending.fleet_report": {
                                "path": str(folder / "new" / "report.json"),
                                **arguments,
                            },
                            "run_once": True,
                            "register": "reported",
                        },
                        {"name": "Afterwards", "ansible.builtin.debug": {"msg": "proved: {{ reported.proved }}"}},
                    ],
                }
            ]
        )
    )
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "one,two,",
        "-c",
        "local",
        *options,
        "site.json",
    ]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1"},
    )


def test_a_proved_fleet(tmp_path):
    done = play(tmp_path, verdicts=[OK])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nChecks\n  check      ok    warn unknown  absent    fail\n  ptr         1" in done.stdout
    assert done.stdout.count("\n\nPROVED: 1 ok\n") == 1
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["proved"] is True and report["verdicts"][0]["source"] == "query" and report["made"]


def test_a_fault_fails_the_task_after_it_was_shown(tmp_path):
    done = play(tmp_path, verdicts=[OK, FAULT])
    assert done.returncode == 2 and "Afterwards" not in done.stdout
    assert (
        "\n1. ptr fail: 198.51.100.11\n   found    NXDOMAIN\n   mend     publish a PTR\n   source   query\n"
        in done.stdout
    )
    assert "NOT PROVED: 1 fail, 1 ok; the faults are listed above" in done.stdout
    assert json.loads((tmp_path / "new" / "report.json").read_text())["faults"][0]["found"] == "NXDOMAIN"


@pytest.mark.parametrize("options, written", [((), True), (("--check",), False)])
def test_a_fault_can_be_shown_alone(tmp_path, options, written):
    done = play(tmp_path, *options, verdicts=[OK, FAULT], fail=False)
    assert (
        done.returncode == 0
        and "NOT PROVED: 1 fail, 1 ok" in done.stdout
        and "proved: False" in done.stdout.replace("'", "")
    )
    assert (tmp_path / "new" / "report.json").exists() == written
    assert "changed=0" in done.stdout


def test_mistakes_are_told(tmp_path):
    done = play(tmp_path, verdicts=[{"check": "ptr"}])
    assert done.returncode == 2 and "not a verdict: status is missing, subjects is missing" in done.stdout
    (tmp_path / "new").mkdir(exist_ok=True)
    (tmp_path / "new" / "report.json").mkdir()
    done = play(tmp_path, verdicts=[OK])
    assert done.returncode == 2 and "give another path" in done.stdout and "Traceback" not in done.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.json"]


def test_a_run_that_has_begun_has_proved_nothing(tmp_path):
    path = tmp_path / "new" / "report.json"
    begun = play(tmp_path, begins=True)
    assert begun.returncode == 0 and not path.exists(), "there is nothing to take back"
    proved = play(tmp_path, verdicts=[OK])
    before = path.read_text()
    assert proved.returncode == 0 and json.loads(before)["proved"] is True
    play(tmp_path, "--check", begins=True)
    assert path.read_text() == before, "check mode is no run"
    begun = play(tmp_path, begins=True, verdicts=[OK])
    assert begun.returncode == 0 and "changed=0" in begun.stdout and "PROVED" not in begun.stdout
    report = json.loads(path.read_text())
    assert report["proved"] is False and report["verdicts"] == [] and report["made"]
    assert set(report) == set(json.loads(before)) and "has not come to its own report" in report["not_checked"][0]
