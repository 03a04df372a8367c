# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems made from Debian's packages, kept in .cache/ and imported into podman."""
from __future__ import annotations

import fcntl
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shell import CACHE, LAB, LabError, Progress, attempt, run

# Run in the new root file system: host keys and the machine id belong to a node, not to an image; services other
# than those of a bare server start only where a node's definition says so.
CUSTOMIZE = (
    'rm -f "$1"/etc/ssh/ssh_host_*',
    ': > "$1/etc/machine-id"',
    'for unit in knot unbound apt-cacher-ng postfix opendkim opendmarc exim4 dovecot postgresql; do'
    ' if [ -e "$1/lib/systemd/system/$unit.service" ] || [ -e "$1/etc/init.d/$unit" ]; then'
    ' chroot "$1" systemctl --quiet disable "$unit"; fi; done',
)


@dataclass(frozen=True)
class Image:
    """One image: its name in podman, the Debian release, the lists of lab/packages/ that it holds, and what is run in
    its root file system when it is made."""

    name: str
    suite: str
    lists: tuple[str, ...]
    customize: tuple[str, ...] = CUSTOMIZE

    @property
    def packages(self) -> list[str]:
        """The packages of all lists, without comments."""
        lines = [line for name in self.lists for line in (LAB / "packages" / f"{name}.list").read_text().splitlines()]
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    @property
    def digest(self) -> str:
        """What the cache is keyed by: everything that decides the content, apart from the archive's own state."""
        recipe = "\n".join([self.suite, *self.packages, *self.customize])
        return hashlib.sha256(recipe.encode()).hexdigest()[:16]

    @property
    def tar(self) -> Path:
        """Where the cache has it, or will have it."""
        return CACHE / f"{self.name}-{self.digest}.tar"


# The two bare ones come first: they are what the lab's servers start as.
IMAGES = {
    image.name: image
    for image in (
        Image("mailfleet-debian12", "bookworm", ("server",)),
        Image("mailfleet-debian13", "trixie", ("server",)),
        Image("mailfleet-dns", "bookworm", ("server", "dns")),
        Image("mailfleet-postfix", "bookworm", ("server", "postfix")),
        Image("mailfleet-exim", "bookworm", ("server", "exim")),
        Image("mailfleet-postgresql", "bookworm", ("server", "postgresql")),
    )
}


@dataclass(frozen=True)
class Archive:
    """Where this host takes Debian's packages from; `security` is None where it takes no security updates."""

    main: str
    security: str | None

    def sources(self, suite: str) -> list[str]:
        """The lines of a sources.list for a Debian release."""
        lines = [f"deb {self.main} {suite} main", f"deb {self.main} {suite}-updates main"]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security main")
        return lines


def _mirror(uri: str) -> str:
    """What a URI of apt stands for: Debian's cloud images name a file of mirrors, of which the first is taken."""
    if not uri.startswith("mirror+file:"):
        return uri
    lines = Path(uri.removeprefix("mirror+file:").rstrip("/")).read_text().splitlines()
    return next(line.split()[0] for line in lines if line.startswith("http"))


def host_archive() -> Archive:
    """Read the mirrors from the host's own apt configuration, so that no file of the lab names one."""
    listing = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                   "Created-By: Packages"])
    releases = {"bookworm", "trixie", "oldstable", "stable"}
    main = security = None
    for uri, release, component in (line.split() for line in listing.splitlines()):
        if component != "main":
            continue
        if release in releases:
            main = main or _mirror(uri)
        elif release.endswith("-security"):
            security = security or _mirror(uri)
    if not main:
        raise LabError("apt has no Debian source on this host (component main of bookworm or trixie expected, read by "
                       "'apt-get indextargets'): add one to /etc/apt/sources.list.d and run 'apt-get update'")
    return Archive(main, security)


def build(image: Image, archive: Archive) -> Path:
    """Make the image's tar in the cache unless it is there; returns its path."""
    tar = image.tar
    if tar.exists():
        return tar
    unfinished = tar.with_name(f"unfinished-{os.getpid()}-{tar.name}")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(image.packages)}"]
    command += [f"--customize-hook={hook}" for hook in image.customize]
    try:
        run([*command, image.suite, str(unfinished), "-"], stdin="\n".join(archive.sources(image.suite)) + "\n")
        unfinished.rename(tar)
    finally:
        unfinished.unlink(missing_ok=True)
    for older in CACHE.glob(f"{image.name}-*.tar"):
        if older != tar:
            older.unlink()
    return tar


def imported_digest(image: Image) -> str:
    """The digest of the image that podman has under this name; empty where it has none."""
    reference = f"localhost/{image.name}:latest"
    form = '{{index .Labels "mailfleet.digest"}}'
    known = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()
    return run(["podman", "image", "inspect", "--format", form, reference]).strip() if reference in known else ""


def ensure(image: Image, archive: Archive, progress: Progress) -> None:
    """Have the image in podman, built from the present package list."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{image.name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)   # whoever comes second finds it made
        _ensure(image, archive, progress)


def _ensure(image: Image, archive: Archive, progress: Progress) -> None:
    if imported_digest(image) == image.digest:
        return
    progress.say(f"image {image.name}: {'from the cache' if image.tar.exists() else 'building, about a minute'}")
    older = attempt(["podman", "image", "inspect", "--format", "{{.Id}}", f"localhost/{image.name}"]).stdout.strip()
    tar = build(image, archive)
    run(["podman", "import", "--change", f"LABEL mailfleet.digest={image.digest}", str(tar), f"localhost/{image.name}"])
    if older:
        attempt(["podman", "rmi", older])   # refused, and rightly, while a container of the older one is left
    progress.say(f"image {image.name}: ready")


def ensure_all(names: list[str], progress: Progress) -> None:
    """Have these images, two at a time, in the order given."""
    archive = host_archive()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(ensure, IMAGES[name], archive, progress) for name in names]:
            done.result()
