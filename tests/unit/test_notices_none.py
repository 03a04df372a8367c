# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages that are no bounce and no complaint, however much they look like one: not one of them is flagged."""

from __future__ import annotations

import pytest
from mailfleet.finding import Kind
from mailfleet.notices import read
from notice_world import RETURNED, complaint, parts, plain, report

FLAGGED = {Kind.HARD, Kind.SOFT, Kind.COMPLAINT}
QUOTED = """Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ann@example.net>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 <ann@example.net>: no such user

--- Below this line is a copy of the message.

"""
STATUS = ("Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n"
          "Diagnostic-Code: smtp; 550 No such user\n")
BOUNCE = report(STATUS).decode()

# Answers of programs: subject, text. None of them says that anybody is gone for good.
ANSWERS = {
    "English": ("Automatic reply: The news of March", "I am out of the office until Monday. Please write to "
                                                      "bob@example.net."),
    "English, other": ("Out of Office: The news", "My mailbox is not read. For urgent matters: bob@example.net"),
    "English, left": ("Auto: I have left the company", "This address is no longer in use. Write to bob@example.net."),
    "German": ("Abwesenheitsnotiz", "Ich bin bis Montag nicht im Büro. Vertretung: bob@example.net"),
    "German, other": ("Automatische Antwort: Nachrichten", "Diese Adresse existiert nicht mehr: bob@example.net"),
    "French": ("Réponse automatique : Nouvelles", "Je suis absente. En cas d'urgence : bob@example.net"),
    "Spanish": ("Respuesta automática: Noticias", "Estoy de vacaciones hasta el lunes. bob@example.net"),
    "Portuguese": ("Resposta automática: Notícias", "Estou de férias. Contato: bob@example.net"),
    "Italian": ("Risposta automatica: Notizie", "Sono in ferie. Per urgenze: bob@example.net"),
    "Dutch": ("Automatisch antwoord: Nieuws", "Ik ben afwezig. Mail bob@example.net"),
    "Swedish": ("Autosvar: Nyheter", "Jag är på semester. Kontakta bob@example.net"),
    "Danish": ("Automatisk svar: Nyheder", "Jeg holder ferie. Skriv til bob@example.net"),
    "Finnish": ("Automaattinen vastaus: Uutiset", "Olen lomalla. bob@example.net"),
    "Polish": ("Odpowiedź automatyczna: Wiadomości", "Jestem na urlopie. bob@example.net"),
    "Czech": ("Automatická odpověď: Zprávy", "Jsem na dovolené. bob@example.net"),
    "Russian": ("Автоматический ответ: Новости", "Я в отпуске. bob@example.net"),
    "Turkish": ("Otomatik Yanıt: Haberler", "Tatildeyim. bob@example.net"),
    "Greek": ("Αυτόματη απάντηση: Νέα", "Λείπω. bob@example.net"),
    "Japanese": ("自動応答: ニュース", "不在にしております。 bob@example.net"),
    "Chinese": ("自动回复: 新闻", "我正在休假。 bob@example.net"),
    "Korean": ("자동 회신: 소식", "휴가 중입니다. bob@example.net"),
}
PEOPLE = "Bob Example <bob@example.net>"
OTHERS = {
    "a person writes": plain(PEOPLE, "The news of March", "Thank you!\n", Return_Path="<bob@example.net>"),
    "a person forwards a bounce in the text": plain(
        PEOPLE, "Fwd: failure notice", f"Why this?\n\n---------- Forwarded message ---------\n{QUOTED}",
        Return_Path="<bob@example.net>"),
    "a person forwards a bounce as it was": plain(PEOPLE, "failure notice", QUOTED + RETURNED,
                                                  List_Id="<x.example.net>",
                                                  Return_Path="<bob@example.net>"),
    "a person asks about one, with its subject": plain(
        PEOPLE, "Undelivered Mail Returned to Sender", "What does '550 user unknown' mean that I got for "
        "ann@example.net?\n", Return_Path="<bob@example.net>"),
    "a person forwards a bounce as an attachment": parts(
        PEOPLE, "FW: Undeliverable: The news", ("text/plain", "See below."), ("message/rfc822", BOUNCE),
        Return_Path="<bob@example.net>"),
    "a person answers a bounce": plain(
        PEOPLE, "Re: Undeliverable: The news", f"This is not mine!\n\n> {QUOTED}", Return_Path="<bob@example.net>"),
    "a person forwards the parts of one": parts(
        PEOPLE, "Fwd: Undeliverable: The news", ("text/plain", "See"), ("message/delivery-status", STATUS),
        ("message/rfc822", RETURNED), Return_Path="<bob@example.net>"),
    "a postmaster answers a question": plain(
        "postmaster@example.net", "Re: user unknown", f"The mailbox ann@example.net is full.\n{QUOTED}",
        Return_Path="<postmaster@example.net>", In_Reply_To="<1@example.com>"),
    "a list post about SMTP errors": plain(
        PEOPLE, "550 5.1.1 user unknown from mx.example.net", f"My log says:\n{QUOTED}", List_Id="<mailop.example.org>",
        Return_Path="<mailop-bounces@example.org>"),
    "a list post by a mail admin": plain(
        "Mail Administrator <postmaster@example.net>", "[mailop] Undeliverable: why?", f"I see:\n{QUOTED}",
        List_Post="<mailto:mailop@example.org>", Return_Path="<mailop-bounces@example.org>"),
    "a digest": parts("mailop-request@example.org", "mailop Digest, Vol 1, Issue 2", ("text/plain", QUOTED),
                      ("multipart/digest", BOUNCE), Return_Path="<mailop-bounces@example.org>"),
    "a newsletter on bounces": plain(
        "News <news@example.net>", "Mail delivery failed: what now?",
        f"Have you seen such texts?\n\n{'x ' * 400}\n{QUOTED}",
        List_Unsubscribe="<https://example.net/u>", Return_Path="<bounce-1@example.net>"),
    "a newsletter without a list header": plain(
        "News <news@example.net>", "Undeliverable: how to mend it", "Dear reader,\nmail to ann@example.net comes back "
        "with 'mailbox full' or 'user unknown'. Here is what to do.\n", Return_Path="<bounce-1@example.net>"),
    "an advertisement": plain("Shop <shop@example.net>", "Your delivery failed: act now",
                              "The parcel for ann@example.net could not be delivered: address unknown. Click.\n",
                              Return_Path="<shop@example.net>"),
    "a parcel": plain("Parcels <no-reply@parcels.example>", "Delivery status: delayed",
                      "Recipient: ann@example.net\nThe address was not found, we will try again.\n",
                      Return_Path="<x@parcels.example>"),
    "an invoice": plain("Bills <bills@example.net>", "Payment rejected", "The account is suspended: ann@example.net\n",
                        Return_Path="<bills@example.net>"),
    "an account's notice": plain("Service <no-reply@service.example>", "Your mailbox is almost full", "The mailbox of "
                                 "ann@example.net is full. Delete something.\n", Return_Path="<x@service.example>"),
    "a welcome": plain("Service <no-reply@service.example>", "Confirm your address", "Hello ann@example.net!\n"),
    "delivered": report(
        STATUS.replace("failed", "delivered").replace("5.1.1", "2.1.5").replace("550 No such user", "250 Ok")),
    "relayed": report("Final-Recipient: rfc822; ann@example.net\nAction: relayed\nStatus: 2.1.9\n"),
    "expanded": report("Final-Recipient: rfc822; all@example.net\nAction: expanded\nStatus: 2.0.0\n"),
    "delivered, as Exchange says it": report("Final-Recipient: rfc822;ann@example.net\nAction: delivered\nStatus: "
                                             "2.0.0\n",
                                             "Your message has been delivered to: ann@example.net",
                                             subject="Delivered: x"),
    "a read receipt": parts(PEOPLE, "Read: The news", ("text/plain", "Your message was read."), (
        "message/disposition-notification", "Final-Recipient: rfc822;ann@example.net\nDisposition: "
        "automatic-action/MDN-sent-automatically; displayed\n"), kind="report; report-type=disposition-notification"),
    "deleted without being read": parts(PEOPLE, "Not read: The news", ("text/plain", "It was deleted unread."), (
        "message/disposition-notification", "Final-Recipient: rfc822;ann@example.net\nDisposition: manual-action/"
        "MDN-sent-manually; deleted\n"), kind="report; report-type=disposition-notification"),
    "a DMARC aggregate report": parts("noreply-dmarc@provider.example",
                                      "Report Domain: example.com Submitter: provider",
                                      ("text/plain", "This is an aggregate report."), ("application/gzip", "H4sI"),
                                      Return_Path="<noreply-dmarc@provider.example>"),
    "a TLS report": parts("tlsrpt@provider.example", "Report Domain: example.com", ("text/plain", "A report."), (
        "application/tlsrpt+gzip", "H4sI"), kind="report; report-type=tlsrpt", Return_Path="<tlsrpt@provider.example>"),
    "not spam": complaint("Feedback-Type: not-spam\nOriginal-Rcpt-To: ann@example.net"),
    "an invitation accepted": parts(PEOPLE, "Accepted: Meeting", ("text/plain", "ann@example.net has accepted"), (
        "text/calendar; method=REPLY", "BEGIN:VCALENDAR\nATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.net\n"),
        Return_Path="<bob@example.net>"),
    "an invitation declined": parts(PEOPLE, "Declined: Meeting", ("text/calendar; method=REPLY", "BEGIN:VCALENDAR\n"
                                    "ATTENDEE;PARTSTAT=DECLINED:mailto:ann@example.net\n"),
                                    Return_Path="<bob@example.net>"),
    "an unsubscribe request": plain(PEOPLE, "unsubscribe", "", Return_Path="<bob@example.net>"),
    "a challenge": plain("ann@example.net", "Please confirm your message", "I do not know you. Click to be heard.\n"),
    "a postmaster who is away": plain("Postmaster <postmaster@example.net>", "Automatic reply: The news", "I am away.\n"
                                      "Write to the mailbox of the others, which is not full:\nbob@example.net\n"),
    "cron": plain("Cron Daemon <root@mx.example.org>", "Cron <root@mx> backup", "rsync: connection timed out to "
                  "bob@example.net\n", Auto_Submitted="auto-generated", Return_Path="<root@mx.example.org>"),
    "logwatch": plain("root@mx.example.org", "Logwatch for mx",
                      "550 5.1.1 user unknown: 5 Time(s)\n   ann@example.net\n",
                      Return_Path="<root@mx.example.org>"),
    "a ticket": plain("Help <help@example.net>", "[#123] Your request was received", "We got it.\n",
                      Auto_Submitted="auto-replied", Precedence="bulk", Return_Path="<help@example.net>"),
    "a ticket from the null sender": plain("Help <help@example.net>", "We received your message",
                                           "To: ann@example.net, we answer soon.\n", Auto_Submitted="auto-replied"),
    "nothing": b"",
    "a header alone": b"Subject: failure notice\n\n",
    "no header": b"\n\n550 user unknown <ann@example.net>",
    "garbage": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_not_flagged(name):
    assert [each for each in read(OTHERS[name]).findings if each.kind in FLAGGED] == []


@pytest.mark.parametrize("sender", ["<>", "<ann@example.net>"], ids=["null sender", "own sender"])
@pytest.mark.parametrize("language", ANSWERS)
def test_an_answer_in_absence_is_an_answer(language, sender):
    subject, text = ANSWERS[language]
    raw = plain("Ann <ann@example.net>", subject, text, Return_Path=sender,
                Auto_Submitted="auto-replied" if language == "English, left" else "")
    (found,) = read(raw).findings
    assert (found.kind, found.reason, found.recipient) == (Kind.AUTO_REPLY, "auto-reply", "ann@example.net")


@pytest.mark.parametrize("header", [
    "Auto-Submitted: auto-replied", "Auto-Submitted: auto-replied (vacation)", "X-Autoreply: yes", "X-Autorespond: x",
    "Precedence: auto_reply", "X-Vacation: yes",
])
def test_a_header_tells_an_answer(header):
    name, value = header.split(": ")
    raw = plain("Ann <ann@example.net>", "hello", "I am away.", **{name.replace("-", "_"): value})
    assert [each.kind for each in read(raw).findings] == [Kind.AUTO_REPLY]


def test_there_are_more_than_fifty():
    assert len(OTHERS) + len(ANSWERS) > 50


@pytest.mark.parametrize("raw, reason", [
    (OTHERS["delivered"], "delivered"), (OTHERS["relayed"], "relayed"), (OTHERS["expanded"], "expanded"),
])
def test_what_arrived_is_told(raw, reason):
    (found,) = read(raw).findings
    assert (found.kind, found.reason) == (Kind.DELIVERED, reason)


def test_what_waits_is_soft_with_its_reason():
    (found,) = read(report(STATUS.replace("failed", "delayed").replace("5.1.1", "4.4.1").replace(
        "550 No such user", "connect to mx.example.net: Connection timed out"))).findings
    assert (found.kind, found.reason) == (Kind.SOFT, "unreachable")


def test_those_that_are_quoted_here_are_flagged_where_they_are_real():
    assert [each.kind for each in read(BOUNCE.encode()).findings] == [Kind.HARD]
    real = plain("MAILER-DAEMON@x.example", "failure notice", QUOTED)
    assert [each.kind for each in read(real).findings] == [Kind.HARD]
