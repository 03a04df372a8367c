# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DNS Tree Walk of DMARC (RFC 9989, 4.10): which record applies to a domain, and which organization it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import (
    DmarcRecord,
    Policy,
    is_dmarc,
    parse_record,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome

SHORTENED = 7  # labels that remain of a name of 8 or more: so no name costs more than 8 questions

Ask = Callable[[str, str], Outcome]


@dataclass(frozen=True)
class Step:
    """One question of a walk.

    Attributes: C(domain) without its last dot; C(outcome) of the TXT question at C(owner); C(record) the one DMARC
    record there, None where there is none, or several, which are all discarded (RFC 9989, 4.10, steps 2 and 6).
    """

    domain: str
    outcome: Outcome
    record: DmarcRecord | None = None

    @property
    def owner(self) -> str:
        """Return the absolute name at which the record stands."""
        return owner(self.domain)

    @property
    def records(self) -> list[str]:
        """Return all values that begin as a DMARC record does."""
        return [value for value in self.outcome.values if is_dmarc(value)]

    @property
    def stops(self) -> bool:
        """Return whether the walk ends here: the record says that this is a public suffix, or that it is none."""
        return self.record is not None and self.record.psd != "u"


@dataclass(frozen=True)
class Walk:
    """A tree walk. C(steps) are its questions in their order; one that DNS did not answer is the last."""

    domain: str
    steps: tuple[Step, ...]

    @property
    def silent(self) -> Outcome | None:
        """Return the question that DNS did not answer, where there is one; then only an own record is known."""
        return None if self.steps[-1].outcome.said else self.steps[-1].outcome

    @property
    def own(self) -> Step:
        """Return the question about the domain itself."""
        return self.steps[0]

    @property
    def organization(self) -> str:
        """Return the Organizational Domain (RFC 9989, 4.10.2), or nothing where DNS did not say."""
        if self.silent:
            return ""
        found = [step for step in self.steps if step.record]
        for step in found:
            if step.record.psd == "n":
                return step.domain
            if step.record.psd == "y" and step is not self.own:
                return one_below(self.domain, step.domain)
        return found[-1].domain if found else self.domain

    @property
    def applying(self) -> Step | None:
        """Return where the record stands that applies to mail from the domain: its own, that of its Organizational
        Domain, or that of the public suffix (RFC 9989, 4.10.1); None where there is none, or DNS did not say."""
        if self.own.record:
            return self.own
        if self.silent:
            return None
        found = {step.domain: step for step in self.steps if step.record}
        suffix = next((step for step in found.values() if step.record.psd == "y"), None)
        return found.get(self.organization, suffix)


@dataclass(frozen=True)
class Discovery:
    """What DMARC wants for mail from a domain.

    Attributes: C(walk); C(at) the step whose record applies, None where there is none or C(silent) did not say;
    C(tag) which of its policies, p, sp or np; C(requested) it, and C(applied) what becomes of it with t=y, both None
    where receivers apply no DMARC.
    """

    walk: Walk
    at: Step | None = None
    tag: str = "p"
    requested: Policy | None = None
    applied: Policy | None = None
    silent: Outcome | None = None

    @property
    def record(self) -> DmarcRecord | None:
        """Return the record that applies."""
        return self.at.record if self.at else None

    @property
    def inherited(self) -> bool:
        """Return whether the record is that of a domain above."""
        return self.at is not None and self.at is not self.walk.own


def owner(domain: str) -> str:
    """Return the absolute name of a domain's DMARC record."""
    return f"_dmarc.{domain}."


def one_below(domain: str, above: str) -> str:
    """Return the name one label below C(above) on the way to the domain, which is below it."""
    labels = domain.split(".")
    return ".".join(labels[len(labels) - above.count(".") - 2:])


def targets(domain: str) -> Iterator[str]:
    """Yield the domains whose records a walk asks for, the domain first, in A-labels and without last dots."""
    yield domain
    labels = domain.split(".")
    for count in range(min(len(labels) - 1, SHORTENED), 0, -1):
        yield ".".join(labels[-count:])


def walk(ask: Ask, domain: str) -> Walk:
    """Return the walk from a domain up to its top label, or to where psd=y, psd=n or silence ends it.

    Arguments: C(ask) as Lookup.ask; C(domain) in A-labels, lower case, without its last dot.
    """
    steps: list[Step] = []
    for target in targets(domain):
        outcome = ask(owner(target), "TXT")
        step = Step(target, outcome)
        if len(step.records) == 1:
            step = Step(target, outcome, parse_record(step.records[0]))
        steps.append(step)
        if step.stops or not outcome.said:
            break
    return Walk(domain, tuple(steps))


def discover(ask: Ask, domain: str) -> Discovery:
    """Return the policy for mail from a domain (RFC 9989, 4.10.1).

    Whether the domain exists is asked only where that decides between sp= and np=. Arguments: as for walk().
    """
    walked = walk(ask, domain)
    at = walked.applying
    if not at:
        return Discovery(walked, silent=walked.silent)
    if not at.record.applies:
        return Discovery(walked, at, "p" if at is walked.own else "sp")
    tag = "p"
    if at is not walked.own:
        tag = "sp"
        if at.record.requested("sp") is not at.record.requested("np"):
            # RFC 9989, 3.2.13: a domain does not exist where the answer is NXDOMAIN; an alias does exist.
            existence = ask(f"{domain}.", "A")
            if not existence.said:
                return Discovery(walked, at, silent=existence)
            tag = "np" if existence.kind is Kind.NO_NAME and not existence.chain else "sp"
    return Discovery(walked, at, tag, at.record.requested(tag), at.record.applied(tag))
