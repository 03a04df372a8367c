#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_keys_info
short_description: Compare the keys of return paths that a server holds with the controller's
version_added: 1.0.0
description:
  - Tells of each key that signs return paths whether the server holds the one that C(token_keys.json) of
    O(secrets_directory) has.
  - No key goes either way. The server tells a digest of each, made with a nonce that no other run has, and the action
    plugin compares it with its own.
  - Changes nothing, and fails for nothing that is wrong with the keys; where they cannot be read, RV(failure) says why.
options:
  secrets_directory:
    description: The fleet's secrets folder on the controller.
    type: path
    required: true
  nonce:
    description: What the digests are made with. Filled in by the action plugin.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
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
- name: Compare the keys of return paths
  mailfleet.sending.agent_keys_info:
    secrets_directory: "{{ inventory_dir }}/.mailfleet/secrets"
"""

RETURN = r"""
known:
  description: Whether the controller has C(token_keys.json) at all.
  returned: success
  type: bool
failure:
  description: Why nothing could be compared, empty where it was.
  returned: success
  type: str
  sample: ""
states:
  description:
    - What each key is at the server, by its id. V(same) or V(other), V(lacking) where only the controller has one of
      this id, V(left) where only the server has. Empty where the controller has none to compare with.
  returned: success
  type: dict
  sample: {a: same, b: lacking}
current:
  description: The id of the key that makes tokens, on the C(controller) and on the C(server).
  returned: success
  type: dict
  sample: {controller: a, server: a}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import agent_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.agent_node import SECRETS, SETTINGS


def main() -> None:
    """Run the module; the action plugin makes of this what is documented."""
    module = AnsibleModule(
        argument_spec={
            "secrets_directory": {"type": "path", "required": True, "no_log": False},
            "nonce": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    nonce = module.params["nonce"]
    try:
        digests = {name: agent_keys.digest(key, nonce) for name, key in agent_keys.held(text(SECRETS)).items()}
        module.exit_json(changed=False, digests=digests, current=agent_keys.current_of(text(SETTINGS)))
    except (OSError, ValueError) as error:
        module.exit_json(changed=False, failure=f"the keys of return paths cannot be read: {error}")


def text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
