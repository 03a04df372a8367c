#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: submission_auth
short_description: Let Dovecot check the logins of a submission server
version_added: 1.0.0
description:
  - Configures Dovecot as the one whom Postfix asks about logins, and as nothing else. It serves no protocol, has no
    mailboxes and listens on no network port; its one socket is C(/var/spool/postfix/private/auth).
  - The configuration is written in the syntax of the installed Dovecot (2.3 on Debian 12, 2.4 on Debian 13),
    validated by C(doveconf) before it is installed, and proved afterwards by asking the socket about a login. Where
    the proof fails, the former files stand again and Dovecot runs with them.
  - The fleet's own login V(probe), which M(mailfleet.sending.mail_probe) uses, gets a random password. It is made
    once, on the controller, in O(secrets_directory).
  - A Dovecot that serves mailboxes is refused, because this module would take it over.
options:
  users:
    description: The logins that may submit mail. A login that is not listed is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name, of letters, digits and C(. _ @ + -).
        type: str
        required: true
      password_hash:
        description: The hash of the password as C(doveadm pw -s SHA512-CRYPT) writes it, or in the form of
          crypt(5). It must be salted, and one that the Dovecot of Debian 12 and that of 13 both check.
        type: str
        required: true
      domains:
        description: Not read here. Postfix and the signing policy keep to it, so that one list serves.
        type: list
        elements: str
  probe_login:
    description: Whether the login V(probe) is wanted.
    type: bool
    default: true
  secrets_directory:
    description:
      - The fleet's secrets folder on the controller, where C(logins/probe) holds the password of the login
        V(probe).
      - The file is made (mode 0600) where it is missing, and may be encrypted with Ansible Vault afterwards.
      - Required when O(probe_login=true).
    type: path
  proof:
    description:
      - The login that the socket is asked about at the end. Filled in by the action plugin with the login V(probe).
      - Without it the socket is asked about a login that does not exist, and must deny it.
    type: dict
    suboptions:
      name:
        description: A name in O(users).
        type: str
        required: true
      password:
        description: The password of that login.
        type: str
        required: true
attributes:
  check_mode:
    support: full
    details:
      - Where Dovecot is not installed yet, its version cannot be told, and RV(configuration) is left out.
  diff_mode:
    support: full
extends_documentation_fragment:
  - mailfleet.sending.attributes
requirements:
  - Debian's packages dovecot-core and postfix on the server
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.mail_probe
"""

EXAMPLES = r"""
- name: Let an application and the probe log in
  mailfleet.sending.submission_auth:
    users:
      - name: app
        password_hash: "{SSHA512}3nRrTA4RhL5rC7Vqg0kVv2dJ8y6J4wS1XmTQXg0m9q0fXo2Zb1yJ6uQ3m5kPz8rT"
    secrets_directory: "{{ playbook_dir }}/secrets"

- name: Only the application, and nothing of the fleet's own
  mailfleet.sending.submission_auth:
    users:
      - name: app
        password_hash: "{SSHA512}3nRrTA4RhL5rC7Vqg0kVv2dJ8y6J4wS1XmTQXg0m9q0fXo2Zb1yJ6uQ3m5kPz8rT"
    probe_login: false
"""

RETURN = r"""
logins:
  description: The names that can log in, sorted.
  returned: success
  type: list
  elements: str
  sample: [app, probe]
version:
  description: The version of the installed Dovecot, empty where it is not installed.
  returned: success
  type: str
  sample: 2.4.1-4
configuration:
  description: The content of C(/etc/dovecot/dovecot.conf); it holds no secret.
  returned: when Dovecot is installed
  type: str
proved:
  description: Whether the socket was asked about a login and gave the right answer. A run that changes nothing does
    not ask.
  returned: success
  type: bool
unverified:
  description: What check mode could not tell, because Dovecot is not installed.
  returned: success
  type: list
  elements: str
  sample: ["/etc/dovecot/dovecot.conf: what it says, which depends on Dovecot's version"]
"""

import secrets

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import dovecot_auth
from ansible_collections.mailfleet.sending.plugins.module_utils.dovecot_service import (
    CONFIGURATION,
    USERS,
    DovecotError,
    DovecotService,
    Proof,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes


def main():
    module = AnsibleModule(
        argument_spec={
            "users": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password_hash": {"type": "str", "required": True, "no_log": True},
                    "domains": {"type": "list", "elements": "str"},
                },
            },
            "probe_login": {"type": "bool", "default": True},
            "secrets_directory": {"type": "path", "no_log": False},
            "proof": {
                "type": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (Mistakes, DovecotError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def run(module):
    logins = dovecot_auth.read_logins(module.params["users"])
    service = DovecotService(module.run_command)
    names = [login.name for login in logins]
    version = service.version()
    if not version:
        if not module.check_mode:
            raise DovecotError("Dovecot is not installed; install Debian's package dovecot-core first")
        diff = {"before_header": USERS, "after_header": USERS, "before": "", "after": "".join(f"{n}\n" for n in names)}
        unverified = [f"{CONFIGURATION}: what it says, which depends on Dovecot's version", "whether logins are let in"]
        return {
            "changed": True,
            "logins": names,
            "version": "",
            "proved": False,
            "unverified": unverified,
            "diff": [diff],
        }
    known = module.params["proof"]
    # Without a password that we know, a login that nobody has must be denied: Dovecot then can read its files.
    proof = (
        Proof(**known)
        if known
        else Proof(f"nobody-{secrets.token_hex(8)}", secrets.token_urlsafe(16), accepted=False)
    )
    plan = service.plan(version, dovecot_auth.passwd_file(logins), proof)
    result = {
        "changed": plan.changed,
        "logins": names,
        "version": version,
        "configuration": plan.configuration.after,
        "proved": False,
        "unverified": [],
        "diff": plan.diff(),
    }
    if plan.changed and not module.check_mode:
        service.apply(plan, proof)
        result["proved"] = True
    return result


if __name__ == "__main__":
    main()
