# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a receiver says about a message of ours, told by the message as it lies in the mailbox.

Anybody can write an Authentication-Results field into a message. One counts only when it bears the receiver's own
authserv-id and stands above the Received field by which the receiver took the message (RFC 8601 sections 4.1 and 5):
everything above that field was written after the sender had let the message go.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from ansible_collections.mailfleet.sending.plugins.module_utils import authres, received
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict

METHODS = ("dkim", "spf", "dmarc", "iprev")
# What the Received field tells: the address that the message left from, its HELO name, its confirmed name, TLS.
HOP_CHECKS = ("origin", "helo", "ptr", "tls")

# What is found where a receiver does not write the name of the address, as some never do.
NOT_TOLD = "not told"

_FIELDS = {"authentication-results": authres.parse, "arc-authentication-results": authres.parse_arc}
_FOLD = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Expectation:
    """What a probe must look like on arrival.

    `subject` names the path in verdicts. `receivers` are the names that the receiver's hosts write behind `by`;
    `authserv_id` is the name that it signs its results with. `methods` must each be there and pass. `others` are
    addresses that it might have left from as well, as verdicts show them.
    """

    subject: str
    address: str
    helo: str
    domain: str
    bounce_domain: str
    authserv_id: str
    receivers: tuple[str, ...]
    methods: tuple[str, ...] = ("dkim", "spf", "dmarc")
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """One result of the receiver, and the header field that it stands in."""

    result: authres.Result
    source: str


