# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet: what the inventory says, checked and typed. Nothing further down reads the inventory itself."""

from __future__ import annotations

import dataclasses
import datetime
import fractions
import ipaddress
import typing as t

# The login that probes use; what it sends chooses its own address.
PROBE_LOGIN = "probe"


def probe_sender(transport: str, domain: str) -> str:
    """The return path by which a probe asks to leave by a transport.

    :arg transport: the delivery service of the sending address.
    :arg domain: the domain of the return path.
    """
    return f"{PROBE_LOGIN}+{transport}@{domain}"


@dataclasses.dataclass(frozen=True)
class Warmup:
    """How a new address is warmed up: its first day (in UTC), and the messages that may leave a day and provider."""

    start: datetime.date
    caps: tuple[int, ...]
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Address:
    """One sending IP of a server and the HELO name that it speaks under.

    ``bind`` is what the server binds where a 1:1 NAT shows ``address`` outside; else it equals ``address``. ``warmup``
    is None where the address is warm.
    """

    address: str
    helo: str
    bind: str
    warmup: Warmup | None = None

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.address).version

    @property
    def transport(self) -> str:
        """The name of the Postfix delivery service that sends from this address."""
        return "ip-" + ipaddress.ip_address(self.address).compressed.replace(".", "-").replace(":", "-")


@dataclasses.dataclass(frozen=True)
class Server:
    """A host of the group ``sending_servers``."""

    name: str
    addresses: tuple[Address, ...]
    submission: bool = True
    tls_certificate: str = ""
    tls_key: str = ""

    @property
    def hostname(self) -> str:
        """The name that the server goes by: the HELO name of its first address."""
        return self.addresses[0].helo

    def first(self, family: int) -> Address | None:
        """The first address of a family (4 or 6); ordinary mail leaves from it."""
        return next((address for address in self.addresses if address.family == family), None)


@dataclasses.dataclass(frozen=True)
class SpfPolicy:
    """What a domain's SPF record says besides the fleet's addresses.

    ``include`` and ``redirect`` name domains of this inventory; ``external`` are other people's records by name,
    with the number of lookups that each costs (RFC 7208 4.6.4).
    """

    include: tuple[str, ...] = ()
    redirect: str = ""
    external: tuple[tuple[str, int], ...] = ()
    all: str = "softfail"


@dataclasses.dataclass(frozen=True)
class Dmarc:
    """A domain's DMARC policy (RFC 9989)."""

    policy: str = "none"
    subdomain_policy: str = ""
    rua: tuple[str, ...] = ()
    dkim_alignment: str = "relaxed"
    spf_alignment: str = "relaxed"


@dataclasses.dataclass(frozen=True)
class Domain:
    """A domain that mail is sent from, and the domain of its return paths."""

    name: str
    path: str
    bounce_domain: str = ""
    spf: SpfPolicy = SpfPolicy()
    dmarc: Dmarc | None = Dmarc()

    @property
    def auxiliary(self) -> bool:
        """Whether its SPF comes from another domain of the fleet."""
        return bool(self.spf.include or self.spf.redirect)

    @property
    def mail_from(self) -> str:
        """The domain of the return path: what a receiver evaluates SPF for."""
        return self.bounce_domain or self.name


@dataclasses.dataclass(frozen=True)
class Rate:
    """So many messages in so many seconds."""

    messages: int
    seconds: int

    @property
    def fraction(self) -> fractions.Fraction:
        """Messages a second."""
        return fractions.Fraction(self.messages, self.seconds)

    def __str__(self) -> str:
        unit = {1: "s", 60: "m", 3600: "h", 86400: "d"}[self.seconds]
        return f"{self.messages}/{unit}"


