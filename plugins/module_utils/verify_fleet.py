# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that DNS says of a fleet, verified side by side by one lookup: what several checks ask is asked once, and a name
server that is silent is waited for by the run and not by each check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import Blocklist
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_unknown import UnknownKey, verify_unknown
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, Verdict, counted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, verify_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_inbound import verify_inbound
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver, verify_mx
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run


@dataclass(frozen=True)
class Wanted:
    """What is verified, each as the check of its kind takes it.

    Attributes: C(addresses) that send, with their HELO names; C(domains) those of MAIL FROM, each verified with each
    address; C(keys) of DKIM; C(unknown_keys) those that should sign and that nobody knows; C(policies) of DMARC;
    C(receivers) the domains that take mail; C(blocklists) those that are asked for the addresses and receivers;
    C(matrix) the file for the results of SPF, if any; C(helo_must_match) see verify_ptr.
    """

    addresses: Sequence[Address] = ()
    domains: Sequence[str] = ()
    keys: Sequence[Key] = ()
    policies: Sequence[Subject] = ()
    receivers: Sequence[Receiver] = ()
    blocklists: Sequence[Blocklist] = ()
    matrix: str = ""
    helo_must_match: bool = False
    unknown_keys: Sequence[UnknownKey] = ()


@dataclass(frozen=True)
class Findings:
    """C(verdicts), check by check; C(counts), how many of what was verified have which status."""

    verdicts: tuple[Verdict, ...]
    counts: Counter[Status]


def verify_fleet(lookup: Lookup, wanted: Wanted, authoritative: str = "auto") -> Findings:
    """Return the findings of all checks, in the order PTR, SPF, DKIM, DMARC, MX, inbound policies, blocklists, and last
    what is to be said of the name servers.

    Arguments: C(authoritative) see Lookup.ask_by; it holds for all but inbound policies and blocklists.
    Raises: ValueError where a HELO name is none, and where the matrix cannot be written.
    """
    hosts = [(each.address, each.helo) for each in wanted.addresses]
    greetings = list(dict.fromkeys(each.helo for each in wanted.addresses if each.helo))
    domains = [each.domain for each in wanted.receivers]
    cases = spf_fleet.of_fleet(wanted.domains, hosts)
    known = {absolute_name(key.domain).removesuffix(".") for key in wanted.keys}
    keyless = tuple(dict.fromkeys(key.domain for key in wanted.unknown_keys if key.domain not in known))
    policies = [replace(subject, keyless=keyless) for subject in wanted.policies] if keyless else wanted.policies

    def blocklists() -> list[Verdict]:
        return verify_blocklists(lookup, wanted.blocklists, [address for address, _helo in hosts], domains)

    # They wait for answers most of their time.
    ptr, spf, *others = lookup.each(lambda check: check(), (
        lambda: verify_ptr(lookup, wanted.addresses, authoritative, wanted.helo_must_match),
        lambda: verify_spf_run(lookup, cases, authoritative, wanted.matrix),
        lambda: [*verify_dkim(lookup, wanted.keys, authoritative).verdicts,
                 *verify_unknown(wanted.unknown_keys, known)],
        lambda: verify_dmarc(lookup, policies, greetings, authoritative).verdicts,
        lambda: verify_mx(lookup, wanted.receivers, authoritative),
        lambda: verify_inbound(lookup, domains),
        blocklists,
    ))
    behind = [*chain.from_iterable(others), *verify_authorities(lookup)]
    return Findings((*ptr, *spf.verdicts, *behind), counted(ptr) + spf.counts + counted(behind))
