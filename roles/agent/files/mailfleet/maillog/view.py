# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the log does not say and the inventory does: providers, and which address a service sends from."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ..errors import Status, Trouble
from ..settings_reader import Reader

OTHER = "other"
LOCAL = "local"  # of what never left this host
NONE = "none"  # the sending address of what was not sent
# Services of this collection that are named after an IPv4 address, with the number of the service where it has several.
_NAMED = re.compile(r"(?:ip|out)-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})(?:-\d{1,3})?")


@dataclasses.dataclass(frozen=True)
class View:
    """What of the inventory the log is read with.

    ``mx`` and ``domains`` have the provider of each suffix of MX hosts and of each recipient domain; ``known_mx`` and
    ``known_domains`` those that are known besides, of mail that is none of theirs; ``addresses`` the sending address of
    services by their names in the log (of ``postfix/ip-192-0-2-1/smtp`` the middle part); ``streams`` the stream of
    sender and bounce domains; ``limits`` what the inventory sets for each provider.
    """

    mx: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    domains: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    known_mx: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    known_domains: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    addresses: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    streams: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: t.Mapping[str, t.Mapping[str, t.Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, mapping: t.Any, where: str = "maillog") -> View:
        """The view of a mapping, as the configuration has it; raises Trouble with all that is wrong in it."""
        reader = Reader(mapping, where)
        view = cls.read(reader)
        if reader.mistakes:
            wrong = Trouble(where, "\n".join(["mistakes:", *(f"  {each}" for each in reader.mistakes)]))
            wrong.status = Status.SETTINGS
            raise wrong
        return view

    @classmethod
    def read(cls, reader: Reader) -> View:
        """Read a view: ``providers`` by name with ``mx``, ``domains`` and limits, ``profiles`` by name with the first
        two, ``addresses``, ``streams``."""
        limits: dict[str, dict[str, t.Any]] = {}
        tables = []
        for part in ("providers", "profiles"):
            mx: dict[str, str] = {}
            domains: dict[str, str] = {}
            for name, each in reader.keyed(part):
                for known, found in ((mx, each.domains("mx", ())), (domains, each.domains("domains", ()))):
                    for domain in found:
                        if known.setdefault(domain, name) != name:
                            each.note("", domain, f"a name of one provider only; {known[domain]} has it too")
                if part == "providers":
                    limits[name] = cls._limits(each)
                each.done()
            tables += [mx, domains]
        addresses, streams = (cls._texts(reader, name) for name in ("addresses", "streams"))
        reader.done()
        return cls(*tables, addresses, streams, limits)

    @staticmethod
    def _limits(reader: Reader) -> dict[str, t.Any]:
        numbers = {limit: reader.number(limit, 0, 0, 1_000_000) for limit in ("connections", "messages", "recipients")}
        return {limit: value for limit, value in (*numbers.items(), ("rate", reader.text("rate", ""))) if value}

    @staticmethod
    def _texts(reader: Reader, name: str) -> dict[str, str]:
        found = reader.get(name, dict, "a mapping of names to texts", {}) or {}
        for each, value in found.items():
            if not isinstance(value, str) or not value.strip():
                reader.note(f"{name}.{each}", value, "a text that is not empty")
        return {each: value for each, value in found.items() if isinstance(value, str)}

    @property
    def names(self) -> frozenset[str]:
        """What outcomes may be counted as."""
        tables = (self.mx, self.domains, self.known_mx, self.known_domains)
        return frozenset((LOCAL, OTHER, *(name for table in tables for name in table.values())))

    def address(self, part: str) -> str:
        """The sending address of a service, by its name in the log; ``default`` where it has none of its own."""
        if known := self.addresses.get(part):
            return known
        if named := _NAMED.fullmatch(part):
            return ".".join(named.groups())
        return "default" if part in ("", "relay", "default") else part

    def provider(self, host: str, domain: str) -> str:
        """The provider of an MX host, empty where that is not known, and a recipient domain, both in lower case."""
        return (_above(self.mx, host) or self.domains.get(domain)
                or _above(self.known_mx, host) or self.known_domains.get(domain) or OTHER)

    def of_host(self, host: str) -> str:
        """The provider of an MX host for whatever domain, in lower case; empty where the domain has a say."""
        return _above(self.mx, host) or ("" if self.domains else _above(self.known_mx, host))


def _above(table: t.Mapping[str, str], name: str) -> str:
    """What a table has of the name, or of the nearest above it; empty for nothing."""
    while name and name not in table:
        name = name.partition(".")[2]
    return table.get(name, "")


class Known(t.NamedTuple):
    """What a configuration says of the log: its ``view``, None where it has none; the ``host``'s name; whether the log
    is ``followed``, so that there are counts, and then from which ``source`` and ``file``."""

    view: View | None = None
    host: str = ""
    followed: bool = False
    source: str = ""
    file: str = ""


def load(place: str) -> Known:
    """What a configuration says; nothing where there is none, or none that may be read by who asks. Raises Trouble with
    all mistakes."""
    try:
        with open(place, encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, PermissionError):
        return Known()
    except (ValueError, RecursionError) as error:
        wrong = Trouble(place, f"no JSON: {error}")
        wrong.status = Status.SETTINGS
        raise wrong from error
    found = found if isinstance(found, dict) else {}
    part = found.get("maillog")
    log = found["log"] if isinstance(found.get("log"), dict) else {}
    host, source, file = (each if isinstance(each, str) else "" for each in (
        found.get("host"), log.get("source"), log.get("file")))
    return Known(View.of(part, f"{place}: maillog") if part is not None else None, host, "log" in found, source, file)
