# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the tools work, and how they see the collection as git does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.prefix) / "bin"
"""The programs of the virtual environment that runs us."""
CACHE = Path(os.environ.get("MAILFLEET_CACHE", ROOT / ".cache"))
"""What runs leave for later runs; a container with another Python has one of its own."""


def copy_collection(name: str) -> Path:
    """Copy what git tracks, or would, to CACHE/NAME/ansible_collections/mailfleet/sending, and return that folder.

    ansible-test and antsibull-docs want a real path of that ending, and would follow .collections round and round.
    """
    target = CACHE / name / "ansible_collections" / "mailfleet" / "sending"
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for relative in filter(None, listed.split("\0")):
        source, destination = ROOT / relative, target / relative
        if source.is_file():  # a file that is deleted but not yet committed is still listed
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination, follow_symlinks=False)
    return target
