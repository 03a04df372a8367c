# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says that a mail log does not: whose servers those are, and which address a service sends from."""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import instance
from ansible_collections.mailfleet.sending.plugins.module_utils.profiles import PROFILES
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Lane


def with_log(settings: dict[str, t.Any], fleet: Fleet, server: Server, lanes: t.Sequence[Lane]) -> dict[str, t.Any]:
    """The program's configuration with what its reader of the log needs, where the log is read.

    :arg settings: the configuration.
    :arg fleet: the fleet, whose providers are known by the same domains and MX as where their mail is shaped.
    :arg server: the server, with its addresses.
    :arg lanes: its lanes: each is a Postfix instance with a queue of its own.
    """
    if "log" not in settings:
        return settings
    queues = ["/etc/postfix", *(f"/etc/{instance(lane.provider.name)}" for lane in lanes)]
    return {**settings, "log": {**settings["log"], "queues": queues},
            "maillog": {"providers": _providers(fleet), "profiles": _profiles(fleet),
                        "addresses": _addresses(server, lanes)}}


def _providers(fleet: Fleet) -> dict[str, t.Any]:
    return {
        provider.name: {
            "mx": list(provider.mx),
            "domains": list(provider.domains),
            **{name: value for name in ("connections", "messages", "recipients")
               if (value := getattr(provider, name))},
            **({"rate": str(provider.rate)} if provider.rate else {}),
        }
        for provider in fleet.providers
    }


def _profiles(fleet: Fleet) -> dict[str, t.Any]:
    """Shipped providers that the inventory does not name: who has yet to shape mail to them wants to see why."""
    named = {provider.name for provider in fleet.providers}
    return {name: {"mx": list(profile.mx), "domains": list(profile.domains)}
            for name, profile in PROFILES.items() if name not in named}


def _addresses(server: Server, lanes: t.Sequence[Lane]) -> dict[str, str]:
    """The sending address of each delivery service; of one that sends from two, a family each, both."""
    found = {address.transport: address.address for address in server.addresses}
    for share in (share for lane in lanes for share in lane.shares):
        of_share = [address.address for family in (4, 6) if (address := share.member.address(family))]
        found |= dict.fromkeys(share.names, " ".join(of_share))
    return found
