# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What mail systems say in plain text, each in its own form, without a part that a program could read.

All forms have in common that a recipient stands at a known place of a line, and what is said of it behind that, or
before it. A row of FORMS is one such place; the last ones hold for systems that nobody has listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .addresses import FORM, address_of

A = rf"[<\"'\[]?(?:smtp:|mailto:)?(?P<address>{FORM})[>\"'\]]?"
# A form is looked for in so much of a text, and what is said of a recipient in so much of its line before it.
LONGEST, LONGEST_BEFORE = 20000, 500


class Form(NamedTuple):
    """One form: its name, words in small letters one of which its texts have, and where a recipient stands in them.

    `before` says that the words on a recipient stand before it; else they stand behind it.
    """

    name: str
    signs: tuple[str, ...]
    place: re.Pattern[str]
    before: bool = False


def form(name: str, signs: tuple[str, ...], place: str, before: bool = False) -> Form:
    return Form(name, signs, re.compile(place, re.IGNORECASE | re.MULTILINE), before)


REPLIED = rf"^(?:[2-5]\d\d )?(?:[245]\.\d{{1,3}}\.\d{{1,3}} )?{A}\.\.\. ?"
FORMS = (
    form("qmail", ("qmail-send", "wasn't able to deliver", "could not be delivered. this"), rf"^[ \t]*{A}:[ \t]*$"),
    form("Postfix", ("postfix program", "mail system at host", "postfix at"),
         rf"^{A}(?: \(expanded from <[^>]{{1,200}}>\))?:"),
    form("Exim", ("created automatically by mail delivery software", "message that you sent", "message sent by"),
         rf"^(?: {{2,6}}|\t)?(?!<){A}:?[ \t]*$"),
    form("Exim", ("created automatically by mail delivery software",), rf"generated (?:from|by) {A}"),
    form("Exim", ("malformed address:",), rf"malformed address: {A} may not follow"),
    form("fml", ("duplicated message-id", "not a member"), rf"(?:duplicated message-id in|of this mailing list) {A}"),
    form("DragonFly", ("dragonfly mail agent",), rf"delivering your mail to {A}\."),
    form("OpenSMTPD", ("this is the mailer-daemon",), rf"^{A}: "),
    form("Zoho", ("error_code", "responsecode"), rf"^{A} invalid address|\[status: \w{{1,20}}, address: "
                                                 rf"{A.replace('address>', 'second>')}"),
    form("sendmail", ("transcript of session follows",), REPLIED, before=True),
    form("sendmail", ("transcript of session follows",),
         rf"^(?:>>> rcpt to: ?{A}|{A.replace('address>', 'second>')}$)"),
    form("MessagingServer", ("recipient address:",), rf"recipient address: *{A}"),
    form("Exchange", ("did not reach", "could not be reached"), rf"^[ \t]*{A} on .{{5,60}}$"),
    form("Exchange", ("did not reach",), rf";dda:SMTP={A}; on "),
    form("Exchange", ("delivery has failed to these", "diagnostic information for administrators"),
         rf"^{A}(?:<mailto:[^>]{{1,200}}>)?$"),
    form("IMail", ("unknown user:", "unknown host:", "delivery failed", "user mailbox exceeds", "undeliverable to "),
         rf"^(?:[^\n@:]{{1,60}}:|undeliverable to) ?{A}[ \t]*$"),
    form("InterScan", ("interscan messaging security",), rf"deliver message to {A}"),
    form("KDDI", ("your mail sent on:",), rf"could not be delivered to: {A}"),
    form("by its label", ("recipient", "deliver", "address", "mailbox"),
         r"(?:recipients?|delivered to|deliver (?:your |the )?(?:message|mail|e-mail) to|message to|mail to|"
         rf"mailbox is full|rcpt to|address|addressed to): ?{A}"),
    form("by its label", ("宛先", "送信先", "受信者", "收件", "수신자"),
         rf"(?:宛先|送信先|受信者|收件人|收件者|수신자)[ :：（(]{{0,3}}{A}"),
    form("at a line's beginning", (), rf"^(?:[ \t]|[*>•·-]){{0,8}}{A}(?=[ \t]*(?:$|[:,;(\[<]|\.\.\.|[ \t]-))"),
    form("behind a colon", (), r"^[ \t]*(?!(?:from|sender|reply|cc|contact|received|return|message-id)\b)[^\n@:]{1,60}:"
         rf"[ \t]*{A}[ \t.]*$"),
    form("in a sentence", (), rf"(?:to|for|recipients?|user|address|mailbox|account|an|à|para|a)[ \t]+{A}"),
)


