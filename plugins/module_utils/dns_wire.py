# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS questions written, and their answers read into outcomes (RFC 1034, 2308, 6672, 8914)."""

from __future__ import annotations

import array
import functools
import os
import re
from collections.abc import Iterable

from ansible_collections.mailfleet.sending.plugins.module_utils import dns_message
from ansible_collections.mailfleet.sending.plugins.module_utils.dns_message import Message, Name, Record, text, within
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome

try:
    import dns.edns
    import dns.exception
    import dns.name
    import dns.rcode
except ImportError:
    pass  # lookup.DNSPYTHON_ERROR tells

MAXIMUM_CHAIN = 10
SHOWN = 200  # characters of a server's own explanation
# Extended errors by which a server says that what it answers is not what DNS holds (RFC 8914, 4): Forged Answer,
# Blocked, Censored, Filtered, Prohibited.
UNTRUE = {4, 15, 16, 17, 18}
# A name as it is compared, its last dot left out or not; and how many characters of such a name make 255 bytes.
_PLAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
MAXIMUM_NAME = 254
NOERROR, NXDOMAIN = 0, 3
ANSWERS = {NOERROR, NXDOMAIN}  # the codes of what is said about a name; all others say why nothing is
OLDER = {1, 4, 16}  # FORMERR, NOTIMP, BADVERS: of servers that do not know EDNS (RFC 6891, 7)
FOREVER = 2**31  # seconds, longer than any TTL


def absolute(name: str) -> str:
    """Return the name as DNS compares it: absolute and in lower case.

    Raises: ValueError where it is no domain name (RFC 1035, 2.3.4: labels of 1 to 63 bytes, 255 in all).
    """
    # Nearly all names need no reading, which is a tenth of the time of a lookup.
    if _PLAIN.fullmatch(name) and len(at := f"{name.removesuffix('.')}.") <= MAXIMUM_NAME:
        return at
    try:
        return dns.name.from_text(name.encode("utf-8")).to_text().lower()
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{name!r} is no domain name: {error}") from error


_NUMBERS: list[int] = []


def _identifier() -> int:
    """Return a number of 16 bits of the kernel's, which is asked for many at once: each call may cost a change of
    thread. Lists are safe among threads."""
    while True:
        try:
            return _NUMBERS.pop()
        except IndexError:
            _NUMBERS.extend(array.array("H", os.urandom(8192)))


def _labels(name: str) -> Name:
    """Return the labels of an absolute name in lower case, as absolute() returns it."""
    if _PLAIN.fullmatch(name):
        return tuple(name.removesuffix(".").encode("ascii").split(b"."))
    return tuple(label.lower() for label in dns.name.from_text(name).labels[:-1])


class Query:
    """A question, as it is sent (C(wire)), and the reading of what comes back. C(name) is as absolute() returns it."""

    def __init__(self, name: str, rdtype: str, recursive: bool, edns: bool = True) -> None:
        self._question = _labels(name), dns_message.TYPES[rdtype], dns_message.IN
        # Unforeseeable, as the kernel's choice of the port is (RFC 5452, 4.3).
        self._identifier = _identifier()
        self.wire = dns_message.query(self._identifier, *self._question[:2], recursive, edns)

    def parse(self, data: bytes) -> Message:
        """Return the answer. Raises: ValueError where it is none to this question."""
        try:
            answer = dns_message.parse(data)
        except dns_message.FormatError as error:
            raise ValueError("it sent what is no DNS message") from error
        is_answer = answer.identifier == self._identifier and answer.flags & 0xF800 == dns_message.QR  # opcode QUERY
        # Who refuses need not repeat the question.
        asked = answer.question == self._question or (answer.question is None and answer.rcode not in ANSWERS)
        if not is_answer or not asked:
            raise ValueError("it answered another question")
        return answer


def knows_no_edns(answer: Message) -> bool:
    """Return whether the server is older than EDNS, and is to be asked without it (RFC 6891, 7)."""
    return answer.rcode in OLDER


