#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: recipients_observe
short_description: Observe where recipient domains are hosted
version_added: 1.0.0
description:
  - Asks for the MX records of recipient domains and keeps their most preferred hosts in C(observations.json) of the
    state, with the day on which mail last went to each, and how many messages went to each provider by day.
    M(mailfleet.sending.desired_state) and M(mailfleet.sending.fleet_plan) read that file, and nothing else writes it.
  - A domain is hosted at a provider where one of its most preferred MX hosts ends in a suffix of the provider's C(mx),
    label by label. Where they are at several providers, it is the one that has most of them, and of equals the one that
    C(sending_providers) names first. Less preferred hosts do not count, since mail goes there only while no other is
    reached. Without MX records a domain is its own host (RFC 5321, 5.1).
  - A domain that a provider has in its C(domains) stays there whatever its MX say, which is told where they differ.
  - A domain of which DNS does not say anything stays where it was, and is told with the server that did not.
  - Observed are O(domains), those of the providers, those in O(logs), and those that mail went to within 90 days.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  state:
    description: The folder of the fleet's state.
    type: path
    required: true
  domains:
    description: Recipient domains to observe.
    type: list
    elements: str
    default: []
  logs:
    description: What M(mailfleet.sending.mail_log_info) returned, by server, be it a failure.
    type: dict
    default: {}
  date:
    description: The date (C(YYYY-MM-DD)) of the observations. Without it, today in UTC.
    type: str
  deadline:
    description:
      - How many seconds all questions together may take. A domain that was not asked about by then stays where it was.
    type: float
    default: 600.0
attributes:
  check_mode:
    support: full
    details: DNS is asked, and the file is not written.
  diff_mode:
    support: full
    details: Shows the domains whose MX are others than before, 200 at most.
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.mail_log_info
  - module: mailfleet.sending.fleet_plan
"""

EXAMPLES = r"""
- name: Observe where the domains of customers are hosted
  mailfleet.sending.recipients_observe:
    state: "{{ inventory_dir }}/.mailfleet/state"
    domains: [example.com, example.net]
  run_once: true
"""

RETURN = r"""
path:
  description: The file of the observations.
  returned: success
  type: str
  sample: /etc/ansible/.mailfleet/state/observations.json
providers:
  description: How many domains are at each provider, and at V(no provider).
  returned: success
  type: dict
  sample: {google: 812, no provider: 420}
moves:
  description: The domains that are hosted elsewhere than in the file of before.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always}
    old: {description: "The provider of before, empty for none.", type: str, returned: always}
    new: {description: "The provider, empty for none.", type: str, returned: always}
    old_mx: {description: The most preferred MX hosts of before., type: list, elements: str, returned: always}
    new_mx: {description: The most preferred MX hosts., type: list, elements: str, returned: always}
astray:
  description: The domains that a provider has among its own, though their MX are elsewhere.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always}
    provider: {description: The provider that has it., type: str, returned: always}
    at: {description: "The provider that its MX are at, empty for none.", type: str, returned: always}
    mx: {description: The most preferred MX hosts., type: list, elements: str, returned: always}
silent:
  description: The domains of which DNS did not say anything, with who did not and why.
  returned: success
  type: dict
  sample: {example.net: "192.0.2.53 did not say: SERVFAIL"}
refusing:
  description: The domains that take no mail, by why - V(null MX) or V(no such domain).
  returned: success
  type: dict
  sample: {no such domain: [example.invalid]}
"""
