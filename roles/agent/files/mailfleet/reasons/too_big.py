# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message is larger than somebody allows."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "too-big", Kind.SOFT, Scope.MESSAGE,
    phrases={
        "{message|mail|e-mail|email|msg|data|header|headers|file|attachment|attachments} "
        "{size |length |file size |body |}{is |are |was |}{too |}{big|large|long|oversize|too much}":
            "552 5.3.4 Message too big",
        "{message|mail|email|msg|content|data} {size|length} *{exceed|limit|greater|larger|maximum|violat}":
            "552 5.3.4 Message size exceeds fixed maximum message size",
        "message * {exceeds|exceeded|exceed|larger than|bigger than} * {limit|size|maximum}":
            "552 message exceeded the 10 MB limit",
        "{exceed|exceeds|exceeded|larger than|over|above} * {message|maximum|size} {size|length|limit|allowed}":
            "550 552 5.2.3 what you sent exceeds our size limit",
        "mailsize": "552 exceeded mailsize limit",
        "class=size": "554 5.7.1 rejected class=size limit=10000000 subclass=reject size=20000000",
        "line limit exceeded": "500 Line limit exceeded",
        "overadvertisedsize": "550 SMTPSEND.OverAdvertisedSize; no",
        "{maximum|max} {message|mail} {size|length}": "550 the maximum message size here is 10 MB",
        "rcpt to submit message to * too large": "550 rcpt to submit message to list too large",
        "{nachricht|e-mail} {ist |}zu groß": "552 die Nachricht ist zu groß",
        "message trop {gros|volumineux}": "552 message trop volumineux",
        "{resolver.rst.sendsizelimit|resolver.rst.recipsizelimit}": "550 5.2.3 RESOLVER.RST.RecipSizeLimit; no",
    },
    never=("552 5.2.2 mailbox full", "452 4.5.3 too many recipients", "552 user exceeded its quota"),
    unless=("{daily|per day|per hour|mailbox is full}",),
    statuses=(".3.4", ".2.3"),
)
