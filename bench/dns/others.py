# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others do for the same answers: one question after the other, by dnspython's own resolver and by pyspf."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import contextmanager

import dns.exception
import dns.resolver
import spf


def resolver(address: str, port: int, cache: bool = False) -> dns.resolver.Resolver:
    """Return dnspython's resolver, as it is or with its cache."""
    made = dns.resolver.Resolver(configure=False)
    made.nameservers, made.port = [address], port
    made.cache = dns.resolver.LRUCache() if cache else None
    return made


def values(asked: dns.resolver.Resolver, name: str, rdtype: str) -> list:
    """Return the values of a name, none where it has none."""
    try:
        return list(asked.resolve(name, rdtype, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def texts(asked: dns.resolver.Resolver, name: str) -> list[str]:
    """Return the TXT values of a name."""
    return [b"".join(value.strings).decode("ascii") for value in values(asked, name, "TXT")]


def passes(asked: dns.resolver.Resolver, domain: str, addresses: Iterable[str]) -> list[bool]:
    """Return whether pyspf passes each address, evaluated in turn."""
    with _pyspf(asked):
        return [spf.check2(i=address, s=f"postmaster@{domain}", h=domain)[0] == "pass" for address in addresses]


def confirmed(asked: dns.resolver.Resolver, addresses: Iterable[str]) -> list[bool]:
    """Return whether each address has a name that points back to it."""
    return [_points_back(asked, address) for address in addresses]


def _points_back(asked: dns.resolver.Resolver, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    names = values(asked, ip.reverse_pointer, "PTR")
    rdtype = "A" if ip.version == 4 else "AAAA"
    return any(ipaddress.ip_address(found.address) == ip
               for name in names for found in values(asked, name.target.to_text(), rdtype))


@contextmanager
def _pyspf(asked: dns.resolver.Resolver):
    """Have pyspf ask the resolver."""
    def lookup(name, rdtype, *_more):
        try:
            found = values(asked, name, rdtype)
        except dns.exception.DNSException as error:
            raise spf.TempError(f"DNS {error}") from error
        return [((name, rdtype), value.strings if rdtype == "TXT" else value.to_text()) for value in found]

    original, spf.DNSLookup = spf.DNSLookup, lookup
    try:
        yield
    finally:
        spf.DNSLookup = original
