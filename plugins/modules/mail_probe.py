#!/usr/bin/python
# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_probe
short_description: Send a message from every address and judge it on arrival
version_added: 1.0.0
description:
  - Submits a message for every address, domain and mailbox through the servers' own Postfix (TLS, login, milter,
    queue), waits until it lies in the mailbox (junk folder included), and judges it by what its receiver wrote on
    it.
  - An C(Authentication-Results) field counts only with the expected authserv-id and only above the C(Received)
    field by which the receiver took the message. Whatever the message brought along does not count.
    C(ARC-Authentication-Results) of the same authserv-id counts likewise, which is how Gmail can be read.
  - Every method of O(mailboxes[].expect) must be there and pass. One that is missing is a fault.
  - The C(Received) field is judged as well; the address must be the one that was probed, the HELO name as expected,
    the name of the address confirmed, and TLS used.
  - Messages are deleted from the mailbox once they were read.
  - Changes nothing, so that C(changed) is always false.
options:
  submissions:
    description: Where messages are submitted, one entry for each server.
    type: list
    elements: dict
    required: true
    suboptions:
      server:
        description: The name of the server, as in O(paths[].server).
        type: str
        required: true
      host:
        description: The host name or address to connect to.
        type: str
        required: true
      port:
        description: The port; the server must offer STARTTLS there.
        type: int
        default: 587
      tls_name:
        description: The name that the server's certificate must bear. Defaults to O(submissions[].host).
        type: str
      ca_file:
        description: Certificates of the authorities to trust. Defaults to those of the controller's system.
        type: path
      verify:
        description: Whether the certificate must be valid. With V(false) a man in the middle may read the login.
        type: bool
        default: true
  paths:
    description:
      - The ways out of the fleet, one entry for each sending address.
      - Nothing is sent from a server that O(submissions) does not name; the verdict on its addresses is V(unknown).
    type: list
    elements: dict
    required: true
    suboptions:
      server:
        description: The name of the server.
        type: str
        required: true
      transport:
        description: The Postfix transport that sends from the address; the envelope sender is
          C(probe+<transport>@<bounce domain>).
        type: str
        required: true
      address:
        description: The address that the receiver must see.
        type: str
        required: true
      helo:
        description: The HELO name that the receiver must see, and must find as the name of the address.
        type: str
        required: true
  pools:
    description:
      - The ways that ordinary mail takes, one entry for each pool of addresses and server. Postfix chooses the address
        by the sender; the receiver must see one of the pool's.
    type: list
    elements: dict
    default: []
    suboptions:
      server:
        description: The name of the server.
        type: str
        required: true
      pool:
        description: The name of the pool.
        type: str
        required: true
      domain:
        description: The domain of the From field.
        type: str
        required: true
      sender:
        description: The envelope sender, which is one whose mail the pool takes.
        type: str
        required: true
      outlets:
        description: The addresses of the pool on this server.
        type: list
        elements: dict
        required: true
        suboptions:
          address:
            description: The address.
            type: str
            required: true
          helo:
            description: The HELO name that the receiver must see from it.
            type: str
            required: true
  domains:
    description: The domains that mail is sent from.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The domain of the From field, which DKIM and DMARC must be about.
        type: str
        required: true
      bounce_domain:
        description: The domain of the envelope sender, which SPF must be about. Defaults to O(domains[].domain).
        type: str
  mailboxes:
    description:
      - The mailboxes to send to, which are read by IMAP over TLS.
      - Without any there is one verdict V(unknown), since nothing was proved.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address of the mailbox.
        type: str
        required: true
      authserv_id:
        description: The name that the receiver signs its C(Authentication-Results) with, such as V(mx.google.com).
        type: str
        required: true
      received_by:
        description: The names behind C(by) in the receiver's own C(Received) fields. Defaults to
          O(mailboxes[].authserv_id) alone.
        type: list
        elements: str
      expect:
        description: The methods whose results must be there and pass. Another that is there must pass as well.
        type: list
        elements: str
        choices: [dkim, spf, dmarc, iprev]
        default: [dkim, spf, dmarc]
      families:
        description: The address families over which the receiver takes mail; paths of another are left out and
          named in RV(not_checked).
        type: list
        elements: str
        choices: [ipv4, ipv6]
        default: [ipv4, ipv6]
      imap:
        description: How the mailbox is read.
        type: dict
        required: true
        suboptions:
          host:
            description: The IMAP server.
            type: str
            required: true
          port:
            description: The port, on which TLS begins at once.
            type: int
            default: 993
          user:
            description: The login. Defaults to O(mailboxes[].address).
            type: str
          password:
            description: The password; for Gmail an app password.
            type: str
          password_file:
            description: A file on the controller with the password and nothing else; it may be encrypted with
              Ansible Vault.
            type: path
          tls_name:
            description: The name that the server's certificate must bear. Defaults to O(mailboxes[].imap.host).
            type: str
          ca_file:
            description: Certificates of the authorities to trust. Defaults to those of the controller's system.
            type: path
  login:
    description:
      - The login that submits. Without it the action plugin takes V(probe) with the password from
        O(secrets_directory).
    type: dict
    suboptions:
      user:
        description: The name.
        type: str
        required: true
      password:
        description: The password.
        type: str
        required: true
  secrets_directory:
    description: The fleet's secrets folder on the controller, where M(mailfleet.sending.submission_auth) keeps
      C(logins/probe).
    type: path
  timeout:
    description: How many seconds to wait for messages to arrive, at most a day.
    type: int
    default: 120
  text:
    description: Text to put into the body. With characters beyond ASCII the message is sent in 8 bits.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    details:
      - Sends nothing and gives one verdict V(unknown).
  diff_mode:
    support: none
