# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages as mail systems write them, in small: invented people at domains that nobody has."""

from __future__ import annotations

SENDER = "b+token@bounce.example.com"
RETURNED = f"""Return-Path: <{SENDER}>
Received: from app.example.com by mx.example.com; Mon, 2 Mar 2026 10:00:00 +0000
From: News <news@example.com>
To: <ann@example.net>
Subject: The news of March
Message-ID: <1@example.com>

Hello.
"""


def plain(sender: str, subject: str, body: str, **headers: str) -> bytes:
    """Return a message of one text; names of headers with _ for -."""
    fields = {"Return-Path": "<>", "From": sender, "To": SENDER, "Subject": subject, "MIME-Version": "1.0",
              "Date": "Mon, 2 Mar 2026 10:00:05 +0000"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
    return f"{head}\n{body}".encode()


def parts(sender: str, subject: str, *contents: tuple[str, str], kind: str = "mixed", **headers: str) -> bytes:
    """Return a message of parts, each of a type (with what may follow it in its header) and a content."""
    body = "".join(f"--=_limit\nContent-Type: {content}\n\n{text}\n" for content, text in contents) + "--=_limit--\n"
    return plain(sender, subject, body, Content_Type=f'multipart/{kind}; boundary="=_limit"', **headers)


def report(fields: str, text: str = "It could not be delivered.", returned: str = RETURNED, **headers: str) -> bytes:
    """Return a report of RFC 3464 with the fields of its recipients, an explaining text and a returned message."""
    status = f"Reporting-MTA: dns; mx.example.org\nOriginal-Envelope-Id: {SENDER}\n\n{fields}\n"
    return parts(headers.pop("sender", "Mail Delivery Subsystem <MAILER-DAEMON@mx.example.org>"),
                 headers.pop("subject", "Delivery Status Notification (Failure)"),
                 ("text/plain; charset=utf-8", text), ("message/delivery-status", status), ("message/rfc822", returned),
                 kind="report; report-type=delivery-status", **headers)


def complaint(fields: str, returned: str = RETURNED, **headers: str) -> bytes:
    """Return a feedback report (RFC 5965)."""
    return parts("fbl@provider.example", "Fw: The news of March", ("text/plain", "This is an abuse report."),
                 ("message/feedback-report", f"User-Agent: Feedback/1.0\nVersion: 1\n{fields}\n"),
                 ("message/rfc822", returned), kind="report; report-type=feedback-report",
                 Return_Path="<fbl@provider.example>", **headers)
