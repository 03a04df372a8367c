# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove all that was made here: the lab, containers and images under our names, caches, the virtual environment.

Debian's packages stay, since others may use them by now; so does the inventory of the lab, which is a source.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

import network

ROOT = Path(__file__).resolve().parent.parent
MADE = (".ansible", ".cache", ".collections", ".hypothesis", ".pytest_cache", ".ruff_cache", ".venv", "tests/output")
CONTAINERS = ("mailfleet-newest-", "mailfleet-test-")
IMAGES = "localhost/mailfleet-"


def podman(*arguments: str) -> list[str]:
    """Return the lines that podman wrote; where it failed, say so and stop."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"clean: podman {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def remove_containers() -> None:
    """Remove the lab by its own program, then what an interrupted test left, then all images of ours."""
    subprocess.run([sys.executable, str(ROOT / "lab" / "lab.py"), "clean"], stdin=subprocess.DEVNULL, check=True)
    for name in podman("ps", "--all", "--format", "{{.Names}}"):
        if name.startswith(CONTAINERS):
            podman("rm", "--force", "--time=0", "--volumes", name)
    for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}"):
        if name.startswith(IMAGES):
            podman("rmi", "--force", name)
    network.remove_rules()


def remove_files() -> None:
    """Remove what git ignores and a run makes anew. Links are removed, never followed."""
    for path in [ROOT / name for name in MADE]:
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    for path in [path for path in ROOT.rglob("__pycache__") if path.is_dir()]:
        shutil.rmtree(path)


def main() -> None:
    if shutil.which("podman"):
        remove_containers()
    remove_files()
    print("clean: no container, image, network or file of ours is left")


if __name__ == "__main__":
    main()
