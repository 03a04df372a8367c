# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one answer to mail for a suppressed recipient, and how it is known again.

It says nothing of the recipient's mailbox, only of our list; so neither a reader of our log nor an application may take
it for a dead address. The marker is what to look for; it never changes.
"""

from __future__ import annotations

MARKER = "mailfleet-suppressed"
TEXT = f"550 5.7.1 {MARKER}: not sent, this recipient is on our own suppression list"
# Where the list cannot be asked and mail is to wait rather than to go unasked.
WAIT = "450 4.3.0 mailfleet-unknown: the suppression list cannot be read now, try again later"


def is_ours(text: str) -> bool:
    """Whether a reply, a line of the log or a notice tells of a refusal by our own suppression list."""
    return MARKER in text
