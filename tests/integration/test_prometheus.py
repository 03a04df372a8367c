# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics, rules and dashboard with the programs that they are for: promtool, node_exporter, Prometheus.

Grafana is not in Debian: of the dashboard it is its expressions that are asked here.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from log_world import VIEW, LogWorld
from mailfleet.maillog import metrics
from mailfleet.maillog.counts import Counts
from mailfleet.maillog.queues import Depth
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import View
from prometheus_programs import NODE_EXPORTER, Program, Prometheus, promtool

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
TESTS = sorted((Path(__file__).parent / "alerts").glob("*.yml"))
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
LABEL = re.compile(r'\w+="[^"]*"')
# What Grafana makes of its variables: a rate is of four steps where a target names the least of them (1m).
GRAFANA = {"$__rate_interval": "4m", "$__range": "30m"}
MINUTES = 30  # of samples, one a minute


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """What two servers tell that read one log: one that is well, and one that waits and does not know its queues."""
    reader = LogReader(View.of(VIEW), host="mta1.example.com")
    counts = Counts(str(tmp_path_factory.mktemp("counts") / "log.db"))
    reader.feed(LogWorld(seed=5).text(2000) + b"Nov 28 13:00:00 mta1 postfix/smtp[1]: what?\n")
    counts.commit(0, {"path": "the log"}, reader.state(), [(0, reader.take()[0])], 1)
    now = time.time()
    depth = Depth(recipients={("deferred", "google"): 1, ("active", "orange"): 2}, oldest=int(now) - 3600)
    depth.messages.update(active=2, deferred=1)
    plain = {"lost": 1, "cut": 2, "behind": 3, "committed": now - 60, "now": now}
    made = {"mta1": metrics.text(counts.sums(), **plain, waiting=False, depth=depth),
            "mta2": metrics.text(counts.sums(), **plain, waiting=True, depth=Depth(failed=["/etc/postfix"]))}
    counts.close()
    return made


@pytest.fixture
def told(texts):
    return texts["mta1"]


def samples(text: str) -> dict[str, float]:
    """Samples of ours by name and labels, the labels in an order of their own."""
    found = {}
    for line in text.splitlines():
        if line.startswith("mailfleet_"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            ordered = ",".join(sorted(LABEL.findall(labels or "")))
            found[f"{name}{{{ordered}}}"] = float(value)
    return found


def test_prometheus_takes_the_rules():
    many = len([rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]])
    assert f"SUCCESS: {many} rules found" in promtool("check", "rules", ALERTS)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_fire_when_they_are_to_and_at_no_other_time(path):
    assert "SUCCESS" in promtool("test", "rules", path)


def test_each_rule_is_made_to_fire():
    fired = {name for path in TESTS for group in yaml.safe_load(path.read_text())["tests"]
             for test in group["promql_expr_test"] for sample in test.get("exp_samples", ())
             for name in re.findall(r'alertname="(\w+)"', sample["labels"] + test["expr"])}
    assert fired == {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"]
                     for rule in group["rules"]}


def test_prometheus_finds_nothing_odd_in_names_types_and_units(texts):
    for text in texts.values():
        assert promtool("check", "metrics", text=text) == ""


@pytest.fixture(scope="module")
def folder():
    """A folder that everybody may look into, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="mailfleet-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def exporter(folder):
    """A node_exporter that looks for files where the folder's link is, as the agent lays it."""
    for name in ("metrics", "exported"):
        (folder / name).mkdir(mode=0o755)
    (folder / "exported/mailfleet.prom").symlink_to(folder / "metrics/mailfleet.prom")
    made = Program(NODE_EXPORTER, folder, "--collector.disable-defaults", "--collector.textfile",
                   f"--collector.textfile.directory={folder}/exported")
    yield made
    made.stop()


def test_node_exporter_tells_what_was_written(told, exporter, folder):
    path = folder / "metrics/mailfleet.prom"
    metrics.write(str(path), told)
    found = exporter.ask("/metrics")
    assert "\nnode_textfile_scrape_error 0\n" in found
    assert samples(found) == samples(told) and len(samples(told)) > 50
    described = re.compile(r"^# (?:HELP|TYPE) mailfleet_.*", re.MULTILINE)
    assert sorted(described.findall(found)) == sorted(described.findall(told))
    # Where it may not read, or cannot, it says so.
    for spoiled in (lambda: path.chmod(0o600), lambda: metrics.write(str(path), told + told)):
        spoiled()
        assert "\nnode_textfile_scrape_error 1\n" in exporter.ask("/metrics")


@pytest.fixture(scope="module")
def prometheus(texts, folder):
    """A Prometheus that has the metrics of two servers, whose counters grow each minute by what is written."""
    now, lines = int(time.time()), []
    for instance, text in texts.items():
        for name, value in samples(text).items():
            labelled = name.replace("{", f'{{instance="{instance}",').replace(",}", "}")
            for minute in range(MINUTES + 1):
                many = value * minute if "_total{" in name else value
                lines.append(f"{labelled} {many} {now - 60 * (MINUTES - minute)}\n")
    (folder / "prometheus").mkdir()
    made = Prometheus(folder / "prometheus", "".join([*lines, "# EOF\n"]))
    made.now = now
    yield made
    made.stop()


def shown(prometheus, title: str) -> dict[str, float]:
    """What a panel shows: the value of each line, by its legend."""
    found = {}
    for target in PANELS[title]["targets"]:
        expression = target["expr"]
        for variable, value in GRAFANA.items():
            expression = expression.replace(variable, value)
        for labels, value in prometheus.values(expression, prometheus.now):
            legend = re.sub(r"\{\{(\w+)\}\}", lambda name, of=labels: of.get(name[1], "?"), target["legendFormat"])
            assert legend not in found and "?" not in legend, (title, legend)
            found[legend] = value
    return found


@pytest.mark.parametrize("title", PANELS)
def test_each_panel_shows_something_with_a_legend_of_its_own(prometheus, title):
    found = shown(prometheus, title)
    assert found and any(found.values()) and all(math.isfinite(value) for value in found.values()), found
    if PANELS[title]["fieldConfig"]["defaults"]["unit"] == "percentunit":
        assert all(0 <= value <= 1 + 1e-9 for value in found.values()), found


def test_figures_are_those_that_are_written(prometheus, told):
    wanted: dict[str, float] = {}
    for name, value in samples(told).items():
        if 'outcome="delivered"' in name:
            provider = re.search(r'provider="([^"]*)"', name)[1]
            wanted[provider] = wanted.get(provider, 0) + 2 * value
    assert shown(prometheus, "Delivered by provider") == pytest.approx(wanted) and len(wanted) > 3
    oldest = shown(prometheus, "Oldest deferred")
    assert oldest == pytest.approx({"mta1": 3600}, abs=60)
    assert shown(prometheus, "Instances that do not tell their queues") == {"": 1}
    assert shown(prometheus, "The log waits") == {"": 1}
