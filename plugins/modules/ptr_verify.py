#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ptr_verify
short_description: Verify the reverse names of sending addresses
version_added: 1.0.0
description:
  - Asks for the PTR names of every address, IPv4 and IPv6, and verifies that one of them points back to the address and
    is the name that the address greets with.
  - No PTR name is C(absent), a name that does not point back C(fail), a confirmed name other than the HELO name
    C(warn). So are a name like those of customers' lines, and more names than receivers look at.
  - Reverse names that are delegated by aliases (RFC 2317) are followed, and the mend names the place of the record.
  - O(authoritative) holds for the reverse names, and for the addresses of the HELO names, which are the fleet's own.
    Other names that an address has are asked of the resolvers, as receivers do.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.lookup.authoritative
  - mailfleet.sending.lookup.wait
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  addresses:
    description: The addresses to verify.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: An IPv4 or IPv6 address, as receivers see it.
        type: str
        required: true
      helo:
        description: The name that it greets with. Without it, any confirmed name will do.
        type: str
        default: ""
      bind:
        description: Taken so that C(sending_addresses) can be given as it is, and of no meaning here.
        type: str
        default: ""
  helo_must_match:
    description:
      - Whether a confirmed name that is not the HELO name is C(fail) and not C(warn). Some providers want the two to be
        equal.
    type: bool
    default: false
seealso:
  - module: mailfleet.sending.spf_verify
  - module: mailfleet.sending.dkim_verify
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify the names of two addresses
  mailfleet.sending.ptr_verify:
    addresses:
      - {address: 198.51.100.10, helo: mta1.example.com}
      - {address: "2001:db8:61::10", helo: mta1.example.com}
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: ptr

- name: Stop unless all are as they should be
  ansible.builtin.assert:
    that: ptr.faults | length == 0
    fail_msg: "{{ ptr.faults }}"
"""

RETURN = r"""
verdicts:
  description: The verdicts on all addresses. Those that differ in nothing but their subjects are one.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description: C(ptr), or C(name servers) for what is to be said of these.
      type: str
      returned: always
      sample: ptr
    subjects: {description: The addresses., type: list, elements: str, returned: always, sample: [198.51.100.10]}
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found: {description: The PTR names., type: str, returned: always, sample: mta1.example.com.}
    expected: {description: What should be., type: str, returned: always}
    cause: {description: "Why the status is not C(ok).", type: str, returned: always, sample: ""}
    mend: {description: The smallest change that makes it so., type: str, returned: always, sample: ""}
    source: {description: The questions and who was asked., type: str, returned: always}
faults:
  description: The verdicts that are not C(ok), the worst first.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: How many addresses have each status.
  returned: success
  type: dict
  sample: {ok: 2, warn: 0, unknown: 0, absent: 0, fail: 0}
tries:
  description: What was asked and what was still missing at each try, of which there is one without O(wait).
  returned: success
  type: list
  elements: dict
  contains:
    after: {description: Seconds since the beginning., type: float, returned: always, sample: 3.2}
    asked: {description: How many addresses were asked for., type: int, returned: always, sample: 2}
    waiting: {description: The names of what was not as it should be., type: list, elements: str, returned: always}
    held: {description: Negative answers that caches may keep., type: list, elements: dict, returned: always}
    pause: {description: Seconds until the next try., type: float, returned: always, sample: 4.0}
"""

from collections.abc import Callable, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import every
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import lack, read_addresses, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import SENDING_ADDRESS, answer
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try, Waiting

ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | lookup.WAIT | {
    "addresses": {"type": "list", "elements": "dict", "required": True, "options": SENDING_ADDRESS},
    "helo_must_match": {"type": "bool", "default": False},
}


def result(params: Mapping[str, object], show: Callable[[Try], None] | None = None) -> dict[str, object]:
    """Return what the module returns. C(show) takes each try as it ends. Raises: ValueError for mistakes."""
    addresses, dns = every(lambda: read_addresses(params["addresses"]), lambda: lookup.from_options(params))
    waiting = Waiting(params["wait"], show)
    with dns:
        found = waiting.each_good(dns, addresses, lambda those: verify_ptr(
            dns, those, params["authoritative"], params["helo_must_match"]), lack)
        verdicts = [*found.values(), *verify_authorities(dns)]
    warnings = [] if addresses else ["nothing was verified: addresses is empty"]
    return {"changed": False, "warnings": warnings, "tries": waiting.told, **as_result(verdicts)}


def main() -> None:
    """Run the module."""
    answer(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), result)


if __name__ == "__main__":
    main()
