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
    """One mistake: where it stands, what was found, what was expected, and the smallest mend."""

    path: str
    found: str
    expected: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{mend}"


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


def nearest(name: str, known: t.Iterable[str]) -> str:
    """A mend that names the known word nearest to a misspelt one.

    :arg name: the word that was found.
    :arg known: the words that would have been right.
    :returns: ``did you mean X?``, or an empty string where nothing is near.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""
