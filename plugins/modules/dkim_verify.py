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
    or different from the key that signs (RFC 6376, 8301, 8463), with the record to publish instead.
  - Knows what DNS panels do to records (quotation marks, backslashes, values cut off or torn into several), and looks
    for a missing key where it is published by mistake, such as under a zone name that stands twice.
  - Follows CNAMEs, and says where one leads to nothing.
  - Warns where a wildcard answers for every selector, and where Ed25519 has no RSA key beside it.
  - Can wait until all keys are served, so that nothing signs with a key that receivers cannot see yet.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.lookup.authoritative
  - mailfleet.sending.lookup.wait
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
        description: The selector, s= of the signature. Without one, the domain's own name is tried as selector.
        type: str
        default: ""
      public:
        description:
          - The public half that must be published, in base64 as RV(mailfleet.sending.dkim_key#module:keys[].public) is.
          - Without it and O(keys[].private_key_path), any valid key will do, and the key never counts as seen.
        type: str
        default: ""
      private_key_path:
        description:
          - The file on the controller that holds the private key that signs, in PEM. What is published must be its
            public half. Instead of O(keys[].public).
          - The program C(openssl) reads it through a pipe. Nothing of it is shown.
          - A file that C(ansible-vault) encrypted cannot be read.
        type: path
      identity:
        description:
          - The domain in i= of the signatures, where that is a sub-domain of O(keys[].domain). The flag t=s in the
            record then makes them invalid.
          - Without it, that of d=.
        type: str
        default: ""
notes:
  - It runs in Ansible's own process on the controller, whatever the task is delegated to. A key that is deployed on a
    server is compared by giving the public half that M(mailfleet.sending.dkim_key) reads there in check mode.
  - A key counts as seen only where the authoritative servers were asked, or O(authoritative=no) says that the
    resolvers will do.
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

- name: Verify that the published key is the one that signs
  mailfleet.sending.dkim_verify:
    keys:
      - domain: example.com
        selector: m20261123
        private_key_path: "{{ inventory_dir }}/.mailfleet/secrets/dkim/example.com/m20261123.pem"
  delegate_to: localhost
  run_once: true
  become: false

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
    check:
      description: C(dkim), or C(name servers) for what is to be said of these.
      type: str
      returned: always
      sample: dkim
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
  description: What was asked and what was still missing at each try, of which there is one without O(wait).
  returned: success
  type: list
  elements: dict
  contains:
    after: {description: Seconds since the beginning., type: float, returned: always, sample: 3.2}
    asked: {description: How many keys were asked for., type: int, returned: always, sample: 2}
    waiting: {description: The names of what was not as it should be., type: list, elements: str, returned: always}
    held: {description: Negative answers that caches may keep., type: list, elements: dict, returned: always}
    pause: {description: Seconds until the next try., type: float, returned: always, sample: 4.0}
"""

from collections.abc import Callable, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_deployed import KEY, read_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import every
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import answer
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try, Waiting

ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | lookup.WAIT | {
    "keys": {"type": "list", "elements": "dict", "required": True, "options": KEY, "no_log": False},
}


def result(params: Mapping[str, object], run: Programs,
           show: Callable[[Try], None] | None = None) -> dict[str, object]:
    """Return what the module returns. C(show) takes each try as it ends. Raises: ValueError for mistakes."""
    keys, dns = every(lambda: read_keys(params["keys"], run), lambda: lookup.from_options(params))
    waiting = Waiting(params["wait"], show)
    with dns:
        found = verify_dkim(dns, keys, params["authoritative"], waiting)
    warnings = [] if keys else ["nothing was verified: keys is empty"]
    return {"changed": False, "warnings": warnings, "seen": list(found.seen), "tries": waiting.told,
            **as_result([*found.verdicts, *verify_authorities(dns)])}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    answer(module, lambda params: result(params, Programs.of(module.run_command)))


if __name__ == "__main__":
    main()
