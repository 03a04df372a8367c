# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of the inventory's variables: which ones there are, and which must be the same on every host."""

from __future__ import annotations

import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import Reader

GROUP = "sending_servers"
OURS = "sending_"  # what all names of the role begin with
OF_HOST = ("sending_addresses", "sending_submission", "sending_tls_certificate", "sending_tls_key")
FLEET_WIDE = (
    "sending_tls_ca",
    "sending_domains",
    "sending_providers",
    "sending_pools",
    "sending_recipient_domains",
    "sending_networks",
    "sending_users",
    "sending_zones",
    "sending_dns_resolvers",
    "sending_dns_authoritative",
    "sending_dns_adopt",
    "sending_dns_ttl",
    "sending_dns_wait",
    "sending_dkim_scope",
    "sending_dkim_selector",
    "sending_dkim_bits",
    "sending_unsigned",
    "sending_message_size",
    "sending_agent",
    "sending_agent_secrets",
    "sending_probe_mailboxes",
    "sending_probe_nobody_at",
    "sending_probe_wait",
    "sending_state",
    "sending_secrets",
    "sending_blocklists",
    "sending_ptr_is_helo",
    "sending_observe_logs",
    "sending_verify_deployed",
    "sending_verify_matrix",
    "sending_verify_report",
    "sending_plan_report",
    "sending_report",
    "sending_log_since",
    "sending_log_report",
)
# What the role's own tasks register, which from then on stands among the variables of hosts.
REGISTERED = (
    "sending_bounces",
    "sending_checked",
    "sending_deployed",
    "sending_deployed_tokens",
    "sending_desired",
    "sending_dkim",
    "sending_fleet_keys",
    "sending_log",
    "sending_log_told",
    "sending_probe",
    "sending_ptr",
    "sending_published",
    "sending_removed",
    "sending_server",
    "sending_server_keys",
    "sending_signing",
    "sending_spf",
    "sending_verified",
)


def check_names(reader: Reader, hosts: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
    """Check what the variables of the hosts are called, and that those of the fleet are the same on all of them.

    :arg reader: takes note of the mistakes.
    :arg hosts: for each host of the group all its variables, as the inventory has them: templates are not filled in.
    """
    for name in FLEET_WIDE:
        first = next((host for host in hosts if name in hosts[host]), None)
        other = next((host for host in hosts if first and hosts[host].get(name) != hosts[first].get(name)), None)
        if other:
            # The records would depend on who is asked.
            expected = f"the value that {first} has"
            reader.note(f"{other}: {name}", "<a value of its own>", expected, f"set it once, in group_vars/{GROUP}.yml")
    known = (*OF_HOST, *FLEET_WIDE)
    unknown = dict.fromkeys(name for variables in hosts.values() for name in variables if name.startswith(OURS))
    for name in unknown:
        if name in known or name in REGISTERED:
            continue
        having = [host for host in hosts if name in hosts[host]]
        path = name if len(having) == len(hosts) else f"{having[0]}: {name}"
        mend = nearest(name, known, OURS) or f"call it otherwise: names that begin with {OURS} are the role's"
        reader.note(path, "<an unknown variable>", "a variable of the role mailfleet.sending.sending", mend)
