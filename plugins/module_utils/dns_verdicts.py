# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What publishing left open, as verdicts: values of others, silent zones, records for the hand, withheld removals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import MAX_ANSWER
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "records"
_NAMED = 3  # of what speaks against a removal; the report has all of it


def of_publishing(published: Mapping[str, Any]) -> list[Verdict]:
    """Return the verdicts on what the module dns_records returned."""
    return [verdict for part in _PARTS for verdict in part(published)]


def _conflicts(published: Mapping[str, Any]) -> Iterator[Verdict]:
    for conflict in published.get("conflicts") or ():
        merged = f"; merged: {_values(conflict['merged'])}" if conflict["merged"] else ""
        yield Verdict(
            CHECK,
            (f"{conflict['owner']} {conflict['type']}",),
            Status.FAIL,
            _values(conflict["found"]),
            _values(conflict["wanted"]),
            "somebody else published it, and it was left as it is",
            f"{conflict['mend']}{merged}",
            f"zone {conflict['zone']}, read from its update server",
        )


def _errors(published: Mapping[str, Any]) -> Iterator[Verdict]:
    for zone in published.get("zones") or ():
        if zone.get("error"):
            yield Verdict(
                CHECK,
                (zone["name"],),
                Status.UNKNOWN,
                zone["error"],
                "an answer of the update server",
                "the zone could not be read or written",
                "mend the server or the key, and run again",
                f"update server {zone['server']}",
            )


def _by_hand(published: Mapping[str, Any]) -> Iterator[Verdict]:
    for zone in published.get("manual") or ():
        for entry in zone["records"]:
            record = entry["record"]
            yield Verdict(
                CHECK,
                (f"{record['owner']} {record['type']}",),
                entry["status"],
                _values(entry["found"]) or entry["cause"] or "no such record",
                record["value"],
                f"no update server is known for it; wanted: {record['reason']}",
                entry["mend"],
                entry["source"],
            )


def _crowded(published: Mapping[str, Any]) -> Iterator[Verdict]:
    for answer in published.get("crowded") or ():
        others = answer["others"]
        octets = sum(other["octets"] for other in others)
        listed = ", ".join(f"{other['octets']} by {_short(other['value'])}" for other in others)
        yield Verdict(
            CHECK,
            (f"{answer['owner']} TXT",),
            Status.WARN,
            f"an answer of {answer['octets']} octets, of which values that are not ours take {octets}: {listed}",
            f"less than {MAX_ANSWER} (RFC 7208 3.4)",
            "a larger answer may not pass over UDP, and some receivers then find no SPF record",
            f"remove from {answer['owner']} TXT what nobody needs any more",
            f"zone {answer['zone']}" if answer["zone"] else f"TXT {answer['owner']}",
        )


def _withheld(published: Mapping[str, Any]) -> Iterator[Verdict]:
    zones: dict[str, list[str]] = {}
    for change in published.get("withheld") or ():
        values = [f"{change['owner']} {change['type']} {value}" for value in change["removed"]]
        zones.setdefault(change["zone"], []).extend(values)
    against = [Verdict.from_dict(verdict) for verdict in published.get("against") or ()]
    why = "; ".join(f"{verdict.check} {verdict.status.value}: {verdict.subjects[0]}" for verdict in against[:_NAMED])
    more = f"; and {len(against) - _NAMED} more" if len(against) > _NAMED else ""
    for zone, values in zones.items():
        yield Verdict(
            "removal",
            tuple(values),
            Status.WARN,
            "still published",
            "removed, once what stays is proved",
            f"it was not removed, since what stays is not proved ({why}{more})",
            "mend what is not proved, and run again: the run that proves it removes these values",
            f"zone {zone}, read from its update server",
        )


_PARTS = (_conflicts, _errors, _by_hand, _crowded, _withheld)


def _values(values: Sequence[str]) -> str:
    return " and ".join(values)


def _short(value: str) -> str:
    return repr(value if len(value) <= 48 else f"{value[:40]}…")
