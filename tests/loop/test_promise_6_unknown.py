# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unknown is not absent, and not ok: what DNS does not say is told as such, with the server that did not say it."""

from __future__ import annotations

from pathlib import Path

import breaking
import lab_world as lab
import pytest

ASK = Path(__file__).with_name("ask_dns.yml")
NS1, NS2 = ("ns1.lab.test. (198.51.100.2)", "ns2.lab.test. (198.51.100.3)")
CHECKS = ("dkim", "ptr", "spf")
PREFIX = "q"  # of selectors that nobody could publish


@pytest.fixture
def copy(tmp_path):
    return breaking.copy_of_the_inventory(tmp_path)


def ask(copy: breaking.Copy) -> lab.Played:
    """Ask DNS for everything, and report."""
    return lab.play(inventory=copy.path, playbook=ASK)


def statuses(copy: breaking.Copy, check: str) -> set[str]:
    """The statuses that a check's verdicts have."""
    return {verdict["status"] for verdict in copy.verdicts(check).values()}


def assert_only_the_secondary_is_accused(copy: breaking.Copy, owner: str, cause: str) -> None:
    verdict = copy.verdicts("dkim")[owner]
    assert verdict["status"] == "unknown"
    good, bad = verdict["cause"].split("; ns2", 1)
    assert NS1 in good and "did not say" not in good
    assert NS2 in f"ns2{bad}" and "did not say" in bad and cause in bad
    assert NS2 in verdict["mend"] and NS1 not in verdict["mend"]


def keys(copy: breaking.Copy) -> dict[str, str]:
    """Domain -> owner of its key's record."""
    (selector,) = breaking.selectors(copy, "m")
    return {domain: f"{selector}._domainkey.{domain}." for domain in ("example.com", "example.us")}


def test_dns_that_answers_is_ok(copy):
    assert ask(copy).ok()
    assert [statuses(copy, check) for check in CHECKS] == [{"ok"}] * 3


def test_one_server_that_is_down_is_named_and_its_keys_are_unknown(copy):
    with breaking.stopped("knot", "ns2"):
        played = ask(copy)
    assert played.status != 0 and "NOT PROVED" in played.output and NS2 in played.output
    for owner in keys(copy).values():
        assert_only_the_secondary_is_accused(copy, owner, "refused")
    # Each name server is asked; what SPF says of the addresses is what the other one answers.
    assert [statuses(copy, check) for check in CHECKS] == [{"unknown"}, {"unknown"}, {"ok", "unknown"}]
    assert {name for name, verdict in copy.verdicts("spf").items() if verdict["status"] != "ok"} == {
        f"TXT {name}." for name in {"example.com", "example.us", "e.example.com", "e.example.us", *lab.HELO.values()}
    }


def test_a_lame_server_is_named_and_its_keys_are_unknown(copy):
    with breaking.lame("example.com"):
        played = ask(copy)
    assert played.status != 0 and NS2 in played.output
    assert_only_the_secondary_is_accused(copy, keys(copy)["example.com"], "lame")
    assert copy.verdicts("dkim")[keys(copy)["example.us"]]["status"] == "ok"


def test_a_resolver_that_is_down_leaves_everything_unknown(copy):
    with breaking.stopped("unbound", "resolver"):
        played = ask(copy)
    assert played.status != 0 and "NOT PROVED" in played.output
    for check in CHECKS:
        assert statuses(copy, check) == {"unknown"}
        assert all(lab.RESOLVER in verdict["source"] for verdict in copy.verdicts(check).values())
        assert all("did not say" in verdict["cause"] for verdict in copy.verdicts(check).values())


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A whole run with selectors that are not published yet, while no name server answers."""
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("dark"))
    copy.write(sending_dkim_selector=PREFIX, sending_dns_wait=2, sending_probe_wait=3)
    before = {server: breaking.standing(server) for server in lab.SERVERS}
    with breaking.stopped("knot", "ns1", "ns2"):
        played = lab.play(inventory=copy.path)
    yield copy, played, before
    breaking.empty_queues()
    breaking.prove_all()


def test_without_dns_the_run_proves_nothing_and_says_who_did_not_answer(dark):
    copy, played, _before = dark
    assert played.status != 0 and "NOT PROVED" in played.output
    for check in CHECKS:
        told = {name: verdict for name, verdict in copy.verdicts(check).items() if verdict["status"] != "unknown"}
        assert copy.verdicts(check) and told == {}
    verdict = copy.verdicts("records")["example.com."]
    assert verdict["status"] == "unknown" and lab.PRIMARY in verdict["found"]
    assert "absent" not in {verdict["status"] for verdict in copy.report()["verdicts"]}


@pytest.mark.parametrize("server", lab.SERVERS)
def test_without_dns_no_unseen_key_signs_and_the_seen_one_goes_on(dark, server):
    copy, _played, before = dark
    assert len(breaking.selectors(copy, PREFIX)) == 1
    assert breaking.standing(server) == before[server]
    breaking.assert_up(server)
