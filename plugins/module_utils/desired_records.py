# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DNS records that a fleet wants, each with the reason why. The records made here are those that are verified."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_compose
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_record import format_record
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Address, Dmarc, Domain, Fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record

# A sender need not try more than two (RFC 5321 5.1), and the answer has to fit into a datagram.
BOUNCE_HOSTS = 8
UNTOLD = "v=DKIM1; k=rsa; p=(told when the key is made)"


def desired_records(
    fleet: Fleet,
    keys: t.Iterable[tuple[str, str, str]],
    former: t.Iterable[str] = (),
    former_of_helo: t.Mapping[str, t.Sequence[str]] | None = None,
) -> list[Record]:
    """Every record that the fleet wants in DNS.

    :arg fleet: the fleet.
    :arg keys: (domain, selector, public half in base64) of each key that receivers may need; the public half is empty
        where check mode would make the key, and the record then is one to show, never to publish.
    :arg former: addresses or networks that sent mail until now and may still do so until the new ones are proved;
        SPF lets them pass besides the fleet's own. Empty for the records that stay.
    :arg former_of_helo: by HELO name, those that greeted with it until now; likewise.
    :returns: the records, without doubles.
    :raises Mistakes: where no SPF record within the limits of RFC 7208 can be composed, with the domain's path.
    """
    records = [*_names(fleet, former_of_helo or {}), *_spf(fleet, tuple(former)), *_bounces(fleet), *_dmarc(fleet)]
    for domain, selector, public in keys:
        records.append(
            Record(
                f"{selector}._domainkey.{domain}",
                "TXT",
                format_record(public) if public else UNTOLD,
                reason=f"DKIM key {selector} of {domain}: receivers verify signatures with it (RFC 6376)",
            )
        )
    return list({record.key: dataclasses.replace(record, ttl=fleet.ttl) for record in records}.values())


def former_addresses(fleet: Fleet, published: t.Iterable[Record]) -> list[str]:
    """The networks that SPF records which we published let pass, less what the fleet has now.

    :arg fleet: the fleet as it will be.
    :arg published: what we published before.
    :returns: networks in CIDR form; the DNS of a roll-out accepts them until it is proved.
    :raises ValueError: where such a record is damaged, with its owner.
    """
    return _left(fleet.addresses, published)


def former_of_helo(fleet: Fleet, published: t.Iterable[Record]) -> dict[str, list[str]]:
    """The networks that SPF records of HELO names, which we published, let pass, less the addresses that have them now.

    An address that the fleet keeps and that greets with another name from now on is a former one of its old name.

    :arg fleet: the fleet as it will be.
    :arg published: what we published before.
    :returns: HELO name -> networks in CIDR form; names without any are left out.
    :raises ValueError: where such a record is damaged, with its owner.
    """
    spf: dict[str, list[Record]] = {}
    for record in published:
        spf.setdefault(record.owner, []).append(record)
    names = {name: _left(addresses, spf.get(f"{name}.", ())) for name, addresses in _by_helo(fleet).items()}
    return {name: left for name, left in names.items() if left}


def _left(addresses: t.Iterable[str], published: t.Iterable[Record]) -> list[str]:
    """The networks of SPF records but for those that are one of the addresses."""
    now = set(addresses)
    found = {}
    for record in published:
        if record.kind == "spf":
            for term in record.value.split():
                name, _colon, text = term.partition(":")
                if name in ("ip4", "ip6"):
                    try:
                        network = ipaddress.ip_network(text, strict=False)
                    except ValueError as error:
                        raise ValueError(f"published before, {record.owner} {record.value!r}: {error}") from None
                    found[str(network)] = network
    return [text for text, network in sorted(found.items()) if network.num_addresses > 1 or str(network[0]) not in now]


def _by_helo(fleet: Fleet) -> dict[str, list[str]]:
    """The addresses that greet with each HELO name."""
    found: dict[str, list[str]] = {}
    for server in fleet.servers:
        for address in server.addresses:
            found.setdefault(address.helo, []).append(address.address)
    return found


def _names(fleet: Fleet, former: t.Mapping[str, t.Sequence[str]]) -> t.Iterator[Record]:
    """HELO names resolve to their addresses and back (RFC 5321 4.1.4), and pass SPF themselves (RFC 7208 2.3)."""
    for server in fleet.servers:
        for address in server.addresses:
            kind = "A" if address.family == 4 else "AAAA"
            yield Record(
                address.helo, kind, address.address, reason=f"HELO name of {address.address}: receivers look it up"
            )
            reason = f"PTR of {address.address}: receivers refuse senders without one"
            yield Record(_pointer(address, fleet.zones), "PTR", address.helo, reason=reason)
    sending = {domain.name for domain in fleet.domains}
    for helo, addresses in _by_helo(fleet).items():
        if helo not in sending:
            reason = f"SPF of the HELO name {helo}: judged where MAIL FROM is empty"
            yield from spf_compose.compose(helo, [*addresses, *former.get(helo, ())], all="fail", reason=reason)


