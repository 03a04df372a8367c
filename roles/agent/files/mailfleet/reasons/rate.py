# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Too much at once, or too soon: slow down, and it goes."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "rate", Kind.SOFT, Scope.NETWORK,
    phrases={
        "too many {* |}{connections|sessions|messages from|messages for|recipients|emails|mails|messages sent|"
        "messages per|"
        "errors|hops per|invalid recipients|bad commands|concurrent|simultaneous|unknown|mail from|emails from|"
        "requests}":
            "421 4.7.0 too many connections from 192.0.2.1",
        "{sending|message|mail|connection|recipient|email|e-mail|receiving|send|your} {rate|frequency|count} {is |"
        "has |}*"
        "{limit|exceed|too|control|high}": "450 4.7.1 the sending rate is too fast",
        "{rate{ |-|}limit|ratelimit|throttl|flood|rate control|traffic shap}": "421 you are being rate limited",
        "{greylist|graylist|grey-list|gray-list|grey list|gray list|postgrey}": "451 4.7.1 Greylisted, try again later",
        "{connection|session|concurrency|concurrent|connections|daily|hourly|sending|message} "
        "{limit|limits|quota} {has been |is |}{exceeded|reached|for}":
            "421 4.3.2 connection limit exceeded",
        "{exceed|exceeded|exceeds|reached|exceeding} {the |your |its |a |our |}{* |}{rate|hourly|daily|connection|"
        "maximum number|number of|per hour|per day|per minute|concurrent|connections|recipients|sending}":
            "451 you reached a number of messages allowed",
        "{too|very} {fast|quickly|frequently|often|much mail|many mails}": "450 4.7.1 you send too often",
        "{slow down|back off|throttled|try again in}": "421 please slow down",
        "{temporarily|temporary} {deferred|defer|rate}": "421 4.16.55 your mail was temporarily deferred",
        "p=unsolicitedratelimiterror": "421 4.7.28 https://support.google.com/mail/?p=UnsolicitedRateLimitError x",
        "p=receivingrate{perm|}": "450 4.2.1 https://support.google.com/mail/?p=ReceivingRate x1-2ab.3 - gsmtp",
        "receiving mail at a rate": "450-4.2.1 The user you are trying to contact is receiving mail at a rate that"
                                    " prevents more",
        "max{imum|} {number of |}{connections|message rate|recipients}": "421 maximum number of connections used up",
        "server {is |}busy": "421 the server is busy",
        "thread limit": "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded",
        "frequency limited": "550 IP frequency limited",
        "{requests|messages|mails} from * {temporarily |}limited": "450 requests from this address are limited for now",
        "{hl:ic|hl:if|mi:sf|mi:stc|mi:dmc|rp:trc|rp:drc|rp:qrc}": "451 MI:SFQ 163 mx1 see your log",
        "unusual rate": "421 4.7.0 there is an unusual rate of mail from you",
        "dla adresu ip": "550 dla adresu IP 192.0.2.1",
        "maximum {connection limit|concurrency|message rate}": "421 all available IPs are at maximum connection limit",
        "connections per {client|host|domain|ip}": "421 no more connections per client",
        "sent too many messages": "550 this user has sent too many messages in the last hour",
        "trop de {connexions|messages}": "421 trop de connexions, merci de reessayer",
        "number of messages": "421 limitations on number of messages",
        "try again slower": "421 please try again slower",
    },
    never=("550 5.1.1 user unknown", "552 5.3.4 message size exceeds limit", "554 5.4.6 too many hops"),
    statuses=(".7.28", ".5.3", ".4.5", ".3.6", ".1.90", ".2.121", ".2.122", ".7.705"),
)
