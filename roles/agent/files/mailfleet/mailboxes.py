# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailboxes elsewhere, over POP3 and IMAP: what each protocol does, as thin as can be.

Both have the same three steps: which messages there are, the content of one, and the removal of some, which takes
effect at the end only. A connection that breaks before removes nothing.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import re
import ssl
import typing as t

from .errors import Unavailable
from .settings import Remote

LARGEST = 64 << 20  # octets of a message; what is larger is no notice, and stays where it is
# Python refuses lines over 2048 octets, or a million. Messages have longer ones, whatever RFC 5322 says, and so has the
# list of a mailbox that somebody floods: one of them shall not keep all the others there.
poplib._MAXLINE = imaplib._MAXLINE = LARGEST + 1024  # type: ignore[attr-defined]

MOST_AT_ONCE = 200  # messages of one session: what was fetched is then removed, whatever becomes of the rest
_LITERAL_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


class Mailbox(t.Protocol):
    """A session with a mailbox."""

    def messages(self) -> t.Iterator[tuple[str, int]]:
        """The messages: how the session names each, and its octets."""

    def content(self, name: str) -> bytes | None:
        """A message; None where the server refuses this one, as where another host removed it meanwhile."""

    def remove(self, names: t.Sequence[str]) -> None:
        """Remove messages for good."""

    def close(self) -> None:
        """End the session, whatever state it is in."""


class Pop3:
    """RFC 1939: removal is marked by DELE and done by QUIT, so ``remove`` ends the session."""

    def __init__(self, remote: Remote) -> None:
        if remote.tls == "implicit":
            self._box: poplib.POP3 = poplib.POP3_SSL(remote.host, remote.port, timeout=remote.timeout,
                                                     context=_context(remote))
        else:
            self._box = poplib.POP3(remote.host, remote.port, timeout=remote.timeout)
            if remote.tls == "starttls":
                self._box.stls(_context(remote))
        self._box.user(remote.user)
        self._box.pass_(remote.password)

    def messages(self) -> t.Iterator[tuple[str, int]]:
        found = [line.split() for line in self._box.list()[1]]
        return ((each[0].decode("ascii"), int(each[1])) for each in found)

    def content(self, name: str) -> bytes | None:
        try:
            self._box._shortcmd(f"RETR {name}")  # type: ignore[attr-defined]
        except poplib.error_proto as error:
            if error.args[0][:4] == b"-ERR":
                return None
            raise
        # As retr() does it, but for the list of lines: of millions of short ones it takes many times their octets.
        raw = bytearray()
        while (line := self._box._getline()[0]) != b".":  # type: ignore[attr-defined]
            raw += line[line.startswith(b".."):]
            raw += b"\n"
        return bytes(raw)

    def remove(self, names: t.Sequence[str]) -> None:
        for name in names:
            self._box.dele(name)
        self._box.quit()

    def close(self) -> None:
        with contextlib.suppress(OSError, poplib.error_proto):
            self._box.close()


class Imap:
    """RFC 9051 and 3501: by UID; removed are those alone that were named, where the server can (UIDPLUS, RFC 4315)."""

    def __init__(self, remote: Remote) -> None:
        if remote.tls == "implicit":
            self._box: imaplib.IMAP4 = imaplib.IMAP4_SSL(remote.host, remote.port, timeout=remote.timeout,
                                                         ssl_context=_context(remote))
        else:
            self._box = imaplib.IMAP4(remote.host, remote.port, timeout=remote.timeout)
            if remote.tls == "starttls":
                self._box.starttls(_context(remote))
        self._box.login(remote.user, remote.password)
        folder = remote.folder.replace("\\", "\\\\").replace('"', '\\"')
        self._good(self._box.select(f'"{folder}"'))
        # Servers tell more of themselves once somebody has logged in; imaplib remembers what was said before.
        told = b" ".join(part for part in self._good(self._box.capability()) if isinstance(part, bytes))
        self._named_alone = b"UIDPLUS" in told.upper().split()

    def messages(self) -> t.Iterator[tuple[str, int]]:
        # Those too that are to be removed already: whoever marked them was perhaps cut off before they were.
        for name in (self._good(self._box.uid("SEARCH", "ALL"))[0] or b"").split():
            size = _LITERAL_SIZE.search(b" ".join(part for part in self._good(
                self._box.uid("FETCH", name.decode("ascii"), "(RFC822.SIZE)")) if isinstance(part, bytes)))
            yield name.decode("ascii"), int(size[1]) if size else 0

    def content(self, name: str) -> bytes | None:
        status, found = self._box.uid("FETCH", name, "(BODY.PEEK[])")
        content = (part[1].replace(b"\r\n", b"\n") for part in found if isinstance(part, tuple))
        return next(content, None) if status == "OK" else None

    def remove(self, names: t.Sequence[str]) -> None:
        if not names:
            return
        chosen = ",".join(names)
        self._good(self._box.uid("STORE", chosen, "+FLAGS.SILENT", r"(\Deleted)"))
        if self._named_alone:
            self._good(self._box.uid("EXPUNGE", chosen))
        else:
            self._good(self._box.expunge())

    def close(self) -> None:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self._box.logout()

    @staticmethod
    def _good(answer: tuple[str, list[t.Any]]) -> list[t.Any]:
        status, found = answer
        if status != "OK":
            raise imaplib.IMAP4.error(f"{status} {found!r:.200}")
        return found


def open_mailbox(remote: Remote) -> Mailbox:
    """Begin a session; to be used within ``errors``."""
    return Pop3(remote) if remote.protocol == "pop3" else Imap(remote)


@contextlib.contextmanager
def errors(remote: Remote) -> t.Iterator[None]:
    """Tell what a server or the network did as Unavailable, without the password."""
    try:
        yield
    except Exception as error:  # whatever a server makes of the protocol: one mailbox never stops the others
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if remote.password:
            text = text.replace(remote.password, "...")
        mend = "Check mailboxes." + remote.name
        if isinstance(error, ssl.SSLCertVerificationError):
            mend += ": host has to be a name of the certificate, ca_file what signed it, if that is not a public one"
        raise Unavailable(f"mailbox {remote.name} ({remote.protocol} at {remote.host}:{remote.port})", text,
                          "a mailbox that can be read", mend) from error


def _context(remote: Remote) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=remote.ca_file or None)
