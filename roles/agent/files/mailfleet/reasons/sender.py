# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sender's address was refused: it does not exist for the receiver, may not write here, or is on its list."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "sender", Kind.SOFT, Scope.SENDER,
    phrases={
        "{sender|from|envelope sender|return path|reverse path|mail from|mfrom} {address |domain |}{has been |is |"
        "was |}"
        "{rejected|denied|refused|not allowed|invalid|unknown|not found|not valid|blacklisted|blocked|not accepted|"
        "not exist|not permitted|not authorized|unverified|not verified}":
            "501 5.1.8 Sender address rejected",
        "domain of sender{'s|} {address|}": "553 5.1.8 <a@example.com>... Domain of sender address a@example.com does"
                                            " not exist",
        "sender {verify|verification|callout} {failed|error|has failed}": "550 Sender verify failed",
        "{unroutable|unrouteable|invalid|bad|unknown|illegal|unresolvable} {sender|envelope sender|return path|"
        "from address|senders}": "550 Unroutable sender address",
        "{envelope sender|sender|sending to/from|your address|from address|mail from} * {badmailfrom|been denied|"
        "is denied|blacklisted|has been denied|been blacklisted}":
            "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
        "you are not allowed to {send|post}": "550 you are not allowed to post to this list",
        "{permission|permitted|allowed|authorized|authorised|rights|authority} to {send|post|mail|e-mail|email|write}":
            "550 5.7.1 you have no permission to write there",
        "resolver.rst.{notauthorized|authrequired|sendernotauthenticated|restrictedtorecipients}":
            "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized",
        "restricted {to|for} * {members|senders|sender}": "550 5.7.1 posting is restricted to members",
        "{only|non-}{ |}{members|subscribers} {may|can|are|can not|may not}": "550 only subscribers may write",
        "{null|empty|blank} {sender|return path|envelope|reverse}": "550 mail with an empty sender is not for us",
        "{sender|sender address|sending domain|from domain} has {a |}null mx": "550 sender address has null MX",
        "callback setup failed": "550 Callback setup failed while verifying <a@example.com>",
        "mi:spb": "554 MI:SPB 163 mx1 see your log",
        "unresolvable * {from|sender} domain": "451 deferred due to unresolvable RFC.5321 from domain",
        "not a registered gateway user": "550 a@example.com is not a registered gateway user",
        "{provide|have} a valid from": "550 5.2.0 From: Domain is invalid. Please provide a valid From:",
        "not a member of": "You are not a member of this mailing list",
        "domain name required for sender": "553 5.5.4 <a@example>... Domain name required for sender address a@example",
        "sender {is |}{in|on|not in|not on} {the |our |my |an |}{allow|black|block|deny|white|approved|safe}":
            "550 sender is in the blacklist",
        "{invalid address|bad outbound} sender": "550 5.1.8 bad outbound sender",
        "sender's address": "553 5.1.7 the sender's address was syntactically invalid",
        "no such sender": "550 no such sender",
        "does not accept * {bounce|null sender}": "550 this host does not accept any bounce",
        "must {have|be} {a |from a |from |}{valid|resolvable|existing} {sender|domain|from|return}":
            "550 5.1.8 it must be from a resolvable domain",
        "can not determine purported responsible address": "550 can't determine Purported Responsible Address",
        "{email address|identity|identities} {is |}not verified":
            "554 Message rejected: Email address is not verified.",
        "failed the sender": "550 it failed the sender test",
        "batv": "550 5.7.1 recipient not accepted. (BATV: no tag)",
        "backscatter": "550 backscatter protection detected an expired address",
        "{non-member|not a member}": "550 posting by non-member to a members-only list",
        "sender {is |}not {a member|pre-approved|approved|known|permitted}": "550 sender not pre-approved",
        "sender is {a |}spammer": "550 sender is a spammer",
        "{does not|do not|will not} accept {mail|email|e-mail|messages} from": "550 server does not accept mail from "
            "that one",
        "address rejected: sender": "550 address rejected: sender",
        "denied by * sender": "550 denied by a filter for the sender",
        "from field must": "550 the message's from field must be valid",
        "required: sender": "550 fully qualified email address required: sender",
    },
    never=("550 5.1.1 user unknown", "550 5.7.1 Client host rejected: cannot find your hostname",
           "554 5.7.1 sender's DMARC policy says reject", "550 relaying denied"),
    unless=("{the|your|sending|client} ip {you|is|not|has}", "contains spam", "{ptr record|reverse|rdns}"),
    statuses=(".1.7", ".1.8", ".1.9", ".7.60", ".7.124", ".7.129", ".7.133", ".7.134", ".7.136", ".7.750"),
)
