# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing messages to a submission server (RFC 6409): TLS, a login, and what the server replied to each message."""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.tls_client import client_context

SECONDS = 30.0
# smtplib would look its own name up in the DNS; it is the address that counts on a connection with a login.
_GREETING = "[127.0.0.1]"
_QUEUE_ID = re.compile(r"queued as ([0-9A-Za-z]+)")


@dataclass(frozen=True)
class Endpoint:
    """A submission server; `tls_name` is the name in its certificate, "" for `host`.

    With `verify` false any certificate will do: the session is encrypted, but not safe from a man in the middle.
    """

    host: str
    port: int = 587
    tls_name: str = ""
    ca_file: str = ""
    verify: bool = True


def endpoints_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, Endpoint]:
    """Return the submission servers by their names.

    :arg entries: as Ansible has them by probe_paths.SUBMISSION; what is None is left to its default.
    """
    return {
        entry["server"]: Endpoint(**{name: value for name, value in entry.items()
                                     if name != "server" and value is not None})
        for entry in entries
    }


@dataclass(frozen=True)
class Login:
    """Who submits."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Envelope:
    """One message and its envelope."""

    sender: str
    recipient: str
    message: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """What came of a message: the server's last reply, or what went wrong before it."""

    accepted: bool
    text: str

    @property
    def queue_id(self) -> str:
        """Return the queue id that Postfix names in its reply, "" where none is named."""
        found = _QUEUE_ID.search(self.text)
        return found.group(1) if found else ""


def submit(endpoint: Endpoint, login: Login, envelopes: Iterable[Envelope], seconds: float = SECONDS) -> list[Reply]:
    """Submit messages over one connection; return a reply for each, in order.

    Nothing is raised for what the server does: where the connection fails, all messages that were not accepted before
    have the failure as their reply. `seconds` bounds the wait for each answer.
    """
    envelopes, replies = list(envelopes), []
    try:
        with _connection(endpoint, seconds) as smtp:
            smtp.starttls(context=client_context(endpoint.ca_file, endpoint.tls_name, endpoint.verify))
            smtp.login(login.user, login.password)
            for envelope in envelopes:
                replies.append(_submit_one(smtp, envelope))
    except (OSError, smtplib.SMTPException) as error:
        reply = Reply(False, f"{endpoint.host} port {endpoint.port}: {_told(error)}")
        replies += [reply] * (len(envelopes) - len(replies))
    return replies


def ask(endpoint: Endpoint, login: Login, sender: str, recipient: str, seconds: float = SECONDS) -> Reply:
    """Return how a server answers RCPT of a session with a login, which then hands nothing in.

    Nothing is raised for what the server does: a refusal of the sender, or a failure of the connection, is the reply.
    """
    try:
        with _connection(endpoint, seconds) as smtp:
            smtp.starttls(context=client_context(endpoint.ca_file, endpoint.tls_name, endpoint.verify))
            smtp.login(login.user, login.password)
            smtp.ehlo_or_helo_if_needed()
            code, text = smtp.mail(sender)
            if code == 250:
                code, text = smtp.rcpt(recipient)
            return Reply(code in (250, 251), _reply(code, text))
    except (OSError, smtplib.SMTPException) as error:
        return Reply(False, f"{endpoint.host} port {endpoint.port}: {_told(error)}")


@contextlib.contextmanager
def _connection(endpoint: Endpoint, seconds: float):
    smtp = smtplib.SMTP(endpoint.host, endpoint.port, local_hostname=_GREETING, timeout=seconds)
    try:
        yield smtp
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        smtp.close()


def _submit_one(smtp: smtplib.SMTP, envelope: Envelope) -> Reply:
    """Go through MAIL, RCPT and DATA by hand: sendmail() throws the last reply away, which names the queue id."""
    smtp.ehlo_or_helo_if_needed()
    eight_bit = not envelope.message.isascii() and smtp.has_extn("8bitmime")
    steps = (
        lambda: smtp.mail(envelope.sender, ["BODY=8BITMIME"] if eight_bit else []),
        lambda: smtp.rcpt(envelope.recipient),
        lambda: smtp.data(envelope.message),
    )
    code, text = 0, b""
    for step in steps:
        try:
            code, text = step()
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error
        if code not in (250, 251):
            if code == 421:
                raise smtplib.SMTPServerDisconnected(_reply(code, text))
            smtp.rset()
            return Reply(False, _reply(code, text))
    return Reply(True, _reply(code, text))


def _told(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    return str(error) or type(error).__name__


def _reply(code: int, text: bytes | str) -> str:
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(told.split())}"
