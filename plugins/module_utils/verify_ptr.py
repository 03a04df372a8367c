# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the sending addresses have names that point back to them and are those they greet with."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree, combine
from ansible_collections.mailfleet.sending.plugins.module_utils.generic_names import is_generic
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, plain_address
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Lack, is_bad

CHECK = "ptr"
MANY = 10  # names beyond these are not looked at by who validates them (RFC 7208, 5.5)
LOOKED_AT = 20  # names of one address, and the one that it greets with: it may have thousands
_REVERSE = (".in-addr.arpa.", ".ip6.arpa.")


@dataclass(frozen=True)
class Address:
    """A sending address and the HELO name that it greets with, which may be left out.

    Raises: ValueError where the address or the name cannot be one.
    """

    address: str
    helo: str = ""

    def __post_init__(self) -> None:
        address, helo = every(lambda: plain_address(self.address), lambda: self.helo and absolute_name(self.helo))
        object.__setattr__(self, "address", address)
        object.__setattr__(self, "helo", helo)

    @functools.cached_property
    def pointer(self) -> str:
        """Return the absolute name at which the PTR records stand (RFC 1035, 3.5; RFC 3596, 2.5)."""
        return f"{ipaddress.ip_address(self.address).reverse_pointer}."

    @property
    def rdtype(self) -> str:
        """Return the type of record that points to the address."""
        return "AAAA" if ":" in self.address else "A"


def read_addresses(items: Iterable[Mapping[str, str]]) -> list[Address]:
    """Return the addresses of a module's option (verifying.SENDING_ADDRESS). Raises: ValueError with all mistakes."""
    return collect(lambda item: Address(item["address"], item["helo"]), items, "addresses")


def verify_ptr(lookup: Lookup, addresses: Sequence[Address], authoritative: str = "no",
               helo_must_match: bool = False) -> list[Verdict]:
    """Return a verdict on each address.

    It is ok where one of its PTR names points back to it and is the HELO name; C(warn) where another name does (RFC
    5321, 4.1.4 lets nobody refuse mail for that, yet some do), where the name is one that networks give to customers'
    lines, or where there are more names than anybody looks at; C(fail) where none points back (RFC 1912, 2.1).

    Arguments: C(authoritative) see Lookup.ask_by; it holds for the reverse names and for the HELO name;
    C(helo_must_match) makes a confirmed name that is not the HELO name C(fail).
    """
    def verify(address: Address) -> Verdict:
        answers = lookup.each(lambda question: lookup.ask_by(authoritative, *question), _questions(address))
        return _Check(lookup, address, helo_must_match, *answers).verdict()

    return lookup.each(verify, dict.fromkeys(addresses))


def lack(address: Address, verdict: Verdict) -> Lack:
    """Return what an address lacks by its verdict, for Waiting: its name, and that the name points back."""
    return _questions(address) if is_bad(verdict) else []


def _questions(address: Address) -> list[tuple[str, str]]:
    """Return what is asked first. The name that it should have is known before it is found: both are asked at once."""
    return [(address.pointer, "PTR"), *([(address.helo, address.rdtype)] if address.helo else [])]


# As Lookup.ask_by returns them.
Answers = tuple[list[Outcome], str]


