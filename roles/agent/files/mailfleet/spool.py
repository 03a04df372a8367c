# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Maildir that messages come to, from Postfix and from mailboxes elsewhere, and how files are put on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
import typing as t

MOST_AT_ONCE = 10000  # names that are looked at together, so that a long backlog takes no memory
FETCHED = ".mailfleet"  # ends the names of what came from mailboxes elsewhere
ABANDONED = 36 * 3600  # seconds after which a file that was never finished is nobody's any more


def sync_folder(path: str) -> None:
    """Put on the disk what a folder has: names that were made or changed in it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_fetched(name: str) -> bool:
    """Whether a message came from a mailbox elsewhere."""
    return name.endswith(FETCHED)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put a file on the disk under a name that nothing had, or in the place of what had it: whole or not at all."""
    staged = f"{path}.next"
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(staged, path)
    sync_folder(os.path.dirname(path))


class Spool:
    """A Maildir: messages are in ``new``, written ones first in ``tmp``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.new, self.tmp = os.path.join(folder, "new"), os.path.join(folder, "tmp")
        for path in (self.new, self.tmp, os.path.join(folder, "cur")):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def names(self, but: t.Collection[str] = ()) -> list[str]:
        """Messages that are there, but for some; the oldest first, as far as their names tell."""
        with os.scandir(self.new) as found:
            wanted = (each.name for each in found if each.name not in but and not each.name.startswith("."))
            return sorted(itertools.islice(wanted, MOST_AT_ONCE))

    def path(self, name: str) -> str:
        """Where a message is."""
        return os.path.join(self.new, name)

    def read(self, name: str, most: int) -> tuple[bytes, int] | None:
        """The first octets of a message, all of it where it is no longer, and when it came; None where it is gone."""
        try:
            with open(self.path(name), "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                return file.read(min(most, status.st_size)) or b"", int(status.st_mtime)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove a message: only what it says is committed elsewhere."""
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            pass

    def deliver(self, raw: bytes) -> str:
        """Put a message on the disk; its name. When this returns, a power cut no longer takes it.

        The name is that of its content: what is fetched twice is there once.
        """
        name = f"{int(time.time())}.D{hashlib.sha256(raw).hexdigest()[:32]}{FETCHED}"
        staged = os.path.join(self.tmp, name)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.rename(staged, self.path(name))
        except OSError:  # what is left of it would take the room that it lacked
            with contextlib.suppress(OSError):
                os.unlink(staged)
            raise
        sync_folder(self.new)
        return name

    def free(self) -> int:
        """Octets that are free on its file system, for whoever is not root."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def tidy(self, now: float) -> None:
        """Remove what was begun long ago and never finished."""
        with os.scandir(self.tmp) as found:
            for each in found:
                # What somebody finishes at this moment is gone from here.
                with contextlib.suppress(OSError):
                    if now - each.stat(follow_symlinks=False).st_mtime > ABANDONED:
                        os.unlink(each.path)
