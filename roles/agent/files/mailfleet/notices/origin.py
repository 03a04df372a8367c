# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who wrote a message: a mail system that reports, a program that answers, or neither.

Text alone proves nothing: people forward notices, lists discuss them, newsletters quote them.
"""

from __future__ import annotations

import enum
import re

from .mime import Message, words


class Trust(enum.IntEnum):
    """How far a message without a part for programs may be taken for a notice.

    SYSTEM: a mail system wrote it, by its sender, its type, or its subject with the null sender. NULL_SENDER: nobody
    takes an answer to it, as with notices and some answers. SUBJECT: its subject alone is that of a notice.
    """

    NONE = 0
    SUBJECT = 1
    NULL_SENDER = 2
    SYSTEM = 3


DAEMON = re.compile(r"mail(?:er)?[-_. ]?d[ae]+mon", re.IGNORECASE)
SYSTEM = re.compile("|".join((
    r"\bpost_?master\b", r"\bmail[-_. ]?(?:deliver\w*|administrator|admin|router|system|server)\b", r"\bmdaemon",
    r"\bsystem administrator", r"\bmicrosoft ?exchange", r"\bmms?c\b", r"\bmajordomo", r"interscan",
    r"virus.?wall|anti.?virus",
    r"\bmailgate", r"\breturned ?mail", r"\b(?:delivery|bounce|mail)[-_. ]?(?:status|failure|error)",
    r"\bcontent-filter at", r"email-bounces", r"\bno-?reply@sns\.amazonaws\.com",
)), re.IGNORECASE)
FAILED = re.compile("|".join((
    r"\bundeliver\w*|\b(?:not|non-?|un|could not be|can ?not be) ?deliver",
    r"\bdeliver\w* (?:has |have )?(?:status|fail|error|problem|report|notification|incomplete|delay|unsuccessful)",
    r"\b(?:fail\w*|error) (?:notice|in deliver|mail)",
    r"\breturned (?:mail|to sender|e-?mail)|\breturn(?:ing)? (?:message )?to sender",
    r"\bmail (?:system )?(?:error|fail\w*)",
    r"\bmail failure|\bfailure notice|\bwarning: (?:message|could not)|\bdelayed mail|\bloop alert|"
    r"\bcomplaint about message",
    r"\b(?:message|mail|email) (?:status|rejected|bounced|blocked|could not|not delivered|delivery)",
    r"\bare not (?:a )?member", r"\bblocked by", r"unzustellbar|nicht zu(?:ge)?stell", r"\bnon remis|échec de",
    r"no se (?:ha )?(?:podido|pudo|puede) entregar", r"não (?:entregue|pôde|é possível entregar)",
    r"mancata consegna|non recapitabil|recapito non riuscito",
    r"niet bezorgd|onbestelbaar", r"не доставлен|недоставлен|не удалось доставить",
    r"メールエラー|配信(?:不能|エラー|できません)|送信(?:不能|エラー|できません)",
    r"退信|投递失败|(?:無法|无法)(?:傳送|投遞|傳遞|传递|送达)|未送达",
    r"반송|전송 실패|배달되지 않",
    r"nedoruč", r"kan (?:inte|ikke) levere", r"niedostarcz|nie dostarcz", r"teslim edilemedi",
)), re.IGNORECASE)
# A person forwards, a person answers.
BY_HAND = re.compile(
    r"\s*(?:re|fw|fwd|aw|wg|sv|vs|tr|rv|enc|res|antw|r|odp|ha|rif|ynt|vl|回复|转发|答复)\s*(?:\[\d+\])?\s*[::]",
    re.IGNORECASE)
ANSWER = re.compile(r"\s*(?:" + "|".join((
    r"auto(?:matic|mated|matisch\w*|matique)?[- ]?(?:re(?:ply|sponse|sponder)|answer|antwort|antwoord|svar|réponse)",
    r"out of (?:the )?office|ooo\b|(?:i am|i'm|currently) (?:away|out)|away (?:from|until)|on (?:vacation|leave|"
    r"holiday)|vacation",
    r"abwesen|automatische antwort|nicht im büro", r"réponse automatique|absen[ct]", r"respuesta automática|fuera de",
    r"resposta automática|fora do escritório|ausência", r"risposta automatica|assen[tz]|fuori",
    r"automatisch antwoord|afwezig", r"autosvar|fr[åa]n?varande|fraværende|automatiskt svar|automatisk svar",
    r"automaattinen|poissa", r"odpowiedź automatyczna|autoodpowiedź|nieobecn", r"automatická odpověď|mimo kancelář",
    r"автоматический ответ|автоответ|автоматична відповідь", r"自動(?:応答|返信)|不在", r"自动(?:回复|答复)|自動回覆",
    r"자동 ?(?:회신|응답)|부재", r"otomatik (?:yanıt|cevap)", r"automatikus válasz", r"răspuns automat",
    r"automatski odgovor|samodejni odgovor", r"αυτόματη απάντηση", r"תשובה אוטומטית|מענה אוטומטי", r"رد تلقائي",
    r"tự động trả lời|trả lời tự động",
)) + ")", re.IGNORECASE)
LISTED = ("list-id", "list-post", "list-unsubscribe", "list-unsubscribe-post")
# Programs that answered before RFC 3834, and beside it.
ANSWERS = ("x-autoreply", "x-autorespond", "x-auto-response", "x-autoreply-from", "x-mail-autoreply", "x-vacation",
           "x-autoresponder", "x-auto-reply-from")


def subject_of(message: Message) -> str:
    """Return its subject, decoded."""
    return words(message.headers.get("subject"))[:500]


def has_null_sender(message: Message) -> bool:
    """Say whether it came with the null sender (RFC 5321 section 4.5.5), or one that stands for it."""
    return message.headers.get("return-path").strip().lower() in ("<>", "<mailer-daemon>", "mailer-daemon", "<#@[]>")


def trust_of(message: Message) -> Trust:
    """Return how far the message may be taken for a notice, by its header alone."""
    headers, null = message.headers, has_null_sender(message)
    if message.type == "multipart/report" and message.parameters.get("report-type", "").lower() == "delivery-status":
        return Trust.SYSTEM
    sender = words(headers.get("from"))
    if DAEMON.search(sender) or "from" in headers and not sender.strip(" <>"):
        return Trust.SYSTEM
    if not null and (any(name in headers for name in LISTED) or BY_HAND.match(subject_of(message))):
        return Trust.NONE
    failed = FAILED.search(subject_of(message)) is not None
    if SYSTEM.search(sender) or null and failed:
        return Trust.SYSTEM
    if null:
        return Trust.NULL_SENDER
    return Trust.SUBJECT if failed and "in-reply-to" not in headers else Trust.NONE


def by_mail_system(message: Message) -> bool:
    """Say whether a mail system wrote it."""
    return trust_of(message) is Trust.SYSTEM


def is_answer(message: Message) -> bool:
    """Say whether a program answered for its owner (RFC 3834), whatever it answered."""
    headers = message.headers
    return (headers.get("auto-submitted").lower().startswith("auto-replied") or any(name in headers for name in ANSWERS)
            or headers.get("precedence").strip().lower() in ("auto_reply", "auto-reply")
            or has_subject_of_answer(message))


def has_subject_of_answer(message: Message) -> bool:
    """Say whether its subject is that of an answer in somebody's absence."""
    return bool(ANSWER.match(subject_of(message)))
