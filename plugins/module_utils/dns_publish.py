# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a fleet to their zones: each zone by its own server, the rest as text for the hand.

One zone that fails stops no other.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_update
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import Key, Plan, RRset, plan, questions
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_update import DnsError, Unreachable, Zone
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server
from ansible_collections.mailfleet.sending.plugins.module_utils.records import (
    Record,
    absolute_name,
    order,
    zone_of,
    zone_text,
)

_WORKERS = 8


class Mistakes(ValueError):
    """All mistakes of the arguments, one a line, each with its path."""


def run(params: Mapping, *, check: bool) -> tuple[dict[str, object], list[str]]:
    """Publishes; `params` as the options of the module dns_records.

    Returns the module's result and what failed, as sentences. Raises Mistakes before anything is sent.
    """
    zones, wanted, published, adopt = _arguments(params)
    names = [*zones]
    by_zone = {
        name: (
            [record for record in wanted if zone_of(record.owner, names) == name],
            [record for record in published if zone_of(record.owner, names) == name],
        )
        for name in [*sorted(names), None]
    }

    def one(name: str) -> Plan | DnsError:
        ours, before = by_zone[name]
        try:
            return dns_update.publish(zones[name], ours, before, adopt=adopt, phase=params["phase"], check=check)
        except DnsError as error:
            return error

    served = [name for name, both in by_zone.items() if name and zones[name] and any(both)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        outcomes = dict(zip(served, pool.map(one, served), strict=True))
    unserved = [name for name in by_zone if not name or not zones[name]]
    manual = _manual({name: by_zone[name][0] for name in unserved}, params["resolvers"], params["timeout"])
    done = {name: made for name, made in outcomes.items() if isinstance(made, Plan)}
    failed = {name: error for name, error in outcomes.items() if isinstance(error, DnsError)}
    kept = [record for name in [*unserved, *failed] for record in by_zone[name][1]]
    after = [*kept, *(record for made in done.values() for record in made.published)]
    result = {
        "changed": any(made.changes for made in done.values()),
        "zones": [_zone_result(zones[name], outcomes[name]) for name in served],
        "published": [record.to_dict() for record in sorted(after, key=order)],
        "conflicts": [{"zone": name, **each.to_dict()} for name, made in done.items() for each in made.conflicts],
        "manual": manual,
        "unanswered": [name for name, error in failed.items() if isinstance(error, Unreachable)],
        "diff": [_diff(zones[name], made) for name, made in done.items() if made.changes],
    }
    return result, [str(error) for error in failed.values() if not isinstance(error, Unreachable)]


def _arguments(params: Mapping) -> tuple[dict[str, Zone | None], list[Record], list[Record], Collection[str]]:
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
    each("resolvers", Server.parse)
    try:
        plan({}, wanted)
    except ValueError as error:
        mistakes.append(f"records: {error}")
    if mistakes:
        raise Mistakes("\n".join(mistakes))
    return zones, wanted, published, adopt


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


def _zone_result(zone: Zone, outcome: Plan | DnsError) -> dict[str, object]:
    changes = outcome.changes if isinstance(outcome, Plan) else ()
    return {
        "name": zone.name,
        "server": zone.server,
        "changes": [
            {
                "owner": change.key[0],
                "type": change.key[1],
                "added": list(change.added),
                "removed": list(change.removed),
                "ttl": change.after.ttl if change.after else None,
            }
            for change in changes
        ],
        "error": str(outcome) if isinstance(outcome, DnsError) else None,
    }


def _diff(zone: Zone, made: Plan) -> dict[str, str]:
    return {
        "before_header": str(zone),
        "after_header": str(zone),
        "before": "".join(change.before.text() for change in made.changes if change.before),
        "after": "".join(change.after.text() for change in made.changes if change.after),
    }


def _manual(by_zone: Mapping[str | None, Sequence[Record]], resolvers: Sequence[str], timeout: float) -> list[dict]:
    """What is to be published by hand: the records that the resolvers do not see."""
    keys = questions([record for records in by_zone.values() for record in records], ())
    answers = dns_update.resolve(resolvers, keys, timeout)
    result = []
    for zone, records in by_zone.items():
        waiting = [_waiting(key, records, answers[key]) for key in questions(records, ())]
        found = [each for states, _texts in waiting for each in states]
        if found:
            texts = [record for _states, texts in waiting for record in texts]
            text = zone_text(texts, [zone] if zone else ())
            result.append({"zone": zone or "", "records": found, "text": text})
    return result


def _waiting(key: Key, records: Iterable[Record], answer: list[RRset] | None) -> tuple[list[dict], list[Record]]:
    """The records of one owner and type that are not live, with their state; and what to publish for them."""
    ours = [record for record in records if (record.owner, record.type) == key]
    live = {key: answer[0]} if answer else {}
    found = live[key].values if live else ()
    made = plan(live, ours)
    added = {value for change in made.changes for value in change.added}
    clashes = {clash.kind: clash for clash in made.conflicts}
    states, texts = [], []
    for record in ours:
        if record.kind in clashes and record.rdata not in found:
            status = "fail"
            texts += [replace(record, value=value) for value in clashes.pop(record.kind).merged]
        elif record.rdata in added:
            status = "absent" if answer is not None else "unknown"
            texts.append(record)
        else:
            continue
        states.append({"record": record.to_dict(), "status": status, "found": list(found)})
    return states, texts
