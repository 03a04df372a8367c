# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host can be the server that the inventory describes: its addresses, and the system that it runs."""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes

RELEASES = ("12", "13")


def address_mistakes(server: str, addresses: t.Iterable[dict[str, t.Any]]) -> list[Mistake]:
    """Bind each address as Postfix does before it connects.

    :arg server: the server's name, for the paths.
    :arg addresses: mappings with ``bind``.
    :returns: a mistake for each address that this host does not have.
    """
    mistakes = []
    for index, entry in enumerate(addresses):
        family = socket.AF_INET6 if ":" in entry["bind"] else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((entry["bind"], 0))
        except OSError as error:
            mend = "add the address to an interface, or name the address that the host does have as bind"
            mistakes.append(
                Mistake(
                    f"{server}: sending_addresses[{index}]",
                    f"{entry['bind']} ({error.strerror})",
                    "an address that this host can bind",
                    mend,
                )
            )
    return mistakes


def debian_release(server: str, os_release: str) -> str:
    """The release of Debian.

    :arg server: the server's name, for the path.
    :arg os_release: the text of /etc/os-release (os-release(5)).
    :returns: ``12`` or ``13``.
    :raises Mistakes: on any other system.
    """
    values = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    name, version = values.get("ID", "").strip('"'), values.get("VERSION_ID", "").strip('"')
    if name != "debian" or version not in RELEASES:
        raise Mistakes(
            [
                Mistake(
                    f"{server}: operating system",
                    f"{name} {version}".strip() or "nothing",
                    "debian " + " or ".join(RELEASES),
                )
            ]
        )
    return version
