# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What DNS says of any domain, one's own or not: addresses, their names, SPF, DKIM, DMARC, MX, each as a typed fact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_record, spf_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Mx
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, worst
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import (
    Subject,
    a_labels,
    as_policy,
    verify_dmarc,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver, is_inside, verify_mx
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verify_records

LOOKED_AT = 32  # addresses of one domain: it may have thousands


@dataclass(frozen=True)
class Question:
    """A domain to be asked about, in A-labels, and the selectors of its DKIM keys that are known.

    Raises: ValueError where a name cannot be one.
    """

    domain: str
    selectors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", a_labels(self.domain))
        object.__setattr__(self, "selectors", tuple(dict.fromkeys(self.selectors)))
        collect(lambda selector: dkim_record.owner(selector, self.domain), self.selectors)


@dataclass(frozen=True)
class Fact:
    """One thing that DNS says.

    Attributes: C(value) the texts, none where there is nothing, and several where there are several, be that wrong;
    C(present) whether there is any, None where DNS did not say; C(valid) whether receivers can use it, None where that
    is not known; C(cause) why it is not, or why that is not known; C(source) the questions and who was asked.
    """

    value: list[str]
    present: bool | None
    valid: bool | None
    cause: str = ""
    source: str = ""

    @classmethod
    def of(cls, texts: Iterable[str], verdicts: Iterable[Verdict]) -> Fact:
        """Return the fact that the verdicts on what was found make."""
        value, verdicts = list(texts), list(verdicts)
        status = worst(verdicts)
        unknown = status is Status.UNKNOWN
        return cls(
            value,
            bool(value) or (None if unknown else False),
            None if unknown else bool(value) and status in (Status.OK, Status.WARN),
            "; ".join(dict.fromkeys(verdict.cause for verdict in verdicts if verdict.cause)),
            "; ".join(dict.fromkeys(verdict.source for verdict in verdicts if verdict.source)),
        )


def domain_facts(lookup: Lookup, questions: Sequence[Question]) -> dict[str, dict[str, object]]:
    """Return the facts on each domain as plain data: ip, ptr, spf, dkim, default_dkim, dmarc, mx.

    C(ptr) has a fact for each address of the domain, the first LOOKED_AT of them; C(dkim) one for each selector that is
    known; C(default_dkim) is that of the selector that bears the domain's own name.
    """
    selectors: dict[str, tuple[str, ...]] = {}
    for question in questions:
        selectors[question.domain] = selectors.get(question.domain, ()) + question.selectors
    made = lookup.each(lambda item: _facts(lookup, Question(*item)), selectors.items())
    return dict(zip(selectors, made))


def _facts(lookup: Lookup, question: Question) -> dict[str, object]:
    domain = question.domain
    addresses, ip = _ip(lookup, domain)
    parts = {
        "ip": lambda: asdict(ip),
        "ptr": lambda: lookup.each(lambda address: _ptr(lookup, address), addresses[:LOOKED_AT]),
        "spf": lambda: asdict(_spf(lookup, domain)),
        "dkim": lambda: {selector: asdict(_dkim(lookup, Key(domain, selector))) for selector in question.selectors},
        "default_dkim": lambda: asdict(_default_dkim(lookup, domain)),
        "dmarc": lambda: _dmarc(lookup, domain),
        "mx": lambda: asdict(_mx(lookup, domain)),
    }
    return dict(zip(parts, lookup.each(lambda part: part(), parts.values())))


def _ip(lookup: Lookup, domain: str) -> tuple[list[str], Fact]:
    outcomes = lookup.each(lambda rdtype: lookup.ask(domain, rdtype), ("A", "AAAA"))
    addresses = [address for outcome in outcomes for address in outcome.values]
    silent = [str(outcome) for outcome in outcomes if not outcome.said]
    inside = [address for address in addresses if is_inside([address])]
    valid = None if silent else bool(addresses) and not inside
    cause = "; ".join(silent + [f"{address} is an address that nobody outside reaches" for address in inside])
    source = "; ".join(outcome.source for outcome in outcomes)
    return addresses, Fact(addresses, bool(addresses) or (None if silent else False), valid, cause, source)


def _ptr(lookup: Lookup, text: str) -> dict[str, object]:
    try:
        address = Address(text)
    except ValueError as error:  # DNS holds what no packet bears, as an IPv4 address in IPv6
        return {"address": text, **asdict(Fact([], False, False, str(error)))}
    names = lookup.ask(address.pointer, "PTR").values
    return {"address": text, **asdict(Fact.of(names, verify_ptr(lookup, [address])))}


def _spf(lookup: Lookup, domain: str) -> Fact:
    texts = [text for text in lookup.ask(domain, "TXT").values if spf_record.is_spf(text)]
    return Fact.of(texts, verify_records(lookup.ask, [domain], lookup.each))


def _dkim(lookup: Lookup, key: Key) -> Fact:
    return Fact.of(lookup.ask(key.owner, "TXT").values, verify_dkim(lookup, [key], "no").verdicts)


def _default_dkim(lookup: Lookup, domain: str) -> Fact:
    try:
        key = Key(domain)
    except ValueError as error:  # no selector has an underscore, and its record's name may be too long
        return Fact([], False, False, str(error))
    return _dkim(lookup, key)


def _dmarc(lookup: Lookup, domain: str) -> dict[str, object]:
    """Return the fact on the policy that holds, with where it stands and what it wants."""
    found = verify_dmarc(lookup, [Subject(domain)], authoritative="no")
    (discovery,) = found.discoveries
    policy = as_policy(discovery)
    # Where there are several, none holds.
    texts = [policy["record"]] if policy["record"] else discovery.walk.own.records
    fact = Fact.of(texts, [verdict for verdict in found.verdicts if verdict.check == "dmarc"])
    return {**asdict(fact), "at": policy["at"], "policy": policy["policy"]}


def _mx(lookup: Lookup, domain: str) -> Fact:
    values = sorted(mx for mx in lookup.ask(domain, "MX").values if isinstance(mx, Mx))
    return Fact.of([f"{mx.preference} {mx.exchange}" for mx in values], verify_mx(lookup, [Receiver(domain)]))