# Texts that come in many languages, by what is the same in all of them; and what they say.
MEANINGS = {
    "groups.google.com/support": "you have no permission to post",
    "groups.google.com/a/": "you have no permission to post",
}
# A transcript's replies, each of one line or more.
REPLIES = re.compile(r"^<<< ((?:[2-5]\d\d-.*\n<<< ){0,20}[2-5]\d\d.*)$", re.MULTILINE)
WORD = re.compile(r"[^\W\d_]{4}")
CODE = re.compile(r"(?<![\w.@-])[45]\d\d(?![\w.])")
REPLY = re.compile(r"(?<![\w.@-])[45]\d\d[ -](?=[45]\.\d|[^\d\s])")


class Said(NamedTuple):
    """What was said of one recipient, in which form."""

    recipient: str
    text: str
    form: str


def said_in(text: str) -> list[Said]:
    """Return what a mail system's own text says, by recipients: those of the first form that has any."""
    text = text[:LONGEST]
    small = text.lower()
    for each in FORMS:
        if not each.signs or any(sign in small for sign in each.signs):
            found = list(places(each, text))
            if found:
                return found
    return []


def places(each: Form, text: str) -> Iterator[Said]:
    """Yield the recipients at the places of a form, and what is said of them: all up to the next one, each once."""
    found = [(place, address) for place in each.place.finditer(text) if (address := address_in(place))]
    seen: dict[str, list[str]] = {}
    for number, (place, address) in enumerate(found):
        if each.before:
            start = found[number - 1][0].end() if number else 0
            start = text.find("\n", start) if number else 0
            end = text.find("\n", place.end())
            said = text[start : end if end >= 0 else len(text)]
        else:
            end = found[number + 1][0].start() if number + 1 < len(found) else len(text)
            start = max(text.rfind("\n", 0, place.start()) + 1, place.start() - LONGEST_BEFORE)
            said = text[start:end]
        seen.setdefault(address.lower(), [address]).append(said.strip())
    for address, *texts in seen.values():
        yield Said(address, "\n".join(texts)[:LONGEST], each.name)


def address_in(place: re.Match[str]) -> str:
    groups = place.groupdict()
    return address_of(groups.get("address") or groups.get("second") or "")


def readings(text: str) -> Iterator[str]:
    """Yield what can be meant by a text, the surest first: what a server replied, then all of it."""
    for sign, meaning in MEANINGS.items():
        if sign in text:
            yield meaning
    replies = REPLIES.findall(text)
    if replies:
        yield replies[-1].replace("\n<<<", "")
    reply = REPLY.search(text) if not text.startswith("(") else None
    words = text[reply.start() :] if reply else ""
    if words:
        yield words
    # Around a reply with words of its own stands only how it came.
    if not WORD.search(words):
        yield text


GUESSES = ("at a line's beginning", "behind a colon", "in a sentence")
UNSIGNED = (*GUESSES, "by its label")


def agree(in_text: list[Said], failed: list[str]) -> bool:
    """Say whether a text may be believed beside X-Failed-Recipients: no place was guessed, or both name one."""
    surely = any(each.form not in GUESSES for each in in_text)
    return surely or bool({each.recipient.lower() for each in in_text} & set(map(str.lower, failed)))
