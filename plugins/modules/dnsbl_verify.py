#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dnsbl_verify
short_description: Verify that blocklists do not list the sending addresses and domains
version_added: 1.0.0
description:
  - Asks blocklists in DNS (RFC 5782) for each address, IPv4 and IPv6, and each domain, and explains what they answer.
  - A list is believed only where its test entries answer as they should. One that is dead, lists everything, or refuses
    to answer this resolver is C(unknown), never a listing and never C(ok).
  - A listing is C(fail), with its meaning, the reason that the list gives, and where to ask for removal.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  addresses:
    description: The IPv4 and IPv6 addresses to look for.
    type: list
    elements: str
    default: []
  domains:
    description: The domains to look for.
    type: list
    elements: str
    default: []
  lists:
    description:
      - The lists to ask. C(name) alone is a known list.
      - Known are V(spamcop), V(psbl), V(mailspike), V(spamhaus-zen), V(spamhaus-dbl), V(surbl), V(uribl) and
        V(barracuda).
      - Without any, those are asked that let everybody ask, which are V(spamcop), V(psbl) and V(mailspike). The others
        have terms, so that they are asked only where they are named here.
      - Most lists do not answer public resolvers; ask through one of your own, with O(resolvers).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of a known list, or any other with C(zone).
        type: str
        required: true
      zone:
        description:
          - Where the list is asked, instead of where it is known to be. It may hold a customer's key, and is not shown.
        type: str
      kinds:
        description: What it lists, where it is none of the known lists.
        type: list
        elements: str
        choices: [ip4, ip6, domain]
        default: [ip4]
seealso:
  - module: mailfleet.sending.ptr_verify
  - name: RFC 5782
    description: DNS blacklists and whitelists.
    link: https://www.rfc-editor.org/rfc/rfc5782
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify two addresses and a domain with lists whose terms are kept
  mailfleet.sending.dnsbl_verify:
    addresses: [198.51.100.10, "2001:db8:61::10"]
    domains: [example.com]
    lists:
      - name: spamcop
      - name: spamhaus-zen
      - name: spamhaus-dbl
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: dnsbl

- name: Show where they are listed, and why
  ansible.builtin.debug:
    var: dnsbl.faults
"""

RETURN = r"""
verdicts:
  description: The verdicts on each address and domain in each list. Those that differ in nothing but subjects are one.
  returned: success
  type: list
  elements: dict
  contains:
    check: {description: Always C(blocklist)., type: str, returned: always, sample: blocklist}
    subjects:
      description: Address or domain, and list.
      type: list
      elements: str
      returned: always
      sample: [198.51.100.10 in spamcop]
    status: {description: "C(ok), C(unknown) or C(fail).", type: str, returned: always, sample: ok}
    found: {description: Whether it is listed., type: str, returned: always, sample: not listed}
    expected: {description: Always C(not listed)., type: str, returned: always, sample: not listed}
    cause: {description: "What the list says, or why it did not answer.", type: str, returned: always, sample: ""}
    mend: {description: What to do., type: str, returned: always, sample: ""}
    source:
      description:
        - The question, by the address or domain that it is about, or for C(each) of the subjects, and who was asked. At
          which name a list is asked says RFC 5782; its zone is not shown.
      type: str
      returned: always
      sample: A of each in the list spamcop asked of 198.51.100.4
faults:
  description: The verdicts that are not C(ok), the worst first.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: How many checks have each status.
  returned: success
  type: dict
  sample: {ok: 3, warn: 0, unknown: 0, absent: 0, fail: 0}
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import BLOCKLIST, EVERYBODY, read_lists
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.records import absolute_name, plain_address
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import answer

ARGUMENTS = lookup.OPTIONS | {
    "addresses": {"type": "list", "elements": "str", "default": []},
    "domains": {"type": "list", "elements": "str", "default": []},
    "lists": {"type": "list", "elements": "dict", "options": BLOCKLIST},
}


def result(params: Mapping[str, object]) -> dict[str, object]:
    """Return what the module returns. Raises: ValueError for mistakes."""
    wanted = [{"name": name} for name in EVERYBODY] if params["lists"] is None else params["lists"]
    lists, addresses, domains, dns = every(
        lambda: read_lists(wanted, "lists"),
        lambda: collect(plain_address, params["addresses"], "addresses"),
        lambda: collect(absolute_name, params["domains"], "domains"),
        lambda: lookup.from_options(params))
    with dns:
        verdicts = verify_blocklists(dns, lists, addresses, domains)
    warnings = [] if addresses or domains else ["nothing was verified: addresses and domains are empty"]
    return {"changed": False, "warnings": warnings, **as_result(verdicts)}


def main() -> None:
    """Run the module."""
    answer(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), result)


if __name__ == "__main__":
    main()
