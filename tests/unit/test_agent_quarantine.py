# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes nothing is kept within bounds, and so is what was never finished."""

from __future__ import annotations

import os

import pytest
from agent_host import Host, host
from agent_world import DAY, NOW, message
from mailfleet.errors import Trouble
from mailfleet.quarantine import Quarantine

__all__ = ["host"]


def test_the_quarantine_has_a_bound_and_junk_displaces_no_token(tmp_path):
    host = Host(tmp_path, quarantine={"bytes": 1 << 20})
    host.put(message("other@acme.test", to=host.token()))
    host.worker.round()
    for n in range(40):
        host.now += 1
        host.put(message(extra=f"{n}" + "x" * 60000))
        host.worker.round()
    kept = host.quarantine.kept("other")
    assert sum(each.size for each in kept) <= 1 << 20
    assert min(each.since for each in kept) > NOW + 20  # the oldest went
    counts = host.quarantine.counts()
    assert counts["no-token"]["kept"] == len(kept) and sum(counts["no-token"].values()) == 40
    assert counts["other-recipient"] == {"kept": 1, "gone": 0}
    again = Quarantine(host.settings.quarantine, 1 << 20, 30)
    again.tidy(NOW + 31 * DAY)
    assert again.counts()["other-recipient"] == {"kept": 0, "gone": 1}
    host.store.close()


def test_a_flood_of_tiny_junk_is_bounded_by_what_it_takes_on_the_disk(tmp_path):
    place = Quarantine(str(tmp_path / "q"), 1 << 20, 30)
    for n in range(600):
        raw = b"x%d" % n
        (tmp_path / "m").write_bytes(raw)
        place.take(str(tmp_path / "m"), raw, "no-token", token=False)
    assert len(place.kept("other")) <= 256


def test_a_quarantine_on_another_file_system_is_refused(tmp_path):
    place = Quarantine(str(tmp_path / "q"), 1 << 20, 30)
    place.check(str(tmp_path))
    with pytest.raises(Trouble, match="on another file system"):
        place.check("/proc")


def test_a_spool_lists_no_more_than_it_has_to(host, monkeypatch):
    monkeypatch.setattr("mailfleet.spool.MOST_AT_ONCE", 3)
    host.put(*[message(extra=str(n)) for n in range(7)])
    assert [host.worker.round() for _each in range(4)] == [3, 3, 1, 0]


def test_what_was_begun_and_never_finished_is_swept(host):
    left = os.path.join(host.spool.tmp, "left")
    for age, there in ((35 * 3600, True), (37 * 3600, False)):
        with open(left, "w", encoding="utf-8"):
            os.utime(left, (NOW - age, NOW - age))
        host.spool.tidy(NOW)
        assert os.path.exists(left) is there
