#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_signing
short_description: Decide which DKIM key signs on each server
version_added: 1.0.0
description:
  - A key signs only after every authoritative server was seen to serve it. A domain that signs already keeps its old
    key until then;
    mail of a domain whose first key was not seen yet is deferred, or let through unsigned where O(unsigned) says so.
  - Notes in the state the day on which a key was first seen. What was seen once stays so - a name server that is down
    later is no reason to stop signing.
  - Fails where a domain without a seen key would have to wait for one in whose place DNS serves another. Such a key
    will never be seen, as after the loss of the folders of state and secrets, and no server is to be changed for it.
  - Runs on the controller and connects to no host.
options:
  state:
    description: The folder of the fleet's state.
    type: path
    required: true
  domains:
    description: The sending domains.
    type: list
    elements: str
    required: true
  servers:
    description: The servers by their names in the inventory.
    type: list
    elements: str
    required: true
  keys:
    description:
      - The keys that there are, as RV(mailfleet.sending.desired_state#module:known_keys) has them. Those that check
        mode would make are among them, without a public half.
    type: dict
    required: true
  wanted:
    description:
      - The keys (C(domain), C(selector)) that shall sign, as RV(mailfleet.sending.desired_state#module:wanted_keys)
        has them. Until they were seen, the newest key that was seen signs. Check mode takes all that have no other key
        in their place for seen.
    type: list
    elements: dict
    required: true
  seen:
    description:
      - The keys (C(domain), C(selector)) that M(mailfleet.sending.dkim_verify) saw at every authoritative server.
    type: list
    elements: dict
    required: true
  published:
    description:
      - What M(mailfleet.sending.dns_records) returned. Its RV(mailfleet.sending.dns_records#module:conflicts) and
        RV(mailfleet.sending.dns_records#module:manual) say which keys have another one in their place.
    type: dict
    default: {}
  unsigned:
    description: What becomes of mail of a domain without a seen key.
    type: str
    choices: [defer, allow]
    default: defer
  date:
    description: The date (C(YYYY-MM-DD)) to note. Without it, today in UTC.
    type: str
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
"""

EXAMPLES = r"""
- name: Decide which key signs
  mailfleet.sending.dkim_signing:
    state: "{{ inventory_dir }}/.mailfleet/state"
    domains: [example.com]
    servers: [mta1.example.com]
    keys:
      example.com:
        m20261123:
          public: MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB
          created: "2026-11-23"
          scope: fleet
          server:
          seen:
    wanted: [{domain: example.com, selector: m20261123}]
    seen: [{domain: example.com, selector: m20261123}]
  run_once: true
"""

RETURN = r"""
servers:
  description: For each server the keys that sign, and the domains whose mail is deferred or let through unsigned.
  returned: success
  type: dict
verdicts:
  description: A verdict for each domain that does not sign, or not with the key that it should.
  returned: success
  type: list
  elements: dict
awaited:
  description: Names of key records that DNS was not seen to serve yet.
  returned: success
  type: list
  elements: str
"""
