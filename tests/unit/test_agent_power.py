# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on the disk when the power fails: nothing is removed anywhere before its successor is synced."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_world import config, message, settings_in
from mailfleet.errors import Unavailable
from mailfleet.fetching import Fetcher, fetch
from mailfleet.mailboxes import errors
from mailfleet.settings import Remote
from mailfleet.spool import Spool, write_file

REMOTE = Remote("seed", "pop3", "mail.example.net", 995, "bounces", "s3cret-pass")
WORK = """
import sys
from agent_world import read
from mailfleet.quarantine import Quarantine
from mailfleet.settings import load
from mailfleet.spool import Spool
from mailfleet.store import open_store
from mailfleet.worker import Worker
settings = load(sys.argv[1])
quarantine = Quarantine.of(settings)
print(Worker(settings, open_store(settings), Spool(settings.maildir), quarantine, read).round())
"""


class Box:
    """A mailbox of a test; what happens is noted in ``log``."""

    def __init__(self, messages: dict[str, bytes], log: list[str], fail: str = "") -> None:
        self.there, self.log, self.fail = messages, log, fail

    def messages(self) -> Iterator[tuple[str, int]]:
        return iter([(name, len(raw)) for name, raw in self.there.items()])

    def content(self, name: str) -> bytes:
        if self.fail == name:
            raise EOFError("gone")
        return self.there[name]

    def remove(self, names) -> None:
        self.log.append("remove " + " ".join(names))
        if self.fail == "remove":
            raise ConnectionResetError("reset")
        for name in names:
            del self.there[name]

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def log(monkeypatch) -> list[str]:
    """What is synced and renamed, in order, by the last part of each path; the real thing happens too."""
    noted: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        sync(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        noted.append("sync " + (path.name if path.is_dir() else path.parent.name))

    def renaming(old: str, new: str) -> None:
        rename(old, new)
        noted.append(f"rename {Path(old).parent.name} {Path(new).parent.name}")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renaming)
    return noted


def test_a_mailbox_is_emptied_once_all_is_on_the_disk(tmp_path, log):
    box = Box({"1": b"one", "2": b"two"}, log)
    spool = Spool(str(tmp_path / "spool"))
    assert fetch(REMOTE, spool, print, opened=lambda _remote: box) == 2
    stored = ["sync tmp", "rename tmp new", "sync new"]
    assert log == [*stored, *stored, "remove 1 2", "close"]
    assert sorted(spool.read(name, 99)[0] for name in spool.names()) == [b"one", b"two"]


@pytest.mark.parametrize(("fail", "stored"), [("1", 0), ("2", 1), ("remove", 2)])
def test_a_mailbox_that_breaks_off_keeps_what_is_not_here(tmp_path, fail, stored):
    log: list[str] = []
    box = Box({"1": b"one", "2": b"two"}, log, fail)
    spool = Spool(str(tmp_path / "spool"))
    with pytest.raises(Unavailable, match=r"mailbox seed \(pop3 at mail.example.net:995\)"):
        fetch(REMOTE, spool, print, opened=lambda _remote: box)
    assert len(box.there) == 2 and len(spool.names()) == stored
    assert log[-1] == "close" and log[:-1] == (["remove 1 2"] if fail == "remove" else [])


def test_a_disk_that_is_full_removes_nothing_elsewhere(tmp_path, monkeypatch):
    log: list[str] = []
    spool = Spool(str(tmp_path / "spool"))

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(REMOTE, spool, print, opened=lambda _remote: Box({"1": b"one"}, log))
    assert log == ["close"] and spool.names() == [] and os.listdir(spool.tmp) == []


def test_a_message_that_is_far_too_large_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("mailfleet.fetching.LARGEST", 5)
    told: list[str] = []
    box = Box({"1": b"larger", "2": b"two"}, [])
    assert fetch(REMOTE, Spool(str(tmp_path / "spool")), told.append, opened=lambda _remote: box) == 1
    assert list(box.there) == ["1"] and "6 octets, over 5" in told[0]


