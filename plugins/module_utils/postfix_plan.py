# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what stands and what is wanted to the files that are to stand, and the diff between."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.main_cf import MainCf, line
from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import ENDING
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_generations import TableFile
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import Refused, Wanted


@dataclasses.dataclass(frozen=True)
class Files:
    """main.cf and master.cf as they are to stand.

    `between` is master.cf with old and new services together: it serves main.cf before and after it is switched.
    """

    main: str
    between: MasterCf
    master: MasterCf
    owned: dict[str, dict[str, str | None]]


def files(main: str, master: str, owned: t.Mapping[str, t.Mapping[str, str | None]], wanted: Wanted) -> Files:
    """Put what is wanted into what stands.

    :arg main: the main.cf that stands.
    :arg master: the master.cf that stands.
    :arg owned: what our layers have set there, with what stood in its place before (see Generation).
    :arg wanted: what the layers want now. What they want no longer goes back to what stood there before them.
    :returns: the files.
    :raises Refused: where main.cf or master.cf cannot be parsed.
    """
    mistakes = []
    parsed: dict[str, t.Any] = {}
    for name, text, parse in (("main.cf", main, MainCf.parse), ("master.cf", master, MasterCf.parse)):
        try:
            parsed[name] = parse(text)
        except ValueError as error:
            mistakes.append(Mistake(name, str(error), "a file that Postfix can read", "mend it by hand"))
    if mistakes:
        raise Refused(mistakes)
    main_cf, master_cf = parsed["main.cf"], parsed["master.cf"]
    stood = {
        "parameters": {name: owned["parameters"].get(name, main_cf.text_of(name)) for name in wanted.parameters},
        "services": {key: owned["services"].get(key, master_cf.text_of(key)) for key in wanted.services},
    }
    parameters = {name: line(name, value) for name, value in wanted.parameters.items()}
    services = {key: service.text if service else None for key, service in wanted.services.items()}
    back = {kind: {name: text for name, text in owned[kind].items() if name not in stood[kind]} for kind in stood}
    # A service comes before main.cf is switched, and one that is not wanted goes after it; but for one that listens,
    # which no main.cf needs, and where it does another may be about to.
    services |= back["services"]
    at_once = {key: text for key, text in services.items() if text is not None or key.endswith("/inet")}
    between = master_cf.put(at_once)
    after = between.put(services)
    return Files(str(main_cf.put({**parameters, **back["parameters"]})), between, after, stood)


def table_files(wanted: Wanted) -> tuple[TableFile, ...]:
    """Return the files of all tables and certificates that are wanted; each text carries what may be shown of it."""
    return tuple(TableFile(name, each.mode, each.shown if name == each.file else "")
                 for each in wanted.files for name in each.files)


def diff(directory: str, main: tuple[str, str], master: tuple[str, str], old: t.Iterable[TableFile],
         new: t.Iterable[TableFile]) -> list[dict[str, str]]:
    """Return what changes, in the form that Ansible shows: main.cf, master.cf, then tables and certificates by their
    plain names."""
    pairs = [(os.path.join(directory, "main.cf"), main), (os.path.join(directory, "master.cf"), master)]
    before, after = ({_plain(table.name): table.shown for table in side if _is_text(table)} for side in (old, new))
    for name in sorted({*before, *after}):
        pairs.append((name, (before.get(name, ""), after.get(name, ""))))
    return [{"before_header": name, "after_header": name, "before": texts[0], "after": texts[1]}
            for name, texts in pairs if texts[0] != texts[1]]


def _is_text(table: TableFile) -> bool:
    return not table.name.endswith((".db", ".lmdb"))


def _plain(name: str) -> str:
    """Return what a file is, and its name in the layers, from the name of its text file."""
    kind = "certificate" if name.endswith(ENDING) else "table"
    return f"{kind} {name.removesuffix(ENDING).rpartition('.')[0]}"
