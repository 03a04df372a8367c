# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files hold a log, and in which order."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os

import pytest
from mailfleet.errors import Unavailable
from mailfleet.maillog import places
from mailfleet.maillog.places import Source, chain, head

LIVE = "mail.log"


def names(folder) -> list[str]:
    return [os.path.basename(each.path) for each in chain(str(folder / LIVE))]


def make(folder, *wanted: str) -> None:
    for age, name in enumerate(wanted):
        (folder / name).write_bytes(b"x\n")
        os.utime(folder / name, (2000 - age, 2000 - age))


def test_numbers_fall_as_time_goes(tmp_path):
    make(tmp_path, LIVE, "mail.log.1", "mail.log.2.gz", "mail.log.10.xz", "mail.log.9.bz2")
    assert names(tmp_path) == ["mail.log.10.xz", "mail.log.9.bz2", "mail.log.2.gz", "mail.log.1", LIVE]


def test_dates_rise_as_time_goes(tmp_path):
    make(tmp_path, "mail.log-20261128", "mail.log-20261127-1795760000.gz", "mail.log-20261231",
         "mail.log-2026112714.gz", "mail.log-20261126.xz", LIVE)
    assert names(tmp_path) == ["mail.log-20261126.xz", "mail.log-20261127-1795760000.gz", "mail.log-2026112714.gz",
                               "mail.log-20261128", "mail.log-20261231", LIVE]


@pytest.mark.parametrize(("newer", "older"), [("mail.log.1", "mail.log-20261128.gz"),
                                              ("mail.log-20261128", "mail.log.1")])
def test_names_of_before_a_change_of_logrotate_are_older(tmp_path, newer, older):
    make(tmp_path, LIVE, newer, older)
    assert names(tmp_path) == [older, newer, LIVE]


def test_what_is_no_log_of_it_is_left_out(tmp_path):
    make(tmp_path, LIVE, "mail.log.old", "mail.log.1.gz.tmp", "mail.log.gz", "mail.err", "xmail.log.1", "mail.log-now",
         "mail.log.1.zst", "mail.log.-1")
    os.mkfifo(tmp_path / "mail.log.2")
    (tmp_path / "mail.log.3").mkdir()
    assert names(tmp_path) == [LIVE]


def test_a_file_that_is_being_packed_counts_once_and_plain(tmp_path):
    make(tmp_path, "mail.log.2", "mail.log.2.gz", "mail.log-20261128.gz", "mail.log-20261128")
    assert sorted(names(tmp_path)) == ["mail.log-20261128", "mail.log.2"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(Unavailable, match="none: No such file or directory; expected the folder of the log"):
        chain(str(tmp_path / "none" / LIVE))
    assert chain(str(tmp_path / LIVE)) == []


def test_a_list_is_believed_once_two_looks_agree(tmp_path, monkeypatch):
    make(tmp_path, LIVE, "mail.log.1")
    looks, listdir = [], os.listdir

    def rotating(folder):
        found = listdir(folder)
        looks.append(found)
        if len(looks) == 1:  # it goes on behind our back
            os.rename(tmp_path / "mail.log.1", tmp_path / "mail.log.2")
            os.rename(tmp_path / LIVE, tmp_path / "mail.log.1")
        return found

    monkeypatch.setattr(os, "listdir", rotating)
    assert names(tmp_path) == ["mail.log.2", "mail.log.1"] and len(looks) == 3


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress),
                                              (".bz2", bz2.compress)])
def test_a_file_is_read_at_an_offset_however_it_is_packed(tmp_path, ending, pack):
    content = b"".join(b"line %06d\n" % number for number in range(60000))
    (tmp_path / f"mail.log.1{ending}").write_bytes(pack(content))
    with Source(chain(str(tmp_path / LIVE))[0]) as source:
        assert source.at(0, 7) == content[:7]
        assert source.at(300001, 500000) == content[300001:]
        assert source.at(len(content), 10) == source.at(len(content) + 5, 10) == b""


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_of_a_damaged_file_what_is_before_the_damage_is_read(tmp_path, ending, pack):
    content = b"".join(b"line %06d %d\n" % (number, number * 7919 % 100003) for number in range(60000))
    (tmp_path / f"mail.log.1{ending}").write_bytes(pack(content)[:-8000])
    found, damage = b"", None
    with Source(chain(str(tmp_path / LIVE))[0]) as source:
        while damage is None:
            try:
                found += source.at(len(found), 1 << 20)
            except places.DAMAGE as error:
                damage = error
    assert content.startswith(found) and len(found) > len(content) // 2


def test_another_file_under_a_name_is_not_opened(tmp_path):
    make(tmp_path, LIVE)
    found = chain(str(tmp_path / LIVE))[0]
    (tmp_path / "other").write_bytes(b"y\n")
    os.rename(tmp_path / "other", tmp_path / LIVE)
    with pytest.raises(FileNotFoundError):
        Source(found)


def test_a_file_is_known_by_its_first_line():
    long = b"x" * 5000
    assert head(b"", True) == head(b"part", False) == head(b"x" * 4095, False) == ""
    assert head(b"one\ntwo\n", False) == head(b"one\n", True) != head(b"one", True)
    assert head(long, False) == head(long[:4096], False) == head(long + b"\n", True) != head(b"", False)
