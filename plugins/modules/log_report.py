#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: log_report
short_description: Report what became of a fleet's mail
version_added: 1.0.0
description:
  - Puts together what the mail logs of all servers say, prints it as text of at most 100 columns, and writes it as JSON
    and as a page for the browser, which needs nothing else.
  - A server that did not answer is named, and what is told is that of the others.
options:
  reports:
    description: What M(mailfleet.sending.log_report_info) returned, by server, be it a failure.
    type: dict
    required: true
  path:
    description:
      - The folder on the controller in which C(log.json) and C(log.html) are written, for their owner alone, since
        texts of receivers name recipients. Nothing is written in check mode.
    type: path
extends_documentation_fragment:
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
seealso:
  - module: mailfleet.sending.log_report_info
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Ask each server
  mailfleet.sending.log_report_info:
    since: 7d
  register: told

- name: Report what became of the fleet's mail
  mailfleet.sending.log_report:
    reports: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'told'))) }}"
    path: "{{ inventory_dir }}/.mailfleet/log"
  run_once: true
"""

RETURN = r"""
servers:
  description: The servers whose logs are told of.
  returned: success
  type: list
  elements: str
missing:
  description: Why others are not, by server.
  returned: success
  type: dict
  sample: {mta2.example.com: Connection timed out}
outcomes:
  description: How many recipients had which outcome, deferrals being attempts.
  returned: success
  type: dict
  sample: {delivered: 9031, deferred: 1341, bounced: 232}
path:
  description: The page, empty where none was written.
  returned: success
  type: str
"""
