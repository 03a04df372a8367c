# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the controller for what runs in Ansible's own process, where there is no module to run them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

NOT_FOUND = 127


def run_command(command: Sequence[str], data: bytes | None = None, environ_update: Mapping[str, str] | None = None,
                **_others: object) -> tuple[int, bytes, bytes]:
    """Return status, output and errors of a program; what C(programs.Programs) wants of AnsibleModule's method."""
    try:
        done = subprocess.run(list(command), input=data or b"", capture_output=True, check=False,
                              env={**os.environ, **(environ_update or {})})
    except FileNotFoundError as error:
        return NOT_FOUND, b"", str(error).encode()
    return done.returncode, done.stdout, done.stderr
