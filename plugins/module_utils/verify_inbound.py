# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records of MTA-STS and TLSRPT of domains that receive: how others should deliver to them.

They are inbound policy: they say nothing about mail that the fleet sends, and a domain may do without them. The policy
file of MTA-STS is fetched by HTTPS, which is not done here; that is said in what was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=(.+)", re.DOTALL)
_OTHER = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+\Z")  # the value of a field that neither RFC knows
# A URI (RFC 3986) without the comma and the exclamation mark, which have to be encoded (RFC 8460, 3).
_PLACE = re.compile(r"(?=[a-z0-9._~:/?#\[\]@$&'()*+=%-]+\Z)(?:mailto:[^@]+@[^@]+|https://[^/]+.*)\Z", re.IGNORECASE)
_KNOWN = ("id", "rua")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,32}\Z")


class PolicyError(ValueError):
    """The text is no such record; the message says what is wrong and by which section."""


def parse_mta_sts(text: str) -> str:
    """Return the policy's id, which changes with the policy (RFC 8461, 3.1).

    Raises: PolicyError.
    """
    fields = _fields(text, "STSv1", "RFC 8461, 3.1")
    if not _IDENTIFIER.match(fields.get("id", "")):
        raise PolicyError("id= must be 1 to 32 letters and digits (RFC 8461, 3.1)")
    return fields["id"]


def parse_tlsrpt(text: str) -> tuple[str, ...]:
    """Return the places to which reports go (RFC 8460, 3).

    Raises: PolicyError.
    """
    fields = _fields(text, "TLSRPTv1", "RFC 8460, 3")
    places = tuple(place.strip() for place in fields.get("rua", "").split(",") if place.strip())
    if not places:
        raise PolicyError("rua= names no place for reports (RFC 8460, 3)")
    for place in places:
        if not _PLACE.match(place):
            raise PolicyError(f"rua= holds {place!r}; expected mailto:address or an https: address (RFC 8460, 3)")
    return places


def verify_inbound(lookup: Lookup, domains: Sequence[str]) -> list[Verdict]:
    """Return two verdicts on each domain: C(mta-sts) and C(tlsrpt).

    Having none is C(ok), since both are optional. A record that senders cannot use is C(fail): its owner wanted one.
    Raises: ValueError where a domain is no name.
    """
    names = list(dict.fromkeys(map(absolute_name, domains)))
    checks: list[tuple[str, Callable[[Lookup, str], Verdict]]] = [
        (name, check) for name in names for check in (_mta_sts, _tlsrpt)]
    return lookup.each(lambda item: item[1](lookup, item[0]), checks)


def questions(check: str, domain: str) -> list[tuple[str, str]]:
    """Return the questions by which a verdict of a check of verify_inbound is made; C(domain) is absolute."""
    if check == "tlsrpt":
        return [(f"_smtp._tls.{domain}", "TXT")]
    return [(f"_mta-sts.{domain}", "TXT"), (f"mta-sts.{domain}", "A"), (f"mta-sts.{domain}", "AAAA")]


def _mta_sts(lookup: Lookup, domain: str) -> Verdict:
    verdict, record = _record(lookup, "mta-sts", f"_mta-sts.{domain}", domain, parse_mta_sts,
                              "v=STSv1; id=1;", "a record with an id, and a policy host")
    if not record:
        return verdict
    host = f"mta-sts.{domain}"
    found = lookup.each(lambda rdtype: lookup.ask(host, rdtype), ("A", "AAAA"))
    sources = "; ".join([verdict.source, *(outcome.source for outcome in found)])
    if any(outcome.values for outcome in found):
        told = f"{verdict.found}; the policy at https://{host.removesuffix('.')} was not fetched"
        return replace(verdict, found=told, source=sources)
    if silent := [outcome for outcome in found if not outcome.said]:
        return replace(verdict, status=Status.UNKNOWN, cause=str(silent[0]), source=sources,
                       mend=f"make {silent[0].server} answer, then check again")
    return replace(verdict, status=Status.FAIL, source=sources,
                   cause=f"the policy's host {host} has no address: {found[0]} (RFC 8461, 3.3)",
                   mend=f"publish {host} A with the address of its web server, or remove _mta-sts.{domain} TXT")


def _tlsrpt(lookup: Lookup, domain: str) -> Verdict:
    example = f"v=TLSRPTv1; rua=mailto:postmaster@{domain.removesuffix('.')}"
    expected = "a record with places for reports"
    return _record(lookup, "tlsrpt", f"_smtp._tls.{domain}", domain, parse_tlsrpt, example, expected)[0]


def _record(lookup: Lookup, check: str, owner: str, domain: str, parse: Callable[[str], object], example: str,
            expected: str) -> tuple[Verdict, str]:
    """Return the verdict on the one record of a kind, and its text where there is one that can be used."""
    outcome = lookup.ask(owner, "TXT")
    version = example.partition(";")[0]
    texts = [text for text in outcome.values if text.partition(";")[0].rstrip(" \t") == version]
    verdict = Verdict(check, (domain,), Status.OK, "none, which is allowed", f"none, or {expected}",
                      source=outcome.source)
    if not outcome.said:
        return replace(verdict, status=Status.UNKNOWN, found="no answer", cause=str(outcome),
                       mend=f"make {outcome.server} answer, then check again"), ""
    if len(texts) > 1:
        cause = f"there are {len(texts)} records, so senders take none (RFC 8461, 3.1; RFC 8460, 3)"
        return replace(verdict, status=Status.FAIL, found=_shown(outcome), cause=cause, mend="remove all but one"), ""
    if not texts:
        if not outcome.values:
            return verdict, ""
        cause = f"none of its values begins with {version};"
        return replace(verdict, status=Status.WARN, found=_shown(outcome), cause=cause,
                       mend=f'publish {owner} TXT "{example}", or remove the record'), ""
    try:
        parse(texts[0])
    except PolicyError as error:
        return replace(verdict, status=Status.FAIL, found=_shown(outcome), cause=str(error),
                       mend=f'publish {owner} TXT "{example}" instead, or remove the record'), ""
    if not texts[0].startswith(f"{version};"):
        cause = (f"white space stands before the first semicolon: senders may discard what does not begin with "
                 f"{version}; (RFC 8461, 3.1; RFC 8460, 3)")
        instead = f"{version};{texts[0].partition(';')[2]}" if len(texts[0]) <= 300 else example
        verdict = replace(verdict, status=Status.WARN, cause=cause, mend=f'publish {owner} TXT "{instead}" instead')
    return replace(verdict, found=_shown(outcome)), texts[0]


def _shown(outcome: Outcome) -> str:
    text = str(outcome)
    return text if len(text) <= 200 else f"{text[:180]}… ({len(text)} characters)"


def _fields(text: str, version: str, section: str) -> dict[str, str]:
    """Return name to value of a record whose fields semicolons part, the version first."""
    pieces = [piece.strip(" \t") for piece in text.split(";")]
    if pieces[0] != f"v={version}":
        raise PolicyError(f"it does not begin with v={version}; ({section})")
    if pieces[-1] == "":
        pieces.pop()
    fields: dict[str, str] = {}
    for piece in pieces[1:]:
        match = _FIELD.fullmatch(piece)
        if not match:
            raise PolicyError(f"{piece[:40]!r} is no field=value ({section})")
        name, value = match.groups()
        if name not in _KNOWN and not _OTHER.match(value):
            raise PolicyError(f"{name}= holds {value[:40]!r}; expected no space, equals sign or control ({section})")
        if name in fields:
            raise PolicyError(f"{name}= stands twice ({section})")
        fields[name] = value
    return fields
