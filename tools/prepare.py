# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepare a bare Debian host for work in this clone: packages, the virtual environment, the collections path.

Runs before everything else, so it needs nothing but Debian's python3 and changes nothing that is already right.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
LINK = ROOT / ".collections" / "ansible_collections" / "mailfleet" / "sending"

BASE_PACKAGES = ["ca-certificates", "git", "openssh-client", "openssl"]
CONTAINER_PACKAGES = ["podman", "netavark", "aardvark-dns", "iptables", "runc", "mmdebstrap", "iproute2"]
# 113 MB to fetch and 414 MB on the disk; ten seconds where the archive is near.
BROWSER_PACKAGES = ["chromium"]
# Installed, they would start services; 23 MB to fetch and 115 MB on the disk.
UNPACKED_PACKAGES = ["prometheus", "prometheus-node-exporter"]
UNPACKED = ROOT / ".cache" / "debian"


def missing_packages(names: list[str]) -> list[str]:
    """Return those of the Debian packages `names` that are not installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    # dpkg-query exits with 1 where it has never heard of one of the names: that is one of the answers.
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install_packages(names: list[str]) -> None:
    """Install those of the Debian packages `names` that are missing, as root or through sudo."""
    missing = missing_packages(names)
    if not missing:
        return
    print(f"installing Debian packages: {' '.join(missing)}", flush=True)
    run_apt("update")
    run_apt("--no-install-recommends", "install", *missing)


def run_apt(*arguments: str) -> None:
    """Run apt-get, as root or through sudo."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"]
    run([*apt, *arguments])


def unpack_packages(names: list[str]) -> None:
    """Unpack those of the Debian packages `names` that UNPACKED has not, each into a folder of its name there.

    Their programs need nothing besides, and nothing of theirs is run.
    """
    missing = [name for name in names if not (UNPACKED / name).is_dir()]
    if not missing:
        return
    print(f"unpacking Debian packages into {os.path.relpath(UNPACKED, ROOT)}: {' '.join(missing)}", flush=True)
    UNPACKED.mkdir(parents=True, exist_ok=True)
    run_apt("update")
    for name in missing:
        # Whole or not at all, since a folder of the name says that it is there.
        with tempfile.TemporaryDirectory(dir=UNPACKED, prefix=".") as folder:
            # apt's own user may not write here.
            run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], cwd=folder)
            (package,) = Path(folder).glob("*.deb")
            run(["dpkg-deb", "--extract", str(package), f"{folder}/unpacked"])
            Path(folder, "unpacked").rename(UNPACKED / name)


def prepare_venv(venv: Path, requirements: str) -> None:
    """Make `venv` with a file of pinned requirements, unless the digest of all that decides it says that it stands."""
    digest = hashlib.sha256(f"{sys.version} {requirements}".encode())
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    stamp = venv / "requirements.sha256"
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return
    started = time.monotonic()
    print(f"installing the pinned tools into {os.path.relpath(venv, ROOT)} (a minute or two, once)", flush=True)
    stamp.unlink(missing_ok=True)
    python = venv / "bin" / "python"
    same_python = python.exists() and python_version(python) == sys.version
    run([sys.executable, "-m", "venv", *([] if same_python else ["--clear"]), str(venv)])
    # What it downloads is kept in the clone, so that `make clean` removes it, or where the user says.
    os.environ.setdefault("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))
    run([str(python), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check",
         "-r", str(REQUIREMENTS / requirements)])
    stamp.write_text(digest.hexdigest())
    print(f"installed in {time.monotonic() - started:.0f} s", flush=True)


def python_version(python: Path) -> str:
    """Return what `sys.version` is in the interpreter `python`, or nothing where that does not run."""
    asked = subprocess.run([str(python), "-c", "import sys; print(sys.version, end='')"],
                           capture_output=True, text=True, check=False)
    return asked.stdout


def link_collection() -> None:
    """Let the clone be found as mailfleet.sending, whatever the name of its folder."""
    LINK.parent.mkdir(parents=True, exist_ok=True)
    if not LINK.is_symlink():
        LINK.symlink_to(os.path.relpath(ROOT, LINK.parent), target_is_directory=True)


def run(command: list[str], cwd: str | None = None) -> None:
    """Run a command that nobody can answer; where it fails, say which and stop."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"prepare: exit status {done.returncode} from: {' '.join(command)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Prepare this host for work in the clone.")
    parser.add_argument("--containers", action="store_true", help="also install what the lab needs")
    parser.add_argument("--browser", action="store_true", help="also install the browser in which pages are tested")
    parser.add_argument("--monitoring", action="store_true", help="also have Prometheus' programs, which read metrics")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the virtual environment (default: .venv)")
    parser.add_argument("--requirements", default="develop.txt", help="a file of requirements/ (default: develop.txt)")
    arguments = parser.parse_args()
    packages = BASE_PACKAGES + (CONTAINER_PACKAGES if arguments.containers else [])
    packages += BROWSER_PACKAGES if arguments.browser else []
    # Debian cuts ensurepip out of its python3; an interpreter from elsewhere brings it.
    if importlib.util.find_spec("ensurepip") is None:
        packages = [*packages, "python3-venv"]
    install_packages(packages)
    unpack_packages(UNPACKED_PACKAGES if arguments.monitoring else [])
    prepare_venv(arguments.venv, arguments.requirements)
    link_collection()


if __name__ == "__main__":
    main()
