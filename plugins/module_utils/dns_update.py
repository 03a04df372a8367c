# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones read from, and written to, their primary server: DNS UPDATE (RFC 2136) under TSIG (RFC 8945).

What was read is the prerequisite of what is written, so that nobody's change in between is lost: then the zone is read
and planned anew. Reading is signed with the same key, so that a server with views shows the view that is updated.
"""
from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.dns_plan import (
    Change,
    Key,
    Plan,
    RRset,
    Unfit,
    plan,
    questions,
    too_many_terms,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.tsig import ALGORITHMS, secret_fault

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdatatype
    import dns.rrset
    import dns.tsig
    import dns.update
except ImportError:
    DNSPYTHON_ERROR = traceback.format_exc()
else:
    DNSPYTHON_ERROR = None

ATTEMPTS = 4  # of read, plan, update, while somebody else changes the same values
_WORKERS = 8
KEY_MEND = "compare name, algorithm and secret with the server's, and allow the key to update the zone"


class DnsError(ValueError):
    """A zone that could not be read or written; the message names the zone, its server and the mend."""


class Unreachable(DnsError):
    """No answer: the server is down, or the way to it is."""


class Refused(DnsError):
    """The server does not let this key, or this address, do it."""


class NotServed(DnsError):
    """The server is not an authority for the zone or the name."""


class BadKey(DnsError):
    """The server and we do not hold the same key, or not the same time."""


class Unsigned(BadKey):
    """The answer does not carry the signature that it must."""


class Changed(DnsError):
    """Somebody else changed a value after it was read."""


@dataclass(frozen=True)
class Zone:
    """A zone and the server that takes its updates; `secret` is base64, `timeout` in seconds and for each exchange."""

    name: str
    server: str
    port: int = 53
    key_name: str | None = None
    algorithm: str = "hmac-sha256"
    secret: str | None = field(default=None, repr=False)
    timeout: float = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", absolute_name(self.name))
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"zone {self.name}: algorithm {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if self.key_name:
            object.__setattr__(self, "key_name", absolute_name(self.key_name))
            if fault := secret_fault(self.secret or ""):
                raise ValueError(f"zone {self.name}: the secret of key {self.key_name} is {fault}")

    def __str__(self) -> str:
        return f"zone {self.name} at {self.server} port {self.port}"

    @property
    def signer(self) -> str:
        return f"key {self.key_name}" if self.key_name else "this address (no key is given)"


def publish(
    zone: Zone,
    wanted: Sequence[Record],
    published: Sequence[Record] = (),
    *,
    adopt: Collection[str] = (),
    phase: str = "expand",
    check: bool = False,
    unfit: Unfit = too_many_terms,
) -> Plan:
    """Brings a zone to what is wanted, in one update; returns the plan that was carried out (with `check`: would be).

    Arguments as `dns_plan.plan`. Raises a DnsError.
    """
    for _attempt in range(ATTEMPTS):
        live = read(zone, questions(wanted, published))
        made = plan(live, wanted, published, adopt=adopt, phase=phase, unfit=unfit)
        if check or not made.changes:
            return made
        try:
            update(zone, made.changes)
        except Changed as error:
            last = error
        else:
            return made
    raise last


def read(zone: Zone, keys: Iterable[Key]) -> dict[Key, RRset]:
    """The live RRsets of these owners and types, from the zone's primary; `(owner, "CNAME")` where one stands there.

    Raises a DnsError, NotServed where the server does not answer with authority.
    """
    where = _address(zone)
    try:
        _check_authority(zone, _exchange(zone, _query(zone, zone.name, "SOA"), where))
    except Unsigned:
        # Servers sign no answer about a zone that is not theirs: without a key they say what is wrong.
        _check_authority(zone, _exchange(zone, _query(replace(zone, key_name=None), zone.name, "SOA"), where))
        raise

    def ask(key: Key) -> list[RRset]:
        response = _exchange(zone, _query(zone, *key), where, udp=True)
        if response.rcode() != dns.rcode.NXDOMAIN:
            _check(zone, response)
        if not response.flags & dns.flags.AA:
            raise NotServed(f"{zone}: {key[0]} belongs to another zone below it: add that zone to sending_zones")
        return [*_answers(response, *key), *(_answers(response, key[0], "CNAME") if key[1] != "CNAME" else [])]

    def ask_all(asked: Iterable[Key]) -> dict[Key, RRset]:
        return {(rrset.owner, rrset.type): rrset for found in pool.map(ask, list(asked)) for rrset in found}

    with ThreadPoolExecutor(_WORKERS) as pool:
        live = ask_all(keys)
        # A wildcard answers for names that do not exist (RFC 4592), with values that are not theirs.
        wildcards = ask_all({(f"*.{parent}", rtype) for owner, rtype in live for parent in _parents(zone, owner)})
    doubtful = {
        owner
        for (owner, rtype), rrset in live.items()
        for parent in _parents(zone, owner)
        if (star := wildcards.get((f"*.{parent}", rtype))) and star.values == rrset.values
    }
    absent = {owner for owner in doubtful if not _exists(zone, owner)}
    return {key: rrset for key, rrset in live.items() if key[0] not in absent}


def update(zone: Zone, changes: Sequence[Change]) -> None:
    """Sends the changes as one update, whose prerequisites are the values before them.

    Only what does not fit into one message (65,535 octets) goes in several. Raises Changed where a value is no longer
    what it was, another DnsError where the server does not take it.
    """
    message = dns.update.UpdateMessage(dns.name.from_text(zone.name))
    _sign(zone, message)
    for change in changes:
        _prerequisite(message, change)
    for change in changes:
        _write(message, change)
    try:
        message.to_wire()
    except dns.exception.TooBig:
        half = len(changes) // 2
        if not half:
            owner, rtype = changes[0].key
            raise DnsError(f"{zone}: {owner} {rtype} has too many values for one update: remove some by hand") from None
        update(zone, changes[:half])
        update(zone, changes[half:])
        return
    _check(zone, _exchange(zone, message, _address(zone)))


def _parents(zone: Zone, owner: str) -> list[str]:
    """The names above the owner, up to the zone's."""
    labels = owner.removesuffix(zone.name).rstrip(".").split(".") if owner != zone.name else []
    return [".".join([*labels[at:], zone.name]) for at in range(1, len(labels) + 1)]


