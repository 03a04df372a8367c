# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a fleet: a folder of the inventory that holds no secrets, and is worth keeping in version control."""

from __future__ import annotations

import json
import os
import tempfile
import typing as t
from pathlib import Path


class StateError(ValueError):
    """A file of the state cannot be read; the message names it and the mend."""


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
            ) from error
        if not isinstance(content, type(default)):
            raise StateError(
                f"{path}: found {type(content).__name__}, expected {type(default).__name__}; restore the file"
            )
        return content

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
