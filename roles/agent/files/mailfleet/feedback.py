# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complaints without a token of ours: believed from known sources only, whose DKIM signature holds (RFC 6376).

Who says that it holds is OpenDKIM beside the worker, which is asked about the message itself (``verifier``): nothing
that a header claims counts. Or, where the configuration names its ``authserv_id``, a filter of the operator's own: it
writes an Authentication-Results field (RFC 8601) on top of every message, whether signed or not, and removes those that
came with its name. So the topmost field of that name is its own, and no other is read.

Neither is heard about a signature that is not plain. One with ``l=`` holds for the beginning of a body, and anybody can
append a report to that. And OpenDKIM decodes ``i=`` and writes it into its results as it is, where a stranger's own
signature can thereby claim to be that of a source, as ``i=x=3Bdkim=3Dpass=20header.d=3Dsource.example=20@his.example``.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

# The DKIM result (RFC 8601 2.7.1) of a message with one signature, given the fields of its header and its body, with
# CRLF; empty where nobody says.
Ask = t.Callable[[t.Sequence[bytes], bytes], str]

MOST = 3  # signatures of sources that are looked at
_HEAD = 1 << 18  # octets of the header that are looked at; a larger one is no report's
_SIGNATURE = "dkim-signature"
_CLAIMS = "authentication-results"  # OpenDKIM reads those that are there, and is not to be led astray by them
# What decides how a message is read, and by whom it is: the reader takes the first, a signature covers the last.
_ONCE = ("from", "content-type", "content-transfer-encoding", "mime-version")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FORMS = {
    "a": re.compile(r"(?:rsa|ed25519)-sha256"),  # RFC 8301: no SHA-1
    "d": re.compile(r"[A-Za-z0-9._-]+"),
    "s": re.compile(r"[A-Za-z0-9._-]+"),
    "i": re.compile(r"[A-Za-z0-9._+-]*@[A-Za-z0-9._-]+"),
}
_RESULT = re.compile(r"\s*dkim\s*(?:/\s*1\s*)?=\s*pass\b(.*)", re.IGNORECASE | re.DOTALL)
_DOMAIN = re.compile(r"(?:^|\s)header\.d\s*=\s*([A-Za-z0-9_.-]{1,253})(?=\s|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class _Message:
    """The fields of a header with their names in small letters, each as it came but for its last line end, and the
    body; lines end in LF."""

    fields: tuple[tuple[str, bytes], ...]
    body: bytes

    def of(self, name: str) -> list[bytes]:
        """What stands behind the colon in the fields of a name."""
        return [field.partition(b":")[2] for each, field in self.fields if each == name]


def verified(raw: bytes, sources: t.Collection[str], ask: Ask) -> str | None:
    """The known feedback source whose signature holds, as OpenDKIM says; an empty text where there is none.

    It hears of nothing but a plain signature of a source, so nobody else has it ask a name server for anything.

    :arg sources: domains (d=), in lower case.
    :returns: None where it cannot be told yet: OpenDKIM, or a name server, did not answer.
    """
    message = _parted(raw) if sources else None
    if not message:
        return ""
    plain = {index: _plain_domain(field.partition(b":")[2])
             for index, (name, field) in enumerate(message.fields) if name == _SIGNATURE}
    body, said = message.body.replace(b"\n", b"\r\n"), set()
    for wanted in [index for index, domain in plain.items() if domain in sources][:MOST]:
        fields = [field for index, (name, field) in enumerate(message.fields)
                  if index == wanted or name not in (_SIGNATURE, _CLAIMS)]
        result = ask(fields, body)
        if result == "pass":
            return plain[wanted]
        said.add(result)
    return None if said & {"", "temperror"} else ""


def named(raw: bytes, authserv_id: str, sources: t.Collection[str]) -> str:
    """The known feedback source that signed a message, as our own filter's field says, or an empty text.

    :arg authserv_id: the name that our own filter writes.
    :arg sources: domains (d=), in lower case.
    """
    message = _parted(raw) if sources else None
    if not message or not all(map(_plain_domain, message.of(_SIGNATURE))):
        return ""
    for field in message.of(_CLAIMS):
        name, *results = _without_comments(field.decode("utf-8", "replace")).split(";")
        words = name.split()
        if not words or words[0].lower() != authserv_id.lower():
            continue
        for result in results:
            if passed := _RESULT.fullmatch(result):
                domain = _DOMAIN.search(passed[1])
                if domain and domain[1].lower() in sources:
                    return domain[1].lower()
        return ""
    return ""


def _parted(raw: bytes) -> _Message | None:
    """A message in its parts; None where its header is none, or says twice what it may say once."""
    head, _empty, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    if len(head) > _HEAD or b"\0" in head:
        return None
    fields: list[tuple[str, bytes]] = []
    for line in re.split(rb"\n(?![ \t])", head):
        name = _NAME.match(line)
        if not name:
            return None
        fields.append((name[1].decode("ascii").lower(), line))
    names = [name for name, _field in fields]
    return None if any(names.count(name) > 1 for name in _ONCE) else _Message(tuple(fields), body)


def _plain_domain(signature: bytes) -> str:
    """The domain of a signature, in lower case; empty where the signature is not plain."""
    text = re.sub(r"[ \t\r\n]", "", signature.decode("latin-1")).removesuffix(";")
    pairs = [pair.partition("=")[::2] for pair in text.split(";")]
    tags = dict(pairs)
    plain = len(tags) == len(pairs) and {"a", "d", "s"} <= tags.keys() and not {"l", "L"} & tags.keys()
    plain = plain and all(form.fullmatch(tags.get(tag, "@x" if tag == "i" else "")) for tag, form in _FORMS.items())
    return tags["d"].lower() if plain else ""


def _without_comments(text: str) -> str:
    """The field without its comments, which may be nested, and with its quoted texts emptied: nothing there counts."""
    kept, depth, quoted, escaped = [], 0, False, False
    for each in text:
        if escaped:
            escaped = False
        elif each == "\\" and (quoted or depth):
            escaped = True
        elif each == '"' and not depth:
            quoted = not quoted
        elif each == "(" and not quoted:
            depth += 1
        elif each == ")" and depth:
            depth -= 1
            kept.append(" ")
        elif not depth and not quoted:
            kept.append(each)
    return "".join(kept)
