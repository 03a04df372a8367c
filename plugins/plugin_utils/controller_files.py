# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller as the inventory names them; vaulted ones are decrypted in memory."""

from __future__ import annotations

import functools
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import is_encrypted


class ControllerFiles:
    """What C(inventory_files.Files) describes. Each file is read once, however many servers name it."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._text = functools.cache(self._read)

    def __call__(self, path: str, vaulted: bool) -> str:
        """Return what a file holds; a relative path is beside the playbook. Raises OSError or ValueError."""
        return self._text(self._loader.path_dwim(path), vaulted)

    def _read(self, path: str, vaulted: bool) -> str:
        data = Path(path).read_bytes()
        if not (vaulted and is_encrypted(data)):
            return data.decode(errors="replace")
        try:
            return self._loader.get_text_file_contents(path)
        except AnsibleError as error:
            raise ValueError(str(error)) from None
