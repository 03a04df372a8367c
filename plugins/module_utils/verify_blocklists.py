# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether blocklists list the sending addresses and domains (RFC 5782).

A list is believed only where its test entries answer as they should: one that lists nothing is dead or refuses to
answer, one that lists everything is given up. The zone is never shown, since it may hold a customer's key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import Blocklist
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, plain_address
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, group

CHECK = "blocklist"
_EACH = "A of each"  # the question in the source of a verdict on several subjects
_TESTS = {"ip4": ("127.0.0.2", "127.0.0.1"), "ip6": ("::ffff:7f00:2", "::ffff:7f00:1")}  # RFC 5782, 5


def verify_blocklists(lookup: Lookup, lists: Sequence[Blocklist], addresses: Sequence[str] = (),
                      domains: Sequence[str] = ()) -> list[Verdict]:
    """Return the verdicts on all addresses and domains in all lists that are made for them, equal ones as one.

    C(ok) where one is not listed, C(fail) where it is, C(unknown) where the list did not answer, refused to, or does
    not answer its own test entries. Each subject names its list, and the source who was asked.
    Raises: ValueError where an address or a domain cannot be one.
    """
    subjects = [("ip6" if ":" in address else "ip4", address) for address in map(plain_address, addresses)]
    subjects += [("domain", absolute_name(domain).removesuffix(".")) for domain in domains]
    subjects = list(dict.fromkeys(subjects))
    work = [(blocklist, kind, subject) for blocklist, (kind, subject) in product(lists, subjects)
            if kind in blocklist.kinds]
    wanted = list(dict.fromkeys((blocklist, kind) for blocklist, kind, _subject in work))
    troubles = dict(zip(wanted, lookup.each(lambda item: _trouble(lookup, *item), wanted)))

    def verify(item: tuple[Blocklist, str, str]) -> Verdict:
        blocklist, kind, subject = item
        if trouble := troubles[blocklist, kind]:
            return _verdict(blocklist, subject, Status.UNKNOWN, "not asked", trouble, _ask_rightly(blocklist))
        return _judge(lookup, blocklist, subject)

    return [_traceable(verdict) for verdict in group(lookup.each(verify, work))]


def _traceable(verdict: Verdict) -> Verdict:
    """Return the verdict with the question in its source, where it has one subject only."""
    if len(verdict.subjects) > 1:
        return verdict
    subject = verdict.subjects[0].partition(" ")[0]
    return replace(verdict, source=verdict.source.replace(_EACH, f"A {subject}", 1))


def question(blocklist: Blocklist, subject: str) -> str:
    """Return the name at which a list is asked for an address or a domain (RFC 5782, 2.1, 2.4, 3.1)."""
    try:
        address = ipaddress.ip_address(subject)
    except ValueError:
        return f"{subject}.{blocklist.zone}"
    return f"{address.reverse_pointer.rsplit('.', 2)[0]}.{blocklist.zone}"


def _trouble(lookup: Lookup, blocklist: Blocklist, kind: str) -> str:
    """Return why the list cannot be believed, empty where it can."""
    listed, unlisted = _TESTS.get(kind, (blocklist.listed, blocklist.unlisted))
    there, free = lookup.each(lambda name: lookup.ask(question(blocklist, name), "A"), (listed, unlisted))
    for outcome in (there, free):
        if not outcome.said:
            return f"{outcome.server} did not say: {outcome.cause}"
    if not there.values:
        return f"it does not list its own test entry {listed} (RFC 5782, 5): it is dead, or refuses to answer"
    for answer in there.values:
        is_listing, meaning = blocklist.meaning(answer)
        if not is_listing:
            return meaning
    if free.values:
        is_listing, meaning = blocklist.meaning(free.values[0])
        everything = f"it lists {unlisted}, which it must not (RFC 5782, 5): it lists everything"
        return everything if is_listing else meaning
    return ""


def _judge(lookup: Lookup, blocklist: Blocklist, subject: str) -> Verdict:
    name = question(blocklist, subject)
    outcome = lookup.ask(name, "A")
    if not outcome.said:
        cause = f"{outcome.server} did not say: {outcome.cause}"
        return _verdict(blocklist, subject, Status.UNKNOWN, "no answer", cause,
                        f"make {outcome.server} answer, then check again", outcome)
    if outcome.kind is not Kind.VALUES:
        return _verdict(blocklist, subject, Status.OK, "not listed", "", "", outcome)
    meanings = [blocklist.meaning(answer) for answer in outcome.values]
    if refused := [meaning for is_listing, meaning in meanings if not is_listing]:
        return _verdict(blocklist, subject, Status.UNKNOWN, ", ".join(outcome.values), refused[0],
                        _ask_rightly(blocklist), outcome)
    reasons = [text for text in lookup.ask(name, "TXT").values if isinstance(text, str)]
    cause = "; ".join([meaning for _is_listing, meaning in meanings] + [text[:200] for text in reasons[:2]])
    place = f" at {blocklist.removal}" if blocklist.removal else " where the list is run"
    mend = f"find and stop what it is listed for, then ask for its removal{place}"
    return _verdict(blocklist, subject, Status.FAIL, f"listed: {', '.join(outcome.values)}", cause, mend, outcome)


def _ask_rightly(blocklist: Blocklist) -> str:
    if blocklist.terms:
        return f"ask as the list allows ({blocklist.terms}), or leave it out"
    return "ask through a resolver of your own, or leave the list out"


def _verdict(blocklist: Blocklist, subject: str, status: Status, found: str, cause: str, mend: str,
             outcome: Outcome | None = None) -> Verdict:
    asked = f" asked of {outcome.server}" if outcome and outcome.server else ""
    return Verdict(CHECK, (f"{subject} in {blocklist.name}",), status, found, "not listed", cause, mend,
                   f"{_EACH} in the list {blocklist.name}{asked}" if outcome else f"the list {blocklist.name}")
