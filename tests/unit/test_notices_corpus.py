# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The public corpus of bounces, read as careful readers of it do, within the bounds that are promised."""

from __future__ import annotations

import pytest
from bounce_corpus import CORPUS, count
from mailfleet.notices import read
from mailfleet.reasons import ORDER, UNDETERMINED

if not CORPUS.exists():
    pytest.skip(f"the corpus is not at {CORPUS}", allow_module_level=True)

LINES = {
    "LF": lambda raw: raw.replace(b"\r\n", b"\n"),
    "CRLF": lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
}


@pytest.fixture(scope="module", params=LINES)
def total(request):
    return count(lambda raw: read(raw).findings, LINES[request.param])


def test_recipients_are_found(total):
    assert total.recipients > 400
    assert total.share(total.found) >= 0.97, total.wrong


def test_hard_and_soft_are_right(total):
    assert total.share(total.kinds) >= 0.95, total.wrong


def test_soft_is_not_called_hard(total):
    assert total.share(total.soft_called_hard, total.soft) <= 0.02, total.wrong


def test_reasons_are_right(total):
    assert total.share(total.reasons) >= 0.85, total.wrong


def test_all_complaints_are_found(total):
    assert (total.complaints, total.complaints_found) == (18, 18)


def test_no_other_message_is_flagged(total):
    assert (total.others, total.others_flagged) == (7, 0)


def test_every_rule_that_decided_is_named():
    names = {reason.name for reason in ORDER} | {UNDETERMINED, "complaint", "auto-reply", "delivered", "authentication"}
    seen = []
    count(lambda raw: seen.extend(read(raw).findings) or ())
    assert {each.reason for each in seen} <= names
    assert [each for each in seen if not each.rule] == []
