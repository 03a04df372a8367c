# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secret of the fleet's own login, in the secrets folder on the controller."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.mailfleet.sending.plugins.module_utils import dovecot_auth, owned_files
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN


def secret_path(loader: DataLoader, directory: str) -> str:
    """Return the file of the secret in the secrets folder; a relative folder is beside the playbook."""
    return os.path.join(loader.path_dwim(directory), "logins", PROBE_LOGIN)


def read(loader: DataLoader, directory: str) -> tuple[str, bytes] | None:
    """Return the password and the salt, None where there is no such file; a vaulted file is decrypted in memory.

    Raises AnsibleActionFail where the file cannot be read or holds something else.
    """
    path = secret_path(loader, directory)
    if not os.path.lexists(path):
        return None
    try:
        return dovecot_auth.read_secret(loader.get_text_file_contents(path))
    except (AnsibleError, ValueError) as error:
        raise AnsibleActionFail(
            f"{path} is no secret of a login: {error}; mend or remove it, a new one is made then"
        ) from error


def imagine() -> tuple[str, bytes]:
    """Return a new random password (192 bits) and a salt, which are written nowhere."""
    return secrets.token_urlsafe(24), secrets.token_bytes(16)


def read_or_make(loader: DataLoader, directory: str) -> tuple[str, bytes]:
    """Return the password and the salt, after making them where there are none.

    Several servers ask at once, each in a process of its own: the file appears whole or not at all, and the first wins.
    """
    path = secret_path(loader, directory)
    if not os.path.lexists(path):
        folder = os.path.dirname(path)
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        text = dovecot_auth.write_secret(*imagine())
        with contextlib.suppress(FileExistsError):
            owned_files.write(Path(path), text.encode("ascii"), 0o600, owned_files.KEEP, replace=False)
    found = read(loader, directory)
    if found is None:
        raise AnsibleActionFail(f"{path} leads nowhere; remove the link, a new secret is made then")
    return found
