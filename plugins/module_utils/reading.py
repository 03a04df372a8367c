# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading loosely typed data (what YAML gives) into typed values, noting every mistake with its path.

A reader never raises: it notes the mistake, gives a harmless value, and goes on, so that one run tells everything.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.a_labels import to_a_labels
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, nearest

LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
ZONE_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_/-]{0,61}[a-z0-9_])?\Z")
HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
DURATION = re.compile(r"([0-9]+)(s|m|h|d)?\Z")
LONGEST = 86400  # seconds that anything may be told to wait
WORDS = {"true": True, "yes": True, "false": False, "no": False}
MAILBOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(.+)\Z")


def show(value: t.Any) -> str:
    """A value as a mistake shows it: short, and without surprises."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def show_nothing_of(value: t.Any) -> str:
    """A value that may hold a secret as a mistake shows it."""
    kinds = {str: "a text", dict: "a mapping", list: "a list", bool: "true or false", int: "a number"}
    return next((word for kind, word in kinds.items() if isinstance(value, kind)), "something else") + " (not shown)"


def domain_name(text: str, label: re.Pattern[str] = LABEL) -> str | None:
    """The canonical form of a domain name, or None where it is none.

    :arg text: a name, with or without its final dot, in any case; Unicode names become A-labels (RFC 5890), but
        for those with a letter that IDNA 2003 and 2008 (RFC 5894 7.2) read in two ways.
    :arg label: the form that each label must have; ``HOST_LABEL`` for names of hosts (RFC 1123 2.1), ``ZONE_LABEL``
        for those of zones, which may be parts of others' (RFC 2317 4).
    :returns: lower case, no final dot, at least two labels, at most 253 octets.
    """
    try:
        name = to_a_labels(text.strip().rstrip(".").lower())
    except ValueError:
        return None
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(label.match(part) for part in labels):
        return None
    if labels[-1].isdigit():
        return None
    return name


def required(options: t.Mapping[str, t.Mapping[str, t.Any]]) -> tuple[str, ...]:
    """The names of the options that a module's argument_spec requires."""
    return tuple(name for name, option in options.items() if option.get("required"))


