# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Terms of an SPF record that can go: nobody reaches them, or another does the same."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import Mechanism, SpfRecord


class Superfluous(NamedTuple):
    """A term, the one that makes it superfluous, and whether the two wanted different results."""

    term: Mechanism
    by: Mechanism
    contradicts: bool


def superfluous(record: SpfRecord, domain: str) -> list[Superfluous]:
    """Return the terms before "all" without which the record of the domain says the same, in their order.

    The first match decides (RFC 7208, 4.6.2). So a term goes that an earlier one covers, and a network that a wider one
    of the same result covers further on, where only networks of the same result stand between. Takes time in
    proportion to the length of the record.
    """
    found: list[Superfluous] = []
    seen: dict[tuple, Mechanism] = {}
    run: list[Mechanism] = []  # networks of one qualifier, side by side
    lengths: set[tuple[int, int]] = set()
    for term in record.mechanisms:
        if term.name == "all":
            break
        covering = next((key for key in _covering(term, domain, lengths) if key in seen), None)
        if covering:
            by = seen[covering]
            found.append(Superfluous(term, by, by.qualifier != term.qualifier))
            continue
        seen[_key(term, domain)] = term
        if term.network:
            lengths.add((term.network.version, term.network.prefixlen))
        if run and not (term.network and term.qualifier == run[0].qualifier):
            found += _within_later(run)
            run = []
        if term.network:
            run.append(term)
    return sorted(found + _within_later(run), key=lambda item: item.term.position)


def _key(term: Mechanism, domain: str) -> tuple:
    if term.network:
        return term.network.version, term.network.prefixlen, int(term.network.network_address)
    parts = term.domain or (domain,)
    target = tuple(part.lower().removesuffix(".") if isinstance(part, str) else part for part in parts)
    return term.name, target, term.prefix4, term.prefix6


def _covering(term: Mechanism, domain: str, lengths: set[tuple[int, int]]) -> list[tuple]:
    """Return the keys of terms that hold all that the term holds."""
    if not term.network:
        return [_key(term, domain)]
    version, size = term.network.version, term.network.max_prefixlen
    address = int(term.network.network_address)
    return [(version, length, address >> (size - length) << (size - length))
            for family, length in sorted(lengths) if family == version and length <= term.network.prefixlen]


def _within_later(run: list[Mechanism]) -> list[Superfluous]:
    """Return the networks of a run that a later one of it holds."""
    found = []
    later: dict[tuple, Mechanism] = {}
    lengths: set[tuple[int, int]] = set()
    for term in reversed(run):
        wider = next((later[key] for key in _covering(term, "", lengths) if key in later), None)
        if wider:
            found.append(Superfluous(term, wider, False))
        later[_key(term, "")] = term
        lengths.add((term.network.version, term.network.prefixlen))
    return found
