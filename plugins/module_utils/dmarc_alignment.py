# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the From domain is aligned with the domains that a fleet passes SPF and DKIM with (RFC 9989, 4.4, 4.10.2).

One aligned identifier is enough for DMARC; Microsoft and Orange want both, so that one alone is a warning.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_unknown
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_greetings import Greetings
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_record import amended
from ansible_collections.mailfleet.sending.plugins.module_utils.dmarc_walk import Ask, Discovery, Walk, walk
from ansible_collections.mailfleet.sending.plugins.module_utils.records import quoted, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

CHECK = "alignment"
_MODES = {True: "strict", False: "relaxed"}


@dataclass(frozen=True)
class Identifier:
    """A domain that mail passes SPF or DKIM with. C(mechanism) is "SPF" or "DKIM", C(domain) in A-labels."""

    mechanism: str
    domain: str


@dataclass(frozen=True)
class Alignment:
    """Whether an identifier is aligned; C(strict) the mode.

    None where that is not known: DNS did not say, and C(walk) has who, or without one nobody knows the key.
    """

    identifier: Identifier
    strict: bool
    aligned: bool | None
    walk: Walk | None = None

    def __str__(self) -> str:
        word = {True: "aligned", False: "not aligned", None: "not known"}[self.aligned]
        return f"{self.identifier.mechanism} {self.identifier.domain} {word} ({_MODES[self.strict]})"


def align(ask: Ask, found: Discovery, identifier: Identifier) -> Alignment:
    """Return whether the identifier is aligned with the domain whose policy was found.

    Raises: ValueError where no policy applies: then nothing is aligned, nor has to be.
    """
    if not found.record:
        raise ValueError(f"no policy applies to {found.walk.domain}")
    strict = found.record.strict_spf if identifier.mechanism == "SPF" else found.record.strict_dkim
    if identifier.domain == found.walk.domain:
        return Alignment(identifier, strict, True)
    if strict:
        return Alignment(identifier, strict, False)
    if found.walk.silent:
        return Alignment(identifier, strict, None, found.walk)
    walked = walk(ask, identifier.domain)
    same = None if walked.silent else walked.organization == found.walk.organization
    return Alignment(identifier, strict, same, walked)


def verify_alignment(ask: Ask, found: Discovery, bounce_domain: str, dkim: Iterable[str],
                     helo: Greetings | None = None, keyless: Container[str] = ()) -> Verdict:
    """Return the verdict on mail from a domain to which a policy applies.

    Arguments: C(bounce_domain) the domain of MAIL FROM; C(dkim) the d= of all signatures of a message; C(helo) the
    HELO names, which SPF judges where MAIL FROM is empty (RFC 7208, 2.4); C(keyless) those of C(dkim) whose keys nobody
    knows, so that it is not known whether mail bears their signatures. Domains are A-labels in lower case.
    """
    domain = found.walk.domain
    spf = align(ask, found, Identifier("SPF", bounce_domain))
    signed = [Alignment(Identifier("DKIM", name), found.record.strict_dkim, None) if name in keyless
              else align(ask, found, Identifier("DKIM", name)) for name in dict.fromkeys(dkim)]
    by_dkim = _any(signed)
    words = [str(spf), *(map(str, signed) if signed else ["no DKIM signature"])]
    astray, count = helo.astray(found) if helo else ([], 0)
    if astray:
        more = f" and {count - len(astray):,} more" if count > len(astray) else ""
        names = ", ".join(walked.domain for walked in astray)
        words.append(f"with an empty MAIL FROM SPF is not aligned by HELO {names}{more}")
    walks = {item.walk.domain: item.walk for item in (spf, *signed) if item.walk}
    walks |= {walked.domain: walked for walked in astray if not spf.strict}
    asked = dict.fromkeys(step.owner for walked in (found.walk, *walks.values()) for step in walked.steps)

    def verdict(status: Status, cause: str = "", mend: str = "") -> Verdict:
        return Verdict(CHECK, (domain,), status, "; ".join(words), f"SPF and DKIM aligned with {domain}", cause, mend,
                       f"TXT {', '.join(asked)}")

    if spf.aligned and by_dkim:
        return verdict(Status.OK)
    mends = [mend for item, aligned in ((spf, spf.aligned), (signed[0] if signed else None, by_dkim))
             if aligned is False for mend in [_mend(found, item)]]
    if None in (spf.aligned, by_dkim):
        doubtful = [item for item in (spf, *signed) if item.aligned is None]
        silent = [item.walk.silent for item in doubtful if item.walk]
        causes = [*map(str, silent), *(dkim_unknown.CAUSE for item in doubtful if not item.walk)]
        servers = ", ".join(dict.fromkeys(outcome.server for outcome in silent))
        first = [f"make {servers} answer, then check again"] if servers else []
        first += [dkim_unknown.MEND] if len(silent) < len(doubtful) else []
        return verdict(Status.UNKNOWN, "; ".join(dict.fromkeys(causes)), "; ".join([*first, *mends]))
    causes = [_cause(found, item) for item in (spf, *signed) if item.aligned is False]
    causes += [] if signed else ["the mail is not signed"]
    if spf.aligned or by_dkim:
        passing = "SPF" if spf.aligned else "DKIM"
        return verdict(Status.WARN, f"DMARC passes by {passing} alone, while Microsoft and Orange want both: "
                                    f"{'; '.join(causes)}", "; ".join(mends))
    policy = found.applied.value if found.applied else "none"
    return verdict(Status.FAIL, f"the mail fails DMARC (RFC 9989, 4.4), and the policy is {policy}: "
                                f"{'; '.join(causes)}", "; ".join(mends))