class Reader:
    """Reads values and notes mistakes in ``mistakes``."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def note(self, path: str, found: t.Any, expected: str, mend: str = "") -> None:
        """Note one mistake; ``found`` is shown as a literal unless it is a phrase given in angle brackets."""
        shown = found[1:-1] if isinstance(found, str) and found[:1] == "<" and found[-1:] == ">" else show(found)
        self.mistakes.append(Mistake(path, shown, expected, mend))

    def mapping(
        self,
        value: t.Any,
        path: str,
        known: t.Collection[str],
        required: t.Collection[str] = (),
        secret: bool = False,
    ) -> dict[str, t.Any]:
        """A mapping whose keys are all known and whose required keys have a value; of a secret one nothing shows."""
        if not isinstance(value, dict):
            shown = f"<{show_nothing_of(value)}>" if secret else value
            self.note(path, shown, "a mapping with " + ", ".join(required or known))
            return {}
        for key in value:
            if key not in known:
                self.note(
                    f"{path}.{key}",
                    f"<the unknown key {key!r}>",
                    "one of " + ", ".join(known),
                    nearest(str(key), known),
                )
        for key in required:
            if not value.get(key):
                empty = value.get(key) in (None, "") or secret
                self.note(f"{path}.{key}", "<nothing>" if empty else value[key], "a value", f"add {key}")
        return value

    def items(self, value: t.Any, path: str, secret: bool = False) -> list[tuple[str, t.Any]]:
        """The items of a list, each with its path; of what is none nothing shows where it may hold a secret."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.note(path, f"<{show_nothing_of(value)}>" if secret else value, "a list", "put - before each item")
            return []
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]

    def made(self, path: str, make: t.Callable[..., t.Any], *values: t.Any) -> t.Any:
        """What another part makes of values; the ValueError that it raises is the mistake, and None comes of it."""
        try:
            return make(*values)
        except ValueError as error:
            self.mistakes.append(Mistake(path, str(error), ""))
            return None

    def text(self, value: t.Any, path: str, expected: str = "a text on one line", secret: bool = False) -> str:
        """A text that is not empty and holds no control character (one could smuggle a line into a file)."""
        if not isinstance(value, str) or not value or any(ord(c) < 32 or ord(c) == 127 for c in value):
            mend = "put it in quotes" if isinstance(value, (int, float)) else ""
            self.note(path, f"<{show_nothing_of(value)}>" if secret else value, expected, mend)
            return ""
        return value

    def place(self, value: t.Any, path: str, secret: bool = False) -> str:
        """A path on the controller that does not depend on where, or by which playbook, Ansible runs.

        With ``secret`` nothing of what is none shows: it may be the very thing that a file should hold.
        """
        place = self.text(value, path, "a path on the controller, on one line", secret)
        if place and place[0] not in "/~":
            expected = "a path from the root: a relative one leads elsewhere with every playbook"
            found = f"<{show_nothing_of(value)}>" if secret else place
            self.note(path, found, expected, 'begin it with "{{ inventory_dir }}/", for instance')
            return ""
        return place

    def choice(self, value: t.Any, path: str, choices: t.Collection[t.Any], default: t.Any) -> t.Any:
        """One of some words or numbers."""
        if value is None:
            return default
        if isinstance(value, bool) and {"yes", "no"} <= set(choices):
            return "yes" if value else "no"  # as YAML reads these words
        if isinstance(value, str) and value.isdecimal() and int(value) in choices:
            return int(value)  # as --extra-vars name=2048 gives it
        if not isinstance(value, (str, int)) or value not in choices:
            words = [str(choice) for choice in choices]
            self.note(path, value, "one of " + ", ".join(words), nearest(str(value), words))
            return default
        return value

    def integer(self, value: t.Any, path: str, low: int, high: int, default: int) -> int:
        """A whole number within bounds, which both belong to it."""
        if value is None:
            return default
        # Digits of other scripts are none for int(), and of very many it makes nothing.
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.note(path, value, f"a whole number from {low} to {high}")
            return default
        return value

    def flag(self, value: t.Any, path: str, default: bool) -> bool:
        """True or false."""
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in WORDS:
            return WORDS[value.lower()]  # as --extra-vars name=true gives it
        if not isinstance(value, bool):
            self.note(path, value, "true or false")
            return default
        return value

    def duration(self, value: t.Any, path: str) -> str | None:
        """A time in Postfix' form (postconf(5)): a number and s, m, h or d; a bare number is seconds."""
        if value is None:
            return None
        match = DURATION.match(str(value))
        if not match or isinstance(value, bool) or len(match[1]) > 6:
            self.note(path, value, "a time such as 1s, 5m or 2h, of at most 6 digits")
            return None
        return match.group(1) + (match.group(2) or "s")

    def domain(self, value: t.Any, path: str) -> str:
        """A domain that can stand in an address or carry records."""
        name = domain_name(value) if isinstance(value, str) else None
        if name is None:
            self.note(path, value, "a domain name such as example.com")
            return ""
        return name

    def host(self, value: t.Any, path: str) -> str:
        """A fully qualified host name, as a HELO name must be (RFC 5321 4.1.1.1)."""
        name = domain_name(value, HOST_LABEL) if isinstance(value, str) else None
        if name is None:
            self.note(path, value, "a fully qualified host name such as mta1.example.com")
            return ""
        return name

    def zone(self, value: t.Any, path: str) -> str:
        """The name of a zone: a domain, or the part of a reverse zone that a hoster gives away (RFC 2317)."""
        name = domain_name(value, ZONE_LABEL) if isinstance(value, str) else None
        if name is None:
            self.note(path, value, "a zone's name such as example.com or 0/25.100.51.198.in-addr.arpa")
            return ""
        return name

    def machine(self, value: t.Any, path: str) -> str:
        """A machine to talk to, by its IP address or its name; it may be this one."""
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError:
            name = value.lower() if isinstance(value, str) else ""
        if not domain_name(name, HOST_LABEL) and (not HOST_LABEL.match(name) or name.isdigit()):
            self.note(path, value, "an IP address or the name of a host", "a port has its own key")
            return ""
        return name

    def address(self, value: t.Any, path: str) -> str:
        """An IP address in its canonical form that mail can leave from."""
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            self.note(path, value, "an IPv4 or IPv6 address")
            return ""
        if address.version == 6 and (address.scope_id or address.ipv4_mapped):
            self.note(path, value, "an address without a zone, and an IPv4 one in dotted form")
            return ""
        local = address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local
        if local or address == ipaddress.ip_address("255.255.255.255"):
            self.note(path, value, "an address that others can reach")
            return ""
        return str(address)

    def network(self, value: t.Any, path: str) -> str:
        """A network in its canonical form; one that covers half of the Internet is a mistake."""
        try:
            network = ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
        except ValueError:
            self.note(path, value, "a network such as 10.0.0.0/24")
            return ""
        if ipaddress.ip_interface(value).ip != network.network_address:
            self.note(path, value, "a network, which has no bits behind its prefix", f"write {network}")
            return ""
        if network.prefixlen < (8 if network.version == 4 else 16):
            self.note(
                path, value, "a network no wider than /8 (IPv4) or /16 (IPv6)", "name the networks of your applications"
            )
            return ""
        return str(network)

    def mailbox(self, value: t.Any, path: str) -> str:
        """A plain address (local part and domain), without a display name."""
        match = MAILBOX.match(value) if isinstance(value, str) else None
        if not match or domain_name(match.group(1)) is None:
            self.note(path, value, "an address such as postmaster@example.com")
            return ""
        return t.cast(str, value)
