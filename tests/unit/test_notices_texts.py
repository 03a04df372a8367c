# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One message for each text form of the mail systems, and what it says of whom."""

from __future__ import annotations

import pytest
from mailfleet.notices import read
from notice_world import RETURNED, parts, plain

DAEMON = "MAILER-DAEMON@mx.example.org"
HARD, SOFT = "hard", "soft"
UNKNOWN, FULL = (HARD, "user-unknown"), (SOFT, "mailbox-full")

FORMS = {
    "qmail": (DAEMON, "failure notice", """Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ann@example.net>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 <ann@example.net>: no such user
Giving up on 192.0.2.7.

<bob@example.net>:
Sorry, this mailbox is over quota. (#5.2.2)
I'm not going to try again; this message has been in the queue too long.

--- Below this line is a copy of the message.

""", {"ann@example.net": UNKNOWN, "bob@example.net": FULL}),
    "qmail, late": (DAEMON, "failure notice", """Hi. This is the qmail-send program at mx.example.org.

<ann@example.net>:
192.0.2.7 failed after I sent the message.
Remote host said: 550 user unknown

--- Below this line is a copy of the message.

""", {"ann@example.net": (SOFT, "filtered")}),
    "Postfix": (DAEMON, "Undelivered Mail Returned to Sender", """This is the Postfix program at host mx.example.org.

I'm sorry to have to inform you that your message could not be delivered.

<ann@example.net> (expanded from <all@example.org>): host mx.example.net[192.0.2.7] said: 550 5.1.1
    <ann@example.net>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO
    command)
<bob@example.net>: connect to mx.example.net[192.0.2.7]:25: Connection timed out

""", {"ann@example.net": UNKNOWN, "bob@example.net": (SOFT, "unreachable")}),
    "Exim": ("Mail Delivery System <Mailer-Daemon@mx.example.org>",
             "Mail delivery failed: returning message to sender",
             """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ann@example.net
    SMTP error from remote mail server after RCPT TO:<ann@example.net>:
    host mx.example.net [192.0.2.7]: 550 Unknown user
  bob@example.net
    (ultimately generated from all@example.org)
    mailbox is full: retry timeout exceeded

------ This is a copy of the message, including all the headers. ------

""", {"ann@example.net": UNKNOWN, "bob@example.net": FULL}),
    "Exim, delayed": ("Mail Delivery System <Mailer-Daemon@mx.example.org>",
                      "Warning: message 1a-2b-3c delayed 24 hours",
                      """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.org.

The address to which the message has not yet been delivered is:

  ann@example.net
    Delay reason: Connection timed out

No action is required on your part.
""", {"ann@example.net": (SOFT, "unreachable")}),
    "GMX": ("MAILER-DAEMON@mail.example.org", "Mail delivery failed: returning message to sender",
            """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of
its recipients. The following address failed:

"ann@example.net":
SMTP error from remote server after RCPT command:
host: mx.example.net
550 5.1.1 unknown recipient

--- The header of the original message is following. ---

""", {"ann@example.net": UNKNOWN}),
    "DragonFly": ("MAILER-DAEMON <>", "Mail delivery failed",
                  """This is the DragonFly Mail Agent v0.13 at mx.example.org.

There was an error delivering your mail to <ann@example.net>.

mx.example.net [192.0.2.7] did not like our RCPT TO:
552 5.2.2 <ann@example.net>: mailbox full

Message headers follow.

""", {"ann@example.net": FULL}),
    "OpenSMTPD": ("Mailer Daemon <MAILER-DAEMON@mx.example.org>", "Delivery status notification: error", """    Hi!

    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.

    An error has occurred while attempting to deliver a message for
    the following list of recipients:

ann@example.net: 550 5.1.1 no such user
bob@example.net: Domain does not exist

    Below is a copy of the original message:

""", {"ann@example.net": UNKNOWN, "bob@example.net": (HARD, "domain-unknown")}),
    "sendmail 5": ("Mail Delivery Subsystem <MAILER-DAEMON@mx.example.org>", "Returned mail: User unknown",
                   """   ----- Transcript of session follows -----
While talking to mx.example.net:
>>> RCPT To:<ann@example.net>
<<< 550 No such user here.
550 <ann@example.net>... User unknown
550 nowhere.example (smtp)... 550 Host unknown
554 <bob@nowhere.example>... 550 Host unknown (Authoritative answer from name server)

   ----- Unsent message follows -----
""", {"ann@example.net": UNKNOWN, "bob@nowhere.example": (HARD, "domain-unknown")}),
    "Courier": ("postmaster@mx.example.org", "NOTICE: mail delivery status.",
                """This is a delivery status notification from
mx.example.org, running the Courier mail server, version 1.

                           UNDELIVERABLE MAIL

Your message to the following recipients cannot be delivered:

<ann@example.net>:
    mx.example.net [192.0.2.7]:
>>> RCPT TO:<ann@example.net>
<<< 550 User unknown.

""", {"ann@example.net": UNKNOWN}),
    "Gmail": ("Mail Delivery Subsystem <mailer-daemon@mail.example>", "Delivery Status Notification (Failure)",
              """Delivery to the following recipient failed permanently:

     ann@example.net

Technical details of permanent failure:
We tried to deliver your message, but it was rejected by the recipient domain. The error that the other server
returned was: 552 552 5.2.2 this mailbox is full (state 14).

----- Original message -----

""", {"ann@example.net": FULL}),
    "Yahoo": ("MAILER-DAEMON@mail.example", "Failure Notice", """Sorry, we were unable to deliver your message to the
following address.

<ann@example.net>:
Remote host said: 550 5.1.1 <ann@example.net>... User Unknown [RCPT_TO]

--- Below this line is a copy of the message.

""", {"ann@example.net": UNKNOWN}),
    "Exchange 5.5": ("System Administrator <postmaster@example.net>", "Undeliverable: The news of March",
                     """Your message

  To:      ann@example.net
  Subject: The news of March

did not reach the following recipient(s):

ann@example.net on Mon, 2 Mar 2026 10:00:00 +0000
    The recipient name is not recognized
    MSEXCH:IMS:Example:NORTH:SERVER 0 (000C05A6) Unknown Recipient
""", {"ann@example.net": UNKNOWN}),
    "Exchange 2013": ("Microsoft Outlook <postmaster@example.net>", "Undeliverable: The news of March",
                      """Delivery has failed to these recipients or groups:

ann@example.net<mailto:ann@example.net>
The email address you entered couldn't be found.

Diagnostic information for administrators:

Generating server: mx.example.net

ann@example.net
Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'

Original message headers:

""", {"ann@example.net": UNKNOWN}),
    "IMail": ('"Postmaster" <postmaster@mx.example.org>', "Undeliverable Mail",
              """User mailbox exceeds allowed size: ann@example.net

Original message follows.

""", {"ann@example.net": FULL}),
    "MessagingServer": ("Internet Mail Delivery <postmaster@mx.example.org>",
                        "Delivery Notification: Delivery has failed",
                        """This report relates to a message you sent with the following header fields:

  Message-id: <1@example.com>
  To: ann@example.net

Your message cannot be delivered to the following recipients:

  Recipient address: ann@example.net
  Reason: Illegal host/domain name found
  Diagnostic code: unknown host
""", {"ann@example.net": (HARD, "domain-unknown")}),
    "Zoho": ("mailer-daemon@mail.example", "Undelivered Mail Returned to Sender",
             """This message was created automatically by mail delivery software.
A message that you sent could not be delivered to one or more of its recipients. This is a permanent error.

ann@example.net Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 <ann@example.net>... User Unknown

""", {"ann@example.net": UNKNOWN}),
    "mailing list of fml": ("news-admin@example.org", "You a@example.com are not member (news ML)",
                            "You are not a member of this mailing list <news@example.org>.\n",
                            {"news@example.org": (SOFT, "sender")}),
    "KDDI": ("no-reply@phone.example", "メールエラー通知", """送信先のメールボックスが一杯のため、送信できませんでした。

Your mail sent on: Mon, 2 Mar 2026 10:00:00 +0900
     Could not be delivered to: <ann@example.net>
     As their mailbox is full.
""", {"ann@example.net": FULL}),
    "mailFOUNDRY": (DAEMON, "Message delivery has failed", """Unable to deliver message to: <ann@example.net>
Delivery failed for the following reason:
mx.example.net[192.0.2.7] responded with failure: 552 sorry, mailbox is over quota temporarily (#5.2.2)

This has been a permanent failure. No further delivery attempts will be made.
""", {"ann@example.net": FULL}),
    "with bullets": ("Mail Delivery System <Mail.Delivery.System@mx.example.org>", "Delivery status notification", """
      This is an automatically generated Delivery Status Notification.
Delivery to the following recipients failed permanently:

   * ann@example.net

                             Technical details:
SMTP:RCPT host 192.0.2.7: 553 5.3.0 <ann@example.net>... No such user here
""", {"ann@example.net": UNKNOWN}),
    "with the reason first": (DAEMON, "Returned mail", """User's mailbox is full: <ann@example.net>
Unable to deliver mail.
""", {"ann@example.net": FULL}),
    "Lotus Notes": ("postmaster@notes.example.org", "Undeliverable message", """------- Failure Reasons  --------

User not listed in public Name & Address Book
ann@example.net

------- Returned Message --------

""", {"ann@example.net": UNKNOWN}),
    "Mail.ru": ("mailer-daemon@mail.example", "Ваше сообщение не доставлено. Mail failure.", """Это письмо создано
автоматически сервером, отвечать на него не нужно.

К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:

  ann@example.net
    SMTP error from remote mail server after RCPT TO:<ann@example.net>:
    host mx.example.net [192.0.2.7]: 550 5.1.1 user unknown

This message was created automatically by mail delivery software.
""", {"ann@example.net": UNKNOWN}),
    "German": ("Mailer-Daemon <mailer-daemon@post.example>", "Unzustellbar: Nachrichten", """Die folgende Adresse ist
nicht erreichbar:

<ann@example.net>: Empfänger unbekannt
""", {"ann@example.net": UNKNOWN}),
    "French": ("Postmaster <postmaster@courrier.example>", "Échec de la remise",
               """Votre message n'a pas pu être remis à
<ann@example.net>: 552 Boîte du destinataire pleine
""", {"ann@example.net": FULL}),
}


