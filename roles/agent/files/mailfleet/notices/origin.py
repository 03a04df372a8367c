# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who wrote a message: a mail system that reports, a program that answers, or neither.

Text alone proves nothing: people forward notices, lists discuss them, newsletters quote them.
"""

from __future__ import annotations

import re

from mailfleet.notices.mime import Message, words

SYSTEM = re.compile(
    r"\b(?:mailer[-_. ]?(?:daemon|deamon)|post_?master|mail[-_. ]?(?:delivery|deliver|administrator|admin|router|system|daemon)\b|mdaemon|"
    r"mail ?delivery (?:system|subsystem|service)|microsoft ?exchange|system administrator|mmsc|mailadm|majordomo|"
    r"(?:delivery|bounce|mail)[-_. ]?(?:status|failure|error)|notif[a-z]*@(?:bounce|dsn)|virus.?wall|interscan|mailgate|returned ?mail)",
    re.IGNORECASE)
FAILED = re.compile(
    r"undeliver|(?:not|non|un|nicht|no).?(?:be |been )?deliver|deliver\w* (?:has |have )?(?:status|fail|error|problem|report|notif|incomplete|delay|unsuccess)|"
    r"(?:fail\w*|error\w*) (?:notice|deliver|mail)|returned (?:mail|to sender|e-?mail)|return(?:ed|ing)? (?:message )?to sender|mail (?:system )?(?:error|fail)|"
    r"mail failure|failure notice|(?:message|mail|email) (?:status|rejected|bounced|blocked|could not|not delivered|delivery)|bounce|warning: (?:message|could not)|"
    r"delay|loop alert|feedback|complaint about|delivery|zustell|unzustellbar|non remis|échec|echec|remise|no se (?:ha )?(?:podido|pudo)|"
    r"não (?:entregue|pôde)|mancata consegna|niet (?:bezorg|worden)|не (?:доставлен|удалось)|недоставлен|メールエラー|エラー|配信|送信(?:不能|エラー|できません)|戻り|"
    r"退信|退回|無法|无法|投递失败|系统退信|반송|doručen|niedostarcz|nie dostarcz|teslim|undelivered|notif\w+ d'état|rapport de non|not sent|"
    r"message you sent|are not (?:a )?member|blocked by|rejected|aws notification", re.IGNORECASE)
# A person forwards, a person answers.
BY_HAND = re.compile(r"\s*(?:re|fw|fwd|aw|wg|sv|vs|tr|rv|enc|res|antw|r|odp|ha|rif|ynt|vl|回复|转发|答复)\s*(?:\[\d+\])?\s*[::]",
                     re.IGNORECASE)
ANSWER = re.compile(
    r"\s*(?:auto(?:matic|matisch|matique|mated)?[- ]?(?:re(?:ply|sponse|sponder)|answer|antwort|antwoord|svar|réponse)|out of (?:the )?office|ooo\b|away from|"
    r"on vacation|vacation|abwesen|automatische antwort|réponse automatique|absence|absent|respuesta automática|fuera de|resposta automática|"
    r"fora do escritório|risposta automatica|assente|fuori|automatisch antwoord|afwezig|niet aanwezig|autosvar|fråvarande|frånvarande|fraværende|"
    r"automaattinen|poissa|odpowiedź automatyczna|nieobecn|automatická odpověď|автоматический ответ|автоответ|自動応答|自動返信|不在|自动回复|自動回覆|자동 ?회신|부재|"
    r"otomatik yanıt|automatikus válasz|răspuns automat|automatski odgovor|i am (?:currently )?(?:away|out)|away until|i'm (?:away|out))", re.IGNORECASE)
LISTED = ("list-id", "list-post", "list-unsubscribe", "list-unsubscribe-post")


def subject_of(message: Message) -> str:
    """Return its subject, decoded."""
    return words(message.headers.get("subject"))[:500]


def has_null_sender(message: Message) -> bool:
    """Say whether it came with the null sender (RFC 5321 section 4.5.5), or one that stands for it."""
    return message.headers.get("return-path").strip().lower() in ("<>", "<mailer-daemon>", "mailer-daemon", "<#@[]>")


def by_mail_system(message: Message) -> bool:
    """Say whether a mail system reports: by its sender, or by a subject of that kind that no person sent on."""
    headers = message.headers
    if any(name in headers for name in LISTED) and not has_null_sender(message):
        return False
    sender = words(headers.get("from"))
    if SYSTEM.search(sender):
        return True
    subject = subject_of(message)
    if BY_HAND.match(subject) or "in-reply-to" in headers and not has_null_sender(message):
        return False
    return bool(FAILED.search(subject)) or not sender.strip(" <>")


def is_answer(message: Message) -> bool:
    """Say whether a program answered for its owner (RFC 3834), whatever it answered."""
    headers = message.headers
    said = headers.get("auto-submitted").lower()
    return (said.startswith(("auto-replied", "auto-generated", "auto-notified"))
            or "x-autoreply" in headers or "x-autorespond" in headers or "x-auto-response" in headers
            or headers.get("precedence").strip().lower() in ("auto_reply", "auto-reply")
            or "x-autoreply-from" in headers or "x-mail-autoreply" in headers or "x-vacation" in headers
            or has_subject_of_answer(message))


def has_subject_of_answer(message: Message) -> bool:
    """Say whether its subject is that of an answer in somebody's absence."""
    return bool(ANSWER.match(subject_of(message)))