@dataclass
class Evidence:
    """What stands in a message: the receiver's own Received field, its results, and what could not be counted."""

    hop: received.Received | None = None
    hop_source: str = ""
    stamps: list[Stamp] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def header_fields(message: bytes) -> list[tuple[str, str]]:
    """Return the header fields of a message in their order: names in lower case, bodies still folded.

    Stops at the first line that is neither a field nor a continuation (RFC 5322 section 2.2), as readers of mail do.
    """
    fields: list[tuple[str, str]] = []
    for line in message.split(b"\n"):
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        name, colon, body = text.partition(":")
        if text[:1] in (" ", "\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + "\r\n" + text)
        elif colon and name and not re.search(r"[^!-~]", name.rstrip()):
            fields.append((name.rstrip().lower(), body))
        elif fields or not text.startswith("From "):
            break
    return fields


def gather(message: bytes, expected: Expectation) -> Evidence:
    """Return what the receiver wrote on the message, and nothing that the message itself brought along."""
    evidence, candidates = Evidence(), []
    for name, body in header_fields(message):
        source = _source(name, body)
        if name in _FIELDS:
            candidates.append((name, body, source))
        elif name == "received":
            try:
                hop = received.parse(body)
            except received.ReceivedError as error:
                evidence.ignored.append(f"{source} cannot be read: {error}")
                break
            if _is_handover(hop, expected):
                continue
            if hop.by in expected.receivers:
                evidence.hop, evidence.hop_source = hop, source
            else:
                evidence.ignored.append(f"{source} is by {hop.by}, not by {' or '.join(expected.receivers)}")
            break
    # Without the receiver's own Received field nothing tells its results from those that the message brought.
    for name, body, source in candidates if evidence.hop else ():
        try:
            parsed = _FIELDS[name](body)
        except authres.AuthResError as error:
            evidence.ignored.append(f"{source} cannot be read: {error}")
            continue
        if parsed.authserv_id == expected.authserv_id:
            evidence.stamps += [Stamp(result, source) for result in parsed.results]
        else:
            evidence.ignored.append(f"{source} is of {parsed.authserv_id}, not of {expected.authserv_id}")
    return evidence


def judge(message: bytes, expected: Expectation) -> list[Verdict]:
    """Return the verdicts on a message: one for each method expected or found, and for each of HOP_CHECKS."""
    evidence = gather(message, expected)
    if evidence.hop is None:
        return [_no_hop(evidence, expected)]
    stamped = {stamp.result.method for stamp in evidence.stamps}
    methods = [method for method in METHODS if method in expected.methods or method in stamped]
    return [_judge_method(method, evidence, expected) for method in methods] + _judge_hop(evidence, expected)


def _is_handover(hop: received.Received, expected: Expectation) -> bool:
    """Whether the receiver only passed the message on within itself (LMTP, a content filter)."""
    if hop.address == expected.address:
        return False
    return not hop.address or ipaddress.ip_address(hop.address).is_loopback or hop.client_name in expected.receivers


def _no_hop(evidence: Evidence, expected: Expectation) -> Verdict:
    return Verdict(
        check="received",
        subjects=(expected.subject,),
        status=Status.FAIL,
        found=evidence.ignored[-1] if evidence.ignored else "no Received field of the receiver",
        expected=f"a Received field by {' or '.join(expected.receivers)} on top of those of other hosts",
        cause="what the receiver wrote cannot be told from what the message brought along, so that no result counts",
        mend="name the host that stands behind `by` in the topmost Received field in received_by",
        source=evidence.ignored[-1] if evidence.ignored else "the message's header",
    )


@dataclass(frozen=True)
class _Method:
    """How one method is judged: the property that must match, and what to do where the result is missing or bad."""

    properties: tuple[str, ...]
    wanted: str
    missing: str
    mend: str


def _method(method: str, expected: Expectation) -> _Method:
    return {
        "dkim": _Method(
            ("header.d", "header.i"),
            expected.domain,
            "the message was not signed, or the receiver could not fetch the key",
            f"check that the milter signs for {expected.domain} and that the key of its selector is in the DNS",
        ),
        "spf": _Method(
            ("smtp.mailfrom", "smtp.mail"),
            expected.bounce_domain,
            "the receiver does not check SPF, or did not stamp what it found",
            f"publish the SPF record of {expected.bounce_domain} with {expected.address} in it",
        ),
        "dmarc": _Method(
            ("header.from",),
            expected.domain,
            f"the receiver does not evaluate DMARC, or found no policy at _dmarc.{expected.domain}",
            f"publish a DMARC record at _dmarc.{expected.domain}",
        ),
        "iprev": _Method(
            ("policy.iprev", "smtp.remote-ip"),
            expected.address,
            "the receiver does not stamp iprev",
            f"let the PTR of {expected.address} be {expected.helo}, and {expected.helo} lead back to it",
        ),
    }[method]


def _judge_method(method: str, evidence: Evidence, expected: Expectation) -> Verdict:
    rules = _method(method, expected)
    stamps = [stamp for stamp in evidence.stamps if stamp.result.method == method]
    wanted = f"{method}=pass {rules.properties[0]}={rules.wanted} by {expected.authserv_id}"
    if not stamps:
        ignored = f"; not counted: {'; '.join(evidence.ignored)}" if evidence.ignored else ""
        return Verdict(
            method,
            (expected.subject,),
            Status.FAIL,
            f"no {method} result{ignored}",
            wanted,
            rules.missing,
            rules.mend,
            evidence.hop_source,
        )
    fitting = [stamp for stamp in stamps if _fits(stamp.result, rules)]
    # One good signature is enough (RFC 6376 section 6.1). Of the other methods each has one answer: the worst counts.
    passing = [stamp for stamp in fitting if stamp.result.result == "pass"]
    if passing and (method == "dkim" or len(passing) == len(fitting)):
        return Verdict(
            method, (expected.subject,), Status.OK, _show(passing[0].result, rules), wanted, source=passing[0].source
        )
    bad = next((stamp for stamp in fitting if stamp.result.result != "pass"), stamps[0])
    about = _about(bad.result, rules)
    if about and bad not in fitting:
        cause = f"it is about {about}, not about {rules.wanted}"
    else:
        comment = "".join(f" ({text})" for text in bad.result.comments[:1])
        cause = f"the receiver says {bad.result.result}{comment}"
        cause += "" if about or bad in fitting else f", and does not name {rules.wanted}"
    # temperror says that the receiver could not find out (RFC 8601 section 2.7): unknown is not absent.
    status = Status.UNKNOWN if bad in fitting and bad.result.result == "temperror" else Status.FAIL
    mend = rules.mend if status is Status.FAIL else "probe again; the receiver could not reach the DNS"
    return Verdict(method, (expected.subject,), status, _show(bad.result, rules), wanted, cause, mend, bad.source)


def _about(result: authres.Result, rules: _Method) -> str:
    """Return the domain or address that a result is about, or "" where it names none."""
    value = next((found for found in map(result.get, rules.properties) if found), "")
    try:
        return str(ipaddress.ip_address(value.removeprefix("IPv6:")))
    except ValueError:
        return value.rpartition("@")[2].strip("<>").rstrip(".").lower()


def _fits(result: authres.Result, rules: _Method) -> bool:
    """Whether a result is about what was expected. dmarc and iprev may go without saying, they have but one subject."""
    return _about(result, rules) in ((rules.wanted, "") if result.method in ("dmarc", "iprev") else (rules.wanted,))


def _show(result: authres.Result, rules: _Method) -> str:
    values = [f"{name}={result.get(name)}" for name in rules.properties if result.get(name)]
    return " ".join([f"{result.method}={result.result}", *values])


def _judge_hop(evidence: Evidence, expected: Expectation) -> list[Verdict]:
    hop = evidence.hop

    def verdict(check: str, status: Status, found: str, wanted: str, cause: str = "", mend: str = "") -> Verdict:
        if status is Status.OK:
            cause = mend = ""
        return Verdict(check, (expected.subject,), status, found, wanted, cause, mend, evidence.hop_source)

    if hop.confirmed is False:
        ptr = Status.FAIL
    elif not hop.client_name:
        ptr = Status.UNKNOWN
    else:
        ptr = Status.OK if hop.client_name == expected.helo else Status.WARN
    return [
        verdict(
            "origin",
            Status.OK if hop.address == expected.address else Status.FAIL,
            hop.address or "no address",
            " or ".join((expected.address, *expected.others)),
            "the message left from another address, or by another server",
            "check the bind address of the transport, and that nothing between translates addresses",
        ),
        verdict(
            "helo",
            Status.OK if hop.helo == expected.helo else Status.FAIL,
            hop.helo or "no HELO name",
            expected.helo,
            "the server greeted under another name",
            "check smtp_helo_name of the address's transport",
        ),
        verdict(
            "ptr",
            ptr,
            hop.client_name or ("no confirmed name" if hop.confirmed is False else NOT_TOLD),
            expected.helo,
            {
                Status.FAIL: "the receiver could not confirm a name of the address",
                Status.UNKNOWN: "the receiver does not write what name it found",
                Status.WARN: "the name of the address is not the HELO name, which some receivers want",
            }.get(ptr, ""),
            f"let the PTR of {expected.address} be {expected.helo}, and {expected.helo} lead back to it",
        ),
        verdict(
            "tls",
            Status.OK if hop.tls else Status.WARN,
            " ".join(filter(None, (hop.tls_version, hop.cipher))) or hop.protocol or "no TLS",
            "TLS",
            "the receiver offers no TLS, or the server did not use it",
            "check smtp_tls_security_level",
        ),
    ]


def _source(name: str, body: str) -> str:
    """Return a header field on one line, as verdicts cite it."""
    title = "-".join("ARC" if part == "arc" else part.capitalize() for part in name.split("-"))
    return f"{title}: {_FOLD.sub(' ', body).strip()}"[:1000]
