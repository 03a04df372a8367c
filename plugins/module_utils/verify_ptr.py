# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the sending addresses have names that point back to them and are those they greet with."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "ptr"


@dataclass(frozen=True)
class Address:
    """A sending address and the HELO name that it greets with, which may be left out.

    Raises: ValueError where the address or the name cannot be one.
    """

    address: str
    helo: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", str(ipaddress.ip_address(self.address.strip())))
        if self.helo:
            object.__setattr__(self, "helo", absolute_name(self.helo))

    @property
    def pointer(self) -> str:
        """Return the absolute name at which the PTR records stand (RFC 1035, 3.5; RFC 3596, 2.5)."""
        return f"{ipaddress.ip_address(self.address).reverse_pointer}."

    @property
    def rdtype(self) -> str:
        """Return the type of record that points to the address."""
        return "AAAA" if ":" in self.address else "A"


def verify_ptr(lookup: Lookup, addresses: Sequence[Address]) -> list[Verdict]:
    """Return a verdict on each address.

    It is ok where one of its PTR names points back to it and is the HELO name; C(warn) where another name does (RFC
    5321, 4.1.4 lets nobody refuse mail for that, yet some do); C(fail) where none does (RFC 1912, 2.1).
    """
    return lookup.each(lambda address: _verify(lookup, address), dict.fromkeys(addresses))


def _verify(lookup: Lookup, address: Address) -> Verdict:
    pointers = lookup.ask(address.pointer, "PTR")
    names = pointers.values
    expected = f"{address.helo or 'a name'}, which points back to {address.address}"
    sources = [pointers.source]

    def verdict(status: Status, cause: str = "", mend: str = "") -> Verdict:
        found = ", ".join(names) or ("no answer" if not pointers.said else pointers.kind.value)
        return Verdict(CHECK, (address.address,), status, found, expected, cause, mend, "; ".join(sources))

    name = address.helo or "a name of yours"
    set_pointer = f"have the owner of the network set {address.pointer} PTR {name}"
    if not pointers.said:
        return verdict(Status.UNKNOWN, str(pointers), f"make {pointers.server} answer, then check again")
    if not names:
        return verdict(Status.ABSENT, f"the address has no name: {pointers.kind.value}", set_pointer)
    if undotted := [name for name in names if name.endswith((".in-addr.arpa.", ".ip6.arpa."))]:
        cause = f"{undotted[0]} ends in the reverse zone: the value in the zone lacks its last dot"
        return verdict(Status.FAIL, cause, set_pointer)
    forward = dict(zip(names, lookup.each(lambda name: lookup.ask(name, address.rdtype), names)))
    sources += [outcome.source for outcome in forward.values()]
    confirmed = [name for name in names if address.address in forward[name].values]
    if address.helo in confirmed or (confirmed and not address.helo):
        return verdict(Status.OK)
    if silent := [outcome for name, outcome in forward.items()
                  if not outcome.said and (name == address.helo or not confirmed)]:
        return verdict(Status.UNKNOWN, str(silent[0]), f"make {silent[0].server} answer, then check again")
    if address.helo in names:
        publish = f"publish {address.helo} {address.rdtype} {address.address}"
        return verdict(Status.WARN if confirmed else Status.FAIL, _not_back(address, forward[address.helo]), publish)
    if confirmed:
        cause = f"the address greets as {address.helo}, which is not its name"
        return verdict(Status.WARN, cause, f"{set_pointer}, or greet as {confirmed[0].removesuffix('.')}")
    cause = "; ".join(_not_back(address, outcome) for outcome in forward.values())
    return verdict(Status.FAIL, cause, set_pointer if address.helo
                   else f"publish {names[0]} {address.rdtype} {address.address}")


def _not_back(address: Address, outcome: Outcome) -> str:
    points = f"points to {outcome}" if outcome.kind is Kind.VALUES else f"has no {address.rdtype} record: {outcome}"
    return f"{outcome.name} {points}"
