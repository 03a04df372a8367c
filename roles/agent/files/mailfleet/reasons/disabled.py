# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mailbox is there and out of use: suspended, inactive, frozen. It may come back, so nobody is dead."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "disabled", Kind.SOFT, Scope.RECIPIENT,
    phrases={
        "{account|mailbox|user|recipient|address|addressee|@} {name |}"
        "{is |has been |was |currently |is currently |is temporarily |temporarily |}"
        "{disabled|suspended|inactive|inactivated|deactivated|frozen|locked|blocked|barred|not active|inactive or|"
        "expired|dormant|restricted}": "550 Mailbox is frozen",
        "{tried to reach|trying to reach} is {disabled|inactive}": "550-5.2.1 The email account that you tried to reach"
                                                                   " is inactive",
        "{accountdisabled|mailboxdisabled|mapiexceptionmailboxdisabled}":
            "554 STOREDRV.Deliver.Exception:AccountDisabledException; no",
        "{account|mailbox} has expired": "550 his account has expired",
        "user hangup": "550 user hangup: a@example.com",
        "p=disableduser": "550 5.2.1 https://support.google.com/mail/?p=DisabledUser x1-2ab.3 - gsmtp",
        "{disabled|suspended|inactive|deactivated|locked|frozen} {user|recipient|account|mailbox|address|domain}":
            "550 5.7.1 <a@example.com>: Recipient address rejected: Disabled recipient address",
        "{temporarily|currently} {disabled|suspended|deactivated}": "450 this one is currently suspended",
        "suspended {email|e-mail|mail|delivery|service}": "550 we have suspended email to him",
        "recipient suspend": "554 recipient suspend the service",
        "{account|mailbox|recipient} * {closed due to inactivity|disabled|deactivated|suspended}":
            "550 the account of this person is now suspended",
        "non{ |-|}payment": "550 service stopped for non-payment",
        "user is {not allowed|not permitted|unable} to receive": "550 5.2.1 user is not allowed to receive",
        "{not|can not|unable to} {currently |}{accepting|accept|receive} {messages|mail|email|any mail} at this time":
            "550 5.2.1 it is not accepting messages at this time",
        "not accepting messages": "5.2.1 (mailbox closed for repair, not accepting messages)",
        "vacation {is |}on": "450 his vacation is on",
        "destinataire archivee": "550 boite du destinataire archivee",
        "{account|mailbox} is {temporarily |}limited": "550 the user(s) account is temporarily limited",
        "user is terminated": "450 4.2.1 user is terminated",
        "no longer accepts mail: deactivated": "550 it no longer accepts mail: deactivated",
    },
    never=(
        "421 4.7.0 account temporarily blocked: too many messages from your IP",
        "550 5.1.1 user unknown",
        "550 5.7.1 Message blocked by a filter",
    ),
    statuses=(".2.1", ".7.13"),
    unless=("{too many|delivery temporarily|does not exist|address rejected: user}",),
)
