# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is this an open relay? Postfix's restriction lists walked as a stranger's message would meet them.

Mail is relayed only where every list lets it pass, so a service is safe when one list stops each stranger: before it
comes to a word that stops (reject_unauth_destination and the like), nothing may permit but being known
(SMTPD_ACCESS_README, postconf(5)).
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import Service
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistake, nearest
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View, maps, words

STOP = ("reject", "defer")
STOP_RELAYING = ("reject_unauth_destination", "defer_unauth_destination")
TRUSTED = ("permit_mynetworks", "permit_sasl_authenticated", "permit_tls_clientcerts", "permit_inet_interfaces",
           "permit_auth_destination")
IDENTITY = ("check_client_access", "check_sasl_access", "check_ccert_access")
LISTS = ("client", "helo", "sender", "relay", "recipient")
ACCESS = re.compile(
    r"check_((client|helo|sender|recipient|reverse_client_hostname)(_a|_mx|_ns)?|ccert|sasl|etrn)_access")
WITH_ARGUMENT = re.compile(ACCESS.pattern + r"|check_policy_service|check_address_map|sleep|reject_rbl(_client)?|"
                           r"reject_rhsbl_\w+|permit_dnswl_client|permit_rhswl_client")
WORDS = frozenset(re.findall(r"\w+", """
    permit permit_auth_destination permit_inet_interfaces permit_mx_backup permit_mynetworks permit_naked_ip_address
    permit_sasl_authenticated permit_tls_all_clientcerts permit_tls_clientcerts reject defer defer_if_permit
    defer_if_reject defer_unauth_destination warn_if_reject check_relay_domains check_recipient_maps
    reject_authenticated_sender_login_mismatch reject_invalid_helo_hostname reject_invalid_hostname
    reject_known_sender_login_mismatch reject_maps_rbl reject_multi_recipient_bounce reject_non_fqdn_helo_hostname
    reject_non_fqdn_hostname reject_non_fqdn_recipient reject_non_fqdn_sender reject_plaintext_session
    reject_sender_login_mismatch reject_unauth_destination reject_unauth_pipelining
    reject_unauthenticated_sender_login_mismatch reject_unknown_address reject_unknown_client
    reject_unknown_client_hostname reject_unknown_helo_hostname reject_unknown_hostname
    reject_unknown_recipient_domain reject_unknown_reverse_client_hostname reject_unknown_sender_domain
    reject_unlisted_recipient reject_unlisted_sender reject_unverified_recipient reject_unverified_sender
    """))
# No provider has a network this wide; a list that holds one trusts strangers.
WIDEST = {4: 8, 6: 16}


def relay_mistakes(view: View) -> list[Mistake]:
    """Check that no service relays for strangers.

    :arg view: the configuration, foreign settings included.
    :returns: a mistake for each network list and service that would make an open relay.
    """
    found = _network_mistakes(view)
    for name in ("relay_domains", "mydestination", "virtual_alias_domains", "virtual_mailbox_domains"):
        if any(kind == "static" for kind, dummy in maps(view.value(name))):
            found.append(Mistake(view.place(name), view.value(name), "a list of domains",
                                 "static: takes every domain for ours, which is an open relay"))
    for key, service in view.smtpd().items():
        if not any(_stops(view, service, f"smtpd_{name}_restrictions", name) for name in LISTS):
            relay = view.value("smtpd_relay_restrictions", service)
            layer = view.source.get(f"services.{key}")
            found.append(Mistake(
                f"layers.{layer}.services.{key}" if layer else f"master.cf {key}",
                f"smtpd_relay_restrictions = {relay or '(empty)'}", "no open relay",
                "put reject_unauth_destination behind permit_mynetworks and permit_sasl_authenticated, before anything "
                "else that can permit",
            ))
    return found


def word_mistakes(view: View) -> list[Mistake]:
    """Check our restriction lists for words that smtpd(8) does not know: it would answer each client with 451.

    :arg view: the configuration.
    :returns: a mistake for each unknown word, with the nearest right one.
    """
    classes = view.words("smtpd_restriction_classes")
    found = []
    for path, name, value in view.ours():
        if not re.fullmatch(r"smtpd_\w+_restrictions", name) and name not in classes:
            continue
        for word, _argument in _pairs(words(value)):
            if word not in WORDS and word not in classes and not WITH_ARGUMENT.fullmatch(word) and ":" not in word:
                found.append(Mistake(path, word, "a restriction of smtpd", nearest(word, [*WORDS, *classes])))
    return found


def _network_mistakes(view: View) -> list[Mistake]:
    found = []
    for word in view.words("mynetworks"):
        kind, colon, rest = word.partition(":")
        table = view.tables.get(word)
        networks = [key for key, dummy in table.entries] if table else [re.sub(r"[][]", "", word)]
        for network in networks:
            try:
                net = ipaddress.ip_network(network, strict=False)
            except ValueError:
                continue
            if net.prefixlen < WIDEST[net.version]:
                found.append(Mistake(view.place("mynetworks"), str(net), "networks of known senders",
                                     "this trusts strangers, which is an open relay"))
        if kind == "static" and colon:
            found.append(Mistake(view.place("mynetworks"), word, "networks of known senders", f"leave {word} out"))
    return found


def _pairs(parts: list[str]) -> t.Iterator[tuple[str, str]]:
    """Yield each word of a restriction list with its argument."""
    rest = iter(parts)
    for word in rest:
        if word.startswith("{"):
            word, *argument = words(word.strip("{} "))
            yield word, " ".join(argument)
        else:
            yield word, next(rest, "") if WITH_ARGUMENT.fullmatch(word) else ""


def _stops(view: View, service: Service, parameter: str, name: str) -> bool:
    """Whether a list stops each stranger's attempt to relay."""
    return _walk(view, service, view.words(parameter, service), name) == "stop"


def _walk(view: View, service: Service, parts: list[str], name: str, depth: int = 0) -> str:
    """Return how a list ends for a stranger: ``stop``, ``permit`` (some may pass), or ``on`` where it says nothing."""
    only_warned = False
    classes = view.words("smtpd_restriction_classes")
    for word, argument in _pairs(parts):
        if word == "warn_if_reject":
            only_warned = True
            continue
        stops = word in STOP or (word in STOP_RELAYING and name in ("relay", "recipient"))
        if stops and not only_warned:
            return "stop"
        only_warned = False
        if word in classes and depth < 10:
            end = _walk(view, service, view.words(word, service), name, depth + 1)
        else:
            end = "permit" if _may_permit(view, word, argument, classes) else "on"
        if end != "on":
            return end
    return "on"


def _may_permit(view: View, word: str, argument: str, classes: list[str]) -> bool:
    """Whether a restriction can let a stranger pass."""
    if word in TRUSTED or word in IDENTITY:
        return False
    if ACCESS.fullmatch(word):
        table = view.tables.get(argument)
        if not table:
            return True
        results = [value.split(None, 1)[0].lower() for dummy, value in table.entries if value]
        return any(r in ("ok", "permit") or r.isdigit() or r in classes or r.startswith("permit") for r in results)
    # A word that smtpd does not know is answered with 451, so it lets nobody pass.
    known = word in WORDS or WITH_ARGUMENT.fullmatch(word)
    return word == "check_policy_service" or (word.startswith("permit") and bool(known)) or ":" in word
