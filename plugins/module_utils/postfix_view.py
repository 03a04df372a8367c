# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole configuration as Postfix would see it, before it does: what its parameters come to for each service."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import Service, tokens
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_tables import Table

LIST = " \t\r\n,"
EXPANSION = re.compile(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))")


@dataclasses.dataclass(frozen=True)
class View:
    """A configuration: all parameters with their defaults, all services, and our tables by their references.

    `source` is where a setting of ours comes from, as in :class:`postfix_layers.Wanted`; `certificates` are the files
    of ours, tables of others' making among them, that settings refer to and that are yet to be installed.
    """

    values: t.Mapping[str, str]
    services: t.Mapping[str, Service]
    tables: t.Mapping[str, Table]
    source: t.Mapping[str, str]
    certificates: t.Collection[str] = ()

    def value(self, name: str, service: Service | None = None) -> str:
        """Return what a parameter is for a service, its references to others expanded."""
        options = dict(service.options) if service else {}
        text = options.get(name, self.values.get(name, ""))

        def expanded(match: re.Match[str]) -> str:
            found = match[1] or match[2] or match[3]
            return options.get(found, self.values.get(found, ""))

        for _depth in range(10):
            text = EXPANSION.sub(expanded, text)
        return text

    def words(self, name: str, service: Service | None = None) -> list[str]:
        """Return the parts of a parameter that is a list."""
        return words(self.value(name, service))

    def place(self, name: str) -> str:
        """Return where a parameter is set: in which layer, or in main.cf by somebody else."""
        layer = self.source.get(f"parameters.{name}")
        return f"layers.{layer}.parameters.{name}" if layer else f"main.cf {name}"

    def ours(self) -> t.Iterator[tuple[str, str, str]]:
        """Yield path, name and value of each setting that a layer made: parameters, then options of services."""
        for key, layer in self.source.items():
            kind, dot, name = key.partition(".")
            if kind == "parameters":
                yield f"layers.{layer}.{key}", name, self.value(name)
            elif kind == "services" and name in self.services:
                for option, _value in self.services[name].options:
                    yield f"layers.{layer}.{key}.options.{option}", option, self.value(option, self.services[name])

    def smtpd(self) -> dict[str, Service]:
        """Return the services that a stranger can speak SMTP to."""
        return {key: s for key, s in self.services.items() if s.command == "smtpd" and s.type in ("inet", "pass")}


def words(value: str) -> list[str]:
    """Split a list as Postfix does, at commas and white space outside of braces; also where a brace has no partner."""
    try:
        return tokens(value, LIST)
    except ValueError:
        return value.replace(",", " ").split()


def maps(value: str, answering: bool = False) -> t.Iterator[tuple[str, str]]:
    """Yield type and name of the tables in a list of tables, those inside of other tables included.

    With `answering` only those whose results are results of the list: in a pipe of tables the last.
    """
    for word in words(value):
        kind, colon, rest = word.partition(":")
        if not colon or not re.fullmatch(r"!?[a-z]+", kind):
            continue
        if kind == "proxy":
            yield from maps(rest, answering)
        elif kind in ("unionmap", "pipemap"):
            inside = words(rest[1:-1])
            yield from maps(", ".join(inside[-1:] if kind == "pipemap" and answering else inside), answering)
        else:
            yield kind.lstrip("!"), rest
