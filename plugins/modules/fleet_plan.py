#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_plan
short_description: Show what the inventory of a fleet comes to
version_added: 1.0.0
description:
  - Reads the variables of the role P(mailfleet.sending.sending#role) of B(every) host in the group C(sending_servers),
    whatever C(--limit) says, the state and the observations, and tells every mistake at once, each with its path.
  - Prints for each provider its limits and who says so, each server's share, the rate that can be reached and how many
    messages may wait for it; the pools with the share of each of their addresses; which recipient domains go to a
    provider because of their MX; and which records DNS gets and loses, compared with the state.
  - Warns where more messages were observed than leave before Postfix gives them up.
  - Runs on the controller, connects to no host and asks no DNS. It changes nothing but the file in O(path).
options:
  state:
    description: The folder of the fleet's state.
    type: path
    required: true
  path:
    description: The JSON file to write on the controller. Nothing is written in check mode.
    type: path
  date:
    description: The date (C(YYYY-MM-DD)) of today. Without it, that of UTC.
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
seealso:
  - module: mailfleet.sending.desired_state
  - module: mailfleet.sending.recipients_observe
"""

EXAMPLES = r"""
- name: Show the plan
  mailfleet.sending.fleet_plan:
    state: "{{ inventory_dir }}/.mailfleet/state"
  run_once: true
"""

RETURN = r"""
plan_warnings:
  description: All that the user should look at, each with the provider, server or domain that it is about.
  returned: success
  type: list
  elements: str
  sample: ["comcast.net: listed at comcast, its MX mx.yahoodns.net at yahoo"]
hosted:
  description: How many recipient domains go to a provider because of their MX, by provider.
  returned: success
  type: dict
  sample: {google: 812}
path:
  description: The JSON file, empty where none was written.
  returned: success
  type: str
  sample: ""
"""
