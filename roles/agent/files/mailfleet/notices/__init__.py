# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a message that came back: what became of which recipient, and whose mail it was."""

from __future__ import annotations

import dataclasses

from ..finding import Finding, Kind, Notice, Scope
from ..reasons import STATUS, Verdict, classify
from . import amazon, feedback, origin, returned, sessions, status, texts
from .addresses import address_of, addresses_in, unique
from .mime import LONGEST_HEAD, Headers, Message, Part
from .verdicts import SHOWN, told, verdict_of

REPORT = "delivery-status"
# Of so many recipients is looked for what the whole text says of them: what is about more is there to keep somebody
# busy, or says of each by itself what it has to say.
MOST_IN_WORDS = 50


def read(raw: bytes) -> Notice:
    """Read a message, whatever it is; what is no notice has no findings. Never raises, and takes a bounded time.

    Parts for programs come first (RFC 3464, RFC 5965), then what mail systems write in plain text.
    """
    message = Message(raw)
    inner = wrapped(message)
    if inner is None:
        return read_one(message)
    notice = read_one(Message(inner))
    outer = returned.mentions(message, [], Headers(b""))
    return dataclasses.replace(notice, mentions=tuple(dict.fromkeys((*outer, *notice.mentions))))


def read_one(message: Message) -> Notice:
    """Read a message that is not wrapped."""
    own, rest = own_text(message)
    back = returned.returned_headers(message, rest)
    report = status.report_of(message, status_parts(message))
    findings = complaints(message, back) or failures(message, report, own, back) or answer(message)
    named = [each for group in report.groups for each in (group.original, group.recipient)]
    named += [each for finding in findings for each in (finding.original, finding.recipient)]
    reported = [("original-envelope-id", value) for value in report.envelope_ids] + feedback.return_paths(message)
    return Notice(tuple(findings), returned.mentions(message, reported, back),
                  tuple(returned.addressed(message, unique(named), back)), tuple(returned.written(back)))


def wrapped(message: Message) -> bytes | None:
    """Return the report that a gateway put whole into a message of its own, saying nothing before it; or None."""
    first = message.parts[0] if message.parts else message
    if first is message or first.type != "message/rfc822":
        return None
    inner = first.inside
    return inner if b"multipart/report" in inner[:LONGEST_HEAD].lower() and origin.by_mail_system(message) else None


def own_text(message: Message) -> tuple[str, str]:
    """Return what the message itself says in its texts, and the end of the last one if it is a returned message."""
    said, rest = [], ""
    for part in message.parts:
        if part.type in returned.RETURNED or part.type == feedback.TYPE:
            break
        if part.type == "text/plain" or part.type == "text/html" and not said or "/" not in part.type:
            text, rest = returned.divided(part.text)
            said.append(text)
            if rest:
                break
    return "\n".join(said), rest


def report_type(message: Message) -> str:
    """Return the kind of report that a message says to be (RFC 6522), or ""."""
    if message.type != "multipart/report":
        return ""
    return message.parameters.get("report-type", "").lower() or REPORT


def status_parts(message: Message) -> list[Part]:
    """Return the parts with fields of RFC 3464, of a message that is a report or comes from a mail system."""
    parts = [part for part in message.parts if part.type in status.TYPES]
    if parts and (report_type(message) == REPORT or origin.by_mail_system(message)):
        return parts
    if not parts and origin.by_mail_system(message):
        return [part for part in message.parts if part.type == "text/plain" and status.IN_TEXT.search(part.text)][:1]
    return []


def complaints(message: Message, back: Headers) -> list[Finding]:
    """Return the complaints in a message."""
    parts = [part for part in message.parts if part.type == feedback.TYPE]
    if parts and (report_type(message) or origin.by_mail_system(message)):
        return feedback.complaints_of(parts, back)
    return feedback.without_report(message, back) if not parts else []


