# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a fleet: a folder of the inventory that holds no secrets, and is worth keeping in version control."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import show
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record


class StateError(ValueError):
    """A file of the state cannot be read; the message names it and the mend."""


def today() -> datetime.date:
    """The date in UTC, as that of a key's file is: a fleet has one, whatever time zones its controllers are in."""
    return datetime.datetime.now(datetime.UTC).date()


class State:
    """The folder. Files are written atomically; ``dry`` writes nothing and still says what would change."""

    def __init__(self, directory: str | Path, dry: bool = False) -> None:
        self.directory = Path(directory)
        self.dry = dry
        self.changed: list[str] = []

    def read(self, name: str, default: t.Any) -> t.Any:
        """The content of a JSON file.

        :arg name: the file's name in the folder.
        :arg default: what is returned where there is no such file; the content must be of its type.
        :raises StateError: where the file is there and cannot be used: an unreadable state is not an empty one.
        """
        path = self.directory / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return default
        except (OSError, ValueError) as error:
            raise StateError(
                f"{path}: cannot be read ({error}); restore it from version control, or remove it to start anew"
            ) from None
        if not isinstance(content, type(default)):
            raise StateError(
                f"{path}: found {type(content).__name__}, expected {type(default).__name__}; restore the file"
            )
        return content

    def keys(self) -> dict[str, dict[str, dict[str, t.Any]]]:
        """The keys of ``keys.json``: domain, selector -> {public, created, scope, server, seen}.

        :raises StateError: where the file holds anything else: what was edited by hand may have been edited wrongly.
        """
        content = self.read("keys.json", {})
        for domain, selectors in content.items():
            for selector, entry in (selectors if isinstance(selectors, dict) else {"": selectors}).items():
                if not _is_key(entry):
                    raise StateError(
                        f"{self.directory / 'keys.json'}: {domain}: {selector}: found {show(entry)}, expected public, "
                        "scope and server of a key, created and seen as dates; restore the file from version control"
                    )
        return content

    def published(self) -> list[Record]:
        """The records of ``published.json``.

        :raises StateError: where the file holds anything else.
        """
        try:
            return [Record.from_dict(entry) for entry in self.read("published.json", [])]
        except StateError:
            raise
        except (TypeError, ValueError) as error:
            raise StateError(
                f"{self.directory / 'published.json'}: {error}; restore the file from version control"
            ) from None

    def write_json(self, name: str, content: t.Any) -> None:
        """Write a JSON file if its content differs."""
        self.write_text(name, json.dumps(content, indent=2, sort_keys=True) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file if its content differs: to the disk first, under its name then."""
        path = self.directory / name
        try:
            if path.read_text(encoding="utf-8") == text:
                return
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        self.changed.append(name)
        if self.dry:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _is_key(entry: t.Any) -> bool:
    if not isinstance(entry, dict) or not {"public", "created", "scope", "server", "seen"} <= set(entry):
        return False
    try:
        for name in ("created", "seen"):
            if name == "created" or entry[name] is not None:
                datetime.date.fromisoformat(entry[name])
    except (TypeError, ValueError):
        return False
    home = {"fleet": entry["server"] is None, "server": isinstance(entry["server"], str)}
    return isinstance(entry["public"], str) and entry["public"] != "" and home.get(str(entry["scope"]), False)
