# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mailbox over IMAP and TLS (RFC 3501, RFC 9051): find messages in the inbox and the junk folder, fetch, delete."""

from __future__ import annotations

import contextlib
import imaplib
import re
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils.tls_client import client_context

SECONDS = 30.0
# Where a server marks no folder for junk, it is called one of these.
JUNK_NAMES = ("junk", "spam", "junk e-mail", "junk email", "bulk mail", "bulk", "inbox.junk", "inbox.spam")

_LIST = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (?P<name>.+)\Z', re.DOTALL)


class MailboxError(Exception):
    """The mailbox cannot be read; the message says at which step and what the server answered."""


@dataclass(frozen=True)
class Account:
    """Where a mailbox is, and how to log in."""

    host: str
    user: str
    password: str = field(repr=False)
    port: int = 993
    ca_file: str = ""
    tls_name: str = ""


@dataclass(frozen=True)
class Found:
    """A message in a folder, `junk` where that is the folder for junk."""

    folder: str
    junk: bool
    uid: str
    message: bytes = field(repr=False)


class Mailbox:
    """One connection to one mailbox, made anew after it broke; use it in a `with` statement."""

    def __init__(self, account: Account, seconds: float = SECONDS):
        self._account = account
        self._seconds = seconds
        self._seen: set[tuple[str, str]] = set()
        self._imap: imaplib.IMAP4_SSL | None = None
        self._folders: list[tuple[str, bool]] = []
        self._capabilities: list[str] = []

    def __enter__(self) -> Mailbox:
        self._open()
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the folders that are looked into, the inbox first."""
        return tuple(name for name, _junk in self._folders)

    def find(self, text: str) -> list[Found]:
        """Return the messages with `text` (letters, digits, "-") in their subject that were not returned before.

        Raises MailboxError; the next call makes a new connection then.
        """
        try:
            imap = self._open()
            return [found for name, junk in self._folders for found in self._find_in(imap, name, junk, text)]
        except MailboxError:
            self._close()
            raise

    def delete(self, messages: list[Found]) -> None:
        """Delete messages, and no others: without UID EXPUNGE (RFC 4315) they are only marked. Raises MailboxError."""
        for name in dict.fromkeys(message.folder for message in messages):
            uids = ",".join(message.uid for message in messages if message.folder == name)
            imap = self._open()
            with _told(f"deleting messages of {name}"):
                _done(imap.select(name))
                _done(imap.uid("STORE", uids, "+FLAGS.SILENT", r"(\Deleted)"))
                if "UIDPLUS" in self._capabilities:
                    _done(imap.uid("EXPUNGE", uids))

    def _open(self) -> imaplib.IMAP4_SSL:
        if self._imap is None:
            account = self._account
            with _told(f"connecting to {account.host} port {account.port}"):
                context = client_context(account.ca_file, account.tls_name)
                self._imap = imaplib.IMAP4_SSL(account.host, account.port, ssl_context=context, timeout=self._seconds)
            try:
                with _told(f"logging in as {account.user}"):
                    self._imap.login(account.user, account.password)
                    # imaplib keeps those from before the login, which are fewer.
                    self._capabilities = _done(self._imap.capability())[0].decode("ascii", "replace").upper().split()
                with _told("listing folders"):
                    self._folders = _folders(_done(self._imap.list()))
            except MailboxError:
                self._close()
                raise
        return self._imap

    def _find_in(self, imap: imaplib.IMAP4_SSL, name: str, junk: bool, text: str) -> list[Found]:
        found = []
        with _told(f"searching {name}"):
            _done(imap.select(name))
            # Subjects are searched because every server has an index of them; not all have one of other fields.
            uids = _done(imap.uid("SEARCH", "SUBJECT", f'"{text}"'))[0] or b""
        for uid in uids.decode("ascii", "replace").split():
            if (name, uid) not in self._seen:
                with _told(f"fetching message {uid} of {name}"):
                    parts = _done(imap.uid("FETCH", uid, "(BODY.PEEK[])"))
                found += [Found(name, junk, uid, part[1]) for part in parts if isinstance(part, tuple)]
                self._seen.add((name, uid))
        return found

    def _close(self) -> None:
        imap, self._imap = self._imap, None
        if imap:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                imap.logout()


def _folders(lines: list) -> list[tuple[str, bool]]:
    """Return the inbox and the folder for junk, which is marked as such (RFC 6154) or else has a usual name."""
    marked, named = [], []
    for flags, name in filter(None, map(_read_folder, lines)):
        if "\\junk" in flags:
            marked.append(name)
        elif name.strip('"').lower() in JUNK_NAMES:
            named.append(name)
    return [("INBOX", False), *((name, True) for name in marked or named)]


def _read_folder(line: bytes | tuple | None) -> tuple[list[str], str] | None:
    """Return the flags (in lower case) and the name of a LIST answer, the name as it is sent back: quoted as it was."""
    if isinstance(line, tuple):  # the name came as a literal
        line = line[0].rpartition(b"{")[0] + b'"' + line[1].replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    match = _LIST.match(line or b"")
    if not match:
        return None
    return match["flags"].decode("ascii", "replace").lower().split(), match["name"].decode("utf-8", "surrogateescape")


def _done(answer: tuple[str, list]) -> list:
    status, data = answer
    if status != "OK":
        detail = b" ".join(part for part in data if isinstance(part, bytes)).decode("utf-8", "replace")
        raise MailboxError(f"{status} {detail}".strip())
    return data


@contextlib.contextmanager
def _told(doing: str):
    """Say in an error what was being done."""
    try:
        yield
    except (OSError, imaplib.IMAP4.error, MailboxError) as error:
        text = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)
        raise MailboxError(
            f"{doing}: {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
        ) from error
