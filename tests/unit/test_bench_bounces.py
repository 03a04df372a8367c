# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bench/bounces measures beside ours reads what it can read, so its figures are no straw man's."""

from __future__ import annotations

import sys
from pathlib import Path

from notice_world import plain, report
from test_notices_texts import FORMS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "bounces"))

import rivals

UNKNOWN = report("Final-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\n")


def test_all_read_a_report():
    for reader in (rivals.flufl, rivals.plain):
        assert [(each.recipient, each.kind) for each in reader(UNKNOWN)] == [("ann@example.net", "hard")]


def test_a_delay_is_soft_for_all():
    waits = UNKNOWN.replace(b"failed", b"delayed").replace(b"5.1.1", b"4.4.1")
    for reader in (rivals.flufl, rivals.plain):
        assert [(each.recipient, each.kind) for each in reader(waits)] == [("ann@example.net", "soft")]


def test_flufl_reads_a_text():
    sender, subject, body, expected = FORMS["qmail"]
    assert {each.recipient for each in rivals.flufl(plain(sender, subject, body))} == set(expected)
