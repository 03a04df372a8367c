# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a page: its numbers are those of the JSON, and it is one file that runs and asks for nothing."""

from __future__ import annotations

import collections
import copy
import datetime
import json
import os
import random
import re
import stat

import pytest
from log_world import HOST, VIEW
from mailfleet.cli import main
from mailfleet.errors import Trouble
from mailfleet.maillog import page
from mailfleet.maillog.page_text import LogAxis, share, span
from mailfleet.maillog.totals import Totals
from mailfleet.maillog.why import gist
from page_reader import OUTCOMES, Page, number, per_cent, told
from report_world import TEXT, evil_report, reported

REPORT = reported(TEXT)
TOTALS = Totals.from_json(REPORT["totals"])
PAGE = Page(page.page(REPORT))


def folded(*names: str, only: tuple[str, ...] = OUTCOMES) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Rows of a table from the totals: outcomes by some names."""
    rows: dict = collections.defaultdict(collections.Counter)
    for (*name, outcome), many in TOTALS.by(*names, "outcome").items():
        rows[tuple(name)][outcome] += many
    made = {name: tuple(each[outcome] for outcome in only) for name, each in rows.items()}
    return {name: each for name, each in made.items() if any(each)}


def all_of(rows: dict) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows.values())))


@pytest.mark.parametrize("table, name", [("by-provider", "provider"), ("by-address", "address")])
def test_outcomes_are_those_of_the_totals(table, name):
    rows = folded(name)
    assert PAGE.counts(table) == rows | {("all",): all_of(rows)}
    order = [row[0] for row in PAGE.tables[table][1:-1]]
    assert order == sorted(order, key=lambda each: (-sum(rows[each,]), each)) and len(order) > 4


def test_domains_are_those_of_the_totals():
    rows = {(name,): tuple(each.get(outcome, 0) for outcome in OUTCOMES) for name, each in TOTALS.domains.items()}
    assert PAGE.counts("by-domain") == rows | {("all",): all_of(rows)}


def test_figures_at_the_head_are_those_of_the_totals():
    for outcome in OUTCOMES:
        assert number(PAGE.figures[outcome.capitalize()][0]) == TOTALS.total(outcome=outcome) > 0
    assert PAGE.figures["Deferred"][1] == f"attempts, of {sum(TOTALS.deferred.values()):,} messages"
    over, whole = (sum(each[at] for each in TOTALS.tls.values()) for at in (0, 1))
    assert PAGE.figures["TLS"] == (share(over, whole), f"{over:,} of {whole:,} deliveries by SMTP")
    waiting, small = PAGE.figures["Waiting"]
    assert number(waiting) == sum(REPORT["waiting"]["messages"].values()) > 1
    at = datetime.datetime.fromtimestamp(REPORT["waiting"]["oldest"], datetime.UTC)
    assert f"since {at:%Y-%m-%d %H:%M}" in small and REPORT["waiting"]["oldest_message"].split()[-1] in small
    assert span(TOTALS.last - REPORT["waiting"]["oldest"]) in small
    ended = sum(TOTALS.total(outcome=each) for each in ("delivered", "bounced", "expired"))
    assert PAGE.figures["Bounced"][1] == f"{share(TOTALS.total(outcome='bounced'), ended)} of what ended"


def bucket_of(label: str) -> tuple[int, int]:
    """When a stretch of time begins and ends, in seconds."""
    begin, end = re.fullmatch(r"(\S+ \S+) to (\d\d:\d\d)", label).groups()
    first = int(datetime.datetime.fromisoformat(f"{begin}+00:00").timestamp())
    hours = (int(end[:2]) - int(begin[11:13])) % 24
    return first, first + hours * 3600


def test_outcomes_by_time_are_those_of_the_totals():
    rows = PAGE.counts("by-time", 2)
    seen = collections.Counter()
    for (provider, label), many in rows.items():
        begin, end = bucket_of(label)
        for outcome, each in zip(OUTCOMES, many):
            assert each == sum(count for hour, *rest, count in REPORT["totals"]["hours"]
                               if begin <= hour < end and rest[:2] == [provider, outcome])
            seen[outcome] += each
    assert dict(seen) == {outcome: TOTALS.total(outcome=outcome) for outcome in OUTCOMES}
    # What is plotted says the same, and as long as it is many.
    for provider in {provider for provider, _label in rows}:
        plot, = (each for each in PAGE.plots_of(f"{provider} by ") if each.get("height") == "144")
        assert told(plot.get("aria-label")) == {
            name: many for name, many in zip(OUTCOMES, all_of({key: many for key, many in rows.items()
                                                               if key[0] == provider})) if many}
        groups = {each.findtext("title").rpartition(": ")[0]: each for each in plot.iter("g")}
        mine = {label: dict(zip(OUTCOMES, many)) for (name, label), many in rows.items() if name == provider}
        assert groups.keys() == mine.keys()
        most = max(each["delivered"] for each in mine.values())
        worst = max(sum(each.values()) - each["delivered"] for each in mine.values())
        for label, group in groups.items():
            assert told(group.findtext("title")) == {name: many for name, many in mine[label].items() if many}
            for rect in group.findall("rect")[:-1]:
                outcome, height = rect.get("class"), float(rect.get("height"))
                scale = 48 / most if outcome == "delivered" else 36 / worst
                assert height == pytest.approx(max(1, mine[label][outcome] * scale), rel=1e-3)
            assert {rect.get("class") for rect in group.findall("rect")[:-1]} == set(told(group.findtext("title")))


def test_reasons_are_those_of_the_totals():
    rows = folded("reason", "scope", only=OUTCOMES[1:])
    assert PAGE.counts("by-reason", 2) == rows and len(rows) >= 6
    most = max(map(sum, rows.values()))
    for (reason, scope), many in rows.items():
        plot, = (each for each in PAGE.plots_of(f"{reason}: ")
                 if sum(told(each.get("aria-label")).values()) == sum(many))
        widths = {rect.get("class"): per_cent(rect.get("width")) for rect in plot.findall("rect")}
        wanted = {outcome: 100 * each / most for outcome, each in zip(OUTCOMES[1:], many) if each}
        assert widths == pytest.approx(wanted, abs=0.001), (reason, scope)


def test_samples_are_those_of_the_totals():
    samples = {f"{provider} {text}": (reason, gist(text)) for (provider, reason), texts in TOTALS.samples.items()
               for text in texts}
    shown = collections.Counter(samples[each][0] for each in PAGE.quotes)  # KeyError: what nobody said
    meanings = set(samples.values())
    assert len({samples[each] for each in PAGE.quotes}) == len(PAGE.quotes)
    assert shown == {name: min(6, sum(reason == name for reason, _gist in meanings)) for name, _gist in meanings}


def test_delays_are_those_of_the_report():
    names = {name.lower(): stage for stage, name in page._NAMES.items()}
    found = {(provider, names[stage]): tuple(map(float, each))
             for provider, stage, *each in PAGE.tables["by-delay"][1:]}
    wanted = {(each["provider"], each["stage"]): (each["p50"], each["p90"], each["p99"]) for each in REPORT["delays"]}
    assert found == wanted and len(wanted) > 20
    axis = LogAxis(value for each in wanted.values() for value in each)
    for stage, name in page._NAMES.items():
        plot, = PAGE.plots_of(f"{name}, 50")
        for group in plot.iter("g"):
            provider = group.findtext("title").partition(":")[0]
            dot = per_cent(group.find("circle").get("cx"))
            diamond, stroke = per_cent(group.findall("svg")[1].get("x")), per_cent(group.find("rect").get("x"))
            assert (dot, diamond, stroke) == pytest.approx(
                [30 + 67 * axis.place(each) for each in wanted[provider, stage]], abs=0.01)


def test_deferrals_by_hour_are_those_of_the_totals():
    attempts = collections.Counter()
    for hour, provider, outcome, _reason, many in REPORT["totals"]["hours"]:
        if outcome in ("delivered", "deferred", "bounced"):
            for name in (provider, "all"):
                attempts[name, hour // 3600 % 24, "all"] += many
                attempts[name, hour // 3600 % 24, "deferred"] += many * (outcome == "deferred")
    rows = {row[0]: row[1:] for row in PAGE.tables["by-hour"][1:]}
    assert set(rows) == {name for name, _hour, _which in attempts}
    for name, cells in rows.items():
        for hour, cell in enumerate(cells):
            many = attempts[name, hour, "deferred"], attempts[name, hour, "all"]
            assert cell == ("–" if not many[1] else f"{many[0]:,}/{many[1]:,}")
        plot, = (each for each in PAGE.plots_of(f"{name}: ") if each.get("height") == "24")
        for group in plot.iter("g"):
            hour = int(re.search(r", (\d\d):00 to", group.findtext("title"))[1])
            deferred, whole = attempts[name, hour, "deferred"], attempts[name, hour, "all"]
            assert f"{deferred:,} of {whole:,} attempts" in group.findtext("title")
            step = sum(100 * deferred > most * whole for most in (0, 1, 5, 20, 50))
            assert group.find("rect").get("class") == f"h{step}"
    assert PAGE.tables["by-hour"][1][0] == "all"


def test_each_plot_and_table_says_what_it_is():
    assert len(PAGE.plots) > 20 and set(PAGE.captions) == set(PAGE.tables) and all(PAGE.captions.values())
    for tag, attrs in PAGE.tags:
        if tag == "svg" and "height" in attrs and attrs.get("class") != "cut":  # these are parts of others
            assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
    assert [tag for tag, _attrs in PAGE.tags if tag in ("h1", "main", "html")] == ["html", "main", "h1"]
    assert ("html", {"lang": "en"}) in PAGE.tags


def check_closed(text: str) -> Page:
    """The page has nothing that runs, is fetched, leads elsewhere or hides."""
    text.encode()  # halves of surrogate pairs have no encoding
    found = Page(text)
    assert {tag for tag, _attrs in found.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "h1", "h2", "h3", "p",
        "b", "bdi", "dl", "dt", "dd", "div", "ul", "li", "span", "figure", "figcaption", "details", "summary",
        "blockquote", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td",
        "svg", "g", "rect", "line", "circle", "path", "text"}
    names = {name for _tag, attrs in found.tags for name in attrs}
    assert names <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "id", "role", "aria-label", "aria-hidden",
        "tabindex", "scope", "title", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d",
        "transform"}
    policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    assert ("meta", policy) in found.tags
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|http|//|expression|<.*<", style) and text.count("<style>") == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    return found


def test_one_file_that_runs_nothing_and_asks_for_nothing():
    check_closed(page.page(REPORT))


def test_what_strangers_said_is_text():
    found = check_closed(page.page(evil_report(40, 60)))
    text = "".join(found.texts)
    assert "<script>alert(1)</script>" in text and "‹U+202E›gpj.exe" in text and "‹U+D800›" in text
    # Many marks on one letter would reach over other lines.
    assert "e" + "\u0301" * 4 + "‹U+0301›" in text and "\u0301" * 5 not in text
    assert any(attrs.get("aria-label", "").startswith("<script>alert(1)</script>") for _tag, attrs in found.tags)
    assert "17 servers" in text and "No providers are configured" in text


def test_however_much_there_is_the_page_is_bounded():
    report_ = evil_report(400, 120)
    much = page.page(report_)
    assert len(much.encode()) < 1_500_000
    found = check_closed(much)
    assert max(len(rows) for rows in found.tables.values()) < 500
    assert len(found.plots) < 80
    # What is left out of a table is in one row of it, so that sums are exact.
    totals = Totals.from_json(report_["totals"])
    wanted = [totals.total(outcome=each) for each in OUTCOMES]
    for name, keys, last in (("by-provider", 1, -1), ("by-address", 1, -1), ("by-time", 2, None),
                             ("by-reason", 2, None)):
        rows = [[number(each) for each in row[keys:]] for row in found.tables[name][1:]]
        assert list(map(sum, zip(*rows[:last]))) == wanted[name == "by-reason" :], name
        assert last is None or rows[-1] == wanted


def test_the_same_report_makes_the_same_page():
    turned = copy.deepcopy(REPORT)
    chance = random.Random(5)
    for name in ("rows", "hours", "samples", "delays"):
        chance.shuffle(turned["totals"][name])
    chance.shuffle(turned["delays"])
    turned["totals"] = dict(reversed(turned["totals"].items()))
    turned["totals"]["domains"] = dict(reversed(turned["totals"]["domains"].items()))
    assert page.page(turned) == page.page(REPORT)


def test_of_nothing_and_of_one_deferral():
    empty = Page(page.page(reported(b"")))
    assert not empty.tables and not empty.plots and "The log says nothing of any mail" in "".join(empty.texts)
    assert empty.figures["Delivered"] == ("0", "nothing ended") and empty.figures["TLS"][0] == "–"
    one = Page(page.page(reported(
        b"2026-01-01T00:00:00Z mta1 postfix/smtp[1]: A1: to=<a@x.example>, relay=none, delay=1, delays=0/0/0/1, "
        b"dsn=4.4.1, status=deferred (timed out)\n")))
    assert one.counts("by-provider") == {("other",): (0, 1, 0, 0, 0, 0)}
    assert one.counts("by-time", 2) == {("other", "2026-01-01 00:00 to 01:00"): (0, 1, 0, 0, 0, 0)}
    assert one.figures["Deferred"] == ("1", "attempts, of 1 message") and "by-delay" not in one.tables
    assert one.figures["TLS"] == ("–", "nothing left by SMTP")


def test_hours_that_were_put_together_are_told_beside_the_plots():
    found = copy.deepcopy(REPORT)
    found["totals"]["hours"].insert(0, [0, "google", "delivered", "", 1000])
    found["totals"]["rows"].append(["google", "192.0.2.10", "delivered", "", "delivered", "", 1000])
    made = Page(page.page(found))
    assert made.counts("by-time", 2)["google", "before"] == (1000, 0, 0, 0, 0, 0)
    assert len(made.plots) == len(PAGE.plots)


def test_of_several_servers():
    found = copy.deepcopy(REPORT)
    found["totals"] = (TOTALS + TOTALS).as_json()
    counted = {f"mta{n}.example.com": 1795000000 + 86400 * n for n in range(2, 9)} | {"mta1.example.com": 0}
    made = Page(page.page(found | {"hosts": ["mta1.example.com", "mta2.example.com"], "counted": counted}))
    text = "".join(made.texts)
    assert ("longest ago: mta1.example.com not one line yet: see what its journal says; mta2.example.com last at "
            "2026-11-20 11:06 UTC; mta3.example.com last at 2026-11-21 11:06 UTC.") in text
    assert "Mail of 2 servers" in text and "mta1.example.com, mta2.example.com" in text
    assert number(made.figures["Delivered"][0]) == 2 * TOTALS.total(outcome="delivered")


@pytest.mark.parametrize("damage", [
    {"totals": {}}, {"totals": None}, {"delays": [{"provider": "a"}]}, {"delays": None}, {"waiting": {}}, {"files": 7},
    {"counted": None}, {"counted": {"a": "b"}},
    {"delays": [{"provider": "a", "stage": "total", "p50": "1", "p90": 1, "p99": 1}]}, {"hosts": 7},
    {"delays": [{"provider": "a", "stage": "total", "p50": float("nan"), "p90": 1, "p99": 1}]},
    {"waiting": {"messages": {"a": -1}, "oldest": None, "oldest_message": None}},
    {"delays": [{"provider": "a", "stage": "total", "p50": 1, "p90": 1, "p99": 10**400}]},
    {"waiting": {"messages": {"a": "<b>"}, "oldest": None, "oldest_message": None}}])
def test_what_is_no_report_is_refused(damage):
    with pytest.raises(ValueError):
        page.page(REPORT | damage)
    with pytest.raises(ValueError):
        page.page([])


def test_the_file_is_its_owners_and_whole_or_not_at_all(tmp_path, monkeypatch):
    place = tmp_path / "report.html"
    place.write_text("before")
    place.chmod(0o644)

    def fails(*_names: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(Trouble, match="No space left"):
            page.write(REPORT, str(place))
    assert place.read_text() == "before" and os.listdir(tmp_path) == ["report.html"]
    page.write(REPORT, str(place))
    assert place.read_text() == page.page(REPORT) and stat.S_IMODE(place.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["report.html"]
    for wrong, why in ((tmp_path, "no plain file"), (tmp_path / "none" / "x.html", "No such file"),
                       ("/dev/null", "no plain file")):
        with pytest.raises(Trouble, match=why):
            page.write(REPORT, str(wrong))


def test_the_command_writes_the_page_of_its_json(tmp_path, capsys):
    (tmp_path / "mail.log").write_bytes(TEXT)
    (tmp_path / "agent.json").write_text(json.dumps({"host": HOST, "maillog": VIEW}))
    asked = ["--config", str(tmp_path / "agent.json"), "log", "report", "--html", str(tmp_path / "report.html")]
    assert main([*asked, str(tmp_path / "mail.log")]) == 0
    assert capsys.readouterr() == ("", "")
    first = (tmp_path / "report.html").read_text()
    assert main([*asked, "--json", str(tmp_path / "mail.log")]) == 0
    assert page.page(json.loads(capsys.readouterr().out)) == first == (tmp_path / "report.html").read_text()
    assert main([*asked[:-1], str(tmp_path), str(tmp_path / "mail.log")]) == 5
    assert "no plain file" in capsys.readouterr().err
