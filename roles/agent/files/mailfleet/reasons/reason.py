# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a reason is, and the phrases by which it is known.

A phrase is looked for in the wording of a reply (see wording.py), at the beginning of a word. `{a|b}` stands for
either, ` * ` for up to GAP characters of other words or none, `*` for as many of anything. Nothing else has a meaning.
Texts and gaps are bounded, so is the time that a phrase takes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping

from ..finding import Kind, Scope

GAP = 60
TOKEN = re.compile(r" \* |[{}|*]|(?:(?! \* )[^{}|*])+")
MEANING = {"{": "(?:", "|": "|", "}": ")", " * ": f" (?:.{{0,{GAP}}}? )?", "*": f".{{0,{GAP}}}?"}


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a message was not delivered.

    `phrases` maps each phrase to a text that this very phrase decides; a text with a phrase of `unless` is not of this
    reason, whatever else it has; none of `never` is. `vague` are phrases
    that count only where no reason has a better one. `statuses` are the status codes that mean it where no phrase of
    any reason is found, with or without their class: `.2.2` is 4.2.2 as well as 5.2.2.
    """

    name: str
    kind: Kind
    scope: Scope
    phrases: Mapping[str, str]
    never: tuple[str, ...]
    statuses: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    vague: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Phrase:
    """One phrase, ready to be looked for."""

    def __init__(self, phrase: str) -> None:
        self.phrase = phrase
        self.needed = needed(phrase)

    def found_in(self, wording: str) -> bool:
        """Say whether the wording has it. Most have not the words that it needs, which is known at once."""
        for word in self.needed:
            if word in wording:
                return pattern_of(self.phrase).search(wording) is not None
        return False


def needed(phrase: str) -> tuple[str, ...]:
    """Return words one of which a wording must have to have the phrase: of all such sets, one of few and long words."""
    sets, depth, choices = [], 0, [""]
    for token in TOKEN.findall(phrase):
        if token == "{":
            depth += 1
            if depth == 1:
                sets.append(choices)
                choices = [""]
        elif token == "}":
            depth -= 1
            if depth == 0:
                sets.append(choices)
                choices = [""]
        elif token == "|" and depth == 1:
            choices.append("")
        elif "*" in token and depth == 0:
            sets.append(choices)
            choices = [""]
        elif depth == 1 and "*" not in token:
            choices[-1] = max(choices[-1], token, key=len)
        elif depth == 0:
            choices[-1] += token
    sets.append(choices)
    whole = [words for words in sets if min(map(len, words)) > 1] or [[""]]
    return tuple(max(whole, key=lambda words: min(map(len, words)) - 2 * len(words)))


@functools.cache
def pattern_of(phrase: str) -> re.Pattern[str]:
    """Return the phrase as a regular expression, made when it is first needed: most never are."""
    body = "".join(MEANING.get(token) or re.escape(token) for token in TOKEN.findall(phrase))
    return re.compile(f"(?<![a-z]){body}")
