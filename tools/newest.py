# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run something with the newest ansible-core, whose Python is younger than Debian 12's, in a container of Debian 13.

`newest.py` runs the parts of `make test` that say whether the collection works with it; `newest.py COMMAND ...` runs
that command, for example `newest.py ansible-playbook playbooks/site.yml -i lab/inventory`. The clone is at its own path
in the container, and the network is the host's, so that indexes and the lab are reached as from the host.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from paths import CACHE, ROOT

sys.path.insert(0, str(ROOT / "lab"))
import images
from shell import LabError, Progress

IMAGE = images.Image("mailfleet-newest", "trixie", ("newest",))
INSIDE = CACHE / "newest"
PARTS = ("unit", "ansible", "sanity")
PASSED = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ANSIBLE_", "MAILFLEET_")
LIMITS = (("nofile", resource.RLIMIT_NOFILE, 20000), ("nproc", resource.RLIMIT_NPROC, 30000))
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def allowed(which: int, wanted: int) -> int:
    """Return the limit that we want, or the host's own where that is lower."""
    hard = resource.getrlimit(which)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def container(name: str) -> list[str]:
    """Return the command line up to the image's name for a container that is gone when its command ends."""
    # podman's own limits fail where root may not raise its own.
    limits = [f"--ulimit={kind}={allowed(which, wanted)}:{allowed(which, wanted)}" for kind, which, wanted in LIMITS]
    environ = {
        "LANG": "C.UTF-8",
        "PATH": f"{INSIDE}/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "MAILFLEET_CACHE": str(INSIDE),
        # The clone may belong to another user than the container's root.
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    }
    # How this host reaches package indexes, and what our own tools told each other.
    passed = [name for name in os.environ if name.upper().startswith(PASSED)]
    settings = [f"--env={key}" for key in passed] + [f"--env={key}={value}" for key, value in environ.items()]
    trust = [f"--volume={AUTHORITIES}:{AUTHORITIES}:ro"] if AUTHORITIES.exists() else []
    return ["podman", "--runtime=runc", "run", "--rm", f"--name={name}", "--network=host", *limits, *settings, *trust,
            f"--volume={ROOT}:{ROOT}", f"--workdir={ROOT}", f"localhost/{IMAGE.name}"]


def run(command: list[str]) -> int:
    """Run a command in a container of its own, and leave no container behind however it ends."""
    name = f"mailfleet-newest-{os.getpid()}"
    try:
        return subprocess.run([*container(name), *command], stdin=subprocess.DEVNULL, check=False).returncode
    finally:
        subprocess.run(["podman", "rm", "--force", "--time=0", "--ignore", name],
                       stdout=subprocess.DEVNULL, check=False)


def main() -> None:
    # Asked to end, we end by way of `finally`.
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit(143))
    try:
        images.ensure(IMAGE, images.host_archive(), Progress())
    except LabError as error:
        sys.exit(f"newest: {error}")
    python = str(INSIDE / "venv" / "bin" / "python")
    status = run(["python3", "tools/prepare.py", "--venv", str(INSIDE / "venv"), "--requirements", "newest.txt"])
    long = ["--long"] if os.environ.get("MAILFLEET_LONG") else []
    sys.exit(status or run(sys.argv[1:] or [python, "tools/run_parts.py", *long, *PARTS]))


if __name__ == "__main__":
    main()
