# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer ``bounces``: what comes back is taken in for the agent, and nothing else is at the bounce domains.

A message is delivered by local(8) to a Maildir, as a user whose number nobody has to know beforehand: what virtual(8)
wants to know of it only the server can tell.
The null sender and whoever asks whether a return path can be mailed (RFC 5321 4.5.5) meet no rule but that of the
recipient's form.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import ALWAYS, MAILDIR, SPOOL, USER
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import PROBE_LOGIN, Fleet, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import service

SERVICE = "bounces"
# Whoever may send may have Postfix make return paths, and not clients of mynetworks alone: a login is no network.
XVERP = {"smtpd_authorized_verp_clients": "static:all", "default_verp_delimiters": "+="}
# The program prints it: `mailfleet token pattern`.
TOKEN = r"/^b\+[a-z2-7]{26}@/"
UNSIGNED = r"/^{}\+[^@]+=[a-z0-9.-]+@/"
# Octets of the queue's file system, on which the spool is as well: with less than that free, Postfix has whoever sends
# try again (452), so that a flood that nobody works off fills no disk. Its own bound is 1.5 times message_size_limit.
SPARE = 256 << 20


# What mail of ours has to be before it is signed (layer ``postfix``), a notice of somebody else's need not be.
AS_IT_CAME = {
    "strict_7bit_headers": "no",
    "strict_8bitmime_body": "no",
    "message_reject_characters": "",
    "header_checks": "",
    "mime_header_checks": "",
    "nested_header_checks": "",
    "body_checks": "",
}


def bounces_layer(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """The layer of one server; empty where the fleet has no agent."""
    if not fleet.agent:
        return {}
    domains = [domain.bounce_domain for domain in fleet.domains if domain.bounce_domain]
    names = [*ALWAYS, *fleet.agent.feedback]
    # A probe's return path takes mail too: who looks whether it does (a sender callout) shall not refuse the probe.
    known = [TOKEN, rf"/^{PROBE_LOGIN}\+[a-z0-9_-]+@/", *(f"/^{re.escape(name)}@/" for name in names)]
    unsigned = [fleet.agent.unsigned] if fleet.agent.unsigned else []
    known += [UNSIGNED.format(re.escape(name)) for name in unsigned]
    aliases = ", ".join(f"{name}={SPOOL}/{MAILDIR}/" for name in ("b", PROBE_LOGIN, *names, *unsigned))
    options = {
        "alias_maps": f"inline:{{{aliases}}}",
        # What an alias of root's leads to is written as this user (local(8), "delivery rights").
        "default_privs": USER,
        "allow_mail_to_files": "alias",
        "allow_mail_to_commands": "",
    }
    return {
        "parameters": {
            "virtual_mailbox_domains": ", ".join(domains),
            "virtual_mailbox_maps": "{table:return_paths}",
            "virtual_transport": f"{SERVICE}:",
            f"{SERVICE}_destination_recipient_limit": "1",
            "queue_minfree": str(SPARE),
            # Who is asked about a recipient is to see the address that the mail then goes to.
            "allow_percent_hack": "no",
            "swap_bangpath": "no",
            # sendmail(1) hands mail in without SMTP, where nobody is asked.
            "authorized_submit_users": ", ".join(fleet.agent.sendmail) or "!static:all",
            **(XVERP if unsigned else {}),
        },
        "services": {
            f"{SERVICE}/unix": {**service("local", chroot="n", options=options), "unprivileged": "n"},
            **_listeners(fleet, server),
        },
        "tables": {"return_paths": {"type": "pcre", "entries": [[pattern, "OK"] for pattern in known]}},
    }


def _listeners(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """Port 25 parted: what comes from outside is taken as it is, and goes nowhere but to this server's own names.

    cleanup(8) judges the form of a message and knows nothing of who brings it, so each side has one of its own. Where
    networks send through port 25, their mail comes to the same addresses, and all has to have the form of theirs.
    """
    if fleet.networks:
        return {}
    outside = {
        "cleanup_service_name": "as-it-came",
        # The null sender meets the form of its recipient, and no rule that an operator's main.cf has for other mail.
        "smtpd_relay_restrictions": "reject_unauth_destination",
        **{f"smtpd_{step}_restrictions": "" for step in
           ("client", "helo", "sender", "recipient", "data", "end_of_data")},
        # Postfix before 3.9 hides 8BITMIME from applications, whose mail it cannot convert.
        "smtpd_discard_ehlo_keyword_address_maps": "",
        # Nothing of it is ours to sign.
        "smtpd_milters": "",
    }
    loopback = {4: "127.0.0.1", 6: "::1"}
    families = [family for family in loopback if server.first(family)]
    places = {loopback[family]: {} for family in families}
    places |= {address.bind: outside for address in server.addresses}
    return {
        "smtp/inet": None,
        **{f"{f'[{place}]' if ':' in place else place}:smtp/inet": service("smtpd", "n", chroot="y", options=options)
           for place, options in places.items()},
        "as-it-came/unix": service("cleanup", "n", chroot="y", maxproc="0", options=AS_IT_CAME),
    }
