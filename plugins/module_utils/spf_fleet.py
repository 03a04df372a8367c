# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses send under which domains: one table of addresses for all domains that share it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_ranges
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, plain_address

IDENTITIES = ("mailfrom", "helo")
WRITTEN = {"mailfrom": "MAIL FROM", "helo": "HELO"}
# Up to so many addresses of one domain are named one by one, and a longer list has at most so many entries.
NAMED = 20

Run = tuple[int, int]


class Row(NamedTuple):
    """An address as it sends: its family and number as SPF compares them, as written, and its HELO name or nothing."""

    version: int
    number: int
    text: str
    helo: str


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
        if self.identity not in IDENTITIES:
            raise ValueError(f"identity {self.identity!r}: expected {' or '.join(IDENTITIES)}")
        address, domain, helo = every(lambda: plain_address(self.address), lambda: _domain(self.domain),
                                      lambda: self.helo and _domain(self.helo))
        for name, value in (("address", address), ("domain", domain), ("helo", helo or domain)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Table:
    """The addresses of some checks, IPv4 before IPv6, ascending.

    A run is two places in it: the first, and that after the last.
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Table:
        """Return the table of rows in any order; those that stand twice count once."""
        return cls(tuple(sorted(set(rows))))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def numbers(self) -> dict[int, list[int]]:
        """Return the numbers of the addresses by family; IPv6 begins at the place where IPv4 ends."""
        return {version: [row.number for row in self.rows if row.version == version] for version in (4, 6)}

    @cached_property
    def ranges(self) -> dict[int, spf_ranges.Ranges]:
        """Return the numbers as ranges."""
        return {version: spf_ranges.of_numbers(numbers) for version, numbers in self.numbers.items()}


class Case(NamedTuple):
    """A domain as an identity, and the addresses that use it. A domain without its last dot, in lower case."""

    domain: str
    identity: str
    table: Table

    def subjects(self, runs: Sequence[Run]) -> list[str]:
        """Return the names of the addresses for a verdict, never a long list: ranges are of addresses in the table."""
        rows, use = self.table.rows, f"{WRITTEN[self.identity]} {self.domain}"
        count = sum(end - first for first, end in runs)
        if count <= NAMED:
            return list(dict.fromkeys(f"{row.text} {use}" for first, end in runs for row in rows[first:end]))
        if count == len(rows):
            return [f"all {count:,} addresses {use}"]
        names, named = [], 0
        for first, end in runs[:NAMED]:
            named += end - first
            several = f" to {rows[end - 1].text} ({end - first:,} addresses)" if end - first > 1 else ""
            names.append(f"{rows[first].text}{several} {use}")
        return names + ([f"and {count - named:,} more addresses {use}"] if named < count else [])


class Ours:
    """The domains of a fleet and the names below them that records can stand at, in lower case without a last dot.

    Attribute: C(domains) those that were given.
    """

    def __init__(self, domains: Iterable[str]) -> None:
        self.domains = frozenset(domains)

    def __contains__(self, name: str) -> bool:
        labels = name.split(".")
        if not any(".".join(labels[at:]) in self.domains for at in range(len(labels))):
            return False
        try:
            return _domain(name) == name
        except ValueError:  # macros make names that nobody can publish
            return False


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return ascending runs with those that touch made into one."""
    result: list[Run] = []
    for first, end in runs:
        if result and result[-1][1] == first:
            result[-1] = result[-1][0], end
        else:
            result.append((first, end))
    return result


def read_domains(names: Iterable[str]) -> list[str]:
    """Return the domains of a module's option, without their last dots. Raises: ValueError with all that are none."""
    return collect(_domain, names, "domains")


def of_fleet(domains: Iterable[str], addresses: Iterable[tuple[str, str]]) -> list[Case]:
    """Return every address with every domain as MAIL FROM, and with its HELO name.

    Arguments: C(addresses) pairs of an address and its HELO name, which may be empty.
    Raises: ValueError with all that is no domain and no address.
    """
    rows: list[Row]
    domains, rows = every(lambda: read_domains(domains),
                          lambda: collect(lambda pair: _row(*pair), addresses, "addresses"))
    fleet = Table.of(rows)
    greeting: dict[str, list[Row]] = {}
    for row in rows:
        if row.helo:
            greeting.setdefault(row.helo, []).append(row)
    cases = [Case(domain, "mailfrom", fleet) for domain in dict.fromkeys(domains)] if rows else []
    return cases + [Case(helo, "helo", Table.of(group)) for helo, group in greeting.items()]


def of_senders(senders: Iterable[Sender]) -> list[Case]:
    """Return single checks by domain and identity; those of equal addresses share a table."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for sender in senders:
        row = _row(sender.address, sender.helo)
        groups.setdefault((sender.domain, sender.identity), []).append(row)
    tables: dict[Table, Table] = {}
    made = [(key, Table.of(rows)) for key, rows in groups.items()]
    return [Case(domain, identity, tables.setdefault(table, table)) for (domain, identity), table in made]


def together(*lists: Iterable[Case]) -> list[Case]:
    """Return the cases of several lists, each domain and identity once, with the addresses of all."""
    cases: dict[tuple[str, str], Case] = {}
    for case in (case for cases_of_one in lists for case in cases_of_one):
        key = case.domain, case.identity
        known = cases.get(key)
        cases[key] = case._replace(table=Table.of(known.table.rows + case.table.rows)) if known else case
    return list(cases.values())


def _domain(name: str) -> str:
    return absolute_name(name).removesuffix(".")


def _row(address: str, helo: str) -> Row:
    text, name = every(lambda: plain_address(address), lambda: helo and _domain(helo))
    seen = ipaddress.ip_address(text)
    return Row(seen.version, int(seen), text, name)
