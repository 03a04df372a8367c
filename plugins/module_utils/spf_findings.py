# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with one SPF record by itself, each with its section of RFC 7208 and the terms to write instead."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.records import MAX_STRING, to_bytes
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import QUALIFIERS, Result
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compose import MAX_ANSWER, answer_size, rr_size
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_cover import superfluous
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_mistakes import is_mistaken, meant_by
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_nodes import Node
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import (
    LOOKING_UP,
    Macro,
    Mechanism,
    Modifier,
    SpfRecord,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_rewrite import LAST, Edits
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_share import WIDE
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status

PAYLOAD = 1232  # octets over UDP that no path fragments (DNS flag day 2020)
_REPORTING = frozenset({"ra", "rp", "rr"})  # RFC 6652
NETWORKS = "the networks that send"
_GLUED_ALL = re.compile(r"[-~+?]all\.?$", re.IGNORECASE)
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing to say of the record of a domain.

    C(status) OK makes it a note; C(edits) the terms to write instead, where that can be told; C(hint) the mend in words
    where it cannot; C(in_place) that the addresses of the fleet are to stand in place of what the edits take out;
    C(too_large) that it is the size of the answer that is wrong; C(breaks) that an evaluation ends in an error; C(at)
    the domain whose record ends it, where that is another one.
    """

    domain: str
    status: Status
    found: str
    expected: str
    cause: str
    edits: Edits = field(default_factory=dict)
    hint: str = ""
    source: str = ""
    in_place: bool = False
    too_large: bool = False
    breaks: bool = False
    at: str = ""


def findings_of(node: Node) -> list[Finding]:
    """Return what is wrong with a record whose syntax is right, whoever includes it."""
    if not node.record:
        return []
    return [finding for check in _CHECKS for finding in check(node, node.record)]


def enumerated(texts: list[str]) -> str:
    """Return the first few of the texts, and how many more there are."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(text if len(text) <= 80 else f"{text[:77]}..." for text in texts[:_SHOWN]) + more


def _finding(node: Node, status: Status, found: str, expected: str, cause: str, edits: Edits | None = None,
             hint: str = "") -> Finding:
    return Finding(node.domain, status, found, expected, cause, edits or {}, hint, node.outcome.source)


def _pointers(node: Node, record: SpfRecord) -> Iterator[Finding]:
    terms = [term for term in record.mechanisms if term.name == "ptr"]
    if terms:
        yield _finding(
            node, Status.WARN, enumerated([term.text for term in terms]), "no ptr",
            "ptr is not to be used: it is slow, some receivers skip it, and it burdens the name servers of .arpa "
            "(5.5); before it goes, whom it alone passes has to stand in the record as ip4 or ip6",
            {term.position: "" for term in terms},
            "write the addresses as ip4 and ip6, and take ptr out")


def _behind_all(node: Node, record: SpfRecord) -> Iterator[Finding]:
    """All makes what follows unread (5.1): it goes to the end, or the terms that say nothing more go."""
    if not node.unread:
        return
    first = [term for term in record.mechanisms if term.name == "all"][0]
    edits = {term.position: "" for term in node.unread if term.name == "all"}
    if len(edits) < len(node.unread):
        edits |= {first.position: "", LAST: first.text if first.qualifier in "-~" else "~all"}
    yield _finding(node, Status.WARN, f"{enumerated([term.text for term in node.unread])} behind {first.text}",
                   "all as the last term", f"{first.text} matches everything: nobody reads what follows it (5.1)",
                   edits)


def _void_redirect(node: Node, record: SpfRecord) -> Iterator[Finding]:
    match = re.search(r"(?<= )redirect=[^ ]*", node.text, re.IGNORECASE)
    last = next((term for term in record.mechanisms if term.name == "all"), None)
    if match and last:
        yield _finding(node, Status.WARN, f"{match.group()} beside {last.text}", "either redirect or all",
                       f"a record with all has no redirect, wherever the two stand (5.1, 6.1): {match.group()} does "
                       f"nothing. If it is meant, {last.text} has to go instead",
                       {match.start(): ""})


def _superfluous(node: Node, record: SpfRecord) -> Iterator[Finding]:
    for contradicts in (True, False):
        found = [item for item in superfluous(record, node.domain) if item.contradicts is contradicts]
        costly = not contradicts and any(item.term.name in LOOKING_UP for item in found)
        if not found:
            continue
        why = ("the first match decides (4.6.2): the other result is never given" if contradicts else
               "each looks up again, and counts against the 10 (4.6.4)" if costly else
               "another term says the same (4.6.2)")
        pairs = [f"{item.term.text} beside {item.by.text}" for item in found]
        edits = {item.term.position: "" for item in found}
        for item in found:
            if contradicts and item.term.network != item.by.network:
                # An exception from a network: it is one where it stands before it.
                edits[item.by.position] = f"{item.term.text} {edits.get(item.by.position) or item.by.text}"
        yield _finding(node, Status.WARN if contradicts or costly else Status.OK, enumerated(pairs),
                       "exceptions first" if contradicts else "each term once", why, edits)


def _modifiers(node: Node, record: SpfRecord) -> Iterator[Finding]:
    mistaken = [term for term in record.others if is_mistaken(term.text)]
    for term in mistaken:
        instead = " ".join(part for part in meant_by(f"v=spf1 {term.text}")[0].split()[1:])
        meant = f"; {instead} is meant" if instead else ""
        yield _finding(node, Status.WARN, term.text, instead or "a term that means something",
                       f"a name with an equals sign is a modifier, and one that nobody knows does nothing (6){meant}",
                       {term.position: instead})
    unknown = [term.text for term in record.others if term not in mistaken and term.name not in _REPORTING]
    if unknown:
        yield _finding(node, Status.OK, enumerated(unknown), "", "nobody knows these modifiers: they do nothing (6)")


def _targets(node: Node, record: SpfRecord) -> Iterator[Finding]:
    for term in record.mechanisms:
        last = term.domain[-1] if term.domain else ""
        if isinstance(last, str) and (match := _GLUED_ALL.search(last)):
            at = len(term.text) - len(match.group())
            yield _finding(node, Status.FAIL, term.text, f"{term.text[:at]} {term.text[at:]}",
                           "a space is missing: the domain that is asked for ends in -all, which is no term here "
                           "(4.6.1)", {term.position: f"{term.text[:at]} {term.text[at:]}"})


def _networks(node: Node, record: SpfRecord) -> Iterator[Finding]:
    terms = [term for term in record.mechanisms if term.network]
    wide = [term for term in terms if 0 < term.network.prefixlen < WIDE[term.network.version]
            and QUALIFIERS[term.qualifier] is Result.PASS]
    if wide:
        yield _finding(node, Status.WARN, enumerated([term.text for term in wide]), NETWORKS,
                       f"it passes {max(term.network.num_addresses for term in wide):.2g} addresses, "
                       "whoever uses them (5.6, 11.4)", hint="write the length of the network that is yours")
    loose = [f"{term.text} is {term.network}" for term in terms if _address(term) != term.network.network_address]
    if loose:
        yield _finding(node, Status.OK, enumerated(loose), "", "bits behind the length are not looked at (5.6)")


def _address(term: Mechanism) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of an ip4 or ip6 term as it is written."""
    return ipaddress.ip_address(term.text.partition(":")[2].partition("/")[0])


def _macros(node: Node, record: SpfRecord) -> Iterator[Finding]:
    letters = {term.text: _letters(term) for term in (*record.mechanisms, *filter(None, [record.redirect]))}
    if named := [text for text, found in letters.items() if "p" in found]:
        yield _finding(node, Status.WARN, enumerated(named), "no %{p}",
                       "%{p} is not to be used: it is slow, and needs a PTR of the client (7.2)",
                       hint="write %{i} or %{d} in place of it, or take the term out")
    if terms := [text for text, found in letters.items() if found]:
        yield _finding(node, Status.OK, enumerated(terms), "",
                       "what these look up is another thing for each message (7)")


def _letters(term: Mechanism | Modifier) -> set[str]:
    """Return the macros of a term."""
    parts = (term.value if isinstance(term, Modifier) else term.domain) or ()
    return {part.letter.lower() for part in parts if isinstance(part, Macro)}


def _size(node: Node, record: SpfRecord) -> Iterator[Finding]:
    octets = len(to_bytes(node.text))
    if octets > MAX_STRING:
        yield _finding(node, Status.OK, f"{octets} octets", "",
                       f"a string holds {MAX_STRING}: it stands in {-(-octets // MAX_STRING)} strings, which are "
                       "joined without a space (3.3)")
    others = [value for value in node.outcome.values if value not in node.texts]
    whole = answer_size(f"{node.domain}.", node.outcome.values)
    own = answer_size(f"{node.domain}.", node.texts)
    if whole <= MAX_ANSWER:
        return
    foreign = sum(map(rr_size, others))
    means = "is cut over UDP, and asked for again over TCP" if whole > PAYLOAD else \
        "is cut over UDP without EDNS, and by some firewalls"
    held = f", {foreign} of them in {len(others)} other TXT values of the name" if others else ""
    hint = "move the other TXT values to names of their own, or take out those that nobody needs" if others else \
        "spread the networks over records that this one includes"
    # Others make many an answer of an apex larger than the RFC likes, and no resolver of today minds up to the payload.
    status = Status.WARN if own > MAX_ANSWER or whole > PAYLOAD else Status.OK
    finding = _finding(node, status, f"an answer of {whole} octets{held}", f"at most {MAX_ANSWER}",
                       f"an answer of {whole} octets {means} (3.4)", hint=hint)
    yield replace(finding, too_large=True)


_CHECKS = (_targets, _behind_all, _void_redirect, _superfluous, _modifiers, _pointers, _networks, _macros, _size)
