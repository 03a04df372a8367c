# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text forms of rarer mail systems, most of which no form is listed for: what holds for those that nobody knows."""

from __future__ import annotations

import pytest
from mailfleet.notices import read
from notice_world import RETURNED, plain

UNKNOWN, FULL = ("hard", "user-unknown"), ("soft", "mailbox-full")
DAEMON = "MAILER-DAEMON@mx.example.org"

FORMS = {
    "James": (DAEMON, """Hi. This is the James mail server at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

Failed recipient(s):
ann@example.net

Error message:
550 5.1.1 no such user
""", UNKNOWN),
    "Domino": ("postmaster@example.net", """Your message

  Subject: The news of March

was not delivered to:

  ann@example.net

because:

  User ann (ann@example.net) not listed in Domino Directory
""", UNKNOWN),
    "Exchange 2007": ("postmaster@example.net", """Delivery has failed to these recipients or distribution lists:

ann@example.net
The recipient's mailbox is full and can't accept messages now.

Diagnostic information for administrators:

Generating server: mx.example.net

ann@example.net
#550 5.2.2 STOREDRV.Deliver: mailbox full ##
""", FULL),
    "Exchange in French": ("postmaster@example.net",
                           """Échec de la remise pour ces destinataires ou listes de distribution :

ann@example.net
L'adresse de messagerie n'existe pas.

Informations de diagnostic pour les administrateurs :

ann@example.net
#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##
""", UNKNOWN),
    "EZweb": ("Postmaster@phone.example", """The user(s) account is disabled.

<ann@example.net>
""", ("soft", "disabled")),
    "EZweb, session": ("Postmaster@phone.example",
                       """Each of the following recipients was rejected by a remote mail server.

    Recipient: <ann@example.net>
    >>> RCPT TO:<ann@example.net>
    <<< 550 <ann@example.net>: User unknown
""", UNKNOWN),
    "InterScan": ('"InterScan MSS" <InterScan@mx.example.org>', """Your message was not delivered.

Sent <<< RCPT TO:<ann@example.net>
Received >>> 550 5.1.1 <ann@example.net>... user unknown
Unable to deliver message to <ann@example.net>.
""", UNKNOWN),
    "MailMarshal": ("Postmaster <postmaster@mx.example.org>", """Your message:
   From:    b@example.com
   Subject: The news of March

Could not be delivered because of

550 5.1.1 user unknown

The following recipients were affected:
    ann@example.net

Additional Information
""", UNKNOWN),
    "m-FILTER": (DAEMON, """m-FILTER could not send your mail.

-------server message
550 5.1.1 <ann@example.net>... user unknown
-------SMTP command
RCPT TO <ann@example.net>
-------original message
""", UNKNOWN),
    "SurfControl": ("Postmaster <postmaster@mx.example.org>", """Your message could not be sent.
A transcript of the attempts to send the message follows.
The number of attempts made: 1
Addressed To: ann@example.net

Mon 2 Mar 2026 10:00:00 +0000
Failed to send to identified host,
ann@example.net: [192.0.2.7], 552 5.2.2 mailbox full
--- Message non-deliverable.
""", FULL),
    "a phone's": ("MMSC NDR Administrator <sysadmin@phone.example>", """Message could not be delivered to mobile.
Error: No valid recipients for this MM

Original Message:
From: News <b@example.com>
To: ann@example.net
Subject: The news of March
""", UNKNOWN),
    "a report with a number": ("postmaster@mx.example.org",
                               """We had trouble delivering your message. Full report follows:

1 error(s):

SMTP Server <mx.example.net> rejected recipient <ann@example.net>
  (Error following RCPT command). It responded as follows: [550 5.1.1 User unknown]
""", UNKNOWN),
    "a log and addresses": ("Mail Delivery System <postmaster@mx.example.org>", """\
|------------------------- Message log follows: -------------------------|
 no valid recipients were found for this message
|------------------------- Failed addresses follow: ---------------------|
 <ann@example.net> ... Unknown recipient: no such mailbox
|------------------------- Message text follows: ------------------------|
""", UNKNOWN),
    "Google's, now": ("Mail Delivery Subsystem <mailer-daemon@mail.example>", """** Address not found **

Your message wasn't delivered to ann@example.net because the address couldn't be found, or is unable to receive mail.

Learn more here: https://mail.example/answer?p=NoSuchUser

The response was:

550 5.1.1 The email account that you tried to reach does not exist.
""", UNKNOWN),
    "errors and a session": (DAEMON, """   ----- The following addresses had permanent fatal errors -----
<ann@example.net>

   ----- Transcript of session follows -----
... while talking to mx.example.net.:
>>> RCPT To:<ann@example.net>
<<< 550 5.1.1 <ann@example.net>... User unknown
550 5.1.1 <ann@example.net>... User unknown
""", UNKNOWN),
    "MDaemon": ("MDaemon at mx.example.org <MDaemon@mx.example.org>",
                """The attached message had PERMANENT fatal delivery errors!

After one or more unsuccessful delivery attempts the attached message has been removed from the mail queue.

--------------------------------------------------------------------------------

Failed address: ann@example.net

--- Session Transcript ---
 Mon 2026-03-02 10:00:00: --> RCPT To:<ann@example.net>
 Mon 2026-03-02 10:00:00: <-- 550 5.1.1 <ann@example.net>: user unknown
--- End Transcript ---
""", UNKNOWN),
    "hMailServer": ("mailer-daemon@mx.example.org",
                    """Your message did not reach some or all of the intended recipients.

   Sent: Mon, 2 Mar 2026 10:00:00 +0000
   Subject: The news of March

The following recipient(s) could not be reached:

ann@example.net
   Error Type: SMTP
   Remote server (192.0.2.7) issued an error.
   hMailServer sent: RCPT TO:<ann@example.net>
   Remote server replied: 550 5.1.1 User unknown

hMailServer
""", UNKNOWN),
    "Merak": ("Mail Delivery Subsystem <postmaster@mx.example.org>",
              """----- The following addresses had permanent delivery errors -----
<ann@example.net>; Failed; 5.1.1 (unknown user)
""", UNKNOWN),
    "Communigate": ("MAILER-DAEMON@mx.example.org", """Failed to deliver to 'ann@example.net'
SMTP module(domain example.net) reports:
 account is full (quota exceeded)
""", FULL),
    "GroupWise": ("Mailer-Daemon@mx.example.org", """The message that you sent was undeliverable to the following:
\tann@example.net (550 5.1.1 user not found)

Possibly truncated original message follows:
""", UNKNOWN),
    "Kerio": ("Postmaster <postmaster@mx.example.org>", """This is an automated message.

Your message could not be delivered to the following recipients:

<ann@example.net>
  Reason: 552 5.2.2 the mailbox is over its quota
""", FULL),
    "Haraka": ("MAILER-DAEMON@mx.example.org", """Hi. This is the Haraka Mailer program at mx.example.org.

I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

Intended Recipients: <ann@example.net>
Failure Reason: Error: 550 5.1.1 user unknown
""", UNKNOWN),
    "Symantec": ("Symantec_AntiVirus_for_SMTP@mx.example.org", """Your message could not be delivered to:

ann@example.net

550 5.1.1 user unknown
""", UNKNOWN),
    "Cisco ESA": (DAEMON, """The following message to <ann@example.net> was undeliverable.
The reason for the problem:
5.1.0 - Unknown address error 550-'5.1.1 <ann@example.net>: Recipient address rejected: User unknown'
""", UNKNOWN),
    "Cisco ESA, elsewhere": (DAEMON, """The following message to <ann@example.net> was undeliverable.
The reason for the problem:
5.4.7 - Delivery expired (message too old) 'timeout'
""", ("soft", "unreachable")),
    "a header announced": ("Mail Delivery System <MAILER-DAEMON@mx.example.org>", """The following address failed:

<ann@example.net>: 550 5.1.1 unknown user

Included is a copy of the message header:
-----------------------------------------
""", UNKNOWN),
    "Stalwart": ("Mail Delivery Subsystem <MAILER-DAEMON@mx.example.org>", """Your message could not be delivered to:

<ann@example.net> (host 'mx.example.net' rejected command 'RCPT TO:<ann@example.net>' with code 550 (5.1.1) 'Nobody: \
no such user.')
""", UNKNOWN),
    "OpenSMTPD": ("Mailer Daemon <MAILER-DAEMON@mx.example.org>", """    Hi!

    This is the MAILER-DAEMON, please DO NOT REPLY to this email.

ann@example.net: Network error on destination MXs

    Below is a copy of the original message:
""", ("soft", "unreachable")),
    "qmail, without a word": (DAEMON, """Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ann@example.net>:

""", ("soft", "undetermined")),
    "in Italian": ("Mailer-Daemon <mailer-daemon@posta.example>",
                   """Il messaggio non può essere recapitato a ann@example.net:
casella piena
""", FULL),
    "in Japanese": ("Postmaster <postmaster@mail.example>", """次の宛先へメールを送信できませんでした。

宛先: ann@example.net
理由: メールアドレスが見つかりません
""", UNKNOWN),
    "in Chinese": ("PostMaster <postmaster@mail.example>", """很抱歉，您的邮件无法投递。

收件人（ann@example.net）邮箱已满
""", FULL),
}


@pytest.mark.parametrize("returned", [RETURNED, ""], ids=["with the message", "without it"])
@pytest.mark.parametrize("name", FORMS)
def test_it_is_read(name, returned):
    sender, body, expected = FORMS[name]
    found = read(plain(sender, "Undeliverable: The news of March", f"{body}\n{returned}")).findings
    assert [(each.recipient, (each.kind, each.reason)) for each in found] == [("ann@example.net", expected)]
