#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: domain_info
short_description: Tell what DNS says of any domain that sends mail
version_added: 1.0.0
description:
  - Asks for the addresses of domains, the names of those addresses, and for SPF, DKIM, DMARC and MX, be the domains
    one's own or not. Each answer is a fact with its values, whether it is present, and whether receivers can use it.
  - What DNS did not say is neither present nor missing, but C(null).
  - The resolvers are asked. To verify a fleet, use the verifying modules, which ask every authoritative server and
    compare with what should be.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  domains:
    description: The domains to ask about.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      selectors:
        description: The selectors of its DKIM keys, where they are known. DNS cannot list them.
        type: list
        elements: str
        default: []
seealso:
  - module: mailfleet.sending.ptr_verify
  - module: mailfleet.sending.spf_verify
  - module: mailfleet.sending.dkim_verify
  - module: mailfleet.sending.dmarc_verify
  - module: mailfleet.sending.mx_verify
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Ask about two domains
  mailfleet.sending.domain_info:
    domains:
      - {domain: example.com, selectors: [m20261123]}
      - {domain: example.net}
  delegate_to: localhost
  run_once: true
  become: false
  register: info

- name: Show whether receivers can use the SPF record of one of them
  ansible.builtin.debug:
    var: info.domains['example.com'].spf.valid
"""

RETURN = r"""
domains:
  description:
    - The facts on each domain, by its name in lower case.
    - Each fact has C(value), which is always a list of texts, empty where there is nothing, and with all of them where
      there are several, be that a mistake, as two SPF records are; C(present), whether there is any; C(valid), whether
      receivers can use it; C(cause), why they cannot or why that is not known; and C(source), the questions.
    - C(present) and C(valid) are C(null) where DNS did not say.
  returned: success
  type: dict
  contains:
    ip:
      description: The addresses of the domain itself. Valid where receivers outside can reach all of them.
      type: dict
      returned: always
      contains:
        value: {description: IPv4 before IPv6., type: list, elements: str, returned: always, sample: [198.51.100.10]}
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether all can be reached., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The questions.
          type: str
          returned: always
          sample: A example.com. asked of 198.51.100.4; AAAA example.com. asked of 198.51.100.4
    ptr:
      description: The names of each of these addresses. Valid where one points back to it.
      type: list
      elements: dict
      returned: always
      contains:
        address: {description: The address., type: str, returned: always, sample: 198.51.100.10}
        value: {description: Its names., type: list, elements: str, returned: always, sample: [mta1.example.com.]}
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether one points back., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The questions.
          type: str
          returned: always
          sample: PTR 10.100.51.198.in-addr.arpa. asked of 198.51.100.4; A mta1.example.com. asked of 198.51.100.4
    spf:
      description: The SPF record. Valid where there is one, and it keeps to RFC 7208 with all that it includes.
      type: dict
      returned: always
      contains:
        value:
          description: The record. Several are all here, and not valid.
          type: list
          elements: str
          returned: always
          sample: [v=spf1 ip4:198.51.100.10 -all]
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether receivers can evaluate it., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The questions.
          type: str
          returned: always
          sample: TXT example.com. asked of 198.51.100.4
    dkim:
      description:
        - A fact on the key record of each selector that was given, by the selector. Valid where signatures can be
          verified with it.
      type: dict
      returned: always
      contains:
        value:
          description: The record. Several are all here, and not valid.
          type: list
          elements: str
          returned: always
          sample: [v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=]
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether verifiers can use it., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The question.
          type: str
          returned: always
          sample: TXT m20261123._domainkey.example.com. asked of 198.51.100.4
    default_dkim:
      description: The key record of the selector that bears the domain's own name. Valid as those of C(dkim) are.
      type: dict
      returned: always
      contains:
        value: {description: The record or several., type: list, elements: str, returned: always, sample: []}
        present: {description: Whether there is any., type: bool, returned: always, sample: false}
        valid: {description: Whether verifiers can use it., type: bool, returned: always, sample: false}
        cause:
          description: Why not.
          type: str
          returned: always
          sample: "no such name: there is no key (RFC 6376, 6.1.2); without a selector the domain's own name was tried"
        source:
          description: The question.
          type: str
          returned: always
          sample: TXT example.com._domainkey.example.com. asked of 198.51.100.4
    dmarc:
      description: The DMARC record that holds for the domain, be it its own or inherited (RFC 9989, 4.10.1).
      type: dict
      returned: always
      contains:
        value:
          description: The record. Where the domain has several, none holds, and all are here.
          type: list
          elements: str
          returned: always
          sample: [v=DMARC1; p=none]
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether receivers can apply it., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The question about the domain's own record.
          type: str
          returned: always
          sample: TXT _dmarc.example.com. asked of 198.51.100.4
        at:
          description: The name at which it stands, empty where none holds.
          type: str
          returned: always
          sample: _dmarc.example.com.
        policy:
          description: What it wants of mail that fails, empty where receivers apply none.
          type: str
          returned: always
          sample: none
    mx:
      description: The MX records. Valid where mail arrives by them, or by the address of the domain.
      type: dict
      returned: always
      contains:
        value:
          description: Preference and host of each, in the order in which they are tried.
          type: list
          elements: str
          returned: always
          sample: [10 mta1.example.com.]
        present: {description: Whether there is any., type: bool, returned: always, sample: true}
        valid: {description: Whether mail arrives., type: bool, returned: always, sample: true}
        cause: {description: Why not., type: str, returned: always, sample: ""}
        source:
          description: The question.
          type: str
          returned: always
          sample: MX example.com. asked of 198.51.100.4
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.domain_facts import Question, domain_facts
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import collect, every
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import answer

DOMAIN = {
    "domain": {"type": "str", "required": True},
    "selectors": {"type": "list", "elements": "str", "default": []},
}
ARGUMENTS = lookup.OPTIONS | {
    "domains": {"type": "list", "elements": "dict", "required": True, "options": DOMAIN},
}


def result(params: Mapping[str, object]) -> dict[str, object]:
    """Return what the module returns. Raises: ValueError for mistakes."""
    questions, dns = every(
        lambda: collect(lambda item: Question(item["domain"], item["selectors"]), params["domains"], "domains"),
        lambda: lookup.from_options(params))
    with dns:
        facts = domain_facts(dns, questions)
    warnings = [] if questions else ["nothing was asked: domains is empty"]
    return {"changed": False, "warnings": warnings, "domains": facts}


def main() -> None:
    """Run the module."""
    answer(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), result)


if __name__ == "__main__":
    main()
