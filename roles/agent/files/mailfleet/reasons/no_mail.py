# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domain exists, and says that it takes no mail: a null MX (RFC 7505), or a server that never accepts (RFC "
"7504)."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "no-mail", Kind.HARD, Scope.DOMAIN,
    phrases={
        "null{ |}mx": "556 5.1.10 Domain example.com does not accept mail (nullMX)",
        "{domain|host|server|system|~|address} {does not|is not|not} {accept|receive|accepting|receiving}"
        " {e-mail|email|mail|any mail|messages|network messages|internet mail|mail from the internet}":
            "521 5.3.2 System not accepting network messages",
        "{no|not find} {a |any |an |}{valid |}{mx|mail exchanger|mail server} {record|records|or|found|for|exists}":
            "No MX found for domain",
        "no mail {server |}{here|accepted|is accepted}": "521 5.3.2 no mail here",
        "smtp {protocol |}returned a permanent error": "Delivery failed: SMTP protocol returned a permanent error",
    },
    never=(
        "421 4.3.2 too busy, not accepting messages now: load average too high",
        "550 5.7.1 we do not accept mail from hosts without PTR records",
        "550 5.2.1 mailbox disabled, not accepting messages",
    ),
    unless=("accept mail from {@|this|that|you|your|#}", "mail from {@|your}"),
    statuses=("5.3.2", "5.1.27"),
)
