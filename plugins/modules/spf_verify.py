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
  - Only the result C(pass) is C(ok). No record is C(absent), a DNS server that did not say is C(unknown), all else
    C(fail).
  - The mend of a verdict is the record to publish, with all addresses that it lacks.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
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
  description: The verdicts on all that was verified. Those that differ in nothing but their subjects are one.
  returned: success
  type: list
  elements: dict
  contains:
    check: {description: Always C(spf)., type: str, returned: always, sample: spf}
    subjects:
      description: Address, identity and domain of each.
      type: list
      elements: str
      returned: always
      sample: ["198.51.100.10 MAIL FROM e.example.com"]
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found:
      description: The result, and the chain of terms that led to it.
      type: str
      returned: always
      sample: "pass by e.example.us: include:example.com > example.com: ip4:198.51.100.10"
    expected: {description: Always C(pass)., type: str, returned: always, sample: pass}
    cause: {description: "Why the status is not C(ok).", type: str, returned: always, sample: ""}
    mend: {description: The record to publish., type: str, returned: always, sample: ""}
    source: {description: The question that decided., type: str, returned: always, sample: TXT e.example.us.}
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
  sample: {ok: 6, warn: 0, unknown: 0, absent: 0, fail: 0}
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import (
    IDENTITIES,
    Sender,
    of_fleet,
    verify_spf,
)


def main() -> None:
    """Run the module."""
    address = {
        "address": {"type": "str", "required": True},
        "helo": {"type": "str", "default": ""},
        "bind": {"type": "str", "default": ""},
    }
    check = {
        "address": {"type": "str", "required": True},
        "domain": {"type": "str", "required": True},
        "identity": {"type": "str", "choices": list(IDENTITIES), "default": "mailfrom"},
        "helo": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec=lookup.OPTIONS | {
            "domains": {"type": "list", "elements": "str", "default": []},
            "addresses": {"type": "list", "elements": "dict", "default": [], "options": address},
            "checks": {"type": "list", "elements": "dict", "default": [], "options": check},
        },
        required_one_of=[("addresses", "checks")],
        supports_check_mode=True,
    )
    if lookup.DNSPYTHON_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=lookup.DNSPYTHON_ERROR)
    try:
        addresses = [(item["address"], item["helo"]) for item in module.params["addresses"]]
        senders = lookup.collect(lambda item: Sender(**item), module.params["checks"])
        senders += of_fleet(module.params["domains"], addresses)
        with lookup.from_options(module.params) as dns:
            verdicts = verify_spf(dns, senders)
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **as_result(verdicts))


if __name__ == "__main__":
    main()
