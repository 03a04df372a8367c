# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading loosely typed settings (what JSON gives) into typed values, noting every mistake with its path.

A reader never raises: it notes the mistake, gives a harmless value, and goes on, so that one run tells everything.
"""

from __future__ import annotations

import difflib
import re
import typing as t

_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}\Z")


def show(value: t.Any) -> str:
    """A value as a mistake shows it: short."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Reader:
    """Reads one mapping of the settings; all readers of one file share ``mistakes``. A hidden one shows no value."""

    def __init__(
        self, value: t.Any, path: str = "", mistakes: list[str] | None = None, *, hidden: bool = False
    ) -> None:
        self.path, self.hidden = path, hidden
        self.mistakes: list[str] = [] if mistakes is None else mistakes
        self._asked: list[str] = []
        self._values: dict[str, t.Any] = {}
        if isinstance(value, dict):
            self._values = value
        else:
            self.note("", value, "a mapping")

    def note(self, name: str, found: t.Any, expected: str) -> None:
        """Note one mistake; a text in angle brackets is shown as it is, everything else as a literal."""
        where = ".".join(part for part in (self.path, name) if part) or "the whole"
        phrase = isinstance(found, str) and found[:1] == "<" and found[-1:] == ">"
        shown = found[1:-1] if phrase else "something else (not shown)" if self.hidden else show(found)
        self.mistakes.append(f"{where}: {shown}; expected {expected}")

    def has(self, name: str) -> bool:
        """Whether something is set."""
        self._asked.append(name)
        return name in self._values

    def get(self, name: str, kind: type | tuple[type, ...], expected: str, default: t.Any) -> t.Any:
        """A value of a type, or the default where it is not set; a default of ``...`` says that it has to be."""
        if not self.has(name):
            if default is ...:
                self.note(name, "<not set>", expected)
                return None
            return default
        value = self._values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.note(name, value, expected)
            return None if default is ... else default
        return value

    def text(self, name: str, default: t.Any = ..., expected: str = "a text") -> str:
        """A text of one line."""
        value = self.get(name, str, expected, default)
        if value is not None and name in self._values and ("\n" in value or "\0" in value or not value.strip()):
            self.note(name, value, f"{expected} of one line that is not empty")
        return value or ""

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        return self.get(name, bool, "true or false", default)

    def number(self, name: str, default: t.Any, least: int, most: int, unit: str = "") -> int:
        """A whole number within bounds."""
        expected = f"a whole number{' of ' + unit if unit else ''} from {least} to {most}"
        value = self.get(name, int, expected, default)
        if value is None or not least <= value <= most:
            if value is not None:
                self.note(name, value, expected)
            return least if default is ... else default
        return value

    def choice(self, name: str, choices: t.Sequence[str], default: t.Any = ...) -> str:
        """One of some words."""
        expected = "one of " + ", ".join(choices)
        value = self.get(name, str, expected, default)
        if value is not None and value not in choices:
            self.note(name, value, expected)
            return choices[0]
        return value or choices[0]

    def path_of(self, name: str, default: t.Any = ...) -> str:
        """An absolute path."""
        value = self.text(name, default, "an absolute path")
        if value and not value.startswith("/"):
            self.note(name, value, "an absolute path")
        return value

    def domain(self, name: str, default: t.Any = ...) -> str:
        """A domain name in A-labels and lower case."""
        value = self.text(name, default, "a domain name")
        if value and not _DOMAIN.match(value):
            self.note(name, value, "a domain name in lower case and A-labels, such as e.example.com")
        return value

    def domains(self, name: str, default: t.Any = ...) -> tuple[str, ...]:
        """A list of domain names."""
        return self._list(name, default, lambda each: isinstance(each, str) and bool(_DOMAIN.match(each)),
                          "domain names in lower case and A-labels")

    def names(self, name: str) -> tuple[str, ...]:
        """A list of texts that are not empty."""
        return self._list(name, (), lambda each: isinstance(each, str) and bool(each.strip()), "texts")

    def numbers(self, name: str, least: int, most: int) -> tuple[int, ...]:
        """A list of whole numbers within bounds."""
        def fits(each: t.Any) -> bool:
            return isinstance(each, int) and not isinstance(each, bool) and least <= each <= most
        return self._list(name, (), fits, f"whole numbers from {least} to {most}")

    def part(self, name: str) -> Reader:
        """A mapping within this one; one that is not set is empty."""
        return Reader(self.get(name, dict, "a mapping", {}), self._within(name), self.mistakes, hidden=self.hidden)

    def parts(self, name: str) -> list[Reader]:
        """A list of mappings."""
        found = self.get(name, list, "a list of mappings", [])
        return [Reader(each, f"{self._within(name)}[{index}]", self.mistakes) for index, each in enumerate(found)]

    def keyed(self, name: str, least: int = 0) -> list[tuple[str, Reader]]:
        """A mapping of names to mappings, ``least`` of them at least."""
        found = self.get(name, dict, "a mapping of names to mappings", ... if least else {}) or {}
        if len(found) < least and self.has(name):
            self.note(name, found, f"at least {least}")
        for each in found:
            if not _NAME.match(each):
                self.note(name, each, "a name of lower-case letters, digits, dots and hyphens")
        return [(each, Reader(value, self._within(f"{name}.{each}"), self.mistakes)) for each, value in found.items()]

    def done(self) -> None:
        """Note what is set and that nobody asked for."""
        for name in self._values:
            if name not in self._asked:
                near = difflib.get_close_matches(name, self._asked, 1)
                known = ", ".join(sorted(set(self._asked)))
                self.note(name, "<no such setting>", f"{near[0]}" if near else f"one of {known}")

    def _within(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _list(self, name: str, default: t.Any, fits: t.Callable[[t.Any], bool], expected: str) -> tuple[t.Any, ...]:
        found = self.get(name, list, f"a list of {expected}", default)
        if found is None:
            return ()
        for index, each in enumerate(found):
            if not fits(each):
                self.note(f"{name}[{index}]", each, f"one of {expected}")
        return tuple(each for each in found if fits(each))
