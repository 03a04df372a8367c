# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail server's side of the milter protocol, byte for byte against the other end of a socket."""
from __future__ import annotations

import struct

import pytest
from milter_filter import AGREED, GOES_ON, Filter, packet

from ansible_collections.mailfleet.sending.plugins.module_utils.milter_client import (
    Message,
    MilterError,
    Outcome,
    submit,
)

MESSAGE = Message((("From", "a@example.com"), ("Subject", "two\n lines")), b"body\r\n", "s@example.com",
                  ("r@example.org",), "2001:db8::1", "app", {"{auth_authen}": "shop"})


def talk(*answers):
    milter = Filter(answers)
    with milter.client:
        outcome = submit(milter.client, MESSAGE)
    milter.join(5)
    return outcome, milter.heard


CONTINUE = [GOES_ON] * 9


def test_everything_is_said_in_order_with_macros_before_connect_and_sender():
    outcome, heard = talk(AGREED, *CONTINUE, packet(b"a"))
    assert outcome == Outcome("accept")
    assert [content[:1] for content in heard] == [bytes([letter]) for letter in b"ODCHDMRTLLNBEQ"]
    assert heard[0] == b"O" + struct.pack("!III", 6, 0x1FF, 0x100000)
    assert heard[1:4] == [b"DC{auth_authen}\0shop\0", b"C[2001:db8::1]\0" + b"6\0\x19" + b"2001:db8::1\0", b"Happ\0"]
    assert heard[4:7] == [b"DM{auth_authen}\0shop\0", b"M<s@example.com>\0", b"R<r@example.org>\0"]
    assert heard[8:10] == [b"LFrom\0 a@example.com\0", b"LSubject\0 two\n lines\0"]
    assert heard[11] == b"Bbody\r\n"


def test_header_values_go_without_the_space_where_the_filter_did_not_ask_for_it():
    _outcome, heard = talk(packet(b"O" + struct.pack("!III", 6, 0x1F, 0)), *CONTINUE, packet(b"a"))
    assert b"LFrom\0a@example.com\0" in heard


def test_added_headers_are_kept_in_order_and_progress_is_passed_over():
    outcome, _heard = talk(AGREED, *CONTINUE, packet(b"p") + packet(b"hX-One\0 1\0")
                           + packet(b"i" + struct.pack("!I", 1) + b"DKIM-Signature\0 v=1;\n\tb=x\0") + packet(b"c"))
    assert outcome == Outcome("accept", "", (("X-One", "1"), ("DKIM-Signature", "v=1;\n\tb=x")))


@pytest.mark.parametrize("answer, outcome", [
    (b"y550 5.7.1 no key\0", Outcome("reject", "550 5.7.1 no key")),
    (b"y451 4.7.5 wait\0", Outcome("tempfail", "451 4.7.5 wait")),
    (b"r", Outcome("reject")),
    (b"t", Outcome("tempfail")),
    (b"d", Outcome("discard")),
])
@pytest.mark.parametrize("step", [0, 2, 7, 9])
def test_a_refusal_at_any_step_is_the_outcome(step, answer, outcome):
    assert talk(AGREED, *CONTINUE[:step], packet(answer))[0] == outcome


@pytest.mark.parametrize("answers, said", [
    ([packet(b"c")], "expected the answer to the negotiation"),
    ([packet(b"O\0\0")], "expected the answer to the negotiation"),
    ([packet(b"O" + struct.pack("!III", 6, 0, 0x80))], "liberties"),
    ([AGREED], "closed the connection"),
    ([AGREED, packet(b"z")], "expected a verdict"),
    ([AGREED, struct.pack("!I", 0)], "a packet says that it has 0 bytes"),
    ([AGREED, struct.pack("!I", 1 << 30)], "a packet says"),
    ([AGREED, *CONTINUE, packet(b"hX-One")], "a header without a value"),
])
def test_a_filter_that_breaks_the_protocol(answers, said):
    with pytest.raises(MilterError, match=said):
        talk(*answers)


def test_a_long_body_goes_in_pieces():
    milter = Filter([AGREED, *CONTINUE, packet(b"c"), packet(b"a")])
    with milter.client:
        submit(milter.client, Message(MESSAGE.headers, b"x" * 70000, "s", ("r",)))
    assert [len(content) for content in milter.heard if content[:1] == b"B"] == [65536, 4466]