def _exists(zone: Zone, owner: str) -> bool:
    """Whether anything stands at the very name: an update that is nothing but this prerequisite (RFC 2136 2.4.4)."""
    message = dns.update.UpdateMessage(dns.name.from_text(zone.name))
    _sign(zone, message)
    message.present(owner)
    response = _exchange(zone, message, _address(zone))
    if response.rcode() != dns.rcode.NXDOMAIN:
        _check(zone, response)
    return response.rcode() == dns.rcode.NOERROR


def _address(zone: Zone) -> str:
    try:
        return socket.getaddrinfo(zone.server, zone.port, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{zone}: the server has no address ({error}): give its IP address") from None


def _sign(zone: Zone, message: dns.message.Message) -> None:
    if zone.key_name:
        message.use_tsig(dns.tsig.Key(zone.key_name, zone.secret, _algorithm(zone.algorithm)))


def _algorithm(name: str) -> dns.name.Name:
    return dns.tsig.HMAC_MD5 if name == "hmac-md5" else dns.name.from_text(name)


def _query(zone: Zone, owner: str, rtype: str) -> dns.message.Message:
    message = dns.message.make_query(owner, rtype, use_edns=0, payload=1232)
    message.flags &= ~dns.flags.RD
    _sign(zone, message)
    return message


def _exchange(zone: Zone, message: dns.message.Message, where: str, *, udp: bool = False) -> dns.message.Message:
    """One question and its answer; UDP falls back to TCP where the answer is cut off or does not come."""

    def by_tcp() -> dns.message.Message:
        return dns.query.tcp(message, where, zone.timeout, zone.port)

    def by_udp() -> dns.message.Message:
        try:
            return dns.query.udp_with_fallback(message, where, zone.timeout, zone.port, ignore_unexpected=True)[0]
        except dns.exception.Timeout:
            return by_tcp()

    response = _translated(zone, by_udp if udp else by_tcp)
    if message.had_tsig and not response.had_tsig and response.rcode() == dns.rcode.NOERROR:
        raise Unsigned(f"{zone}: the answer is not signed with {zone.signer}: ask the server's keeper")
    return response


def _translated(zone: Zone, exchange: Callable[[], dns.message.Message]) -> dns.message.Message:
    """The exchange's outcome, with dnspython's exceptions as ours."""
    try:
        return exchange()
    except dns.tsig.PeerBadTime:
        raise BadKey(f"{zone}: the server's clock and this one differ too much for TSIG: set both by NTP") from None
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm) as error:
        raise BadKey(
            f"{zone}: the server does not take {zone.signer} as it is given here ({type(error).__name__}): {KEY_MEND}"
        ) from None
    except dns.exception.Timeout:
        raise Unreachable(f"{zone}: no answer within {zone.timeout:g} s: is the server up, and port open?") from None
    except (OSError, EOFError) as error:
        why = error or "closed early"
        raise Unreachable(f"{zone}: no connection ({why}): is the server up, and port open?") from None
    except dns.exception.FormError as error:
        # Some servers (Knot 3.4) do not sign the answer in which they refuse a key.
        why = f"malformed, or not signed with {zone.signer} ({error})"
        raise Unsigned(f"{zone}: the answer is {why}: {KEY_MEND}") from None
    except dns.exception.DNSException as error:
        raise DnsError(f"{zone}: the answer cannot be read ({error}): ask the server's keeper") from None