def _pointer(address: Address, zones: t.Iterable[str]) -> str:
    """The owner of an address's PTR, which may stand in a part of the reverse zone that a hoster gave away.

    Such a zone is named after its part, as in ``0/25`` or ``0-127``, and aliases lead there (RFC 2317 4).
    """
    pointer = ipaddress.ip_address(address.address).reverse_pointer
    last, _dot, whole = pointer.partition(".")
    for zone in zones if address.family == 4 else ():
        part, _dot, above = zone.partition(".")
        if above == whole and (found := re.fullmatch(r"([0-9]{1,3})([/-])([0-9]{1,3})", part)):
            first, second = int(found[1]), int(found[3])
            end = second if found[2] == "-" else first + 2 ** max(32 - second, 0) - 1
            if first <= int(last) <= end:
                return f"{last}.{zone}"
    return pointer


def _spf(fleet: Fleet, former: tuple[str, ...]) -> t.Iterator[Record]:
    """SPF of the sending domains and their bounce domains; auxiliary ones take theirs from the main domain."""
    addresses = [*fleet.addresses, *former]
    costs: dict[str, int] = {}
    mistakes = []
    # Main domains first: what they cost counts in those that include them.
    for domain in sorted(fleet.domains, key=lambda each: each.auxiliary):
        for owner, options in _policies(fleet, domain, addresses):
            try:
                composed = spf_compose.compose(owner, costs=dict(costs) | dict(domain.spf.external), **options)
            except spf_compose.CannotCompose as error:
                mistakes.append(
                    Mistake(
                        f"{domain.path}.spf",
                        f"{error.lookups} lookups",
                        f"at most {spf_compose.MAX_LOOKUPS} (RFC 7208 4.6.4)",
                        str(error),
                    )
                )
                continue
            # Counted from a record's own terms, so that an include of it adds the term itself.
            costs[owner] = spf_compose.tree_lookups(composed, dict(costs) | dict(domain.spf.external))
            yield from composed
    if mistakes:
        raise Mistakes(mistakes)


def _policies(fleet: Fleet, domain: Domain, addresses: list[str]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """What to compose for a domain and its bounce domain; only our servers use that one, so it ends in -all."""
    spf = domain.spf
    external = [name for name, _lookups in spf.external]
    if domain.auxiliary:
        main = spf.redirect or ", ".join(spf.include)
        options: dict[str, t.Any] = {
            "addresses": [],
            "include": [*spf.include, *external],
            "redirect": spf.redirect or None,
            "all": spf.all,
        }
        yield (
            domain.name,
            {**options, "reason": f"SPF of {domain.name}: an auxiliary domain, which takes its senders from {main}"},
        )
    else:
        yield (
            domain.name,
            {
                "addresses": addresses,
                "include": external,
                "all": spf.all,
                "reason": f"SPF of {domain.name}: the fleet's servers send for it (RFC 7208)",
            },
        )
    if domain.bounce_domain:
        reason = f"SPF of {domain.bounce_domain}: the domain of return paths is the one that receivers evaluate"
        mains = [_bounce_of(fleet, name) for name in spf.include or ([spf.redirect] if spf.redirect else [])]
        if mains:
            yield domain.bounce_domain, {"addresses": [], "include": mains, "all": "fail", "reason": reason}
        else:
            yield domain.bounce_domain, {"addresses": addresses, "all": "fail", "reason": reason}


def _bounce_of(fleet: Fleet, name: str) -> str:
    return next(domain.mail_from for domain in fleet.domains if domain.name == name)


def _bounces(fleet: Fleet) -> t.Iterator[Record]:
    """Bounces come back to the servers themselves (RFC 5321 4.4: the return path must be able to take mail).

    Of a large fleet to some: each domain has its own, and another server changes few of them (rendezvous hashing).
    """
    hosts = list(dict.fromkeys(server.hostname for server in fleet.servers))
    for domain in fleet.domains:
        if domain.bounce_domain:
            chosen = sorted(hosts, key=lambda host, name=domain.bounce_domain: _preference(host, name))[:BOUNCE_HOSTS]
            for host in sorted(chosen, key=hosts.index):
                yield Record(
                    domain.bounce_domain,
                    "MX",
                    f"10 {host}",
                    reason=f"MX of {domain.bounce_domain}: bounces come back to {host}",
                )


def _preference(host: str, domain: str) -> bytes:
    return hashlib.sha256(f"{host} {domain}".encode("ascii")).digest()


def _dmarc(fleet: Fleet) -> t.Iterator[Record]:
    for domain in fleet.domains:
        if domain.dmarc:
            yield Record(
                f"_dmarc.{domain.name}",
                "TXT",
                dmarc_value(domain.dmarc),
                reason=f"DMARC policy of {domain.name}: large providers demand one (RFC 9989)",
            )


def dmarc_value(dmarc: Dmarc) -> str:
    """The value of a DMARC record (RFC 9989 4.7); what equals the default is left out.

    :arg dmarc: the policy.
    :returns: the tags, ``v`` first.
    """
    tags = ["v=DMARC1", f"p={dmarc.policy}"]
    if dmarc.subdomain_policy:
        tags.append(f"sp={dmarc.subdomain_policy}")
    if dmarc.rua:
        tags.append("rua=" + ",".join(f"mailto:{address}" for address in dmarc.rua))
    tags += [
        f"{tag}=s" for tag, mode in (("adkim", dmarc.dkim_alignment), ("aspf", dmarc.spf_alignment)) if mode == "strict"
    ]
    return "; ".join(tags)
