# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sending domain did not prove itself: SPF, DKIM, DMARC. Mend the domain; the recipient is well."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "authentication", Kind.SOFT, Scope.SENDER,
    phrases={
        "dmarc": "554 5.7.1 rejected due to example.com's DMARC policy",
        "p={unauthenticatedemail|unauthorized}": "550 5.7.26 https://support.google.com/mail/?p=UnauthenticatedEmail x",
        "spf{ |)|:|-|=|,|.|'}": "550 5.7.23 SPF check failed",
        "sender policy framework": "550 rejected by the Sender Policy Framework",
        "dkim{ |)|:|-|=|,|.|'}": "550 5.7.20 no passing DKIM signature found",
        "{domainkeys|domain keys}": "550 the DomainKeys policy of the sender says no",
        "{unauthenticated|not authenticated|fails authentication|authentication checks|sender authentication|"
        "authentication level|not pass authentication|authentication failed|proper authentication|"
        "authentication information}":
            "550-5.7.26 Unauthenticated email from example.com is not accepted",
        "{ip address|ip|host|server|client|machine|#} {is |}not {authorized|authorised|allowed|permitted} to send * "
        "{from|for|domain}": "550 your server is not authorized to send mail from example.com",
        "{verif|validat}{y|ication|ied} * {sender identity|sender's identity|sending domain}":
            "550 we cannot verify the sender identity",
        "{spoof|forged |forgery}": "550 the sender looks forged or spoofed",
    },
    never=("550 5.1.1 user unknown", "550 5.7.1 relaying denied, authentication required",
           "550 5.7.25 the sending IP has no PTR record"),
    statuses=(".7.20", ".7.21", ".7.22", ".7.23", ".7.24", ".7.26", ".7.27", ".7.30", ".7.509", ".7.515", ".7.9"),
    unless=("{unusual rate|resolver.rst|antispam check|anti-spam check|spam classification|owner of the group|"
            "duplicate header|client was not|relay}",),
)