def read(answer: Message, outcome: Outcome, zone: str | None = None) -> tuple[Outcome, str]:
    """Return the outcome that the answer holds, and the name to go on at where it ends in a CNAME.

    Arguments: C(outcome) has the question and the server; C(zone) the zone that an authoritative server was asked as
    authority of, empty where that is not known, None for a resolver. What the server says of names outside of its zone
    counts for nobody, so an alias that leads there is to be gone on at.
    """
    explained = _explained(answer) if answer.errors else ""

    def ends(kind: Kind, **parts: object) -> Outcome:
        # replace() takes four times as long.
        return Outcome(outcome.name, outcome.rdtype, kind, server=outcome.server, **parts)

    def silent(cause: str, cut: str = "", referral: tuple = ()) -> tuple[Outcome, str]:
        return ends(Kind.SILENT, cause=cause, zone=cut, referral=referral), ""

    if answer.rcode not in ANSWERS:
        return silent(": ".join(filter(None, (dns.rcode.to_text(answer.rcode), explained))))
    if any(code in UNTRUE for code, _text in answer.errors):
        return silent(f"it does not say what DNS holds: {explained}")
    at = answer.question[0]
    bounds = _zone(zone) if zone else ()
    if not within(at, bounds):
        bounds = ()
    authority = bool(answer.flags & dns_message.AA)
    cut = next((record.owner for record in answer.authority if record.rdtype == dns_message.NS), None)
    if zone is not None and not authority:
        if cut is not None and zone and within(cut, bounds) and len(cut) > len(bounds) and within(at, cut):
            return silent(f"it refers to the servers of {text(cut)}", text(cut), _referral(answer, cut))
        return silent("lame: it does not answer with authority")
    try:
        at, chain, ttl, found = _follow(answer, dns_message.TYPES[outcome.rdtype], bounds)
    except ValueError:
        return silent("YXDOMAIN: a DNAME makes the name too long (RFC 6672, 2.2)")
    if found:
        # A set has no order, and servers shuffle it: sorted, the same answer reads the same.
        values = tuple(sorted(map(_value, dict.fromkeys(record.value for record in found))))
        return ends(Kind.VALUES, values=values, chain=chain, cause=explained, ttl=min(ttl, _ttl(found))), ""
    if len(chain) > MAXIMUM_CHAIN or not within(at, bounds):
        return ends(Kind.VALUES, chain=chain, cause=explained, ttl=ttl), text(at)
    missing = Kind.NO_NAME if answer.rcode == NXDOMAIN else Kind.NO_DATA
    for record in answer.authority:
        if record.rdtype == dns_message.SOA and within(at, record.owner):
            if not within(record.owner, bounds):
                # It has the zone above and lost this one: resolvers take that for no answer.
                return silent(f"lame: it answers for {text(record.owner)}, which is above {zone}")
            hold = min(ttl, record.ttl, record.value)  # RFC 2308, 5
            return ends(missing, chain=chain, cause=explained, ttl=hold, zone=text(record.owner)), ""
    if chain and missing is Kind.NO_DATA:
        return ends(Kind.VALUES, chain=chain, cause=explained, ttl=ttl), text(at)
    # Without a SOA there is still an answer, which nobody may keep (RFC 2308, 2.1, 2.2 and 5), unless it is a referral.
    if missing is Kind.NO_DATA and cut is not None:
        return silent("it refers to other servers instead of answering")
    if zone is None and not authority and not answer.flags & dns_message.RA:
        return silent("it offers no recursion, and has no authority to answer itself")
    return ends(missing, chain=chain, cause=explained), ""


def _referral(answer: Message, cut: Name) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the name servers that a referral names, each with its glue: the addresses of those inside of the zone,
    without which nobody would find them (RFC 1034, 4.2.1)."""
    glue: dict[Name, list[str]] = {}
    for record in answer.additional:
        if record.rdtype in (dns_message.A, dns_message.AAAA) and within(record.owner, cut):
            glue.setdefault(record.owner, []).append(record.value)
    names = {record.value for record in answer.authority if record.rdtype == dns_message.NS and record.owner == cut}
    return tuple(sorted((text(name), tuple(sorted(set(glue.get(name, ()))))) for name in names))


def _follow(answer: Message, rdtype: int, zone: Name) -> tuple[Name, tuple[str, ...], int, list[Record] | None]:
    """Return where the CNAMEs of the answer lead, the names on the way, their TTL, and the set that stands there.

    Raises: ValueError where a DNAME makes a name too long.
    """
    sets: dict[tuple[Name, int], list[Record]] = {}
    for record in answer.answer:
        sets.setdefault((record.owner, record.rdtype), []).append(record)
    at = answer.question[0]
    chain: list[str] = []
    ttl = FOREVER
    while within(at, zone) and len(chain) <= MAXIMUM_CHAIN:
        if found := sets.get((at, rdtype)):
            return at, tuple(chain), ttl, found
        if alias := sets.get((at, dns_message.CNAME)):
            at, ttl = alias[-1].value, min(ttl, _ttl(alias))
        elif moved := _renamed(at, answer.answer):
            at, ttl = moved[0], min(ttl, moved[1])
        else:
            break
        chain.append(text(at))
    return at, tuple(chain), ttl, None


def _renamed(name: Name, records: Iterable[Record]) -> tuple[Name, int] | None:
    """Return what a DNAME makes of the name, for servers that leave it to us (RFC 6672, 2.2 and 3.4), and its TTL.

    Raises: ValueError where that is too long.
    """
    for record in records:
        if record.rdtype == dns_message.DNAME and name != record.owner and within(name, record.owner):
            moved = name[: len(name) - len(record.owner)] + record.value
            if sum(map(len, moved)) + len(moved) + 1 > dns_message.MAXIMUM_NAME:
                raise ValueError("too long")
            return moved, record.ttl
    return None


def _ttl(records: Iterable[Record]) -> int:
    return min(record.ttl for record in records)


def _explained(answer: Message) -> str:
    """Return the extended errors of the answer in words (RFC 8914), as the server wrote them but without controls."""
    parts = []
    for code, said in answer.errors:
        known = code in dns.edns.EDECode.__members__.values()
        title = dns.edns.EDECode(code).name.replace("_", " ").lower() if known else "unknown"
        shown = "".join(letter if letter.isprintable() else "?" for letter in said)[:SHOWN]
        parts.append(f"extended error {code} ({title}){f', {shown}' if shown else ''}")
    return "; ".join(parts)


@functools.lru_cache(maxsize=1024)
def _zone(zone: str) -> Name:
    """Return the labels of a zone, which is wanted again with each answer of its servers."""
    return () if zone == "." else _labels(zone)


def _value(value: object) -> str | Mx:
    """Return one value as an outcome has it: str, or Mx."""
    if isinstance(value, Mx):
        return Mx(value.preference, text(value.exchange))
    return text(value) if isinstance(value, tuple) else str(value)
