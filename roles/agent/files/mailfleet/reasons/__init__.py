# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why mail was refused: one reason a file, and the one function that says which of them a reply gives.

It takes a diagnostic of a notice and a reply in the mail log alike. Its phrases do not depend on addresses, hosts,
numbers and ids, so a caller may keep what it returned by `wording_of` the text, the status code and the command.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re

from ..finding import Kind, Scope
from ..refusal import is_ours
from . import (
    authentication,
    blocked,
    content,
    disabled,
    domain_unknown,
    filtered,
    mailbox_full,
    moved,
    no_mail,
    policy,
    rate,
    relay,
    sender,
    spam,
    system,
    too_big,
    unreachable,
    user_unknown,
)
from .reason import Phrase, Reason
from .wording import wording_of

# The first that has a phrase in the text is taken. Replies name the recipient whatever they complain of, so what is
# said of the sender, the network and the message is looked for before what is said of the recipient; the vaguest words
# come last.
ORDER: tuple[Reason, ...] = tuple(module.REASON for module in (
    authentication, mailbox_full, too_big, moved, sender, no_mail, domain_unknown, disabled, relay, user_unknown,
    filtered, blocked, rate, spam, content, policy, unreachable, system,
))
UNDETERMINED = "undetermined"
# What is said of these is not said of the recipient or its domain, though the words be the same: it is not given up.
DOUBT = ("{sender|sending domain|your {domain|host|server|ip|account|hostname}|spam|abuse|client host|header|helo|ehlo|"
         "reverse|rdns|url |ptr|certificate|from domain|mail from|envelope-from|return path|return-path|reply-to|"
         "message-id|bounce address|verification failed for|user agent|password|temporar|again later|try later|"
         "retry later|please retry|at this time|whitelist|white list|greylist|rbl|policy|recipient {rate|count}|"
         "absender|expéditeur|remitente|mittente|remetente|afzender|nadawc|avsändar|отправител|送信者|差出人|送信元|"
         "发件人|보낸 사람}")

STATUS = re.compile(r"(?<![\w.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!-[0-9]|[\w.]*\w)")
REPLY = re.compile(r"(?:^|[\s:;'\"<])([245])([0-9]{2})(?=[\s:;'\"-]|$)")
# RFC 5321 section 4.2.3, RFC 7504: what a reply code means by itself. 550 and 554 mean nothing more than no.
CODES = {"521": "5.3.2", "556": "5.3.2", "551": "5.1.6", "552": "5.2.2", "452": "4.3.1", "523": "5.3.4",
         "421": "4.3.0", "432": "4.7.0", "454": "4.7.0", "530": "5.7.0", "535": "5.7.8", "553": "5.1.3",
         "500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "504": "5.5.4", "555": "5.5.4",
         "525": "5.7.13", "542": "5.1.1"}


class Stage(enum.Enum):
    """What was answered: it tells a word on the recipient from one on the sender or the message."""

    GREETING = ("connect", "talk to me", "my name was rejected", "initial connection", "ehlo", "helo", "lhlo")
    MAIL = ("mail from", "mail", "sender was rejected")
    RECIPIENT = ("rcpt to", "rcpt", "not like recipient", "recipient was rejected", "state 14")
    MESSAGE = ("end of data", "final data", "data", "text command", "i sent the message", "message text", "bdat",
               "state 17", "state 18", ".")
    UNKNOWN = ("?",)
    UNSAID = ("(nothing)",)  # no command is called so


# How mail systems say it: Exim, Postfix, DragonFly, qmail and those that write like them; Google by numbers.
AT_STAGE = re.compile(
    r"(?:error from remote (?:mail )?server (?:after|for)(?: pipelined)? |in reply to |did not like our |"
    r"does (?=not like recipient)|most progress was |but (?=(?:recipient|sender|my name) was rejected)|"
    r"refused to (?=talk to me)|failed after (?=i sent the message)|\[|smtp:(?=rcpt host)|\((?=state )|command: )"
    r"(?:the |sending )?"
    r"(end of data|final data|data|message text|mail[ _]from|rcpt[ _]to|rcpt|ehlo|helo|lhlo|initial connection|"
    r"text command|talk to me|sender was rejected|my name was rejected|not like recipient|recipient was rejected|"
    r"i sent the message|state 1[478])", re.IGNORECASE)
