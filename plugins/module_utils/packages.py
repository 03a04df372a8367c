# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages: which are there, and what installing the rest would bring.

The programs dpkg-query and apt-get are all that this needs, so that check mode tells the truth on a server that has
neither python3-apt nor package lists yet.
"""

from __future__ import annotations

import re
import time
import typing as t
from collections.abc import Callable, Iterable
from pathlib import Path

# (arguments) -> (exit status, standard output, standard error)
Run = Callable[[list[str]], tuple[int, str, str]]

LISTS = Path("/var/lib/apt/lists")
FRESH = 24 * 3600  # seconds; Debian's own timer reads the lists once a day
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
INSTALLING = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+)", re.MULTILINE)
# A server that updates itself at this moment is waited for.
APT = ["apt-get", "--quiet", "--assume-yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]


class PackageFault(ValueError):
    """Packages cannot be installed; the message says what was asked and what apt answered."""


def missing(names: Iterable[str], run: Run) -> list[str]:
    """The packages that are not installed.

    :arg names: names of packages.
    :arg run: runs a program.
    :raises PackageFault: where a name is none.
    """
    wanted = list(dict.fromkeys(names))
    if wrong := [name for name in wanted if not NAME.match(name)]:
        raise PackageFault(f"found {', '.join(map(repr, wrong))}, expected names of Debian packages")
    if not wanted:
        return []
    _status, out, _error = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *wanted])
    installed = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def simulate(names: list[str], run: Run) -> dict[str, str] | None:
    """What an installation would bring: versions by package; None where the package lists do not know."""
    status, out, _error = run([*APT, "--simulate", "install", *names])
    return dict(INSTALLING.findall(out)) if status == 0 else None


def lists_are_fresh(folder: Path = LISTS, now: t.Callable[[], float] = time.time) -> bool:
    """Whether the package lists were read within a day; an empty folder is never fresh, however new it is."""
    times = [path.stat().st_mtime for path in folder.glob("*_Packages*")] if folder.is_dir() else []
    return bool(times) and now() - folder.stat().st_mtime < FRESH


def install(names: list[str], run: Run, fresh: Callable[[], bool] = lists_are_fresh) -> dict[str, str]:
    """Install packages, reading the lists first where they are old or do not know one.

    :arg names: packages that are not installed.
    :arg run: runs a program.
    :returns: the versions that were installed, by package, dependencies included.
    :raises PackageFault: with what apt said.
    """
    plan = simulate(names, run) if fresh() else None
    if plan is None:
        _apt(["update"], run)
        plan = simulate(names, run)
    if plan is None:
        _status, _out, error = run([*APT, "--simulate", "install", *names])
        raise PackageFault(f"{', '.join(names)}: cannot be installed: {error.strip() or 'apt-get gave no reason'}")
    _apt(["install", *names], run)
    return plan


def _apt(arguments: list[str], run: Run) -> None:
    status, _out, error = run([*APT, *arguments])
    if status:
        raise PackageFault(f"apt-get {' '.join(arguments)}: exit status {status}: {error.strip()[-2000:]}")
