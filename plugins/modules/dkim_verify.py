#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_verify
short_description: Verify that every name server serves the DKIM keys
version_added: 1.0.0
description:
  - Asks every authoritative server of every domain for the DKIM key records and says where one is missing, wrong, weak
    or different from the key that signs (RFC 6376, 8301, 8463).
  - Can wait until all keys are served, so that nothing signs with a key that receivers cannot see yet.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  keys:
    description: The keys to look for.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain that the key signs for, d= of the signature.
        type: str
        required: true
      selector:
        description: The selector, s= of the signature.
        type: str
        required: true
      public:
        description:
          - The public half that must be published, in base64 as RV(mailfleet.sending.dkim_key#module:keys[].public) is.
          - Without it, any valid key will do, and the key never counts as seen.
        type: str
        default: ""
  authoritative:
    description:
      - V(yes) asks every authoritative server of each domain, found through the resolvers; one that does not answer
        makes the verdict C(unknown).
      - V(no) asks the resolvers only.
      - V(auto) asks the authoritative servers, and the resolvers where none of those says anything, as behind a
        firewall. The verdict then is C(warn) at best and says so, and the key does not count as seen.
    type: str
    choices: ["yes", "no", auto]
    default: auto
  wait:
    description:
      - For how many seconds keys that are not there are asked for again, with growing pauses. V(0) asks once.
      - This time comes on top of O(deadline).
    type: float
    default: 0.0
seealso:
  - module: mailfleet.sending.dkim_key
  - module: mailfleet.sending.dns_records
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify one key with the system's resolvers
  mailfleet.sending.dkim_verify:
    keys:
      - {domain: example.com, selector: m20261123}
  delegate_to: localhost
  run_once: true
  become: false
  register: dkim

- name: Show what is wrong
  ansible.builtin.debug:
    var: dkim.faults

- name: Wait up to five minutes until all name servers serve the fleet's key
  mailfleet.sending.dkim_verify:
    keys:
      - domain: example.com
        selector: m20261123
        public: "{{ lookup('ansible.builtin.file', 'm20261123.public') }}"
    authoritative: "yes"
    wait: 300
    resolvers: ["198.51.100.4", "[2001:db8:61::4]:53"]
  delegate_to: localhost
  run_once: true
  become: false
"""

RETURN = r"""
verdicts:
  description: The verdicts on all keys. Those that differ in nothing but their subjects are one.
  returned: success
  type: list
  elements: dict
  contains:
    check: {description: Always C(dkim)., type: str, returned: always, sample: dkim}
    subjects: {description: The names of the records., type: list, elements: str, returned: always}
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found: {description: What is published., type: str, returned: always}
    expected: {description: What should be., type: str, returned: always}
    cause: {description: "Why the status is not C(ok), with the name servers that differ.", type: str, returned: always}
    mend: {description: The smallest change that makes it so., type: str, returned: always}
    source: {description: The question and who was asked., type: str, returned: always}
faults:
  description: The verdicts that are not C(ok), the worst first.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: How many keys have each status.
  returned: success
  type: dict
  sample: {ok: 2, warn: 0, unknown: 0, absent: 0, fail: 0}
seen:
  description:
    - The keys that every server asked serves with the expected public half. Only these may sign.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always, sample: example.com}
    selector: {description: The selector., type: str, returned: always, sample: m20261123}
    servers: {description: The servers that serve it., type: list, elements: str, returned: always}
tries:
  description: What was asked and what was still missing at each try.
  returned: success
  type: list
  elements: dict
  contains:
    after: {description: Seconds since the beginning., type: float, returned: always, sample: 3.2}
    asked: {description: How many keys were asked for., type: int, returned: always, sample: 2}
    waiting: {description: The records that were not there., type: list, elements: str, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import Key, verify_dkim


def main() -> None:
    """Run the module."""
    key = {
        "domain": {"type": "str", "required": True},
        "selector": {"type": "str", "required": True},
        "public": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec=lookup.OPTIONS | {
            "keys": {"type": "list", "elements": "dict", "required": True, "options": key, "no_log": False},
            "authoritative": {"type": "str", "choices": ["yes", "no", "auto"], "default": "auto"},
            "wait": {"type": "float", "default": 0.0},
        },
        supports_check_mode=True,
    )
    if lookup.DNSPYTHON_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=lookup.DNSPYTHON_ERROR)
    try:
        keys = lookup.collect(lambda item: Key(**item), module.params["keys"])
        with lookup.from_options(module.params) as dns:
            found = verify_dkim(dns, keys, module.params["authoritative"], module.params["wait"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, seen=list(found.seen), tries=list(found.tries), **as_result(found.verdicts))


if __name__ == "__main__":
    main()
