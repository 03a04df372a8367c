# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report's page is drawn with: texts, numbers, axes and colours."""

from __future__ import annotations

import datetime
import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.maillog import page_style, plots
from mailfleet.maillog.log_event import OUTCOMES
from mailfleet.maillog.page_text import Buckets, LogAxis, esc, share, span


@given(st.text())
def test_any_text_is_text_and_xml(text):
    made = esc(text)
    tree = ElementTree.fromstring(f'<a b="{made}">{made}</a>')
    assert tree.text in (tree.get("b"), None) and (tree.text is None) == (not text)
    assert len(tree.text or "") <= 600 + len("‹U+10FFFF›…")
    if text.isalnum() and text.isascii():
        assert tree.text == text[:600] + "…" * (len(text) > 600)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_any_hours_have_a_place(hours):
    """Few buckets, whatever the clocks said, and each hour in that which says so."""
    found = Buckets(each // 3600 * 3600 for each in hours)
    assert 1 <= len(found.starts) <= 48
    for each in hours:
        place = found.place(each // 3600 * 3600)
        assert found.starts[place] <= each < found.starts[place] + found.step
        assert found.label(place)
    ticks = found.ticks()
    assert len(ticks) <= 5 and all(0 <= at < 1 and text for at, text in ticks)


@pytest.mark.parametrize("hours, step, one", [
    (1, 1, "an hour"), (48, 1, "an hour"), (49, 2, "2 hours"), (24 * 7, 6, "6 hours"), (24 * 40, 24, "a day"),
    (24 * 90, 48, "2 days"), (24 * 300, 168, "a week")])
def test_long_times_are_told_by_days(hours, step, one):
    begin = 1_767_225_600  # a Thursday, 00:00
    found = Buckets(range(begin, begin + hours * 3600, 3600))
    assert (found.step, found.one) == (step * 3600, one)
    if step == 168:
        assert datetime.datetime.fromtimestamp(found.starts[0], datetime.UTC).weekday() == 0


@given(st.lists(st.floats(0, 1e9), max_size=20))
def test_any_delays_have_a_place(values):
    axis = LogAxis(values)
    assert all(0 <= axis.place(each) <= 1 for each in values) and axis.place(0) == 0
    assert [axis.place(each) for each in sorted(values)] == sorted(axis.place(each) for each in values)
    places = [at for at, _text in axis.ticks]
    assert 2 <= len(places) <= 6 and places == sorted(set(places))


def test_shares_are_never_rounded_to_all_or_nothing():
    told_ = [share(*each).replace("\N{NO-BREAK SPACE}", " ") for each in
             ((0, 0), (0, 5), (5, 5), (1, 9999), (9998, 9999), (1, 3), (1, 2))]
    assert told_ == ["–", "0 %", "100 %", "under 0.1 %", "over 99.9 %", "33.3 %", "50 %"]
    assert [span(each) for each in (0, 0.31, 59, 60, 3599, 7260, 90000, 86400)] == [
        "0 s", "0.31 s", "59 s", "1 min", "59 min 59 s", "2 h 1 min", "1 d 1 h", "1 d"]


# What people with protanopia, deuteranopia and tritanopia see (Machado, Oliveira and Fernandes, 2009), in linear RGB.
SIGHT = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
THEMES = {"light": page_style.LIGHT, "dark": page_style.DARK}


def linear(colour: str) -> list[float]:
    """A colour of the stylesheet in linear RGB (IEC 61966-2-1)."""
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in values]


def luminance(values: list[float]) -> float:
    return sum(part * each for part, each in zip((0.2126, 0.7152, 0.0722), values))


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted(luminance(linear(each)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(values: list[float]) -> tuple[float, float, float]:
    """CIE L*a*b* of 1976, of daylight (D65)."""
    x = sum(part * each for part, each in zip((0.4124, 0.3576, 0.1805), values)) / 0.9505
    z = sum(part * each for part, each in zip((0.0193, 0.1192, 0.9505), values)) / 1.089
    x, y, z = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in (x, luminance(values), z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHT)
def test_outcomes_differ_whatever_colours_one_sees(theme, sight):
    seen = {}
    for name in OUTCOMES:
        values = linear(THEMES[theme][name])
        seen[name] = lab([min(1, max(0, sum(part * each for part, each in zip(row, values)))) for row in SIGHT[sight]])
    for one, other in itertools.combinations(OUTCOMES, 2):
        assert math.dist(seen[one], seen[other]) >= 25, (one, other)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_plots_stand_out(theme):
    colours = THEMES[theme]
    for name, ground in itertools.product(("ink", "quiet", "accent"), ("ground", "raised")):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for step in range(page_style.STEPS):
        assert contrast(colours[f"t{step}"], colours[f"h{step}"]) >= 4.5, step
    for name in (*OUTCOMES, "accent"):
        assert contrast(colours[name], colours["ground"]) >= 3, name
    lightness = [luminance(linear(colours[f"h{step}"])) for step in range(page_style.STEPS)]
    assert lightness == sorted(lightness, reverse=theme == "light")


def test_the_stylesheet_has_all_that_is_drawn():
    style = page_style.style()
    assert page_style.DRAWN == OUTCOMES and len(plots.HEAT) == page_style.STEPS
    assert set(THEMES["dark"]) == set(THEMES["light"])
    for name in (*OUTCOMES, *(f"h{step}" for step in range(page_style.STEPS))):
        assert f".{name}{{fill:var(--{name});" in style
    assert style.count("{") == style.count("}")


def test_steps_of_the_heat_map():
    shares = ((0, 9), (1, 100), (1, 1000), (2, 100), (5, 100), (20, 100), (21, 100), (1, 2), (51, 100), (3, 3))
    assert [plots.step(*each) for each in shares] == [0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
