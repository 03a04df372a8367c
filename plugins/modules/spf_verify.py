#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: spf_verify
short_description: Verify that SPF passes the sending addresses
version_added: 1.0.0
description:
  - Evaluates SPF as a receiver does (RFC 7208, every mechanism, modifier, macro and limit) for each address that sends
    and each domain that it sends under, and says which term of which record decided.
  - Each domain of MAIL FROM is evaluated with the sender C(postmaster) in it, whom RFC 7208, 4.3 puts where there is no
    other. Only where a record holds the macro C(%{l}) or C(%{s}), receivers may find otherwise for other senders.
  - Only the result C(pass) is C(ok). No record is C(absent), a DNS server that did not say is C(unknown), all else
    C(fail).
  - The mend of a verdict is the record to publish, with all addresses that it lacks, within the limits of RFC 7208. Of
    each owner there is one, in which all that is wrong is mended, and whoever of the fleet passes now passes with it.
  - The records of all domains are fetched together, each once, and each address is then evaluated with limits of its
    own. A thousand addresses and two hundred domains take seconds.
  - With O(records), each record is judged as well, whoever sends (C(spf record)).
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.lookup.authoritative
  - mailfleet.sending.lookup.wait
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  domains:
    description:
      - The domains of return paths. Each is verified with each of O(addresses), and so is the HELO name of each
        address.
    type: list
    elements: str
    default: []
  addresses:
    description: The addresses that send mail of O(domains).
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IPv4 or IPv6 address, as receivers see it.
        type: str
        required: true
      helo:
        description: The name that it greets with. Without it, no HELO name is verified.
        type: str
        default: ""
      bind:
        description: Taken so that C(sending_addresses) can be given as it is, and of no meaning here.
        type: str
        default: ""
  checks:
    description: Single things to verify, besides those of O(domains) and O(addresses).
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IPv4 or IPv6 address, as receivers see it.
        type: str
        required: true
      domain:
        description: The domain whose record decides.
        type: str
        required: true
      identity:
        description: Whether the domain is that of the return path, or the HELO name.
        type: str
        choices: [mailfrom, helo]
        default: mailfrom
      helo:
        description: The name that the address greets with, which matters to macros only. Without it, the domain.
        type: str
        default: ""
  records:
    description:
      - Whether the records of all these domains are judged as well, and returned as RV(records), with their trees and
        limits.
    type: bool
    default: true
  what_if:
    description:
      - Records that are not published yet, by domain. Everything is evaluated as if they stood in place of the SPF
        records that do; an empty one stands for its removal.
    type: dict
    default: {}
  matrix:
    description:
      - A file on the controller to write the result of every single check to, as CSV (RFC 4180) in UTF-8, its first
        line naming the columns C(address), C(identity) (V(mailfrom) or V(helo)), C(domain), C(status), C(result),
        C(chain) (the terms that led to the result, the outermost first), C(terms) (how many terms looked up),
        C(voids) (how many lookups found nothing) and C(cause).
      - It replaces the file that is there when it is whole. Nothing is written in check mode.
    type: path
  authoritative:
    description:
      - Of whom the SPF records of these domains, and of names below them, are asked. What they include of others, and
        the hosts that C(a), C(mx), C(exists) and C(ptr) name, are asked of the resolvers, as receivers do.
      - V(yes) asks every authoritative server, found through the resolvers, says where they differ or do not answer,
        and evaluates what most of them say.
      - V(no) asks the resolvers only.
      - V(auto) asks the authoritative servers, and the resolvers where none of those says anything, which is a verdict
        of its own then, C(warn). Where this machine hears none at all, as behind a firewall, it says so once, with the
        check C(name servers), and asks the resolvers for all the rest.
seealso:
  - module: mailfleet.sending.ptr_verify
  - module: mailfleet.sending.dkim_verify
  - name: RFC 7208
    description: Sender Policy Framework for authorizing use of domains in email, version 1.
    link: https://www.rfc-editor.org/rfc/rfc7208
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify every address of the fleet with every bounce domain
  mailfleet.sending.spf_verify:
    domains: [e.example.com, e.example.us]
    addresses:
      - {address: 198.51.100.10, helo: mta1.example.com}
      - {address: "2001:db8:61::10", helo: mta1.example.com}
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: spf

