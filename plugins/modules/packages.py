#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages that are missing
version_added: 1.0.0
description:
  - Installs what is missing, without recommended packages. What is installed already is left alone, whatever its
    version, and no mirror is asked then.
  - Unlike M(ansible.builtin.apt) it needs neither C(python3-apt) nor package lists to tell the truth in check mode on a
    bare server.
options:
  names:
    description: The packages that shall be installed.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details: Where the package lists are too old to know a package, RV(versions) is null.
  diff_mode:
    support: full
  platform:
    platforms: debian
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Install the milter
  mailfleet.sending.packages:
    names: [opendkim, openssl]
"""

RETURN = r"""
installed:
  description: The packages of O(names) that were missing and were installed, or would be.
  returned: success
  type: list
  elements: str
versions:
  description: What came, or would come, with its version, dependencies included. Null where it cannot be told yet.
  returned: success
  type: dict
  sample: {"opendkim": "2.11.0~beta2-9+deb13u1"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.packages import (
    PackageFault,
    install,
    missing,
    simulate,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

    def run(arguments: list[str]) -> tuple[int, str, str]:
        return module.run_command(arguments, environ_update=environment)

    try:
        names = missing(module.params["names"], run)
        versions = {} if not names else simulate(names, run) if module.check_mode else install(names, run)
    except PackageFault as fault:
        module.fail_json(msg=str(fault))
    diff = {"before": "", "after": "".join(f"{name}\n" for name in names)}
    module.exit_json(changed=bool(names), installed=names, versions=versions, diff=diff)


if __name__ == "__main__":
    main()
