# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was said of a recipient in a notice, judged: the reply first, then what stands around it, then the subject."""

from __future__ import annotations

import re

from ..finding import Finding
from ..reasons import UNDETERMINED, Stage, Verdict, classify, stage_of, status_of
from ..reasons.wording import wording_of
from . import origin, texts
from .mime import Message
from .sessions import command_of

# Characters of a text that a finding keeps.
SHOWN = 500
# Cisco's gateways and Amazon's set this before the reply; the status code is theirs.
OTHERS = re.compile(r"\b5\.3\.0 - other mail system problem(?= [45]\d\d)", re.IGNORECASE)
# Postfix' own delivery says so, and asked nobody.
OWN = re.compile(r'unknown user: "')
# What says something has a word.
WORD = re.compile(r"[^\W\d_]{4}")


def verdict_of(said: list[str], given: str, own: str, message: Message) -> Verdict:
    """Return what the first of some texts means whose words say something, else what the codes say.

    The first is what was said of the recipient; the others, and the subject, count where that says next to nothing.
    """
    best = None
    # A text may be wrapped anywhere, and so within the words that name the command.
    stage = next((each for text in said if (each := stage_of(" ".join(text.split()), command_of(text, own)))
                  is not Stage.UNSAID), None)
    if stage is None:
        bare = not given or given.endswith(".0.0")
        stage = Stage.UNKNOWN if bare and reply_without_status(said[0], given) else Stage.UNSAID
    command = stage.value[0] if stage.value else ""
    for text in said:
        for reading in texts.readings(text):
            exact = given if given and not given.endswith(".0.0") else status_of(text)
            verdict = classify(reading, exact if exact and not exact.endswith(".0.0") else given, command)
            if verdict.by_phrase:
                return verdict
            if best is None or best.reason == UNDETERMINED:
                best = verdict
        if WORD.search(wording_of(text)) and (given or texts.REPLY.search(text)):
            break
    if not any(WORD.search(wording_of(text)) for text in said):
        verdict = classify(origin.subject_of(message), given)
        best = verdict if verdict.by_phrase else best
    return best or classify("", given)


def reply_without_status(text: str, given: str) -> bool:
    """Say whether a server replied with a code alone: a text where nobody says to what (see Stage) proves little."""
    if OWN.match(text):
        return False
    return bool(text.strip() and given or texts.CODE.search(text)) and (
        status_of(OTHERS.sub("", text))[1:] in ("", ".0.0"))


def told(recipient: str, verdict: Verdict, text: str, form: str, original: str = "", given: str = "") -> Finding:
    """Return a finding that was not delivered."""
    text = " ".join(text.split())[:SHOWN]
    said = status_of(text)
    code = said if said and not said.endswith(".0.0") else given or said
    return Finding(recipient, verdict.kind, verdict.reason, verdict.scope, code, text, f"{form}, {verdict.rule}",
                   original)
