# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""check_host() of SPF, exactly as RFC 7208 has it, with the chain of terms that led to the result."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_macro import Message, expand, target_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    Mechanism,
    Modifier,
    SpfRecord,
    SpfSyntaxError,
    is_spf,
    parse_explanation,
    parse_record,
)

MAXIMUM_TERMS = 10
MAXIMUM_VOIDS = 2
MAXIMUM_MX = 10
MAXIMUM_PTR = 10

Ask = Callable[[str, str], Outcome]


class Result(str, Enum):
    """The seven results (RFC 7208, 2.6)."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


class Step(NamedTuple):
    """One term on the way to the result, and the domain whose record holds it."""

    domain: str
    term: str

    def __str__(self) -> str:
        return f"{self.domain}: {self.term}"


@dataclass(frozen=True)
class Check:
    """The end of one check_host().

    C(chain) the terms that led to the result, the outermost first; C(cause) why, where the result is an error or none;
    C(explanation) the text of exp=, of a fail; C(terms) how many terms looked up; C(voids) what their void lookups
    asked; C(source) the question that the cause came from, where it came from one.
    """

    result: Result
    chain: tuple[Step, ...] = ()
    cause: str = ""
    explanation: str = ""
    terms: int = 0
    voids: tuple[str, ...] = ()
    source: str = ""


class _Stop(Exception):
    """Ends the evaluation with an error."""

    def __init__(self, result: Result, chain: tuple[Step, ...], cause: str, source: str = "") -> None:
        super().__init__(cause)
        self.result, self.chain, self.cause, self.source = result, chain, cause, source


class _End(NamedTuple):
    """The end of one record's evaluation. C(where) and C(exp): the domain and the modifier that explain a fail."""

    result: Result
    chain: tuple[Step, ...]
    cause: str = ""
    source: str = ""
    where: str = ""
    exp: Modifier | None = None


def check_host(
    ip: str, domain: str, sender: str, helo: str, ask: Ask, receiver: str = "unknown", now: int = 0,
    explain: bool = True
) -> Check:
    """Return what a receiver finds (RFC 7208, 4).

    Arguments: C(ip) the client's address; C(domain) whose record decides; C(sender) the MAIL FROM address, or
    "postmaster@" and the HELO name where it is empty; C(ask) asks DNS for (name, type); C(receiver) and C(now), a Unix
    time in seconds, are of use to explanations only; C(explain) whether the explanation of a fail is asked for.
    Raises: ValueError where ip is no address.
    """
    address = ipaddress.ip_address(ip)
    address = getattr(address, "ipv4_mapped", None) or address
    local, _at, host = sender.rpartition("@")
    message = Message(address, f"{local or 'postmaster'}@{host}", helo, receiver, now)
    return _Evaluation(message, ask, explain).run(domain.removesuffix("."))


def is_domain(name: str) -> bool:
    """Return whether the name is fit for a first lookup (RFC 7208, 4.3): several labels of 1 to 63 bytes each."""
    labels = name.split(".")
    return (len(labels) > 1 and len(name) <= 253
            and all(0 < len(label.encode("utf-8", "surrogateescape")) < 64 for label in labels))


