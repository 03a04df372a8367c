#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Show what was proved of a fleet, and what is at fault
version_added: 1.0.0
description:
  - Makes one report of what the desired state, the verifying modules, the probe and publishing returned. It is
    printed as text of at most 100 columns and written as JSON.
  - The text has a row for each address, domain and mailbox, every fault with what was found, expected, its cause,
    what mends it and the query or header field that it was read in, the records that are to be published by hand,
    and what nobody checked.
  - A fleet is proved when something was checked and nothing failed, was absent or is unknown. A warning does not
    stand against it.
options:
  desired:
    description: What M(mailfleet.sending.desired_state) returned, of which C(paths) and C(domains) are counted.
    type: dict
    default: {}
  verdicts:
    description: The verdicts of verifying modules, all in one list.
    type: list
    elements: dict
    default: []
  probe:
    description: What M(mailfleet.sending.mail_probe) returned.
    type: dict
    default: {}
  published:
    description: What M(mailfleet.sending.dns_records) returned; conflicts, zones that did not answer and records
      for the hand are faults, answers that are too large and removals that were withheld are warnings.
    type: dict
    default: {}
  deployed:
    description: What M(mailfleet.sending.dkim_key) returned in check mode, by server, be it a failure.
    type: dict
    default: {}
  tokens:
    description: What M(mailfleet.sending.agent_keys_info) returned, by server, be it a failure.
    type: dict
    default: {}
  not_checked:
    description: What the caller did not check, in words for the report.
    type: list
    elements: str
    default: []
  path:
    description: The JSON file to write on the controller. Nothing is written in check mode.
    type: path
  begins:
    description:
      - Whether this is the beginning of a run. Then nothing is printed, and a report that is in O(path) is replaced by
        one that proves nothing, so that a run which stops early does not leave behind what an earlier one proved.
      - All other options but O(path) are ignored.
    type: bool
    default: false
  fail:
    description: Whether the task fails when the fleet is not proved.
    type: bool
    default: true
extends_documentation_fragment:
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.mail_probe
  - module: mailfleet.sending.dns_records
"""

EXAMPLES = r"""
- name: Report what one verdict says
  mailfleet.sending.fleet_report:
    verdicts:
      - check: ptr
        subjects: [198.51.100.10]
        status: ok
        found: mta1.example.com
        expected: mta1.example.com
        source: query for 10.100.51.198.in-addr.arpa. PTR
    path: /tmp/report.json
  run_once: true
"""

RETURN = r"""
proved:
  description: Whether something was checked and nothing is at fault.
  returned: always
  type: bool
summary:
  description: How many subjects have which status.
  returned: always
  type: dict
  sample: {ok: 412, warn: 0, unknown: 0, absent: 0, fail: 0}
conclusion:
  description: The last line of the text.
  returned: always
  type: str
  sample: "PROVED: 412 ok"
path:
  description: The JSON file, empty where none was written.
  returned: always
  type: str
"""
