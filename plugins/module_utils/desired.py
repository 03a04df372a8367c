# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state: made once from inventory, state and date, always of the whole group.

Nothing further down recomputes it.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.desired_records import desired_records, former_addresses
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN, Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_dkim import dkim_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_throttle import throttle_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record
from ansible_collections.mailfleet.sending.plugins.module_utils.wanted_keys import KeyState, wanted_keys


def desired_state(
    fleet: Fleet, known: KeyState, published: t.Iterable[Record], date: datetime.date
) -> dict[str, t.Any]:
    """What the fleet should be.

    :arg fleet: the fleet, as the inventory says.
    :arg known: the state's keys: domain, selector -> {public, created, server, seen, ...}; C(public) is empty where
        check mode would make the key.
    :arg published: the records that we published before.
    :arg date: the date that a key made now gets.
    :returns: plain data: ``fleet_keys`` (the DKIM keys of the whole fleet), ``records`` (those that stay),
        ``additions`` (those that must be there before the first server changes: the same, and SPF lets the former
        addresses pass too), ``servers`` (by name: addresses, hostname, own keys and the layers of
        Postfix), ``domains``, and ``wanted_keys`` (those that shall sign).
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
    former = former_addresses(fleet, published)
    records = desired_records(fleet, live)
    additions = desired_records(fleet, live, former) if former else records
    return {
        "fleet_keys": held.get("", []),
        "records": [record.to_dict() for record in records],
        "additions": [record.to_dict() for record in additions],
        "wanted_keys": [{"domain": domain, "selector": selector} for domain, selector in sorted(wanted)],
        "servers": {
            server.name: {**_server(fleet, server), "keys": held.get(server.name, [])}
            for server in fleet.servers
        },
        "domains": [{"domain": domain.name, "bounce_domain": domain.mail_from} for domain in fleet.domains],
        "public_keys": [
            {"domain": domain, "selector": selector, "public": public} for domain, selector, public in live if public
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
        "spf_checks": _spf_checks(fleet),
        "logins": {PROBE_LOGIN: ["*"], **{user.name: list(user.domains) for user in fleet.users}},
        "networks": [{"network": network.network, "domains": list(network.domains)} for network in fleet.networks],
        "unsigned": fleet.unsigned,
    }


def _spf_checks(fleet: Fleet) -> list[dict[str, str]]:
    """What receivers evaluate: each address for each return path, and for the name that it says in HELO."""
    paths = [(address.address, address.helo) for server in fleet.servers for address in server.addresses]
    mail_from = dict.fromkeys(name for domain in fleet.domains for name in (domain.mail_from, domain.name))
    checks = [
        {"address": address, "domain": name, "identity": "mailfrom", "helo": helo}
        for name in mail_from
        for address, helo in paths
    ]
    return checks + [{"address": address, "domain": helo, "identity": "helo", "helo": helo} for address, helo in paths]


def _server(fleet: Fleet, server: t.Any) -> dict[str, t.Any]:
    return {
        "hostname": server.hostname,
        "submission": server.submission,
        "tls_certificate": server.tls_certificate,
        "tls_key": server.tls_key,
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
        "layers": {"postfix": postfix_layer(fleet, server), "dkim": dkim_layer(), "throttle": throttle_layer(fleet)},
    }
