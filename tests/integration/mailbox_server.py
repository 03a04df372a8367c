# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mailbox elsewhere: a real Dovecot, which bounces come to, and what they look like."""

from __future__ import annotations

import images
from servers import Server
from shell import Progress

USER, PASSWORD = "bounces", "a-password-for-bounces"
CERTIFICATE = "/root/server.pem"
START = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mail.example.net -addext subjectAltName=IP:{address} \
  -keyout /root/server.key -out /root/server.pem
useradd --system --create-home vmail
systemctl restart dovecot
"""
DOVECOT = """
protocols = pop3 imap
ssl = required
ssl_cert = </root/server.pem
ssl_key = </root/server.key
mail_location = maildir:/home/vmail/%n
first_valid_uid = 100
passdb {
  driver = static
  args = password=a-password-for-bounces
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/home/vmail/%n
}
namespace inbox {
  inbox = yes
}
"""
NOTICE = """\
From: MAILER-DAEMON@mx.example.net
To: <{path}>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

The mail could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user here

--b
Content-Type: text/rfc822-headers

Return-Path: <{path}>
From: news@example.com
To: {recipient}
Subject: News
Message-Id: <{path}>

--b--
"""


class MailboxServer:
    """A server with a Dovecot, whose mailbox the program is to empty over POP3 or IMAP."""

    def __init__(self, name: str) -> None:
        image = images.IMAGES["mailfleet-postfix"]
        images.ensure(image, images.host_archive(), Progress())
        self.server = Server(name, "12", f"localhost/{image.name}")
        self.server.write("/etc/dovecot/dovecot.conf", DOVECOT)
        self.server.shell(START.format(address=self.server.address))
        self.certificate = self.server.read(CERTIFICATE)

    def settings(self, protocol: str, ca_file: str, tls: str = "implicit") -> dict:
        """What the program has to know of the mailbox, but for the password."""
        return {"protocol": protocol, "host": self.server.address, "user": USER, "tls": tls, "ca_file": ca_file,
                "every": 1}

    def put(self, recipients: dict[str, str]) -> None:
        """Bring bounces to the mailbox, by the return paths of their recipients."""
        notices = [NOTICE.format(path=path, recipient=recipient) for recipient, path in recipients.items()]
        self.server.shell("".join(f"doveadm save -u {USER} <<'END'\n{notice}END\n" for notice in notices))

    def count(self) -> int:
        """How many messages the mailbox has."""
        return len(self.server.shell(f"doveadm search -u {USER} mailbox INBOX all").stdout.splitlines())
