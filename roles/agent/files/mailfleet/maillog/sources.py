# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who writes lines: hosts, instances and services by the names that stand before the process id."""

from __future__ import annotations

import typing as t

from . import kinds
from .totals import Totals
from .view import View

Handle = t.Callable[[bytes, int, int, "Source"], None]
_MOST = 2000  # names that are kept; of more all are let go, and those who write are met again
DELIVERING = frozenset((b"smtp", b"lmtp", b"local", b"virtual", b"pipe", b"error", b"retry", b"discard", b"relay"))
# Their mail does not leave this host.
LOCALLY = frozenset((b"lmtp", b"local", b"virtual", b"pipe"))
# They deliver nothing, and tell of mail that was not sent.
UNSENT = frozenset((b"error", b"retry", b"discard"))
# What this collection has Postfix' programs say of settings that are not in force yet.
CHECKED = b"mailfleet-check"
_SMTPD = frozenset((b"smtpd", b"postscreen"))


class Source:
    """A service of an instance on a host.

    ``service`` is its name without those of the instance; ``address`` the sending address, ``prefix`` what stands
    before its queue ids in keys; ``begins`` how its known lines begin; ``tls`` the connections of its host's processes;
    ``sent`` the rows of relays; ``handle`` takes a line, None where lines of it are only counted.
    """

    __slots__ = (
        "service", "address", "prefix", "begins", "tls", "sent", "handle", "lines", "unknown", "local", "unsent")

    def __init__(self, service: bytes, address: str, prefix: bytes, tls: dict[bytes, bytes]) -> None:
        self.service, self.address, self.prefix, self.tls = service, address, prefix, tls
        self.begins = (*kinds.ALWAYS, *kinds.OF_SERVICE.get(service, ()))
        self.local, self.unsent = service in LOCALLY, service in UNSENT
        self.sent: dict[t.Any, t.Any] = {}
        self.handle: Handle | None = None
        self.lines = self.unknown = 0


class Sources:
    """All of them, as they come."""

    def __init__(self, view: View, handles: t.Mapping[str, Handle]) -> None:
        self.known: dict[bytes, Source] = {}
        self.tls: dict[bytes, dict[bytes, bytes]] = {}
        self._view, self._handles = view, handles
        self._let_go: dict[bytes, list[int]] = {}  # lines and unknown ones, by service
        # What is nobody's: no time, no name, no process.
        self._nobody: dict[bytes, Source] = {}

    def of(self, line: bytes, space: int, bracket: int) -> Source:
        """Who wrote a line that no known one did; ``space`` stands before the host's name, ``bracket`` before the
        process id."""
        name = line[space:bracket]
        host, _space, tag = name[1:].partition(b" ")
        if space < 15 or bracket < space or not host or b" " in tag or not 0 < len(tag) <= 200:
            # `kernel: …` and `postfix: …` have no process id.
            words = line[space + 1 : space + 400].split(b" ", 2) if space >= 15 else []
            tag = words[1].rstrip(b":") if len(words) > 1 else b""
            return self._other(tag if tag.replace(b"-", b"").isalnum() and len(tag) <= 40 else b"none")
        if len(self.known) >= _MOST:
            self._let_all_go()
        parts = tag.split(b"/")
        if parts[0] == CHECKED:
            return self.known.setdefault(name, Source(CHECKED, "", b"", {}))
        if not parts[0].startswith(b"postfix") or len(parts) < 2:
            if tag != b"opendkim":
                return self._other(tag[:40])
            source = Source(tag, "", b"", {})
            source.handle = self._handles["opendkim"]
        else:
            source = self._postfix(host, parts)
        self.known[name] = source
        return source

    def _let_all_go(self) -> None:
        for each in self.known.values():
            service = each.service if each.service in self._let_go or len(self._let_go) < _MOST else b"other"
            counts = self._let_go.setdefault(service, [0, 0])
            counts[0] += each.lines
            counts[1] += each.unknown
        self.known.clear()
        if len(self.tls) >= _MOST:
            self.tls.clear()

    def _postfix(self, host: bytes, parts: list[bytes]) -> Source:
        own = _own(parts)
        instance, service = b"/".join(parts[:own]), parts[-1]
        between = b"/".join(parts[own:-1]).decode("utf-8", "replace")
        tls = self.tls.setdefault(host, {})
        source = Source(service, self._view.address(between), b"%b %b " % (host, instance), tls)
        name = ("delivery" if service in DELIVERING else "smtpd" if service in _SMTPD
                else "qmgr" if service in (b"qmgr", b"postsuper") else "cleanup" if service == b"cleanup" else "others")
        source.handle = self._handles[name]
        return source

    def _other(self, program: bytes) -> Source:
        """Of what is no Postfix all lines are unknown, counted by program."""
        source = self._nobody.get(program)
        if source is None:
            if len(self._nobody) >= _MOST:
                program = b"other"
            source = self._nobody.setdefault(program, Source(program, "", b"", {}))
        source.unknown += 1
        return source

    def flush(self, totals: Totals) -> None:
        """Put what was counted of all among the totals."""
        found = [(each.service, each.lines, each.unknown) for each in (*self.known.values(), *self._nobody.values())]
        for service, lines, unknown in (*found, *((service, *counts) for service, counts in self._let_go.items())):
            name = service.decode("utf-8", "replace")
            if lines:
                totals.lines[name] = totals.lines.get(name, 0) + lines
            if unknown:
                totals.unknown[name] = totals.unknown.get(name, 0) + unknown
        for source in (*self.known.values(), *self._nobody.values()):
            source.lines = source.unknown = 0
        self._let_go.clear()


def _own(parts: t.Sequence[bytes]) -> int:
    """How many parts of a name are the instance's."""
    return 2 if len(parts) > 2 and parts[1].startswith(b"-") else 1


def instance_of(tag: bytes) -> bytes:
    """The instance that a name is of."""
    parts = tag.split(b"/")
    return b"/".join(parts[:_own(parts)])
