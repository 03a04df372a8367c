# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of the page: the very numbers under each plot."""

from __future__ import annotations

import collections
import typing as t

from .log_event import OUTCOMES
from .page_text import esc

MOST_ROWS = 30

Cell = int | str


def table(name: str, caption: str, heads: t.Sequence[str], rows: t.Iterable[t.Sequence[Cell]],
          foot: t.Sequence[Cell] = (), left: int = 1) -> str:
    """A table in a box of its own, in which it can be moved where it is wider than the page.

    :arg name: its id.
    :arg left: how many of the first columns are names.
    """
    head = "".join(f'<th scope="col"{_left(at, left)}>{esc(each)}</th>' for at, each in enumerate(heads))
    body = "".join(_row(row, left) for row in rows)
    last = f"<tfoot>{_row(foot, left)}</tfoot>" if foot else ""
    return (f'<div class="wide" tabindex="0" role="region" aria-label="{esc(caption)}"><table id="{esc(name)}">'
            f"<caption>{esc(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{last}</table></div>")


def _left(at: int, left: int) -> str:
    return ' class="left"' if at < left else ""


def _row(cells: t.Sequence[Cell], left: int) -> str:
    made = [f'<th scope="row"><bdi>{_cell(cells[0])}</bdi></th>']
    for at, cell in enumerate(cells[1:], 1):
        kind = ' class="zero"' if cell == 0 else _left(at, left)
        made.append(f"<td{kind}>{_cell(cell)}</td>")
    return f"<tr>{''.join(made)}</tr>"


def _cell(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else esc(cell)


def numbers(outcomes: t.Mapping[str, int]) -> list[int]:
    """Outcomes in the order of the columns."""
    return [outcomes.get(each, 0) for each in OUTCOMES]


def ranked(counts: t.Mapping[str, t.Mapping[str, int]]) -> list[str]:
    """Names, those with most first."""
    return sorted(counts, key=lambda name: (-sum(counts[name].values()), name))


def summed(counts: t.Iterable[t.Mapping[str, int]]) -> dict[str, int]:
    """Outcomes of several together."""
    found: collections.Counter[str] = collections.Counter()
    for each in counts:
        found.update(each)
    return found


def by_outcome(name: str, caption: str, head: str, counts: t.Mapping[str, t.Mapping[str, int]],
               most: int = MOST_ROWS) -> str:
    """Outcomes by something, those with most first, what is more together in one row, and all in the last."""
    order = ranked(counts)
    if len(order) == most + 1:  # one more takes no more room than to say that there is one more
        most += 1
    rows: list[list[Cell]] = [[each, *numbers(counts[each])] for each in order[:most]]
    if order[most:]:
        rows.append([f"{len(order) - most:,} more", *numbers(summed(counts[each] for each in order[most:]))])
    foot = ["all", *numbers(summed(counts.values()))] if len(order) > 1 else ()
    return table(name, caption, [head, *OUTCOMES], rows, foot)
