# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bench/maillog says of totals is so: it sees each dimension that is not what was written."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[2] / "bench/maillog/__main__.py"
SPEC = importlib.util.spec_from_file_location("bench_maillog", PLACE)
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Totals of a log as the program of the measurement prints them, and what was written."""
    path = str(tmp_path_factory.mktemp("bench") / "log")
    bench.make(path, "rfc3339", 1500)
    found = bench.run([bench.sys.executable, str(PLACE), "--read", path, "1", "1"])
    return found, pickle.loads(Path(f"{path}.says").read_bytes())


def test_a_log_is_measured(measured):
    found, says = measured
    assert found.cpu > 0 and found.wall > 0 and found.memory > 5
    assert bench.mistakes(json.loads(found.out), says) == []


@pytest.mark.parametrize("name", ["rows", "hours", "lines", "domains", "deferred", "tls", "counts"])
def test_what_is_not_exact_is_said(measured, name):
    found, says = measured
    wrong = {each: dict(counts) for each, counts in says.items()}
    wrong[name][next(iter(wrong[name]))] += 1
    assert bench.mistakes(json.loads(found.out), wrong) == [name]
