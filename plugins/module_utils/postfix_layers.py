# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layers of Postfix's configuration: checked, merged, and resolved for one version into what a server is to have."""

from __future__ import annotations

import copy
import dataclasses
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import master_cf
from ansible_collections.mailfleet.sending.plugins.module_utils.main_cf import fold
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import Certificate
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_tables import (
    Table,
    folded,
    pairs,
    table_mistakes,
)

ORDER = ("postfix", "dkim", "throttle", "bounces")
KINDS = ("parameters", "services", "tables", "certificates")
REFERENCE = re.compile(r"\{(table|certificate):([^{}]*)\}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Refused(Mistakes):
    """A configuration that was not installed, with everything that is wrong with it."""

    def __init__(self, mistakes: t.Iterable[Mistake]) -> None:
        super().__init__(mistakes, "Postfix's configuration was not touched")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the layers want of one Postfix.

    `parameters` and `services` are the texts for main.cf and master.cf (None: there shall be no such service), `source`
    says which layer wants what (by ``parameters.NAME``, ``services.KEY``, ``tables.NAME``, ``certificates.NAME``),
    `unused` are tables and certificates that nothing refers to, `unverified` is what cannot be told before Postfix is
    installed.
    """

    parameters: dict[str, str]
    services: dict[str, master_cf.Service | None]
    tables: dict[str, Table]
    source: dict[str, str]
    unused: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    certificates: dict[str, Certificate] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> tuple[Table | Certificate, ...]:
        """What becomes files under names of their content."""
        return (*self.tables.values(), *self.certificates.values())


def ordered(layers: t.Iterable[str]) -> list[str]:
    """Return the names of layers in the order in which they are merged."""
    return sorted(layers, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def resolve(layers: t.Mapping[str, t.Any], version: tuple[int, ...] | None, directory: str) -> Wanted:
    """Merge layers for one Postfix.

    :arg layers: the layers by name, as ``postfix_config`` takes them.
    :arg version: the installed Postfix, such as (3, 7, 11); None where there is none yet: what depends on the version
        is then left out and told in `unverified`.
    :arg directory: where the files of tables and certificates stand.
    :returns: what is wanted.
    :raises Refused: with all mistakes, each naming its layer.
    """
    merge = _Merge(version)
    for name in ordered(layers):
        merge.add(name, layers[name])
    return merge.result(directory)


def with_secrets(layers: t.Mapping[str, t.Any], entries: t.Mapping[str, t.Any],
                 pairs: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Put the entries of secret tables and the certificates, which travel apart from the layers, into the layers.

    :arg layers: the layers as they were passed; a secret table has no entries there, a certificate nothing.
    :arg entries: entries by the name of their table.
    :arg pairs: keys with their chains, in PEM, by the name of their certificate.
    :returns: the layers, whole.
    :raises Refused: where a secret stands in a layer, or what was passed belongs to no secret table or certificate.
    """
    whole = copy.deepcopy(dict(layers))
    mistakes, left, strays = [], set(entries), set(pairs)
    for layer, content in whole.items():
        for name, certificate in _named(content, "certificates").items():
            if certificate:
                mistakes.append(Mistake(f"layers.{layer}.certificates.{name}", "something that may be a secret",
                                        "the files `certificate` and `key` on the controller, or an empty dictionary "
                                        "and the pair in secret_certificates"))
            elif name in strays:
                _named(content, "certificates")[name] = {"pem": pairs[name]}
                strays.discard(name)
        for name, table in _named(content, "tables").items():
            if not isinstance(table, dict) or not table.get("secret"):
                continue
            if table.get("entries") or table.get("lines"):
                mistakes.append(Mistake(f"layers.{layer}.tables.{name}.entries", "the entries of a secret table",
                                        "them in secret_entries", "there they are neither shown nor logged"))
            elif name in left:
                table["entries"] = entries[name]
                left.discard(name)
    mistakes += [Mistake(f"secret_entries.{name}", "entries without a table", "a table with secret true in a layer")
                 for name in sorted(left)]
    mistakes += [Mistake(f"secret_certificates.{name}", "a pair without a place", "a layer's certificate of this name")
                 for name in sorted(strays)]
    if mistakes:
        raise Refused(mistakes)
    return whole


def _named(layer: t.Any, kind: str) -> dict[str, t.Any]:
    """Return the part of a layer that has the things of a kind by name; nothing where it is no such part."""
    part = layer.get(kind) if isinstance(layer, dict) else None
    return part if isinstance(part, dict) else {}


class _Merge:
    """Layers taken in one after the other, with the mistakes that were seen."""

    def __init__(self, version: tuple[int, ...] | None) -> None:
        self.version = version
        self.mistakes: list[Mistake] = []
        self.unverified: list[str] = []
        self.source: dict[str, str] = {}
        self.content: dict[str, dict[str, t.Any]] = {kind: {} for kind in KINDS}

    def wrong(self, path: str, found: str, expected: str, mend: str = "") -> None:
        """Take note of a mistake."""
        self.mistakes.append(Mistake(path, found, expected, mend))

    def add(self, layer: str, content: t.Any) -> None:
        """Take in one layer."""
        path = f"layers.{layer}"
        if not isinstance(content, dict):
            self.wrong(path, type(content).__name__, "a dictionary of " + ", ".join(KINDS))
            return
        for kind, entries in content.items():
            if kind not in KINDS:
                self.wrong(f"{path}.{kind}", "an unknown key", "one of " + ", ".join(KINDS), nearest(str(kind), KINDS))
            elif not isinstance(entries, dict):
                self.wrong(f"{path}.{kind}", type(entries).__name__, "a dictionary by name")
            else:
                for name, entry in entries.items():
                    getattr(self, "_" + kind)(layer, f"{path}.{kind}.{name}", str(name), entry)

    def _take(self, kind: str, layer: str, path: str, name: str, value: t.Any) -> None:
        """Set what no layer has set yet, or what another has set to the same."""
        known = self.content[kind].setdefault(name, value)
        other = self.source.setdefault(f"{kind}.{name}", layer)
        if known != value:
            self.wrong(path, repr(value), f"{known!r} as in layer {other}", f"leave it to one of {other} and {layer}")

    def _parameters(self, layer: str, path: str, name: str, entry: t.Any) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            self.wrong(path, repr(name), "a parameter's name: letters, digits and underscores")
            return
        if isinstance(entry, dict):
            if not self._applies(path, entry):
                return
            entry = entry["value"]
        if (value := self._text(path, entry)) is not None:
            self._take("parameters", layer, path, name, value)

    def _applies(self, path: str, entry: dict[str, t.Any]) -> bool:
        """Whether a conditional parameter holds for this Postfix."""
        bounds = {key: entry[key] for key in ("since", "before") if key in entry}
        unknown = set(entry) - {"value", "since", "before"}
        if unknown or "value" not in entry or not bounds:
            self.wrong(path, f"the keys {', '.join(sorted(entry))}", "value, with since or before")
            return False
        versions = {key: version_of(str(bound)) for key, bound in bounds.items()}
        if None in versions.values():
            self.wrong(path, repr(bounds), "versions such as \"3.9\"")
            return False
        if self.version is None:
            rule = " and ".join(f"{key} {bound}" for key, bound in bounds.items())
            self.unverified.append(f"{path.rpartition('.')[2]} = {entry['value']}: only {rule} of Postfix")
            return False
        return versions.get("since", ()) <= self.version < versions.get("before", (1 << 30,))

    def _text(self, path: str, value: t.Any) -> str | None:
        """Return a value as Postfix writes it."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, (int, str)) and "\0" not in str(value):
            return fold(str(value))
        self.wrong(path, type(value).__name__, "a text, a number or a truth value")
        return None

    def _services(self, layer: str, path: str, name: str, entry: t.Any) -> None:
        host, dummy, kind = name.rpartition("/")
        kinds = ("inet", "unix", "unix-dgram", "fifo", "pass")
        if not host or kind not in kinds or re.search(r"[\s#]", host):
            self.wrong(path, repr(name), "name/type, type being one of " + ", ".join(kinds))
            return
        if entry is None:
            self._take("services", layer, path, name, None)
            return
        if not isinstance(entry, dict) or not isinstance(entry.get("options", {}), dict):
            self.wrong(path, "no description of a service",
                       f"{', '.join(master_cf.FIELDS)}, command and options; or null, for no such service")
            return
        known = (*master_cf.FIELDS, "command", "options")
        for key in set(entry) - set(known):
            self.wrong(f"{path}.{key}", "an unknown key", "one of " + ", ".join(known), nearest(str(key), known))
        fields = {field: str(entry.get(field, "-")) for field in master_cf.FIELDS}
        for field, value in fields.items():
            pattern = r"[-yn]" if field in master_cf.FIELDS[:3] else r"-|\d+\??"
            if not re.fullmatch(pattern, value):
                expected = "y, n or -" if field in master_cf.FIELDS[:3] else "a number or -"
                self.wrong(f"{path}.{field}", repr(value), expected)
        command = entry.get("command")
        if not isinstance(command, str) or not re.fullmatch(r"[\w.-]+( .*)?", command):
            self.wrong(f"{path}.command", repr(command), "the name of a daemon, with arguments behind it if need be")
            return
        options = {o: self._text(f"{path}.options.{o}", v) for o, v in entry.get("options", {}).items()}
        if None not in options.values():
            self._take("services", layer, path, name, (tuple(fields.values()), command, options))

    def _tables(self, layer: str, path: str, name: str, entry: t.Any) -> None:
        if not NAME.fullmatch(name):
            self.wrong(path, repr(name), "a table's name: letters, digits, underscores, dots, dashes")
            return
        if not isinstance(entry, dict) or set(entry) - {"type", "entries", "lines", "secret"}:
            self.wrong(path, "no description of a table", "type, entries, lines and secret")
            return
        if not isinstance(entry.get("lines", ""), str):
            self.wrong(f"{path}.lines", type(entry["lines"]).__name__, "one text with a line for each entry")
            return
        kind, entries = entry.get("type"), pairs(entry.get("entries", []), entry.get("lines", ""))
        if wrong := table_mistakes(path, kind, entries):
            self.mistakes += wrong
            return
        other = self.source.setdefault(f"tables.{name}", layer)
        known = self.content["tables"].setdefault(name, {"type": kind, "secret": False, "entries": {}})
        if known["type"] != kind:
            self.wrong(f"{path}.type", repr(kind), f"{known['type']!r} as in layer {other}")
            return
        known["secret"] = known["secret"] or bool(entry.get("secret"))
        for index, (key, value) in enumerate(entries):
            look_up = folded(kind, key) if not re.match(r"(end)?if\b", key) else (len(known["entries"]), key)
            here = f"{path}.entries[{index}]"
            dummy, first, there = known["entries"].setdefault(look_up, (key, value, here))
            if first != value:
                shown = "an entry" if known["secret"] else repr(key)
                self.wrong(here, f"another value for {shown}", f"the one of {there}", "leave it to one of the two")

    def _certificates(self, layer: str, path: str, name: str, entry: t.Any) -> None:
        if not NAME.fullmatch(name):
            self.wrong(path, repr(name), "a certificate's name: letters, digits, underscores, dots, dashes")
            return
        other = self.source.setdefault(f"certificates.{name}", layer)
        text = entry.get("pem") if isinstance(entry, dict) else None
        if not isinstance(text, str):
            self.wrong(path, "no pair", "the files `certificate` and `key` on the controller")
            return
        try:
            pair = Certificate.read(name, text, path)
        except Mistakes as error:
            self.mistakes += error.mistakes
        else:
            if self.content["certificates"].setdefault(name, pair).text != pair.text:
                self.wrong(path, "another certificate", f"the one of layer {other}", "leave it to one of the two")

    def result(self, directory: str) -> Wanted:
        """Put the files of tables and certificates in the place of their names, and raise what was seen."""
        known: dict[str, dict[str, t.Any]] = {
            "table": {name: _table(name, table) for name, table in self.content["tables"].items()},
            "certificate": self.content["certificates"],
        }
        used: set[tuple[str, str]] = set()

        def filled(path: str, value: str) -> str:
            def reference(match: re.Match[str]) -> str:
                kind, name = match.groups()
                if name in known[kind]:
                    used.add((kind, name))
                    return known[kind][name].reference(directory)
                # One that is there and wrong is told where it stands.
                if f"{kind}s.{name}" not in self.source:
                    self.wrong(path, match[0], f"a {kind} of some layer", nearest(name, known[kind]))
                return match[0]

            return REFERENCE.sub(reference, value)

        parameters = {name: filled(self._path("parameters", name), value)
                      for name, value in self.content["parameters"].items()}
        services: dict[str, master_cf.Service | None] = {}
        for key, described in self.content["services"].items():
            if described is None:
                services[key] = None
                continue
            fields, command, options = described
            path = self._path("services", key)
            options = {option: filled(f"{path}.options.{option}", value) for option, value in options.items()}
            try:
                services[key] = master_cf.formatted(key, fields, command, options)
            except ValueError as error:
                self.wrong(path, str(error), "a service that master.cf can hold")
        if self.mistakes:
            raise Refused(self.mistakes)
        there = {(kind, name) for kind, named in known.items() for name in named}
        idle = tuple(f"{kind} {name}: nothing refers to it" for kind, name in sorted(there - used))
        tables, pairs = ({name: each for name, each in named.items() if (kind, name) in used}
                         for kind, named in known.items())
        return Wanted(parameters, services, tables, self.source, idle, tuple(self.unverified), pairs)

    def _path(self, kind: str, name: str) -> str:
        return f"layers.{self.source[f'{kind}.{name}']}.{kind}.{name}"


def _table(name: str, content: t.Mapping[str, t.Any]) -> Table:
    written = content["entries"].values()
    entries, paths = tuple(entry[:2] for entry in written), tuple(entry[2] for entry in written)
    return Table(name, content["type"], entries, content["secret"], paths)


def version_of(text: str) -> tuple[int, ...] | None:
    """Return a version such as ``3.7.11`` as numbers, None where it is none."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else None