def test_a_mailbox_is_not_emptied_onto_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    spool, told = Spool(str(tmp_path / "spool")), []
    free = iter([(256 << 20) + 3, (256 << 20) + 2, (256 << 20) + 2])
    monkeypatch.setattr(spool, "free", lambda: next(free))
    box = Box({"1": b"one", "2": b"two"}, [])
    assert fetch(REMOTE, spool, told.append, opened=lambda _remote: box) == 1 and list(box.there) == ["2"]
    with pytest.raises(Unavailable, match="256 MiB are free on its file system; expected 256 MiB beside the next"):
        fetch(REMOTE, spool, told.append, opened=lambda _remote: box)
    assert box.log == ["remove 1", "close", "close"] and list(box.there) == ["2"]


def test_a_password_is_never_told():
    with pytest.raises(Unavailable) as found, errors(REMOTE):
        raise OSError("authentication of s3cret-pass failed")
    assert "s3cret-pass" not in str(found.value) and "s3cret-pass" not in repr(REMOTE)


def test_mailboxes_are_looked_into_as_often_as_they_say(tmp_path):
    now, asked, told = [0.0], [], []

    def one(remote: Remote, _spool: Spool, _say) -> int:
        asked.append((remote.name, now[0]))
        if remote.name == "bad" and now[0] < 100:
            raise Unavailable("mailbox bad", "gone")
        return 0

    remotes = [Remote("good", "pop3", "h", 995, "u", "p", every=50),
               Remote("bad", "imap", "h", 993, "u", "p", every=60)]
    fetcher = Fetcher(remotes, Spool(str(tmp_path / "spool")), told.append, lambda: now[0], one)
    while now[0] < 130:
        now[0] += fetcher.round()
    assert asked == [("good", 0), ("bad", 0), ("good", 50), ("bad", 60), ("good", 100), ("bad", 120)]
    assert told == ["mailbox bad: gone", "mailbox bad can be read again"]


def test_a_file_is_replaced_as_a_whole(tmp_path, log):
    write_file(str(tmp_path / "x"), b"1")
    write_file(str(tmp_path / "x"), b"2")
    assert (tmp_path / "x").read_bytes() == b"2" and len(list(tmp_path.iterdir())) == 1
    assert log[:3] == [f"sync {tmp_path.name}", f"rename {tmp_path.name} {tmp_path.name}", f"sync {tmp_path.name}"]


def test_the_database_is_synced_before_a_message_is_removed(tmp_path):
    """As the kernel sees it: what SQLite writes is on the disk before the worker removes anything."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    settings = settings_in(tmp_path)
    spool = Spool(settings.maildir)
    for n in range(2):
        token = settings.keys.new(f"u{n}@acme.test", "e.example.com", datetime.datetime.now(datetime.UTC).date())
        spool.deliver(message(f"u{n}@acme.test", to=token))
    here = Path(__file__).resolve()
    seen = tmp_path / "seen"
    done = subprocess.run(
        ["strace", "-f", "-y", "-o", seen, "-e", "trace=fsync,fdatasync,unlink,unlinkat,pwrite64",
         sys.executable, "-c", WORK, config(tmp_path)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(
            [str(here.parent), str(here.parents[2] / "roles/agent/files"), os.environ.get("PYTHONPATH", "")])})
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace cannot trace here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    lines = seen.read_text().splitlines()
    removed = [place for place, line in enumerate(lines) if re.search(r"unlink\w*\(.*/spool/new/", line)]
    written = [place for place, line in enumerate(lines) if re.search(r"pwrite64\(.*mailfleet\.db-wal>", line)]
    synced = [place for place, line in enumerate(lines) if re.search(r"f(data)?sync\(.*mailfleet\.db-wal>", line)]
    assert len(removed) == 2
    last = max(place for place in written if place < removed[0])
    assert any(last < place < removed[0] for place in synced)