@dataclasses.dataclass(frozen=True)
class Provider:
    """A mailbox provider and its limits; 0, None and an empty text stand for no limit.

    ``domains`` are those that the inventory names, ``mx`` the suffixes of MX by which others are known to be hosted
    there. Of one sending address at a time: ``connections``, and ``messages`` on each; ``rate`` of messages;
    ``recipients`` of each. ``fleet_connections`` and ``fleet_rate`` hold for all addresses of all servers together.
    ``family`` is 4 or 6 where only one is used; ``tls`` is Postfix' security level; ``nexthop`` the domain whose MX
    take the mail of all ``domains``, where there is one. ``sources`` has for each limit who says so. ``delay`` makes
    the classic recipe of it: one service in the main Postfix, its pause after each delivery, and nothing else.
    """

    name: str
    domains: tuple[str, ...]
    connections: int = 0
    delay: str = ""
    mx: tuple[str, ...] = ()
    messages: int = 0
    rate: Rate | None = None
    recipients: int = 0
    fleet_connections: int = 0
    fleet_rate: Rate | None = None
    family: int = 0
    tls: str = ""
    nexthop: str = ""
    path: str = ""
    sources: t.Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def places(self) -> int:
        """How many next hops its own domains have: connections are kept for one of them."""
        return 1 if self.nexthop else len(self.domains)

    @property
    def recipe(self) -> bool:
        """Whether it is the classic recipe, which needs no lane."""
        return bool(self.delay)


@dataclasses.dataclass(frozen=True)
class Pool:
    """Addresses that mail of some senders leaves from, and no other mail.

    ``weights`` has for each of its addresses how much of the pool's mail leaves there, relative to the others.
    ``senders`` are domains and addresses of MAIL FROM; the pool of all others names none.
    """

    name: str
    weights: t.Mapping[str, int]
    senders: tuple[str, ...] = ()
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of applications that may relay without a login, with the domains that it may use."""

    network: str
    domains: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class User:
    """A login of submission, with the domains that it may use. Its hash never comes here."""

    name: str
    domains: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Dkim:
    """How keys are made: one for the fleet or one a server, the selector's prefix, and the size in bits."""

    scope: str = "fleet"
    selector: str = "m"
    bits: int = 2048


@dataclasses.dataclass(frozen=True)
class Agent:
    """The program on the servers that takes in what comes back, and tells Postfix who is not to be mailed.

    ``settings`` are those of the inventory, in the form of the program's own configuration; ``feedback`` local parts of
    the bounce domains that reports of providers come to; ``unsure`` what becomes of mail while the list is not known,
    ``open`` or ``closed``; ``sendmail`` the users of a server who may send without SMTP, and so without being asked;
    ``unsigned`` the local part of return paths that Postfix makes of the recipient, empty where there are none.
    """

    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    feedback: tuple[str, ...] = ()
    unsure: str = "open"
    sendmail: tuple[str, ...] = ("root",)
    unsigned: str = ""


@dataclasses.dataclass(frozen=True)
class Fleet:
    """All of it: the inventory of the whole group, whatever ``--limit`` says."""

    servers: tuple[Server, ...]
    domains: tuple[Domain, ...]
    providers: tuple[Provider, ...] = ()
    networks: tuple[Network, ...] = ()
    users: tuple[User, ...] = ()
    zones: tuple[str, ...] = ()
    dkim: Dkim = Dkim()
    unsigned: str = "defer"
    message_size: int = 26214400
    ttl: int = 3600
    pools: tuple[Pool, ...] = ()
    agent: Agent | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every sending IP of the fleet, sorted as addresses are."""
        found = {address.address for server in self.servers for address in server.addresses}
        return tuple(sorted(found, key=lambda text: (ipaddress.ip_address(text).version, ipaddress.ip_address(text))))

    @property
    def mail_domains(self) -> tuple[str, ...]:
        """Every domain that may stand in a MAIL FROM or From: the sending and the bounce domains."""
        names = [domain.name for domain in self.domains]
        return tuple(dict.fromkeys(names + [d.bounce_domain for d in self.domains if d.bounce_domain]))

    def with_bounces(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Sending domains together with their bounce domains: what a login of them may use as MAIL FROM."""
        bounces = [d.bounce_domain for d in self.domains if d.name in names and d.bounce_domain]
        return tuple(dict.fromkeys([*names, *bounces]))
