# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The alert rules and the dashboard: that they ask for metrics and labels that the program writes."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml
from log_world import VIEW, LogWorld
from mailfleet.finding import Kind
from mailfleet.maillog import metrics
from mailfleet.maillog.counts import Counts
from mailfleet.maillog.log_event import OUTCOMES
from mailfleet.maillog.queues import STATES, Depth
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import LOCAL, NONE, View
from mailfleet.reasons import ORDER

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for target in TARGETS]

HARD = {reason.name for reason in ORDER if reason.kind is Kind.HARD}
VALUES = {"outcome": set(OUTCOMES), "state": set(STATES), "reason": {reason.name for reason in ORDER},
          "address": {LOCAL, NONE}, "provider": {LOCAL}}
ASKED = re.compile(r"\b(mailfleet_\w+)(?:\s*\{([^}]*)\})?")
MATCH = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")


def told(folder, *blocks: bytes) -> dict[str, list[dict[str, str]]]:
    """The labels of all samples of each metric that is written for some lines."""
    reader, counts = LogReader(View.of(VIEW), host="mta1.example.com"), Counts(str(folder / "log.db"))
    for block in blocks:
        reader.feed(block)
    counts.commit(0, {"path": "the log"}, reader.state(), [(0, reader.take()[0])], 1)
    depth = Depth(recipients={("deferred", "google"): 1}, oldest=1)
    text = metrics.text(counts.sums(), lost=0, cut=0, behind=0, committed=1, now=1, waiting=False, depth=depth)
    counts.close()
    found: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels = SAMPLE.fullmatch(line).groups()
            found.setdefault(name, []).append({label: value for label, _is, value in MATCH.findall(labels or "")})
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    unknown = b"Nov 28 13:00:00 mta1 postfix/smtp[1]: what?\n"
    return told(tmp_path_factory.mktemp("counts"), LogWorld(seed=5).text(2000), unknown)


def takes(matches: str, labels: dict[str, str]) -> bool:
    """Whether a selector takes a sample."""
    for label, how, value in MATCH.findall(matches):
        same = bool(re.fullmatch(value, labels.get(label, ""))) if "~" in how else labels.get(label, "") == value
        if same is how.startswith("!"):
            return False
    return True


def labels_of(expression: str, written) -> set[str]:
    """The labels that what an expression makes has: those that it names, else those of its metrics."""
    named = re.findall(r"\bby \(([^)]*)\)", expression)
    if named:
        return {label.strip() for labels in named for label in labels.split(",")}
    return {"instance", *(label for name, _matches in ASKED.findall(expression) for label in written[name][0])}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_metrics_and_labels_are_those_that_are_written(expression, written):
    asked = ASKED.findall(expression)
    assert asked
    for name, matches in asked:
        assert name in written, name
        labels = set(written[name][0])
        assert re.sub(MATCH, "", matches).strip(", ") == ""
        for label, _how, value in MATCH.findall(matches):
            assert label in labels and set(value.split("|")) <= VALUES[label], (label, value)
        assert labels_of(expression, written) <= {"instance"}.union(*(written[each][0] for each, _matches in asked))
        # A counter's value says nothing, and of a gauge there is no rate.
        counted = re.search(rf"(?:rate|increase)\({name}\b", expression)
        assert bool(counted) is name.endswith("_total"), name


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_there(expression, written):
    for name, matches in ASKED.findall(expression):
        if 'reason="system"' not in matches:  # nothing failed in that log
            assert any(takes(matches, labels) for labels in written[name]), (name, matches)


def test_the_documentation_names_every_metric_with_its_labels(written):
    text = (FOLDER.parent / "maillog.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(mailfleet_\w+)` \|([^|]*)\|", text, re.MULTILINE)
    assert [(name, re.findall(r"\w+", labels)) for name, labels in rows] == [
        (name, list(samples[0])) for name, samples in written.items()]


