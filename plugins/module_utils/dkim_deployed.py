# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys that a module is told to verify. Where one is deployed, its public half is that of its private half, which
goes through a pipe and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

# What a module takes for one key.
KEY = {
    "domain": {"type": "str", "required": True},
    "selector": {"type": "str", "default": ""},
    "public": {"type": "str", "default": ""},
    "private_key_path": {"type": "path", "no_log": False},
    "identity": {"type": "str", "default": ""},
}
_LARGEST = 64 * 1024  # bytes; an RSA key of 16384 bits has 13 kB in PEM


def public_half(run: Programs, path: str) -> str:
    """Return the public half of the private key in a file on this machine, as p= of the record has it.

    Arguments: C(run) runs the program C(openssl), which reads the key; C(path) of a key in PEM, PKCS#1 or PKCS#8, RSA
    or Ed25519.
    Raises: ValueError that names the file and what is wrong with it, and no part of the key.
    """
    try:
        with Path(path).open("rb") as file:
            pem = file.read(_LARGEST)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: the key cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if pem.startswith(dkim_keys.VAULT_HEADER):
        raise ValueError(f"{path}: it is encrypted with ansible-vault; give its public half in public instead, which "
                         f"dkim_key keeps beside it in {Path(path).with_suffix('.json').name}")
    try:
        return dkim_keys.read_private(run, pem).public
    except KeyFault as fault:
        raise ValueError(f"{path}: {fault}") from fault


def read_keys(items: Iterable[Mapping[str, str]], run: Programs) -> list[Key]:
    """Return the keys of a module's option (KEY). C(run) runs the program that reads a private half.

    Raises: ValueError with all that can be no key, and all private halves that cannot be read.
    """
    def read(item: Mapping[str, str]) -> Key:
        public, path = item["public"], item["private_key_path"]
        if public and path:
            raise ValueError(f"{path}: public and private_key_path are both given for {item['domain']}; expected one")
        return Key(item["domain"], item["selector"], public_half(run, path) if path else public, item["identity"])

    return collect(read, items, "keys")
