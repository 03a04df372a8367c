# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Blocklists that are known by name: where they are asked, what their answers mean, and who may ask (November 2026)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader, required
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name

KINDS = ("ip4", "ip6", "domain")
# Answers by which operators of many lists say that they do not answer the question.
_REFUSALS = {
    "127.255.255.252": "the name of the list is misspelt",
    "127.255.255.253": "the list does not know this network",
    "127.255.255.254": "the list does not answer public resolvers: ask through a resolver of your own",
    "127.255.255.255": "this resolver asked too often",
}
_LISTED = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782, 2.1


@dataclass(frozen=True)
class Blocklist:
    """One list.

    Attributes: C(zone) where it is asked; C(kinds) of KINDS, what it lists; C(answers) what an address that it answers
    means; C(bits) what the bits of its last octet mean, where they add up; C(refusals) answers that are no listing;
    C(listed) and C(unlisted) test entries of a list of domains; C(removal) where a listing is explained and ended;
    C(terms) who may ask, where not everybody may: such a list is asked only where it is named.
    """

    name: str
    zone: str = field(repr=False)  # may hold a customer's key
    kinds: tuple[str, ...]
    answers: Mapping[str, str] = field(default_factory=dict, compare=False)
    bits: Mapping[int, str] = field(default_factory=dict, compare=False)
    refusals: Mapping[str, str] = field(default_factory=dict, compare=False)
    listed: str = "test"
    unlisted: str = "invalid"
    removal: str = ""
    terms: str = ""

    def meaning(self, answer: str) -> tuple[bool, str]:
        """Return whether an answer is a listing, and what it says: of one that is none, why the list did not answer."""
        if refusal := self.refusals.get(answer) or _REFUSALS.get(answer):
            return False, refusal
        if ipaddress.ip_address(answer) not in _LISTED:
            return False, f"it answers {answer}, and a list answers in {_LISTED} (RFC 5782, 2.1): it is not what it was"
        if known := self.answers.get(answer):
            return True, known
        last = int(answer.rpartition(".")[2])
        parts = [text for bit, text in self.bits.items() if last & bit]
        return True, " and ".join(parts) or answer


_SPAMHAUS = "free for small, non-commercial use through your own resolver; otherwise in a zone that holds your key"
SHIPPED = {
    blocklist.name: blocklist
    for blocklist in (
        Blocklist(
            "spamcop", "bl.spamcop.net", ("ip4",), {"127.0.0.2": "reported by recipients and caught by spam traps"},
            removal="https://www.spamcop.net/bl.shtml",
        ),
        Blocklist(
            "psbl", "psbl.surriel.com", ("ip4",), {"127.0.0.2": "sent mail to a spam trap"},
            removal="https://psbl.org/remove",
        ),
        Blocklist(
            "mailspike", "bl.mailspike.net", ("ip4",),
            {"127.0.0.2": "listed", "127.0.0.10": "worst possible reputation", "127.0.0.11": "very bad reputation",
             "127.0.0.12": "bad reputation"},
            removal="https://mailspike.org/iplookup.html",
        ),
        Blocklist(
            "spamhaus-zen", "zen.spamhaus.org", ("ip4", "ip6"),
            {"127.0.0.2": "SBL: a source of spam", "127.0.0.3": "CSS: sends mail of low reputation",
             "127.0.0.4": "XBL: an infected or abused machine", "127.0.0.9": "DROP: a network in criminal hands",
             "127.0.0.10": "PBL: its network says that it should not send mail itself",
             "127.0.0.11": "PBL: it should not send mail itself, says Spamhaus",
             "127.0.0.30": "BCL: a botnet's controller"},
            removal="https://check.spamhaus.org", terms=_SPAMHAUS,
        ),
        Blocklist(
            "spamhaus-dbl", "dbl.spamhaus.org", ("domain",),
            {"127.0.1.2": "low reputation", "127.0.1.4": "phishing", "127.0.1.5": "malware", "127.0.1.6": "a botnet",
             "127.0.1.102": "a good domain that is abused", "127.0.1.103": "an abused redirector",
             "127.0.1.104": "abused for phishing", "127.0.1.105": "abused by malware",
             "127.0.1.106": "abused by a botnet"},
            refusals={"127.0.1.255": "it lists domains and was asked for an address"},
            listed="dbltest.com", unlisted="example.com", removal="https://check.spamhaus.org", terms=_SPAMHAUS,
        ),
        Blocklist(
            "surbl", "multi.surbl.org", ("domain",),
            bits={8: "phishing", 16: "malware", 64: "abuse: in spam", 128: "a cracked site"},
            refusals={"127.0.0.1": "the list does not answer this resolver"},
            listed="surbl-org-permanent-test-point.com", unlisted="example.com",
            removal="https://surbl.org/surbl-analysis", terms="free for small, non-commercial use",
        ),
        Blocklist(
            "uribl", "multi.uribl.com", ("domain",), bits={2: "black", 4: "grey", 8: "red"},
            refusals={"127.0.0.1": "the list does not answer this resolver, which asked too often or is public"},
            listed="test.uribl.com", unlisted="example.com", removal="https://lookup.uribl.com",
            terms="free for small use through your own resolver",
        ),
        Blocklist(
            "barracuda", "b.barracudacentral.org", ("ip4",), {"127.0.0.2": "poor reputation"},
            removal="https://www.barracudacentral.org/lookups", terms="after registration of the resolver's address",
        ),
    )
}
EVERYBODY = tuple(name for name, blocklist in SHIPPED.items() if not blocklist.terms)

# What a module takes for one list.
BLOCKLIST = {
    "name": {"type": "str", "required": True},
    "zone": {"type": "str", "no_log": True},
    "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": ["ip4"]},
}


def named(name: str, zone: str | None = None, kinds: Sequence[str] | None = None) -> Blocklist:
    """Return the known list of that name, in another zone where one is given, or a list of one's own.

    Raises: ValueError where the name is not known and no zone is given, or the zone, which is not shown, is no name.
    """
    known = SHIPPED.get(name)
    if zone:
        try:
            absolute_name(zone)
        except ValueError:
            raise ValueError(f"blocklist {name!r}: its zone is no domain name") from None
    if known:
        return replace(known, zone=zone) if zone else known
    if not zone:
        raise ValueError(f"blocklist {name!r} is not known; expected one of {', '.join(SHIPPED)}, or a zone with it")
    return Blocklist(name, zone, tuple(kinds or ("ip4",)))


def read_lists(items: Iterable[Mapping[str, object]], path: str) -> list[Blocklist]:
    """Return the lists of a module's option (BLOCKLIST), which C(path) names. Raises: ValueError with all mistakes."""
    reader = Reader()
    lists = read_blocklists(reader, items, path)
    if reader.mistakes:
        raise ValueError("; ".join(map(str, reader.mistakes)))
    return lists


def read_blocklists(reader: Reader, value: object, path: str) -> list[Blocklist]:
    """Return the lists of what stands at C(path); C(reader) notes the mistakes. No zone shows: it may hold a key."""
    found = []
    for where, item in reader.items(value, path, secret=True):
        fields = reader.mapping(item, where, BLOCKLIST, required(BLOCKLIST), secret=True)
        name = reader.text(fields["name"], f"{where}.name") if fields.get("name") else ""
        kinds = [reader.choice(kind, at, KINDS, "") for at, kind in reader.items(fields.get("kinds"), f"{where}.kinds")]
        if name:
            found.append(reader.made(where, named, name, fields.get("zone"), kinds))
    return found
