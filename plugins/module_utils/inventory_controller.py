# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of the controller's own work: whom it asks, how long it waits, where it reads and writes.

The desired state does not depend on it. It is read with the rest so that its mistakes are told with theirs, by
the functions of the modules that take it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import read_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN
from ansible_collections.mailfleet.sending.plugins.module_utils.inventory_files import (
    AUTHORITY,
    PASSWORD,
    Files,
    check_file,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Server
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import PORTS
from ansible_collections.mailfleet.sending.plugins.module_utils.probe_mailboxes import read_mailboxes
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import LONGEST, Reader
from ansible_collections.mailfleet.sending.plugins.module_utils.records import MAX_TTL, absolute_name

FOLDERS = ("sending_state", "sending_secrets")
# Where nothing is written if they are empty.
REPORTS = ("sending_report", "sending_verify_report", "sending_verify_matrix", "sending_plan_report")


def check_controller(reader: Reader, variables: t.Mapping[str, t.Any], files: Files | None) -> None:
    """Read what only the controller's own tasks take.

    :arg reader: takes note of the mistakes.
    :arg variables: the fleet-wide variables by name.
    :arg files: looks at the disk; without it, no file is looked into.
    """
    for where, item in reader.items(variables.get("sending_dns_resolvers"), "sending_dns_resolvers"):
        if text := reader.text(item, where):
            reader.made(where, Server.parse, text)
    reader.choice(
        variables.get("sending_dns_authoritative"), "sending_dns_authoritative", ("auto", "yes", "no"), "auto"
    )
    for where, item in reader.items(variables.get("sending_dns_adopt"), "sending_dns_adopt"):
        reader.made(where, absolute_name, item)
    for where, item in reader.items(variables.get("sending_recipient_domains"), "sending_recipient_domains"):
        reader.domain(item, where)
    reader.flag(variables.get("sending_observe_logs"), "sending_observe_logs", True)
    reader.integer(variables.get("sending_dns_wait"), "sending_dns_wait", 0, LONGEST, 60)
    reader.integer(variables.get("sending_probe_wait"), "sending_probe_wait", 0, LONGEST, 120)
    _check_nobody(reader, variables)
    read_mailboxes(reader, variables.get("sending_probe_mailboxes"), "sending_probe_mailboxes")
    _files_of_mailboxes(reader, variables.get("sending_probe_mailboxes"), files)
    read_blocklists(reader, variables.get("sending_blocklists"), "sending_blocklists")
    reader.flag(variables.get("sending_ptr_is_helo"), "sending_ptr_is_helo", False)
    reader.flag(variables.get("sending_verify_deployed"), "sending_verify_deployed", False)
    check_file(reader, variables.get("sending_tls_ca"), "sending_tls_ca", AUTHORITY, files)
    for name in (*FOLDERS, *REPORTS):
        if variables.get(name) is not None and (name in FOLDERS or variables[name] != ""):
            reader.place(variables[name], name)


def dns_ttl(reader: Reader, variables: t.Mapping[str, t.Any]) -> int:
    """The time to live of the fleet's records in seconds (RFC 2181 8)."""
    return reader.integer(variables.get("sending_dns_ttl"), "sending_dns_ttl", 0, MAX_TTL, 3600)


def _check_nobody(reader: Reader, variables: t.Mapping[str, t.Any]) -> None:
    """Whether the round trip of a bounce can be made: somebody takes it in, and nothing lets the probe through."""
    value, agent = variables.get("sending_probe_nobody_at"), variables.get("sending_agent")
    if value in (None, "") or not reader.domain(value, "sending_probe_nobody_at"):
        return
    if not agent:
        reader.note("sending_probe_nobody_at", value, "sending_agent beside it: nobody else takes in what comes back",
                    "leave it out")
    policy = agent.get("policy") if isinstance(agent, dict) else None
    for name, exempt in (("logins", PROBE_LOGIN), ("ports", PORTS["submission"])):
        listed = policy.get(name) if isinstance(policy, dict) else None
        if isinstance(listed, list) and exempt in listed:
            reader.note(f"sending_agent.policy.{name}", exempt,
                        "none that the probe sends by: nothing would be refused that sending_probe_nobody_at proves",
                        "leave one of them out")


def _files_of_mailboxes(reader: Reader, value: t.Any, files: Files | None) -> None:
    """A relative path is the playbook's to a module, and nobody's in an inventory."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        imap = item.get("imap") if isinstance(item, dict) else None
        if isinstance(imap, dict):
            path = f"sending_probe_mailboxes[{index}].imap"
            check_file(reader, imap.get("password_file"), f"{path}.password_file", PASSWORD, files)
            check_file(reader, imap.get("ca_file"), f"{path}.ca_file", AUTHORITY, files)
