# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF composed from addresses, within the limits of RFC 7208: answers under 450 octets (3.4), 10 lookups (4.6.4).

The rule, made so that a server that joins changes little:

1. Addresses become the fewest networks that hold exactly them.
2. If they fit into the owner's own record, they stand there, IPv4 before IPv6, in ascending order.
3. Otherwise they move into `_spf1.owner` to `_spfN.owner`, N being the least number that holds them. A network goes to
   the part that a hash of its text and the part's number prefers (rendezvous hashing), or to the next preferred one
   where that is full. So a new network touches its own part, seldom a second one; a part more takes its share from the
   others, and what stays in place is not renumbered. Filling in ascending order would move all that follows.
4. If the owner's record cannot hold N includes, they move, in groups, into `_spfg1.owner`, `_spfg2.owner` and so on.
"""
from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils.records import (
    DEFAULT_TTL,
    Record,
    absolute_name,
    to_bytes,
    txt_strings,
    wire_length,
)

MAX_ANSWER = 450  # octets; an answer stays under it, RFC 7208 3.4
MAX_LOOKUPS = 10  # RFC 7208 4.6.4
QUALIFIERS = {"fail": "-", "softfail": "~", "neutral": "?"}
_HEADER, _QUESTION, _OPT, _RR = 12, 4, 11, 12  # octets; _RR: a pointer to the owner, type, class, TTL, length
_LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})


class CannotCompose(ValueError):
    """No SPF record for these addresses keeps the limits; `lookups` says how many it would take, at the least."""

    def __init__(self, message: str, lookups: int) -> None:
        super().__init__(message)
        self.lookups = lookups


def rr_size(value: str) -> int:
    """Octets that one TXT value takes in an answer (its owner compressed to a pointer)."""
    return _RR + sum(1 + len(string) for string in txt_strings(to_bytes(value)))


def answer_size(owner: str, values: Iterable[str], other_octets: int = 0) -> int:
    """Octets of the whole answer message to `owner TXT`: header, question, every value, and an EDNS OPT record.

    `other_octets`: what other TXT values at the owner take, the sum of their `rr_size`.
    """
    return _HEADER + wire_length(owner) + _QUESTION + sum(map(rr_size, values)) + other_octets + _OPT


def networks(addresses: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The fewest networks that hold exactly the given addresses (or networks), IPv4 first, ascending."""
    given = [ipaddress.ip_network(str(address)) for address in addresses]
    result = []
    for version in (4, 6):
        result += ipaddress.collapse_addresses(net for net in given if net.version == version)
    return result


def mechanism(net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """`ip4:…` or `ip6:…` for a network, without the length where it is one address (RFC 7208 5.6)."""
    text = str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)
    return f"ip{net.version}:{text}"


def lookups(value: str, costs: Mapping[str, int]) -> int:
    """Terms of an SPF value that look up (RFC 7208 4.6.4), with those of the domains that it includes.

    `costs`: for a domain (any case, with or without dot), the lookups that its own record takes; 0 where not given.
    """
    known = {domain.lower().rstrip("."): count for domain, count in costs.items()}
    total = 0
    for term in value.split()[1:]:
        name, _separator, target = term.lstrip("+-~?").replace("=", ":", 1).partition(":")
        if name.split("/")[0].lower() in _LOOKING_UP:
            total += 1
            if name.lower() in ("include", "redirect"):
                total += known.get(target.lower().rstrip("."), 0)
    return total


def tree_lookups(records: Sequence[Record], costs: Mapping[str, int] | None = None) -> int:
    """Lookups that the evaluation of composed records takes in all, the first of them being the owner's."""
    known = dict(costs or {})
    for record in reversed(records):  # what is included stands behind what includes it
        known[record.owner] = lookups(record.value, known)
    return known[records[0].owner]


