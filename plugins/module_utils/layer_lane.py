# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lane: a Postfix of its own for one provider, where that provider's mail waits, and nobody else's behind it.

The main Postfix accepts, signs and passes on at once; so its queue never fills, however long a provider lets wait. In a
lane all mail has one provider, so the sender alone decides from which pool it leaves. Both Postfix are the same
programs of the same package; what is said here is in MULTI_INSTANCE_README and postconf(5).
"""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Fleet, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import for_lanes, service
from ansible_collections.mailfleet.sending.plugins.module_utils.pools import REST, Member, senders, spread
from ansible_collections.mailfleet.sending.plugins.module_utils.shaping import Lane
from ansible_collections.mailfleet.sending.plugins.module_utils.warmup import WAITING

PORT = 10025
# What the main Postfix shows a lane to be let in; the node makes it, and nobody but root can read it.
IDENTITY = "/var/lib/mailfleet/lanes/identity.pem"
FINGERPRINT = "{lane:fingerprint}"
# The folder of the tables by which addresses that are warmed up are shut; a program on the node writes them.
GATES = "/var/lib/mailfleet/warmup"
# How many messages a provider with one connection may refuse in a row before all of its mail waits for a while: with
# Postfix' default of 1 a single 421 does it.
PATIENCE = "10"
# Whatever a lane has to say of its mail goes to the main Postfix, which signs it and knows the way: a lane knows that
# to its provider and no other. cleanup(8) has it so (FILTER), since by its recipient no notice can be told from mail.
BACK = "back"
NOTICES = "notices"


def instance(provider: str) -> str:
    """The name of a lane's Postfix instance: that of its folders in /etc, /var/spool and /var/lib, and in the log."""
    return f"postfix-{provider}"


def place(provider: str) -> str:
    """The loopback address that a lane listens on: of its own, and the same whatever other lanes there are."""
    digest = hashlib.sha256(provider.encode()).digest()
    return f"127.{64 + digest[0] % 64}.{digest[1]}.{1 + digest[2] % 254}"


def lane_layer(fleet: Fleet, server: Server, lane: Lane) -> dict[str, t.Any]:
    """The whole configuration of a lane, as a layer.

    :arg fleet: the fleet, whose pools and senders the lane knows.
    :arg server: the server.
    :arg lane: its shares.
    :returns: parameters, services and tables, as ``postfix_config`` takes them.
    :raises ValueError: where weights need more entries than a table should have.
    """
    name = instance(lane.provider.name)
    outlets = [(share.member, share.names) for share in lane.shares]
    # Where connections are kept, all mail has one next hop.
    kept = any(share.messages > 1 for share in lane.shares)
    nexthop = lane.provider.nexthop if kept else ""
    gates = {member["pool"]: gate_of(lane.provider.name) for member in warming(lane)["members"]}
    routes, tables = sender_routes(fleet, outlets, nexthop, gates)
    parameters = {
        "myhostname": server.hostname,
        # A notice is from a domain that has a key, as the main Postfix' are: the milter refuses others.
        "myorigin": fleet.domains[0].name,
        "inet_interfaces": "loopback-only",
        "inet_protocols": "all",
        **_taking(fleet),
        **_leaving(lane, routes),
    }
    if gates:
        # What the table does not know must not leave from anywhere.
        parameters["default_transport"] = WAITING
    # One field that each has, lest each field be logged.
    tables[NOTICES] = {"type": "pcre", "entries": [["/^From:/", f"FILTER {BACK}:{_next_hop(server)}"]]}
    services = _machinery(lane.provider.name)
    for share in lane.shares:
        for each in share.names:
            services[f"{each}/unix"] = delivery(
                share.member, lane.provider.family, str(share.processes or "-"), share.messages, f"{name}/{each}"
            )
            parameters[f"{each}_destination_concurrency_failed_cohort_limit"] = PATIENCE
            if share.pause:
                parameters[f"{each}_transport_rate_delay"] = f"{share.pause}s"
            elif share.processes:
                parameters[f"{each}_destination_concurrency_limit"] = str(share.processes)
                parameters[f"{each}_initial_destination_concurrency"] = str(min(share.processes, 5))
            if share.member.warming:
                # Each recipient is counted, so each has a delivery of its own, and its pause.
                parameters[f"{each}_destination_recipient_limit"] = "1"
            elif lane.provider.recipients:
                parameters[f"{each}_destination_recipient_limit"] = str(lane.provider.recipients)
    return {"parameters": parameters, "services": services, "tables": tables}


