# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipient's own choice or filter refused the message: somebody is there."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "filtered", Kind.SOFT, Scope.RECIPIENT,
    phrases={
        "recipient preferences": "550 5.1.1 RCP-P2 refused due to recipient preferences",
        "{recipient|user|mailbox|addressee|owner} {has |}{only accepts|only receives|accepts only|reject|rejects|"
        "refused|"
        "refuses|rejected|is not accepting|not accept|does not want|does not accept|has blocked|has rejected|"
        "is rejecting|is refusing|has chosen not to}": "550 recipient refuses to accept your mail",
        "{blocked|refused|rejected|denied|declined} by * {recipient|user|addressee}": "550 declined by the recipient",
        "permanently rejected {message|}": "550 you have been permanently rejected",
        "{rejected due to|recipient's} {user |personal |}{filter|filters|preferences|whitelist|block list|blocklist|"
        "blacklist|allow list}": "550 message rejected due to user filter",
        "has blocked you": "554 5.7.1 the one you sent to has blocked your messages",
        "resolver.rst.{recipientfilter|senderblocked}": "550 RESOLVER.RST.RecipientFilter; no",
        "sender confirmation": "550 this user wants sender confirmation first",
        "due to extended inactivity": "550 new mail is not currently taken due to extended inactivity",
        "not on * {allow|approved|safe} {list|senders}": "550 you are not on his approved senders",
        "{ドメイン指定|受信拒否|受信制限|迷惑メール設定}": "550 受信拒否",
        "rejected by a remote mail server": "Each of the following recipients was rejected by a remote mail server.",
        "manually blocked": "550 Rejected by header based manually blocked senders",
        "private {list|group|mailbox}": "550 this is a private list",
        "only accepting {mail|messages|email} from": "550 he is only accepting mail from specific addresses",
        "has restricted sms": "550 has restricted SMS e-mail",
        "is not accepting any mail": "550 is not accepting any mail",
        "account is protected by": "550 this account is protected by a filter",
        "refuse to receive mail": "550 they refuse to receive mail",
        "bounced address": "550 bounced address",
    },
    never=("550 5.1.1 user unknown", "552 5.2.2 mailbox full",
           "550 5.7.1 IP address blacklisted by recipient"),
    unless=("{by security|with attachments|identified spam}",),
    statuses=(".2.0", ".2.4"),
)
