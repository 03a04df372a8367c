# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""main.cf as a list of parameters between lines that are nobody's business; what is not touched stays byte for byte."""

from __future__ import annotations

import dataclasses
import re
import typing as t


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Physical lines of a Postfix file: a logical line (with what stands between its parts), or comments and blanks."""

    text: str
    logical: str | None
    number: int


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One setting as it stands in the file; the value has its white space folded, as Postfix takes no notice of it."""

    name: str
    value: str
    text: str


def chunks(text: str) -> list[Chunk]:
    """Cut a file into logical lines, as postconf(5) and master(5) define them.

    :arg text: the whole file.
    :returns: the pieces; their texts joined are the file.
    :raises ValueError: where the first logical line begins with white space.
    """
    found: list[Chunk] = []
    idle: list[str] = []
    start = 1
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            if not idle:
                start = number
            idle.append(line)
        elif line[0].isspace():
            # Comments and blank lines do not end a logical line: they belong to it once it goes on behind them.
            if not found or found[-1].logical is None:
                raise ValueError(f"line {number}: a setting must not begin with white space")
            before = found.pop()
            found.append(Chunk("".join([before.text, *idle, line]), f"{before.logical} {words}", before.number))
            idle = []
        else:
            if idle:
                found.append(Chunk("".join(idle), None, start))
                idle = []
            found.append(Chunk(line, words, number))
    if idle:
        found.append(Chunk("".join(idle), None, start))
    return found


def fold(value: str) -> str:
    """Return a value with each run of white space as one blank."""
    return " ".join(value.split())


def line(name: str, value: str) -> str:
    """Return a setting as it is written to main.cf."""
    return f"{name} = {value}\n" if value else f"{name} =\n"


@dataclasses.dataclass(frozen=True)
class MainCf:
    """A parsed main.cf; texts between parameters are plain str."""

    items: tuple[Parameter | str, ...]

    @classmethod
    def parse(cls, text: str) -> MainCf:
        """Parse a main.cf (postconf(5)).

        :arg text: the file.
        :raises ValueError: with the line's number, where a line is not ``name = value``.
        """
        items: list[Parameter | str] = []
        for chunk in chunks(text):
            if chunk.logical is None:
                items.append(chunk.text)
                continue
            match = re.fullmatch(r"([^\s=]+)\s*=(.*)", chunk.logical)
            if not match:
                raise ValueError(f"line {chunk.number}: found {chunk.logical[:60]!r}, expected name = value")
            items.append(Parameter(match[1], fold(match[2]), chunk.text))
        return cls(tuple(items))

    def __str__(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.items)

    @property
    def values(self) -> dict[str, str]:
        """What Postfix takes each parameter for: of several lines the last counts."""
        return {item.name: item.value for item in self.items if isinstance(item, Parameter)}

    def text_of(self, name: str) -> str | None:
        """Return the lines that set a parameter now, None where nothing does."""
        return next((p.text for p in reversed(self.items) if isinstance(p, Parameter) and p.name == name), None)

    def put(self, texts: t.Mapping[str, str | None]) -> MainCf:
        """Return a main.cf in which each of these parameters is set by this text, or not at all where it is None.

        A parameter keeps its place; a new one goes to the end. One that already has this value keeps its form.
        """
        items: list[Parameter | str] = []
        left = dict(texts)
        counts = [item.name for item in self.items if isinstance(item, Parameter)]
        for item in self.items:
            if isinstance(item, str) or item.name not in texts:
                items.append(item)
            elif item.name in left and (text := left.pop(item.name)) is not None:
                new = _parameter(text)
                items.append(item if new.value == item.value and counts.count(item.name) == 1 else new)
        added = [_parameter(text) for text in left.values() if text is not None]
        whole = str(MainCf(tuple(items)))
        if added and whole and not whole.endswith("\n"):
            items.append("\n")
        return MainCf((*items, *added))


def _parameter(text: str) -> Parameter:
    """Read back one parameter from its text; a last line without its end gets one."""
    text = text if text.endswith("\n") else text + "\n"
    (item,) = MainCf.parse(text).items
    if isinstance(item, str):
        raise ValueError(f"found {text!r}, expected name = value")
    return item
