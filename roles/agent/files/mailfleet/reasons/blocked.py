# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our IP or its name was refused: a block list, its reputation, no PTR record, a HELO name that is not liked."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "blocked", Kind.SOFT, Scope.NETWORK,
    phrases={
        "{ptr |reverse dns|rdns|reverse{-| }lookup|reverse{ |-}mapping|reverse resolution|reverse record|"
        "inverse name|fcrdns}": "550 5.7.25 the IP address has no PTR record",
        "{can not|could not|unable to|not} {find|resolve|verify|get} {your |the |client |}"
        "{hostname|host name|reverse|ip|ip address}":
            "450 4.7.1 Client host rejected: cannot find your hostname",
        "{blocked|rejected|listed|blacklisted|found|denied} {using|by|in|at|on|via} {the |a |our |}"
        "{~|spamhaus|spamcop|rbl|dnsbl|blacklist|blocklist|black list|block list|barracuda}":
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example.org",
        "{spamhaus|spamcop|sorbs|barracuda{ |}central|senderscore|sender score|cloudmark|proofpoint dynamic|"
        "invaluement|uceprotect|abuseat|rbl |dnsbl|spfbl|xbl |sbl |pbl |dnswl|drbl|cbl |rblsmtpd}":
            "550 see Spamhaus for more",
        "{black|block|deny|bad}{ |-|}list": "550 your server is on our block list",
        "{ip|ip address|host|client host|server|network|client|isp|mail server|mailserver|sender ip|mta|"
        "domain|address @|from # |from #|hostname} {# |[#] |address |name |~[#] |~ |}{[|(|}{#|}{]|)|}{has been |is |"
        "are |was |were |}{temporarily |"
        "currently |permanently |}{blocked|rejected|refused|banned|denied|blacklisted|not allowed|not accepted|"
        "prohibited|not welcome|listed|not permitted|not authorized|restricted|filtered}":
            "450 4.7.1 <host.example.com[192.0.2.1]>: Client host rejected: may not be mail exchanger",
        "{messages|mail|connections|email|e-mail|traffic} from {#|[#]|ip|your ip|your server|your network|your host|"
        "this host|your isp|this ip|this server} {# |}{were not|were not|is not|are not|will not|can not|blocked|"
        "rejected|refused|is blocked|"
        "has been|are blocked|is rejected}":
            "550 Unfortunately, messages from 192.0.2.1 weren't sent.",
        "{poor|bad|low|lacks|negative|no} {ip |sender |domain |mail |}reputation": "554 5.7.1 refused, poor reputation",
        "{reputation|senderbase}": "421 4.7.0 to learn of the reputation of your address, read on",
        "{dynamic|residential|dial{-| |}up|generic|dhcp|consumer} {ip|address|host|hostname|pool|dns|client|rdns|range|"
        "hosts|addresses}": "550 5.7.1 no mail from dynamic addresses",
        "{helo|ehlo} {command |name |string |argument |hostname |}{is |}{rejected|invalid|denied|not|mismatch|"
        "refused|error|blocked}":
            "504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname",
        "{invalid|bad|bogus|forged|fix your} {helo|ehlo}": "550 bad HELO",
        "{banned|ban} {sending|ip|host|client|address|server|network|for}":
            "550 5.7.511 Access denied, banned sending IP",
        "{unusual|suspicious} {activity|traffic}": "421-4.7.0 there is unusual traffic",
        "user complaints": "421 4.7.0 [TSS04] temporarily deferred due to user complaints",
        "[{ts|tss|bl|gl|ipts}{0|2}": "421 4.7.0 [TSS04] wait",
        "{esmtp |smtp |}not accepting {connections|mail from your}":
            "554 mx.example.com ESMTP not accepting connections",
        "{too|your ip has} {many complaints|been reported}": "550 there are too many complaints of you",
        "{access|connection|connections} {denied|refused|rejected} {to|from|for} {your|ip|#|[#]|this|policy}":
            "554 access denied to your IP",
        "{your|this} {network|ip|ip range|subnet|server|provider|isp|country|email server|mail server} {is |has been "
        "|was |}"
        "*{rejected|blocked|block|refused|denied|listed|banned|not allowed|abuse}":
            "550 your network has a history of abuse",
        "{service refuse|service refused}": "421 mx ME Service refuse. OFR_999",
        "{refused|rejected|blocked} {your|the|this} {ip|connection|host|network|server}": "550 we refused your IP",
        "not {yet |currently |}authorized to deliver": "550 not yet authorized to deliver mail from 192.0.2.1",
        "no access from {mail server|this|your}": "554 5.7.1 No access from mail server 192.0.2.1",
        "{mismatch|mismatches} client ip": "550 domain [example.com] mismatches client ip 192.0.2.1",
        "{ip|client|host} {name |}lookup failed": "450 4.7.1 Access denied. IP name lookup failed [192.0.2.1]",
        "invalid ip": "554 INVALID IP FOR SENDING MAIL",
        "{unverifiable|unverifyable} sending ip": "450 service permits 2 unverifyable sending IPs",
        "{ip|host|server} {is |}not in {whitelist|the whitelist|white list|our list}":
            "421 4.7.0 IP not in whitelist for RCPT domain",
        "connection refused by access": "554 5.7.1 connection refused by access filter",
        "not authorized to send {mail|email|e-mail} directly":
            "550 the IP you use is not authorized to send mail directly",
        "access to {submit|send} * {rejected|denied}": "550 your access to submit messages here has been rejected",
        "{dt:rbl|hl:ipb|hl:rep|hl:ihu|hl:mep|wm:bl}": "421 HL:REP 163 mx1 see your log",
        "server requires confirmation": "550 your server requires confirmation",
        "ipcheck": "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
        "go away": "550 Go away",
        "{con|dyn|rly|hvu|rtr}:{b|t|c|u|n|s}": "421 DYN:T1 see your log",
        "redundant": "550 Your E-Mail is redundant.",
    },
    never=("550 5.1.1 user unknown", "550 message blocked: it looks like spam",
           "451 4.7.1 Greylisted, try again later"),
    unless=("{blacklisted {url|link|uri}|sending to/from|mail server temporarily rejected}",),
    statuses=(".7.25", ".7.511", ".7.606", ".7.650", ".7.7", ".7.3"),
)
