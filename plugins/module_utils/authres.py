# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication-Results as RFC 8601 writes it: what a receiver says it found when it checked a message."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A header field of a real receiver is under 4 KiB; the bounds only keep hostile input cheap.
MAX_LENGTH = 65536
MAX_DEPTH = 20

_SPACE = re.compile(r"[ \t\r\n]*")
_VERSION = re.compile(r"[0-9]{1,5}")
_NONE = re.compile(r"none(?=[ \t\r\n(]|\Z)", re.IGNORECASE)
_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_TOKEN = re.compile(r"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")
# Receivers write signatures (header.b=a/b+c) and addresses unquoted, which RFC 2045's token forbids: a value
# ends at white space, a semicolon, a comment or a quotation mark.
_VALUE = re.compile(r"[^\x00-\x20\x7f();\"]+")
_INSTANCE = re.compile(r"[ \t\r\n]*i[ \t]*=[ \t]*(\d{1,2})[ \t\r\n]*;")


class AuthResError(ValueError):
    """The text is no Authentication-Results field; the message says what was found at which character."""


@dataclass(frozen=True)
class Result:
    """One method's result. `properties` keeps the order and the values as written, names in lower case."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    comments: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """Return the first value of the property `name` (such as "header.d"), or "" where there is none."""
        return next((value for key, value in self.properties if key == name), "")


@dataclass(frozen=True)
class AuthenticationResults:
    """One header field: who says it, and the results (none where the field says `none`)."""

    authserv_id: str
    version: int
    results: tuple[Result, ...]


def parse(text: str) -> AuthenticationResults:
    """Parse the body of one Authentication-Results field (RFC 8601 section 2.2), folded or not.

    Raises AuthResError for anything else. The time taken grows linearly with the text, whose length is bounded.
    """
    return _Parser(text).field()


def parse_arc(text: str) -> AuthenticationResults:
    """Parse the body of one ARC-Authentication-Results field (RFC 8617 section 4.1.1): an instance, then the same."""
    instance = _INSTANCE.match(text)
    if not instance:
        raise AuthResError("expected an instance such as `i=1;` at the beginning")
    return parse(text[instance.end() :])


class _Parser:
    def __init__(self, text: str):
        if len(text) > MAX_LENGTH:
            raise AuthResError(f"{len(text)} characters, at most {MAX_LENGTH} are read")
        self.text = text
        self.at = 0
        self.comments: list[str] = []

    def field(self) -> AuthenticationResults:
        self._skip()
        authserv_id = self._value(_TOKEN, "an authserv-id")
        self._skip()
        version = 1
        if self._peek().isdecimal():
            version = int(self._match(_VERSION, "a version"))
            self._skip()
        if version != 1:
            raise self._error("version 1", f"version {version}")
        self._expect(";")
        self.comments = []
        self._skip()
        none = _NONE.match(self.text, self.at)
        if none:
            self.at = none.end()
            results = []
        else:
            results = [self._resinfo()]
            while self._next():
                results.append(self._resinfo())
        self._end()
        return AuthenticationResults(authserv_id.lower(), version, tuple(results))

    def _next(self) -> bool:
        """Pass a semicolon; several receivers write one more at the end, behind which nothing comes."""
        if self._peek() != ";":
            return False
        self.at += 1
        self.comments = []
        self._skip()
        return self.at < len(self.text)

    def _resinfo(self) -> Result:
        method = self._match(_KEYWORD, "a method").lower()
        self._skip()
        if self._peek() == "/":
            self.at += 1
            self._skip()
            self._match(_VERSION, "a method's version")
            self._skip()
        self._expect("=")
        self._skip()
        result = self._match(_KEYWORD, "a result").lower()
        reason, properties = "", []
        self._skip()
        while self._peek() not in ("", ";"):
            name = self._match(_KEYWORD, "a property").lower()
            self._skip()
            if self._peek() == ".":
                self.at += 1
                self._skip()
                name += "." + self._match(_KEYWORD, "a property's name").lower()
                self._skip()
            self._expect("=")
            self._skip()
            value = self._value(_VALUE, "a value")
            # Some receivers put a quoted local part before the domain: "a b"@example.com.
            if self._peek() == "@":
                value += self._match(_VALUE, "a domain")
            if name == "reason":
                reason = value
            else:
                properties.append((name, value))
            self._skip()
        return Result(method, result, reason, tuple(properties), tuple(self.comments))

    def _value(self, pattern: re.Pattern, expected: str) -> str:
        if self._peek() != '"':
            return self._match(pattern, expected)
        characters, at = [], self.at + 1
        while at < len(self.text) and self.text[at] != '"':
            if self.text[at] == "\\":
                at += 1
            characters.append(self.text[at : at + 1])
            at += 1
        if at >= len(self.text):
            raise self._error("the end of the quoted string")
        self.at = at + 1
        return re.sub(r"\r?\n", "", "".join(characters))

    def _skip(self) -> None:
        """Pass white space and comments (RFC 5322's CFWS); keep the comments."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self._peek() != "(":
                return
            comment, self.at = read_comment(self.text, self.at, AuthResError)
            self.comments.append(comment)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _match(self, pattern: re.Pattern, expected: str) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            raise self._error(expected)
        self.at = found.end()
        return found.group()

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"`{character}`")
        self.at += 1

    def _end(self) -> None:
        self._skip()
        if self.at != len(self.text):
            raise self._error("the end")

    def _error(self, expected: str, found: str = "") -> AuthResError:
        rest = self.text[self.at : self.at + 20]
        return AuthResError(f"expected {expected} at character {self.at}, found {found or repr(rest)}")


def read_comment(text: str, at: int, error: type[ValueError]) -> tuple[str, int]:
    """Read the comment (RFC 5322 section 3.2.2) whose parenthesis opens at `at`.

    Returns its text on one line without the outer parentheses, and the position behind it; raises `error` where it
    does not end or is nested deeper than MAX_DEPTH.
    """
    start, depth = at, 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "(":
            depth += 1
            if depth > MAX_DEPTH:
                raise error(f"comments nested deeper than {MAX_DEPTH} at character {at}")
        elif character == ")":
            depth -= 1
            if depth == 0:
                return re.sub(r"[ \t\r\n]+", " ", text[start + 1 : at]).strip(), at + 1
        at += 1
    raise error(f"the comment that begins at character {start} does not end")
