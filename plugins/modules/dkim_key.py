#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key
short_description: Make private keys for DKIM where there are none
version_added: 1.0.0
description:
  - Makes the private keys that are missing in a folder, one file C(<domain>/<selector>.pem) each, and returns the
    public halves of all keys asked for.
  - A key that exists is never overwritten and never removed. One that is damaged, of another type or size, or gone
    although it was made once, fails the task, with the file named; nothing is made then.
  - Beside each key C(<selector>.json) holds its date, type and public half, and no secret. The date of a key is the one
    that was stored with it.
  - A key that its owner encrypted with C(ansible-vault) stays as it is; its public half comes from the file beside it.
  - The private half is never returned, and never leaves the host on which the module runs.
requirements:
  - the program C(openssl)
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details: Says which keys would be made; their RV(public_keys[].public) and RV(public_keys[].created) are null.
  diff_mode:
    support: full
    details: Names files, modes and owners, never the content of a key.
  platform:
    platforms: posix
options:
  directory:
    description:
      - The folder of the keys. It is made with mode C(0700), as are the folders of the domains in it.
    type: path
    required: true
  keys:
    description: The keys that shall exist.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain that the key signs for, in lower case; international names as A-labels.
        type: str
        required: true
      selector:
        description: The selector, in lower case, labels of letters, digits and inner hyphens (RFC 6376, 3.1).
        type: str
        required: true
      type:
        description: The type of key. OpenDKIM signs with one type at a time, and not every receiver knows Ed25519.
        type: str
        choices: [rsa, ed25519]
        default: rsa
      bits:
        description: The size of an RSA key. It means nothing for Ed25519.
        type: int
        choices: [1024, 2048, 3072, 4096]
        default: 2048
      public:
        description: >-
          The public half of a key that was made before. Where that key is gone or is another one, the task fails, and
          makes none in its place.
        type: str
        default: ""
      instead:
        description: >-
          A regular expression of whole selectors. Without O(keys[].public), the last key of the domain in order of
          name whose selector matches it is taken, if there is one, and none is made. So whoever lost the record of a
          dated selector does not get another key every time that the date changes.
        type: str
        default: ""
  owner:
    description: The user who owns folders and files. Without it, whoever runs the module.
    type: str
  group:
    description: The group of folders and files. Without it, that of whoever runs the module.
    type: str
seealso:
  - module: mailfleet.sending.opendkim_config
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Make the keys of the fleet on the controller
  mailfleet.sending.dkim_key:
    directory: "{{ inventory_dir }}/.mailfleet/secrets/dkim"
    keys:
      - {domain: example.com, selector: m20261123}
      - {domain: example.us, selector: m20261123, bits: 2048}
  delegate_to: localhost
  run_once: true
  become: false

- name: Make a key that never leaves the server
  mailfleet.sending.dkim_key:
    directory: /etc/dkimkeys
    owner: opendkim
    group: opendkim
    keys:
      - {domain: example.com, selector: m20261123-mta1}
"""

RETURN = r"""
public_keys:
  description: The keys asked for, or taken instead, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always, sample: example.com}
    selector: {description: The selector., type: str, returned: always, sample: m20261123}
    type: {description: The type of the key., type: str, returned: always, sample: rsa}
    bits: {description: The size of the key., type: int, returned: always, sample: 2048}
    public:
      description: >-
        The public half as p= of the DKIM record has it: base64 of the SubjectPublicKeyInfo for RSA, of the key's 32
        bytes for Ed25519. Null where check mode would make the key.
      type: str
      returned: always
      sample: MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB
    created:
      description: The day on which the key was made, as stored with it. Null where check mode would make the key.
      type: str
      returned: always
      sample: "2026-11-23"
changes:
  description: What was changed, or would be, a line each.
  returned: success
  type: list
  elements: str
  sample: ["/etc/dkimkeys/example.com/m20261123.pem: made"]
faults:
  description: What is wrong with which key.
  returned: when keys that are there, or were, are not what is asked for
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always, sample: example.com}
    selector: {description: The selector., type: str, returned: always, sample: m20261123}
    cause: {description: What is wrong., type: str, returned: always}
"""

import grp
import pwd
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_store import KeyFaults, Store, Wanted
from ansible_collections.mailfleet.sending.plugins.module_utils.owned_files import Owner
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs


def main() -> None:
    """Run the module."""
    key = {
        "domain": {"type": "str", "required": True},
        "selector": {"type": "str", "required": True},
        "type": {"type": "str", "choices": ["rsa", "ed25519"], "default": "rsa"},
        "bits": {"type": "int", "choices": [1024, 2048, 3072, 4096], "default": 2048},
        "public": {"type": "str", "default": ""},
        "instead": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "keys": {"type": "list", "elements": "dict", "required": True, "options": key, "no_log": False},
            "owner": {"type": "str"},
            "group": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        store = Store(
            Programs.of(module.run_command),
            Path(module.params["directory"]),
            Owner(_number(module, "owner"), _number(module, "group")),
            dry=module.check_mode,
        )
        stored = store.ensure(Wanted(**wanted) for wanted in module.params["keys"])
    except KeyFaults as fault:
        module.fail_json(msg=str(fault), faults=[asdict(each) for each in fault.faults])
    except KeyFault as fault:
        module.fail_json(msg=str(fault))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {error.strerror}")
    changes = store.changes
    module.exit_json(
        changed=bool(changes),
        public_keys=[asdict(key) for key in stored],
        changes=changes,
        diff={"before": "", "after": "".join(f"{change}\n" for change in changes)},
    )


def _number(module: AnsibleModule, option: str) -> int:
    """Return the number of the owner or group; in check mode a package may have yet to bring it."""
    name = module.params[option]
    try:
        if name is None:
            return -1
        return pwd.getpwnam(name).pw_uid if option == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        if module.check_mode:
            return -1
        module.fail_json(msg=f"{option}: found {name!r}, which this host does not know; install the package it is from")


if __name__ == "__main__":
    main()
