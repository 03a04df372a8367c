# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS questions written, and their answers read into outcomes (RFC 1034, 2308, 6672, 8914)."""

from __future__ import annotations

import functools
import re
import secrets
import struct
from dataclasses import replace

from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome

try:
    import dns.edns
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.opcode
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    from dns.message import Message
except ImportError:
    Message = object  # lookup.DNSPYTHON_ERROR tells

PAYLOAD = 1232  # bytes over UDP that no path fragments (DNS flag day 2020)
OPT = struct.pack("!BHHIH", 0, 41, PAYLOAD, 0, 0)  # EDNS version 0, no flags, no options (RFC 6891, 6.1.2)
MAXIMUM_CHAIN = 10
SHOWN = 200  # characters of a server's own explanation
# Extended errors by which a server says that what it answers is not what DNS holds (RFC 8914, 4): Forged Answer,
# Blocked, Censored, Filtered, Prohibited.
UNTRUE = {4, 15, 16, 17, 18}
# A name as it is compared, its last dot left out or not; and how many characters of such a name make 255 bytes.
_PLAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
MAXIMUM_NAME = 254
ANSWERS = {0, 3}  # the codes of what is said about a name: NOERROR, NXDOMAIN; all others say why nothing is


def absolute(name: str) -> str:
    """Return the name as DNS compares it: absolute and in lower case.

    Raises: ValueError where it is no domain name (RFC 1035, 2.3.4: labels of 1 to 63 bytes, 255 in all).
    """
    # Nearly all names need no reading, which is a tenth of the time of a lookup.
    if _PLAIN.fullmatch(name) and len(at := f"{name.removesuffix('.')}.") <= MAXIMUM_NAME:
        return at
    try:
        return _text(dns.name.from_text(name.encode("utf-8")))
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{name!r} is no domain name: {error}") from error


class Query:
    """A question, as it is sent (C(wire)), and the reading of what comes back.

    It is written here and not by dnspython, which takes a third of the time of a lookup for it.
    """

    def __init__(self, name: str, rdtype: str, recursive: bool, edns: bool = True) -> None:
        self._question = dns.name.from_text(name), dns.rdatatype.from_text(rdtype), dns.rdataclass.IN
        identifier = secrets.randbits(16)  # unforeseeable, as the kernel's choice of the port is (RFC 5452, 4.3)
        header = struct.pack("!HHHHHH", identifier, dns.flags.RD if recursive else 0, 1, 0, 0, int(edns))
        question = self._question[0].to_wire() + struct.pack("!HH", *self._question[1:])
        self.wire = header + question + (OPT if edns else b"")

    def parse(self, data: bytes) -> Message:
        """Return the answer. Raises: ValueError where it is none to this question."""
        try:
            answer = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError, IndexError) as error:
            raise ValueError("it sent what is no DNS message") from error
        asked = [(item.name, item.rdtype, item.rdclass) for item in answer.question]
        is_answer = data[:2] == self.wire[:2] and answer.flags & dns.flags.QR and answer.opcode() == dns.opcode.QUERY
        # Who refuses need not repeat the question.
        if not is_answer or (asked != [self._question] and (asked or answer.rcode() in ANSWERS)):
            raise ValueError("it answered another question")
        return answer


def knows_no_edns(answer: Message) -> bool:
    """Return whether the server is older than EDNS, and is to be asked without it (RFC 6891, 7)."""
    return answer.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)


def read(answer: Message, outcome: Outcome, zone: str | None = None) -> tuple[Outcome, str]:
    """Return the outcome that the answer holds, and the name to go on at where it ends in a CNAME.

    Arguments: C(outcome) has the question and the server; C(zone) the zone that an authoritative server was asked as
    authority of, empty where that is not known, None for a resolver. What the server says of names outside of its zone
    counts for nobody, so an alias that leads there is to be gone on at.
    """
    explained = _explained(answer)

    def silent(cause: str, cut: str = "", referral: tuple = ()) -> tuple[Outcome, str]:
        return replace(outcome, kind=Kind.SILENT, cause=cause, zone=cut, referral=referral), ""

    if answer.rcode() not in ANSWERS:
        return silent(": ".join(filter(None, (dns.rcode.to_text(answer.rcode()), explained))))
    if any(option.code in UNTRUE for option in _errors(answer)):
        return silent(f"it does not say what DNS holds: {explained}")
    at = answer.question[0].name
    if zone and not at.is_subdomain(_name(zone)):
        zone = ""
    authority = bool(answer.flags & dns.flags.AA)
    cut = next((rrset.name for rrset in answer.authority if rrset.rdtype == dns.rdatatype.NS), None)
    if zone is not None and not authority:
        if cut is not None and zone and _below(_text(cut), zone) and at.is_subdomain(cut):
            return silent(f"it refers to the servers of {_text(cut)}", _text(cut), _referral(answer, cut))
        return silent("lame: it does not answer with authority")
    try:
        at, chain, ttl, found = _follow(answer, outcome.rdtype, zone or "")
    except dns.name.NameTooLong:
        return silent("YXDOMAIN: a DNAME makes the name too long (RFC 6672, 2.2)")
    if found:
        # A set has no order, and servers shuffle it: sorted, the same answer reads the same.
        values = tuple(sorted(value(item) for item in found))
        return replace(outcome, values=values, chain=chain, cause=explained, ttl=min(ttl, found.ttl)), ""
    way = replace(outcome, chain=chain, cause=explained, ttl=ttl)
    if len(chain) > MAXIMUM_CHAIN or (zone and not at.is_subdomain(_name(zone))):
        return way, _text(at)
    missing = Kind.NO_NAME if answer.rcode() == dns.rcode.NXDOMAIN else Kind.NO_DATA
    for rrset in answer.authority:
        if rrset.rdtype == dns.rdatatype.SOA and at.is_subdomain(rrset.name):
            hold = min(ttl, rrset.ttl, rrset[0].minimum)  # RFC 2308, 5
            return replace(way, kind=missing, ttl=hold, zone=_text(rrset.name)), ""
    if chain and missing is Kind.NO_DATA:
        return way, _text(at)
    # Without a SOA there is still an answer, which nobody may keep (RFC 2308, 2.1, 2.2 and 5), unless it is a referral.
    if missing is Kind.NO_DATA and cut is not None:
        return silent("it refers to other servers instead of answering")
    if zone is None and not authority and not answer.flags & dns.flags.RA:
        return silent("it offers no recursion, and has no authority to answer itself")
    return replace(way, kind=missing, ttl=0), ""


