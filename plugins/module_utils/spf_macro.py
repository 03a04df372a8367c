# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The macros of SPF expanded for one message (RFC 7208, 7)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.mailfleet.sending.plugins.module_utils.spf_record import Macro, MacroString

MAXIMUM_NAME = 253


@dataclass(frozen=True)
class Message:
    """What one evaluation is about.

    C(ip) the client's address; C(sender) the address of the identity, with a local part; C(helo) the HELO name;
    C(receiver) and C(now), a Unix time in seconds, are of use to explanations only.
    """

    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    sender: str
    helo: str
    receiver: str = "unknown"
    now: int = 0


def expand(parts: MacroString, message: Message, domain: str, validated: Callable[[], str]) -> str:
    """Return the text of a macro-string.

    Arguments: C(domain) the domain that is being evaluated; C(validated) finds the value of %{p}, which costs queries.
    """
    return "".join(part if isinstance(part, str) else _value(part, message, domain, validated) for part in parts)


def target_name(parts: MacroString, message: Message, domain: str, validated: Callable[[], str]) -> str:
    """Return the domain that a domain-spec expands to, without its last dot, cut from the left to 253 characters."""
    name = expand(parts, message, domain, validated).removesuffix(".")
    while len(name) > MAXIMUM_NAME and "." in name:
        name = name.partition(".")[2]
    return name


def _value(macro: Macro, message: Message, domain: str, validated: Callable[[], str]) -> str:
    local, _at, sender_domain = message.sender.rpartition("@")
    match macro.letter.lower():
        case "s":
            value = message.sender
        case "l":
            value = local
        case "o":
            value = sender_domain
        case "d":
            value = domain
        case "i":
            nibbles = message.ip.exploded.replace(":", "").upper()
            value = str(message.ip) if message.ip.version == 4 else ".".join(nibbles)
        case "p":
            value = validated()
        case "v":
            value = "in-addr" if message.ip.version == 4 else "ip6"
        case "h":
            value = message.helo
        case "c":
            value = str(message.ip)
        case "r":
            value = message.receiver
        case _:
            value = str(message.now)
    parts = re.split(f"[{re.escape(macro.delimiters)}]", value)
    if macro.reverse:
        parts.reverse()
    if macro.keep or macro.reverse or macro.delimiters != ".":
        value = ".".join(parts[-macro.keep:])
    return quote(value, safe="-._~") if macro.letter.isupper() else value
