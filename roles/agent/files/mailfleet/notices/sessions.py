# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SMTP sessions that a text quotes: which command a reply answered."""

from __future__ import annotations

import re

from .texts import REPLIES

COMMAND = re.compile(r"^[ \t]*>>> *([A-Z .]{1,12})", re.IGNORECASE | re.MULTILINE)
BARE = re.compile(r"[45]\d\d[ -](?!#?[45]\.\d)")
SENDMAIL = re.compile(r"^[ \t]*<<< *([2-5]\d\d.*)$", re.MULTILINE)


def command_of(reply: str, text: str) -> str:
    """Return the command that was answered with a reply, in a text with `>>> command` and `<<< reply`; or ""."""
    if ">>>" not in text:
        return ""
    if ">>>" in reply:
        return COMMAND.findall(reply)[-1].strip() if COMMAND.search(reply) else ""
    first = reply.strip().split("\n")[0][:40]
    at = text.find("<<< " + first) if first else -1
    if at < 0:
        found = SENDMAIL.search(text)
        at = found.start() if found else -1
    commands = [found[1].strip() for found in COMMAND.finditer(text[: max(at, 0)])]
    return commands[-1] if commands else ""


def whole(reply: str, text: str) -> str:
    """Return a reply with all its lines, where a text quotes them: sendmail reports the first of them."""
    if reply[3:4] == "-" and "<<< " in text:
        for lines in REPLIES.findall(text):
            if lines.startswith(reply[:60]):
                return lines.replace("\n<<<", "")
    return reply


def guessed(reply: str, text: str) -> bool:
    """Say whether sendmail made up the status code of a reply that has none: to it every 550 is a user unknown."""
    return bool(BARE.match(reply)) and "... User unknown" in text and "<<< " in text
