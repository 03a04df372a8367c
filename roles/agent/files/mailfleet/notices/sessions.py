# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SMTP sessions that a text quotes: which command a reply answered."""

from __future__ import annotations

import re

COMMAND = re.compile(r"^[ \t]*>>> *([A-Z .]{1,12})", re.IGNORECASE | re.MULTILINE)
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