@dataclass(frozen=True)
class _Check:
    """What was said of one address, and how it is judged.

    Attributes: C(pointers) what the servers of its reverse name said, C(own) those of its HELO name, where it has one:
    all of them, since that is the fleet's own. Names that others gave the address are asked of the resolvers.
    """

    lookup: Lookup
    address: Address
    helo_must_match: bool
    pointers: Answers
    own: Answers = ((), "")

    def verdict(self) -> Verdict:
        """Return the verdict, the worst of those on both names where servers of the HELO name do not all say one thing.
        """
        helo, (outcomes, instead) = self.address.helo, self.own
        agreed = agree(outcomes, instead, self._points_back)
        servers = ", ".join(agreed.servers)
        as_one = not (len(agreed.groups) > 1 or agreed.instead or agreed.note)
        if as_one:
            own = replace(agreed.groups[0].outcome, server=servers) if helo else None
        else:  # that is told by itself, and here nothing is wrong with it
            own = Outcome(helo, self.address.rdtype, Kind.VALUES, (self.address.address,), servers)
        found = combine(self.pointers[0], lambda pointers: self._judge(pointers, own), self.pointers[1])
        named = next((outcome for outcome in self.pointers[0] if helo in outcome.values), None)
        if as_one or not named:
            return found
        both = found, combine(outcomes, lambda each: self._judge(named, each), instead, self._points_back,
                              f"{helo} points back")
        worst = max(both, key=lambda verdict: verdict.status.rank)
        return replace(worst, found=both[1].found if agreed.note else worst.found, source=found.source,
                       cause="; ".join(dict.fromkeys(verdict.cause for verdict in both if verdict.cause)),
                       mend="; ".join(dict.fromkeys(verdict.mend for verdict in both if verdict.mend)))

    def _points_back(self, own: Outcome) -> tuple:
        """Return what is read of the addresses of a name."""
        return tuple(value for value in own.values if value == self.address.address)

    def _judge(self, pointers: Outcome, own: Outcome | None) -> Verdict:
        """Return the verdict on what one server said of the address, and one of its HELO name, where it has one."""
        address, names = self.address, pointers.values
        if not names:
            return self._without(pointers)
        forward = {address.helo: own} if own and address.helo in names else {}
        others = [name for name in dict.fromkeys(names[:LOOKED_AT])
                  if name not in forward and not name.endswith(_REVERSE)]
        found = self.lookup.each(lambda name: self.lookup.ask(name, address.rdtype), others)
        return self._decide(pointers, forward | dict(zip(others, found)))

    def _without(self, pointers: Outcome) -> Verdict:
        """Return the verdict where a server named no name."""
        if not pointers.said:
            return self._verdict(pointers, {}, Status.UNKNOWN, str(pointers),
                                 f"make {pointers.server} answer, then check again")
        cause = f"the address has no PTR record: {pointers.kind.value}"
        if pointers.chain:
            cause = f"its reverse name is an alias of {pointers.chain[-1]} (RFC 2317), which has no PTR record"
        return self._verdict(pointers, {}, Status.ABSENT, cause, _set_pointer(self.address, pointers))

    def _decide(self, pointers: Outcome, forward: Mapping[str, Outcome]) -> Verdict:
        """Return the verdict on names with what DNS says of each that was looked at."""
        address, names = self.address, pointers.values

        def verdict(status: Status, cause: str = "", mend: str = "") -> Verdict:
            return self._verdict(pointers, forward, status, cause, mend)

        set_pointer = _set_pointer(address, pointers)
        undotted = next((name for name in names if name.endswith(_REVERSE)), "")
        slip = f"{undotted} ends in the reverse zone: the value in the zone lacks its last dot"
        confirmed = [name for name, outcome in forward.items() if address.address in outcome.values]
        if address.helo in confirmed or (confirmed and not address.helo):
            return verdict(*((Status.WARN, slip, set_pointer) if undotted else _taste(address, names, set_pointer)))
        if silent := [outcome for name, outcome in forward.items()
                      if not outcome.said and (name == address.helo or not confirmed)]:
            return verdict(Status.UNKNOWN, str(silent[0]), f"make {silent[0].server} answer, then check again")
        if undotted and not confirmed:
            return verdict(Status.FAIL, slip, set_pointer)
        worse = Status.FAIL if self.helo_must_match or not confirmed else Status.WARN
        if address.helo in names:
            own = forward[address.helo]
            return verdict(worse, _not_back(address, own), _point_back(address, own))
        if confirmed:
            cause = f"the address greets as {address.helo}, which is not its name"
            return verdict(worse, cause, f"{set_pointer}, or greet as {confirmed[0].removesuffix('.')}")
        cause = "; ".join(_not_back(address, outcome) for outcome in forward.values())
        return verdict(Status.FAIL, cause, set_pointer if address.helo else _point_back(address, forward[names[0]]))

    def _verdict(self, pointers: Outcome, forward: Mapping[str, Outcome], status: Status, cause: str,
                 mend: str) -> Verdict:
        names = pointers.values
        more = f" and {len(names) - LOOKED_AT:,} more" if len(names) > LOOKED_AT else ""
        found = ", ".join(names[:LOOKED_AT]) + more or ("no answer" if not pointers.said else pointers.kind.value)
        expected = f"{self.address.helo or 'a name'}, which points back to {self.address.address}"
        sources = "; ".join([pointers.source, *(outcome.source for outcome in forward.values())])
        return Verdict(CHECK, (self.address.address,), status, found, expected, cause, mend, sources)


def _set_pointer(address: Address, pointers: Outcome) -> str:
    """Return the change that names the address; behind an alias the zone is the holder's own (RFC 2317, 5)."""
    name = address.helo or "a name of yours"
    if pointers.chain:
        instead = f" instead of {', '.join(pointers.values[:LOOKED_AT])}" if pointers.values else ""
        return f"publish {pointers.chain[-1]} PTR {name}{instead}"
    return f"have the owner of the network set {address.pointer} PTR {name}"


def _point_back(address: Address, outcome: Outcome) -> str:
    """Return the change that has a name point back. What other addresses it has stays: it may be theirs as well."""
    beside = f" beside {', '.join(outcome.values[:LOOKED_AT])}" if outcome.kind is Kind.VALUES else ""
    return f"publish {outcome.name} {address.rdtype} {address.address}{beside}"


def _taste(address: Address, names: Sequence[str], set_pointer: str) -> tuple[Status, str, str]:
    """Return what is to be said of names that are right, and yet liked by nobody."""
    if len(names) > MANY:
        cause = f"it has {len(names)} names, of which receivers look at no more than {MANY} (RFC 7208, 5.5)"
        return Status.WARN, cause, f"leave one: {set_pointer}"
    name = address.helo or names[0]
    if is_generic(name, address.address):
        cause = f"{name} looks like the name of a customer's line, and receivers mistrust such names"
        return Status.WARN, cause, "give the address a name of your domain, in PTR, in DNS and as HELO name"
    return Status.OK, "", ""


def _not_back(address: Address, outcome: Outcome) -> str:
    if outcome.kind is Kind.VALUES:
        return f"{outcome.name} points to {outcome}, not back"
    return f"{outcome.name} has no {address.rdtype} record: {outcome}"
