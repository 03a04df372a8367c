# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run found out about the authoritative servers themselves, told once and not with each record they serve."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import LET_ASK
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "name servers"
EVERY = "all authoritative servers"  # the subject of what is said of all of them


def verify_authorities(lookup: Lookup) -> list[Verdict]:
    """Return the verdicts on what the lookup met while others asked it, none where all was well. It asks nothing."""
    return [*_cut_off(lookup)]


def _cut_off(lookup: Lookup) -> list[Verdict]:
    """Return the verdict where authoritative servers were given up: what the resolvers say stands for theirs."""
    if not lookup.why_cut_off:
        return []
    resolvers = ", ".join(map(str, lookup.resolvers))
    return [Verdict(CHECK, (EVERY,), Status.WARN, f"only the resolvers were asked: {resolvers}",
                    "every authoritative server asked", f"{CUT_OFF}: {lookup.why_cut_off}", LET_ASK,
                    f"questions to authoritative servers, port {lookup.authority_port}")]
