# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom of a fleet SPF passes, domain by domain, now and where other records stand.

Sets of addresses are numbers with a bit for each, told apart by HELO names: a thousand addresses of one domain take 125
bytes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_ranges
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import Ask, Check, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import mechanism, networks
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_evaluate import Each, evaluate, heard, standing
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Case, Row, Run

# A domain and the identity that it is used as: MAIL FROM and HELO of one domain have addresses of their own.
Key = tuple[str, str]
Sets = dict[Key, int]


class Passes:
    """The checks of a run. Every case is noted before anything is asked of it."""

    def __init__(self, ask: Ask, each: Each, cases: Sequence[Case]) -> None:
        self.ask, self.each = ask, each
        self.cases: dict[Key, Case] = {(case.domain, case.identity): case for case in cases}
        tables = {id(case.table): case.table for case in cases}
        self.rows = sorted({row for table in tables.values() for row in table.rows})
        self._bits = {row: bit for bit, row in enumerate(self.rows)}
        # Domains that all pass share the number of their table.
        self._all = {at: self._set(table.rows, [(0, len(table.rows))]) for at, table in tables.items()}
        self.now: Sets = {}
        self._readers: dict[str, dict[Key, None]] = {}
        self._mechanisms: dict[int, list[str]] = {}

    def evaluate(self, case: Case) -> list[tuple[Run, Check]]:
        """Return how the checks of a case end, and note whom it passes and whose records that depends on."""
        ends, passing = self._ends(case, self.ask)
        self.now[case.domain, case.identity] = passing
        return ends

    def set_of(self, case: Case, runs: Sequence[Run]) -> int:
        """Return the addresses of some runs of the case's table."""
        return self._set(case.table.rows, runs)

    def ends_with(self, key: Key, texts: Mapping[str, str]) -> tuple[list[tuple[Run, Check]], int]:
        """Return how the checks of a case end where these SPF records stand, {domain: record}, and whom it passes."""
        return self._ends(self.cases[key], standing(self.ask, texts))

    def readers(self, names: Iterable[str]) -> list[Key]:
        """Return the cases whose checks depend on the record of one of the names."""
        return list(dict.fromkeys(key for name in names for key in self._readers.get(name, ())))

    def mechanisms(self, addresses: int) -> list[str]:
        """Return the fewest mechanisms that hold exactly these addresses, which many domains may lack alike."""
        if addresses not in self._mechanisms:
            kinds = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
            given = {str(kinds[row.version](row.number)): None for row in self._rows_of(addresses)}
            self._mechanisms[addresses] = list(map(mechanism, networks(given)))
        return self._mechanisms[addresses]

    def ranges(self, addresses: int) -> dict[int, spf_ranges.Ranges]:
        """Return these addresses as ranges, by family."""
        given = self._rows_of(addresses)
        return {version: spf_ranges.of_numbers(row.number for row in given if row.version == version)
                for version in (4, 6)}

    def _rows_of(self, addresses: int) -> list[Row]:
        return [row for bit, row in enumerate(self.rows) if addresses >> bit & 1]

    def _ends(self, case: Case, ask: Ask) -> tuple[list[tuple[Run, Check]], int]:
        names: set[str] = set()
        ends = evaluate(case, heard(ask, names), self.each)
        for name in names:
            self._readers.setdefault(name, {})[case.domain, case.identity] = None
        passing = [run for run, check in ends if check.result is Result.PASS]
        if sum(end - first for first, end in passing) == len(case.table):
            return ends, self._all[id(case.table)]
        return ends, self._set(case.table.rows, passing)

    def _set(self, rows: Sequence[Row], runs: Sequence[Run]) -> int:
        found = 0
        for first, end in runs:
            low, high = (self._bits[rows[at]] for at in (first, end - 1))
            if high - low == end - first - 1:
                found |= (1 << end - first) - 1 << low
            else:
                for row in rows[first:end]:
                    found |= 1 << self._bits[row]
        return found
