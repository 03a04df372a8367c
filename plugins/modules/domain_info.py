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
    one's own or not. Each answer is a fact with its value, whether it is present, and whether receivers can use it.
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
    - Each fact has C(value), a text, or a list where there may be several; C(present), whether there is one; C(valid),
      whether receivers can use it; C(cause), why they cannot or why that is not known; and C(source), the questions.
      C(present) and C(valid) are C(null) where DNS did not say.
  returned: success
  type: dict
  contains:
    ip:
      description: The addresses of the domain itself. Valid where receivers outside can reach all of them.
      type: dict
      returned: always
      sample: {value: [198.51.100.10], present: true, valid: true, cause: "", source: "A example.com."}
    ptr:
      description: The names of each of these addresses, with the C(address). Valid where one points back to it.
      type: list
      elements: dict
      returned: always
    spf:
      description: The SPF record. Valid where there is one, and it keeps to RFC 7208 with all that it includes.
      type: dict
      returned: always
    dkim:
      description: The key record of each selector that was given.
      type: dict
      returned: always
    default_dkim:
      description: The key record of the selector that bears the domain's own name.
      type: dict
      returned: always
    dmarc:
      description:
        - The DMARC record that holds for the domain, with C(at), the name at which it stands, and the C(policy) that it
          wants.
      type: dict
      returned: always
    mx:
      description: The MX records. Valid where mail arrives by them, or by the address of the domain.
      type: dict
      returned: always
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
