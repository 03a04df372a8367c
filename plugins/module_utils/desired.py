# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state: made once from inventory, state and date, always of the whole group.

Nothing further down recomputes it.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import agent_of
from ansible_collections.mailfleet.sending.plugins.module_utils.desired_records import (
    desired_records,
    dmarc_value,
    former_addresses,
    former_of_helo,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN, Fleet, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_bounces import bounces_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_dkim import dkim_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_lane import lane_layer, warming
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.log_view import with_log
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import to_prove
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Lane, shape
from ansible_collections.mailfleet.sending.plugins.module_utils.wanted_keys import KeyState, wanted_keys


def desired_state(
    fleet: Fleet,
    known: KeyState,
    published: t.Iterable[Record],
    date: datetime.date,
    dns_only: bool = False,
    hosted: t.Mapping[str, str] | None = None,
) -> dict[str, t.Any]:
    """What the fleet should be.

    :arg fleet: the fleet, as the inventory says.
    :arg known: the state's keys: domain, selector -> {public, created, server, seen, ...}; C(public) is empty where
        check mode would make the key.
    :arg published: the records that we published before.
    :arg date: the date that a key made now gets.
    :arg dns_only: whether only what DNS is verified by is returned: ``domains`` to ``mail_domains``. The layers of all
        servers together grow with servers times domains, and large data is slow in Ansible.
    :arg hosted: recipient domains that were observed to be hosted at a provider, with its name.
    :returns: plain data: ``fleet_keys`` (the DKIM keys of the whole fleet), ``records`` (those that stay),
        ``additions`` (those that must be there before the first server changes: the same, and SPF lets the former
        addresses pass too, that of HELO names those that greeted with them), ``servers`` (by name: addresses, hostname,
        own keys and the layers of Postfix), ``domains``, and ``wanted_keys`` (those that shall sign).
    :raises Mistakes: where SPF cannot be composed.
    """
    keys = wanted_keys(fleet, known, date)
    held: dict[str, list[dict[str, t.Any]]] = {}
    for key in keys:
        held.setdefault(key.server, []).append(key.as_dict())
    wanted = {(key.domain, key.selector) for key in keys}
    # A key that was never seen has signed nothing: where it is wanted no more, nobody needs its record.
    live = [
        (domain.name, selector, entry["public"])
        for domain in fleet.domains
        for selector, entry in sorted(known.get(domain.name, {}).items())
        if entry.get("seen") or (domain.name, selector) in wanted
    ]
    records = desired_records(fleet, live)
    dns = {
        "domains": [{"domain": domain.name, "bounce_domain": domain.mail_from} for domain in fleet.domains],
        "policies": [
            {
                "domain": domain.name,
                "bounce_domain": domain.mail_from,
                "dmarc": dmarc_value(domain.dmarc) if domain.dmarc else "",
            }
            for domain in fleet.domains
        ],
        "receivers": _receivers(fleet, records),
        "public_keys": [
            {"domain": domain, "selector": selector, "public": public} for domain, selector, public in live if public
        ],
        "unknown_keys": [
            {"domain": key.domain, "server": key.server, "selector": key.instead} for key in keys if not key.public
        ],
        "paths": [
            {"server": server.name, "transport": address.transport, "address": address.address, "helo": address.helo}
            for server in fleet.servers
            for address in server.addresses
        ],
        "addresses": [
            {"address": address.address, "helo": address.helo}
            for server in fleet.servers
            for address in server.addresses
        ],
        "mail_domains": list(fleet.mail_domains),
    }
    if dns_only:
        return dns
    shaping = shape(fleet, hosted)
    published = list(published)
    former = former_addresses(fleet, published), former_of_helo(fleet, published)
    additions = desired_records(fleet, live, *former) if any(former) else records
    return {
        **dns,
        "fleet_keys": held.get("", []),
        "records": [record.to_dict() for record in records],
        "additions": [record.to_dict() for record in additions],
        "wanted_keys": [{"domain": domain, "selector": selector} for domain, selector in sorted(wanted)],
        "servers": {
            server.name: {
                **_server(fleet, server, shaping.of(server.name), hosted or {}),
                "keys": held.get(server.name, []),
            }
            for server in fleet.servers
        },
        "logins": {PROBE_LOGIN: ["*"], **{user.name: list(user.domains) for user in fleet.users}},
        "networks": [{"network": network.network, "domains": list(network.domains)} for network in fleet.networks],
        "unsigned": fleet.unsigned,
        "pools": to_prove(fleet),
    }


def _receivers(fleet: Fleet, records: t.Sequence[Record]) -> list[dict[str, t.Any]]:
    """The domains that must take mail: replies come to any host, bounces to those that our MX records name."""
    hosts: dict[str, list[str]] = {}
    for record in records:
        if record.type == "MX":
            hosts.setdefault(record.owner, []).append(record.value.split()[1])
    names = dict.fromkeys(name for domain in fleet.domains for name in (domain.name, domain.mail_from))
    return [{"domain": name, "hosts": hosts.get(f"{name}.", [])} for name in names]


def _server(
    fleet: Fleet, server: Server, lanes: t.Sequence[Lane], hosted: t.Mapping[str, str]
) -> dict[str, t.Any]:
    agent = agent_of(fleet, server)
    return {
        "hostname": server.hostname,
        "submission": server.submission,
        "tls_certificate": server.tls_certificate,
        "addresses": [
            {
                "address": address.address,
                "helo": address.helo,
                "bind": address.bind,
                "family": address.family,
                "transport": address.transport,
            }
            for address in server.addresses
        ],
        "layers": {
            "postfix": postfix_layer(fleet, server),
            "dkim": dkim_layer(),
            "throttle": throttle_layer(fleet, server, lanes, hosted),
            "bounces": bounces_layer(fleet, server),
        },
        "agent": {**agent, "settings": with_log(agent["settings"], fleet, server, lanes)} if agent else {},
        "lanes": [
            {"name": lane.provider.name, "layer": lane_layer(fleet, server, lane), "warmup": warming(lane)}
            for lane in lanes
        ],
    }
