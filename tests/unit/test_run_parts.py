# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The counting of `make test`, with parts of this test's own: nothing that went wrong is counted as passed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
# run_parts.py with other parts, each a Part as a mapping.
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv.pop(1))
import run_parts
parts = json.loads(sys.argv.pop(1))
run_parts.PARTS = tuple(run_parts.Part(**{**part, "command": tuple(part["command"])}) for part in parts)
run_parts.main()
"""
# A part: writes what it is told as its JUnit file, waits, and ends with a status.
PART = """
import pathlib, sys, time
folder, text, seconds, status = sys.argv[1:]
if text:
    pathlib.Path(folder, "junit.xml").write_text(text)
print("output of a part", flush=True)
time.sleep(float(seconds))
sys.exit(int(status))
"""
PASSES = '<testcase classname="a" name="passes"/>'
FAILS = '<testcase classname="a" name="fails"><failure message="it was&#10;  no">no</failure></testcase>'
BREAKS = '<testcase name="breaks"><error>no</error></testcase>'
SKIPPED = '<testcase name="skipped"><skipped/></testcase>'


def junit(*cases: str) -> str:
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"


class Runs:
    """Runs of run_parts.py that write into a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status, self.output = 0, ""

    def part(self, name: str, text: str = "", seconds: float = 0, status: int = 0, **more: object) -> dict:
        script = self.folder / "part.py"
        script.write_text(PART)
        command = [sys.executable, str(script), "{reports}", text, str(seconds), str(status)]
        return {"name": name, "command": command, "limit": 150, **more}

    def run(self, *parts: dict, arguments: tuple[str, ...] = (), **environment: str) -> str:
        """The last line of a run of parts."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILFLEET_")}
        done = subprocess.run([sys.executable, "-c", DRIVER, str(TOOLS), json.dumps(parts), *arguments],
                              env={**kept, "MAILFLEET_REPORTS": str(self.folder / "reports"), **environment},
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False)
        self.status, self.output = done.returncode, done.stdout
        return self.output.splitlines()[-1]

    def row(self, name: str) -> str:
        """The last row of a part, its spaces made one."""
        rows = re.findall(rf"^{name} .*passed.*$", self.output, re.MULTILINE)
        return " ".join(re.sub(r"\d+ s\b", "", rows[-1]).split())


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


def test_all_that_passed_is_counted_over_all_parts(runs):
    last = runs.run(runs.part("one", junit(PASSES, PASSES, SKIPPED)), runs.part("lint", counts_as_one=True))
    assert (last, runs.status) == ("3 passed, 0 failed", 0), runs.output
    assert runs.row("one") == "one 2 passed 0 failed 1 skipped"
    assert runs.row("together") == "together 3 passed 0 failed 1 skipped"


def test_a_part_that_fails_is_named_and_stops_no_other(runs):
    last = runs.run(runs.part("one", junit(PASSES, FAILS, BREAKS), status=1), runs.part("two", junit(PASSES)))
    assert (last, runs.status) == ("2 passed, 2 failed", 1), runs.output
    assert "\nFAILED one: a fails: it was no\nFAILED one: breaks\n" in runs.output
    assert runs.row("two") == "two 1 passed 0 failed 0 skipped"


@pytest.mark.parametrize("status", [0, 1])
def test_a_linter_is_one_test(runs, status):
    assert runs.run(runs.part("lint", status=status, counts_as_one=True)) == f"{1 - status} passed, {status} failed"
    assert runs.status == status


def test_a_part_that_fails_without_a_failed_test_has_failed(runs):
    last = runs.run(runs.part("one", junit(PASSES), status=3))
    assert (last, runs.status) == ("1 passed, 1 failed", 1), runs.output
    assert runs.row("one").endswith("exit status 3")


@pytest.mark.parametrize("text", ["", junit(), junit(SKIPPED)])
def test_a_part_that_ran_no_test_has_failed(runs, text):
    last = runs.run(runs.part("one", text), runs.part("two", junit(PASSES)))
    assert (last, runs.status) == ("1 passed, 1 failed", 1), runs.output
    assert runs.row("one").endswith("ran no test")


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("text", [junit(PASSES)[:-5], "<", " "])
def test_a_file_that_was_cut_short_has_failed_and_the_rest_is_counted(runs, text, status):
    last = runs.run(runs.part("one", text, status=status), runs.part("two", junit(PASSES)))
    assert (last, runs.status) == ("1 passed, 1 failed", 1), runs.output
    assert "FAILED one: junit.xml: not a whole JUnit file: " in runs.output and "Traceback" not in runs.output


def test_a_part_past_its_limit_is_ended_and_has_failed(runs):
    began = time.monotonic()
    last = runs.run(runs.part("one", seconds=600, limit=1), runs.part("two", junit(PASSES)))
    assert (last, runs.status) == ("1 passed, 1 failed", 1), runs.output
    assert re.search(r"^one .* stopped after \d+ s$", runs.output, re.MULTILINE)
    assert time.monotonic() - began < 150


def test_the_long_form_has_arguments_more(runs):
    script = runs.part("one", junit(PASSES))
    # The status is the last word of the command; without the long form it is missing, and the part fails.
    script["command"], script["long"] = script["command"][:-1], ("0",)
    assert runs.run(script, arguments=("--long",)) == "1 passed, 0 failed", runs.output
    assert runs.run(script) == "0 passed, 1 failed"


def test_a_program_that_is_not_there_has_failed(runs):
    missing = {"name": "one", "command": ["mailfleet-no-such-program"], "limit": 150}
    last = runs.run(missing, runs.part("two", junit(PASSES)))
    assert (last, runs.status) == ("1 passed, 1 failed", 1), runs.output
    assert "No such file or directory" in runs.row("one")


def test_what_runs_beside_the_lab_is_shown_where_it_fails(runs):
    lab = runs.part("lab", junit(PASSES), needs="molecule/default")
    assert runs.run(lab, runs.part("side", junit(PASSES), beside=True)) == "2 passed, 0 failed", runs.output
    assert runs.output.count("output of a part") == 1 and "(its output is in " in runs.output
    assert runs.run(lab, runs.part("side", junit(FAILS), status=1, beside=True)) == "1 passed, 1 failed", runs.output
    assert runs.output.count("output of a part") == 2


def test_parts_are_chosen_by_their_names_or_groups(runs):
    groups = {"one": "few", "two": "few", "six": ""}
    parts = [runs.part(name, junit(PASSES), group=group) for name, group in groups.items()]
    assert runs.run(*parts, arguments=("few",)) == "2 passed, 0 failed"
    assert runs.run(*parts, arguments=("six",)) == "1 passed, 0 failed"
    assert runs.run(*parts, arguments=("sx",)) == "no part is called sx; there are: few, one, six, two"
    assert runs.status == 1


def test_nothing_that_ran_is_no_success(runs):
    assert (runs.run(), runs.status) == ("0 passed, 0 failed", 1)


def test_inside_another_part_the_closing_line_is_the_outer_runs_to_say(runs):
    last = runs.run(runs.part("one", junit(FAILS), status=1), MAILFLEET_PART="newest")
    assert (last, runs.status) == ("FAILED one: a fails: it was no", 1)
