#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mx_verify
short_description: Verify that mail to domains arrives
version_added: 1.0.0
description:
  - Asks for the MX records of every domain and verifies that the hosts that they name have addresses that can be
    reached, and are those that they should be. Bounces come back by these records, and receivers may refuse a sender
    whose domain takes no mail.
  - Verifies the records of MTA-STS (RFC 8461) and TLSRPT (RFC 8460) too, where a domain has them. They are inbound
    policy only, say nothing about mail that is sent, and are optional. The policy that MTA-STS keeps on a web server is
    not fetched.
  - O(authoritative) holds for the MX records, and for the addresses of hosts in O(domains[].hosts), which are the
    fleet's own. Other hosts, and the records of MTA-STS and TLSRPT, are asked of the resolvers, as others do.
  - A null MX (RFC 7505) or hosts that cannot be reached are C(fail), no MX record and no address C(absent), mail that
    arrives in spite of a mistake C(warn).
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.lookup.authoritative
  - mailfleet.sending.lookup.wait
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  domains:
    description: The domains to verify, those of senders and those of return paths.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      hosts:
        description: The hosts that its MX records should name, and no others. Without any, every host will do.
        type: list
        elements: str
        default: []
  inbound_policies:
    description: Whether the records of MTA-STS and TLSRPT are verified.
    type: bool
    default: true
seealso:
  - module: mailfleet.sending.ptr_verify
  - module: mailfleet.sending.spf_verify
  - name: RFC 5321, 5.1
    description: Locating the target host.
    link: https://www.rfc-editor.org/rfc/rfc5321#section-5.1
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify that replies and bounces arrive
  mailfleet.sending.mx_verify:
    domains:
      - {domain: example.com}
      - {domain: e.example.com, hosts: [mta1.example.com, mta2.example.com]}
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: mx

- name: Stop unless all arrive
  ansible.builtin.assert:
    that: mx.faults | length == 0
    fail_msg: "{{ mx.faults }}"
"""

RETURN = r"""
verdicts:
  description: The verdicts on all domains. Those that differ in nothing but their subjects are one.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description: C(mx), C(mta-sts) or C(tlsrpt), or C(name servers) for what is to be said of these.
      type: str
      returned: always
      sample: mx
    subjects: {description: The domains., type: list, elements: str, returned: always, sample: [e.example.com.]}
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found: {description: The records., type: str, returned: always, sample: "10 mta1.example.com."}
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
  description: How many checks have each status.
  returned: success
  type: dict
  sample: {ok: 6, warn: 0, unknown: 0, absent: 0, fail: 0}
tries:
  description: What was asked and what was still missing at each try, of which there is one without O(wait).
  returned: success
  type: list
  elements: dict
  contains:
    after: {description: Seconds since the beginning., type: float, returned: always, sample: 3.2}
    asked:
      description: How many domains were asked for, their inbound policies counted apart.
      type: int
      returned: always
      sample: 4
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
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import (
    RECEIVER,
    read_receivers,
    verify_receivers,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import answer
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try, Waiting

ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | lookup.WAIT | {
    "domains": {"type": "list", "elements": "dict", "required": True, "options": RECEIVER},
    "inbound_policies": {"type": "bool", "default": True},
}


def result(params: Mapping[str, object], show: Callable[[Try], None] | None = None) -> dict[str, object]:
    """Return what the module returns. C(show) takes each try as it ends. Raises: ValueError for mistakes."""
    receivers, dns = every(lambda: read_receivers(params["domains"], "domains"), lambda: lookup.from_options(params))
    waiting = Waiting(params["wait"], show)
    with dns:
        verdicts = verify_receivers(dns, receivers, params["authoritative"], params["inbound_policies"], waiting)
        verdicts += verify_authorities(dns)
    warnings = [] if receivers else ["nothing was verified: domains is empty"]
    return {"changed": False, "warnings": warnings, "tries": waiting.told, **as_result(verdicts)}


def main() -> None:
    """Run the module."""
    answer(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), result)


if __name__ == "__main__":
    main()
