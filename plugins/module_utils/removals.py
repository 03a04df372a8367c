# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether records may go that nothing wants any more: DNS accepts the fleet of before until the one that stays is
proved, so that going back needs no DNS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_verdicts
from ansible_collections.mailfleet.sending.plugins.module_utils.judgement import NOT_TOLD
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

# Check mode sends nothing, so whether the removals that it shows take place is for the run to find out.
NOT_PROVED_YET = "whether what stays is proved, without which a run removes none of the records shown as removed"
_GOOD = (Status.OK, Status.WARN)


def against(
    proof: Iterable[Mapping[str, Any]], expanded: Mapping[str, Any] | None = None, *, check: bool = False
) -> list[Verdict]:
    """Return the verdicts that speak against removing anything; none where it may go.

    Arguments: `proof` the verdicts of probe and verification on what stays, as plain data; `expanded` what dns_records
    returned when it added, which must be complete; `check` that nothing was really added.
    Whatever failed, is absent or is not known speaks against it, but for what might do so for ever:
    - a probe that the inventory gives no way to make, for want of a mailbox or of a login, and the name of the address
      where a receiver never writes it. What DNS says of the servers that stay then has to do, and something has to be
      ok.
    - a value of somebody else in the place of ours, which stays until its owner decides. What it does to mail is what
      probe and verification find.
    In check mode DNS may still lack what a run adds first; then what is verified of it says nothing about the run.
    Raises ValueError where something in `proof` is no verdict.
    """
    expanded = expanded or {}
    if check and expanded.get("changed"):
        return []
    verdicts = [*map(Verdict.from_dict, proof), *dns_verdicts.of_publishing(expanded)]
    if not any(verdict.status in _GOOD for verdict in verdicts):
        return [*filter(_speaks, verdicts)] or [_nothing()]
    return [*filter(_speaks, verdicts)]


def _speaks(verdict: Verdict) -> bool:
    not_probed = verdict.status is Status.UNKNOWN and (verdict.check == "probe" or verdict.found == NOT_TOLD)
    foreign = verdict.check == dns_verdicts.CHECK and verdict.status is Status.FAIL
    return not (verdict.status in _GOOD or not_probed or foreign)


def _nothing() -> Verdict:
    """Return the verdict of a run that verified nothing."""
    return Verdict(
        "proof",
        ("the servers that stay",),
        Status.UNKNOWN,
        "nothing was verified",
        "at least what DNS says of their addresses",
        "nothing is known of them",
        "verify their PTR and SPF records, and run again",
        "the verdicts that were given",
    )
