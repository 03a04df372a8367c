#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: log_report_info
short_description: Tell what a server's mail log says
version_added: 1.0.0
description:
  - Asks the program C(mailfleet) of a server for its report on the mail log, what became of mail by provider and
    reason.
  - What the service has counted is told where the log is followed (the role P(mailfleet.sending.maillog#role)); else
    the log is read.
options:
  since:
    description: From when on, such as V(24h), V(7d) or V(2026-11-28). All that is known by default.
    type: str
  until:
    description: Before when, in the same form.
    type: str
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: There is nothing to compare.
seealso:
  - module: mailfleet.sending.log_report
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: See what became of yesterday's mail
  mailfleet.sending.log_report_info:
    since: 24h
"""

RETURN = r"""
report:
  description:
    - The report, as C(mailfleet log report --json) prints it. Its texts may name recipients.
  returned: success
  type: dict
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_units import COMMAND


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"since": {"type": "str"}, "until": {"type": "str"}}, supports_check_mode=True)
    options = [f"--{name}={value}" for name, value in module.params.items() if value]
    if not os.path.exists(COMMAND):
        module.fail_json(msg=f"found no {COMMAND}; the fleet has no agent: set sending_agent, and run site.yml")
    status, out, err = module.run_command([COMMAND, "log", "report", "--json", *options])
    if status:
        module.fail_json(msg=f"mailfleet log report: {err.strip() or out.strip() or f'status {status}'}")
    try:
        module.exit_json(changed=False, report=json.loads(out))
    except ValueError as error:
        module.fail_json(msg=f"mailfleet log report: no JSON: {error}")


if __name__ == "__main__":
    main()
