# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mistakes in what a user wrote: collected, each with its path, and told all at once."""

from __future__ import annotations

import dataclasses
import difflib
import typing as t


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One mistake: where it stands, what was found, what was expected, and the smallest mend.

    Where nothing is ``expected``, ``found`` are whole words on it.
    """

    path: str
    found: str
    expected: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f"; {self.mend}" if self.mend else ""
        said = f"found {self.found}, expected {self.expected}" if self.expected else self.found
        return f"{self.path}: {said}{mend}"


class Mistakes(ValueError):
    """Raised once, with every mistake that was found.

    The message has a line for each, so that a user mends all of them in one go, under a headline: what they are
    mistakes in, or what they kept from being done.
    """

    def __init__(self, mistakes: t.Iterable[Mistake], headline: str = "") -> None:
        self.mistakes = tuple(mistakes)
        many = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        headline = headline or f"{many} in the inventory"
        super().__init__("\n".join([f"{headline}:", *(f"  {m}" for m in self.mistakes)]))


def collect(make: t.Callable[[t.Any], t.Any], items: t.Iterable[t.Any], path: str = "") -> list[t.Any]:
    """What a function makes of every item.

    :arg make: raises ValueError where it can make nothing of an item.
    :arg path: of the list, which each message then begins with.
    :raises ValueError: with the messages of all items of which nothing could be made.
    """
    made, wrong = [], []
    for index, item in enumerate(items):
        try:
            made.append(make(item))
        except ValueError as error:
            wrong.append(f"{path}[{index}]: {error}" if path else str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return made


def every(*makers: t.Callable[[], t.Any]) -> list[t.Any]:
    """What each of the functions returns.

    :raises ValueError: with the messages of all that raise one.
    """
    return collect(lambda make: make(), makers)


def nearest(name: str, known: t.Iterable[str], prefix: str = "") -> str:
    """A mend that names the known word nearest to a misspelt one.

    :arg name: the word that was found.
    :arg known: the words that would have been right.
    :arg prefix: what all of them begin with, so that it makes none nearer.
    :returns: ``did you mean X?``, or an empty string where nothing is near.
    """
    words = [word.removeprefix(prefix) for word in known]
    close = difflib.get_close_matches(name.removeprefix(prefix), words, n=1)
    return f"did you mean {prefix}{close[0]}?" if close else ""
