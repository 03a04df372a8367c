# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a DNS question ends: values, no data, no such name, or "did not say", which never counts as missing."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


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
    """A DNS server: where it is asked, and its own name where that is known."""

    address: str
    port: int = 53
    name: str = ""

    def __str__(self) -> str:
        place = self.address
        if self.port != 53:
            place = f"[{place}]:{self.port}" if ":" in place else f"{place}:{self.port}"
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
    is this machine's: it has no way to the server's address family.
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
            return ", ".join(f"{value.preference} {value.exchange}" if isinstance(value, Mx) else str(value)
                             for value in self.values)
        if self.kind is Kind.SILENT:
            return f"{self.server or 'DNS'} did not say: {self.cause}"
        return self.kind.value + (f" ({self.cause})" if self.cause else "")
