# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ends a command: an error that a reader can mend, and the exit statuses."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The exit statuses of the program; argparse's own for a wrong command line is 2."""

    DONE = 0
    NO = 1  # the answer is no: the token is not valid, the address is not on the list
    USAGE = 2
    SETTINGS = 3  # the configuration or a secret is wrong: nothing was done
    UNAVAILABLE = 4  # the store, or a host over the network, did not answer: try again
    REFUSED = 5  # what was given cannot be used: a file to import, an address
    FAILED = 6  # the program has a mistake; its traceback says where


class Trouble(Exception):
    """An error as a reader needs it: what was found, what was expected, where, and the smallest mend."""

    status = Status.REFUSED

    def __init__(self, where: str, found: str, expected: str = "", mend: str = "") -> None:
        self.where, self.found, self.expected, self.mend = where, found, expected, mend
        text = f"{where}: {found}"
        if expected:
            text += f"; expected {expected}"
        if mend:
            text += f". {mend}"
        super().__init__(text)

    def __reduce__(self) -> tuple[type[Trouble], tuple[str, str, str, str]]:
        """How it comes from one process to another."""
        return type(self), (self.where, self.found, self.expected, self.mend)


class Unavailable(Trouble):
    """Something that may be there again later: the database, a mailbox."""

    status = Status.UNAVAILABLE
