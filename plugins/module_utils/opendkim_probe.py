# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that a running OpenDKIM does what a policy says: a message to the milter for everything that it promises."""
from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import dkim_signature, milter_client
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_keys import Public
from ansible_collections.mailfleet.sending.plugins.module_utils.milter_client import Message, MilterError, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import (
    ANY,
    SENDER,
    SENDER_MACRO,
    Policy,
    Signing,
    owner_of,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.programs import Programs

FOREIGN = "foreign.invalid"
_BODY = b"A probe of the signing milter.\r\n \r\n\r\n"


@dataclass(frozen=True)
class Probe:
    """A message and what must come of it: C(signing) for a signature, else C(action) and how its C(reply) begins."""

    about: str
    message: Message
    action: str
    reply: str = ""
    signing: Signing | None = None


def probes(policy: Policy) -> list[Probe]:
    """Return the probes of a policy: every domain, a foreign one, and the first user that is not allowed everything."""
    found = [_probe(f"From {entry.domain}", entry.domain, "accept", signing=entry) for entry in policy.signing]
    found += [_probe(f"From {domain}, whose key is not seen yet", domain, "tempfail", "451 4.7.5")
              for domain in policy.deferred]
    found += [_probe(f"From {domain}, allowed unsigned", domain, "accept") for domain in policy.unsigned]
    found += [_probe(f"From this server's own {name}", name, "accept",
                     signing=_signing(policy, name)) for name in policy.notices if _signing(policy, name)]
    found.append(_probe("From a domain that is not ours", FOREIGN, "reject", "550 5.7.1"))
    found.append(_probe("From with two addresses", f"{FOREIGN}>, <probe@{FOREIGN}", "reject", "550 5.7.1"))
    for login, domain in _strangers(policy, policy.logins)[:1]:
        found.append(_probe(f"login {login} with From {domain}", domain, "reject", "550 5.7.1", login=login))
    networks = {name: domains for name, domains in policy.networks.items() if not _inside(name, policy)}
    for network, domain in _strangers(policy, networks)[:1]:
        client = str(ipaddress.ip_network(network)[0])
        found.append(_probe(f"client {client} with From {domain}", domain, "reject", "550 5.7.1", client=client))
    return found


def send(run: Programs, found: list[Probe], publics: Mapping[str, Public], path: str, seconds: float = 10
         ) -> list[str]:
    """Send each probe to the milter at a unix socket; return what did not come out as promised, a line each.

    Arguments: C(run) runs openssl; C(publics) domain to the public half of its key; C(seconds) the
    time limit of a packet.
    Raises: OSError where the socket cannot be reached.
    """
    faults = []
    for probe in found:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            try:
                outcome = milter_client.submit(connection, probe.message)
            except (MilterError, OSError) as error:
                faults.append(f"{probe.about}: the milter gave no answer: {error}")
                continue
        fault = _fault(run, probe, outcome, publics)
        if fault:
            faults.append(f"{probe.about}: {fault}")
    return faults


def _fault(run: Programs, probe: Probe, outcome: Outcome, publics: Mapping[str, Public]) -> str:
    """Return what is wrong with an outcome, or an empty text."""
    said = " ".join(filter(None, [outcome.action, outcome.reply]))
    if outcome.action != probe.action or not outcome.reply.startswith(probe.reply):
        return f"found {said}, expected {' '.join(filter(None, [probe.action, probe.reply]))}"
    signatures = [value for name, value in outcome.headers if name.lower() == "dkim-signature"]
    if len(outcome.headers) != len(signatures) or len(signatures) != (1 if probe.signing else 0):
        names = ", ".join(name for name, _value in outcome.headers) or "no header"
        return f"found {names} added, expected {'one DKIM-Signature' if probe.signing else 'none'}"
    if not probe.signing:
        return ""
    try:
        tags = dkim_signature.verify(
            run, signatures[0], probe.message.headers, probe.message.body, publics[probe.signing.domain])
    except dkim_signature.SignatureFault as fault:
        return str(fault)
    expected = {"d": probe.signing.domain, "s": probe.signing.selector}
    wrong = [f"{name}={tags.get(name)}, expected {text}" for name, text in expected.items() if tags.get(name) != text]
    signed = tags["h"].lower().split(":")
    wrong += [f"h= without {name}" for name, _value in probe.message.headers if name.lower() not in signed]
    if signed.count("from") != 2:
        wrong.append(f"h= with From {signed.count('from')} times, expected once more than it is there")
    return f"found {'; '.join(wrong)}" if wrong else ""


def _probe(about: str, domain: str, action: str, reply: str = "", *, signing: Signing | None = None,
           login: str | None = None, client: str = "127.0.0.1") -> Probe:
    headers = (
        ("From", f'"Probe, of (mailfleet" <probe@{domain}>'),
        ("To", f"<probe@{FOREIGN}>"),
        ("Subject", "Probe of the\n  signing milter"),
        ("Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
        ("Message-ID", f"<probe@{FOREIGN}>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=us-ascii"),
        ("List-Unsubscribe", f"<https://{FOREIGN}/u>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Feedback-ID", "probe:mailfleet"),
    )
    macros = {"i": "PROBE", SENDER_MACRO: SENDER}
    if login is not None:
        macros |= {"{auth_authen}": login, "{auth_type}": "PLAIN"}
    message = Message(headers, _BODY, f"probe@{FOREIGN}", (f"probe@{FOREIGN}",), client, macros=macros)
    return Probe(about, message, action, reply, signing)


def _signing(policy: Policy, name: str) -> Signing | None:
    """Return what signs for a name of ours, None where its domain does not sign."""
    domain = owner_of(name, policy.domains)
    return next((entry for entry in policy.signing if entry.domain == domain), None)


def _strangers(policy: Policy, users: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return (user, domain) for every domain of ours that a user may not use."""
    return [(user, domain) for user, domains in users.items() if ANY not in domains
            for domain in policy.domains if domain not in domains]


def _inside(network: str, policy: Policy) -> bool:
    """Return whether a narrower network holds the first address of a network."""
    wide = ipaddress.ip_network(network)
    return any(other != wide and other.version == wide.version and wide[0] in other and other.subnet_of(wide)
               for other in map(ipaddress.ip_network, policy.networks))
