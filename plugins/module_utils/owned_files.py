# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that have an owner and a mode from their first moment on, and appear whole."""
from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """The numbers of a user and a group; -1 leaves the one that is."""

    uid: int = -1
    gid: int = -1


KEEP = Owner()


def hold(path: Path, mode: int, owner: Owner, *, dry: bool = False) -> list[str]:
    """Give a file or folder its mode and owner; return what was changed (with C(dry): would be), a line each.

    Raises: OSError, also where the path is a symbolic link.
    """
    changes = []
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if (owner.uid not in (-1, found.st_uid)) or (owner.gid not in (-1, found.st_gid)):
            changes.append(f"{path}: owner {found.st_uid}:{found.st_gid} becomes {owner.uid}:{owner.gid}")
            if not dry:
                os.fchown(descriptor, owner.uid, owner.gid)
        if stat.S_IMODE(found.st_mode) != mode:
            changes.append(f"{path}: mode {stat.S_IMODE(found.st_mode):04o} becomes {mode:04o}")
        if not dry:
            os.fchmod(descriptor, mode)  # after the owner: a change of owner may take bits of the mode away
    finally:
        os.close(descriptor)
    return changes


def hold_folder(path: Path, mode: int, owner: Owner, *, dry: bool = False) -> list[str]:
    """Make a folder, or give one that is there its mode and owner; return the changes, a line each.

    Folders above it that are missing are made, too, and are their owner's alone: it is secrets that are kept below.
    """
    if path.is_dir():
        return hold(path, mode, owner, dry=dry)
    if not dry:
        for missing in [folder for folder in (path, *path.parents) if not folder.exists()][::-1]:
            missing.mkdir(mode=0o700)
        hold(path, mode, owner)
    return [f"{path}: made"]


def write(path: Path, content: bytes, mode: int, owner: Owner, *, replace: bool = True) -> None:
    """Write a file that appears whole under its name, with its owner and mode.

    Arguments: C(replace) False: FileExistsError where there is such a file already.
    """
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), owner.uid, owner.gid)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
