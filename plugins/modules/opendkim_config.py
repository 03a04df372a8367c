#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: opendkim_config
short_description: Sign mail with OpenDKIM, and refuse what may not be sent
version_added: 1.0.0
description:
  - Installs keys, tables, policy and C(/etc/opendkim.conf) of OpenDKIM in one call, and proves that the running
    milter does what they say.
  - Everything is staged and validated first (C(opendkim -n), and each key read as the user C(opendkim)); one rename
    switches to it. Then a message is handed to the milter for every domain, and its signature is verified with the
    public half of the key. Where any of this fails, the configuration of before stands again, OpenDKIM runs with it,
    and the task fails with the cause. A run that was interrupted is taken up by the next one.
  - OpenDKIM is restarted only where something changed. The proof is repeated in every run, since keys fail silently.
  - The socket lies in Postfix's chroot, C(/var/spool/postfix/opendkim/opendkim.sock).
  - A client that is neither logged in nor in a network of O(networks) nor local sends to this server itself, as
    bounces do. Its mail is neither judged nor signed.
  - "Everybody else's mail must have exactly one From with exactly one address. Refused with C(550 5.7.1) is a From in a
    domain that no key covers, or that this login or network may not use; C(451 4.7.5) defers a From in O(deferred)."
  - The policy needs the macro C({mailfleet_sender}), which the layer C(dkim) of Postfix's configuration sets. OpenDKIM
    lets mail with a From that it cannot parse pass unsigned otherwise.
requirements:
  - Debian's packages opendkim, openssl and postfix, and systemd
extends_documentation_fragment:
  - mailfleet.sending.attributes
attributes:
  check_mode:
    support: full
    details: What cannot be told before OpenDKIM is installed, or before a key is made, is listed in RV(unverified).
  diff_mode:
    support: full
    details: Shows configuration, tables and policy; of keys only their paths.
  platform:
    platforms: posix
options:
  signing:
    description: The domains that sign, each with one key. All keys are of one type.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain, which is d= of the signature.
        type: str
        required: true
      selector:
        description: The selector of its key, which is s= of the signature.
        type: str
        required: true
      scope:
        description:
          - V(fleet) takes the key from O(secrets_directory) on the controller, where C(ansible-vault) may have
            encrypted it.
          - V(server) uses the one that C(dkim_key) made on the server in C(/etc/dkimkeys).
        type: str
        choices: [fleet, server]
        default: fleet
      public:
        description: The public half that was published. A key with another one fails the task.
        type: str
      subdomains:
        description: Whether the domain signs for every name below it, too.
        type: bool
        default: false
  deferred:
    description: Domains of ours whose key has not been seen in DNS yet. Their mail waits.
    type: list
    elements: str
    default: []
  allowed_unsigned:
    description: Domains of ours whose mail may leave without a signature.
    type: list
    elements: str
    default: []
  logins:
    description:
      - For each login of Postfix's submission the domains that it may use in From; V(*) stands for all of ours.
      - A login that is not listed may use none.
    type: dict
    default: {}
  networks:
    description:
      - The networks whose clients may send without a login, each with the domains that it may use in From.
      - The narrowest network counts. Local clients may use all domains of ours, unless C(127.0.0.0/8) or C(::1/128) is
        listed.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: The network, such as V(198.51.100.0/24).
        type: str
        required: true
      domains:
        description: The domains; V(*) stands for all of ours.
        type: list
        elements: str
        required: true
  notice_domains:
    description: Host names below a domain of ours that the server's own notices come from. That domain signs them.
    type: list
    elements: str
    default: []
  retired:
    description: Keys whose files are removed from the server. Other files of keys that no longer sign stay.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      selector:
        description: The selector.
        type: str
        required: true
  private_keys:
    description:
      - Private keys in PEM by the name of their record, such as C(m20261123._domainkey.example.com). The action plugin
        fills in those of scope V(fleet) that are not given.
    type: dict
    default: {}
  secrets_directory:
    description: The folder on the controller whose C(dkim/<domain>/<selector>.pem) are the keys of scope V(fleet).
    type: path