@dataclass
class _Evaluation:
    """The state of one check: its counters go through all records that it visits."""

    message: Message
    ask: Ask
    explained: bool = True
    terms: int = 0
    voids: list[str] = field(default_factory=list)

    def run(self, domain: str) -> Check:
        try:
            end = self.record(domain, ())
            wanted = self.explained and end.result is Result.FAIL and end.exp
            explanation = self.explain(end) if wanted else ""
            return Check(end.result, end.chain, end.cause, explanation, self.terms, tuple(self.voids), end.source)
        except _Stop as stop:
            return Check(stop.result, stop.chain, stop.cause, "", self.terms, tuple(self.voids), stop.source)

    def record(self, domain: str, chain: tuple[Step, ...]) -> _End:
        """Evaluate the record of a domain (RFC 7208, 4.3 to 4.7)."""
        if not is_domain(domain):
            return _End(Result.NONE, chain, f"{domain!r} is no domain name of several labels")
        outcome = self.ask(escaped(domain), "TXT")
        if not outcome.said:
            raise _Stop(Result.TEMPERROR, chain, str(outcome), outcome.source)
        texts = [value for value in outcome.values if is_spf(value)]
        if not texts:
            missing = "no TXT record begins with v=spf1" if outcome.kind is Kind.VALUES else outcome.kind.value
            return _End(Result.NONE, chain, f"{domain} has no SPF record: {missing}", outcome.source)
        if len(texts) > 1:
            cause = f"{domain} has {len(texts)} SPF records, one is allowed"
            raise _Stop(Result.PERMERROR, chain, cause, outcome.source)
        try:
            record = parse_record(texts[0])
        except SpfSyntaxError as error:
            raise _Stop(Result.PERMERROR, chain, f"the record of {domain} is wrong {error}", outcome.source) from error
        return self.terms_of(record, domain, chain)

    def terms_of(self, record: SpfRecord, domain: str, chain: tuple[Step, ...]) -> _End:
        for mechanism in record.candidates(self.message.ip):
            step = (*chain, Step(domain, mechanism.text))
            if inner := self.matches(mechanism, domain, step):
                result = QUALIFIERS[mechanism.qualifier]
                return _End(result, inner, where=domain, exp=record.exp)
        if not record.redirect:
            return _End(Result.NEUTRAL, (*chain, Step(domain, "no mechanism matches")))
        step = (*chain, Step(domain, record.redirect.text))
        self.count(step)
        end = self.record(self.target(record.redirect.value, domain), step)
        if end.result is Result.NONE:
            raise _Stop(Result.PERMERROR, step, end.cause, end.source)  # RFC 7208, 6.1
        return end

    def matches(self, mechanism: Mechanism, domain: str, step: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the chain to the match, or nothing (RFC 7208, 5)."""
        if mechanism.name == "all":
            return step
        if mechanism.network:
            return step if self.message.ip in mechanism.network else ()
        self.count(step)
        target = self.target(mechanism.domain, domain) if mechanism.domain else domain
        if mechanism.name == "include":
            return self.include(target, step)
        if mechanism.name == "ptr":
            found = any(_within(name, target) for name in self.validated_names(step))
        elif mechanism.name == "exists":
            found = bool(self.values(target, "A", step))
        elif mechanism.name == "a":
            found = self.holds_client(target, mechanism, step)
        else:
            exchanges = self.values(target, "MX", step)
            if len(exchanges) > MAXIMUM_MX:
                cause = f"{target} has {len(exchanges)} MX records, more than {MAXIMUM_MX}"
                raise _Stop(Result.PERMERROR, step, cause)
            found = any(self.holds_client(mx.exchange, mechanism, step) for mx in exchanges if mx.exchange != ".")
        return step if found else ()

    def include(self, target: str, step: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the chain of an include, which matches where the other record passes (RFC 7208, 5.2)."""
        end = self.record(target, step)
        if end.result is Result.NONE:
            raise _Stop(Result.PERMERROR, step, end.cause, end.source)
        return end.chain if end.result is Result.PASS else ()

    def holds_client(self, name: str, mechanism: Mechanism, step: tuple[Step, ...]) -> bool:
        ip = self.message.ip
        rdtype, prefix = ("A", mechanism.prefix4) if ip.version == 4 else ("AAAA", mechanism.prefix6)
        return any(ip in ipaddress.ip_network((address, prefix), strict=False)
                   for address in self.values(name, rdtype, step))

    def values(self, name: str, rdtype: str, step: tuple[Step, ...]) -> tuple:
        """Ask for a term, counting void lookups (RFC 7208, 4.6.4)."""
        outcome = self.ask(escaped(name), rdtype)
        if not outcome.said:
            raise _Stop(Result.TEMPERROR, step, str(outcome), outcome.source)
        if outcome.kind is not Kind.VALUES:
            self.voids.append(f"{step[-1].term}: {rdtype} {name}: {outcome.kind.value}")
            if len(self.voids) > MAXIMUM_VOIDS:
                cause = f"more than {MAXIMUM_VOIDS} lookups found nothing: {'; '.join(self.voids)}"
                raise _Stop(Result.PERMERROR, step, cause, outcome.source)
        return outcome.values

    def count(self, step: tuple[Step, ...]) -> None:
        self.terms += 1
        if self.terms > MAXIMUM_TERMS:
            raise _Stop(Result.PERMERROR, step, f"more than {MAXIMUM_TERMS} terms look up")

    def target(self, parts: tuple, domain: str) -> str:
        return target_name(parts, self.message, domain, lambda: self.validated_name(domain))

    def validated_names(self, step: tuple[Step, ...] | None = None) -> list[str]:
        """Return the client's names that point back to it (RFC 7208, 5.5), without their last dots.

        The names of one who knows nothing are none: no error of DNS ends the evaluation here. A void answer to the
        PTR question counts where it was asked for a term.
        """
        ip = self.message.ip
        pointers = self.ask(f"{ip.reverse_pointer}.", "PTR")
        if step and pointers.said and pointers.kind is not Kind.VALUES:
            self.values(f"{ip.reverse_pointer}.", "PTR", step)
        rdtype = "A" if ip.version == 4 else "AAAA"
        return [name.removesuffix(".") for name in pointers.values[:MAXIMUM_PTR]
                if str(ip) in self.ask(name, rdtype).values]

    def validated_name(self, domain: str) -> str:
        """Return the value of %{p} (RFC 7208, 7.3): the domain itself, else a name under it, else any, else unknown."""
        names = self.validated_names()
        return min(names, key=lambda name: (name != domain.lower(), not _within(name, domain)), default="unknown")

    def explain(self, end: _End) -> str:
        """Return the explanation of a fail, or nothing where it cannot be had (RFC 7208, 6.2)."""
        outcome = self.ask(escaped(self.target(end.exp.value, end.where)), "TXT")
        if len(outcome.values) != 1 or not outcome.values[0].isascii():
            return ""
        try:
            parts = parse_explanation(outcome.values[0])
        except SpfSyntaxError:
            return ""
        return expand(parts, self.message, end.where, lambda: self.validated_name(end.where))


def escaped(name: str) -> str:
    """Return the name for the lookup, in which a backslash would begin an escape."""
    return name.replace("\\", "\\\\")


def _within(name: str, domain: str) -> bool:
    domain = domain.lower().removesuffix(".")
    return name == domain or name.endswith(f".{domain}")
