# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Something in the receiving system, or in a program behind its mailboxes, went wrong or is wrongly set up."""

from __future__ import annotations

from ..finding import Kind, Scope
from .reason import Reason

REASON = Reason(
    "system", Kind.SOFT, Scope.DOMAIN,
    phrases={
        "{system|server|internal|local|configuration|software|resource|database|service|lookup|io|i/o|disk|"
        "input/output|mail system|ldap|backend|upstream} {* |}{error|failure|problem|"
        "fault|misconfigur|crash}": "550 5.3.5 internal system error",
        "{requested action aborted|local error in processing|error in processing|processing error}":
            "451 Requested action aborted",
        "{insufficient|not enough|no|out of|lack of|low on} {system |disk |free |}{storage|space|memory|resources|"
        "disk space|swap}":
            "452 4.3.1 Insufficient system storage",
        "{disk|file system|filesystem|spool|partition} {is |}full": "452 4.3.1 file system full",
        "{lock failure|error while writing}": "procmail: Lock failure on a mailbox",
        "{pipe|command|child|process|script|exit|delivery agent|mailer|procmail} {* |}{status|error|"
        "died|failed|failure|not found|code|output|denied|killed|crashed|signal}":
            "pipe to |/usr/bin/x: it died of an error",
        "program {failed|exited|died|returned|said|crashed|was killed}": "the filter program exited without a word",
        "{unable to contact|unable to run|unable to use|local delivery failed|temporary lookup|queue file write|can "
        "not open|can not create|can not write|can not update|could not write|could not open|failed to read|failed "
        "to open|could not access}":
            "cannot open the mailbox for something",
        "{permission denied|no such file|operation not permitted|not owner|read-only}": "it says: Permission denied",
        "{temporary|temporarily|transient} {* |}{failure|error|problem|unavailable}": "451 4.3.0 temporary failure",
        "{service|system|server|host} {is |}{currently |temporarily |}{not available|unavailable|closing|shutting "
        "down|going down|overloaded|too busy|down for}":
            "421 4.3.2 service not available, closing",
        "{try again|try later|come back later|please retry}": "451 please try later",
        "{load average|overload|too busy|high load|system load}": "421 4.3.2 the load average is high",
        "{duplicated|duplicate} message-id": "Duplicated Message-ID in <list@example.com>.",
        "{mail|alias|ml|forward} {loop alert|aliasing|expansion}": "aliasing or forward expansion",
        "{can not|could not} {send e-mail to myself|load drd|send mail to myself}": "553 cannot send e-mail to myself",
        "mail server temporarily rejected": "451 4.3.0 mail server temporarily rejected it",
        "interrupted system call": "451 interrupted system call",
        "encountered an error": "451 it encountered an error while being processed",
        "there is no mdb": "451 deferred because there is no mdb",
        "{local|backend|remote|user} database": "451 unable to connect to the local database backend",
    },
    never=("550 5.1.1 user unknown", "554 5.7.1 rejected by policy"),
    statuses=(".3.0", ".3.1", ".3.3", ".3.5", ".5.0", ".5.1"),
)
