# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generations of a configuration kept on the node, which one stands, and a journal of what is under way."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_stage import write

KEPT = 5
# The steps of an installation. The journal names the one that was begun; up to `prove` an interrupted run goes back
# to what stood before, from `commit` on it is carried to its end.
STEPS = ("tables", "services", "switch", "reload", "restart", "prove", "commit", "clean")


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A file under a name of its content, of a table or of a certificate with its key: this name, its mode, and what of
    it may be shown (built files show nothing)."""

    name: str
    mode: int
    shown: str = ""


def nothing_owned() -> dict[str, dict[str, str | None]]:
    """Return what layers own where there are none."""
    return {"parameters": {}, "services": {}}


@dataclasses.dataclass(frozen=True)
class Generation:
    """A whole configuration as it stood on the node.

    `layers` are as they were passed; `owned` has, by parameters and services, each name that the layers set, with the
    text that stood there before them (None where nothing did).
    """

    main: str
    master: str
    layers: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    owned: dict[str, dict[str, str | None]] = dataclasses.field(default_factory=nothing_owned)
    tables: tuple[TableFile, ...] = ()
    number: int = 0


@dataclasses.dataclass(frozen=True)
class Store:
    """The folder of generations, for root only."""

    root: str

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Keep other runs away.

        :raises BlockingIOError: where one is at work.
        """
        for folder in (self.root, self._path("generations")):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(self._path("lock"), "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def current(self) -> Generation | None:
        """Return the last good generation, None before the first."""
        try:
            return self.load(int(os.path.basename(os.readlink(self._path("current")))))
        except FileNotFoundError:
            return None

    def load(self, number: int) -> Generation:
        """Return a generation.

        :raises FileNotFoundError: where it is not there.
        """
        folder = self.folder(number)
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        with open(os.path.join(folder, "main.cf"), encoding="utf-8", errors="surrogateescape", newline="") as file:
            main = file.read()
        with open(os.path.join(folder, "master.cf"), encoding="utf-8", errors="surrogateescape", newline="") as file:
            master = file.read()
        manifest["tables"] = tuple(TableFile(**table) for table in manifest["tables"])
        return Generation(main=main, master=master, number=number, **manifest)

    def save(self, generation: Generation, tables: str) -> Generation:
        """Write a generation under the next number.

        :arg generation: the generation.
        :arg tables: the folder that its table files are taken from.
        :returns: the same with its number.
        """
        number = max([0, *self.numbers()]) + 1
        unfinished = self._path("generations/unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        os.makedirs(os.path.join(unfinished, "tables"), mode=0o700)
        for table in generation.tables:
            with open(os.path.join(tables, table.name), "rb") as file:
                write(os.path.join(unfinished, "tables", table.name), file.read())
        write(os.path.join(unfinished, "main.cf"), generation.main)
        write(os.path.join(unfinished, "master.cf"), generation.master)
        manifest = {name: getattr(generation, name) for name in ("layers", "owned")}
        manifest["tables"] = [dataclasses.asdict(table) for table in generation.tables]
        write(os.path.join(unfinished, "manifest.json"), json.dumps(manifest, indent=1) + "\n")
        os.rename(unfinished, self.folder(number))
        sync(self._path("generations"))
        return dataclasses.replace(generation, number=number)

    def point(self, number: int) -> None:
        """Make a generation the last good one, and drop all but the newest."""
        beside = self._path("current.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        os.symlink(f"generations/{number}", beside)
        os.rename(beside, self._path("current"))
        sync(self.root)
        for old in sorted(self.numbers())[:-KEPT]:
            if old != number:
                self.drop(old)

    def drop(self, number: int) -> None:
        """Remove a generation."""
        shutil.rmtree(self.folder(number), ignore_errors=True)

    def numbers(self) -> list[int]:
        """Return the numbers of all generations."""
        with contextlib.suppress(FileNotFoundError):
            return [int(name) for name in os.listdir(self._path("generations")) if name.isdigit()]
        return []

    def folder(self, number: int) -> str:
        """Return the folder of a generation."""
        return self._path(f"generations/{number}")

    def note(self, step: str, **facts: t.Any) -> None:
        """Write down, before it is begun, which step is next.

        :arg step: one of STEPS.
        :arg facts: what recovery must know: `target` and `back` (numbers of generations), `wrote` (digests of the texts
            that were or will be written to main.cf and master.cf), `was_running`.
        """
        write(self._path("journal.new"), json.dumps({"step": step, **facts}))
        os.rename(self._path("journal.new"), self._path("journal.json"))
        sync(self.root)

    def journal(self) -> dict[str, t.Any] | None:
        """Return what an interrupted run was at, None where none was."""
        try:
            with open(self._path("journal.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Forget the journal: what it told of is done, or undone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path("journal.json"))
        sync(self.root)

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)


def sync(folder: str) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
