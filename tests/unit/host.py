# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of this host, without Ansible."""
from __future__ import annotations

import os
import subprocess

from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs


def run_command(command, *, data, binary_data, encoding, environ_update, expand_user_and_vars):
    """What AnsibleModule.run_command does with these arguments."""
    assert binary_data and encoding is None and not expand_user_and_vars
    done = subprocess.run(command, input=data or b"", capture_output=True,
                          env={**os.environ, **environ_update}, check=False)
    return done.returncode, done.stdout, done.stderr


PROGRAMS = Programs(run_command)