def _check_authority(zone: Zone, response: dns.message.Message) -> None:
    if response.rcode() != dns.rcode.NXDOMAIN:
        _check(zone, response)
    if not response.flags & dns.flags.AA or not _answers(response, zone.name, "SOA"):
        raise NotServed(f"{zone}: the server has no authority for it: give the zone's primary, or correct its name")


def _check(zone: Zone, response: dns.message.Message) -> None:
    rcode = response.rcode()
    if rcode == dns.rcode.NOERROR:
        return
    name = dns.rcode.to_text(rcode)
    if rcode in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
        raise Changed(f"{zone}: values changed {ATTEMPTS} times between reading and writing ({name}): run again")
    if rcode in (dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
        raise NotServed(f"{zone}: not authorized ({name}) for {zone.signer}: give the zone's primary, and its key")
    if rcode in (dns.rcode.REFUSED, dns.rcode.NOTIMP):
        raise Refused(f"{zone}: refused ({name}): allow {zone.signer} to read and update the zone, or name its primary")
    raise DnsError(f"{zone}: the server failed ({name}): see its log")


def _answers(response: dns.message.Message, owner: str, rtype: str) -> list[RRset]:
    name, wanted = dns.name.from_text(owner), dns.rdatatype.from_text(rtype)
    return [
        RRset(owner, rtype, rrset.ttl, _texts(rrset))
        for rrset in response.answer
        if rrset.name == name and rrset.rdtype == wanted
    ]


def _texts(rrset: dns.rrset.RRset) -> tuple[str, ...]:
    return tuple(sorted(rdata.to_text() for rdata in rrset))


def _prerequisite(message: dns.update.UpdateMessage, change: Change) -> None:
    owner, rtype = change.key
    if change.before:
        message.present(owner, rtype, *change.before.values)
    else:
        message.absent(owner, rtype)


def _write(message: dns.update.UpdateMessage, change: Change) -> None:
    owner, rtype = change.key
    rewritten = change.before.values if change.new_ttl else change.removed
    for value in rewritten:
        message.delete(owner, rtype, value)
    for value in change.after.values if change.after and change.new_ttl else change.added:
        message.add(owner, change.after.ttl, rtype, value)
