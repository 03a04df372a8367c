# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public corpus of bounces beside the clone: its messages, what careful readers say of them, and how we count."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from mailfleet.finding import Finding

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bounces"
FLAGGED = ("hard", "soft", "complaint")
# The corpus' names of reasons, and ours.
REASONS = {
    "userunknown": "user-unknown", "hasmoved": "moved", "hostunknown": "domain-unknown", "notaccept": "no-mail",
    "mailboxfull": "mailbox-full", "suspend": "disabled", "filtered": "filtered", "exceedlimit": "too-big",
    "mesgtoobig": "too-big", "spamdetected": "spam", "virusdetected": "spam", "contenterror": "content",
    "notcompliantrfc": "content", "syntaxerror": "content", "authfailure": "authentication", "rejected": "sender",
    "norelaying": "relay", "policyviolation": "policy", "securityerror": "policy", "failedstarttls": "policy",
    "blocked": "blocked", "badreputation": "blocked", "requireptr": "blocked", "speeding": "rate", "toomanyconn":
        "rate",
    "expired": "unreachable", "networkerror": "unreachable", "systemerror": "system", "systemfull": "system",
    "mailererror": "system", "undefined": "undetermined", "onhold": "undetermined", "feedback": "complaint",
}


@dataclasses.dataclass
class Count:
    """How much of the corpus was read as its readers do; `wrong` says of each recipient what was not."""

    recipients: int = 0
    found: int = 0
    kinds: int = 0
    reasons: int = 0
    soft: int = 0
    soft_called_hard: int = 0
    complaints: int = 0
    complaints_found: int = 0
    others: int = 0
    others_flagged: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)

    def share(self, part: int, whole: int = 0) -> float:
        """Return a count as a share of another, of the recipients where none is given."""
        return part / (whole or self.recipients or 1)


def cases() -> Iterator[tuple[str, bytes, list[dict]]]:
    """Yield each message of the corpus: its name, its bytes, and what is expected of it."""
    for line in (CORPUS / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        raw = (CORPUS / "messages" / case["file"]).read_bytes()
        yield case["file"], raw, [each for each in case["expect"] if each["kind"] != "none"]


def count(read: Callable[[bytes], tuple[Finding, ...]], change: Callable[[bytes], bytes] = bytes) -> Count:
    """Count what a parser reads in the corpus, each message changed before."""
    total = Count()
    for name, raw, expected in cases():
        found: dict[str, Finding] = {}
        for finding in read(change(raw)):
            found.setdefault(finding.recipient.lower(), finding)
        if not expected:
            total.others += 1
            total.others_flagged += any(finding.kind in FLAGGED for finding in found.values())
        for each in expected:
            add(total, name, each, found.get(each["recipient"].lower()))
    return total


def add(total: Count, name: str, expected: dict, found: Finding | None) -> None:
    """Count one recipient."""
    kind, reason = expected["kind"], REASONS[expected["reason"]]
    total.recipients += 1
    total.soft += kind == "soft"
    total.complaints += kind == "complaint"
    if found is None:
        total.wrong.append(f"{name}: {expected['recipient']} was not found")
        return
    total.found += 1
    total.kinds += found.kind == kind
    total.reasons += found.reason == reason
    total.soft_called_hard += kind == "soft" and found.kind == "hard"
    total.complaints_found += kind == "complaint" and found.kind == "complaint"
    if (found.kind, found.reason) != (kind, reason):
        total.wrong.append(f"{name}: {kind} {reason} ({expected['reason']}), found {found.kind} {found.reason} by "
                           f"{found.rule}")
