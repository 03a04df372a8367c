# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public half of a DKIM key that is deployed, from its private half, which goes through a pipe and nowhere else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_keys, programs
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault

_LARGEST = 64 * 1024  # bytes; an RSA key of 16384 bits has 13 kB in PEM
_SECONDS = 20


def public_half(path: str) -> str:
    """Return the public half of the private key in a file on this machine, as p= of the record has it.

    Arguments: C(path) of a key in PEM, PKCS#1 or PKCS#8, RSA or Ed25519. The program C(openssl) reads it.
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
        return dkim_keys.read_private(_run, pem).public
    except KeyFault as fault:
        raise ValueError(f"{path}: {fault}") from fault


def _run(command: Sequence[str], stdin: bytes | None = None) -> programs.Answer:
    """Return how a program ended; as programs.Programs, without a module's run_command."""
    try:
        done = subprocess.run(list(command), input=stdin or b"", capture_output=True, timeout=_SECONDS, check=False,
                              env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        return programs.Answer(programs.NOT_FOUND, b"", b"")
    except subprocess.TimeoutExpired:
        return programs.Answer(programs.TIMED_OUT, b"", b"")
    return programs.Answer(done.returncode, done.stdout, done.stderr)