def test_every_metric_is_shown(written):
    shown = {name for target in TARGETS for name, _matches in ASKED.findall(target["expr"])}
    assert set(written) - shown == {"mailfleet_log_lines_total", "mailfleet_log_cut_lines_total"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_how_badly(rule, written):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[1-9][0-9]*[mh]", rule["for"]) and rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"} and all(rule["annotations"].values())
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels_of(rule["expr"], written)
        assert set(re.findall(r"\{\{ \$(\w+)", text)) <= {"labels", "value"}


def test_rules_have_names_of_their_own():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) >= 8


def rule(name: str) -> str:
    return next(rule["expr"] for rule in RULES if rule["alert"] == name)


@pytest.mark.parametrize("line", [
    "submission/smtpd[1]: NOQUEUE: milter-reject: CONNECT from x[192.0.2.7]: 451 4.7.1 Service unavailable - try again "
    "later; proto=SMTP",
    "smtpd[1]: NOQUEUE: milter-reject: EHLO from x[192.0.2.7]: 451 4.7.1 Service unavailable - try again later; "
    "proto=ESMTP helo=<x>",
    "cleanup[1]: A1B2C3: milter-reject: END-OF-MESSAGE from x[192.0.2.7]: 4.7.1 Service unavailable - try again later; "
    "from=<a@example.com> to=<u@gmail.com> proto=ESMTP helo=<x>"])
def test_a_milter_that_stopped_is_told_of(tmp_path, line):
    found = told(tmp_path, f"Nov 28 13:03:35 mta1 postfix/{line}\n".encode())
    (name, matches), = ASKED.findall(rule("MailfleetRefusesByFault"))
    assert [labels for labels in found[name] if takes(matches, labels)]


def test_a_refusal_for_another_reason_is_no_fault(written):
    (name, matches), = ASKED.findall(rule("MailfleetRefusesByFault"))
    assert not [labels for labels in written[name] if takes(matches, labels)]


def test_dead_addresses_are_those_of_the_hard_reasons():
    named = {value for _name, matches in ASKED.findall(rule("MailfleetDeadAddresses"))
             for label, _how, value in MATCH.findall(matches) if label == "reason"}
    assert {frozenset(value.split("|")) for value in named} == {frozenset(HARD)}


def test_one_variable_names_the_source_of_all_panels():
    variable, = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    source = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
    assert all(each["datasource"] == source for each in (*DASHBOARD["panels"], *TARGETS))


def test_a_rate_is_of_two_scrapes_at_least_where_nobody_told_grafana_how_far_they_are_apart():
    """It takes 15 s for granted, and `$__rate_interval` is four times what a target says."""
    for target in TARGETS:
        assert ("$__rate_interval" in target["expr"]) is (target.get("interval") == "1m"), target


def test_what_is_to_be_none_is_red_where_it_is_not():
    colours = {panel["title"]: [each["color"] for each in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
               for panel in DASHBOARD["panels"] if panel["options"].get("colorMode") == "value"}
    assert len(colours) == 3 and set(map(tuple, colours.values())) == {("green", "red")}


def test_the_form_is_that_of_grafana_9_and_later_ones_bring_it_up_to_theirs():
    """A Grafana that has an older form than a dashboard's refuses it, or leaves it as it is."""
    assert DASHBOARD["schemaVersion"] == 36 and isinstance(DASHBOARD["refresh"], str)
    for panel in DASHBOARD["panels"]:
        # Panels of Angular are gone since Grafana 12.
        assert panel["type"] in ("timeseries", "stat") and set(panel["fieldConfig"]) == {"defaults", "overrides"}
        for target in panel["targets"]:
            assert target["refId"] and target.get("instant", False) is (panel["type"] == "stat") is not target["range"]


def test_panels_have_ids_titles_and_places_of_their_own():
    panels = DASHBOARD["panels"]
    for name in ("id", "title"):
        assert len({panel[name] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["w"] > 0 and place["h"] > 0 and 0 <= place["x"] <= 24 - place["w"] and panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"])
def test_legends_name_labels_that_are_there(target, written):
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels_of(target["expr"], written)
