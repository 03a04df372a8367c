# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of this host, by way of the C(run_command) that a module hands in.

What a program reads is never logged: Ansible's C(run_command) logs arguments alone, and those only when debugging.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

NOT_FOUND = 127  # what timeout(1) ends with where there is no such program
TIMED_OUT = 124  # and where it had to end one
_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """How a program ended: its C(status), and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Return its standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        """Return its standard error as text."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class Programs:
    """Runs programs, each with its arguments as they are, in the C locale, and not for ever.

    Attributes: C(run_command) that of AnsibleModule, or a function that takes its arguments alike.
    """

    run_command: Callable[..., tuple[int, bytes, bytes]]

    @classmethod
    def of(cls, run_command: Callable[..., tuple[int, bytes, bytes]]) -> Programs:
        """Return the programs of a module, whose own standard input is nothing from now on.

        Without pipelining Ansible runs a module on a terminal, where a program may ask, or, as Postfix's daemons do,
        refuse to work.
        """
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        return cls(run_command)

    def __call__(self, command: Sequence[str | Path], stdin: bytes | None = None, seconds: int = _SECONDS,
                 **environ: str) -> Answer:
        """Return how a program ended.

        Arguments: C(command) the program and its arguments; C(stdin) what it reads; C(seconds) after which it is
        ended; C(environ) variables that are set for it besides.
        """
        return Answer(*self.run_command(
            ["timeout", str(seconds), *map(str, command)], data=stdin, binary_data=True, encoding=None,
            environ_update={"LC_ALL": "C", **environ}, expand_user_and_vars=False))
