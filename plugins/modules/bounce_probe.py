#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bounce_probe
short_description: Prove that a bounce comes back, and that every server refuses the next message
version_added: 1.0.0
description:
  - Submits a message with a signed return path to an address that does not exist, and is unlike that of any other run.
    Then asks every submission server for that recipient (RCPT, and hands nothing in) until it refuses.
  - A server must answer C(550 5.7.1 mailfleet-suppressed), since the bounce came back to the fleet, was taken for hard,
    and was believed by its token.
  - The controller submits and asks. The program on the server that the task runs on tells what became of the bounce,
    and forgets the address afterwards, so that nothing of it is left in events and list. Webhooks may have been told
    of it by then.
  - Changes nothing else, so that C(changed) is always false.
options:
  submissions:
    description: Where messages are submitted, one entry for each server, as M(mailfleet.sending.mail_probe) takes them.
    type: list
    elements: dict
    required: true
    suboptions:
      server:
        description: The name of the server.
        type: str
        required: true
      host:
        description: The host name or address to connect to.
        type: str
        required: true
      port:
        description: The port; the server must offer STARTTLS there.
        type: int
        default: 587
      tls_name:
        description: The name that the server's certificate must bear. Defaults to O(submissions[].host).
        type: str
      ca_file:
        description: Certificates of the authorities to trust. Defaults to those of the controller's system.
        type: path
      verify:
        description: Whether the certificate must be valid. With V(false) a man in the middle may read the login.
        type: bool
        default: true
  domains:
    description:
      - The domains that mail is sent from, with their bounce domains. The message is from the first one whose bounce
        domain is one of O(bounce_domains).
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain of the From field.
        type: str
        required: true
      bounce_domain:
        description: The domain of the return path. Defaults to O(domains[].domain).
        type: str
  bounce_domains:
    description: The bounce domains that the program takes notices for.
    type: list
    elements: str
    default: []
  nobody_at:
    description: A domain whose server refuses recipients that do not exist, such as that of a mailbox of the probe.
    type: str
    required: true
  secrets_directory:
    description: The fleet's secrets folder on the controller, which has C(logins/probe) and C(token_keys.json).
    type: path
  timeout:
    description: How many seconds to wait for the refusals, at most a day.
    type: int
    default: 120
  recipient:
    description: The address that did not exist. Filled in by the action plugin, when it asks the server.
    type: str
attributes:
  check_mode:
    support: full
    details:
      - Sends nothing and gives one verdict V(unknown).
  diff_mode:
    support: none
  platform:
    platforms: debian
extends_documentation_fragment:
  - mailfleet.sending.attributes
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.mail_probe
  - module: mailfleet.sending.agent_config
"""

EXAMPLES = r"""
- name: See mail to nobody come back
  mailfleet.sending.bounce_probe:
    submissions:
      - server: mta1
        host: mta1.example.com
      - server: mta2
        host: mta2.example.com
    domains:
      - domain: example.com
        bounce_domain: e.example.com
    bounce_domains: [e.example.com]
    nobody_at: gmail.com
    secrets_directory: "{{ inventory_dir }}/.mailfleet/secrets"
  run_once: true
"""

RETURN = r"""
verdicts:
  description:
    - A verdict on each server, with C(check), which is C(bounces), C(subjects), C(status), C(found), C(expected),
      C(cause), C(mend) and C(source).
    - V(unknown) where nothing came back in time; V(fail) where it did, and a server does not refuse the next message.
  returned: success
  type: list
  elements: dict
faults:
  description: The verdicts that are not V(ok), the worst first.
  returned: success
  type: list
  elements: dict
summary:
  description: How many servers have which status.
  returned: success
  type: dict
  sample: {ok: 2, warn: 0, unknown: 0, absent: 0, fail: 0}
recipient:
  description: The address that did not exist, empty in check mode.
  returned: success
  type: str
  sample: mailfleet-probe-0a1b2c3d4e5f6071@gmail.com
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import probe_bounces
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_paths import SUBMISSION
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

DOMAIN = {"domain": {"type": "str", "required": True}, "bounce_domain": {"type": "str"}}
ARGUMENTS = {
    "submissions": {"type": "list", "elements": "dict", "required": True, "options": SUBMISSION},
    "domains": {"type": "list", "elements": "dict", "required": True, "options": DOMAIN},
    "bounce_domains": {"type": "list", "elements": "str", "default": []},
    "nobody_at": {"type": "str", "required": True},
    "secrets_directory": {"type": "path", "no_log": False},
    "timeout": {"type": "int", "default": 120},
    "recipient": {"type": "str"},
}


def main() -> None:
    """Run the module on a server; the action plugin makes of this what is documented."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    recipient = module.params["recipient"]
    if not recipient:
        module.fail_json(msg="recipient is missing; the action plugin of this name fills it in")
    module.exit_json(changed=False, **probe_bounces.look(Programs.of(module.run_command), recipient))


if __name__ == "__main__":
    main()
