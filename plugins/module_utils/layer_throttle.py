# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer ``throttle`` of the main Postfix: which way mail takes by its recipient's provider and its sender's pool.

A provider with one connection and a delay of a second gives the classic recipe to the letter: a service with maxproc 1,
``<provider>_destination_rate_delay`` and an entry in the transport table for each domain. Every other provider has a
lane, which its domains lead to. What has no provider leaves by the services of its sender's pool.
"""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Provider, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import (
    IDENTITY,
    PORT,
    delivery,
    place,
    sender_routes,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import service
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import members, uncapped
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Lane

LANE = "lane"


def throttle_layer(
    fleet: Fleet, server: Server, lanes: t.Sequence[Lane] = (), hosted: t.Mapping[str, str] | None = None
) -> dict[str, t.Any]:
    """The layer of one server.

    :arg fleet: the fleet with its providers and pools.
    :arg server: the server.
    :arg lanes: the server's lanes.
    :arg hosted: recipient domains known to be hosted at a provider, with its name.
    :returns: parameters, services and tables; an empty layer where there are neither providers nor pools.
    :raises ValueError: where weights need more entries than a table should have.
    """
    if not fleet.providers and not fleet.pools:
        return {}
    # The layer postfix says so too; here it makes the role serve on its own.
    parameters: dict[str, t.Any] = {"transport_maps": "{table:transport}"}
    services: dict[str, t.Any] = {}
    tables: dict[str, t.Any] = {}
    entries: list[list[str]] = []
    ways: dict[str, str] = {}
    for provider in fleet.providers:
        if provider.recipe:
            _recipe(provider, parameters, services, entries)
    if lanes:
        services[f"{LANE}/unix"] = _way_in()
        parameters[f"{LANE}_destination_concurrency_failed_cohort_limit"] = "100"
    for lane in lanes:
        way = f"{LANE}:[{place(lane.provider.name)}]:{PORT}"
        ways[lane.provider.name] = way
        entries += [[domain, way] for domain in dict.fromkeys(lane.provider.domains)]
    if fleet.pools:
        outlets = [(member, (member.service,)) for member in uncapped(members(fleet, server))]
        routes, tables = sender_routes(fleet, outlets)
        parameters["sender_dependent_default_transport_maps"] = ", ".join(routes)
        for member, _names in outlets:
            services[f"{member.service}/unix"] = delivery(member, 0, "-", 1, f"postfix/{member.service}")
    tables["transport"] = {"type": "hash", "entries": entries}
    # There may be tens of thousands of them.
    if lines := [f"{name} {ways[provider]}\n" for name, provider in (hosted or {}).items() if provider in ways]:
        tables["transport"]["lines"] = "".join(lines)
    return {"parameters": parameters, "services": services, "tables": tables}


def _recipe(
    provider: Provider, parameters: dict[str, t.Any], services: dict[str, t.Any], entries: list[list[str]]
) -> None:
    connections = provider.connections
    services[f"{provider.name}/unix"] = service("smtp", maxproc=str(connections) if connections else "-")
    parameters[f"{provider.name}_destination_rate_delay"] = provider.delay
    entries += [[domain, f"{provider.name}:"] for domain in provider.domains]


def _way_in() -> dict[str, t.Any]:
    """The service that hands mail to lanes. A lane lets in who holds the key of this server's main Postfix."""
    return service(
        "smtp",
        options={
            "syslog_name": f"postfix/{LANE}",
            "inet_protocols": "ipv4",
            "smtp_bind_address": "",
            "smtp_tls_security_level": "encrypt",
            "smtp_tls_chain_files": IDENTITY,
        },
    )
