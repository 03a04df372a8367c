# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to servers between two runs: somebody edits their files, their disk fills, they are rebooted."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

import breaking
import lab_runs
import lab_world as lab
import pytest

pytestmark = pytest.mark.long
ONE, OTHER = lab.SERVERS
STATE = "/var/lib/mailfleet/postfix"
UNITS = ("postfix", "opendkim", "dovecot")
# A disk of its own, with what stood there before and not a byte to spare.
FULL = """
mkdir -p /run/full; mount -t tmpfs -o size=$(($(du -sk "$1" | cut -f1) + 256))k tmpfs /run/full
chmod --reference="$1" /run/full; cp -a "$1/." /run/full/
head -c 100M /dev/zero >/run/full/filling 2>/dev/null || test -s /run/full/filling
mount --bind /run/full "$1"
"""
# Whoever has a file of it open keeps it until he is done.
FREED = 'umount --lazy "$1"; umount --lazy /run/full; rmdir /run/full'


def standing() -> dict[str, str]:
    """What the servers run with, whatever the number of its generation."""
    return {server: re.sub(r"generations/\d+", "", breaking.standing(server)) for server in lab.SERVERS}


@pytest.fixture
def untouched() -> Iterator[None]:
    """The servers run in the end with what they ran with before, and mail goes through."""
    before = standing()
    yield
    after = standing()
    for server in [server for server in before if after[server] != before[server]]:
        lab_runs.apply(server, {})  # what a failed test left
    assert after == before
    breaking.assert_up()


@contextlib.contextmanager
def edited(server: str, file: str, *script: str) -> Iterator[None]:
    """A file of Postfix's that somebody edits with sed, and afterwards the file as it was."""
    path, kept = f"/etc/postfix/{file}", f"/root/{file}.kept"
    lab.ssh(server, "cp", "--preserve", path, kept)
    lab.ssh(server, "sed", "-i", *script, path)
    try:
        yield
    finally:
        lab.ssh(server, "mv", kept, path)


@contextlib.contextmanager
def full_disk(server: str, path: str) -> Iterator[None]:
    """Nothing can be written below a path for a while."""
    lab.ssh(server, "sh", "-ec", FULL, "sh", path)
    try:
        yield
    finally:
        lab.ssh(server, "sh", "-ec", FREED, "sh", path)


def test_a_setting_of_ours_is_put_back_and_one_of_the_administrators_stays(untouched):
    script = ("-e", "s/^smtpd_banner = .*/smtpd_banner = by hand/", "-e", "$ a smtpd_error_sleep_time = 2s")
    with edited(ONE, "main.cf", *script):
        run = lab_runs.apply(ONE, {}, "--diff").ok()
        assert "\n-smtpd_banner = by hand\n+smtpd_banner = $myhostname ESMTP\n" in run.output
        assert "smtpd_error_sleep_time" not in "".join(line for line in run.output.splitlines() if line[:1] in "+-")
        settings = lab.ssh(ONE, "postconf", "-n")
        assert "smtpd_error_sleep_time = 2s" in settings and "by hand" not in settings
    assert lab_runs.apply(ONE, {}).ok().changed == 0


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("main.cf", "smtpd banner", "main.cf: found line {number}: found 'smtpd banner', expected name = value"),
        ("master.cf", "smtps inet n", "master.cf: line {number}: bad field count"),
    ],
)
def test_a_file_that_postfix_cannot_read_is_told_with_its_line(untouched, file, line, told):
    with edited(OTHER, file, f"$ a {line}"):
        number = lab.ssh(OTHER, "grep", "-c", "", f"/etc/postfix/{file}").strip()
        said = lab_runs.failure(lab_runs.apply(OTHER, {}), OTHER)
        assert told.format(number=number) in said and "by hand" in said
        assert "Postfix's configuration was not touched" in said
        if file == "master.cf":  # the master process has the old one; each new process reads main.cf
            breaking.assert_up(OTHER)


@pytest.mark.parametrize("path", [STATE, "/etc/postfix"])
def test_a_full_disk_is_told_and_the_old_configuration_goes_on(untouched, path):
    with full_disk(ONE, path):
        run = lab_runs.apply(ONE, {"parameters": {"smtp_connect_timeout": "29s"}})
        assert f"No space left on device: '{path}/" in lab_runs.failure(run, ONE)
        breaking.assert_up(ONE)
    assert "29s" not in lab.ssh(ONE, "postconf", "smtp_connect_timeout")
    lab_runs.apply(ONE, {}).ok()


def test_a_rebooted_server_sends_as_before(untouched):
    node = f"mailfleet-lab-{ONE.partition('.')[0]}"
    subprocess.run(["podman", "--runtime", "runc", "restart", node], check=True, stdout=subprocess.DEVNULL, timeout=120)
    breaking.until(lambda: lab.ssh(ONE, "systemctl", "is-active", *UNITS, check=False).split() == ["active"] * 3,
                   "all services have come up by themselves", 180)
    breaking.assert_up(ONE)
    run = lab.play().ok()
    assert run.changed == 0 and "\nPROVED: " in run.output, run.output[-12000:]
