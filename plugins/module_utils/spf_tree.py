# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run's view of the DNS that SPF reads: the trees of all domains fetched together, each question asked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ansible_collections.mailfleet.sending.plugins.module_utils.agreement import Agreement, agree
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_audit import published
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import (
    MAXIMUM_MX,
    MAXIMUM_TERMS,
    escaped,
    is_domain,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import varies
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_macro import Message, target_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    LOOKING_UP,
    SpfSyntaxError,
    is_spf,
    parse_record,
)

Question = tuple[str, str]
# The least number of terms that a check has spent when it gets to a record, by the domains of record and sender.
Records = dict[tuple[str, str], int]


def read_what_if(texts: Mapping[object, object]) -> dict[str, str]:
    """Return the records that are not published yet, {domain: record}, domains without their last dot.

    Raises: ValueError with all that is no domain or no text.
    """
    def read(item: tuple) -> tuple[str, str]:
        domain, text = item
        if not isinstance(text, str):
            raise ValueError(f"what_if of {domain}: found {text!r:.60}, expected the text of a record")
        return absolute_name(domain).removesuffix("."), text

    return dict(collect(read, texts.items()))


class View:
    """The DNS of one run, in which no answer changes. C(ask) may be called from any thread.

    Arguments: C(what_if) records that are not published yet, {domain: record}; they stand in place of those that are,
    an empty text removes them. C(own) the domains whose records, and those of names below them, are asked of their
    authoritative servers as C(authoritative) says (Lookup.ask_by); all else is asked of the resolvers, as receivers do.
    Attribute: C(agreements) what the authoritative servers said, by the question's name.
    """

    def __init__(self, lookup: Lookup, what_if: Mapping[str, str] | None = None, authoritative: str = "no",
                 own: Iterable[str] = ()) -> None:
        self.lookup, self.authoritative = lookup, authoritative
        self.own = {_plain(domain) for domain in own}
        self.agreements: dict[str, Agreement] = {}
        self._known: dict[Question, Outcome] = {}
        self.what_if = {_plain(domain) for domain in what_if or ()}
        self._fresh = published(self._ask, what_if) if what_if else self._ask

    def ask(self, name: str, rdtype: str) -> Outcome:
        """Return the outcome of a question, the same at every call."""
        known = self._known.get((name, rdtype))
        # Two threads with the same new question get the same answer: the lookup asks once.
        return known or self._known.setdefault((name, rdtype), self._fresh(name, rdtype))

    def knows(self, name: str, rdtype: str) -> bool:
        """Return whether the question was asked."""
        return (name, rdtype) in self._known

    @property
    def denied(self) -> list[str]:
        """Return the names at which there should be a record, be it included, and DNS says that there is no TXT."""
        return [name for (name, rdtype), outcome in [*self._known.items()]
                if rdtype == "TXT" and outcome.kind in (Kind.NO_NAME, Kind.NO_DATA)]

    def _ask(self, name: str, rdtype: str) -> Outcome:
        plain = _plain(name)
        if self.authoritative == "no" or rdtype != "TXT" or plain in self.what_if or not self._is_own(plain):
            return self.lookup.ask(name, rdtype)
        try:
            answers = self.lookup.ask_by(self.authoritative, name, rdtype)
            agreed = self.agreements[plain] = agree(*answers, reads=spf_values)
        except ValueError:
            return self.lookup.ask(name, rdtype)  # no name that could be published
        if agreed.answers:
            return max(agreed.answers, key=lambda said: len(said.servers)).outcome
        return _silence(agreed)

    def _is_own(self, name: str) -> bool:
        labels = name.split(".")
        return any(".".join(labels[at:]) in self.own for at in range(len(labels)))

    def fetch(self, domains: Iterable[str], versions: Iterable[int] = (4, 6)) -> None:
        """Ask all that the trees of the domains may need, level by level, each level at once.

        Arguments: C(versions) the families of the addresses that will be checked. What depends on the address is left
        out, and so is what no check can reach, since the terms before it would be over the limit.
        """
        fetch = _Fetch(self, tuple(versions))
        fetch.run(domains)