extends_documentation_fragment:
  - mailfleet.sending.attributes
  - mailfleet.sending.attributes.controller
notes:
  - It runs in Ansible's own process on the controller, whatever the task is delegated to, and shows while it waits what
    has arrived and what is awaited.
author:
  - mailfleet.sending contributors (@mailfleet)
seealso:
  - module: mailfleet.sending.submission_auth
  - module: mailfleet.sending.fleet_report
"""

EXAMPLES = r"""
- name: Probe one address with a mailbox at Gmail
  mailfleet.sending.mail_probe:
    submissions:
      - server: mta1
        host: mta1.example.com
    paths:
      - server: mta1
        transport: ip-198-51-100-10
        address: 198.51.100.10
        helo: mta1.example.com
    domains:
      - domain: example.com
        bounce_domain: e.example.com
    mailboxes:
      - address: someone@gmail.com
        authserv_id: mx.google.com
        imap:
          host: imap.gmail.com
          password_file: secrets/gmail-app-password
    secrets_directory: secrets
  delegate_to: localhost
  run_once: true
  become: false
"""

RETURN = r"""
verdicts:
  description:
    - All verdicts, each with C(check), C(subjects) (server, address or pool, domain and mailbox in one text),
      C(status), C(found), C(expected), C(cause), C(mend) and C(source), the header field or reply that it was read in.
    - The checks are C(submission), C(arrival), C(received), C(dkim), C(spf), C(dmarc), C(iprev), C(origin) (the
      address), C(helo), C(ptr), C(tls), or C(probe) where nothing was sent.
  returned: success
  type: list
  elements: dict
faults:
  description: The verdicts that are not V(ok), the worst first.
  returned: success
  type: list
  elements: dict
summary:
  description: How many subjects have which status.
  returned: success
  type: dict
  sample: {ok: 84, warn: 0, unknown: 0, absent: 0, fail: 0}
paths:
  description: A line for each message, with the status of each check, empty where it was not judged.
  returned: success
  type: list
  elements: dict
  sample:
    - {server: mta1, address: 198.51.100.10, domain: example.com, mailbox: someone@gmail.com, dkim: ok, spf: ok,
       dmarc: ok, iprev: "", origin: ok, helo: ok, ptr: ok, tls: ok, arrival: ok, seconds: 3.1, queue_id: 4ZxYw1abc}
not_checked:
  description: What was left out, and why.
  returned: success
  type: list
  elements: str
