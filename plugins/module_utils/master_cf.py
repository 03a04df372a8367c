# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""master.cf as a list of services between lines that are nobody's business; what is not touched stays byte for byte."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.main_cf import chunks, fold

FIELDS = ("private", "unprivileged", "chroot", "wakeup", "maxproc")


@dataclasses.dataclass(frozen=True)
class Service:
    """One service (master(5)): its key is ``name/type``; `options` are those of -o, `arguments` all that is neither."""

    key: str
    fields: tuple[str, ...]
    command: str
    options: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    text: str = ""

    def means(self, other: Service) -> bool:
        """Whether another line comes to the same for Postfix, whatever its white space and the order of its options."""
        ours, theirs = ((s.key, s.fields, s.command, dict(s.options), s.arguments) for s in (self, other))
        return ours == theirs

    @property
    def name(self) -> str:
        """The service's name, for an inet service host:port or port."""
        return self.key.rpartition("/")[0]

    @property
    def type(self) -> str:
        """inet, unix, unix-dgram, fifo or pass."""
        return self.key.rpartition("/")[2]


def tokens(text: str, separators: str = " \t\r\n") -> list[str]:
    """Split outside of braces, as Postfix does since 3.0.

    :arg text: a logical line, or a value that is a list.
    :arg separators: the characters between the parts.
    :raises ValueError: where a brace has no partner.
    """
    found, word, depth = [], "", 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            break
        if character in separators and not depth:
            found.append(word)
            word = ""
        else:
            word += character
    if depth:
        raise ValueError(f"a brace without its partner in {text[:60]!r}")
    return [word for word in [*found, word] if word]


def service(text: str, logical: str) -> Service:
    """Parse one logical line of master.cf.

    :arg text: the physical lines, kept as they are.
    :arg logical: the same as one line.
    :raises ValueError: where fields are missing or an option is not ``name=value``.
    """
    words = tokens(logical)
    if len(words) < 8:
        raise ValueError(f"found {len(words)} fields in {logical[:60]!r}, expected at least 8")
    options, arguments, rest = [], [], iter(words[8:])
    for word in rest:
        if word.startswith("argv="):
            # From here on it is another program's command line (pipe(8), spawn(8)), whatever it looks like.
            arguments += [word, *rest]
            break
        if not word.startswith("-o"):
            arguments.append(word)
            continue
        setting = word[2:] or next(rest, "")
        if setting.startswith("{") and setting.endswith("}"):
            setting = setting[1:-1]
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"option -o {setting!r} of {words[0]}/{words[1]}: expected name=value")
        options.append((name.strip(), fold(value)))
    return Service(f"{words[0]}/{words[1]}", tuple(words[2:7]), words[7], tuple(options), tuple(arguments), text)


def formatted(key: str, fields: t.Sequence[str], command: str, options: t.Mapping[str, str]) -> Service:
    """Write a service: single blanks between the fields, each option on a line of its own.

    :arg key: ``name/type``.
    :arg fields: the five fields between type and command.
    :arg options: what -o sets; a value with white space is written in braces.
    :raises ValueError: where a value cannot be written (braces without partners).
    """
    name, dummy, kind = key.rpartition("/")
    lines = [" ".join([name, kind, *fields, command])]
    for option, value in options.items():
        lines.append(f"  -o {{ {option} = {value} }}" if re.search(r"\s", value) else f"  -o {option}={value}")
    text = "".join(line + "\n" for line in lines)
    return service(text, " ".join(lines))


@dataclasses.dataclass(frozen=True)
class MasterCf:
    """A parsed master.cf; texts between services are plain str."""

    items: tuple[Service | str, ...]

    @classmethod
    def parse(cls, text: str) -> MasterCf:
        """Parse a master.cf (master(5)).

        :arg text: the file.
        :raises ValueError: with the line's number, where a line is not a service.
        """
        items: list[Service | str] = []
        for chunk in chunks(text):
            if chunk.logical is None:
                items.append(chunk.text)
                continue
            try:
                items.append(service(chunk.text, chunk.logical))
            except ValueError as error:
                raise ValueError(f"line {chunk.number}: {error}") from None
        return cls(tuple(items))

    def __str__(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.items)

    @property
    def services(self) -> dict[str, Service]:
        """The services by their keys."""
        return {item.key: item for item in self.items if isinstance(item, Service)}

    def text_of(self, key: str) -> str | None:
        """Return the lines that define a service now, None where nothing does."""
        service = self.services.get(key)
        return service.text if service else None

    def put(self, texts: t.Mapping[str, str | None]) -> MasterCf:
        """Return a master.cf in which each of these services is this text, or is not there where it is None.

        A service keeps its place; a new one goes to the end. One that says the same already keeps its form.
        """
        items: list[Service | str] = []
        left = dict(texts)
        for item in self.items:
            if isinstance(item, str) or item.key not in texts:
                items.append(item)
            elif item.key in left and (text := left.pop(item.key)) is not None:
                new = _service(text)
                items.append(item if new.means(item) else new)
        added = [_service(text) for text in left.values() if text is not None]
        whole = str(MasterCf(tuple(items)))
        if added and whole and not whole.endswith("\n"):
            items.append("\n")
        return MasterCf((*items, *added))


def _service(text: str) -> Service:
    """Read back one service from its text; a last line without its end gets one."""
    (item,) = MasterCf.parse(text if text.endswith("\n") else text + "\n").items
    if isinstance(item, str):
        raise ValueError(f"found {text!r}, expected a service")
    return item
