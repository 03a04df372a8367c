# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The receiver's policy, and nothing more exact was said. Encryption that a policy demands is here as well."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "policy", Kind.SOFT, Scope.MESSAGE,
    phrases={
        "{policy|policies|mailpolicy}": "554 5.7.7 Email policy violation detected",
        "{security|administrative|administratively|administrator} {* |}{rejected|denied|prohibit|prohibition|reasons|"
        "reason|"
        "violation|restriction|refused|blocked|disabled|concerns}": "550 administrative prohibition",
        "{insufficient security|encryption {is |}required}": "550 insufficient security",
        "header error": "554 5.7.0 Header error",
        "content presents a potential": "552 5.7.0 blocked because its content presents a potential security issue",
        "not support {tls|starttls}": "500 Remote server does not support TLS",
        "protocol violation": "550 Protocol violation",
        "{starttls|tls} {is |}{required|must|mandatory|needed|connection required}": "530 5.7.0 STARTTLS is required",
        "{must|requires|required|need} * {starttls|tls|encrypt}": "530 5.7.10 you must use encryption",
        "{access|delivery|message} {is |}{denied|not authorized|forbidden|restricted|prohibited}":
            "550 5.7.1 access denied",
        "{delivery not authorized|not authorized, message refused|transaction refused|not acceptable}":
            "550 5.7.1 transaction refused",
        "command rejected": "550 5.7.1 <DATA>: Data command rejected: no",
        "{denied|rejected} by {security|administrator|admin|rule|server|local}": "550 denied by rule",
        "{closed to|closed for} {incoming|mail}": "550 we are closed for mail",
        "organizational settings": "550 message bounced due to organizational settings",
        "(@:{blocked|quarantined})": "550 permanent failure for one or more recipients (a@example.com:blocked)",
        "not subscribed to": "550 account not subscribed to SES",
        "credentials invalid": "535 5.7.8 authentication credentials invalid",
        "header{s|} are not accepted": "550 header are not accepted",
    },
    never=("550 5.1.1 user unknown", "554 5.7.1 rejected by the DMARC policy of example.com"),
    statuses=(".7.0", ".7.1", ".7.2", ".7.4", ".7.5", ".7.6", ".7.8", ".7.10", ".7.14", ".7.17"),
)
