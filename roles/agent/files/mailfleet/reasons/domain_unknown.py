# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipient's domain, or the host that its mail is for, does not exist."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "domain-unknown", Kind.HARD, Scope.DOMAIN,
    phrases={
        "{host|domain|server} {name |}{is |}{unknown|not found}": "550 5.1.2 <a@example.com>... Host unknown",
        "{could not|can not} find any host": "Sorry, I couldn't find any host named example.com. (#5.1.2)",
        "host ~ not found": "DNS lookup failure: host mx.example.com not found",
        "no such {domain|host}": "550 No such domain.",
        "{unknown|invalid|bad|nonexistent|non-existent} {domain|host|destination host|destination system|mail domain}":
            "550 5.4.4 Invalid domain",
        "domain {name |}{does not|not|must} exist": "a@example.com: Domain does not exist",
        "{unrouteable|unroutable} {address|mail domain|domain}": "all relevant MX records point nowhere: unrouteable"
                                                                 " mail domain \"example.com\"",
        "{nxdomain|domain name not found}": "DNS type 'mx' lookup of example.com responded with code NXDOMAIN",
        "domain is not reachable": "it could not be delivered because the domain is not reachable. Please check the"
                                   " domain and try again",
        "dns.nonexistentdomain": "550 5.4.310 DNS.NonExistentDomain; nothing of that name",
        "name or service not known": "example.com: Name or service not known",
        "domain {is |}mentioned * unknown": "550 the mail domain mentioned in the e-mail address is unknown",
        "dns {domain |}* does not exist": "The DNS domain 'example.com' does not exist",
        "~ does not exist": "553 nowhere.example.com does not exist",
        "account or domain may not exist": "the account or domain may not exist",
        "{domäne|domain} {existiert nicht|unbekannt}": "550 Domain existiert nicht",
        "{домен|domaine|dominio} {не найден|inconnu|desconocido|sconosciuto|inexistente}": "550 domaine inconnu",
    },
    never=(
        "553 5.1.8 <a@example.com>... Domain of sender address a@example.com does not exist",
        "Name service error for domain example.com: Host not found, try again",
        "450 4.1.8 <a@example.com>: Sender address rejected: Domain not found",
        "450 4.7.1 <mx>: Helo command rejected: Host not found",
        "550 5.1.1 user unknown",
    ),
    statuses=("5.1.2", "5.4.4", "5.4.310"),
    unless=("not found, try again", "try again later", "not responding", "timed out", "temporar"),
)