def compose(
    owner: str,
    addresses: Iterable[str],
    *,
    include: Iterable[str] = (),
    redirect: str | None = None,
    extra_mechanisms: Iterable[str] = (),
    all: str = "softfail",
    costs: Mapping[str, int] | None = None,
    other_octets: int = 0,
    ttl: int = DEFAULT_TTL,
    reason: str = "",
) -> list[Record]:
    """The TXT records that let mail of `owner` come from exactly these addresses (RFC 7208).

    Arguments:
      owner: the domain that the policy is for.
      addresses: IPv4 and IPv6 addresses (or networks in CIDR form), as text; any order, doubles allowed.
      include: domains whose policy is included; `redirect`: the domain whose policy takes the place of `all`.
      extra_mechanisms: further terms, taken as they are, such as `exists:%{i}.spf.example.net`.
      all: `fail`, `softfail` or `neutral`, for what matches nothing; not used with `redirect`.
      costs: {domain: lookups that its own record takes}, for `include` and `redirect`; 0 where not given.
      other_octets: what the other TXT values at the owner take in the same answer (the sum of their `rr_size`).
        Where they leave no room at all, the owner's own record becomes as short as it can be.
      ttl: seconds; reason: why it is wanted.
    Returns the owner's record first, then, where there must be any, groups `_spfg1.owner`… and parts `_spf1.owner`….
    Raises CannotCompose where it takes more than 10 lookups, ValueError for an argument that is none of the above.
    """
    owner = absolute_name(owner)
    name = _target(owner)
    if all not in QUALIFIERS:
        raise ValueError(f"{owner}: all is {all!r}: one of {', '.join(QUALIFIERS)} is expected")
    costs = dict(costs or {})
    reason = reason or f"SPF of {name}"
    extra = [*extra_mechanisms, *(f"include:{_target(domain)}" for domain in include)]
    end = f"redirect={_target(redirect)}" if redirect else f"{QUALIFIERS[all]}all"
    given = lookups(_value(extra, end), costs)
    if given > MAX_LOOKUPS:
        raise CannotCompose(
            f"SPF of {name}: what it includes takes {given} lookups, {MAX_LOOKUPS} are allowed: include fewer domains",
            given,
        )
    ours = [mechanism(net) for net in networks(addresses)]

    def record(label: str, terms: Sequence[str], last: str, why: str) -> Record:
        return Record(label + owner, "TXT", _value(terms, last), ttl, reason + why)

    def size(records: Sequence[Record], others: int) -> int:
        return answer_size(owner, [records[0].value], others)

    tried = [[record("", [*ours, *extra], end, "")]]
    if size(tried[0], other_octets) < MAX_ANSWER:
        return tried[0]
    parts = _parts(owner, ours, MAX_LOOKUPS - given)
    leaves = [
        record(f"_spf{number}.", terms, "-all", f": addresses, part {number} of {len(parts)}")
        for number, terms in enumerate(parts, 1)
    ]
    terms = [*(f"include:{_target(leaf.owner)}" for leaf in leaves), *extra]
    tried.append([record("", terms, end, ""), *leaves])
    groups = _groups(owner, terms)
    heads = [
        record(f"_spfg{number}.", group, "-all", f": includes, group {number} of {len(groups)}")
        for number, group in enumerate(groups, 1)
    ]
    tried.append([record("", [f"include:{_target(head.owner)}" for head in heads], end, ""), *heads, *leaves])
    possible = [records for records in tried if tree_lookups(records, costs) <= MAX_LOOKUPS]
    for records in possible:
        if size(records, other_octets) < MAX_ANSWER:
            return records
    possible = [records for records in possible if size(records, 0) < MAX_ANSWER]
    if other_octets and possible:
        return min(possible, key=lambda records: size(records, 0))
    least = tree_lookups(tried[-1], costs)
    raise CannotCompose(
        f"SPF of {name}: an answer under {MAX_ANSWER} octets takes {least} lookups, {MAX_LOOKUPS} are allowed: "
        "include fewer domains, or use addresses that form contiguous blocks",
        least,
    )


def _target(domain: str) -> str:
    return absolute_name(domain).rstrip(".")


def _value(terms: Sequence[str], end: str) -> str:
    return " ".join(["v=spf1", *terms, end])


def _room(owner: str) -> int:
    """Octets that the terms of a part may take, each with the space before it."""
    # A value of more than 255 octets is two strings: the second one's length octet is reckoned in beforehand.
    return MAX_ANSWER - 1 - answer_size(owner, ["v=spf1 -all"]) - 1


def _parts(owner: str, terms: Sequence[str], limit: int) -> list[list[str]]:
    """The terms in the least number of parts that holds them; raises CannotCompose beyond `limit` parts."""
    room = _room(f"_spf{MAX_LOOKUPS}.{owner}")
    octets = sum(len(term) + 1 for term in terms)
    count = -(-octets // room)
    while count <= limit:
        parts: list[list[str]] = [[] for _number in range(count)]
        free = [room] * count
        for term in terms:
            preferred = sorted(range(count), key=lambda part: _preference(term, part), reverse=True)
            target = next((part for part in preferred if free[part] > len(term)), None)
            if target is None:
                break
            parts[target].append(term)
            free[target] -= len(term) + 1
        else:
            return parts
        count += 1
    raise CannotCompose(
        f"SPF of {_target(owner)}: {len(terms)} networks of {octets} octets take {count} lookups, of {MAX_LOOKUPS} "
        f"allowed {limit} are left: use addresses that form contiguous blocks, include fewer domains, or spread the "
        "servers over more domains",
        count,
    )


def _preference(term: str, part: int) -> bytes:
    return hashlib.sha256(f"{part} {term}".encode("ascii")).digest()


def _groups(owner: str, includes: Sequence[str]) -> list[list[str]]:
    """The includes, in order, in groups that each fit into one record."""
    room = _room(f"_spfg{MAX_LOOKUPS}.{owner}")
    groups: list[list[str]] = [[]]
    for term in includes:
        if groups[-1] and sum(len(each) + 1 for each in groups[-1]) + len(term) + 1 > room:
            groups.append([])
        groups[-1].append(term)
    return groups
