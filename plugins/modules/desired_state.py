#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: desired_state
short_description: Make the desired state of a fleet from its inventory
version_added: 1.0.0
description:
  - Reads the variables of the role P(mailfleet.sending.sending#role) of B(every) host in the group
    C(sending_servers), whatever C(--limit) says,
    checks them, and makes what everything further down reads - the keys that are wanted, the DNS records, and for
    each server the layers of Postfix's configuration.
  - Every mistake of the inventory is told at once, each with its path, and nothing is changed then. Variables that
    the role does not know are mistakes, and so are files on the controller that cannot be read, such as a certificate's
    key.
  - Runs on the controller and connects to no host. Gathered facts play no part.
options:
  state:
    description: The folder of the fleet's state, which holds no secret.
    type: path
    required: true
  secrets:
    description: The folder of the fleet's secrets on the controller. It is not read, only handed on as RV(secrets).
    type: path
    default: ""
  keys:
    description:
      - The fleet's DKIM keys as M(mailfleet.sending.dkim_key) returned them; with scope C(server) those of the
        servers are found by themselves.
      - Without it the inventory is only checked and nothing is written.
    type: list
    elements: dict
  date:
    description: The date (C(YYYY-MM-DD)) that a key made now gets. Without it, today in UTC.
    type: str
  dns_only:
    description:
      - Whether only what DNS is verified by is returned, as RV(mail_domains), RV(addresses), RV(public_keys),
        RV(unknown_keys), RV(policies), RV(receivers), RV(paths) and RV(domains). The rest of a large fleet is large,
        and Ansible slow with it.
      - Nothing is written then, and no file that the inventory names is looked into.
    type: bool
    default: false
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
- name: Check the inventory and make the desired state
  mailfleet.sending.desired_state:
    state: "{{ inventory_dir }}/.mailfleet/state"
  run_once: true
"""

RETURN = r"""
fleet_keys:
  description: The DKIM keys of the whole fleet that are wanted; those of a server stand with the server.
  returned: success, without O(dns_only)
  type: list
  elements: dict
  sample: [{"domain": "example.com", "selector": "m20261123", "bits": 2048, "instead": "m[0-9]{8}", "public": ""}]
wanted_keys:
  description: The keys that shall sign, of the fleet and of the servers.
  returned: success, without O(dns_only)
  type: list
  elements: dict
  sample: [{"domain": "example.com", "selector": "m20261123"}]
public_keys:
  description: The keys that receivers may need, with their public halves.
  returned: success
  type: list
  elements: dict
unknown_keys:
  description: The keys that shall sign and whose public halves the state does not know, with what selectors look like.
  returned: success
  type: list
  elements: dict
  sample: [{"domain": "example.com", "server": "", "selector": "m[0-9]{8}"}]
known_keys:
  description:
    - The keys of the state and those that were made since. Those that check mode would make are among them, without a
      public half, and their records are marked.
  returned: success, without O(dns_only)
  type: dict
records:
  description: The records that the fleet wants, each with its reason.
  returned: success, without O(dns_only)
  type: list
  elements: dict
additions:
  description: The records that must be there before the first server changes; SPF lets the former addresses pass too.
  returned: success, without O(dns_only)
  type: list
  elements: dict
servers:
  description: For each server its addresses, hostname and layers.
  returned: success, without O(dns_only)
  type: dict
domains:
  description: The sending domains with the domains of their return paths.
  returned: success
  type: list
  elements: dict
policies:
  description: The sending domains with the domains of their return paths and the DMARC records that they should have.
  returned: success
  type: list
  elements: dict
  sample: [{"domain": "example.com", "bounce_domain": "e.example.com", "dmarc": "v=DMARC1; p=none"}]
receivers:
  description: The domains that must take mail, with the hosts that their MX records should name where those are ours.
  returned: success
  type: list
  elements: dict
  sample: [{"domain": "e.example.com", "hosts": ["mta1.example.com."]}]
mail_domains:
  description: The sending domains and their bounce domains, all that may stand in MAIL FROM.
  returned: success
  type: list
  elements: str
  sample: [example.com, e.example.com]
addresses:
  description: Every sending address with the name that it greets with.
  returned: success
  type: list
  elements: dict
  sample: [{"address": "198.51.100.10", "helo": "mta1.example.com"}]
paths:
  description: The same with the server, and the transport that leaves from it.
  returned: success
  type: list
  elements: dict
pools:
  description: For each pool of addresses of the inventory and each server a sender whose mail must leave from there.
  returned: success, without O(dns_only)
  type: list
  elements: dict
  sample: [{"server": "mta1", "pool": "bulk", "domain": "example.com", "sender": "probe@e.example.com",
            "outlets": [{"address": "198.51.100.11", "helo": "mta1b.example.com"}]}]
logins:
  description: For each login the domains that it may use.
  returned: success, without O(dns_only)
  type: dict
networks:
  description: The networks that may relay, with the domains that each may use.
  returned: success, without O(dns_only)
  type: list
  elements: dict
unsigned:
  description: What becomes of mail whose domain has no key yet.
  returned: success, without O(dns_only)
  type: str
submissions:
  description: Where the probe submits, one entry for each submission server.
  returned: success, without O(dns_only)
  type: list
  elements: dict
secrets:
  description: The folder of the fleet's secrets.
  returned: success, without O(dns_only)
  type: str
written:
  description: The files of the state that were written, or would be.
  returned: success, without O(dns_only)
  type: list
  elements: str
"""
