# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether SPF passes the sending addresses, as a receiver would find it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Check, Result, check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import mechanism, networks
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    VERSION,
    SpfSyntaxError,
    is_spf,
    parse_record,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "spf"
IDENTITIES = ("mailfrom", "helo")
_STATUS = {Result.PASS: Status.OK, Result.NONE: Status.ABSENT, Result.TEMPERROR: Status.UNKNOWN}
_WRITTEN = {"mailfrom": "MAIL FROM", "helo": "HELO"}


@dataclass(frozen=True)
class Sender:
    """One thing to check: an address, and the domain that it uses as an identity.

    C(identity) is "mailfrom", the domain of the return path, or "helo", the HELO name; C(helo) the name that the
    address greets with, the domain itself where it is left out. Domains are kept in lower case without their last dot.
    Raises: ValueError where a value cannot be what it should.
    """

    address: str
    domain: str
    identity: str = "mailfrom"
    helo: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", str(ipaddress.ip_address(self.address.strip())))
        if self.identity not in IDENTITIES:
            raise ValueError(f"identity {self.identity!r}: expected {' or '.join(IDENTITIES)}")
        for name in ("domain", "helo"):
            domain = getattr(self, name) or self.domain
            object.__setattr__(self, name, absolute_name(domain).removesuffix("."))

    def __str__(self) -> str:
        return f"{self.address} {_WRITTEN[self.identity]} {self.domain}"


def of_fleet(domains: Iterable[str], addresses: Iterable[tuple[str, str]]) -> list[Sender]:
    """Return every address with every domain as MAIL FROM, and with its HELO name.

    Arguments: C(addresses) pairs of an address and its HELO name, which may be empty.
    Raises: ValueError.
    """
    addresses = list(addresses)
    senders = [Sender(address, domain, "mailfrom", helo) for domain in domains for address, helo in addresses]
    return senders + [Sender(address, helo, "helo", helo) for address, helo in addresses if helo]


def verify_spf(lookup: Lookup, senders: Sequence[Sender]) -> list[Verdict]:
    """Return a verdict on each sender: ok only where the result of check_host() is pass (RFC 7208, 2.6).

    The chain of terms that led to the result stands in what was found.
    """
    senders = list(dict.fromkeys(senders))
    checks = dict(zip(senders, lookup.each(lambda sender: _check(lookup, sender), senders)))
    mends = _Mends(lookup, checks)
    return [_verdict(sender, check, mends) for sender, check in checks.items()]


def _check(lookup: Lookup, sender: Sender) -> Check:
    return check_host(sender.address, sender.domain, f"postmaster@{sender.domain}", sender.helo, lookup.ask)


def _verdict(sender: Sender, check: Check, mends: _Mends) -> Verdict:
    path = " > ".join(map(str, check.chain))
    found = f"{check.result.value} by {path}" if path else check.result.value
    status = _STATUS.get(check.result, Status.FAIL)
    cause, mend = "", ""
    if status is not Status.OK:
        cause = check.cause or "the address is not among those that the record passes"
        mend = mends.of(sender, check)
    source = check.source or f"TXT {sender.domain}."
    return Verdict(CHECK, (str(sender),), status, found, "pass", cause, mend, source)


class _Mends:
    """Makes the mends of one run, in which a record lacks all addresses at once that it does not pass."""

    def __init__(self, lookup: Lookup, checks: dict[Sender, Check]) -> None:
        self.lookup = lookup
        self.lacking: dict[str, dict[str, None]] = {}
        for sender, check in checks.items():
            if check.result in (Result.NONE, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL):
                self.lacking.setdefault(_decisive(sender, check), {})[sender.address] = None

    def of(self, sender: Sender, check: Check) -> str:
        domain = _decisive(sender, check)
        match check.result:
            case Result.TEMPERROR:
                return "make the server answer, then check again"
            case Result.PERMERROR:
                return f"correct the record of {check.chain[-1].domain if check.chain else domain}"
        missing = " ".join(map(mechanism, networks(self.lacking[domain])))
        texts = [text for text in self.lookup.ask(domain, "TXT").values if is_spf(text)]
        if not texts:
            return f'publish {domain}. TXT "{VERSION} {missing} -all"'
        if included := self._included(texts[0], self.lacking[domain]):
            return f"mend the record of {included}, which that of {domain} includes"
        # What stands first decides first, whatever follows.
        rest = texts[0][len(VERSION):].strip()
        return f'publish {domain}. TXT "{f"{VERSION} {missing} {rest}".rstrip()}" instead of "{texts[0]}"'

    def _included(self, text: str, addresses: dict[str, None]) -> str:
        """Return the domain that the record includes and that lacks the same addresses, where there is one."""
        try:
            record = parse_record(text)
        except SpfSyntaxError:
            return ""
        for term in record.mechanisms:
            if term.name == "include" and term.qualifier == "+" and len(term.domain) == 1:
                target = str(term.domain[0]).lower().removesuffix(".")
                if addresses.keys() <= self.lacking.get(target, {}).keys():
                    return target
        return ""


def _decisive(sender: Sender, check: Check) -> str:
    """Return the domain whose record decided: the one that a redirect led to, else the sender's."""
    return check.chain[-1].domain.lower() if check.chain else sender.domain
