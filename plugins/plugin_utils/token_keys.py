# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that sign return paths, in the secrets folder on the controller: the same for all servers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.mailfleet.sending.plugins.module_utils import owned_files
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_keys import wrong

NAME = "token_keys.json"
FORM = '{"current": "a", "keys": {"a": "..."}}'


def imagine() -> dict[str, t.Any]:
    """Return new keys (256 bits), which are written nowhere."""
    return {"current": "a", "keys": {"a": secrets.token_urlsafe(32)}}


def read(loader: DataLoader, directory: str) -> dict[str, t.Any] | None:
    """Return the id of the current key, all keys by their ids, and the ids of those that were given up (dropped).

    None where there is no such file; a vaulted file is decrypted in memory.
    Raises AnsibleActionFail where the file cannot be read, or holds no keys.
    """
    path = os.path.join(loader.path_dwim(directory), NAME)
    if not os.path.lexists(path):
        return None
    try:
        found = json.loads(loader.get_text_file_contents(path))
        said = wrong(found)
        if not said:
            return {"dropped": [], **found}
    except AnsibleError as error:
        said = str(error)
    except ValueError:
        said = "it is no JSON"
    raise AnsibleActionFail(
        f"{path} has no keys of return paths: {said}, expected {FORM}; put back the one that the servers have: with new"
        " keys no bounce of mail that is under way is believed"
    )


def read_or_make(loader: DataLoader, directory: str) -> dict[str, t.Any]:
    """Return the same, after making a key where there is no such file.

    Several servers ask at once, each in a process of its own: the file appears whole or not at all, and the first wins.
    """
    folder = loader.path_dwim(directory)
    path = os.path.join(folder, NAME)
    if not os.path.lexists(path):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            # Servers have the key for good from this run on: it is on the disk, and not gone after a power cut.
            owned_files.write(Path(path), json.dumps(imagine()).encode("ascii"), 0o600, owned_files.KEEP, replace=False)
    found = read(loader, directory)
    if found is None:
        raise AnsibleActionFail(f"{path} leads nowhere; remove the link, a new key is made then")
    return found