class _Fetch:
    """One walk over the trees."""

    def __init__(self, view: View, versions: tuple[int, ...]) -> None:
        self.view = view
        self.families = tuple("A" if version == 4 else "AAAA" for version in versions)
        self.version = versions[0] if len(versions) == 1 else 0
        self.least: Records = {}

    def run(self, domains: Iterable[str]) -> None:
        records = {(domain, domain): 0 for domain in domains}
        questions: dict[Question, None] = {}
        exchanges: dict[Question, None] = {}
        while records or questions or exchanges:
            texts = {(escaped(name), "TXT"): None for name, _root in records}
            self._ask({**texts, **questions, **exchanges})
            self.least.update(records)
            hosts = self._hosts(exchanges)
            records, questions, exchanges = self._follow(records)
            questions.update({(host, family): None for host in hosts for family in self.families})

    def _ask(self, questions: Iterable[Question]) -> None:
        new = [question for question in questions if not self.view.knows(*question)]
        self.view.lookup.each(lambda question: self.view.ask(*question), new)

    def _hosts(self, exchanges: Iterable[Question]) -> list[str]:
        """Return the hosts that MX records name, where no limit keeps a check from asking for their addresses."""
        values = [self.view.ask(*question).values for question in exchanges]
        return [escaped(mx.exchange) for found in values if len(found) <= MAXIMUM_MX
                for mx in found if mx.exchange != "."]

    def _follow(self, records: Records) -> tuple[Records, dict[Question, None], dict[Question, None]]:
        """Return the records that these records lead to, the questions of their terms, and those for MX records."""
        found: Records = {}
        questions: dict[Question, None] = {}
        exchanges: dict[Question, None] = {}
        for (domain, root), spent in records.items():
            for name, target in self._terms(domain, root):
                spent += 1
                if spent > MAXIMUM_TERMS:
                    break
                if name in ("include", "redirect"):
                    key = target, root
                    if is_domain(target) and spent < min(self.least.get(key, 99), found.get(key, 99)):
                        found[key] = spent
                elif name == "exists":
                    questions[escaped(target), "A"] = None
                elif name == "a":
                    questions.update({(escaped(target), family): None for family in self.families})
                elif name == "mx":
                    exchanges[escaped(target), "MX"] = None
        return found, questions, exchanges

    def _terms(self, domain: str, root: str) -> Iterator[tuple[str, str]]:
        """Return the terms of a domain's record that look up, in order, each with its target, or none if it varies."""
        texts = [text for text in self.view.ask(escaped(domain), "TXT").values if is_spf(text)]
        try:
            record = parse_record(texts[0]) if len(texts) == 1 else None
        except SpfSyntaxError:
            record = None
        if not record:
            return
        client = ipaddress.ip_address("::" if self.version == 6 else "0.0.0.0")
        message = Message(client, f"postmaster@{root}", "")
        for term in (*record.mechanisms, *([record.redirect] if record.redirect else ())):
            if term.name == "all":
                return
            if term.name not in LOOKING_UP:
                continue
            parts = term.value if term.name == "redirect" else term.domain
            if parts and varies(parts):
                yield "", ""
            else:
                yield term.name, target_name(parts, message, domain, str) if parts else domain


def spf_values(outcome: Outcome) -> tuple:
    """Return the values that are SPF records (RFC 7208, 4.5): all others at the name are somebody else's."""
    return tuple(value for value in outcome.values if is_spf(value))


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _silence(agreed: Agreement) -> Outcome:
    """Return one outcome for servers of which none said anything."""
    if len(agreed.silent) == 1 and len(agreed.silent[0].servers) == 1:
        return agreed.silent[0].outcome
    causes = "; ".join(map(str, agreed.silent))
    first = agreed.silent[0].outcome
    return replace(first, server=", ".join(agreed.servers), cause=causes)
