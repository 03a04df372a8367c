# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server does not take mail for that domain from us: its MX is astray, or it wanted a login."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "relay", Kind.SOFT, Scope.DOMAIN,
    phrases={
        "{relay|relaying} {access |mail |}{is |}{denied|prohibited|not permitted|not allowed|forbidden|refused|"
        "disabled|"
        "not authorized|not supported|attempt|attempted|rejected}": "554 5.7.1 <a@example.com>: Relay access denied",
        "{unable|not allowed|not permitted|refuse|refused|can not|can not|not authorized|unauthorized|allowed|no|open|"
        "insecure mail|we do not|will not|not a|not|as|invalid} {to |}{relay|relaying|relayed}":
            "550 5.7.1 Unable to relay",
        "{is not|not} in my list of allowed rcpthosts": "553 this is not in my list of allowed rcpthosts (#5.7.1)",
        "{not configured|not set up|not willing} to relay": "501 5.7.1 This system is not configured to relay mail",
        "{domain|host} {is |}not {local|hosted|served|handled|configured} {here|by|on}":
            "550 this domain is not hosted here",
        "not {a |our |}local {domain|host}": "550 not local host example.com",
        "{smtp auth|authenticate first|authentication {is |}required|log in first|use authenticated|must authenticate|"
        "client was not authenticated|requires authentication|pop before smtp}":
            "530 5.7.0 Authentication required",
        "relaying": "550 because of relaying",
        "{as a|not a} {relay|gateway}": "550 not a gateway",
        "non-local {e-mail|email|mail|address}": "550 to send to a non-local e-mail address you log in",
        "{do not|does not|will not} {handle|host|serve|take} {mail|e-mail|email} for": "550 we don't handle mail for "
            "that one",
    },
    never=("550 5.1.1 user unknown", "550 5.7.26 sender authentication required: DMARC",
           "554 5.7.1 Service unavailable; Client host blocked"),
)
