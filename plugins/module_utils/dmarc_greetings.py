# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HELO names of a fleet by organization: found once, and compared with each sending domain without a list."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import Discovery, Walk

NAMED = 4


class Greetings:
    """The names with their walks."""

    def __init__(self, walks: Iterable[Walk] = ()) -> None:
        self._walks = {walked.domain: walked for walked in walks}
        self._organizations: dict[str, list[Walk]] = {}
        for walked in self._walks.values():
            if not walked.silent:
                self._organizations.setdefault(walked.organization, []).append(walked)

    def astray(self, found: Discovery) -> tuple[list[Walk], int]:
        """Return the first few names that are not aligned with a domain to which a policy applies, and how many are
        not (RFC 9989, 4.10.2). Those of which DNS did not say are not among them."""
        domain, organization = found.walk.domain, found.walk.organization
        if found.record.strict_spf:
            count = len(self._walks) - (domain in self._walks)
            others = (walked for name, walked in self._walks.items() if name != domain)
        else:
            groups = [walks for name, walks in self._organizations.items() if organization and name != organization]
            count, others = sum(map(len, groups)), chain.from_iterable(groups)
        return list(islice(others, NAMED)), count
