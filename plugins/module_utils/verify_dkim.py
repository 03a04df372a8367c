# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether every authoritative server serves the DKIM keys of the fleet, and serves them right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_damage, dkim_places
from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import agree, combine
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import FRESH, Key, judge
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Waiting, is_bad


@dataclass(frozen=True)
class Findings:
    """What was found: a verdict for each key; C(seen) those served as expected by every authoritative server."""

    verdicts: tuple[Verdict, ...]
    seen: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class _Asked:
    """The verdict on one key, the answers that it comes from, and why the resolvers were asked, where they were."""

    verdict: Verdict
    outcomes: tuple[Outcome, ...]
    instead: str

    @property
    def waits(self) -> bool:
        return is_bad(self.verdict)

    @property
    def values(self) -> Outcome | None:
        """Return the first answer that has values."""
        return next((outcome for outcome in self.outcomes if outcome.values), None)

    @property
    def key_type(self) -> str:
        """Return the type of a key that verifiers can use, nothing where there is none."""
        record = None if self.waits else dkim_damage.read(self.values.values[0])
        return record.key_type if record else ""


def verify_dkim(lookup: Lookup, keys: Sequence[Key], authoritative: str = "auto",
                waiting: Waiting | None = None) -> Findings:
    """Return the findings on the keys, asked anew with growing pauses until all are good or the time is up.

    Arguments: C(authoritative) see Lookup.ask_by; C(waiting) the patience, without which they are asked for once.
    """
    found = (waiting or Waiting()).each_good(
        lookup, keys, lambda keys: lookup.each(lambda key: _ask(lookup, key, authoritative), keys),
        lambda key, asked: [(key.owner, "TXT")] if asked.waits else [])
    verdicts = lookup.each(lambda item: _looked_around(lookup, *item), found.items())
    verdicts = _second_signatures(found, verdicts)
    seen = [{"domain": key.domain, "selector": key.selector, "servers": list(agree(asked.outcomes).servers)}
            for key, asked in found.items() if key.public and not asked.instead and not asked.waits]
    return Findings(tuple(verdicts), tuple(seen))


def _ask(lookup: Lookup, key: Key, authoritative: str) -> _Asked:
    # All values at the name are compared: what verifiers make of one beside the key is not defined (RFC 6376, 3.6.2.2),
    # so that it is a fault of the server that has it.
    outcomes, instead = lookup.ask_by(authoritative, key.owner, "TXT")
    return _Asked(combine(outcomes, lambda outcome: judge(key, outcome), instead), tuple(outcomes), instead)


def _looked_around(lookup: Lookup, key: Key, asked: _Asked) -> Verdict:
    """Return the verdict with what explains it and stands at other names, asked for once, after all waiting."""
    if values := asked.values:
        return dkim_places.notice_wildcard(lookup, key, asked.verdict, values)
    denied = [outcome for outcome in asked.outcomes if outcome.kind in (Kind.NO_NAME, Kind.NO_DATA)]
    if denied and not denied[0].chain:
        return dkim_places.find(lookup, key, asked.verdict, denied[0])
    return asked.verdict


def _second_signatures(found: dict[Key, _Asked], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts with a warning on each Ed25519 key that has no RSA key of its domain beside it.

    RFC 8463, 6 has both sign, since verifiers that do not know Ed25519 take such a signature for none.
    """
    with_rsa = {absolute_name(key.domain) for key, asked in found.items() if asked.key_type == "rsa"}
    cause = ("no RSA key of the domain was given beside it, and many receivers do not verify Ed25519: it serves as a "
             "second signature only (RFC 8463, 6)")
    return [replace(verdict, status=Status.WARN, cause=f"{verdict.cause}; {cause}" if verdict.cause else cause,
                    mend=verdict.mend or f"{FRESH} too")
            if asked.key_type == "ed25519" and absolute_name(key.domain) not in with_rsa else verdict
            for (key, asked), verdict in zip(found.items(), verdicts)]
