# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer ``throttle``: a delivery service for each provider, with its limits, and the domains that it serves.

A provider with one connection and a delay of a second gives the classic recipe to the letter: a service with maxproc 1,
``<provider>_destination_rate_delay`` and an entry in the transport table for each domain.
"""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import service


def throttle_layer(fleet: Fleet) -> dict[str, t.Any]:
    """The layer of every server of a fleet.

    :arg fleet: the fleet with its providers.
    :returns: parameters, services and tables; an empty layer where there is no provider.
    """
    if not fleet.providers:
        return {}
    # The layer postfix says so too; here it makes the role serve on its own.
    parameters = {"transport_maps": "{table:transport}"}
    services: dict[str, t.Any] = {}
    entries: list[list[str]] = []
    for provider in fleet.providers:
        connections = provider.connections
        services[f"{provider.name}/unix"] = service("smtp", maxproc=str(connections) if connections else "-")
        if provider.delay:
            parameters[f"{provider.name}_destination_rate_delay"] = provider.delay
        elif connections:
            parameters[f"{provider.name}_destination_concurrency_limit"] = str(connections)
        entries += [[domain, f"{provider.name}:"] for domain in provider.domains]
    return {
        "parameters": parameters,
        "services": services,
        "tables": {"transport": {"type": "hash", "entries": entries}},
    }