def _any(items: list[Alignment]) -> bool | None:
    """Return whether any is aligned; None where none is and DNS did not say of all."""
    if any(item.aligned for item in items):
        return True
    return None if any(item.aligned is None for item in items) else False


def _cause(found: Discovery, item: Alignment) -> str:
    other, domain = item.identifier.domain, found.walk.domain
    if item.strict:
        tag = "aspf" if item.identifier.mechanism == "SPF" else "adkim"
        return f"{tag}=s wants {domain} itself, and it is {other} (RFC 9989, 4.4)"
    cause = (f"{other} is of the organization {item.walk.organization}, {domain} of {found.walk.organization} "
             "(RFC 9989, 4.10.2)")
    if _related(other, domain):
        cause += "; receivers of RFC 7489 may find them of one, by their list of public suffixes"
    return cause


def _related(one: str, other: str) -> bool:
    """Return whether two names have more in common than their top label, so that a list may join them."""
    return one.split(".")[-2:] == other.split(".")[-2:]


def _mend(found: Discovery, item: Alignment | None) -> str:
    """Return the smallest change that aligns the identifier."""
    domain = found.walk.domain
    if item is None:
        return f"sign with d={domain}"
    other, spf = item.identifier.domain, item.identifier.mechanism == "SPF"
    use = f"use {domain}" + ("" if item.strict else " or a subdomain of it") + (
        " as bounce domain" if spf else f" as d= instead of {other}")
    if item.strict and _related(other, domain):
        text = amended(found.record, {"aspf" if spf else "adkim": None})
        return f"{use}, or publish {found.at.owner} TXT {_quoted(text)} instead of {_quoted(found.record.text)}"
    for walked in (item.walk, found.walk):
        parting = walked.steps[-1] if walked and walked.steps[-1].stops else None
        if parting and not item.strict and _related(other, domain) and "." in parting.domain:
            text = amended(parting.record, {"psd": None})
            return f"publish {parting.owner} TXT {_quoted(text)} instead of {_quoted(parting.record.text)}, or {use}"
    return use


def _quoted(text: str) -> str:
    """Return a value as a zone file has it, in strings of at most 255 bytes (RFC 1035, 3.3 and 5.1)."""
    return quoted(to_bytes(text))
