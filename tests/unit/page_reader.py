# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the report's page as a browser would: what its tables, figures and plots say."""

from __future__ import annotations

import re
import typing as t
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "br", "hr"}
OUTCOMES = ("delivered", "deferred", "bounced", "expired", "rejected", "suppressed")


class Page(HTMLParser):
    """A page; raises AssertionError where an element is not closed in its place.

    ``tables`` are rows of texts by the table's id, the head first; ``figures`` those at the head by their names: the
    large text and the small; ``quotes`` what servers said; ``tags`` are all elements with their attributes; ``plots``
    the SVGs as trees of XML.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[str]]] = {}
        self.captions: dict[str, str] = {}
        self.figures: dict[str, tuple[str, str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.quotes: list[str] = []
        self._open: list[str] = []
        self._table: list[list[str]] = []
        self._name = ""
        self._pieces: list[str] = []
        self._dl: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open
        self.plots = [ElementTree.fromstring(each) for each in outer_svgs(text)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self._name = dict(attrs)["id"] or ""
            self._table = self.tables[self._name] = []
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th", "caption", "dt", "dd", "blockquote"):
            self._pieces = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> at {self.getpos()}"
        if tag in ("td", "th"):
            self._table[-1].append("".join(self._pieces))
        elif tag == "caption":
            self.captions[self._name] = "".join(self._pieces)
        elif tag == "blockquote":
            self.quotes.append("".join(self._pieces))
        elif tag in ("dt", "dd"):
            self._dl.append("".join(self._pieces))
            if len(self._dl) == 3:
                self.figures[self._dl[0]] = self._dl[1], self._dl[2]
                self._dl = []

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)
        self._pieces.append(data)

    def counts(self, name: str, keys: int = 1) -> dict[tuple[str, ...], tuple[int, ...]]:
        """The numbers of a table by the names in its first columns, without its head."""
        return {tuple(row[:keys]): tuple(number(each) for each in row[keys:]) for row in self.tables[name][1:]}

    def plots_of(self, begins: str) -> list[ElementTree.Element]:
        """The plots whose description begins so."""
        return [each for each in self.plots if each.get("aria-label", "").startswith(begins)]


def outer_svgs(text: str) -> t.Iterator[str]:
    """The text of each SVG that is in none."""
    depth = start = 0
    for found in re.finditer(r"<(/?)svg\b", text):
        if not found[1]:
            start = start if depth else found.start()
            depth += 1
        else:
            depth -= 1
            if not depth:
                yield text[start : text.index(">", found.end()) + 1]


def number(text: str) -> int:
    """A number with its separators."""
    return int(text.replace(",", ""))


def told(text: str) -> dict[str, int]:
    """The outcomes that a sentence tells of."""
    return {name: number(many) for many, name in re.findall(rf"([\d,]+) ({'|'.join(OUTCOMES)})\b", text)}


def per_cent(text: str | None) -> float:
    """A place or length in a plot."""
    assert text and text.endswith("%")
    return float(text[:-1])
