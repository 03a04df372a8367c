#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_config
short_description: Lay down the program that takes in bounces, with its configuration
version_added: 1.0.0
description:
  - Has the program C(mailfleet) on a server, with the user that it runs as, its folders, its configuration, and the
    units of its services. Which of them run is for M(mailfleet.sending.agent_service) to say.
  - The program itself judges the configuration before it is installed. Services that run take up what is new; where
    one does not start with it, the former program and configuration stand again.
  - The keys that sign return paths are the same on all servers. They are made once, on the controller, in
    O(secrets_directory). A key that the server has is never lost to one of the controller's unsaid; where
    C(token_keys.json) lacks it, or has another under its id, the module fails and changes nothing.
options:
  settings:
    description:
      - The configuration, as the role P(mailfleet.sending.sending#role) makes it of its C(sending_agent).
      - Without any the program is taken away. What it took in and what it knows stays.
    type: dict
    default: {}
  secrets:
    description: Its secrets, C(postgresql), and C(mailboxes) and C(webhooks) by name, as in C(sending_agent_secrets).
    type: dict
    default: {}
  secrets_directory:
    description:
      - The fleet's secrets folder on the controller, where C(token_keys.json) has the keys that sign return paths.
      - The file is made (mode 0600) where it is missing, and may be encrypted with Ansible Vault afterwards.
      - >-
        Its form is C({"current": "a", "keys": {"a": "...", "b": "..."}}), with the ids of keys that were given up as
        C("dropped": ["z"]).
      - Required with O(settings).
    type: path
  token_keys:
    description: The keys by their ids. Filled in by the action plugin.
    type: dict
    default: {}
  dropped_keys:
    description: The ids of keys that were given up, and may go. Filled in by the action plugin.
    type: list
    elements: str
    default: []
  program:
    description: The program's files by their names. Filled in by the action plugin.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: debian
extends_documentation_fragment:
  - mailfleet.sending.attributes
requirements:
  - Debian's package postfix on the server, and python3-psycopg where the store is PostgreSQL
seealso:
  - module: mailfleet.sending.agent_service
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Have the program on the only server
  mailfleet.sending.agent_config:
    settings:
      host: mta1.example.com
      user: mailfleet
      streams:
        example.com: {bounce_domains: [e.example.com], senders: [example.com]}
      store: {sqlite: /var/lib/mailfleet-agent/mailfleet.db}
    secrets_directory: "{{ inventory_dir }}/.mailfleet/secrets"
"""

RETURN = r"""
version:
  description: The name of the program's content, empty where there is none.
  returned: success
  type: str
  sample: 2b7c1d9e0f3a4856
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_node import Failed, Node, digest_of
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "secrets_directory": {"type": "path", "no_log": False},
            "token_keys": {"type": "dict", "default": {}, "no_log": True},
            "dropped_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "program": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    # Else the program's whole text would be shown with -vvv.
    told = {"invocation": {"module_args": {**given, "program": sorted(given["program"])}}}
    node = Node(Programs.of(module.run_command), module.check_mode)
    try:
        if given["settings"]:
            node.have(given["program"], given["settings"], {**given["secrets"], "token_keys": given["token_keys"]},
                      given["dropped_keys"])
        else:
            node.remove()
    except (Failed, OSError) as fault:
        module.fail_json(msg=str(fault), **told)
    for warning in node.warnings:
        module.warn(warning)
    version = digest_of(given["program"]) if given["settings"] else ""
    module.exit_json(changed=bool(node.diff), version=version, diff=node.diff, **told)


if __name__ == "__main__":
    main()