def gate_of(provider: str) -> str:
    """The table of a lane by which addresses that are warmed up are shut."""
    return f"hash:{GATES}/{provider}/gate"


def _next_hop(server: Server) -> str:
    """The main Postfix, as transport(5) writes a place."""
    host, _colon, port = for_lanes(server).rpartition(":")
    return f"[{host.strip('[]')}]:{port}"


def warming(lane: Lane) -> dict[str, t.Any]:
    """What the program on the node has to know of a lane.

    :returns: the ``nexthop`` of all mail, empty for the domain of each recipient, and the ``members`` of pools of which
        one warms up at least, as ``warmup.gate`` takes them; none where no address does.
    """
    pools = {share.member.pool for share in lane.shares if share.member.warming}
    kept = any(share.messages > 1 for share in lane.shares)
    members = [
        {
            "pool": share.member.pool,
            "service": share.member.service,
            "services": list(share.names),
            "weight": share.member.weight,
            "warmups": [
                {"address": address.address, "start": str(address.warmup.start), "caps": list(address.warmup.caps)}
                for address in share.member.warming if address.warmup
            ],
        }
        for share in lane.shares if share.member.pool in pools
    ]
    return {"nexthop": lane.provider.nexthop if kept else "", "members": members}


def sender_routes(
    fleet: Fleet,
    outlets: t.Sequence[tuple[Member, t.Sequence[str]]],
    nexthop: str = "",
    gates: t.Mapping[str, str] | None = None,
) -> tuple[list[str], dict[str, t.Any]]:
    """Maps that lead a sender to one of the services of its pool, at random by their weights.

    :arg outlets: the members, each with its delivery services.
    :arg nexthop: where all mail goes; empty for the domain of each recipient.
    :arg gates: for pools of which an address warms up the table that makes a result of what was chosen.
    :returns: the maps, of which one at the most knows a sender, and the tables that they need.
    """
    maps, tables = [], {}
    for pool, names in senders(fleet).items():
        weights = [(member.weight, services) for member, services in outlets if member.pool == pool]
        if not weights or not names:
            continue
        gate = f", {gates[pool]}" if gates and pool in gates else ""
        chosen = ", ".join(name if gate else f"{name}:{nexthop}" for name in spread(weights))
        maps.append(f"pipemap:{{{{table:pool_{pool}}}, randmap:{{{chosen}}}{gate}}}")
        # Our own notices have no sender.
        entries = [[name if "@" in name else f"@{name}", pool] for name in names]
        entries += [["<>", pool]] if pool == REST else []
        tables[f"pool_{pool}"] = {"type": "hash", "entries": entries}
    return maps, tables


def _taking(fleet: Fleet) -> dict[str, str]:
    """From the main Postfix and from nobody else; what comes is signed, so nothing of it is changed any more."""
    return {
        "mydestination": "",
        "mynetworks": "",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "local_header_rewrite_clients": "",
        "receive_override_options": "no_address_mappings, no_header_body_checks",
        "smtpd_banner": "$myhostname ESMTP",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": IDENTITY,
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_fingerprint_digest": "sha256",
        "relay_clientcerts": f"inline:{{{{{FINGERPRINT} = main}}}}",
        "smtpd_client_restrictions": "permit_tls_clientcerts, reject",
        "smtpd_relay_restrictions": "permit_tls_clientcerts, reject",
        "smtpd_recipient_restrictions": "",
        # The main Postfix counts connections; here they are all its own.
        "smtpd_client_connection_count_limit": "0",
        "smtpd_forbid_bare_newline": "normalize",
        "smtputf8_enable": "no",
        "message_size_limit": str(fleet.message_size + 65536),
        "header_size_limit": "60000",
        "in_flow_delay": "0",
    }


