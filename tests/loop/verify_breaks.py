# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of verify.yml break, in two rounds, and to the letter what is to be said of each break."""

from __future__ import annotations

import dataclasses
import json

import lab_runs
import lab_world as lab
from verifying import Change, Place, Verified

OTHER_NETWORK = '"v=spf1 ip4:192.0.2.1 -all"'


@dataclasses.dataclass(frozen=True)
class Break:
    """One thing that is wrong: what was done, whom that leaves accused, and what is said of the first of them.

    `ours` tells whether the mend is a record of the fleet's own.
    """

    changes: list[Change]
    accused: dict[Place, str]
    found: str
    cause: str
    mend: str
    ours: bool = True


def wanted(owner: str, kind: str = "TXT") -> str:
    """The one value that the fleet wants at a name, as a zone file has it, in the longest strings that DNS allows."""
    records = json.loads((lab_runs.STATE / "records.json").read_text(encoding="utf-8"))
    (value,) = (each["value"] for each in records if (each["owner"], each["type"]) == (f"{owner}.", kind))
    return " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255)) if kind == "TXT" else value


def key_of(domain: str) -> str:
    """The name of a domain's key record."""
    known = json.loads((lab_runs.STATE / "keys.json").read_text(encoding="utf-8"))
    return f"{max(known[domain])}._domainkey.{domain}"


def mail_from(domain: str, status: str, *addresses: str) -> dict[Place, str]:
    return {("spf", f"{address} MAIL FROM {domain}"): status for address in addresses or lab.HELO}


def pointer(last: int) -> str:
    return f"{last}.100.51.198.in-addr.arpa"


def fingerprint(verified: Verified, domain: str) -> str:
    """What a report calls the key that a domain should have."""
    return verified.verdicts["dkim", f"{key_of(domain)}."]["expected"]


def of_the_first_round(fine: Verified) -> dict[str, Break]:
    com, us = key_of("example.com"), key_of("example.us")
    lacking = wanted("e.example.com").replace("ip4:198.51.100.20/31", "ip4:198.51.100.20")
    hosts = ("mta1.example.com.", "mta2.example.com.")
    return {
        "the PTR of an address names another host": Break(
            [(pointer(10), "PTR", ["mta2.example.com."])],
            {("ptr", "198.51.100.10"): "fail"},
            "mta2.example.com.",
            "mta2.example.com. points to 198.51.100.20, not back",
            f"have the owner of the network set {pointer(10)}. PTR mta1.example.com.",
        ),
        "an address has no PTR": Break(
            [(pointer(11), "PTR", [])],
            {("ptr", "198.51.100.11"): "absent"},
            "no such name",
            "the address has no PTR record: no such name",
            f"have the owner of the network set {pointer(11)}. PTR mta1b.example.com.",
        ),
        "a HELO name has no address": Break(
            [("mta2b.example.com", "A", [])],
            {("ptr", "198.51.100.21"): "fail"},
            "mta2b.example.com.",
            "mta2b.example.com. has no A record: no data",
            "publish mta2b.example.com. A 198.51.100.21",
        ),
        "SPF lacks an address": Break(
            [("e.example.com", "TXT", [lacking])],
            {
                **mail_from("e.example.com", "fail", "198.51.100.21"),
                **mail_from("e.example.us", "fail", "198.51.100.21"),
            },
            "fail by e.example.com: -all",
            "the address is not among those that the record passes",
            f"publish e.example.com. TXT {lacking.replace('v=spf1', 'v=spf1 ip4:198.51.100.21')} instead of {lacking}",
        ),
        "the SPF of a HELO name is gone": Break(
            [("mta1b.example.com", "TXT", [])],
            {("spf", "198.51.100.11 HELO mta1b.example.com"): "absent", ("spf record", "mta1b.example.com"): "absent"},
            "none",
            "mta1b.example.com has no SPF record: no data",
            f"publish mta1b.example.com. TXT {wanted('mta1b.example.com')}",
        ),
        "a domain has two SPF records": Break(
            [("example.us", "TXT", [wanted("example.us"), OTHER_NETWORK])],
            {**mail_from("example.us", "fail"), ("spf record", "example.us"): "fail"},
            "permerror",
            "example.us has 2 SPF records, one is allowed",
            'publish example.us. TXT "v=spf1 include:example.com ip4:192.0.2.1 -all" instead of '
            f"{wanted('example.us')} and {OTHER_NETWORK}",
        ),
        "another DKIM key is published": Break(
            [(com, "TXT", [wanted(us)])],
            {("dkim", f"{com}."): "fail"},
            fingerprint(fine, "example.us"),
            "another key is published, under which no signature of ours verifies (RFC 6376, 6.1.3)",
            f"publish {com}. TXT {wanted(com)}",
        ),
        "a DKIM key is not published": Break(
            [(us, "TXT", [])],
            {("dkim", f"{us}."): "absent"},
            "no such name",
            "no such name: there is no key (RFC 6376, 6.1.2)",
            f"publish {us}. TXT {wanted(us)}",
        ),
        "DMARC is gone": Break(
            [("_dmarc.example.com", "TXT", [])],
            {("dmarc", "example.com"): "absent"},
            "no such name",
            "there is no DMARC record at _dmarc.example.com., and none above it applies (RFC 9989, 4.10.1); large "
            "providers demand at least p=none",
            f"publish _dmarc.example.com. TXT {wanted('_dmarc.example.com')}",
        ),
        "bounces go elsewhere": Break(
            [("e.example.com", "MX", ["10 mx.gmail.com."])],
            {("mx", "e.example.com."): "fail"},
            "10 mx.gmail.com.",
            "mail goes to mx.gmail.com., and to no host of the fleet",
            "remove e.example.com. MX to mx.gmail.com.; "
            f"publish {' and '.join(f'e.example.com. MX 10 {host}' for host in hosts)}",
        ),
        "a bounce domain takes no mail": Break(
            [("e.example.us", "MX", ["0 ."])],
            {("mx", "e.example.us."): "fail"},
            "0 .",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove e.example.us. MX 0 .; "
            f"publish {' and '.join(f'e.example.us. MX 10 {host}' for host in hosts)}",
        ),
    }


