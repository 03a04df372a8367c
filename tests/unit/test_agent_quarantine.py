# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes nothing is kept within bounds, and so is what was never finished."""

from __future__ import annotations

import base64
import os

import pytest
from agent_host import Host, host
from agent_world import DAY, FEEDBACK, KEYS, NOW, PASSED, message
from mailfleet import events
from mailfleet.errors import Trouble
from mailfleet.finding import Kind
from mailfleet.quarantine import Quarantine

__all__ = ["host"]


BLOCK = 4096


@pytest.fixture
def place(tmp_path):
    return Quarantine(str(tmp_path / "quarantine"), 1 << 20, 30, 90)


def take(place: Quarantine, raw: bytes, token: str = "", since: float = NOW) -> None:
    path = os.path.join(place.folder, "came")
    with open(path, "wb") as file:
        file.write(raw)
    os.utime(path, (since, since))
    place.take(path, raw, "other-recipient" if token else "no-token", token)
    assert not os.path.exists(path)


def tokens(many: int, first: int = 0) -> list[str]:
    return [base64.b32encode(b"%016d" % n)[:26].decode().lower() for n in range(first, first + many)]


def kept(place: Quarantine, folder: str = "token") -> dict[str, list[int]]:
    """The sizes of what is kept of each token."""
    found: dict[str, list[int]] = {}
    for each in place.kept(folder):
        found.setdefault(each.token, []).append(each.size)
    return {token: sorted(sizes) for token, sizes in found.items()}


def test_the_quarantine_has_a_bound_and_junk_displaces_no_token(tmp_path):
    host = Host(tmp_path, quarantine={"bytes": 1 << 20})
    host.put(message("other@acme.test", to=host.token()))
    host.worker.round()
    for n in range(40):
        host.now += 1
        host.put(message(extra=f"{n}" + "x" * 60000))
        host.worker.round()
    left = list(host.quarantine.kept("other"))
    assert sum(each.size for each in left) <= 1 << 20
    assert min(each.since for each in left) > NOW + 20  # the oldest went
    counts = host.quarantine.counts()
    assert counts["no-token"]["kept"] == len(left) and sum(counts["no-token"].values()) == 40
    assert counts["other-recipient"] == {"kept": 1, "gone": 0, "again": 0}
    host.store.close()


def test_junk_goes_by_the_days_of_the_quarantine_and_tokens_by_those_of_events(tmp_path):
    host = Host(tmp_path, retention_days=60)
    host.put(message("other@acme.test", to=host.token()), message())
    host.worker.round()
    for days, left in ((29, 2), (31, 1), (59, 1), (61, 0)):
        again = Quarantine.of(host.settings)
        again.tidy(NOW + days * DAY)
        assert sum(each["kept"] for each in again.counts().values()) == left, days
    assert Quarantine.of(host.settings).counts() == {
        "no-token": {"kept": 0, "gone": 1, "again": 0}, "other-recipient": {"kept": 0, "gone": 1, "again": 0}}
    host.store.close()


def test_a_flood_of_tiny_junk_is_bounded_by_what_it_takes_on_the_disk(place):
    for n in range(600):
        take(place, b"x%d" % n)
    assert len(list(place.kept("other"))) <= 256


def test_of_one_token_the_first_messages_are_kept_and_what_is_more_is_junk(place):
    mine, yours = tokens(2)
    take(place, b"yours", yours)
    for n in range(300):
        take(place, b"%d" % n, mine, NOW + n)
    assert kept(place) == {mine: [BLOCK] * 10, yours: [BLOCK]}
    assert max(each.since for each in place.kept("token")) == NOW + 9
    assert place.counts()["other-recipient"]["kept"] == 11 + len(list(place.kept("other"))) <= 11 + 256


def test_of_one_token_so_many_octets_are_kept_whatever_the_messages_have(place):
    mine, yours = tokens(2)
    for n in range(3):
        take(place, b"%d" % n + b"x" * (200 << 10), mine)
    take(place, b"y" * (300 << 10), yours)
    assert kept(place) == {mine: [BLOCK, 52 << 10, 204 << 10], yours: [256 << 10]}
    # Cut as they are, they are known again.
    take(place, b"Received: by mta2\r\n" + b"y" * (300 << 10), yours)
    assert place.counts()["other-recipient"] == {"kept": 4, "gone": 0, "again": 1}


def test_a_flood_of_many_tokens_shortens_itself_and_drops_nothing(place):
    notices = tokens(20)
    for token in notices:
        take(place, b"x" * 9000, token)
    for n, token in enumerate(tokens(30, 100)):
        take(place, b"x" * (200 << 10), token, NOW + n)
        assert sum(map(sum, kept(place).values())) <= 1 << 20
    sizes = kept(place)
    assert len(sizes) == 50 and all(sizes[token] == [3 * BLOCK] for token in notices)
    assert {each.since for each in place.kept("token")} == {NOW + n for n in range(30)}


def test_where_beginnings_alone_are_too_much_each_token_still_has_its_first(place):
    for token in tokens(400):
        for n in range(3):
            take(place, b"%d" % n + b"x" * 5000, token)
    found = kept(place)
    assert len(found) == 400 and {size for sizes in found.values() for size in sizes} == {BLOCK}
    assert sum(map(sum, found.values())) <= (1 << 20) * 11 // 10 + 400 * BLOCK
    assert found[tokens(400)[-1]] == [BLOCK]  # the last one's first
    again = Quarantine(place.folder, 1 << 20, 30, 90)  # a start finds it as it is
    extra, = tokens(1, 1000)
    for n in range(3):
        take(again, b"%d" % n, extra)
    assert kept(again)[extra] == [BLOCK]
    # Once the old ones have gone there is room again.
    again.tidy(NOW + 91 * DAY)
    later, = tokens(1, 2000)
    for n in range(3):
        take(again, b"%d" % n + b"x" * 5000, later)
    assert kept(again) == {later: [2 * BLOCK] * 3}


