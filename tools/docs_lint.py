# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lint the documentation of the collection's plugins and roles as it would be rendered."""

from __future__ import annotations

import os
import subprocess
import sys

from paths import CACHE, copy_collection


def main() -> None:
    command = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", "."]
    copy = copy_collection("docs")
    home = CACHE / "docs" / "home"  # it writes a log there
    home.mkdir(exist_ok=True)
    sys.exit(subprocess.run(command, cwd=copy, env={**os.environ, "HOME": str(home)}, check=False).returncode)


if __name__ == "__main__":
    main()
