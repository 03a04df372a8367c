# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a browser: light and dark, on a phone, on a large screen and on paper."""

from __future__ import annotations

import re

import pytest
from browser import Browser
from mailfleet.maillog import page
from mailfleet.maillog.totals import Totals
from report_world import TEXT, evil_report, reported

REPORTS = {"busy": reported(TEXT), "hostile": evil_report(40, 60), "empty": reported(b"")}
WIDTHS = (1200, 360)
OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"

# Each text that can be seen: its colour and that of what is behind it, how large it is, where it begins and ends, and
# whether it is in a box that is scrolled. What is behind a text of an SVG is what was drawn before it in its group.
TEXTS = """(() => {
  const opaque = colour => !/^rgba\\(.*, 0\\)$/.test(colour) && colour !== 'transparent';
  const behind = node => {
    if (node.tagName === 'text') {
      const drawn = node.previousElementSibling;
      if (node.closest('.heat') && drawn && drawn.tagName === 'rect') return getComputedStyle(drawn).fill;
    }
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (opaque(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, style = getComputedStyle(node);
    if (!walker.currentNode.data.trim() || node.tagName === 'title' || !node.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    found.push({text: walker.currentNode.data.slice(0, 40), behind: behind(node),
                colour: node.tagName === 'text' ? style.fill : style.color, size: parseFloat(style.fontSize),
                left: box.left, right: box.right, scrolled: !!node.closest('.wide')});
  }
  return found;
})()"""
# The bars and marks of all plots that are not where the plot is.
OUTSIDE = """[...document.querySelectorAll('svg[role=img]')].flatMap(plot => {
  const room = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('rect,circle,path')].map(each => each.getBoundingClientRect()).filter(box =>
    room.width < 50 || box.left < room.left - 12 || box.right > room.right + 12 || box.top < room.top - 6 ||
    box.bottom > room.bottom + 6 || !(box.width > 0 && box.height > 0)).map(box => [room.toJSON(), box.toJSON()]);
})"""
ROWS = "[...document.querySelectorAll('#%s tr')].map(row => [...row.cells].map(cell => cell.textContent))"
FIGURES = ("Object.fromEntries([...document.querySelectorAll('.figures div')].map(each =>"
           " [each.querySelector('dt').textContent, each.querySelector('.large').textContent]))")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The files of the pages by the names of REPORTS."""
    folder = tmp_path_factory.mktemp("pages")
    for name, report in REPORTS.items():
        page.write(report, str(folder / f"{name}.html"))
    return {name: folder / f"{name}.html" for name in REPORTS}


def luminance(colour: str) -> float:
    """The relative luminance of a colour as browsers name it (WCAG 2.2)."""
    parts = [float(each) / 255 for each in re.fullmatch(r"rgb\((\S+), (\S+), (\S+)\)", colour).groups()]
    parts = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_legible(browser, places, name, width, dark):
    browser.open(places[name], width, dark)
    assert browser.complaints() == []
    assert browser.requested() == [places[name].as_uri()]
    if name != "empty":
        assert browser.value(OUTSIDE) == []
    browser.value(OPEN_ALL)
    # Nothing is wider than the window, save in boxes of its own.
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    texts = browser.value(TEXTS)
    assert len(texts) > (15 if name == "empty" else 300)
    for each in texts:
        assert contrast(each["colour"], each["behind"]) >= 4.5, each
        assert each["size"] >= 10.5, each
        assert each["scrolled"] or (each["left"] >= -1 and each["right"] <= width + 1), each
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert luminance(ground) < 0.02 if dark else luminance(ground) > 0.9


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_shown_is_what_the_json_says(browser, places, width):
    browser.open(places["busy"], width)
    totals = Totals.from_json(REPORTS["busy"]["totals"])
    figures = browser.value(FIGURES)
    outcomes = [each.lower() for each in figures if each not in ("TLS", "Waiting")]
    assert len(outcomes) == 6
    for outcome in outcomes:
        assert figures[outcome.capitalize()] == f"{totals.total(outcome=outcome):,}" != "0"
    head, *rows = browser.value(ROWS % "by-provider")
    assert head == ["provider", *outcomes]
    assert {row[0]: row[1:] for row in rows[:-1]} == {
        name: [f"{totals.total(provider=name, outcome=outcome):,}" for outcome in outcomes]
        for (name,) in totals.by("provider")}
    # A bar is as long as it is many of the most.
    _head, *reasons = browser.value(ROWS % "by-reason")
    sums = sorted((sum(int(each.replace(",", "")) for each in row[2:]) for row in reasons), reverse=True)
    ends = browser.value("""[...document.querySelectorAll('details.reason > summary > svg')].map(plot => {
        const room = plot.getBoundingClientRect(), bars = [...plot.querySelectorAll('rect')];
        return (Math.max(...bars.map(bar => bar.getBoundingClientRect().right)) - room.left) / room.width;
    })""")
    assert sorted(ends, reverse=True) == pytest.approx([each / sums[0] for each in sums], abs=0.005)


def test_what_strangers_said_is_nothing_but_text(browser, places):
    browser.open(places["hostile"], 1200)
    browser.value(OPEN_ALL)
    live = "script,img,iframe,link,a,object,form,[onload],[onerror]"
    assert browser.value(f"document.querySelectorAll('{live}').length") == 0
    assert browser.value("document.querySelectorAll('style').length") == 1
    assert "<script>alert(1)</script>" in browser.value("document.body.innerText")
    assert not any(each["method"] == "Page.javascriptDialogOpening" for each in browser.events)


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_printed_on_few_sheets(browser, places, name):
    browser.open(places[name], 1200, dark=True)
    paper = browser.paper()
    sheets = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert paper.startswith(b"%PDF") and 1 <= sheets <= {"empty": 1, "busy": 6, "hostile": 14}[name], sheets
    # On paper it is light, whatever the screen is.
    browser.ask("Emulation.setEmulatedMedia", media="print",
                features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert luminance(browser.value("getComputedStyle(document.body).backgroundColor")) > 0.9


def test_a_browser_that_complains_is_heard(browser, tmp_path):
    """What the tests above rely on: the policy blocks, a script that is blocked is told, a wide page is wide."""
    policy = re.search(r"<meta http-equiv[^>]*>", page.page(REPORTS["empty"]))[0]
    (tmp_path / "bad.html").write_text(
        f'{policy}<p style="width:2000px">x<script>document.title = "ran"</script>'
        f'<img src="{tmp_path.as_uri()}/a.png">')
    browser.open(tmp_path / "bad.html", 360)
    assert len(browser.complaints()) >= 2 and browser.value("document.title") != "ran"
    assert not browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
