# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether those whom DMARC reports are sent to have agreed to take them (RFC 9990, 4; RFC 9991, 5)."""

from __future__ import annotations

from collections.abc import Callable, Container

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import VERSION, is_dmarc, parse_record
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import Ask, Step, Walk, owner, walk
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "dmarc_reports"
LOOKED_AT = 20  # domains that one record names: it may name thousands
_NAME_BYTES = 253  # of a name as text, RFC 1035, 2.3.4

# Returns one verdict of what all asked servers say at a name.
Combined = Callable[[str, Callable[[Outcome], Verdict]], Verdict]


def hosts(at: Step) -> list[str]:
    """Return the domains outside of the policy's own name that its record sends reports to."""
    uris = (*at.record.rua, *at.record.ruf)
    return [host for host in dict.fromkeys(uri.host for uri in uris if uri.scheme == "mailto") if host != at.domain]


def verify_reports(ask: Ask, at: Step, walked: Walk, ours: Container[str],
                   combined: Combined) -> list[Verdict]:
    """Return a verdict on each domain of another organization that the record sends reports to.

    Arguments: C(at) where the record stands; C(walked) the walk from there; C(ours) the organizations that are the
    fleet's own, whose records its owner publishes; C(combined) asks for a name and combines what servers say.
    """
    named = hosts(at)
    verdicts = [each for host in named[:LOOKED_AT] for each in _verify(ask, at, walked, host, ours, combined)]
    if len(named) > LOOKED_AT:
        found = f"reports go to {len(named):,} other domains, of which the first {LOOKED_AT} were looked at"
        verdicts.append(Verdict(CHECK, (f"reports about {at.domain}",), Status.WARN, found, "a few addresses",
                                f"{found}; receivers may send to the first ones only (RFC 7489, 6.2)",
                                f"leave a few addresses in the record of {at.domain}", at.outcome.source))
    return verdicts


def _verify(ask: Ask, at: Step, walked: Walk, host: str, ours: Container[str], combined: Combined) -> list[Verdict]:
    name = f"{at.domain}._report._dmarc.{host}."
    subjects = (f"reports about {at.domain} to {host}",)
    expected = f'{name} TXT "{VERSION}"'
    theirs = walk(ask, host)
    silent = theirs.silent or walked.silent
    if silent:
        source = f"TXT {owner(theirs.steps[-1].domain if theirs.silent else walked.steps[-1].domain)}"
        return [Verdict(CHECK, subjects, Status.UNKNOWN, "no answer", expected,
                        f"whether {host} is of another organization than {at.domain} is not known: {silent}",
                        f"make {silent.server} answer, then check again", source)]
    if theirs.organization == walked.organization:
        return []
    who = "you publish" if theirs.organization in ours else f"the owner of {host} publishes"
    if len(name) - 1 > _NAME_BYTES:
        return [Verdict(CHECK, subjects, Status.FAIL, f"a name of {len(name) - 1} characters", expected,
                        f"the name is longer than {_NAME_BYTES}, so that nobody can agree (RFC 9990, 4, step 4)",
                        f"send reports to an address of {walked.organization}", f"TXT {name}")]

    def judge(outcome: Outcome) -> Verdict:
        status, found, cause, mend = _agreed(outcome, at, host, f'{who} {name} TXT "{VERSION}"')
        return Verdict(CHECK, subjects, status, found, expected, cause, mend, outcome.source)

    return [combined(name, judge)]


def _agreed(outcome: Outcome, at: Step, host: str, publish: str) -> tuple[Status, str, str, str]:
    """Return status, found, cause and mend of one answer."""
    if not outcome.said:
        return Status.UNKNOWN, "no answer", str(outcome), f"make {outcome.server} answer, then check again"
    records = [parse_record(value) for value in outcome.values if is_dmarc(value)]
    if not records:
        cause = f"{host} has not agreed to take reports about {at.domain}, so that none are sent (RFC 9990, 4)"
        if outcome.values:
            return Status.FAIL, f"no DMARC record: {_short(outcome.values[0])}", cause, publish
        return Status.ABSENT, outcome.kind.value, cause, publish
    found = "; ".join(_short(record.text) for record in records)
    overriding = [uri for record in records for uri in (*record.rua, *record.ruf)]
    if astray := [uri.text for uri in overriding if uri.host != host]:
        return (Status.FAIL, found, f"{host} sends them on to {astray[0]}, of another domain: reports go to neither "
                                    "(RFC 9990, 4)", publish)
    if len(outcome.values) > 1:
        return (Status.WARN, found, f"there are {len(outcome.values)} TXT values; receivers of RFC 7489 (7.1) take "
                                    "several as none", f"{publish}, and nothing else there")
    return Status.OK, found, "", ""


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"
