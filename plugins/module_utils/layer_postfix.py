# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer ``postfix``: everything of a server's Postfix that belongs neither to the milter nor to a provider.

What may be said here is in postconf(5); a layer is plain data, which ``postfix_config`` validates and installs.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.agent_settings import suppression
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import (
    PROBE_LOGIN,
    Address,
    Fleet,
    Server,
    probe_sender,
)

LOOPBACK = "127.0.0.0/8 [::1]/128"
# Where lanes hand in their notices: Postfix takes port 25 of its host for itself, and would see a loop. It is there
# without lanes as well, since one that is no longer wanted delivers what it has, and has notices of that.
LANES_PORT = 10026
SNAKEOIL = ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key")
# The name of the certificate that the inventory gives a server.
CERTIFICATE = "smtpd"

# A relay that must break a line or convert a body does so after we signed it, and the signature dies (RFC 6376 5.3).
LONG_LINE = (
    "REJECT 5.6.0 a line is longer than 998 octets (RFC 5322 2.1.1): send the body as quoted-printable or base64"
)
# With a milter Postfix cuts a header field at 60000 octets, and the rest is lost without a word. It may have made the
# field longer before, where it completes addresses.
LONG_FIELD = "REJECT 5.6.0 a header field is longer than 50000 octets: make it shorter"
# NUL ends a text for the milter and not for receivers: what is signed would not be what they get (RFC 5322 4).
NUL = "\\0"
EIGHT_BIT = "REJECT 5.6.3 8-bit content cannot be signed safely by this server: send it as quoted-printable or base64"


