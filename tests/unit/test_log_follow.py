# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following a log over what is done to its files: each line once, and what may be lost is told."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import time

import pytest
from mailfleet.errors import Unavailable
from mailfleet.maillog import follow, places
from mailfleet.maillog.follow import Files
from rotated_log import Log, all_of


class World:
    def __init__(self, folder) -> None:
        self.log = Log(folder)
        self.told: list[str] = []
        self.got: list[bytes] = []
        self.place = None
        self.start()

    def start(self, **more) -> None:
        self.files = Files(str(self.log.path), self.place, say=self.told.append, **more)

    def read(self) -> None:
        self.got += all_of(self.files)
        self.place = json.loads(json.dumps(self.files.place()))

    def restart(self) -> None:
        self.files.close()
        self.start()

    @property
    def whole(self) -> bool:
        self.read()
        return self.got == self.log.lines and self.files.lost == 0 and self.told == []


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.files.close()
    made.log.close()


def test_all_there_is_is_read_to_begin_with_the_oldest_first(world):
    for ending in (".gz", ".xz", ".bz2", ""):
        world.log.append(3)
        world.log.rotate()
        if ending:
            world.log.pack(1, ending)
    world.log.append(2)
    assert world.whole and len(world.got) == 14


def test_a_line_without_an_end_waits(world):
    world.log.write(b"Nov 28 13:00:00 mta1 postfix/smtp[1]: be")
    world.read()
    assert world.got == []
    world.restart()
    world.log.write(b"gun\nanother")
    assert world.whole and world.got == [b"Nov 28 13:00:00 mta1 postfix/smtp[1]: begun\n"]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_a_log_that_was_rotated_is_read_to_its_end_first(world, down, times, ending):
    world.log.append(3)
    world.read()
    if down:
        world.files.close()
    for _each in range(times):
        world.log.append(2)
        world.log.rotate(lambda: world.log.append(1))
        if ending:
            world.log.pack(1, ending)
    world.log.append(2)
    if down:
        world.start()
    assert world.whole and len(world.got) == 5 + 3 * times


def test_what_syslog_still_writes_to_the_old_file_is_read(world):
    world.log.append()
    world.read()

    def before_it_opens_the_new_one():
        for _each in range(3):
            world.log.append()
            world.read()
        assert len(world.got) == 4

    world.log.rotate(before_it_opens_the_new_one)
    world.log.append()
    assert world.whole


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("down", [False, True])
def test_after_copytruncate_the_copy_is_read_to_its_end(world, down, packed):
    world.log.append(5)
    world.read()
    if down:
        world.files.close()
    world.log.append(3, 1000)
    world.log.copytruncate()
    if packed:
        world.log.pack()
    world.log.append(50, 1000)  # and more than was read of it
    if down:
        world.start()
    assert world.whole


def test_a_file_is_looked_at_anew_though_inode_size_and_time_are_the_same(world, monkeypatch):
    """The clock of a file system has ticks, and in one of them much can happen."""
    found = places._of
    monkeypatch.setattr(places, "_of", lambda *which: (each := found(*which)) and dataclasses.replace(each, mtime=0))
    world.log.append(1, 300)
    world.log.copytruncate(world.read)
    world.log.append(1, 300)
    world.files.behind()
    world.log.append(1)
    world.restart()
    assert world.whole


@pytest.mark.parametrize("down", [False, True])
def test_a_file_is_another_by_its_first_line_too(world, down):
    """What was read ended like what is there now, at the same place."""
    world.log.append(1, 5000)
    world.read()
    world.log.append(1)
    if down:
        world.files.close()
    world.log.copytruncate()
    world.log.append(2, 5000)
    if down:
        world.start()
    assert world.whole


def test_what_is_written_between_copy_and_truncation_counts_once_if_it_was_read(world):
    """It is lost to everybody else."""
    world.log.append(3)

    def between():
        world.log.append(2)
        world.read()

    world.log.copytruncate(between)
    world.log.append(1)
    assert world.whole and len(world.got) == 6