def _referral(answer: Message, cut: dns.name.Name) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the name servers that a referral names, each with its glue: the addresses of those inside of the zone,
    without which nobody would find them (RFC 1034, 4.2.1)."""
    glue: dict[str, list[str]] = {}
    for rrset in answer.additional:
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA) and rrset.name.is_subdomain(cut):
            glue.setdefault(_text(rrset.name), []).extend(item.address for item in rrset)
    names = sorted({_text(item.target) for rrset in answer.authority
                    if rrset.rdtype == dns.rdatatype.NS and rrset.name == cut for item in rrset})
    return tuple((name, tuple(sorted(glue.get(name, ())))) for name in names)


def _follow(answer: Message, rdtype: str, zone: str) -> tuple:
    """Return where the CNAMEs of the answer lead, the names on the way, their TTL, and the set that stands there.

    Raises: dns.name.NameTooLong.
    """
    kind = dns.rdatatype.from_text(rdtype)
    sets = {(rrset.name, rrset.rdtype): rrset for rrset in answer.answer if rrset.rdclass == dns.rdataclass.IN}
    within = _name(zone) if zone else dns.name.root
    at = answer.question[0].name
    chain: list[str] = []
    ttl = 2**31
    while at.is_subdomain(within) and len(chain) <= MAXIMUM_CHAIN:
        if found := sets.get((at, kind)):
            return at, tuple(chain), ttl, found
        alias = sets.get((at, dns.rdatatype.CNAME))
        if alias:
            at, ttl = alias[0].target, min(ttl, alias.ttl)
        elif moved := _renamed(at, sets.values()):
            at, ttl = moved[0], min(ttl, moved[1])
        else:
            break
        chain.append(_text(at))
    return at, tuple(chain), ttl, None


def _renamed(name: dns.name.Name, sets: object) -> tuple[dns.name.Name, int] | None:
    """Return what a DNAME makes of the name, for servers that leave it to us (RFC 6672, 2.2 and 3.4), and its TTL.

    Raises: dns.name.NameTooLong.
    """
    for rrset in sets:
        if rrset.rdtype == dns.rdatatype.DNAME and name != rrset.name and name.is_subdomain(rrset.name):
            return name.relativize(rrset.name).concatenate(rrset[0].target), rrset.ttl
    return None


def _errors(answer: Message) -> list:
    return [option for option in answer.options if isinstance(option, dns.edns.EDEOption)]


def _explained(answer: Message) -> str:
    """Return the extended errors of the answer in words (RFC 8914), as the server wrote them but without controls."""
    parts = []
    for option in _errors(answer):
        code = int(option.code)
        known = code in dns.edns.EDECode.__members__.values()
        title = dns.edns.EDECode(code).name.replace("_", " ").lower() if known else "unknown"
        text = "".join(letter if letter.isprintable() else "?" for letter in option.text or "")[:SHOWN]
        parts.append(f"extended error {code} ({title}){f', {text}' if text else ''}")
    return "; ".join(parts)


def _below(name: str, zone: str) -> bool:
    return name != zone and (zone == "." or name.endswith(f".{zone}"))


@functools.lru_cache(maxsize=1024)
def _name(zone: str) -> dns.name.Name:
    """Return the name of a zone, which is wanted again with each answer of its servers."""
    return dns.name.from_text(zone)


def _text(name: dns.name.Name) -> str:
    return name.to_text().lower()


def value(item: dns.rdata.Rdata) -> str | Mx:
    """Return one value as str, or as Mx.

    The strings of a TXT are joined without anything between (RFC 7208, 3.3; RFC 6376, 3.6.2.2). Bytes that are not
    UTF-8 are read as Latin-1: every value can be shown, and none that is not ASCII turns into one that is.
    """
    match dns.rdatatype.to_text(item.rdtype):
        case "A" | "AAAA":
            return item.address
        case "PTR" | "NS" | "CNAME":
            return _text(item.target)
        case "MX":
            return Mx(item.preference, _text(item.exchange))
        case "TXT" | "SPF":
            joined = b"".join(item.strings)
            try:
                return joined.decode("utf-8")
            except UnicodeDecodeError:
                return joined.decode("latin-1")
    return item.to_text()
