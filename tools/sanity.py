# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test sanity on a copy of the collection, with nothing ignored and the user's home left alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from paths import BIN, CACHE, copy_collection

HOME = CACHE / "sanity" / "home"

# ansible-test downloads get-pip.py, which fails where only a package index can be reached. It accepts a file that is
# already there: this one takes pip out of Python itself. It does so in another process, since pip has replaced the
# arguments and the loggers of the one that runs it.
GET_PIP = '''\
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "-q", *wanted], check=True)
'''


def place_get_pip() -> None:
    """Put our get-pip.py where this version of ansible-test looks for the one that it downloaded before."""
    import ansible_test

    source = Path(next(iter(ansible_test.__path__))) / "_internal" / "python_requirements.py"
    versions = set(re.findall(r"""\bpip=['"]([0-9.]+)['"]""", source.read_text()))
    if not versions:
        sys.exit(f"sanity: {source} no longer names the version of pip; see place_get_pip in {__file__}")
    folder = HOME / ".ansible" / "test" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (folder / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP)


def main() -> None:
    place_get_pip()
    copy = copy_collection("sanity")
    # Otherwise ansible-test asks the clone's git, which ignores the cache and all files of the copy with it.
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    ignored = sorted(path.name for path in (copy / "tests" / "sanity").glob("ignore*"))
    if ignored:
        sys.exit(f"sanity: nothing is ignored in this collection, so there must be no tests/sanity/{ignored[0]}")
    # The copy is the collection here; a path to the clone's own would make every file be found twice.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    # ansible-test runs every pythonX.Y that it finds, and a version manager's shims are there without their Pythons.
    environ |= {"HOME": str(HOME), "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    command = ["ansible-test", "sanity", "--local", "--junit", "--color", "no", *sys.argv[1:]]
    status = subprocess.run(command, cwd=copy, env=environ, stdin=subprocess.DEVNULL, check=False).returncode
    reports = copy / "tests" / "output" / "junit"
    if "MAILFLEET_REPORTS" in os.environ and reports.is_dir():
        shutil.copytree(reports, os.environ["MAILFLEET_REPORTS"], dirs_exist_ok=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
