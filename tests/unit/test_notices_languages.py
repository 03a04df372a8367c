# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notices in the languages that mail systems have: with the server's own words in them, and with none."""

from __future__ import annotations

import base64

import pytest
from mailfleet.notices import read
from notice_world import RETURNED, parts, plain

UNKNOWN, FULL = ("hard", "user-unknown"), ("soft", "mailbox-full")
MICROSOFT = '"Microsoft Outlook" <MicrosoftExchange1234@example.onmicrosoft.com>'
NOBODY = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; nobody of that address"

# Subject, what stands before the recipient, what is said of it, and what is before the server's own words.
EXCHANGE = {
    "German": ("Unzustellbar: Neues", "Fehler beim Zustellen an diese Empfänger oder Gruppen:",
               "Die Adresse, die Sie eingegeben haben, wurde nicht gefunden.", "Diagnose für Administratoren:"),
    "French": ("Non remis : Nouvelles", "Échec de la remise à ces destinataires ou groupes :",
               "L'adresse que vous avez entrée est introuvable.", "Diagnostic pour les administrateurs :"),
    "Spanish": ("No se puede entregar: Noticias", "No se pudo entregar a estos destinatarios o grupos:",
                "No se encontró la dirección que escribió.", "Diagnóstico para los administradores:"),
    "Japanese": ("配信不能: ニュース", "次の受信者またはグループへ配信できませんでした:",
                 "入力したアドレスが見つかりませんでした。", "管理者向けの診断:"),
}
# What is said with no word of a server's beside it.
ALONE = {
    "German": ("Unzustellbar: Neues", "Die eingegebene Adresse konnte nicht gefunden werden.", UNKNOWN),
    "German, full": ("Unzustellbar: Neues", "Das Postfach dieser Person ist leider voll.", FULL),
    "French": ("Échec de la remise", "L'adresse indiquée ci-dessus n'existe pas.", UNKNOWN),
    "French, full": ("Échec de la remise", "La boîte de cette personne est pleine.", FULL),
    "Spanish": ("No se puede entregar: x", "No se ha encontrado esa dirección.", UNKNOWN),
    "Spanish, full": ("No se puede entregar: x", "El buzón de esta persona está lleno.", FULL),
    "Italian": ("Non recapitabile: x", "L'indirizzo immesso non è stato trovato.", UNKNOWN),
    "Italian, full": ("Non recapitabile: x", "La casella di questa persona è piena.", FULL),
    "Dutch": ("Onbestelbaar: x", "Het e-mailadres is niet gevonden.", UNKNOWN),
    "Dutch, full": ("Onbestelbaar: x", "Het postvak is vol.", FULL),
    "Polish": ("Niedostarczalne: x", "Nie znaleziono wpisanego adresu.", UNKNOWN),
    "Polish, full": ("Niedostarczalne: x", "Skrzynka tej osoby jest pełna.", FULL),
    "Swedish": ("Kan inte levereras: x", "Adressen hittades inte.", UNKNOWN),
    "Swedish, full": ("Kan inte levereras: x", "Mottagarens brevlåda är full.", FULL),
    "Danish": ("Kan ikke leveres: x", "Adressen blev ikke fundet.", UNKNOWN),
    "Czech": ("Nedoručitelné: x", "Adresa nebyla nalezena.", UNKNOWN),
    "Czech, full": ("Nedoručitelné: x", "Schránka je plná.", FULL),
    "Turkish, full": ("Teslim edilemedi: x", "Posta kutusu dolu.", FULL),
    "Russian": ("Не доставлено: x", "Такой пользователь не найден.", UNKNOWN),
    "Russian, full": ("Не доставлено: x", "Ящик этого получателя переполнен.", FULL),
    "Japanese": ("配信不能: x", "アドレスが見つかりませんでした。", UNKNOWN),
    "Japanese, full": ("配信不能: x", "メールボックスがいっぱいです。", FULL),
    "Chinese": ("未送达: x", "找不到这个电子邮件地址。", UNKNOWN),
    "Chinese, full": ("未送达: x", "收件人邮箱已满。", FULL),
    "Korean": ("배달되지 않음: x", "메일 주소를 찾을 수 없습니다.", UNKNOWN),
    "Korean, full": ("배달되지 않음: x", "받는 사람의 편지함이 가득 찼습니다.", FULL),
}
SENDERS = {
    "German": "Die Adresse des Absenders wurde nicht gefunden.", "French": "L'adresse de l'expéditeur n'existe pas.",
    "Spanish": "No se encontró la dirección del remitente.", "Italian": "L'indirizzo del mittente non è stato trovato.",
    "Dutch": "Het adres van de afzender is niet gevonden.", "Polish": "Nie znaleziono adresu nadawcy.",
    "Japanese": "送信者のアドレスが見つかりませんでした。", "Chinese": "找不到发件人的电子邮件地址。",
}


def told(raw):
    return [(each.recipient, (str(each.kind), each.reason)) for each in read(raw).findings]


@pytest.mark.parametrize("as_html", [False, True], ids=["plain", "HTML in base64"])
@pytest.mark.parametrize("language", EXCHANGE)
def test_exchange_is_read(language, as_html):
    subject, before, said, diagnosis = EXCHANGE[language]
    text = f"{before}\n\nann@example.net\n{said}\n\n{diagnosis}\n\nann@example.net\nRemote Server returned '{NOBODY}'\n"
    raw = plain(MICROSOFT, subject, f"{text}\n{RETURNED}")
    if as_html:
        page = base64.encodebytes(f"<html><body>{text.replace(chr(10), '<br>')}</body></html>".encode()).decode()
        raw = parts(MICROSOFT, subject, ("text/html; charset=utf-8\nContent-Transfer-Encoding: base64", page),
                    ("message/rfc822", RETURNED))
    assert told(raw) == [("ann@example.net", UNKNOWN)]


@pytest.mark.parametrize("case", ALONE)
def test_words_of_no_server_are_read(case):
    """The null sender and the subject are all that tells whose words they are."""
    subject, said, expected = ALONE[case]
    raw = plain("Example Mail <mail@example.net>", subject, f"ann@example.net\n{said}\n\n{RETURNED}")
    assert told(raw) == [("ann@example.net", expected)]


@pytest.mark.parametrize("language", SENDERS)
def test_what_is_said_of_the_sender_makes_nobody_hard(language):
    found = told(plain("postmaster@example.net", "Undeliverable: x", f"ann@example.net\n{SENDERS[language]}\n"))
    assert [(recipient, kind) for recipient, (kind, _reason) in found] == [("ann@example.net", "soft")]
