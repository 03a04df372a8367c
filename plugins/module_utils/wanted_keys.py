# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which DKIM keys a fleet needs, and under which selectors. The date of a key is stored with it, never today's."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet

KeyState = dict[str, dict[str, dict[str, t.Any]]]


@dataclasses.dataclass(frozen=True)
class Key:
    """One key: the domain and selector that name it, the server that it lives on (empty for the whole fleet), its
    public half (empty where the state knows none), and a pattern of the selectors that may serve instead then."""

    domain: str
    selector: str
    server: str
    bits: int
    instead: str
    public: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """What ``dkim_key`` takes."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "server"}


def wanted_keys(fleet: Fleet, known: KeyState, date: datetime.date) -> tuple[Key, ...]:
    """The keys that the fleet should sign with.

    :arg fleet: the fleet.
    :arg known: the state's keys: domain, selector -> {public, created, server, ...}.
    :arg date: the date that a key made now gets; it decides nothing where a key is known already.
    :returns: a key for each domain, and with scope ``server`` for each domain and server. The newest known key of the
        same prefix and server is kept; where there is none, the selector is the prefix and the date.
    """
    holders = [""] if fleet.dkim.scope == "fleet" else [server.name for server in fleet.servers]
    suffixes = dict(zip(holders, _suffixes(holders)))
    return tuple(
        _wanted(fleet, known.get(domain.name, {}), domain.name, holder, suffixes[holder], date)
        for domain in fleet.domains
        for holder in holders
    )


def _wanted(
    fleet: Fleet, known: dict[str, dict[str, t.Any]], domain: str, holder: str, suffix: str, date: datetime.date
) -> Key:
    pattern = f"{fleet.dkim.selector}[0-9]{{8}}{suffix}"  # neither holds anything but letters, digits and hyphens
    mine = [
        (entry.get("created", ""), name)
        for name, entry in known.items()
        if re.fullmatch(pattern, name) and (entry.get("server") or "") == holder
    ]
    if mine:
        newest = max(mine)[1]
        return Key(domain, newest, holder, fleet.dkim.bits, pattern, known[newest].get("public", ""))
    return Key(domain, f"{fleet.dkim.selector}{date:%Y%m%d}{suffix}", holder, fleet.dkim.bits, pattern)


def _suffixes(holders: list[str]) -> list[str]:
    """What sets the selectors of servers apart: the first label, or the whole name where two share it."""
    if holders == [""]:
        return [""]
    labels = [re.sub(r"[^a-z0-9-]", "-", name.lower().split(".")[0]).strip("-") for name in holders]
    if len(set(labels)) < len(labels) or not all(labels):
        labels = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in holders]
    return ["-" + label[:40] for label in labels]
