#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_service
short_description: Run the services of the program that takes in bounces
version_added: 1.0.0
description:
  - Runs those services of a role that are wanted, now and after each boot, and ends those that are not.
  - A service has started when it says that it is ready. What Postfix asks, and what says whether signatures hold, is
    asked once, and must answer.
options:
  role:
    description:
      - Whose services this is about. V(agent) has C(policy), which tells Postfix who is not to be mailed, and
        C(events), which tells applications what became of their mail. V(bounces) has C(bounces), which takes in what
        came back, C(fetch), which empties mailboxes elsewhere, and C(verify), by which OpenDKIM says who signed a
        complaint. V(maillog) has C(log), which counts what the mail
        log says.
    type: str
    required: true
    choices: [agent, bounces, maillog]
  names:
    description: The services that shall run.
    type: list
    elements: str
    default: []
    choices: [policy, events, bounces, fetch, verify, log]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: debian
extends_documentation_fragment:
  - mailfleet.sending.attributes
seealso:
  - module: mailfleet.sending.agent_config
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Answer Postfix
  mailfleet.sending.agent_service:
    role: agent
    names: [policy]
"""

RETURN = r"""
started:
  description: The services that were started, or would be.
  returned: success
  type: list
  elements: str
  sample: [policy]
stopped:
  description: The services that were ended, or would be.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_node import Failed
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_run import keep
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True, "choices": ["agent", "bounces", "maillog"]},
            "names": {
                "type": "list", "elements": "str", "default": [],
                "choices": ["policy", "events", "bounces", "fetch", "verify", "log"],
            },
        },
        supports_check_mode=True,
    )
    try:
        done = keep(Programs.of(module.run_command), module.params["role"], module.params["names"], module.check_mode)
    except (Failed, ValueError, OSError) as fault:
        module.fail_json(msg=str(fault))
    lists = {"before": done.before, "after": done.after}
    diff = {key: "".join(f"{name}\n" for name in names) for key, names in lists.items()}
    module.exit_json(changed=bool(done.started or done.stopped), started=done.started, stopped=done.stopped, diff=diff)


if __name__ == "__main__":
    main()
