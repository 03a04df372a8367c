# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test run that is ended by SIGTERM puts back what its tests changed: real runs of pytest, ended at a moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
CHANGES_AND_PUTS_BACK = """
import pathlib, time
import pytest

here = pathlib.Path(__file__).parent

def fixture(name, scope):
    @pytest.fixture(scope=scope, name=name)
    def made():
        yield
        here.joinpath(f"{name} begins").touch()
        while name == "{name}" and not here.joinpath("asked twice").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        here.joinpath(f"{name} is back").touch()
    return made

session, module, function = (fixture(scope, scope) for scope in ("session", "module", "function"))

def test_first(session, module, function):
    here.joinpath("test begins").touch()
    time.sleep({seconds})

def test_next():
    here.joinpath("next test").touch()
"""


@pytest.mark.parametrize(("moment", "seconds"), [("test begins", 60), ("function begins", 0), ("session begins", 0)])
def test_finalizers_run_to_their_end(tmp_path, moment, seconds):
    file = tmp_path / "test_changes.py"
    text = CHANGES_AND_PUTS_BACK.replace("{seconds}", str(seconds))
    # It is at work until both signals were sent, however late they come.
    file.write_text(text.replace('"{name}"', f'"{moment.partition(" ")[0]}"'))
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, f"--rootdir={tmp_path}", str(file)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(TESTS)}, stdout=subprocess.DEVNULL) as run:
        end = time.monotonic() + 60
        while not (tmp_path / moment).exists():
            assert run.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        run.send_signal(signal.SIGTERM)  # who is impatient changes nothing
        (tmp_path / "asked twice").touch()
        status = run.wait(timeout=60)
    back = {path.name.removesuffix(" is back") for path in tmp_path.glob("* is back")}
    assert back == {"session", "module", "function"}
    assert status == pytest.ExitCode.INTERRUPTED
    # Fixtures of the whole session end with the last test.
    assert (tmp_path / "next test").exists() == (moment == "session begins")
