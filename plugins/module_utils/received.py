# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Received fields as Postfix, Exim, Gmail and Outlook write them: who handed a message over, to whom, and how."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.authres import read_comment

MAX_LENGTH = 16384

_CLAUSES = ("from", "by", "via", "with", "id", "for")
_WORD = re.compile(r"[^ \t\r\n();\"]+|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]+")
_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\](?::\d+)?", re.IGNORECASE)
_EXIM_HELO = re.compile(r"(?:^| )helo=([^ ]+)")
_TLS = (
    re.compile(r"using (?P<version>(?:TLS|SSL)[^ ]*) with cipher (?P<cipher>[^ ]+)"),  # Postfix
    re.compile(r"version=(?P<version>TLS[^ ,]*),? cipher=(?P<cipher>[^ ,]+)"),  # Gmail, Outlook, Yahoo
    re.compile(
        r"^(?P<version>TLS[0-9][0-9.]*)(?::(?P<cipher>[^ :]+))?"
    ),  # Exim; the cipher may follow as `tls CIPHER`
)


class ReceivedError(ValueError):
    """The text is no Received field; the message says what was found."""


@dataclass(frozen=True)
class Received:
    """One Received field.

    `helo` is the name that the client gave; `client_name` the one that the receiver found for its address, where
    `confirmed` is True when that name leads back to the address, False when the receiver says that none does, and None
    when the field does not tell. `address` is in canonical form, or "" where the client has none (a local hand-over).
    `protocol` is the word after `with` (ESMTPS), `tls_version` and `cipher` are "" where the field does not tell.
    """

    by: str
    helo: str = ""
    client_name: str = ""
    confirmed: bool | None = None
    address: str = ""
    protocol: str = ""
    tls: bool = False
    tls_version: str = ""
    cipher: str = ""
    id: str = ""
    date: str = ""


def parse(text: str) -> Received:
    """Parse the body of one Received field (RFC 5321 section 4.4, and the forms in use), folded or not.

    Raises ReceivedError where there is no `by`, or for text that cannot be one. The time taken grows linearly with the
    text, whose length is bounded.
    """
    if len(text) > MAX_LENGTH:
        raise ReceivedError(f"{len(text)} characters, at most {MAX_LENGTH} are read")
    clauses, comments, date = _split(text)
    if not clauses.get("by"):
        raise ReceivedError(f"no `by` and a host in {_SPACE.sub(' ', text[:80])!r}")
    software = [comment for name in ("by", "via", "with") for comment in comments[name]]
    exim = any(comment.startswith("Exim") for comment in software)
    peer = (_exim_peer if exim else _peer)(clauses["from"], comments["from"])
    # Postfix and Exim write a name only when it leads back to the address; of others it is not known.
    if peer.get("client_name") and (exim or any(comment.startswith("Postfix") for comment in software)):
        peer["confirmed"] = True
    protocol = " ".join(clauses["with"][:1])
    version, cipher = _tls(sum(comments.values(), []))
    if exim and not cipher and "tls" in clauses["with"][1:-1]:
        cipher = clauses["with"][clauses["with"].index("tls") + 1]
    return Received(
        by=_host(clauses["by"][0]),
        protocol=protocol,
        # RFC 3848: the S in ESMTPS, ESMTPSA, LMTPS says that TLS was used.
        tls=bool(version) or bool(re.search(r"MTPSA?$", protocol.upper())),
        tls_version=version,
        cipher=cipher,
        id=" ".join(clauses["id"][:1]).strip("<>"),
        date=date,
        **peer,
    )


def _split(text: str) -> tuple[dict[str, list[str]], dict[str, list[str]], str]:
    """Return the words and the comments of each clause, and the date behind the last semicolon."""
    clauses: dict[str, list[str]] = {name: [] for name in _CLAUSES}
    comments: dict[str, list[str]] = {name: [] for name in _CLAUSES}
    clause, at, date = "", 0, ""
    while at < len(text):
        space, word = _SPACE.match(text, at), _WORD.match(text, at)
        if space:
            at = space.end()
        elif text[at] == "(":
            comment, at = read_comment(text, at, ReceivedError)
            comments[clause or "from"].append(comment)
        elif text[at] == ";":
            date = _SPACE.sub(" ", text[at + 1 :]).strip()
            break
        elif word:
            at = word.end()
            name = word.group().lower()
            # A clause comes once, and has a value: a host called `by` is no clause.
            if name in _CLAUSES and not clauses[name] and (not clause or clauses[clause]):
                clause = name
            elif not clause:
                raise ReceivedError(f"expected `from` or `by` at the beginning, found {word.group()[:40]!r}")
            else:
                clauses[clause].append(word.group())
        else:
            raise ReceivedError(f"unexpected {text[at]!r} at character {at}")
    return clauses, comments, date


def _peer(words: list[str], comments: list[str]) -> dict[str, object]:
    """Read `helo (name [address])`, the form of RFC 5321 and of Postfix."""
    if not words:
        return {}
    helo, name, address = _host(words[0]), "", ""
    for comment in comments:
        *names, last = comment.split(" ") or [""]
        address = _address(last)
        if address:
            name = _host(names[0]) if names else ""
            break
    # Yahoo puts the address first and the HELO name behind it: `192.0.2.1 (EHLO mta.example.com)`.
    greeting = next((c.split(" ")[1] for c in comments if re.match(r"(EHLO|HELO) [^ ]+$", c)), "")
    if greeting and not address:
        helo, address = _host(greeting), _address(words[0])
    if name == "unknown":
        return {"helo": helo, "address": address, "confirmed": False}
    return {"helo": helo, "client_name": name, "address": address}


def _exim_peer(words: list[str], comments: list[str]) -> dict[str, object]:
    """Read `name ([address] helo=…)`, or `[address] (helo=…)` where Exim could not confirm a name."""
    if not words:
        return {}
    about = comments[0] if comments else ""
    helo = _EXIM_HELO.search(about)
    address = _address(words[0])
    if address:
        return {"helo": _host(helo.group(1)) if helo else words[0], "address": address, "confirmed": False}
    name = _host(words[0])
    return {
        "helo": _host(helo.group(1)) if helo else name,
        "client_name": name,
        "address": _address(about.split(" ")[0]),
    }


def _tls(comments: list[str]) -> tuple[str, str]:
    """Return the TLS version and the cipher as the comments name them."""
    for comment in comments:
        for pattern in _TLS:
            found = pattern.search(comment)
            if found:
                return found["version"], found["cipher"] or ""
    return "", ""


def _host(word: str) -> str:
    """Return a host's name as it is compared: lower case, without a dot at the end."""
    return word.strip('"').lower().rstrip(".")


def _address(word: str) -> str:
    """Return the canonical form of `[192.0.2.1]`, `[IPv6:2001:db8::1]` or a bare address, or ""."""
    literal = _LITERAL.fullmatch(word)
    try:
        return str(ipaddress.ip_address(literal.group(1) if literal else word))
    except ValueError:
        return ""
