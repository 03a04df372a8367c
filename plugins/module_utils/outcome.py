# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a DNS question ends: values, no data, no such name, or "did not say", which never counts as missing."""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

SHOWN = 1000  # characters of values in words: an answer may have 64 kB


class Kind(str, Enum):
    """The four ends of a question."""

    VALUES = "values"
    NO_DATA = "no data"
    NO_NAME = "no such name"
    SILENT = "did not say"


class Mx(NamedTuple):
    """A value of type MX."""

    preference: int
    exchange: str


@dataclass(frozen=True)
class Server:
    """A DNS server: where it is asked, its own name where that is known, and the zone that it is an authority of.

    C(note) is what its reader has to know besides.
    """

    address: str
    port: int = 53
    name: str = ""
    zone: str = ""
    note: str = ""

    def __str__(self) -> str:
        place = self.address
        if self.port != 53:
            place = f"[{place}]:{self.port}" if ":" in place else f"{place}:{self.port}"
        place = ", ".join(filter(None, (place, self.note)))
        return f"{self.name} ({place})" if self.name else place

    @classmethod
    def parse(cls, text: str) -> Server:
        """Return the server of "ip", "ip:port" or "[v6]:port".

        Raises: ValueError where the text is nothing of this.
        """
        match = re.fullmatch(r"\[([^]]+)\](?::(\d{1,5}))?|([^:]+):(\d{1,5})|(.+)", text.strip(), re.DOTALL)
        try:
            bracketed, port6, plain, port4, bare = match.groups()
            address = ipaddress.ip_address(bracketed or plain or bare)
            port = int(port6 or port4 or 53)
            if not 0 < port < 65536 or (bracketed and address.version != 6):
                raise ValueError
        except (AttributeError, ValueError):
            raise ValueError(f"resolver {text!r}: expected an address, address:port or [IPv6 address]:port") from None
        return cls(str(address), port)


@dataclass(frozen=True)
class Outcome:
    """The end of one question.

    Attributes: C(name) (absolute, lower case) and C(rdtype) are the question. C(values), of VALUES only: addresses,
    names (absolute, lower case) and TXT as str, MX as Mx. C(server) is who said it, or who did not; C(cause) why a
    server did not say. C(chain) the names that CNAMEs led through, the last being where the values stand; C(ttl) how
    many seconds the answer holds; C(zone) the zone that a negative answer named. C(unroutable) says that the silence
    is this machine's: it has no way to the server's address family. C(referral), of an authority's silence, has the
    name servers of C(zone) that it refers to, each with the addresses that it gives those inside of that zone.
    """

    name: str
    rdtype: str
    kind: Kind
    values: tuple = ()
    server: str = ""
    cause: str = ""
    chain: tuple[str, ...] = ()
    ttl: int = 0
    zone: str = ""
    unroutable: bool = False
    referral: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def said(self) -> bool:
        """Return whether DNS gave an answer, be it that there is nothing."""
        return self.kind is not Kind.SILENT

    @property
    def source(self) -> str:
        """Return the question and who was asked, for a verdict's source."""
        asked = f" asked of {self.server}" if self.server else ""
        return f"{self.rdtype} {' > '.join((self.name, *self.chain))}{asked}"

    def __str__(self) -> str:
        if self.kind is Kind.VALUES:
            text = ", ".join(f"{value.preference} {value.exchange}" if isinstance(value, Mx) else str(value)
                             for value in self.values)
            length = f"{len(self.values)} values, {len(text):,} characters"
            return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({length})"
        if self.kind is Kind.SILENT:
            return f"{self.server or 'DNS'} did not say: {self.cause}"
        return self.kind.value + (f" ({self.cause})" if self.cause else "")


@dataclass(frozen=True)
class Held:
    """A negative answer that caches may keep, so that a record published meanwhile is not seen.

    Attributes: C(name) and C(rdtype) what was asked, C(kind) NO_NAME or NO_DATA; C(server) who said it; C(until) when
    it runs out, in seconds since the epoch; C(seconds) how long that was from the answer on; C(authoritative) says
    that the server is no cache itself, but resolvers that asked it keep what it said (RFC 2308, 5).
    """

    name: str
    rdtype: str
    kind: Kind
    server: str
    until: float
    seconds: int
    authoritative: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the answer as plain data for JSON, the time in UTC (RFC 3339)."""
        return {"name": self.name, "type": self.rdtype, "said": self.kind.value, "server": self.server,
                "until": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.until)), "seconds": self.seconds,
                "authoritative": self.authoritative}

    def __str__(self) -> str:
        until = time.strftime("%H:%M:%S", time.localtime(self.until))
        keeper = f"resolvers that asked {self.server} may hold" if self.authoritative else f"{self.server} holds"
        return f"{keeper} '{self.kind.value}' of {self.name} {self.rdtype} until {until}, {self.seconds} s"