def postfix_layer(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """The layer of one server.

    :arg fleet: the whole fleet: what its logins and networks may send does not differ between servers.
    :arg server: the server.
    :returns: parameters, services, tables and certificates, as ``postfix_config`` takes them.
    """
    layer: dict[str, t.Any] = {"parameters": {}, "services": {}, "tables": {}, "certificates": {}}
    for part in (
        _identity(fleet, server),
        _inbound(fleet, server),
        _tls(server),
        _final_form(fleet),
        _outbound(server),
        _submission(fleet, server),
    ):
        for kind, content in part.items():
            layer[kind].update(content)
    return layer


def _identity(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    # Where there is an agent, the layer ``bounces`` has the bounce domains.
    bounces = [d.bounce_domain for d in fleet.domains if d.bounce_domain and not fleet.agent]
    mine = [server.hostname, "localhost", *bounces]
    # A server may be called as a domain is, whose mailboxes are elsewhere: mail to it must not end here.
    mine = [name for name in dict.fromkeys(mine) if name not in {domain.name for domain in fleet.domains}]
    return {
        "parameters": {
            "compatibility_level": "3.6",
            "myhostname": server.hostname,
            # Local mail (cron, our own notices) is from a domain that has a key, so that it is signed too.
            "myorigin": fleet.domains[0].name,
            "mydestination": ", ".join(mine),
            "inet_interfaces": "all",
            "inet_protocols": "all" if server.first(6) and server.first(4) else "ipv6" if server.first(6) else "ipv4",
            "append_dot_mydomain": "no",
            "biff": "no",
            "recipient_delimiter": "+",
            "smtputf8_enable": "no",
            "message_size_limit": str(fleet.message_size),
            "mailbox_size_limit": "0",
            "smtpd_banner": "$myhostname ESMTP",
            "disable_vrfy_command": "yes",
            # Debian's default on both: the journal has what Postfix says, with everything else that the server does.
            "maillog_file": "",
            "smtpd_forbid_bare_newline": "normalize",
            # An application may pass on what strangers wrote: its networks are no exception.
            "smtpd_forbid_bare_newline_exclusions": "",
            # A stranger who asks for a notice of success would make us sign one to whom he likes (RFC 3461).
            "smtpd_discard_ehlo_keywords": "dsn",
        }
    }


def _inbound(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """Port 25: mail for the fleet's own names; loopback and the listed networks relay, each with its domains."""
    rules = []
    parameters = {
        "mynetworks": " ".join([LOOPBACK, *(_postfix_network(n.network) for n in fleet.networks)]),
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
        "smtpd_recipient_restrictions": suppression(fleet),
        # Who relays nothing is nobody's sender: bounces of a network's own servers come with none.
        "smtpd_sender_restrictions": "permit_auth_destination, check_client_access {table:networks}",
        # A domain of ours does not stand for its sub-domains: those may have other owners.
        "parent_domain_matches_subdomains": "",
        "mailfleet_loopback": "check_sender_access {table:senders_loopback}, reject",
    }
    tables = {"senders_loopback": {"type": "hash", "entries": [["<>", "OK"], *_senders(fleet.mail_domains)]}}
    classes = ["mailfleet_loopback"]
    for index, network in enumerate(fleet.networks):
        name = f"mailfleet_network_{index}"
        classes.append(name)
        parameters[name] = f"check_sender_access {{table:senders_network_{index}}}, reject"
        tables[f"senders_network_{index}"] = {"type": "hash", "entries": _senders(fleet.with_bounces(network.domains))}
        rules.append([network.network, name])
    rules += [[network, "mailfleet_loopback"] for network in ("127.0.0.0/8", "::1/128")]
    # The first match counts, so the narrowest comes first, as for the policy that judges From.
    entries = sorted(rules, key=lambda rule: -ipaddress.ip_network(rule[0]).prefixlen)
    parameters["smtpd_restriction_classes"] = ", ".join(classes)
    tables["networks"] = {"type": "cidr", "entries": entries}
    services = {f"{for_lanes(server)}/inet": service("smtpd", private="n", chroot="y")}
    return {"parameters": parameters, "tables": tables, "services": services}


def for_lanes(server: Server) -> str:
    """Where the main Postfix takes notices of lanes, under the rules of loopback; never port 25, see LANES_PORT."""
    return f"{'127.0.0.1' if server.first(4) else '[::1]'}:{LANES_PORT}"


def _tls(server: Server) -> dict[str, t.Any]:
    """TLS in and out; without a certificate of the inventory's, Debian's self-made one."""
    given = bool(server.tls_certificate)
    certificate, key = ("", "") if given else SNAKEOIL
    parameters = {
        # Where it has something, Postfix ignores the two below, and says so in its log where they have something, too.
        "smtpd_tls_chain_files": f"{{certificate:{CERTIFICATE}}}" if given else "",
        "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key,
        "smtpd_tls_security_level": "may",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_loglevel": "1",
        "smtp_tls_security_level": "may",
        "smtp_tls_CApath": "/etc/ssl/certs",
        # Debian 13 names the same authorities once more, in one file.
        "smtp_tls_CAfile": "",
        "smtp_tls_loglevel": "1",
    }
    pair = {"certificate": server.tls_certificate, "key": server.tls_key}
    return {"parameters": parameters, "certificates": {CERTIFICATE: pair} if given else {}}


def _final_form(fleet: Fleet) -> dict[str, t.Any]:
    """Mail gets the form that it keeps before the milter signs it, or is refused where this Postfix cannot give it."""
    return {
        "parameters": {
            "force_mime_input_conversion": {"value": "yes", "since": "3.9"},
            "mime_header_checks": {"value": "{table:eight_bit}, $header_checks", "before": "3.9"},
            # A map, if there is one, replaces the list of keywords.
            "smtpd_discard_ehlo_keyword_address_maps": {"value": "static:{dsn, 8bitmime}", "before": "3.9"},
            "strict_7bit_headers": "yes",
            "strict_8bitmime_body": "yes",
            "message_reject_characters": NUL,
            "header_size_limit": "60000",
            "header_checks": "{table:long_lines}, {table:long_fields}",
            "body_checks": "{table:long_lines}",
            "body_checks_size_limit": str(fleet.message_size),
        },
        # A pattern matches whatever the case and over line breaks; a flag switches that off (pcre_table(5)).
        "tables": {
            "long_lines": {"type": "pcre", "entries": [["/[^\\n]{999}/", LONG_LINE]]},
            "long_fields": {"type": "pcre", "entries": [["/.{50000}/", LONG_FIELD]]},
            "eight_bit": {"type": "pcre", "entries": [["/^Content-Transfer-Encoding:\\s*(8bit|binary)/", EIGHT_BIT]]},
        },
    }


def _outbound(server: Server) -> dict[str, t.Any]:
    """Ordinary mail leaves by the first address of each family; each address has a transport of its own besides."""
    parameters = {
        "relayhost": "",
        "transport_maps": "{table:transport}",
        "smtp_helo_name": server.hostname,
        # Without it a missing address means the wrong source address and a line in the log (postconf(5)).
        "smtp_bind_address_enforce": "yes",
    }
    for family, parameter in ((4, "smtp_bind_address"), (6, "smtp_bind_address6")):
        address = server.first(family)
        parameters[parameter] = address.bind if address else ""
    return {
        "parameters": parameters,
        "services": {f"{address.transport}/unix": _transport(address) for address in server.addresses},
        "tables": {"transport": {"type": "hash", "entries": []}},
    }


def _transport(address: Address) -> dict[str, t.Any]:
    return service(
        "smtp",
        options={
            "syslog_name": f"postfix/{address.transport}",
            "inet_protocols": "ipv4" if address.family == 4 else "ipv6",
            "smtp_bind_address": address.bind if address.family == 4 else "",
            "smtp_bind_address6": address.bind if address.family == 6 else "",
            "smtp_helo_name": address.helo,
        },
    )


def _submission(fleet: Fleet, server: Server) -> dict[str, t.Any]:
    """Port 587: TLS and a login, and nobody else; a login may use its own domains as MAIL FROM and no other."""
    if not server.submission:
        return {}
    owners: dict[str, list[str]] = {}
    for user in fleet.users:
        for name in fleet.with_bounces(user.domains):
            owners.setdefault(name, []).append(user.name)
    entries = [["@" + name, ",".join([*owners.get(name, []), PROBE_LOGIN])] for name in fleet.mail_domains]
    # A probe says in its return path which address it wants to leave from: only the probe's login may. Postfix looks
    # an owner up with and without the extension, so that one entry a domain reserves all of them.
    entries += [[f"{PROBE_LOGIN}@{domain.mail_from}", PROBE_LOGIN] for domain in fleet.domains]
    filters = [
        [probe_sender(address.transport, domain.mail_from), f"FILTER {address.transport}:"]
        for domain in fleet.domains
        for address in server.addresses
    ]
    options = {
        "syslog_name": "postfix/submission",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_client_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_sender_restrictions": "reject_sender_login_mismatch, check_sender_access {table:probe_paths}",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_recipient_restrictions": suppression(fleet),
        "milter_macro_daemon_name": "ORIGINATING",
    }
    return {
        "parameters": {
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": "private/auth",
            "smtpd_sasl_auth_enable": "no",
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_sender_login_maps": "{table:logins}",
        },
        "services": {"submission/inet": service("smtpd", private="n", chroot="y", options=options)},
        "tables": {"logins": {"type": "hash", "entries": entries}, "probe_paths": {"type": "hash", "entries": filters}},
    }


def service(
    command: str,
    private: str = "-",
    chroot: str = "-",
    maxproc: str = "-",
    options: dict[str, str] | None = None,
    wakeup: str = "-",
) -> dict[str, t.Any]:
    """One line of master.cf (master(5)); ``-`` leaves a field to its default."""
    return {
        "private": private,
        "unprivileged": "-",
        "chroot": chroot,
        "wakeup": wakeup,
        "maxproc": maxproc,
        "command": command,
        "options": options or {},
    }


def _senders(domains: tuple[str, ...]) -> list[list[str]]:
    """Entries of access(5) that let these domains through, but never a probe's return path."""
    return [[name, "OK"] for name in domains]


def _postfix_network(network: str) -> str:
    """A network as mynetworks wants it: IPv6 in brackets."""
    address, slash, length = network.partition("/")
    return f"[{address}]{slash}{length}" if ":" in network else network