- name: Stop unless all pass
  ansible.builtin.assert:
    that: spf.faults | length == 0
    fail_msg: "{{ spf.faults }}"

- name: See what a record would do before it is published
  mailfleet.sending.spf_verify:
    domains: [e.example.com]
    addresses:
      - {address: 198.51.100.10, helo: mta1.example.com}
    what_if:
      e.example.com: v=spf1 ip4:198.51.100.0/28 -all
    matrix: /tmp/spf.csv
  delegate_to: localhost
  run_once: true
  become: false

- name: Verify one address with one domain
  mailfleet.sending.spf_verify:
    checks:
      - {address: 198.51.100.10, domain: example.com}
  delegate_to: localhost
  run_once: true
  become: false
"""

RETURN = r"""
verdicts:
  description:
    - The verdicts on all that was verified. Those of a domain with the same result and chain are one. Where more than
      ten chains led to one result of a domain, those that differ in their last term are one too.
    - With O(records) also those on the records themselves, and, where authoritative servers were asked, on those that
      differ or do not answer.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description:
        - C(spf) of an address or a server, C(spf record) of a record, C(name servers) for what is to be said of these.
      type: str
      returned: always
      sample: spf
    subjects:
      description:
        - Address, identity and domain of each. More than twenty addresses are named by ranges, which hold those
          addresses only that were verified, and a long list ends in how many are not named; O(matrix) has all.
        - The domain, of a verdict on a record.
      type: list
      elements: str
      returned: always
      sample: ["198.51.100.10 to 198.51.100.59 (50 addresses) MAIL FROM e.example.com"]
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found:
      description: The result, and the chain of terms that led to it.
      type: str
      returned: always
      sample: "pass by e.example.us: include:example.com > example.com: ip4:198.51.100.10"
    expected: {description: What it should be., type: str, returned: always, sample: pass}
    cause: {description: "Why the status is not C(ok).", type: str, returned: always, sample: ""}
    mend: {description: The record to publish., type: str, returned: always, sample: ""}
    source:
      description: The question that decided, and the server that answered it.
      type: str
      returned: always
      sample: TXT e.example.us. asked of 198.51.100.4
faults:
  description: The verdicts that are not C(ok), the worst first.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: How many checks have each status, every address of a verdict counted.
  returned: success
  type: dict
  sample: {ok: 6, warn: 0, unknown: 0, absent: 0, fail: 0}
records:
  description:
    - With O(records), the records of all these domains, whoever sends. A list in one of them has two hundred items at
      most.
  returned: success
  type: list
  elements: dict
  contains:
    owner: {description: The domain., type: str, returned: always, sample: example.us}
    text:
      description: Its SPF record, empty where there is none or more than the one that is allowed.
      type: str
      returned: always
      sample: "v=spf1 include:example.com a:old.example.us ~all"
    tree:
      description:
        - A line for each term that looks up, with what it costs and what it does not find, under the record that
          leads to it. What stands above already is not repeated.
      type: str
      returned: always
      sample: |-
        example.us: 3 of 10 lookups
          include:example.com: 2
            a:mta1.example.com: 1
          a:old.example.us: 1, finds nothing: A old.example.us: no such name; AAAA old.example.us: no such name
    lookups:
      description: How many terms look up for a client that no term matches, in all branches.
      type: int
      returned: always
      sample: 3
    exact:
      description:
        - Whether no more can be spent. It is false where DNS did not say, a macro names the record to include, a record
          leads back to itself, or the tree is too large to be read.
      type: bool
      returned: always
      sample: true
    otherwise:
      description: The result of a client that no term names, by family (C(ipv4) and C(ipv6)).
      type: dict
      returned: always
      sample: {ipv4: softfail, ipv6: softfail}
    voids:
      description: The terms of the tree that look up what is not there.
      type: list
      elements: dict
      returned: always
      contains:
        owner: {description: The domain whose record holds the term., type: str, returned: always, sample: example.us}
        term: {description: The term., type: str, returned: always, sample: "a:old.example.us"}
        found:
          description: The questions, and what was found.
          type: list
          elements: str
          returned: always
          sample: ["A old.example.us: no such name", "AAAA old.example.us: no such name"]
        ipv4: {description: How many of the lookups an IPv4 client makes., type: int, returned: always, sample: 1}
        ipv6: {description: How many of the lookups an IPv6 client makes., type: int, returned: always, sample: 1}
        possible: {description: How many more depend on the message., type: int, returned: always, sample: 0}
    limits:
      description: The limits of RFC 7208, 4.6.4 that a client breaks which no term matches before.
      type: list
      elements: dict
      returned: always
      contains:
        family: {description: "That of the client: V(ipv4) or V(ipv6).", type: str, returned: always, sample: ipv4}
        cause: {description: The limit., type: str, returned: always, sample: more than 10 terms look up}
        at:
          description: The domain and the term at which the evaluation ends.
          type: str
          returned: always
          sample: "example.us: a:old.example.us"
        hidden_from:
          description: The terms before it whose clients never meet the limit.
          type: list
          elements: str
          returned: always
          sample: ["ip4:198.51.100.10"]
      sample: []
