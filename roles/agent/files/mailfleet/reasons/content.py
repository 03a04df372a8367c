# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message is not formed as it should be: headers, lines, encodings, parts."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "content", Kind.SOFT, Scope.MESSAGE,
    phrases={
        "{improper use|illegal use|8-bit data|8bit|eight bit|smtputf8|non-ascii|8 bit}":
            "550 5.6.9 improper use of 8-bit data in message header",
        "{rfc #|rfc#|rfc-compliant|rfc compliant|not rfc|rfc{-| |}complian|rfc violation}":
            "550 5.7.1 the message does not comply with RFC 5322",
        "{header|headers|mime|message-id|message|messageid|date: |from: } {field |line |}{missing|malformed|not "
        "valid|is invalid|duplicate|"
        "syntax error|format|is malformed|is missing|are missing|must contain}": "550 message-id missing",
        "{duplicate|missing|multiple|invalid|malformed|bad|several|illegal} {* |}{header|headers|from:|mime|"
        "message-id|date}":
            "550 5.7.1 several From headers",
        "malformed {address|recipient|message}": "a@example.com b@example.com: malformed address",
        "{bare |lone |}{<|}{lf|linefeed|line feed|carriage return}{>|} *{received|not allowed|smtp|bare|invalid}":
            "550 5.6.11 line feed not allowed alone",
        "line* too long": "500 Line too long",
        "{attachment|file type|extension|executable|zip file}": "552 5.7.0 this type of attachment is refused",
        "{syntax error|parameters not recognized|unrecognized command|bad syntax|command not recognized|"
        "syntactically}": "501 Syntax error in what you say",
        "{conversion|charset|character set|encoding} *{required|not supported|failed|unknown|unsupported}":
            "554 5.6.3 conversion required and impossible",
        "{messages|message|mail} without {* |}{to:|from:|date:|subject:|header|headers|message-id|to field}":
            "550 messages without a Date: field are not taken here",
        "no {resent-from|from|to|date|subject} {field|header}": "554 No Date field given",
        "bad message": "554 bad message",
        "#-bit character": "550 8-bit character in a header",
        "mime complexity": "552 its mime complexity is too high",
    },
    never=("550 5.1.1 user unknown", "552 5.3.4 message header size exceeds limit"),
    unless=("presents a potential",),
    statuses=(".1.20", ".6.0", ".6.2", ".6.3", ".6.4", ".6.5", ".6.6", ".6.7", ".6.9", ".6.11", ".5.2", ".5.4"),
)