seealso:
  - module: mailfleet.sending.dkim_key
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Sign with the fleet's keys, and hold mail whose key is not in DNS yet
  mailfleet.sending.opendkim_config:
    secrets_directory: "{{ inventory_dir }}/.mailfleet/secrets"
    signing:
      - {domain: example.com, selector: m20261123}
    deferred: [example.us]
    logins:
      shop: [example.com]
      newsletter: [example.us]
    networks:
      - {network: 198.51.100.30/32, domains: [example.com]}
    notice_domains: [mta1.example.com]
"""

RETURN = r"""
changes:
  description: What was changed, or would be, a line each.
  returned: success
  type: list
  elements: str
  sample: ["/etc/opendkim.conf: changed"]
proved:
  description: What the running milter was seen to do.
  returned: success
  type: list
  elements: str
  sample: [From example.com, From a domain that is not ours]
unverified:
  description: What check mode could not tell.
  returned: success
  type: list
  elements: str
  sample: ["opendkim is not installed: which folders and files its package brings, what it says of the configuration,
    and the proof"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import opendkim_node
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import KeyFault
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_node import KeyFile, NodeFault
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import Policy, PolicyMistakes, Signing
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

NAMES = {"type": "list", "elements": "str", "default": []}
KEY = {"domain": {"type": "str", "required": True}, "selector": {"type": "str", "required": True}}
SIGNING = KEY | {
    "scope": {"type": "str", "choices": ["fleet", "server"], "default": "fleet"},
    "public": {"type": "str"},
    "subdomains": {"type": "bool", "default": False},
}
NETWORK = {
    "network": {"type": "str", "required": True},
    "domains": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "signing": {"type": "list", "elements": "dict", "default": [], "options": SIGNING},
            "deferred": NAMES,
            "allowed_unsigned": NAMES,
            "logins": {"type": "dict", "default": {}},
            "networks": {"type": "list", "elements": "dict", "default": [], "options": NETWORK},
            "notice_domains": NAMES,
            "retired": {"type": "list", "elements": "dict", "default": [], "options": KEY},
            # An option of its own: inside a list, Ansible's syslog would show secrets that have more than one line.
            "private_keys": {"type": "dict", "default": {}, "no_log": True},
            "secrets_directory": {"type": "path", "no_log": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    policy = Policy(
        signing=tuple(Signing(entry["domain"], entry["selector"], entry["subdomains"]) for entry in given["signing"]),
        deferred=tuple(given["deferred"]),
        unsigned=tuple(given["allowed_unsigned"]),
        logins={login: tuple(domains) for login, domains in given["logins"].items()},
        networks={entry["network"]: tuple(entry["domains"]) for entry in given["networks"]},
        notices=tuple(given["notice_domains"]),
    )
    keys = [_key_file(entry, given["private_keys"]) for entry in given["signing"]]
    retired = [KeyFile(entry["domain"], entry["selector"]) for entry in given["retired"]]
    try:
        report = opendkim_node.apply(Programs.of(module.run_command), policy, keys, retired, dry=module.check_mode)
    except (NodeFault, PolicyMistakes, KeyFault) as fault:
        module.fail_json(msg=str(fault))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(
        changed=bool(report.changes),
        changes=report.changes,
        proved=report.proved,
        unverified=report.unverified,
        diff=report.diff,
    )


def _key_file(entry: dict, private_keys: dict) -> KeyFile:
    """Return the key of an entry of signing."""
    domain, selector, fleet = entry["domain"], entry["selector"], entry["scope"] == "fleet"
    private = private_keys.get(Signing(domain, selector).key) if fleet else None
    return KeyFile(domain, selector, private.encode() if private else None, entry["public"], comes=fleet)


if __name__ == "__main__":
    main()
