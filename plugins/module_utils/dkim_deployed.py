# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public half of a DKIM key that is deployed, from its private half, which goes through a pipe and nowhere else."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

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
