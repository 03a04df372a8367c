# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DMARC of sending domains: the policy, whom reports go to, and the alignment of what the fleet sends with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import combine
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_alignment import (
    Aligned,
    look,
    propose,
    verify_alignment,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_greetings import Greetings
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_proposal import (
    Proposals,
    publish,
    short,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import (
    VERSION,
    DmarcRecord,
    DmarcRecordError,
    is_dmarc,
    meant_by,
    parse_record,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_reports import verify_reports
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_rules import Remark, departures, notes, remarks
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import (
    Ask,
    Discovery,
    Step,
    discover,
    owner,
    walk,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_merge import merge_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import domain_name
from ansible_collections.mailfleet.sending.plugins.module_utils.records import quoted, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Lack, is_bad

CHECK = "dmarc"
MENTIONED = 8  # faults of one record that its verdict names
# What a module takes for one subject.
SUBJECT = {
    "domain": {"type": "str", "required": True},
    "bounce_domain": {"type": "str", "default": ""},
    "dkim": {"type": "list", "elements": "str"},
    "dmarc": {"type": "str", "default": ""},
}
LEAST = f"{VERSION}; p=none"  # what large providers demand of all who send much


@dataclass(frozen=True)
class Subject:
    """A sending domain and what the fleet sends its mail with.

    Attributes: C(domain) that of From; C(bounce_domain) that of MAIL FROM, the domain where it is left out; C(dkim)
    the d= of the signatures of one message, the domain where it is None; C(dmarc) the record that the domain should
    have, where one is wanted; C(keyless) those of C(dkim) whose keys nobody knows. Names become A-labels in lower case
    without their last dot.
    Raises: ValueError where a name or the wanted record cannot be one.
    """

    domain: str
    bounce_domain: str = ""
    dkim: tuple[str, ...] | None = None
    dmarc: str = ""
    keyless: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        domain, bounce_domain, dkim, _wanted = every(
            lambda: a_labels(self.domain), lambda: self.bounce_domain and a_labels(self.bounce_domain),
            lambda: collect(a_labels, self.dkim or (), "dkim"), self._no_mistakes)
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "bounce_domain", bounce_domain or domain)
        object.__setattr__(self, "dkim", (domain,) if self.dkim is None else tuple(dkim))

    def _no_mistakes(self) -> None:
        """Raise ValueError where the wanted record cannot be one."""
        try:
            wrong = "; ".join(map(str, parse_record(self.dmarc).problems)) if self.dmarc else ""
        except DmarcRecordError as error:
            wrong = f"at character {error.position + 1}: {error}"
        if wrong:
            raise ValueError(f"{self.domain}: dmarc {self.dmarc[:80]!r}: {wrong}")

    @property
    def wanted(self) -> DmarcRecord | None:
        """Return the record that the domain should have."""
        return parse_record(self.dmarc) if self.dmarc else None


@dataclass(frozen=True)
class Findings:
    """What was found: C(verdicts), by domain what DMARC wants, as the resolvers say, and C(lacking) for Waiting."""

    verdicts: tuple[Verdict, ...]
    discoveries: tuple[Discovery, ...]
    lacking: tuple[Lack, ...] = ()


def read_subjects(items: Iterable[Mapping[str, object]], path: str) -> list[Subject]:
    """Return the subjects of a module's option (SUBJECT), which C(path) names. Raises: ValueError with all mistakes."""
    return collect(lambda item: Subject(**item), items, path)


def read_greetings(names: Iterable[str]) -> list[str]:
    """Return the HELO names of a module's option. Raises: ValueError with all that are none."""
    return collect(a_labels, names, "helo")


def a_labels(name: str) -> str:
    """Return a domain as DMARC compares it: A-labels, lower case, no last dot (RFC 9989, 5.3.1).

    Raises: ValueError.
    """
    found = domain_name(name)
    if found is None:
        raise ValueError(f"{name!r} is no domain name; expected one such as example.com")
    return found


def verify_dmarc(lookup: Lookup, subjects: Sequence[Subject], helo: Sequence[str] = (),
                 authoritative: str = "auto") -> Findings:
    """Return the findings on the subjects.

    Arguments: C(helo) the HELO names of the fleet; C(authoritative) see Lookup.ask_by: it holds for the records of the
    subjects and for those by which others agree to take reports, while the domains above are asked of the resolvers.
    Raises: ValueError where a HELO name is none.
    """
    subjects = list(dict.fromkeys(subjects))
    names = list(dict.fromkeys(a_labels(name) for name in helo))
    checks = lookup.each(lambda subject: _Check(lookup, subject, authoritative), subjects)
    ours = {check.found.walk.organization for check in checks}
    aligned = [each for each in lookup.each(_Check.look, checks) if each]
    proposals = Proposals()
    # What a domain needs of its own record goes before what others need of one that they inherit.
    for check in sorted(checks, key=lambda check: check.found.inherited):
        check.propose(proposals)
    for each in aligned:
        propose(each, proposals)
    told = [(check.owner, check.policy(proposals)) for check in checks]
    greetings = Greetings(lookup.each(lambda name: walk(lookup.ask, name), names))
    told += [(owner(each.found.walk.domain), verify_alignment(each, proposals, greetings)) for each in aligned]
    sources = {check.found.at.domain: check for check in checks if check.found.record}
    told += [each for group in lookup.each(lambda check: check.reports(ours), sources.values()) for each in group]
    lacking = {owner: [(owner, "TXT")] for owner, verdict in told if is_bad(verdict)}
    return Findings(tuple(verdict for _owner, verdict in told), tuple(check.found for check in checks),
                    tuple(lacking.values()))


def as_policy(found: Discovery) -> dict[str, object]:
    """Return a discovery as plain data: domain, at, record, policy, subdomains, nonexistent, organization, asked.

    Texts are empty where there is nothing, or DNS did not say. What holds for subdomains is what the record says, be
    it their own or one that the domain inherits.
    """
    record = found.record
    effective = record is not None and record.applies
    return {
        "domain": found.walk.domain,
        "at": found.at.owner if found.at else "",
        "record": record.text if record else "",
        "policy": found.applied.value if found.applied else "",
        "subdomains": record.applied("sp").value if effective else "",
        "nonexistent": record.applied("np").value if effective else "",
        "organization": found.walk.organization,
        "asked": [step.owner for step in found.walk.steps],
    }


class _Check:
    """All that is to be said of one subject. Its record is asked for once."""

    def __init__(self, lookup: Lookup, subject: Subject, authoritative: str) -> None:
        self.lookup, self.subject, self.authoritative = lookup, subject, authoritative
        self.owner = owner(subject.domain)
        self.outcomes, self.instead = lookup.ask_by(authoritative, self.owner, "TXT")
        # What differs between servers is said by the policy's verdict; the rest goes on with the first answer.
        self.found = self.discover(next((each for each in self.outcomes if each.said), self.outcomes[0]))

    def discover(self, own: Outcome) -> Discovery:
        """Return the policy where the domain's own record is what one server says."""
        def ask(name: str, rdtype: str) -> Outcome:
            return own if (name, rdtype) == (self.owner, "TXT") else self.lookup.ask(name, rdtype)

        return discover(ask, self.subject.domain)

    def look(self) -> Aligned | None:
        """Return how the subject is aligned; None where no policy applies, which the policy's verdict says."""
        if not self.found.record:
            return None
        subject = self.subject
        return look(self.lookup.ask, self.found, subject.bounce_domain, subject.dkim, subject.wanted, subject.keyless)

    def propose(self, proposals: Proposals) -> None:
        """Note what the record that applies needs, where its owner is one to change it."""
        if self.found.record and not self.lacks_its_own(self.found) and not self.is_of_a_suffix(self.found):
            for remark in reversed(self.remarks(self.found)):
                proposals.need(self.found.at.owner, remark.changes)

    def remarks(self, found: Discovery) -> list[Remark]:
        """Return what is to be said of the record that applies."""
        return remarks(found) + (departures(found.record, self.subject.wanted) if self.subject.wanted else [])

    def policy(self, proposals: Proposals) -> Verdict:
        return combine(self.outcomes, lambda outcome: self.judge(outcome, proposals), self.instead, _meant)

    def lacks_its_own(self, found: Discovery) -> bool:
        """Return whether the domain has no record of its own and needs one."""
        own = found.walk.own
        nothing = not found.record and not found.silent
        return own.outcome.said and not own.record and bool(self.subject.dmarc or self.unusable(own) or nothing)

    def judge(self, outcome: Outcome, proposals: Proposals) -> Verdict:
        """Return the verdict on the policy as one server's answer makes it."""
        found = self.discover(outcome)
        own = found.walk.own

        def verdict(status: Status, words: str, cause: str = "", mend: str = "") -> Verdict:
            return Verdict(CHECK, (self.subject.domain,), status, words, self.subject.dmarc or "a DMARC policy", cause,
                           mend, outcome.source)

        if self.lacks_its_own(found):
            return self.missing(found, self.unusable(own), verdict)
        if found.silent:
            return verdict(Status.UNKNOWN, "no answer", str(found.silent),
                           f"make {found.silent.server} answer, then check again")
        said = self.remarks(found)
        if not said:
            return verdict(Status.OK, _words(found))
        causes = list(dict.fromkeys(remark.cause for remark in said))
        cause = "; ".join(map(short, causes[:MENTIONED]))
        cause += f"; and {len(causes) - MENTIONED} more" if len(causes) > MENTIONED else ""
        return verdict(max((remark.status for remark in said), key=lambda each: each.rank), _words(found), cause,
                       self.mend(found, said, proposals))

    def unusable(self, own: Step) -> str:
        """Return why what stands at the domain's own name is no record, where something does."""
        if len(own.records) > 1:
            return (f"there are {len(own.records)} DMARC records at {self.owner}: all are discarded (RFC 9989, 4.10), "
                    "and receivers of RFC 7489 (6.6.3) apply no DMARC")
        meant = [value for value in own.outcome.values if "dmarc1" in value.lower()]
        if own.records or not meant:
            return ""
        try:
            parse_record(meant[0])
        except DmarcRecordError as error:
            return f"no DMARC record at {self.owner}, at character {error.position + 1}: {error} (RFC 9989, 4.8)"
        return ""

    def missing(self, found: Discovery, faulty: str, verdict: Callable[..., Verdict]) -> Verdict:
        """Return the verdict where the domain has no record of its own and needs one."""
        own = found.walk.own
        place, astray = ("", "") if faulty else self.elsewhere()
        several = [merge_dmarc(own.records, None)] if len(own.records) > 1 else own.outcome.values
        meant = next(filter(None, map(meant_by, (*several, astray))), LEAST)
        right = f"publish {self.owner} TXT {_quoted(self.subject.dmarc or meant)}"
        if faulty:
            words = "; ".join(map(short, own.records or own.outcome.values))
            return verdict(Status.FAIL, words, faulty, f"{right} and no other DMARC record there")
        cause = f"there is no DMARC record at {self.owner}"
        cause += f" (there is one at {place}, where nobody looks)" if place else ""
        if found.inherited:
            cause += f", so that the one of {found.at.domain} applies (RFC 9989, 4.10.1)"
        elif not found.silent:
            cause += ", and none above it applies (RFC 9989, 4.10.1); large providers demand at least p=none"
        return verdict(Status.ABSENT, _words(found) if found.record else own.outcome.kind.value, cause, right)

    def elsewhere(self) -> tuple[str, str]:
        """Return where else a record stands, as panels that add the zone's name or lack a field put it, and its text.
        """
        domain = self.subject.domain
        for name in (f"_dmarc.{domain}.{domain}.", f"{domain}."):
            if texts := [text for text in self.lookup.ask(name, "TXT").values if is_dmarc(text)]:
                return name, texts[0]
        return "", ""

    def is_of_a_suffix(self, found: Discovery) -> bool:
        """Return whether the record that applies is a public suffix's, which is not ours."""
        return found.inherited and ("." not in found.at.domain or found.record.psd == "y")

    def mend(self, found: Discovery, said: list[Remark], proposals: Proposals) -> str:
        """Return the record to publish, with all changes at once."""
        if self.is_of_a_suffix(found):
            # One of our own takes its place.
            return f"publish {self.owner} TXT {_quoted(LEAST if found.record.psd == 'y' else f'{LEAST}; psd=n')}"
        if found.at == self.found.at:
            mend = proposals.policy(found.at.owner, found.record)
        else:  # what one of several servers says that differ
            mend = publish(found.at.owner, found.record, {tag: value for remark in said
                                                          for tag, value in remark.changes.items()})
        return mend or f"correct {found.at.owner}"

    def reports(self, ours: set[str]) -> list[tuple[str, Verdict]]:
        """Return the verdicts on those whom the record sends reports to, each with the name that was asked for."""
        names: dict[Verdict, str] = {}

        def combined(name: str, judge: Callable[[Outcome], Verdict]) -> Verdict:
            outcomes, instead = self.lookup.ask_by(self.authoritative, name, "TXT")
            verdict = combine(outcomes, judge, instead)
            names[verdict] = name
            return verdict

        ask: Ask = self.lookup.ask
        walked = walk(ask, self.found.at.domain) if self.found.inherited else self.found.walk
        verdicts = verify_reports(ask, self.found.at, walked, ours, combined)
        return [(names.get(verdict, self.found.at.owner), verdict) for verdict in verdicts]


def _meant(outcome: Outcome) -> tuple:
    """Return the values that are DMARC records, or were meant to be."""
    return tuple(value for value in outcome.values if "dmarc1" in value.lower())


def _words(found: Discovery) -> str:
    """Return the policy in words, the same for all domains to which the record applies."""
    record, at = found.record, found.at
    name = "" if not found.inherited else f", inherited ({found.tag}=)"
    effect = "no policy" if found.applied is None else found.applied.value
    tested = f", {found.requested.value} lowered by t=y" if found.applied is not found.requested else ""
    words = f"{effect}{name}{tested}: {short(record.text)} at {at.owner}"
    if found.walk.organization not in ("", at.domain):
        words += f", of the organization {found.walk.organization}"
    return "; ".join([words, *notes(found)])


def _quoted(text: str) -> str:
    """Return a value as a zone file has it, in strings of at most 255 bytes (RFC 1035, 3.3 and 5.1)."""
    return quoted(to_bytes(text))