matrix:
  description: The file that was written, empty where none was.
  returned: success
  type: str
  sample: ""
tries:
  description: What was asked and what was still missing at each try, of which there is one without O(wait).
  returned: success
  type: list
  elements: dict
  contains:
    after: {description: Seconds since the beginning., type: float, returned: always, sample: 3.2}
    asked: {description: How many domains were asked for., type: int, returned: always, sample: 2}
    waiting: {description: The names of what was not as it should be., type: list, elements: str, returned: always}
    held: {description: Negative answers that caches may keep., type: list, elements: dict, returned: always}
    pause: {description: Seconds until the next try., type: float, returned: always, sample: 4.0}
"""

from collections.abc import Callable, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import (
    IDENTITIES,
    Sender,
    of_fleet,
    of_senders,
    together,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import read_what_if
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result, counted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import SENDING_ADDRESS, answer
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try, Waiting

CHECK = {
    "address": {"type": "str", "required": True},
    "domain": {"type": "str", "required": True},
    "identity": {"type": "str", "choices": list(IDENTITIES), "default": "mailfrom"},
    "helo": {"type": "str", "default": ""},
}
ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | lookup.WAIT | {
    "domains": {"type": "list", "elements": "str", "default": []},
    "addresses": {"type": "list", "elements": "dict", "default": [], "options": SENDING_ADDRESS},
    "checks": {"type": "list", "elements": "dict", "default": [], "options": CHECK},
    "records": {"type": "bool", "default": True},
    "what_if": {"type": "dict", "default": {}},
    "matrix": {"type": "path"},
}


def result(params: Mapping[str, object], check_mode: bool,
           show: Callable[[Try], None] | None = None) -> dict[str, object]:
    """Return what the module returns. C(show) takes each try as it ends.

    Raises: ValueError for mistakes, and where the matrix cannot be written.
    """
    addresses = [(item["address"], item["helo"]) for item in params["addresses"]]
    fleet, senders, what_if, dns = every(
        lambda: of_fleet(params["domains"], addresses),
        lambda: collect(lambda item: Sender(**item), params["checks"], "checks"),
        lambda: read_what_if(params["what_if"]),
        lambda: lookup.from_options(params))
    cases = together(fleet, of_senders(senders))
    path = "" if check_mode else params["matrix"] or ""
    waiting = Waiting(params["wait"], show)
    with dns:
        found = waiting.until_good(dns, len({case.domain for case in cases}), lambda: verify_spf_run(
            dns, cases, params["authoritative"], path, what_if, params["records"]), lambda found: found.lacking)
    others = verify_authorities(dns)
    warnings = [] if cases else ["nothing was verified: addresses and checks are empty"]
    return {"changed": False, "warnings": warnings, "matrix": path, "tries": waiting.told,
            "records": [each.to_dict() for each in found.audits],
            **as_result([*found.verdicts, *others], found.counts + counted(others))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    answer(module, lambda params: result(params, module.check_mode))


if __name__ == "__main__":
    main()