def test_the_folder_is_not_read_as_a_whole_for_a_message(place, monkeypatch):
    scans, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scan(path))
    for token in tokens(50):
        take(place, b"x", token)
        for _again in range(10):
            take(place, b"y" * 9000)
    assert len(scans) == 50 and all(os.path.dirname(path).endswith("token") for path in scans)
    # Nor where it has more than it should, and nothing more to cut.
    for token in tokens(500, 100):
        take(place, b"x", token)
    assert sum(path.endswith("token") for path in scans) < 20


def test_what_is_beyond_the_events_of_a_token_is_kept_too(host, monkeypatch):
    monkeypatch.setattr("mailfleet.events.MOST_OF_A_TOKEN", 3)
    for n in range(4):
        host.put(*[message(to=host.token(), extra=f"{n} {m}") for m in range(2)])
        host.worker.round()
    assert len(events.after(host.store, 0, 10)) == 3 and host.spool.names() == []
    assert host.quarantine.counts()["too-many"]["kept"] == 5 and host.reasons() == {"too-many": "token"}
    # What was recorded is known, and no more than that.
    host.put(*[message(to=host.token(), extra=f"0 {m}") for m in range(2)])
    host.worker.round()
    assert host.quarantine.counts()["too-many"] == {"kept": 5, "gone": 0, "again": 0}


def test_what_came_again_is_counted_and_kept_once(host):
    raw = message("other@acme.test", to=host.token())
    for n in range(3):
        host.put(b"Received: by mta%d\n" % n + raw, b"Received: by mta%d\n" % n + message())
    host.worker.round()
    host.start()
    assert host.quarantine.counts() == {"no-token": {"kept": 1, "gone": 0, "again": 2},
                                        "other-recipient": {"kept": 1, "gone": 0, "again": 2}}


def test_what_is_retried_is_judged_anew_as_old_as_it_was(tmp_path):
    host = Host(tmp_path, secrets={"token_keys": KEYS | {"c": "ab" * 16}}, token={"current": "c"})
    lost = host.token()
    host = Host(tmp_path)
    host.put(message(to=lost), message())
    host.worker.round()
    assert host.reasons() == {"unknown-key": "other", "no-token": "other"}
    host.now += 60 * DAY
    assert host.quarantine.release(["unknown-key"], host.spool) == 1
    host.worker.round()
    assert host.reasons() == {"unknown-key": "other", "no-token": "other"} and not host.spool.names()
    host = Host(tmp_path, secrets={"token_keys": KEYS | {"c": "ab" * 16}})
    host.now += 60 * DAY
    assert host.quarantine.release(["unknown-key", "wrong-mac"], host.spool) == 1
    host.worker.round()
    assert [each.recipient for each in events.after(host.store, 0, 9)] == ["u@acme.test"]
    assert host.reasons() == {"no-token": "other"}
    host.store.close()


@pytest.mark.parametrize(("came", "believed"), [("arrive", 1), ("put", 0)])
def test_what_is_retried_is_still_from_where_it_came(tmp_path, came, believed):
    complaint = PASSED.encode() + message(kind=Kind.COMPLAINT)
    host = Host(tmp_path)
    getattr(host, came)(complaint)
    host.worker.round()
    assert host.reasons() == {"no-token": "other"}
    host = Host(tmp_path, feedback=FEEDBACK)
    assert host.quarantine.release(["no-token"], host.spool) == 1
    host.worker.round()
    assert len(events.after(host.store, 0, 9)) == believed
    assert len(host.reasons()) == 1 - believed
    host.store.close()


def test_what_is_taken_while_it_is_released_is_left(place, monkeypatch, host):
    take(place, b"a")
    (path,) = [each.path for each in place.kept("other")]
    found = list(place.kept("other"))
    os.unlink(path)
    monkeypatch.setattr(place, "kept", lambda folder: found if folder == "other" else [])
    assert place.release(["no-token"], host.spool) == 0


@pytest.mark.parametrize("garbage", [
    b"", b"\x00", b"[]", b'{"gone": []}', b'{"gone": {"no-token": "many"}, "again": 3}', b"[" * 100000, b"\xff\xfe",
])
def test_counts_that_cannot_be_read_begin_anew(place, garbage):
    with open(os.path.join(place.folder, "counts.json"), "wb") as file:
        file.write(garbage)
    take(place, b"x")
    take(place, b"x")
    place.save()
    assert place.counts() == {"no-token": {"kept": 1, "gone": 0, "again": 1}}


def test_a_quarantine_on_another_file_system_is_refused(place, tmp_path):
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


def test_what_is_finished_or_cannot_go_while_it_is_swept_stops_nothing(host):
    os.mkdir(os.path.join(host.spool.tmp, "a"))
    os.symlink("/nowhere", os.path.join(host.spool.tmp, "b"))
    for name in "ab":
        os.utime(os.path.join(host.spool.tmp, name), (0, 0), follow_symlinks=False)
    host.spool.tidy(NOW)
    assert os.listdir(host.spool.tmp) == ["a"]