def of_the_second_round(_fine: Verified) -> dict[str, Break]:
    short = wanted("example.com").replace(" ip4:198.51.100.20/31", "")
    policy = "v=DMARC1; p=none; rua=mailto:dmarc@example.com"
    return {
        "the SPF that another includes is gone": Break(
            [("e.example.com", "TXT", [])],
            {
                **mail_from("e.example.com", "absent"),
                ("spf record", "e.example.com"): "absent",
                **mail_from("e.example.us", "fail"),
                ("spf record", "e.example.us"): "fail",
            },
            "none",
            "e.example.com has no SPF record: no data",
            f"publish e.example.com. TXT {wanted('e.example.com')}",
        ),
        "SPF beside a foreign value lacks addresses": Break(
            [("example.com", "TXT", [short, '"somebody-elses=value"'])],
            {
                **mail_from("example.com", "fail", "198.51.100.20", "198.51.100.21"),
                **mail_from("example.us", "fail", "198.51.100.20", "198.51.100.21"),
            },
            "softfail by example.com: ~all",
            "the address is not among those that the record passes",
            f"publish example.com. TXT {short.replace('v=spf1', 'v=spf1 ip4:198.51.100.20/31')} instead of {short}",
        ),
        "an address has the name of another": Break(
            [
                (pointer(20), "PTR", ["mta2b.example.com."]),
                ("mta2b.example.com", "A", ["198.51.100.20", "198.51.100.21"]),
            ],
            {("ptr", "198.51.100.20"): "warn"},
            "mta2b.example.com.",
            "the address greets as mta2.example.com., which is not its name",
            f"have the owner of the network set {pointer(20)}. PTR mta2.example.com., or greet as mta2b.example.com",
        ),
        "DMARC is weaker than the inventory's": Break(
            [("_dmarc.example.com", "TXT", [f'"{policy}"'])],
            {("dmarc", "example.com"): "fail"},
            f"none: {policy} at _dmarc.example.com.",
            "the policy for the domain is none, weaker than the wanted reject",
            f'publish _dmarc.example.com. TXT "{policy.replace("none", "reject")}" instead of "{policy}"',
        ),
        "DMARC reports go to a stranger": Break(
            [("_dmarc.example.us", "TXT", ['"v=DMARC1; p=none; rua=mailto:x@freemail.test"'])],
            {("dmarc_reports", "reports about example.us to freemail.test"): "absent"},
            "no such name",
            "freemail.test has not agreed to take reports about example.us, so that none are sent (RFC 9990, 4)",
            'the owner of freemail.test publishes example.us._report._dmarc.freemail.test. TXT "v=DMARC1"',
            ours=False,
        ),
        "a sending domain takes no mail": Break(
            [("example.us", "MX", ["0 ."])],
            {("mx", "example.us."): "fail"},
            "0 .",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove example.us. MX 0 .; publish example.us. MX 10 with the name of the host that takes its mail",
            ours=False,
        ),
    }


FIRST = (
    "the PTR of an address names another host",
    "an address has no PTR",
    "a HELO name has no address",
    "SPF lacks an address",
    "the SPF of a HELO name is gone",
    "a domain has two SPF records",
    "another DKIM key is published",
    "a DKIM key is not published",
    "DMARC is gone",
    "bounces go elsewhere",
    "a bounce domain takes no mail",
)
SECOND = (
    "the SPF that another includes is gone",
    "SPF beside a foreign value lacks addresses",
    "an address has the name of another",
    "DMARC is weaker than the inventory's",
    "DMARC reports go to a stranger",
    "a sending domain takes no mail",
)
