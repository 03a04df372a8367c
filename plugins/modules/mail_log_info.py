#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_log_info
short_description: Count by day and domain where a server's mail went
version_added: 1.0.0
description:
  - Reads Postfix' log on the server, O(files) as syslog and rotation leave them, compressed or not, or the journal
    where they say nothing of today and yesterday.
  - Of an address nothing but its domain is looked at, and nothing else leaves the server.
  - What is handed to the server itself, as to a content filter, or to a lane, does not count; what the lane delivers
    does.
options:
  files:
    description: The files of the log, as a pattern of the shell.
    type: str
    default: /var/log/mail.log*
  days:
    description: Of how many days deliveries are counted, today among them.
    type: int
    default: 14
  seconds:
    description: How long reading may take. What there was no time for is told in RV(notes); it is the oldest.
    type: float
    default: 60.0
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: There is nothing to compare.
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.recipients_observe
"""

EXAMPLES = r"""
- name: See where mail went this week
  mailfleet.sending.mail_log_info:
    days: 7
"""

RETURN = r"""
days:
  description: The days on which something was delivered, the oldest first.
  returned: success
  type: list
  elements: str
  sample: ["2026-11-27", "2026-11-28"]
counts:
  description:
    - A line for each domain, with how many recipients were done with there on each of RV(days), be it by delivery or
      because they were given up. V(0) where every delivery was deferred, a hyphen where there was none.
    - It is a text since a list of tens of thousands is slow in Ansible.
  returned: success
  type: str
  sample: "example.com 12 3\nexample.net - 0\n"
read:
  description: The files that were read, and V(the journal).
  returned: success
  type: list
  elements: str
  sample: [/var/log/mail.log, /var/log/mail.log.1]
notes:
  description: What could not be read or counted, and why.
  returned: success
  type: list
  elements: str
  sample: []
"""

import datetime

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils.mail_log import to_text
from ansible_collections.mailfleet.sending.plugins.module_utils.mail_log_files import FILES, read


def main() -> None:
    """Run the module."""
    options = {
        "files": {"type": "str", "default": FILES},
        "days": {"type": "int", "default": 14},
        "seconds": {"type": "float", "default": 60.0},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    for name, most in (("days", 3660), ("seconds", 86400)):
        if not 0 < module.params[name] <= most:
            module.fail_json(msg=f"{name}: found {module.params[name]:g}, expected more than 0 and at most {most:,}")
    # The log has the server's own time.
    today = datetime.datetime.now().astimezone().date()
    days, files, notes = read(today, module.params["days"], module.params["seconds"], module.params["files"])
    module.exit_json(changed=False, read=files, notes=notes, **to_text(days))


if __name__ == "__main__":
    main()