def _leaving(lane: Lane, routes: t.Sequence[str]) -> dict[str, str]:
    return {
        "relayhost": "",
        # So that the checks of headers see notices.
        "internal_mail_filter_classes": "bounce",
        "sender_dependent_default_transport_maps": ", ".join(routes),
        "default_transport": lane.shares[0].names[0],
        "smtp_bind_address_enforce": "yes",
        "smtp_tls_security_level": lane.provider.tls or "may",
        "smtp_tls_CApath": "/etc/ssl/certs",
        "smtp_tls_loglevel": "1",
        # The provider counts a connection until it has seen its end.
        "smtp_skip_quit_response": "no",
    }


def _machinery(provider: str) -> dict[str, t.Any]:
    """What every Postfix has besides its delivery services; not local: nothing ends here.

    Nothing begins here either, but ``postqueue -f`` takes a Postfix without pickup for one that is down.
    """
    return {
        f"{place(provider)}:{PORT}/inet": service("smtpd", private="n"),
        "pickup/unix": service("pickup", private="n", wakeup="60", maxproc="1"),
        "cleanup/unix": service("cleanup", private="n", maxproc="0"),
        "qmgr/unix": service("qmgr", private="n", wakeup="300", maxproc="1"),
        "tlsmgr/unix": service("tlsmgr", wakeup="1000?", maxproc="1"),
        "tlsproxy/unix": service("tlsproxy", maxproc="0"),
        "rewrite/unix": service("trivial-rewrite"),
        **{f"{name}/unix": service("bounce", maxproc="0", options={"cleanup_service_name": NOTICES})
           for name in ("bounce", "defer", "trace")},
        f"{NOTICES}/unix": service("cleanup", private="n", maxproc="0",
                                   options={"header_checks": f"{{table:{NOTICES}}}", "nested_header_checks": "",
                                            "mime_header_checks": ""}),
        "verify/unix": service("verify", maxproc="1"),
        "flush/unix": service("flush", private="n", wakeup="1000?", maxproc="0"),
        "proxymap/unix": service("proxymap"),
        "showq/unix": service("showq", private="n"),
        "error/unix": service("error"),
        "retry/unix": service("error"),
        "anvil/unix": service("anvil", maxproc="1"),
        "scache/unix": service("scache", maxproc="1"),
        "postlog/unix-dgram": service("postlogd", private="n", maxproc="1"),
        f"{BACK}/unix": service("smtp", options={"smtp_tls_security_level": "none"}),
    }


def delivery(member: Member, family: int, maxproc: str, messages: int, log: str) -> dict[str, t.Any]:
    """A delivery service that sends from a member's addresses, and from no other.

    :arg family: 4 or 6 where only that one is used, else 0.
    :arg maxproc: how many deliveries at a time, as master(5) has it.
    :arg messages: how many messages one connection may carry.
    :arg log: the service's name in the log.
    """
    four, six = (member.address(each) if family in (0, each) else None for each in (4, 6))
    keep = "yes" if messages > 1 else "no"
    options = {
        "syslog_name": log,
        "inet_protocols": "all" if four and six else "ipv6" if six else "ipv4",
        "smtp_bind_address": four.bind if four else "",
        "smtp_bind_address6": six.bind if six else "",
        "smtp_helo_name": member.helo,
        "smtp_connection_cache_on_demand": "no",
        "smtp_tls_connection_reuse": keep,
    }
    if messages > 1:
        # Postfix counts how often a connection is used again (measured).
        options["smtp_connection_reuse_count_limit"] = str(messages - 1)
        # Always, not on demand: after a lull Postfix would forget that connections are kept, and open others beside
        # them (measured: twice as many as there are processes).
        options["smtp_connection_cache_destinations"] = "static:all"
    return service("smtp", maxproc=maxproc, options=options)
