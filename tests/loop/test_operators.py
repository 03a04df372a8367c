# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators lose, mistype and forget, and what the run says then; the lab is found again as it was."""

from __future__ import annotations

import datetime
import shutil

import breaking
import lab_runs
import lab_world as lab
import pytest

PREFIX = "t"  # of selectors that nobody used before


@pytest.fixture
def copy(tmp_path) -> breaking.Copy:
    return breaking.copy_of_the_inventory(tmp_path)


def test_lost_secrets_are_asked_for_and_never_made_anew(copy):
    """DNS serves the public halves: other keys under the same selectors would make every signature fail."""
    shutil.rmtree(copy.secrets)
    before = {zone: breaking.zone_contents(zone) for zone in breaking.ZONES}
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert "the key is gone" in played.output and "put it back" in played.output
    assert not list(copy.secrets.rglob("*.pem"))
    assert {zone: breaking.zone_contents(zone) for zone in breaking.ZONES} == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("published.json", '{"a": 1'),
        ("published.json", '[1, {"owner": "x"}]'),
        ("keys.json", '{"example.com": []}'),
        ("keys.json", '{"example.com": {"m20261123": {"public": 1}}}'),
    ],
)
def test_a_damaged_state_is_told_with_its_file_before_anything_changes(copy, file, content):
    (copy.state / file).write_text(content)
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert f"state/{file}: " in played.output and "Traceback" not in played.output
    assert "object has no attribute" not in played.output


def test_a_damaged_key_stops_the_run_before_anything_changes(copy):
    key = next((copy.secrets / "dkim/example.com").glob("*.pem"))
    key.write_text(key.read_text()[:500])
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and played.changed == 0
    assert str(key.name) in played.output and "never replaced" in played.output


def test_a_lost_state_takes_up_the_keys_of_the_secrets_on_any_later_day(copy):
    shutil.rmtree(copy.state)
    for file in (copy.secrets / "dkim").rglob("m*.*"):
        file.rename(file.with_stem("m20200229"))
    checked = lab_runs.run("--check", inventory=copy.path)
    checked.ok()
    (keys,) = checked.of("dkim_key")
    assert {key["selector"] for key in keys.result["public_keys"]} == {"m20200229"}
    assert all(key["public"] for key in keys.result["public_keys"]) and not keys.result["changed"]
    desired = checked.of("desired_state")[-1].result
    assert {key["selector"] for key in desired["wanted_keys"]} == {"m20200229"}
    (signing,) = checked.of("dkim_signing")
    places = signing.result["servers"].values()
    assert {key["selector"] for place in places for key in place["signing"]} == {"m20200229"}
    assert not signing.result["verdicts"]


@pytest.fixture
def taken(copy) -> list[str]:
    """DNS serves other keys under the selectors that a key made today gets; the names of their records."""
    owners = []
    with breaking.zones_put_back():
        for domain in ("example.com", "example.us"):
            owners.append(f"{PREFIX}{datetime.datetime.now(datetime.UTC):%Y%m%d}._domainkey.{domain}.")
            (selector,) = breaking.selectors(copy, "m")
            (other,) = lab.answer(f"{selector}._domainkey.{domain}.", "TXT")
            lab.change(domain, ("add", owners[-1], "TXT", lab.quote(other)))
        breaking.settle("example.com", "example.us")
        copy.write(sending_dkim_selector=PREFIX, sending_dns_wait=0)
        yield owners


@pytest.mark.parametrize("mode", [["--check"], []], ids=["check", "run"])
def test_lost_state_and_secrets_stop_the_run_where_dns_serves_the_keys(copy, taken, mode):
    """New keys were made, and will never be seen: without a stop, all mail would wait for them."""
    shutil.rmtree(copy.path / ".mailfleet")
    copy.state.mkdir(parents=True)
    (copy.state / "report.json").write_text('{"proved": true}')
    standing = {server: breaking.standing(server) for server in lab.SERVERS}
    served = [lab.answer(owner, "TXT") for owner in taken]
    played = lab.play(*mode, inventory=copy.path)
    assert played.status != 0 and "NOT PROVED" not in played.output
    told = " ".join(played.output.split())
    for owner in taken:
        assert f"{owner}: found rsa key of 2048 bits, SHA-256 " in told
        assert f"add {owner} to sending_dns_adopt" in told
    assert ("expected our key, yet to be made" in told) == bool(mode)
    for mend in ("put back the folders of state and secrets", "sending_dkim_selector"):
        assert mend in told
    assert {server: breaking.standing(server) for server in lab.SERVERS} == standing
    assert [lab.answer(owner, "TXT") for owner in taken] == served
    assert copy.report()["proved"] is bool(mode), "a run that stopped has proved nothing; check mode is no run"


def test_a_domain_that_signs_goes_on_with_its_old_key_where_dns_serves_another_under_the_new_name(copy, taken):
    standing = {server: breaking.standing(server) for server in lab.SERVERS}
    played = lab.play(inventory=copy.path)
    assert played.status != 0 and "NOT PROVED" in played.output
    for owner in taken:
        verdict = copy.verdicts("records")[f"{owner} TXT"]
        assert verdict["status"] == "fail" and "sending_dns_adopt" in verdict["mend"]
    for server in lab.SERVERS:
        assert copy.verdicts("signing")[f"example.com on {server}"]["status"] == "warn"
    assert {server: breaking.standing(server) for server in lab.SERVERS} == standing
