# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No room for the message, for now."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "mailbox-full", Kind.SOFT, Scope.RECIPIENT,
    phrases={
        "{mailbox|mail box|mailfolder|mail folder|inbox|maildir|mail file|mailspool|account|folder} {is |has become |}"
        "{over |}{full|quota}": "552 5.2.2 <a@example.com>... Mailbox Full",
        "{over|exceeded|exceeds|exceed|exceeding|above|beyond|out of} {the |its |their |his |her |it's |storage |disk |"
        "mailbox |mail |user |allocated |assigned |}{quota|storage|limit for mail|space}":
            "554 delivery error: the account exceeded its quota",
        "{disk|storage|mailbox|user's} space {limit|exceeded|has been used|is used}":
            "550 he is over his/her disk space limit",
        "{quotaexceeded|mapiexceptionshutoffquota}": "554 STOREDRV.Deliver.Exception:QuotaExceededException; no",
        "overquota": "452 4.2.2 see https://support.google.com/mail/?p=OverQuotaTemp x1-2ab.3 - gsmtp",
        "{mailbox|folder} {exceeds|exceeded|has exceeded} * {limit|size}":
            "the number of messages in the recipient's mailbox exceeded the local limit",
        "quota {is |has been |}{exceeded|full|reached|violation|exceed|violated|error|limit}":
            "552 5.2.2 the user's quota has been reached",
        "{exceeded|exceeds|exceed|exceeding|over} * quota": "the message would make the folder exceed somebody's quota",
        "{exceeded|exceeds|exceeding|over|reached} * {storage|mailbox} {allocation|limit|size|capacity}":
            "552 it reached somebody's mailbox limit",
        "{mailbox|account|user|user's|maildir|recipient} * {quota|storage}": "550 the user has no quota left",
        "{not|no|insufficient} * {space|room|storage} *{mailbox|user|account|recipient|disk quota}":
            "552 not enough space left to store it in the mailbox",
        "{mailbox|account} {size |}{limit|quota|storage limit} {exceeded|reached}": "552 mailbox limit exceeded",
        "mail{box|folder} * {too large|too big|full}": "550 the mailbox of this person is too large",
        "maximum {storage|capacity|allowed mailbox}": "554 maximum storage is used up",
        "{too many|maximum number of} messages in {the |this |}{mailbox|folder|inbox}":
            "552 too many messages in this mailbox",
        "{boîte|boite|bal} * pleine": "552 Boîte du destinataire pleine. OFR_417",
        "{postfach|mailbox|speicherplatz} * {voll|erschöpft|überschritten}": "552 Postfach voll",
        "casella * piena": "552 casella piena",
        "{buzón|caixa} * {lleno|cheia}": "552 el buzón está lleno",
        "{postvak|postbus|mailbox} * vol{ |.|,}": "het postvak van de ontvanger zit vol.",
        "skrzynka * {pełna|przepełniona}": "skrzynka odbiorcy jest przepełniona",
        "{postlåda|postlådan|brevlåda|postkasse|postkassen|postboks} * {full|fuld}": "mottagarens brevlåda är full",
        "schránka * {plná|přeplněna}": "schránka příjemce je přeplněna",
        "posta kutusu * dol{u|du}": "alıcının posta kutusu doldu",
        "{사서함|편지함|메일함}*{꽉 찼|가득|초과}": "받는 사람의 편지함이 가득 찼습니다",
        "ящик * переполнен": "552 почтовый ящик переполнен",
        "{一杯|いっぱい|容量を超え|容量オーバー}": "送信先のメールボックスが一杯のため",
        "{已满|已滿|邮箱空间不足}": "552 收件人邮箱已满",
        "{mailbox|inbox|maildir|account|user|recipient} * not have enough {space|room}": "552 the mailbox does not "
            "have enough space",
        "full {mailbox|inbox}": "552 full mailbox",
        "too much mail data": "552 too much mail data",
        "too many messages on the server": "552 he has too many messages on the server",
    },
    never=(
        "552 5.3.4 Message size exceeds fixed maximum message size",
        "550 5.1.1 <mailbox-full@example.com>: user unknown",
        "452 4.3.1 Insufficient system storage",
    ),
    unless=("{message size|maximum size|fixed maximum|too large: |sending quota|daily|per day|relay quota}",),
    statuses=(".2.2",),
)
