# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Postfix logs of a refusal and what its notice says of it mean the same, whatever the receiver's words."""

from __future__ import annotations

import textwrap

import pytest
from followed_log import message
from mailfleet import notices
from mailfleet.maillog.reader import LogReader
from mailfleet.maillog.view import View
from mailfleet.reasons import status_of
from test_log_events import NOTICE
from test_reasons_replies import REPLIES

REFUSALS = [reply for replies in REPLIES.values() for reply in replies if reply.startswith("5")]


def wrapped(text: str) -> str:
    """The text of a notice as bounce(8) breaks it."""
    return "\n".join(textwrap.wrap(text, 70, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))


@pytest.mark.parametrize("command", ["RCPT TO command", "end of DATA command", "MAIL FROM command"])
def test_a_refusal_is_of_one_kind_in_the_log_and_in_its_notice(command):
    reader, differ = LogReader(View(), host="mta1.example.com", events=True), []
    for reply in REFUSALS:
        text, status = f"host mx1.acme.test[192.0.2.1] said: {reply} (in reply to {command})", status_of(reply)
        raw = NOTICE.format(path="b+x@e.example.com", to="u@acme.test", queue_id="A1", text="@@", reply=reply,
                            status=status, original="u@acme.test")
        (found,) = notices.read(raw.replace("<u@acme.test>: @@", wrapped(f"<u@acme.test>: {text}")).encode()).findings
        reader.feed(message("A1", "u@acme.test", "bounced", text.replace("{", "{{").replace("}", "}}"), status))
        (event,) = reader.take()[1]
        if (found.kind, found.recipient) != (event.kind, event.recipient):
            differ.append(reply)
    assert differ == [] and len(REFUSALS) > 150
