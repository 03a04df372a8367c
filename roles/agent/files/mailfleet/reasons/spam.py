# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message was judged to be spam, phishing or a virus."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "spam", Kind.SOFT, Scope.MESSAGE,
    phrases={
        "spam": "554 5.7.1 this message scored 9 as spam",
        "{unsolicited|unwanted|junk {mail|message|e-mail|email}|bulk mail|bulk e-mail|bulk email|uce}":
            "550 it looks like unsolicited commercial e-mail",
        "{phishing|scam |fraud}": "554 looks like phishing",
        "{virus|malware|infected|trojan|worm |malicious|clamav|w32}": "550 Virus detected; content rejected",
        "{content|message|mail|email|e-mail} {was |has been |is |}{rejected|blocked|refused|denied} {due to|because of|"
        "for|by} {its |the |}{content|filter|classification}": "554 message rejected due to its content",
        "{message|mail|e-mail|email|msg} {content|contents} {is |was |has been |}{rejected|blocked|refused|not "
        "accepted|denied}":
            "554 5.7.1 Message content rejected",
        "dt:spm": "554 DT:SPM 163 mx1 see your log",
        "mail rejete": "550 5.2.0 Mail rejete. OFR_506",
        "{content|contents} {reject|denied|not accepted|filter}": "550 5.7.1 content rejected",
        "{high|bad|spamassassin} score": "550 high score",
        "{blocked|rejected} by {content|a filter|filter|our filter}": "550 5.7.1 rejected by filter",
        "{denied|banned|blocked|rejected|prohibited|contains} {* |}{url|link|uri|words}":
            "550 it contains a banned link",
        "{not rfc|classified as} bulk": "550 classified as bulk",
        "rejected {as |for |due to |}{bulk|unwanted}": "550 rejected for bulk",
        "blacklisted {url|link|uri}": "550 blacklisted URL in message",
    },
    never=("550 5.1.1 <spam@example.com>: user unknown", "550 host spamfilter.example.com said: mailbox full"),
    unless=("{presents a potential|policy reason|scanned for|been scanned|virus-free}",),
    statuses=(".6.1", ".7.514"),
)
