# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a fleet to their zones: each zone by its own server, the rest as text for the hand.

One zone that fails stops no other.
"""
from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_update
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_by_hand import by_hand
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import Change, Plan, plan
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_update import DnsError, Unreachable, Zone
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, absolute_name, order, zone_of
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Each, one_by_one
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fit import fitness

_WORKERS = 8


class Mistakes(ValueError):
    """All mistakes of the arguments, one a line, each with its path."""


@dataclass(frozen=True)
class _Arguments:
    """The options of the module, read; a zone without an update server is None."""

    zones: Mapping[str, Zone | None]
    records: list[Record]
    published: list[Record]
    adopt: frozenset[str]
    resolvers: list[Server]


def run(params: Mapping, *, check: bool) -> tuple[dict[str, object], list[str]]:
    """Publishes; `params` as the options of the module dns_records.

    Returns the module's result and what failed, as sentences. Raises Mistakes before anything is sent.
    """
    given = _arguments(params)
    names = [*given.zones]
    by_zone = {
        name: (
            [record for record in given.records if zone_of(record.owner, names) == name],
            [record for record in given.published if zone_of(record.owner, names) == name],
        )
        for name in [*sorted(names), None]
    }
    served = [name for name, both in by_zone.items() if name and given.zones[name] and any(both)]
    unserved = [name for name in by_zone if not name or not given.zones[name]]
    withheld = params["phase"] == "contract" and bool(params["proof"])
    with ExitStack() as stack:
        ask, each = _asking(given.resolvers, params["timeout"], stack)
        unfit = fitness(given.records, ask, each)

        def one(name: str) -> Plan | DnsError:
            ours, before = by_zone[name]
            options = {"adopt": given.adopt, "phase": params["phase"], "check": check or withheld, "unfit": unfit}
            try:
                return dns_update.publish(given.zones[name], ours, before, **options)
            except DnsError as error:
                return error

        with ThreadPoolExecutor(_WORKERS) as pool:
            outcomes = dict(zip(served, pool.map(one, served), strict=True))
        manual, crowded = by_hand({name: by_zone[name][0] for name in unserved}, ask, each, unfit)
    done = {name: made for name, made in outcomes.items() if isinstance(made, Plan)}
    failed = {name: error for name, error in outcomes.items() if isinstance(error, DnsError)}
    changes = {name: () if withheld else made.changes for name, made in done.items()}
    kept = [record for name in [*unserved, *failed] for record in by_zone[name][1]]
    after = [*kept, *(record for made in done.values() for record in made.published)]
    result = {
        "changed": any(changes.values()),
        "zones": [_zone_result(given.zones[name], changes.get(name, ()), failed.get(name)) for name in served],
        "published": [record.to_dict() for record in sorted(given.published if withheld else after, key=order)],
        "conflicts": [{"zone": name, **each.to_dict()} for name, made in done.items() for each in made.conflicts],
        "manual": manual,
        "crowded": [{"zone": name, **each.to_dict()} for name, made in done.items() for each in made.crowded] + crowded,
        "withheld": [
            {"zone": name, **_change_result(change)}
            for name, made in done.items()
            for change in made.changes
            if withheld and change.removed
        ],
        "against": list(params["proof"] or ()) if withheld else [],
        "unanswered": [name for name, error in failed.items() if isinstance(error, Unreachable)],
        "diff": [_diff(given.zones[name], made) for name, made in changes.items() if made],
    }
    return result, [str(error) for error in failed.values() if not isinstance(error, Unreachable)]


def _asking(resolvers: list[Server], timeout: float, stack: ExitStack) -> tuple[Ask, Each]:
    """How to ask the resolvers, and how to ask many things at once. Where there is no resolver, nothing is said."""
    try:
        lookup = stack.enter_context(Lookup(resolvers, timeout))
    except ValueError as error:
        why = str(error)
        return lambda name, rdtype: Outcome(name, rdtype, Kind.SILENT, cause=why), one_by_one
    return lookup.ask, lookup.each


def _arguments(params: Mapping) -> _Arguments:
    mistakes: list[str] = []

    def each(option: str, make) -> list:
        made = []
        for at, item in enumerate(params[option]):
            try:
                made.append(make(item))
            except ValueError as error:
                mistakes.append(f"{option}[{at}]: {error}")
        return made

    zones: dict[str, Zone | None] = {}

    def zone(item: Mapping) -> None:
        name = absolute_name(item["name"])
        if name in zones:
            raise ValueError(f"zone {name} is given twice")
        zones[name] = _zone(item, params["timeout"]) if item.get("server") else None

    each("zones", zone)
    wanted, published = each("records", Record.from_dict), each("published", Record.from_dict)
    adopt = frozenset(each("adopt", absolute_name))
    resolvers = each("resolvers", Server.parse)
    try:
        plan({}, wanted)
    except ValueError as error:
        mistakes.append(f"records: {error}")
    if mistakes:
        raise Mistakes("\n".join(mistakes))
    return _Arguments(zones, wanted, published, adopt, resolvers)


def _zone(item: Mapping, timeout: float) -> Zone:
    key = item.get("key") or {}
    return Zone(
        item["name"],
        item["server"],
        item.get("port") or 53,
        key.get("name"),
        key.get("algorithm") or "hmac-sha256",
        key.get("secret"),
        timeout,
    )


def _zone_result(zone: Zone, changes: tuple[Change, ...], error: DnsError | None) -> dict[str, object]:
    return {
        "name": zone.name,
        "server": zone.server,
        "changes": [_change_result(change) for change in changes],
        "error": str(error) if error else None,
    }


def _change_result(change: Change) -> dict[str, object]:
    return {
        "owner": change.key[0],
        "type": change.key[1],
        "added": list(change.added),
        "removed": list(change.removed),
        "ttl": change.after.ttl if change.after else None,
    }


def _diff(zone: Zone, changes: tuple[Change, ...]) -> dict[str, str]:
    return {
        "before_header": str(zone),
        "after_header": str(zone),
        "before": "".join(change.before.text() for change in changes if change.before),
        "after": "".join(change.after.text() for change in changes if change.after),
    }
