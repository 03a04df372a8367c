# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No server could be reached, or none took the message in time: time-outs, routes, name servers, loops on the way."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "unreachable", Kind.SOFT, Scope.NETWORK,
    phrases={
        "{connection|connect|conversation|operation|session|lookup|network|query|response|read|write} {has |was |"
        "}{timed{ |-|}out|timeout|"
        "time out|refused|reset|lost|closed|dropped|failed|failure|error|aborted|interrupted|terminated|unexpectedly}":
            "connect to mx.example.com[192.0.2.1]:25: Connection timed out",
        "{connection|connect|conversation|operation|session|host|server} {* |}{timed out|timeout|refused|lost "
        "connection|"
        "reset by peer}": "lost conversation with a host that timed out",
        "lost connection": "lost connection with mx.example.com",
        "timed out": "it timed out",
        "{time-out|timeout}": "451 4.4.1 timeout waiting",
        "{no route to|unreachable}": "connect to mx.example.com: No route to host",
        "{not|is not} responding": "Remote host is not responding.",
        "not reach{able|ed}": "ResponseCode 421, Host not reachable.",
        "{message|queue|delivery time|retry time|retry limit|lifetime|delivery|it has|mail|envelope} {has |was |is |"
        "}{expired|exceeded|too old|reached}":
            "550 4.4.7 message expired",
        "queue.expired": "550 4.4.7 QUEUE.Expired; not today",
        "{did|does|do} not accept our * connect": "The recipient server did not accept our requests to connect.",
        "{all hosts|hosts} {* |}{failing|deferred|down}": "all hosts have been failing for a long time",
        "{connect to|contact|establish|connect} {* |}{server|host|smtp connection|connection|mx|~}":
            "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)",
        "name service error": "Name service error for name=example.org type=MX: no reply",
        "{host|domain|dns|name|mx|nameserver|name server} {* |}{try again|lookup failure|lookup failed|servfail|soft "
        "error|temporary failure|lookup error|lookup timed}":
            "Name server: SERVFAIL",
        "no data record": "Host found but no data record of requested type",
        "dns error": "DNS Error: 1 DNS type 'mx' lookup of example.com said no",
        "{routing|mail|loop|too many hops|forwarding} {loop|loops|loops back|too many hops|detected|count}":
            "554 5.4.6 routing loop",
        "{hop count|too many hops|loops back|excessive hop|mail loop|loop detect|delivered-to|looping|loop back}":
            "554 5.4.6 Hop count exceeded",
        "{tls|ssl|starttls} {* |}{handshake|certificate|failed|failure|not available|error|negotiation|unavailable|"
        "not trusted|required, but}":
            "TLS session: the handshake broke",
        "{relay|host|server|mx|mta} {is |are |}{down|offline|unavailable|temporarily unavailable|currently "
        "unavailable|not available}": "the mx is offline",
        "no {usable |working |suitable |valid }{mx|server|hosts|host}": "there are no suitable servers",
        "could not {connect|reach}": "it could not connect and send the mail",
        "dns records * not be found": "DNS records for the destination computer could not be found",
        "could not find {a |}{gateway|route}": "Routing: Could not find a gateway for a@example.com",
        "server certificate": "Server certificate not trusted",
        "points to local host": "lowest numbered MX record points to local host",
        "unexpected name server reply": "malformed or unexpected name server reply",
        "unable to resolve {route|host|~}": "unable to resolve route",
        "delivery attempts will continue": "delivery attempts will continue to be made",
        "it has not been collected": "it has not been collected after 3 days",
        "delivery failed # attempts": "Delivery failed 20 attempts: a@example.com",
        "{server|host|system} {did|does} not respond": "the recipient server did not respond",
    },
    never=("550 5.1.1 user unknown", "450 4.7.1 connection refused from your site: listed by bl.example.org"),
    vague={
        "in the queue too long": "this message has been in the queue too long",
        "{could not|can not|unable to|not able to|was not able to|failed to} {be |}{deliver|delivered|send|sent|"
        "complete} "
        "{* |}{for|within|after|in} {* |}{#|seconds|hours|days|time}":
            "Could not deliver for the last 432000 seconds. Giving up.",
        "not {been |yet |yet been |}delivered {within|after|in|for} {* |}{#|days|hours}":
            "Your message was not delivered within 1 days",
        "{can not send message|delayed|undelivered|undeliverable|retrying} {* |}{for|after|since} {#|several|more "
        "than} ":
            "Message delayed for 4 days",
        "{giving up|gave up|warning message only|will be retried|will retry|still being}":
            "Message will be retried for 4 more days",
        "deferred: ": "421 example.com (smtp)... Deferred: no",
    },
    unless=("{ldap|temporary lookup failure|queue file|command output:}",),
    statuses=(".4.1", ".4.2", ".4.3", ".4.0", ".4.6", ".4.7", ".4.14", ".4.316", ".4.317", "4.4.4", "4.4.310", "4.1.2"),
)
