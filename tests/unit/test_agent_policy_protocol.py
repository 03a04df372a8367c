# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Postfix asks the policy service, and what others may send to it in its place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailfleet.policy_protocol import MOST, Garbage, Question, Requests, question


def request(**changes) -> bytes:
    found = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
             "sender": "b+x@e.example.com", "recipient": "u@acme.test", "sasl_username": "app", "server_port": "587",
             "ccert_subject": "a=b"} | changes
    return "".join(f"{name}={value}\n" for name, value in found.items()).encode() + b"\n"


@given(st.lists(st.binary(max_size=60) | st.just(request()) | st.just(b"\n\n"), max_size=8), st.integers(1, 50))
def test_whatever_comes_is_requests_or_garbage(pieces, size):
    octets, reader = b"".join(pieces), Requests()
    with contextlib.suppress(Garbage):
        for start in range(0, len(octets), size):
            for each in reader.feed(octets[start:start + size]):
                question(each)


@given(st.lists(st.integers(1, 400), max_size=6))
def test_requests_are_the_same_however_they_are_cut(cuts):
    octets, found, reader, start = request() + request(recipient="v@acme.test"), [], Requests(), 0
    for size in [*cuts, len(octets)]:
        found += reader.feed(octets[start:start + size])
        start += size
    assert [question(each) for each in found] == [
        Question("b+x@e.example.com", each, "app", "587") for each in ("u@acme.test", "v@acme.test")]


def test_a_request_without_an_end_is_garbage():
    with pytest.raises(Garbage, match="more than"):
        Requests().feed(b"x=" + b"y" * MOST)


@pytest.mark.parametrize("changes", [{"request": "junk"}, {"recipient": ""}, {"protocol_state": "DATA"}])
def test_what_is_no_question_of_ours_passes(changes):
    assert question(Requests().feed(request(**changes))[0]) is None
