# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Selectors and the state have the date in UTC, as files of keys do, wherever the controller stands."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = {
    "sending_servers": {
        "hosts": {"mta1": {"sending_addresses": [{"address": "198.51.100.10", "helo": "mta1.example.com"}]}},
        "vars": {"sending_domains": [{"name": "example.com"}]},
    }
}
PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+"
    "Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
KEY = {"domain": "example.com", "selector": "m20200229", "public": PUBLIC, "created": ""}
PLAY = {
    "hosts": "sending_servers",
    "gather_facts": False,
    "tasks": [
        {
            "name": "Check the inventory",
            "mailfleet.sending.desired_state": {"state": "{{ folder }}"},
            "register": "checked",
        },
        {
            "name": "Make the desired state",
            "mailfleet.sending.desired_state": {"state": "{{ folder }}", "keys": [KEY]},
            "register": "desired",
        },
        {
            "name": "Decide which key signs",
            "mailfleet.sending.dkim_signing": {
                "state": "{{ folder }}",
                "domains": ["example.com"],
                "servers": ["mta1"],
                "keys": "{{ desired.known_keys }}",
                "wanted": [],
                "seen": [{"domain": "example.com", "selector": KEY["selector"]}],
            },
        },
        {"name": "Show what a new key would be called", "ansible.builtin.debug": {"msg": "{{ checked.wanted_keys }}"}},
    ],
}


# Of these two, one has another date than UTC at any moment. POSIX counts westwards.
@pytest.mark.parametrize("zone", ["EAST-14", "WEST+12"])
def test_dates_are_those_of_utc(tmp_path, zone):
    (tmp_path / "hosts.json").write_text(json.dumps(INVENTORY))
    (tmp_path / "play.json").write_text(json.dumps([PLAY]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", "-c", "local", "play.json"]
    before = datetime.datetime.now(datetime.UTC)
    done = subprocess.run(
        [*command, "-e", json.dumps({"folder": str(tmp_path / "state")})],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        env={**os.environ, "TZ": zone, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    days = {moment.date() for moment in (before, datetime.datetime.now(datetime.UTC))}
    assert any(f"m{day:%Y%m%d}" in done.stdout for day in days)
    known = json.loads((tmp_path / "state/keys.json").read_text())["example.com"][KEY["selector"]]
    assert {known["created"], known["seen"]} <= {day.isoformat() for day in days}
