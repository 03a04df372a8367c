# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run found out about the authoritative servers themselves, told once and not with each record they serve."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import LET_ASK
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_delegation import Delegation
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.wording import some

CHECK = "name servers"
EVERY = "all authoritative servers"  # the subject of what is said of all of them
NAMED = 8  # name servers in words: a zone may have hundreds


def verify_authorities(lookup: Lookup) -> list[Verdict]:
    """Return the verdicts on what the lookup met while others asked it, none where all was well. It asks nothing."""
    cut_off = bool(lookup.why_cut_off)
    return [*_cut_off(lookup), *(verdict for each in lookup.delegations for verdict in _of_zone(each, cut_off))]


def _cut_off(lookup: Lookup) -> list[Verdict]:
    """Return the verdict where authoritative servers were given up: what the resolvers say stands for theirs."""
    if not lookup.why_cut_off:
        return []
    resolvers = ", ".join(map(str, lookup.resolvers))
    return [Verdict(CHECK, (EVERY,), Status.WARN, f"only the resolvers were asked: {resolvers}",
                    "every authoritative server asked", f"{CUT_OFF}: {lookup.why_cut_off}", LET_ASK,
                    f"questions to authoritative servers, port {lookup.authority_port}")]


def _of_zone(found: Delegation, cut_off: bool) -> Iterator[Verdict]:
    """Yield the verdicts on whom a zone names, and whom the zone above it leads receivers to.

    Arguments: C(cut_off) says that no authoritative server was heard, which was told of all of them: that the zone
    above was silent, too, whether asked before that was known or not asked any more, is nothing new.
    """
    zone, own = found.own.zone, some(found.own.names, NAMED)
    for host, target in found.own.aliases:
        yield Verdict(CHECK, (zone,), Status.WARN, f"NS {host}, an alias of {target}", "NS with the name of a host",
                      "a NS record must not name an alias (RFC 2181, 10.3): many resolvers do not ask it",
                      f"publish {zone} NS {target} instead of {host}", f"A and AAAA {host}")
    if causes := [*_causes(found)]:
        yield Verdict(CHECK, (zone,), Status.UNKNOWN if found.silent else Status.WARN,
                      f"{found.parent} delegates to {some(found.names, NAMED)}", f"as {zone} itself says: {own}",
                      f"{'; '.join(causes)} (RFC 1034, 4.2.2)",
                      f"have the registrar, or whoever keeps {found.parent}, delegate {zone} to {own} and to no others",
                      found.said.source)
    elif not found.names and found.said and not found.said.said and not cut_off:
        yield Verdict(CHECK, (zone,), Status.WARN, "no answer of the zone above", f"a delegation to {own}",
                      f"whether it leads receivers to others too is not known: {found.said}",
                      f"make {found.said.server} answer, then check again", found.said.source)
    elif found.said and found.said.said and found.said.kind is not Kind.VALUES:
        yield Verdict(CHECK, (zone,), Status.WARN, f"{found.said}, says {found.parent}", f"a delegation to {own}",
                      f"{found.parent} does not delegate it, so that receivers do not find it (RFC 1034, 4.2.2)",
                      f"have the registrar, or whoever keeps {found.parent}, delegate {zone} to {own}",
                      found.said.source)


def _causes(found: Delegation) -> Iterator[str]:
    """Yield in words how the two sides of the cut differ."""
    if not found.names:
        return
    own, parent = found.own, found.parent
    if more := [name for name in found.names if name not in own.names]:
        yield f"{parent} leads receivers to {some(more, NAMED)} too, which the zone does not name"
    if less := [name for name in own.names if name not in found.names]:
        yield f"the zone names {some(less, NAMED)}, which {parent} does not"
    for host, address in found.astray[:NAMED]:
        yield f"{parent} has {host} at {address} (glue), which the name does not lead to"
    yield from (str(outcome) for outcome in found.silent[:NAMED])
