#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: server_check
short_description: Check that a host can be the server that the inventory describes
version_added: 1.0.0
description:
  - Binds each address for a moment, as Postfix will when it sends, and reads which Debian this is. All mistakes are
    told at once, before anything is changed.
options:
  server:
    description: The server's name in the inventory, for the paths of mistakes.
    type: str
    required: true
  addresses:
    description: The server's addresses, as the desired state has them.
    type: list
    elements: dict
    required: true
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: debian
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Check that the server has its addresses
  mailfleet.sending.server_check:
    server: mta1.example.com
    addresses:
      - {address: 198.51.100.10, bind: 198.51.100.10}
"""

RETURN = r"""
release:
  description: The release of Debian.
  returned: success
  type: str
  sample: "13"
agent:
  description: Whether anything of the program of the role P(mailfleet.sending.agent#role) is there.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import laid_down
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.server_checks import address_mistakes, debian_release


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            release = debian_release(module.params["server"], file.read())
        mistakes = address_mistakes(module.params["server"], module.params["addresses"])
        if mistakes:
            raise Mistakes(mistakes)
    except (Mistakes, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, release=release, agent=bool(laid_down()))


if __name__ == "__main__":
    main()