def test_a_copy_that_is_not_finished_is_not_taken_for_all(world, tmp_path):
    world.log.append(5)
    content = world.log.path.read_bytes()
    (tmp_path / "mail.log.1").write_bytes(content[:len(content) // 2])
    assert world.whole
    world.log.append(1)
    assert world.whole


@pytest.mark.parametrize("down", [False, True])
def test_an_emptied_log_is_told_once_and_read_on(world, down):
    world.log.append(5)
    world.read()
    if down:
        world.files.close()
    os.truncate(world.log.path, 0)
    if down:
        world.start()
    for _each in range(3):
        world.read()
        world.restart()
    world.log.append(2)
    world.read()
    assert world.got == world.log.lines and world.files.lost == 1
    assert [each for each in world.told if "gone, and no copy of it is there; a stretch" in each] == world.told
    assert len(world.told) == 1


def test_a_log_that_vanished_is_told_and_the_next_ones_are_read(world, tmp_path):
    world.log.append(3)
    world.log.rotate()
    world.log.append(3)
    world.read()
    world.files.close()
    seen = len(world.log.lines)
    world.log.append(5)  # nobody will ever read these
    world.log.rotate()
    (tmp_path / "mail.log.1").unlink()
    kept = len(world.log.lines)
    world.log.append(4)
    world.start()
    world.read()
    assert world.got == world.log.lines[:seen] + world.log.lines[kept:] and world.files.lost == 1


def test_a_log_that_was_removed_while_it_was_open_is_read_to_its_end(world):
    world.log.append(3)
    world.read()
    world.log.append(3)
    world.log.path.unlink()
    world.read()
    world.log.reopen()
    world.log.append(1)
    assert world.whole


def test_an_inode_that_is_used_again_is_another_file(world, monkeypatch):
    world.log.append(3)
    world.read()
    world.files.close()
    status = world.log.path.stat()
    world.log.rotate()
    world.log.append(30)
    # The file system gave the new file the number of the old one, and that one got another.
    number, old = world.log.path.stat().st_ino, status.st_ino
    swap = {number: old, old: number}
    stat, fstat = os.stat, os.fstat

    def swapped(found):
        fields = list(found)
        fields[1] = swap.get(found.st_ino, found.st_ino)
        return os.stat_result(fields, {"st_mtime_ns": found.st_mtime_ns})

    monkeypatch.setattr(os, "stat", lambda *args, **more: swapped(stat(*args, **more)))
    monkeypatch.setattr(os, "fstat", lambda *args: swapped(fstat(*args)))
    world.start()
    assert world.whole


@pytest.mark.parametrize("down", [False, True])
def test_a_log_that_was_written_anew_is_read_on_at_its_end(world, down):
    """Somebody took an address out of it: what is there is not counted again."""
    world.log.append(5)
    world.read()
    if down:
        world.files.close()
    lines = world.log.path.read_bytes().splitlines(keepends=True)
    other = world.log.path.with_name("other")
    other.write_bytes(b"".join(lines[:2] + lines[3:]))
    os.rename(other, world.log.path)
    world.log._file.close()
    world.log.reopen()
    if down:
        world.start()
    world.read()
    world.log.append(2)
    world.read()
    assert world.got == world.log.lines and world.files.lost == 1 and "was changed: it is read on from" in world.told[0]


def test_a_log_that_was_written_anew_and_grew_is_read_on_at_its_end(world):
    """It begins as before, and has more bytes than were read: that is not yet the same file."""
    world.log.append(5)
    world.read()
    world.files.close()
    lines = world.log.path.read_bytes().splitlines(keepends=True)
    os.truncate(world.log.path, 0)
    world.log._file.write(lines[0] + b"another line\n" * 30)
    world.start()
    world.read()
    world.log.append(2)
    world.read()
    assert world.got == world.log.lines and world.files.lost == 1 and len(world.told) == 1


def test_a_line_without_end_is_cut_and_counted(world, monkeypatch):
    monkeypatch.setattr(follow, "BLOCK", 1000)
    world.log.append()
    world.log.write(b"y" * 2500)
    world.read()
    assert [len(each) for each in world.got[1:]] == [1001, 1001] and world.files.cut == 2
    world.restart()
    world.log.write(b"z\n")
    world.log.append()
    world.read()
    assert world.got[3:] == [b"y" * 500 + b"z\n", world.log.lines[-1]] and world.files.place()["cut"] == 2


def test_a_damaged_file_is_read_up_to_the_damage_and_told(world, tmp_path):
    world.log.append(4000, 20)
    first = list(world.log.lines)
    world.log.rotate()
    world.log.append(2)
    plain = tmp_path / "mail.log.1"
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(plain.read_bytes())[:-500])
    plain.unlink()
    world.read()
    assert world.got[-2:] == world.log.lines[-2:] and world.files.lost == 1 and "is damaged" in world.told[0]
    read = b"".join(world.got[:-2])
    assert len(read) > 10000 and b"".join(first).startswith(read[:-1])
    world.restart()
    world.read()
    assert world.files.lost == 1 and len(world.told) == 1


def test_a_file_of_which_nothing_can_be_read_is_told_once(world, tmp_path):
    world.log.append(2)
    (tmp_path / "mail.log.1.gz").write_bytes(b"no gzip")
    world.read()
    world.restart()
    world.log.append(2)
    world.read()
    assert world.got == world.log.lines and world.files.lost == 1
    assert [each for each in world.told if "nothing of it can be read" in each] == world.told and len(world.told) == 1


def test_files_from_before_the_time_that_is_kept_are_left_out_to_begin_with(world, tmp_path):
    world.log.append(2)
    world.log.rotate()
    os.utime(tmp_path / "mail.log.1", (1000, 1000))
    world.log.append(3)
    world.start(since=time.time() - 1000)
    world.read()
    world.restart()
    world.read()
    assert world.got == world.log.lines[2:] and world.files.lost == 0


def test_what_is_there_can_be_passed_by(world):
    world.log.append(3)
    world.files.to_end()
    world.place = world.files.place()
    world.restart()
    world.log.append(2)
    world.read()
    assert world.got == world.log.lines[3:] and world.files.lost == 0


def test_a_log_that_is_not_there_yet_is_waited_for(world):
    world.log.path.unlink()
    world.read()
    assert world.files.read() == b"" and world.files.place()["mark"] is None
    told, = world.told
    assert told.startswith(f"{world.log.path}: no such file, nor one that it was rotated to; expected the mail log")
    world.told.clear()
    world.log.reopen()
    world.log.append(1)
    assert world.whole
    # In the middle of a rotation it is not there either.
    world.log.rotate(between=world.read, create=False)
    world.restart()
    assert world.whole


def test_a_log_that_may_not_be_read_is_told(world, monkeypatch):
    world.log.append()

    def refused(found):
        raise PermissionError(13, "Permission denied", found.path)

    monkeypatch.setattr(follow, "Source", refused)
    with pytest.raises(Unavailable, match="mail.log: Permission denied; expected a log that the agent's user may read. "
                                          "On Debian it is one that is in the group adm"):
        world.read()
    monkeypatch.undo()
    assert world.whole


def test_what_is_behind_is_known(world):
    world.log.append(2)
    size = world.log.path.stat().st_size
    assert world.files.behind() == size
    world.read()
    assert world.files.behind() == 0
    world.log.append(3)
    more = world.log.path.stat().st_size - size
    assert world.files.behind() == more
    world.log.rotate()
    world.log.append(1)
    assert world.files.behind() == more + world.log.path.stat().st_size
    world.read()
    assert world.files.behind() == 0


def test_where_nothing_comes_a_look_is_a_stat_and_a_read(world, monkeypatch):
    world.log.append(2)
    world.read()
    monkeypatch.setattr(follow, "chain", lambda _path: pytest.fail("the folder was read"))
    assert world.files.read() == b""
