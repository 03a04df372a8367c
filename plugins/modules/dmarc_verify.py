#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dmarc_verify
short_description: Verify the DMARC policies of sending domains, and that mail is aligned with them
version_added: 1.0.0
description:
  - Finds the policy of each domain as a receiver does by RFC 9989, by the tree walk from the domain up to its top
    label, and compares it with the one that is wanted. Where receivers that still go by RFC 7489 do otherwise, the
    verdict says so. A policy weaker than the wanted one is C(fail), a stricter one C(warn).
  - What of a record does not do what its owner likely means, such as C(pct), C(t) that old receivers do not know, an
    address of reports without C(mailto:), or C(sp) where nobody reads it, is C(warn) at least, and its mend is the
    record to publish. That a policy is C(none) is no fault.
  - Verifies that the domains of return paths and of signatures are aligned with the domain in the From field. One that
    is aligned is enough for DMARC, and C(warn) nevertheless, since Microsoft and Orange want both. Whether SPF and DKIM
    pass is what M(mailfleet.sending.spf_verify) and M(mailfleet.sending.dkim_verify) say.
  - Verifies that other organizations agree to take the reports that a policy sends to them (RFC 9990, 4; RFC 9991, 5).
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
      - The domains that mail is sent from.
      - O(authoritative) holds for their own records and for those by which others agree to take reports. The domains
        above them, and those of O(helo), are asked of the resolvers.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain in the From field.
        type: str
        required: true
      bounce_domain:
        description: The domain of the return paths. Without it, O(domains[].domain).
        type: str
        default: ""
      dkim:
        description:
          - The domains (C(d=)) of the signatures that a message bears. An empty list says that mail is not signed.
          - Without it, O(domains[].domain).
        type: list
        elements: str
      dmarc:
        description: The record that the domain should have. Without it, any policy will do, an inherited one too.
        type: str
        default: ""
  helo:
    description:
      - The names that the servers greet with. SPF judges them where the return path is empty, as that of bounces is.
      - That one is not aligned is said, and no fault, since a signature carries such mail.
    type: list
    elements: str
    default: []
seealso:
  - module: mailfleet.sending.spf_verify
  - module: mailfleet.sending.dkim_verify
  - name: RFC 9989
    description: Domain-based Message Authentication, Reporting, and Conformance (DMARC).
    link: https://www.rfc-editor.org/rfc/rfc9989
  - name: RFC 9990
    description: DMARC aggregate reporting.
    link: https://www.rfc-editor.org/rfc/rfc9990
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify that two domains have the policies that they should have, and that mail is aligned
  mailfleet.sending.dmarc_verify:
    domains:
      - domain: example.com
        bounce_domain: e.example.com
        dmarc: v=DMARC1; p=none; rua=mailto:dmarc@example.com
      - domain: example.us
        bounce_domain: e.example.us
        dkim: [example.us]
        dmarc: v=DMARC1; p=none
    helo: [mta1.example.com, mta2.example.com]
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: dmarc

- name: Stop unless all is well
  ansible.builtin.assert:
    that: dmarc.faults | length == 0
    fail_msg: "{{ dmarc.faults }}"

- name: See what DMARC wants for mail from any domain
  mailfleet.sending.dmarc_verify:
    domains: [{domain: news.example.net}]
    authoritative: "no"
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
    check:
      description:
        - V(dmarc), the policy; V(alignment); V(dmarc_reports), who takes its reports; or C(name servers), for what is
          to be said of these.
      type: str
      returned: always
      sample: dmarc
    subjects:
      description: The domains, or whom reports about which domain go to.
      type: list
      elements: str
      returned: always
      sample: [example.com]
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found:
      description: The policy that receivers apply, its record, and what receivers of RFC 7489 do otherwise.
      type: str
      returned: always
      sample: "none: v=DMARC1; p=none at _dmarc.example.com."
    expected: {description: What should be., type: str, returned: always}
    cause: {description: "Why the status is not C(ok).", type: str, returned: always, sample: ""}
    mend: {description: "The record to publish, and by whom, or the name to use.", type: str, returned: always}
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
  sample: {ok: 4, warn: 0, unknown: 0, absent: 0, fail: 0}
policies:
  description: What DMARC wants for mail from each domain, in the order of O(domains).
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always, sample: example.com}
    at:
      description: The name of the record that applies, empty where none does or DNS did not say.
      type: str
      returned: always
      sample: _dmarc.example.com.
    record: {description: That record., type: str, returned: always, sample: v=DMARC1; p=none}
    policy:
      description: What receivers do with mail that fails, empty where they apply no DMARC or DNS did not say.
      type: str
      returned: always
      sample: none
    subdomains: {description: The same for subdomains that exist., type: str, returned: always, sample: none}
    nonexistent: {description: The same for names below it that do not., type: str, returned: always, sample: none}
    organization:
      description: The Organizational Domain, empty where DNS did not say.
      type: str
      returned: always
      sample: example.com
    asked: {description: The names of the tree walk., type: list, elements: str, returned: always}
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
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import every
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_authorities import verify_authorities
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import (
    SUBJECT,
    as_policy,
    read_greetings,
    read_subjects,
    verify_dmarc,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import answer
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import Try, Waiting

ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | lookup.WAIT | {
    "domains": {"type": "list", "elements": "dict", "required": True, "options": SUBJECT},
    "helo": {"type": "list", "elements": "str", "default": []},
}


def result(params: Mapping[str, object], show: Callable[[Try], None] | None = None) -> dict[str, object]:
    """Return what the module returns. C(show) takes each try as it ends. Raises: ValueError for mistakes."""
    subjects, helo, dns = every(
        lambda: read_subjects(params["domains"], "domains"),
        lambda: read_greetings(params["helo"]),
        lambda: lookup.from_options(params))
    waiting = Waiting(params["wait"], show)
    with dns:
        found = waiting.until_good(dns, len(subjects), lambda: verify_dmarc(
            dns, subjects, helo, params["authoritative"]), lambda found: found.lacking)
    policies = [as_policy(discovery) for discovery in found.discoveries]
    warnings = [] if subjects else ["nothing was verified: domains is empty"]
    return {"changed": False, "warnings": warnings, "policies": policies, "tries": waiting.told,
            **as_result([*found.verdicts, *verify_authorities(dns)])}


def main() -> None:
    """Run the module."""
    answer(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True), result)


if __name__ == "__main__":
    main()
