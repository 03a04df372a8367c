# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookup tables of Postfix as files under names of their content: a table never changes, a new one takes its place."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, nearest

# What postmap(1) builds from a text, with the ending of the built file; texts that a daemon reads as they are.
BUILT = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb"}
PLAIN = ("texthash", "cidr", "pcre", "regexp")
TYPES = (*BUILT, *PLAIN)
# Tables whose files Postfix opens under the name that it is given (DATABASE_README); other types are no files.
FILES = {**BUILT, **dict.fromkeys(PLAIN, ""), "cdb": ".cdb"}
PATTERNS = ("pcre", "regexp")


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: its entries in order, whether they may be shown, and the path of each in the layer that wrote it."""

    name: str
    type: str
    entries: tuple[tuple[str, str], ...]
    secret: bool = False
    paths: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The file's content, a line an entry."""
        return "".join(f"{key} {value}".rstrip() + "\n" for key, value in self.entries)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the type and the content."""
        return _digest(f"{self.type}\n{self.text}", self.secret)

    @property
    def file(self) -> str:
        """The name of the text file."""
        return f"{self.name}.{self.digest}"

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the table: the text, and what postmap builds from it."""
        return (self.file, self.file + BUILT[self.type]) if self.type in BUILT else (self.file,)

    @property
    def mode(self) -> int:
        """The files' mode; a secret is for root, and for the group of proxymap(8)."""
        return 0o640 if self.secret else 0o644

    def reference(self, directory: str) -> str:
        """Return what a parameter says to use the table from this directory."""
        return f"{self.type}:{os.path.join(directory, self.file)}"

    @property
    def shown(self) -> str:
        """The content for a diff; of a secret table only its digest."""
        return f"(secret, {len(self.entries)} entries, digest {self.digest})\n" if self.secret else self.text


@functools.lru_cache
def _digest(text: str, secret: bool) -> str:
    # The digest stands in main.cf for everybody to read: that of a secret is made so that guessing at it takes long.
    slow = hashlib.scrypt(text.encode(), salt=b"mailfleet", n=2**14, r=8, p=1) if secret else b""
    return (slow.hex() or hashlib.sha256(text.encode()).hexdigest())[:16]


def pairs(entries: t.Any, lines: str) -> t.Any:
    """Return all entries of a table as it was written in a layer, in their order.

    :arg entries: a list of pairs; what is none is returned as it is.
    :arg lines: more of them as one text, a line each with key and value. A long list of pairs is slow in Ansible, and
        a text of any length is not.
    """
    if not isinstance(entries, (list, tuple)):
        return entries
    return [*entries, *(line.partition(" ")[::2] for line in lines.split("\n") if line)]


def table_mistakes(path: str, kind: t.Any, entries: t.Any) -> list[Mistake]:
    """Check one table as it was written in a layer.

    :arg path: where it stands.
    :arg kind: its type.
    :arg entries: a list of pairs.
    :returns: what is wrong with it.
    """
    if kind == "inline":
        return [Mistake(f"{path}.type", "inline", "a type with a file", "write the entries here with type texthash")]
    if kind not in TYPES:
        mend = nearest(str(kind), TYPES)
        return [Mistake(f"{path}.type", repr(kind), "one of " + ", ".join(TYPES), mend)]
    if not isinstance(entries, (list, tuple)):
        return [Mistake(f"{path}.entries", type(entries).__name__, "a list of [key, value]")]
    found = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, (list, tuple)) or len(entry) != 2 or not all(isinstance(e, str) for e in entry):
            found.append(Mistake(f"{path}.entries[{index}]", "no pair of texts", "[key, value]"))
        elif wrong := _entry_mistake(kind, *entry):
            # The entry itself is not shown: a table may hold secrets.
            found.append(Mistake(f"{path}.entries[{index}]", *wrong))
    return found


def _entry_mistake(kind: str, key: str, value: str) -> tuple[str, str] | None:
    if any(c in key + value for c in "\n\r\0"):
        return "a line break", "one line"
    if not key.strip() or key[0].isspace():
        return "an empty or indented key", "a key that begins the line"
    if key.startswith("#"):
        return "a key that makes the line a comment", "a key without # at its beginning"
    if kind not in PATTERNS and re.search(r"\s", key):
        return "a key with white space", "a key without any"
    if not value.strip() and not (kind not in BUILT and re.match(r"(end)?if\b", key)):
        return "an entry without a value", "[key, value]"
    return None


def folded(kind: str, key: str) -> str:
    """Return a key as it is looked up: postmap(1) folds case, patterns and networks keep theirs."""
    return key.lower() if kind in BUILT or kind == "texthash" else key
