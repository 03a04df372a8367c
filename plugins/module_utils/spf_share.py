# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of the Internet an SPF record passes, whichever terms do so together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import Audit
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import QUALIFIERS, Ask, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Term
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_ranges import bounds

# A record that passes half of all addresses is one that passes everybody: who forges mail finds a host among them as
# easily as anywhere. Nobody's own networks come near it, since no holder has more than a few of the 256 networks of /8.
EVERYBODY = 0.5
# A network of a shorter prefix is no sender's.
WIDE = {4: 8, 6: 16}
# What is in use of a family: all of IPv4, and of IPv6 the unicast addresses that were ever given away (RFC 4291, 2.4).
_SPACE = {4: bounds(ipaddress.ip_network("0.0.0.0/0")), 6: bounds(ipaddress.ip_network("2000::/3"))}


def share(audit: Audit, family: int, ask: Ask) -> float:
    """Return the share of the family's addresses that the domain's record passes, from 0 to 1.

    It is 0 without a closer look where the networks of the whole tree are too few. What a macro decides does not count.
    """
    first, last = _SPACE[family]
    space = last - first + 1
    if sum(_size(term, family) for node in audit.nodes.values() for term in node.terms) < EVERYBODY * space:
        return 0.0
    compiled = compile_domain(audit.domain, f"postmaster@{audit.domain}", family, ask, [(first, last)])
    passing = (part for part in compiled.slices if part.check and part.check.result is Result.PASS)
    return sum(part.last - part.first + 1 for part in passing) / space


def wide_terms(terms: Iterable[Term], family: int) -> list[Term]:
    """Return the terms that pass a network which is as wide as anybody's, or wider."""
    found = []
    for term in terms:
        length = _length(term, family)
        if length is not None and length <= WIDE[family] and QUALIFIERS[term.source.qualifier] is Result.PASS:
            found.append(term)
    return found


def _length(term: Term, family: int) -> int | None:
    """Return the length of the networks of a term, None where it has none of the family."""
    network = getattr(term.source, "network", None)
    if network:
        return network.prefixlen if network.version == family else None
    if not any((":" in address) == (family == 6) for address in term.addresses):
        return None
    return term.source.prefix4 if family == 4 else term.source.prefix6


def _size(term: Term, family: int) -> int:
    """Return how many addresses a term holds at most, whatever becomes of them."""
    length = _length(term, family)
    if length is None:
        return 0
    return max(1, len(term.addresses)) << (32 if family == 4 else 128) - length
