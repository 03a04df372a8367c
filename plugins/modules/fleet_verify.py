#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_verify
short_description: Verify everything that DNS says of a fleet, with one resolver
version_added: 1.0.0
description:
  - Does what M(mailfleet.sending.ptr_verify), M(mailfleet.sending.spf_verify), M(mailfleet.sending.dkim_verify),
    M(mailfleet.sending.dmarc_verify), M(mailfleet.sending.mx_verify) and M(mailfleet.sending.dnsbl_verify) do, all at
    once and with the same verdicts.
  - What several of them ask is asked once, they wait for answers side by side, and a name server that is silent is
    waited for by the run, and not by each of them.
  - O(authoritative) holds for the names of the fleet itself, as each of these modules says, the addresses of HELO names
    and of hosts that bounces come back to included. Names of others, such as the hosts of an SPF record, domains above
    one, and blocklists, are asked of the resolvers, as receivers do.
  - It takes the parts of what M(mailfleet.sending.desired_state) returns. What is left out is not verified, and a
    warning says so.
  - Changes nothing.
extends_documentation_fragment:
  - mailfleet.sending.lookup
  - mailfleet.sending.lookup.authoritative
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
options:
  addresses:
    description: The addresses that send, for PTR, SPF, the alignment of HELO names, and blocklists.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IPv4 or IPv6 address, as receivers see it.
        type: str
        required: true
      helo:
        description: The name that it greets with.
        type: str
        default: ""
      bind:
        description: Taken so that C(sending_addresses) can be given as it is, and of no meaning here.
        type: str
        default: ""
  helo_must_match:
    description: Whether an address whose PTR name is not its HELO name is C(fail) and not C(warn).
    type: bool
    default: false
  domains:
    description: All domains that may stand in MAIL FROM. SPF of each is verified with each of O(addresses).
    type: list
    elements: str
    default: []
  matrix:
    description:
      - A file on the controller to write the SPF result of every address with every domain to, as O(matrix) of
        M(mailfleet.sending.spf_verify) is. Nothing is written in check mode.
    type: path
  keys:
    description: The DKIM keys, as M(mailfleet.sending.dkim_verify) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain that the key signs for, d= of the signature.
        type: str
        required: true
      selector:
        description: The selector, s= of the signature. Without one, the domain's own name is tried as selector.
        type: str
        default: ""
      public:
        description: The public half that must be published, in base64. Without it, any valid key will do.
        type: str
        default: ""
      private_key_path:
        description: The file on the controller that holds the private key that signs, instead of O(keys[].public).
        type: path
      identity:
        description: The domain in i= of the signatures, where that is a sub-domain of O(keys[].domain).
        type: str
        default: ""
  unknown_keys:
    description:
      - The DKIM keys that should sign and whose public halves nobody knows, as
        RV(mailfleet.sending.desired_state#module:unknown_keys) has them. Each is C(unknown).
      - So is the alignment of signatures of a domain of which none of O(keys) is.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain that the key should sign for.
        type: str
        required: true
      server:
        description: The server that should hold it, where each has its own.
        type: str
        default: ""
      selector:
        description: What its selector should look like, as a regular expression.
        type: str
        default: ""
  policies:
    description: The domains in the From field, as M(mailfleet.sending.dmarc_verify) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain in the From field.
        type: str
        required: true
      bounce_domain:
        description: The domain of the return paths. Without it, O(policies[].domain).
        type: str
        default: ""
      dkim:
        description: The domains (C(d=)) of the signatures that a message bears. Without it, O(policies[].domain).
        type: list
        elements: str
      dmarc:
        description: The record that the domain should have. Without it, any policy will do.
        type: str
        default: ""
  receivers:
    description: The domains that take mail, as M(mailfleet.sending.mx_verify) takes them, and for blocklists.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      hosts:
        description: The hosts that its MX records should name, and no others. Without any, every host will do.
        type: list
        elements: str
        default: []
  blocklists:
    description: The blocklists to ask, as M(mailfleet.sending.dnsbl_verify) takes them. Without any, none is asked.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of a known list, or any other with C(zone).
        type: str
        required: true
      zone:
        description: Where the list is asked. It may hold a customer's key, and is not shown.
        type: str
      kinds:
        description: What it lists, where it is none of the known lists.
        type: list
        elements: str
        choices: [ip4, ip6, domain]
        default: [ip4]
seealso:
  - module: mailfleet.sending.desired_state
  - module: mailfleet.sending.fleet_report
author:
  - mailfleet.sending contributors (@mailfleet)
"""

EXAMPLES = r"""
- name: Verify everything that DNS says of two addresses and one domain
  mailfleet.sending.fleet_verify:
    addresses:
      - {address: 198.51.100.10, helo: mta1.example.com}
      - {address: "2001:db8:61::10", helo: mta1.example.com}
    domains: [example.com, e.example.com]
    keys:
      - {domain: example.com, selector: m20261123}
    policies:
      - domain: example.com
        bounce_domain: e.example.com
        dmarc: v=DMARC1; p=none; rua=mailto:dmarc@example.com
    receivers:
      - {domain: example.com}
      - {domain: e.example.com, hosts: [mta1.example.com, mta2.example.com]}
    blocklists: [{name: spamcop}]
    resolvers: [198.51.100.4]
  delegate_to: localhost
  run_once: true
  become: false
  register: fleet

- name: Report, and stop unless the fleet is proved
  mailfleet.sending.fleet_report:
    verdicts: "{{ fleet.verdicts }}"
  run_once: true
"""

RETURN = r"""
verdicts:
  description:
    - The verdicts of all checks, in the order of PTR, SPF, DKIM, DMARC, MX, MTA-STS and TLSRPT (both of one domain
      after the other), and blocklists, to the letter those that the modules return which verify one of these. Last
      comes what is to be said of the name servers themselves.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description:
        - What was verified, in this order V(ptr), V(spf), V(spf record), V(dkim), V(dmarc), V(alignment),
          V(dmarc_reports), V(mx), V(mta-sts) and V(tlsrpt), V(blocklist).
      type: str
      returned: always
      sample: ptr
    subjects: {description: "The addresses, domains or names of records.", type: list, elements: str, returned: always}
    status: {description: "C(ok), C(warn), C(unknown), C(absent) or C(fail).", type: str, returned: always, sample: ok}
    found: {description: What is published., type: str, returned: always}
    expected: {description: What should be., type: str, returned: always}
    cause: {description: "Why the status is not C(ok).", type: str, returned: always, sample: ""}
    mend: {description: The smallest change that makes it so., type: str, returned: always, sample: ""}
    source: {description: The questions and who was asked., type: str, returned: always}
faults:
  description: The verdicts that are not C(ok), the worst first.
  returned: success
  type: list
  elements: dict
  sample: []
summary:
  description: How many checks have each status, every address with every domain being one of SPF.
  returned: success
  type: dict
  sample: {ok: 26, warn: 0, unknown: 0, absent: 0, fail: 0}
matrix:
  description: The file that was written, empty where none was.
  returned: success
  type: str
  sample: ""
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import BLOCKLIST, read_lists
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_deployed import KEY, read_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_unknown import UNKNOWN_KEY, read_unknown_keys
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import every
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import read_domains
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import SUBJECT, read_subjects
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_fleet import Wanted, verify_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import RECEIVER, read_receivers
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import read_addresses
from ansible_collections.mailfleet.sending.plugins.module_utils.verifying import SENDING_ADDRESS, answer

ARGUMENTS = lookup.OPTIONS | lookup.AUTHORITATIVE | {
    "addresses": {"type": "list", "elements": "dict", "default": [], "options": SENDING_ADDRESS},
    "helo_must_match": {"type": "bool", "default": False},
    "domains": {"type": "list", "elements": "str", "default": []},
    "matrix": {"type": "path"},
    "keys": {"type": "list", "elements": "dict", "default": [], "options": KEY, "no_log": False},
    "unknown_keys": {"type": "list", "elements": "dict", "default": [], "options": UNKNOWN_KEY, "no_log": False},
    "policies": {"type": "list", "elements": "dict", "default": [], "options": SUBJECT},
    "receivers": {"type": "list", "elements": "dict", "default": [], "options": RECEIVER},
    "blocklists": {"type": "list", "elements": "dict", "default": [], "options": BLOCKLIST},
}


def result(params: Mapping[str, object], run: Programs, check_mode: bool) -> dict[str, object]:
    """Return what the module returns. Raises: ValueError for mistakes, and where the matrix cannot be written."""
    addresses, domains, keys, unknown, policies, receivers, blocklists, dns = every(
        lambda: read_addresses(params["addresses"]),
        lambda: read_domains(params["domains"]),
        lambda: read_keys(params["keys"], run),
        lambda: read_unknown_keys(params["unknown_keys"]),
        lambda: read_subjects(params["policies"], "policies"),
        lambda: read_receivers(params["receivers"], "receivers"),
        lambda: read_lists(params["blocklists"], "blocklists"),
        lambda: lookup.from_options(params))
    path = "" if check_mode else params["matrix"] or ""
    wanted = Wanted(addresses, domains, keys, policies, receivers, blocklists, path, params["helo_must_match"], unknown)
    with dns:
        found = verify_fleet(dns, wanted, params["authoritative"])
    parts = {name: params[name] for name in ("addresses", "domains", "keys", "policies", "receivers")}
    parts["keys"] = keys or unknown  # of those that nobody knows the verdicts tell
    missing = [name for name, given in parts.items() if not given]
    warnings = [f"not verified, since they are empty: {', '.join(missing)}"] if missing else []
    return {"changed": False, "warnings": warnings, "matrix": path, **as_result(found.verdicts, found.counts)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    answer(module, lambda params: result(params, Programs.of(module.run_command), module.check_mode))


if __name__ == "__main__":
    main()