"""

import secrets
from collections.abc import Callable, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mailfleet.sending.plugins.module_utils import probe
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_mailboxes import MAILBOX, read_mailboxes
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_paths import PATH, POOL, SUBMISSION, read_pool
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import LONGEST, Reader
from ansible_collections.mailfleet.sending.plugins.module_utils.submission import Login, endpoints_of
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import as_result


def text(**more):
    return {"type": "str", **more}


DOMAIN = {"domain": text(required=True), "bounce_domain": text()}
ARGUMENTS = {
    "submissions": {"type": "list", "elements": "dict", "required": True, "options": SUBMISSION},
    "paths": {"type": "list", "elements": "dict", "required": True, "options": PATH},
    "pools": {"type": "list", "elements": "dict", "default": [], "options": POOL},
    "domains": {"type": "list", "elements": "dict", "required": True, "options": DOMAIN},
    "mailboxes": {"type": "list", "elements": "dict", "default": [], "options": MAILBOX},
    "login": {"type": "dict", "options": {"user": text(required=True), "password": text(required=True, no_log=True)}},
    "secrets_directory": {"type": "path", "no_log": False},
    "timeout": {"type": "int", "default": 120},
    "text": text(default=""),
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        made = result(module.params, module.check_mode)
    except ValueError as error:
        module.fail_json(msg=str(error))
    for warning in made.pop("warnings"):
        module.warn(warning)
    module.exit_json(**made)


def result(params: Mapping, check_mode: bool, show: Callable[[probe.Look], None] | None = None) -> dict:
    """Return what the module returns. C(show) takes looks while it waits. Raises: ValueError for mistakes."""
    paths = [probe.Path(**path) for path in params["paths"]]
    pools = [read_pool(entry) for entry in params["pools"]]
    endpoints = endpoints_of(params["submissions"])
    targets = read(params)
    domains = [probe.Domain(each["domain"], each["bounce_domain"] or each["domain"]) for each in params["domains"]]
    reached = [path for path in paths if path.server in endpoints]
    outcome = probe.plan(
        secrets.token_hex(8), reached, domains, targets, [each for each in pools if each[0].server in endpoints]
    )
    verdicts, rows = [], []
    if not targets:
        mend = "add a mailbox that can be read by IMAP to mailboxes"
        verdicts.append(probe.not_sent(paths, "no mailbox is configured", mend))
    elif check_mode:
        verdicts.append(probe.not_sent(paths, "not sent in check mode", "run without --check"))
    else:
        if not params["login"]:
            raise ValueError("login is missing, and no login was found in secrets_directory; run submission_auth first")
        probe.travel(outcome, endpoints, Login(**params["login"]), params["timeout"], params["text"], show)
        for journey in outcome.journeys:
            about = probe.verdicts(journey, outcome.unreadable, params["timeout"])
            verdicts += about
            rows.append(probe.row(journey, about))
        if left := [path for path in (*paths, *(path for path, _domain in pools)) if path.server not in endpoints]:
            mend = "let the server take mail from logins (sending_submission), or prove it in another way"
            verdicts.append(probe.not_sent(left, "submissions does not name the server", mend))
    warnings = [
        f"{entry['server']}: its certificate was not checked; give it one that the controller trusts"
        for entry in params["submissions"]
        if not entry["verify"]
    ]
    told = as_result(verdicts)
    return {"changed": False, "warnings": warnings, **told, "paths": rows, "not_checked": outcome.not_checked}


def read(params):
    reader = Reader()
    targets = read_mailboxes(reader, params["mailboxes"], "mailboxes")
    reader.integer(params["timeout"], "timeout", 0, LONGEST, 120)
    for index, target in enumerate(targets):
        # The action plugin has put in what the file holds.
        if params["mailboxes"][index]["imap"]["password_file"] and not target.account.password:
            reader.note(f"mailboxes[{index}].imap.password_file", "<an empty file>", "a password")
    if reader.mistakes:
        raise Mistakes(reader.mistakes, "these options cannot be used")
    return targets


if __name__ == "__main__":
    main()
