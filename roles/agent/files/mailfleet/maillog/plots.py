# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plots as SVG inside of HTML.

Widths and places across are per cent and heights are pixels, so that a plot is as wide as there is room and its text
stays as large as it is: nothing is scaled. What a plot shows it also says, to screen readers in one sentence and under
the pointer for each part of it. Colours are those of the stylesheet, by the name of the outcome.
"""

from __future__ import annotations

import typing as t

from .log_event import DELIVERED, OUTCOMES
from .page_text import Buckets, LogAxis, esc, percent, share, span

TROUBLE = tuple(each for each in OUTCOMES if each != DELIVERED)
# A cell of the heat map has the first step whose share of deferred attempts, in per cent, it is not above.
HEAT = ((0.0, "none"), (1.0, "up to 1 %"), (5.0, "up to 5 %"), (20.0, "up to 20 %"), (50.0, "up to 50 %"),
        (100.0, "over 50 %"))
_LEFT, _WIDE = 0.3, 0.67  # of the plot of delays: where its axis begins, and how wide it is
_WIDEST = 0.06  # of a bar: a log of one hour has but one
_LINE = 24  # pixels

Counts = t.Mapping[str, int]


def svg(height: float, says: str, parts: t.Iterable[str]) -> str:
    """A plot as wide as its place, and what it says."""
    return f'<svg role="img" aria-label="{esc(says)}" width="100%" height="{height:g}">{"".join(parts)}</svg>'


def told(counts: Counts) -> str:
    """Outcomes in words."""
    return ", ".join(f"{counts[each]:,} {each}" for each in OUTCOMES if counts.get(each)) or "nothing"


def legend(names: t.Iterable[tuple[str, str]], title: str) -> str:
    """What colours mean: pairs of a class of the stylesheet and a text."""
    made = "".join(f'<li><span class="swatch {name}"></span>{esc(text)}</li>' for name, text in names)
    return f'<ul class="legend" aria-label="{esc(title)}">{made}</ul>'


def _rect(x: float, y: float, width: float, height: float, name: str) -> str:
    return f'<rect class="{name}" x="{percent(x)}" y="{y:.4g}" width="{percent(width)}" height="{height:.4g}"/>'


def _text(x: float, y: float, text: str, name: str = "") -> str:
    return f'<text class="{name}" x="{percent(x)}" y="{y:g}">{esc(text)}</text>'


def _anchor(x: float) -> str:
    return "end" if x > 0.93 else "" if x < 0.07 else "middle"


def over_time(name: str, buckets: Buckets, counts: t.Mapping[int, Counts]) -> str:
    """What became of mail to one provider: above what was delivered, below the rest, each with a scale of its own.

    :arg counts: outcomes by the number of the bucket.
    """
    many = len(buckets.starts)
    tallest = max((each.get(DELIVERED, 0) for each in counts.values()), default=0)
    worst = max((sum(each.get(name, 0) for name in TROUBLE) for each in counts.values()), default=0)
    parts = [_text(0, y, f"{what}, up to {most:,} in {buckets.one}" if most else f"{what}: none")
             for y, what, most in ((10, "delivered", tallest), (82, "not delivered", worst))]
    for number, outcomes in sorted(counts.items()):
        x, width = (number + 0.06) / many, min(0.88 / many, _WIDEST)
        bars = []
        if outcomes.get(DELIVERED):
            height = max(1.0, 48 * outcomes[DELIVERED] / tallest)
            bars.append(_rect(x, 64 - height, width, height, DELIVERED))
        y = 124.0
        for each in TROUBLE:
            if outcomes.get(each):
                height = max(1.0, 36 * outcomes[each] / worst)
                y -= height
                bars.append(_rect(x, y, width, height, each))
        parts.append(f"<g><title>{esc(buckets.label(number))}: {esc(told(outcomes))}</title>{''.join(bars)}"
                     f"{_rect(number / many, 14, 1 / many, 112, 'hit')}</g>")
    parts += [f'<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>' for y in (64.5, 124.5)]
    for x, text in buckets.ticks():
        parts += [f'<line class="axis" x1="{percent(x)}" x2="{percent(x)}" y1="124" y2="128"/>',
                  _text(x, 140, text, _anchor(x))]
    whole = {each: sum(found.get(each, 0) for found in counts.values()) for each in OUTCOMES}
    return svg(144, f"{name} by {buckets.name}: {told(whole)}", parts)


def length(outcomes: Counts, most: int, says: str) -> str:
    """One bar, of what was not delivered, as long as it is many of the most."""
    parts, x = [], 0.0
    for each in TROUBLE:
        if outcomes.get(each):
            width = outcomes[each] / most
            parts.append(_rect(x, 2, width, 14, each))
            x += width
    if x < 0.004:
        parts = [_rect(0, 2, 0.004, 14, max(outcomes, key=lambda each: outcomes[each]))] if outcomes else []
    return svg(18, says, [f"<title>{esc(told(outcomes))}</title>", *parts])


def ranges(title: str, rows: t.Sequence[tuple[str, float, float, float]], axis: LogAxis) -> str:
    """Delays in seconds that 50, 90 and 99 % are not above: a dot, a diamond and a stroke for each provider."""
    bottom = _LINE * len(rows)

    def x(seconds: float) -> float:
        return _LEFT + _WIDE * axis.place(seconds)

    parts = [f'<line class="line" x1="{percent(at)}" x2="{percent(at)}" y1="0" y2="{bottom}"/>'
             for at in (_LEFT + _WIDE * each for each in (0.0, *axis.lines))]
    for number, (name, half, most, nearly) in enumerate(rows):
        y = _LINE * number + _LINE / 2
        said = f"{name}: 50 % within {span(half)}, 90 % within {span(most)}, 99 % within {span(nearly)}"
        parts.append(
            f"<g><title>{esc(said)}</title>"
            f'<svg class="cut" y="{y - _LINE / 2:g}" width="{percent(_LEFT - 0.02)}" height="{_LINE}">'
            f'<text class="name" y="16">{esc(name, 14)}</text></svg>'
            f'<line class="range" x1="{percent(x(half))}" x2="{percent(x(nearly))}" y1="{y:g}" y2="{y:g}"/>'
            f'<rect class="stroke" x="{percent(x(nearly))}" y="{y - 10:g}" width="3" height="20" '
            'transform="translate(-1.5)"/>'
            f'<svg x="{percent(x(most))}" y="{y:g}"><path class="mark" d="M0-6.5 6.5 0 0 6.5-6.5 0z"/></svg>'
            f'<circle class="mark" cx="{percent(x(half))}" cy="{y:g}" r="3.5"/>'
            f"{_rect(0, y - _LINE / 2, 1, _LINE, 'hit')}</g>")
    parts.append(f'<line class="axis" x1="{percent(_LEFT)}" x2="100%" y1="{bottom}.5" y2="{bottom}.5"/>')
    parts += [_text(_LEFT + _WIDE * at, bottom + 16, text, "middle") for at, text in axis.ticks]
    says = "; ".join(f"{name} {span(half)}, {span(most)}, {span(nearly)}" for name, half, most, nearly in rows)
    return svg(bottom + 22, f"{title}, 50, 90 and 99 % within: {says}", parts)


def marks() -> str:
    """What the marks of delays mean."""
    made = []
    for text, shape in (("50 % within", '<circle class="mark" cx="8" cy="8" r="3.5"/>'),
                        ("90 % within", '<path class="mark" d="M8 1.5 14.5 8 8 14.5 1.5 8z"/>'),
                        ("99 % within", '<rect class="stroke" x="6.5" y="-2" width="3" height="20"/>')):
        made.append(f'<li><svg aria-hidden="true" width="16" height="16">{shape}</svg>{text}</li>')
    return f'<ul class="legend" aria-label="Marks">{"".join(made)}</ul>'


def step(deferred: int, attempts: int) -> int:
    """The step of the heat map."""
    found = 100 * deferred / attempts
    return next(number for number, (most, _text) in enumerate(HEAT) if found <= most)


def heat_row(name: str, hours: t.Sequence[tuple[int, int]]) -> str:
    """A row of the heat map: for each hour of the day how many attempts were deferred, and how many there were."""
    parts = []
    for hour, (deferred, attempts) in enumerate(hours):
        if not attempts:
            continue
        where = step(deferred, attempts)
        said = (f"{name}, {hour:02d}:00 to {hour + 1:02d}:00 UTC: {deferred:,} of {attempts:,} attempts deferred "
                f"({share(deferred, attempts)})")
        short = f"{100 * deferred / attempts:.0f}" if deferred * 100 >= attempts or not deferred else "<1"
        parts.append(f"<g><title>{esc(said)}</title>{_rect((hour + 0.03) / 24, 0, 0.94 / 24, 24, f'h{where}')}"
                     f'{_text((hour + 0.5) / 24, 16, short, f"middle share t{where}")}</g>')
    whole = [sum(each) for each in zip(*hours)]
    worst = max(range(24), key=lambda hour: hours[hour][0] / (hours[hour][1] or 1))
    says = f"{name}: {whole[0]:,} of {whole[1]:,} attempts deferred"
    if hours[worst][0]:
        says += f", the largest share from {worst:02d}:00 on, {share(*hours[worst])}"
    return svg(24, says, parts)


def heat_axis() -> str:
    """The hours under the heat map."""
    parts = [_text((hour + 0.5) / 24, 11, f"{hour:02d}", "middle") for hour in range(0, 24, 3)]
    return f'<svg aria-hidden="true" width="100%" height="14">{"".join(parts)}</svg>'