@pytest.mark.parametrize("lines", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read(name, lines):
    sender, subject, body, expected = FORMS[name]
    raw = plain(sender, subject, body + RETURNED).replace(b"\n", lines.encode())
    found = read(raw).findings
    assert {each.recipient: (each.kind, each.reason) for each in found} == expected


def test_another_form_than_a_known_one_is_read_too():
    raw = plain("mailer-daemon@odd.example", "no luck", "We failed, dear:\n\n\tann@example.net  [mailbox "
                                                        "full]\n\nBye\n")
    (found,) = read(raw).findings
    assert (found.recipient, found.kind, found.reason) == ("ann@example.net", "soft", "mailbox-full")
    assert found.rule.startswith("at a line's beginning, mailbox-full: ")


def test_x_failed_recipients_say_whom_a_text_does_not():
    body = ("Hello a@example.com,\n\nwe're writing that the group may not exist. See "
            "https://groups.google.com/support/\n")
    raw = plain("Mail Delivery Subsystem <mailer-daemon@mail.example>", "Delivery Status Notification (Failure)", body,
                X_Failed_Recipients="group@example.net", Auto_Submitted="auto-replied")
    (found,) = read(raw).findings
    assert (found.recipient, found.kind, found.reason) == ("group@example.net", "soft", "sender")


def test_the_returned_message_says_whom_nothing_else_does():
    raw = parts(DAEMON, "Undeliverable: news", ("text/plain", "This mailbox is over its quota."),
                ("message/rfc822", RETURNED))
    (found,) = read(raw).findings
    assert (found.recipient, found.reason) == ("ann@example.net", "mailbox-full")


def test_amazon_tells_in_json():
    message = ('{\\"notificationType\\":\\"Bounce\\",\\"bounce\\":{\\"bouncedRecipients\\":[{\\"emailAddress\\":'
               '\\"ann@example.net\\",\\"status\\":\\"5.1.1\\",\\"diagnosticCode\\":\\"smtp; 550 5.1.1 user '
               'unknown\\"}]}}')
    raw = plain("no-reply@sns.amazonaws.com", "AWS Notification Message", f'{{"Type": "x", "Message": "{message}"}}')
    (found,) = read(raw).findings
    assert (found.recipient, found.kind, found.status) == ("ann@example.net", "hard", "5.1.1")
    assert read(raw.replace(b"Bounce", b"Complaint").replace(b"bounced", b"complained").replace(b"bounce", b"complaint")
                ).findings[0].kind == "complaint"
    delivered = raw.replace(b"Bounce", b"Delivery")
    assert read(delivered).findings == ()
    assert read(raw.replace(b'"Message": "{', b'"Message": "[{{')).findings == ()


def test_a_scanner_is_a_mail_system():
    raw = plain("Example_AntiVirus_for_SMTP@example.net", "Delivery failure", "It could not be delivered to:\n\n"
                "ann@example.net\n\nDelivery attempts will continue.\n", Return_Path="<x@example.net>")
    (found,) = read(raw).findings
    assert (found.recipient, found.reason) == ("ann@example.net", "unreachable")


def test_html_alone_is_read():
    raw = parts(DAEMON, "Undeliverable", ("text/html; charset=utf-8", "<style>p{}</style><p>Delivery has failed to "
                "these recipients:</p><p>ann@example.net<br></p><p>The user&#39;s mailbox is full</p>"))
    (found,) = read(raw).findings
    assert (found.recipient, found.reason) == ("ann@example.net", "mailbox-full")
