# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured: each case as we do it, as a module, and as others do it; with the answers that are right."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import others
import worlds

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS, Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import of_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, verify_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import verify_spf

NAMESERVERS = ("ns1.fleet.example.", "ns2.fleet.example.")
AT = len(NAMESERVERS)  # what is ours is asked of each of them
DEEP = {False: "plain.example", True: "macros.example"}

# What is at fault in a fleet, how its zones become so, and the status of its checks of SPF then.
FLEETS = {
    "a fleet that has what it wants": (lambda zones: zones, "ok"),
    "a fleet that has no records": (worlds.lacking, "absent"),
    "a fleet that has two SPF records everywhere": (worlds.twice, "fail"),
    "a fleet whose SPF records include one another": (worlds.looping, "fail"),
}


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes: C(bound) seconds that it may take at 20 ms an answer, None where nothing was promised; C(steps) how
    many questions there are at each step, which needs the answers to the step before; C(ours) the work, which returns
    the number of checks by status, and C(expected) what that must be; C(module) its name and options.
    C(other) is what does the same without us, called C(name_of_other): it gets a resolver and items, and says of each
    whether it is right, as C(items) does. It is slow: it gets one item in C(share). C(cached) has it measured with a
    cache as well, and then with all items.
    """

    name: str
    bound: float | None
    steps: tuple[int, ...]
    ours: Callable[[Lookup], dict[str, int]]
    expected: dict[str, int]
    module: tuple[str, dict]
    name_of_other: str
    other: Callable[[object, Sequence], list[bool]]
    items: dict
    share: int = 1
    cached: bool = False

    @property
    def rounds(self) -> int:
        """Return the round trips that cannot be avoided."""
        return rounds_of(self.steps)

    @property
    def some(self) -> list:
        """Return the items that the other one gets."""
        return list(self.items)[:: self.share]


def zones(fleet: worlds.Fleet, count: int, addresses: Sequence[str]) -> dict:
    """Return all that the name servers at the addresses have to serve; C(count) addresses stand in the deep records."""
    made = fleet.zones(dict(zip(NAMESERVERS, addresses, strict=True)))
    for macros, name in DEEP.items():
        made |= worlds.deep(name, macros, count, NAMESERVERS)
    return made


def steps_of(fleet: worlds.Fleet) -> tuple[int, ...]:
    """Return how many questions verify.yml cannot do without at each step, whatever it asks besides.

    All names of the fleet are known before the first question. So these are: who serves each zone; at which address;
    then everything at once; and what the answers alone tell, the consent of those who get reports, and the host of MX.
    """
    wanted = fleet.desired
    addresses, domains, receivers = (len(wanted[name]) for name in ("addresses", "mail_domains", "receivers"))
    keys, policies, zones = len(wanted["public_keys"]), len(wanted["policies"]), len(fleet.cuts)
    bounces = {host for receiver in wanted["receivers"] for host in receiver["hosts"]}
    # PTR, address and SPF of each HELO name; SPF of each domain; MX; keys; policies; the hosts' other family.
    of_servers = 3 * addresses + domains + receivers + keys + policies + len(bounces)
    # The alignment of HELO names; MTA-STS and TLSRPT; wildcards among keys; whom the zone above delegates to.
    of_others = addresses + 2 * receivers + keys + zones
    return zones, 2 * AT, AT * of_servers + of_others, AT * policies + 2


def steps_of_names(fleet: worlds.Fleet, domains: Sequence[str]) -> tuple[int, ...]:
    """Return the same for SPF alone, where each check of an address with a domain or its HELO name has a name to look
    up."""
    addresses = len(fleet.desired["addresses"])
    return len(domains) + 1, 2 * AT, AT * (len(domains) + addresses), addresses * (len(domains) + 1)


def rounds_of(steps: Iterable[int]) -> int:
    """Return the round trips that steps take where so many questions as ours are under way at once."""
    return sum(math.ceil(questions / WORKERS) for questions in steps)


def cases(fleet: worlds.Fleet, count: int) -> list[Case]:
    """Return the cases: C(count) addresses at most, and the domains of the fleet."""
    return [_spf(macros, count) for macros in DEEP] + [_ptr(fleet, count), _dkim(fleet), _dmarc(fleet)]


def _spf(macros: bool, count: int) -> Case:
    domain, clients = DEEP[macros], worlds.clients(count)
    addresses = [(address, "") for address in clients]

    def ours(lookup: Lookup) -> dict[str, int]:
        counts = verify_spf(View(lookup, {}, "auto", [domain]), of_fleet([domain], addresses)).counts
        return {status.value: number for status, number in counts.items()}

    return Case(
        name=f"SPF of {count} addresses behind {worlds.INCLUDES} includes{', looked up by a macro' if macros else ''}",
        bound=0.3,
        # Who serves the domain, at which address; its record, the includes, and what the macro makes.
        steps=(1, 2 * AT, AT, *[AT] * worlds.INCLUDES, count * macros),
        ours=ours,
        expected=_counts(clients),
        module=("spf_verify", {"domains": [domain], "addresses": [{"address": address} for address in clients],
                               "records": False}),
        name_of_other="pyspf in turn",
        other=lambda resolver, items: others.passes(resolver, domain, items),
        items=clients,
        share=10,
        cached=True,
    )


def _ptr(fleet: worlds.Fleet, count: int) -> Case:
    addresses = fleet.desired["addresses"][:count]

    def ours(lookup: Lookup) -> dict[str, int]:
        return _summary(verify_ptr(lookup, [Address(**item) for item in addresses], authoritative="auto"))

    items = {item["address"]: True for item in addresses}
    return Case(
        name=f"PTR of {len(items)} addresses, and back",
        bound=0.5,
        steps=(2, 2 * AT, AT * 2 * count),  # who serves network and names, at which address; names and addresses
        ours=ours,
        expected=_counts(items),
        module=("ptr_verify", {"addresses": addresses}),
        name_of_other="dnspython one by one",
        other=others.confirmed,
        items=items,
        share=4,
    )


def _dkim(fleet: worlds.Fleet) -> Case:
    keys = fleet.desired["public_keys"]

    def ours(lookup: Lookup) -> dict[str, int]:
        return _summary(verify_dkim(lookup, [Key(**key) for key in keys]).verdicts)

    items = {(f"{key['selector']}._domainkey.{key['domain']}", key["public"]): True for key in keys}
    return Case(
        name=f"DKIM of {len(items)} domains",
        bound=None,
        # Who serves the domains, at which address; the keys, and whether they are wildcards.
        steps=(len(keys), 2 * AT, (AT + 1) * len(keys)),
        ours=ours,
        expected=_counts(items),
        module=("dkim_verify", {"keys": keys}),
        name_of_other="dnspython one by one",
        other=lambda resolver, items: [any(public in text for text in others.texts(resolver, name))
                                       for name, public in items],
        items=items,
        share=4,
    )


def _dmarc(fleet: worlds.Fleet) -> Case:
    policies = fleet.desired["policies"]

    def ours(lookup: Lookup) -> dict[str, int]:
        return _summary(verify_dmarc(lookup, [Subject(**policy) for policy in policies]).verdicts)

    def other(resolver: object, items: Sequence[tuple[str, str]]) -> list[bool]:
        return [others.texts(resolver, f"_dmarc.{domain}") == [record]
                and bool(others.texts(resolver, f"{domain}._report._dmarc.fleet.example")) for domain, record in items]

    items = {(policy["domain"], policy["dmarc"]): True for policy in policies}
    return Case(
        name=f"DMARC of {len(items)} domains, alignment and reports",
        bound=None,
        # Who serves the domains, at which address; the records, and those that may stand at the bounce domains; the
        # consent of who gets the reports.
        steps=(len(items), 2 * AT, (AT + 1) * len(items), AT * len(items)),
        ours=ours,
        expected={"ok": 3 * len(items)},
        module=("dmarc_verify", {"domains": policies}),
        name_of_other="dnspython one by one",
        other=other,
        items=items,
        share=4,
    )


def _summary(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return dict(Counter(verdict.status.value for verdict in verdicts))


def _counts(items: dict) -> dict[str, int]:
    return dict(Counter("ok" if right else "fail" for right in items.values()))