def failures(message: Message, report: status.Report, own: str, back: Headers) -> list[Finding]:
    """Return what a mail system says of recipients."""
    trust = origin.trust_of(message)
    if not report.groups and trust is not origin.Trust.SYSTEM:
        return guessed(message, own, trust)
    notified = amazon.findings_of(own)
    if notified is not None:
        return notified
    authors = {each.lower() for each in addresses_in(message.headers.get("from"))}
    failed = unique(each for value in message.headers.all("x-failed-recipients") for each in addresses_in(value))
    in_text = [each for each in texts.said_in(own) if each.recipient.lower() not in authors]
    if report.groups:
        alone = len(report.groups) == 1
        found = [finding_of(group, message, own, in_text, failed, back, alone)
                 for group in report.groups[:MOST_IN_WORDS]]
        return found + [finding_of(group, message, "", [], failed, back, alone)
                        for group in report.groups[MOST_IN_WORDS:]]
    if not failed and origin.has_subject_of_answer(message):
        return []
    if in_text and failed and not texts.agree(in_text, failed):
        in_text = []
    if in_text:
        return [told(each.recipient, verdict, each.text, each.form)
                for each, verdict in zip(in_text, verdicts_of(in_text, own, message))]
    how = "X-Failed-Recipients"
    if not failed and own.strip() and origin.FAILED.search(origin.subject_of(message)):
        to = unique(each for value in back.all("to") for each in addresses_in(value) or [address_of(value)])
        failed, how = (to if len(to) == 1 else []), "returned message"
    verdict = verdict_of([own], "", own, message) if failed else None
    return [told(each, verdict, own, how) for each in failed if verdict]


def verdicts_of(in_text: list[texts.Said], own: str, message: Message) -> list[Verdict]:
    """Return what each recipient's words mean: those on it, and all if it is alone, else what is before them all."""
    alone = len(in_text) == 1
    around = own if alone else own[: min((max(own.find(each.text[:40]), 0) for each in in_text), default=0)]
    return [verdict_of([each.text, around], "", own, message) if place < MOST_IN_WORDS else
            verdict_of([each.text], "", "", message) for place, each in enumerate(in_text)]


def guessed(message: Message, own: str, trust: origin.Trust) -> list[Finding]:
    """Return what is said by something that may be a mail system in disguise: only in the form and words of one."""
    if trust is origin.Trust.NONE or origin.has_subject_of_answer(message):
        return []
    in_text = texts.said_in(own)
    in_text = [each for each in in_text
               if each.form not in (texts.GUESSES if trust is origin.Trust.NULL_SENDER else texts.UNSIGNED)]
    return [told(each.recipient, verdict, each.text, each.form)
            for each, verdict in zip(in_text, verdicts_of(in_text, own, message)) if verdict.by_phrase]


def finding_of(group: status.Group, message: Message, own: str, in_text: list[texts.Said], failed: list[str],
               back: Headers, alone: bool) -> Finding:
    """Return the finding of one group of a status part; `own` is what the text says, where the group says little."""
    named = unique(each.recipient for each in in_text)
    recipient = group.recipient or (failed[0] if len(failed) == 1 else "") or (named[0] if len(named) == 1 else "")
    if not recipient:
        to = [each for value in back.all("to") for each in addresses_in(value)]
        recipient = to[0] if len(to) == 1 else ""
    if group.action in ("delivered", "relayed", "expanded"):
        return Finding(recipient, Kind.DELIVERED, group.action, Scope.RECIPIENT, group.status, group.diagnostic[:SHOWN],
                       f"RFC 3464: {group.action}", group.original)
    in_words = [each.text for each in in_text if each.recipient.lower() == recipient.lower()]
    # sendmail says in its text whether it took the reply to be about the address.
    codes = [group.status, *(code for text in in_words for code in STATUS.findall(text))]
    of_address = next((code for code in codes if code.startswith("5.1.")), "")
    # What is said of nobody by name is about a recipient only where there is no other.
    reply = sessions.whole(group.diagnostic, own)
    said = [reply, *in_words, *([own] if alone else [])]
    verdict = verdict_of(said, of_address or group.status, own, message)
    if verdict.kind is Kind.HARD and not verdict.by_phrase and sessions.guessed(reply, own):
        verdict = classify("")
    if group.action == "delayed":
        verdict = dataclasses.replace(verdict, kind=Kind.SOFT)
    return told(recipient, verdict, group.diagnostic or " ".join(in_words), "RFC 3464", group.original, group.status)


def answer(message: Message) -> list[Finding]:
    """Return the finding of an answer that no person wrote, by whom it is from; nothing else is known of it."""
    if not origin.is_answer(message):
        return []
    sender = next(iter(addresses_in(message.headers.get("from"))), "")
    return [Finding(sender, Kind.AUTO_REPLY, "auto-reply", Scope.RECIPIENT, "", origin.subject_of(message)[:SHOWN],
                    "RFC 3834")]
