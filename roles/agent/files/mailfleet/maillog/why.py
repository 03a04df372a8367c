# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why, and where: what a reply in the log means, and which provider gave it. Most were seen before, and are kept."""

from __future__ import annotations

import re
import typing as t

from ..event import clean
from ..reasons import classify
from .view import View

SHOWN = 500  # characters of a text that is kept
_MOST = 8192  # of what is kept of each kind
_GIST = 100  # bytes
_LONGEST = 4000  # bytes of a reply that are looked at

# What differs between replies of one meaning, and no phrase depends on (reasons/wording.py): addresses, hosts with
# their IP address, ids of ten characters and more, numbers; but not the codes. Each begins where a word does, so that
# long lines take no longer.
_ADDRESS = re.compile(rb"(?<![^\s<>()\[\],;:\"])[^\s<>()\[\],;:\"@]{1,128}@[A-Za-z0-9.-]{0,253}")
_HOST = re.compile(rb"(?<![\w.-])([\w-]{1,63}\.[\w.-]{1,190})\[[0-9A-Fa-f.:]{2,45}\](?::\d{1,5})?")
_NUMBER = re.compile(
    rb"(?<![\w.-])(?=[A-Za-z-]{0,24}[0-9])[\w-]{10,}(?:\.[0-9]+)*"
    rb"|(?<![\w.])(?![245][0-9]{2}(?:[;:'\"-]|\Z)|[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.]))[0-9]+(?:[.:/-][0-9]+)*(?![\w.])")
# What Postfix says of where it had the reply from, in front of the reply, and that it did not try.
_FRONT = re.compile(
    rb"(?:delivery temporarily suspended: )?(?:host ([^\s\[]{1,255})\[[^\]]{0,50}\](?::\d{1,5})? said: )?")


class Meaning(t.NamedTuple):
    """What a reply means, as a Verdict has it, and its gist (see ``gist``)."""

    reason: str
    kind: str
    scope: str
    rule: str
    gist: bytes


class Why:
    """What replies and relays mean, by a view of the inventory."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._exact: dict[tuple[bytes, bytes], tuple[Meaning, str]] = {}
        self._masked: dict[tuple[bytes, bytes], Meaning] = {}
        self._words: dict[bytes, bytes] = {}
        self._providers: dict[tuple[str, bytes], str] = {}

    def meaning(self, text: bytes, status: bytes) -> tuple[Meaning, str]:
        """What a reply means, and the name of the host that it is of, empty where none is named.

        :arg text: as it stands in the log's brackets.
        :arg status: the enhanced status code beside it.
        """
        found = self._exact.get((text, status))
        if found is None:
            found = self._judge(text[:_LONGEST], status)
            if len(text) <= _LONGEST:
                if len(self._exact) >= _MOST:
                    self._exact.clear()
                self._exact[text, status] = found
        return found

    def _judge(self, text: bytes, status: bytes) -> tuple[Meaning, str]:
        front = _FRONT.match(text)
        host = front[1] if front else None
        said = text[front.end():] if front else text
        if host is None and (named := _HOST.search(said)):
            host = named[1]
        key = self._masked_words(said), status
        known = self._masked.get(key)
        if known is None:
            if len(self._masked) >= _MOST:
                self._masked.clear()
            verdict = classify(said.decode("utf-8", "replace"), status.decode("ascii", "replace"))
            known = self._masked[key] = Meaning(
                verdict.reason, verdict.kind.value, verdict.scope.value, verdict.rule, gist(shown(text)))
        return known, (host or b"").decode("ascii", "replace").lower()

    def _masked_words(self, said: bytes) -> bytes:
        """The same as ``masked``; most words were met before, with or without something to hide."""
        known = self._words.get
        return b" ".join([known(word) or self._word(word) for word in said.split()])

    def _word(self, word: bytes) -> bytes:
        found = masked(word)
        if len(word) <= _GIST:
            if len(self._words) >= _MOST:
                self._words.clear()
            self._words[word] = found
        return found

    def of_host(self, host: str) -> str:
        """The provider of an MX host, as the log has it, for whatever domain; empty where the domain has a say."""
        return self.view.of_host(host.lower().rstrip("."))

    def provider(self, host: str, domain: bytes) -> str:
        """The provider of an MX host, empty where none is known, and a recipient domain, as the log has it."""
        found = self._providers.get((host, domain))
        if found is None:
            if len(self._providers) >= _MOST:
                self._providers.clear()
            found = self._providers[host, domain] = self.view.provider(
                host.lower().rstrip("."), domain.decode("utf-8", "replace").lower().rstrip("."))
        return found


def masked(word: bytes) -> bytes:
    """A word of a reply without what differs between replies of one meaning."""
    if word.isalpha():
        return word
    found = _ADDRESS.sub(b"@", word) if b"@" in word else word
    found = _HOST.sub(b"~", found) if b"[" in found else found
    return _NUMBER.sub(b"#", found)


def gist(text: str) -> bytes:
    """What tells a shown reply from others of another meaning: the beginning of it without what differs otherwise."""
    return b" ".join(map(masked, text.encode("utf-8", "replace").split()))[:_GIST]


def shown(text: bytes) -> str:
    """A reply as it is kept and shown: in one line, with nothing that steers a terminal."""
    return clean(text[: 4 * SHOWN].decode("utf-8", "replace"), SHOWN)