# Yahoo and Mail.ru look their recipients up after the message, and say so in these words.
LATE = Phrase("{delivery error: dd|action aborted, mailbox not found|invalid mailbox. local mailbox}")
# A policy may say what it pleases; that somebody is not there at all it says of the recipient, where it is asked for.
EXPRESS = Phrase("{no such|does not exist|no mailbox|there is no|nonexistent|non-existent}")
# So Postfix, and those that keep to RFC 5321 section 4.2.2, answer to RCPT TO and nothing else, whoever tells of it.
OF_RECIPIENT = ("@ : recipient address rejected: ", "requested action not taken: mailbox unavailable")


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply means, and by which rule: `reason: phrase`, `reason: status 5.2.2`, or `undetermined`."""

    reason: str
    kind: Kind
    scope: Scope
    rule: str

    @property
    def by_phrase(self) -> bool:
        """Say whether words decided, not a status code or nothing at all."""
        return ": " in self.rule and ": status " not in self.rule


# Our own list spoke, whatever it had on the address: no word of the recipient's server.
SUPPRESSED = Verdict("suppressed", Kind.SOFT, Scope.SENDER, "suppressed: by our own list")


def status_of(text: str) -> str:
    """Return the status code (RFC 3463) in a text; where there is none, the class of its reply code; or ""."""
    found = STATUS.search(text)
    if found:
        return found[1]
    found = REPLY.search(text)
    return f"{found[1]}.0.0" if found else ""


def classify(text: str, status: str = "", command: str = "") -> Verdict:
    """Return what a reply means.

    `text` is the reply, with or without its codes; `status` an enhanced status code that came with it, or ""; `command`
    the SMTP command that was answered (`RCPT TO`, `DATA`, `end of DATA`), `?` for one that nobody knows, or "" where
    the text says it, or needs not.
    """
    if is_ours(text):
        return SUPPRESSED
    said = status_of(text)
    if not said or said.endswith(".0.0") and status[:1] == said[:1]:
        said = status or said
    if status.startswith("5.1.") and said.startswith("5.5."):
        said = status  # the server spoke of the command, who reports of the address
    code = REPLY.search(text)
    return judge(wording_of(text), said, CODES.get(code[1] + code[2], "") if code else "", stage_of(text, command))


def stage_of(text: str, command: str = "") -> Stage:
    """Return what was answered, as the command or the text says."""
    if not command or command == "?":
        found = AT_STAGE.search(text)
        command = found[1] if found else command
    command = command.lower().replace("_", " ").strip()
    return next((stage for stage in Stage if command and command.startswith(stage.value)), Stage.UNSAID)


@functools.lru_cache(maxsize=4096)
def judge(wording: str, status: str, implied: str, stage: Stage) -> Verdict:
    """Return what a wording means; `implied` is a status code that the reply code stands for, or "".

    Words go before codes: servers send what status code they please. A reply code alone makes nobody hard.
    """
    reason, rule = by_words(wording) or by_status(status) or by_status(implied, Kind.SOFT) or (None, UNDETERMINED)
    if stage is Stage.UNKNOWN and wording.startswith(OF_RECIPIENT, 1):
        stage = Stage.RECIPIENT
    express = stage is Stage.RECIPIENT and status[2:4] == "7." and EXPRESS.found_in(wording)
    reason = at_stage(reason, status, stage, express or LATE.found_in(wording) or implied.startswith("5.1."))
    if reason is None:
        return Verdict(UNDETERMINED, Kind.SOFT, Scope.MESSAGE, rule)
    # 4.x.x is the server's own word that it may be otherwise tomorrow, however it puts it: nobody is dead yet.
    kind = Kind.SOFT if status.startswith("4") else reason.kind
    return Verdict(reason.name, kind, reason.scope, rule)


def at_stage(reason: Reason | None, status: str, stage: Stage, surely: bool) -> Reason | None:
    """Return the reason that is meant, where the stage or the status code contradicts the words, unless the
    reply code is one of addresses, or the words are said of nothing else (`surely`).

    Only a recipient that is known to be unknown may be suppressed at once, so in doubt it is there.
    """
    if stage is Stage.MAIL and (reason is None or reason.kind is Kind.HARD):
        return sender.REASON  # nothing else was named yet: what is not there, or not liked, is the sender
    if stage is Stage.GREETING and (reason in (None, policy.REASON) or reason.kind is Kind.HARD):
        return blocked.REASON  # nothing is known of us yet but our address and name
    if reason is user_unknown.REASON and not surely:
        # A server that took the recipient, and refuses the message, hides a filter behind the words. It says 5.1.x
        # where it means them. 5.7.x is a policy; 5.2.x a mailbox that is there, unless it was RCPT TO that was refused.
        hidden = stage in (Stage.MESSAGE, Stage.UNKNOWN) and not status.startswith("5.1.")
        if hidden or status[2:4] == "7." or status[2:4] == "2." and stage is not Stage.RECIPIENT:
            return filtered.REASON
    if reason is domain_unknown.REASON and status.startswith("4"):
        return unreachable.REASON  # a name that is not there just now is trouble with name servers
    return reason


def rows(vague: bool) -> tuple[tuple[Reason, tuple[tuple[str, Phrase], ...], tuple[Phrase, ...]], ...]:
    """Return each reason with its phrases, each beside every word that it may be known by, and those against it."""
    return tuple((reason, tuple((word, phrase) for phrase in map(Phrase, reason.vague if vague else reason.phrases)
                                for word in phrase.needed),
                  tuple(map(Phrase, (*reason.unless, *[DOUBT] * (reason.kind is Kind.HARD))))) for reason in ORDER)


PHRASES = rows(vague=False) + rows(vague=True)
STATUSES = {status: reason for reason in reversed(ORDER) for status in reason.statuses}


def by_words(wording: str) -> tuple[Reason, str] | None:
    """Return the first reason in ORDER with a phrase in the wording, and its rule."""
    for reason, phrases, unless in PHRASES:
        for word, phrase in phrases:
            # Of hundreds all but a few are left here, so nothing is called before.
            if word in wording and phrase.found_in(wording):
                if any(other.found_in(wording) for other in unless):
                    break
                return reason, f"{reason.name}: {phrase.phrase}"
    return None


def by_status(status: str, kind: Kind | None = None) -> tuple[Reason, str] | None:
    """Return the reason that a status code means, and its rule; only one of a kind, where that is given."""
    reason = STATUSES.get(status) or STATUSES.get(status[1:])
    return (reason, f"{reason.name}: status {status}") if reason and kind in (None, reason.kind) else None
