# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers with lanes, and a pool of addresses: what leaves from where, how fast, and that nothing is left over."""

from __future__ import annotations

import itertools
import re
import time

import breaking
import lab_runs
import lab_world as lab
import pytest

PROVIDERS = ["google", {"name": "orange", "connections": 2, "rate": "1/s"}]
BULK = {"name": "bulk", "addresses": ["198.51.100.11", "198.51.100.21"], "senders": ["example.us", "e.example.us"]}
# Whose mail leaves from which address of which server.
FROM = {
    ("mta1.example.com", "example.com"): "198.51.100.10",
    ("mta2.example.com", "example.com"): "198.51.100.20",
    ("mta1.example.com", "example.us"): "198.51.100.11",
    ("mta2.example.com", "example.us"): "198.51.100.21",
}


@pytest.fixture(scope="module")
def lanes(tmp_path_factory):
    """The fleet with lanes and a pool: the first run with them, and a second one. Afterwards it is what it was."""
    lab.stand()
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("lanes"))
    copy.write(sending_providers=PROVIDERS, sending_pools=[BULK])
    checked = lab_runs.run("--check", inventory=copy.path).ok()
    first = lab_runs.run(inventory=copy.path).ok()
    second = lab_runs.run(inventory=copy.path).ok()
    yield checked, first, second
    gone = lab_runs.run().ok()
    for server in lab.SERVERS:
        (task,) = gone.of("postfix_config", server)
        assert task.result["removed_lanes"] == ["google", "orange"] and not task.result["waiting_lanes"]
        units = lab.ssh(server, "systemctl", "list-units", "--all", "--plain", "--no-legend", "mailfleet-lane@*")
        assert units.strip() == ""
        left = lab.ssh(server, "find", "/etc", "/var/lib", "/var/spool", "-maxdepth", "1", "-name", "postfix-*")
        assert left.strip() == ""
    assert lab.play().ok().changed == 0


def test_the_fleet_is_proved_and_a_second_run_changes_nothing(lanes):
    _checked, first, second = lanes
    assert "\nPROVED: " in first.output and "\nPROVED: " in second.output
    assert second.changed == 0


@pytest.mark.parametrize("server", lab.SERVERS)
@pytest.mark.parametrize("pool, domain", {"bulk": "example.us", "rest": "example.com"}.items())
def test_each_pool_is_proved_by_mail_that_takes_its_ordinary_way(lanes, server, pool, domain):
    _checked, first, _second = lanes
    (task,) = first.of("mail_probe")
    mine = {path["mailbox"]: path for path in task.result["paths"]
            if (path["server"], path["address"]) == (server, f"pool {pool}")}
    assert set(mine) == {"probe@gmail.com", "probe@freemail.test"}
    for path in mine.values():
        assert path["domain"] == domain
        assert {path[check] for check in ("dkim", "spf", "origin", "helo", "ptr", "tls", "arrival")} == {"ok"}


def test_check_mode_told_of_the_lanes(lanes):
    checked, first, _second = lanes
    for server in lab.SERVERS:
        (would,), (did,) = (run.of("postfix_config", server) for run in (checked, first))
        assert [lane["name"] for lane in would.result["lanes"]] == ["google", "orange"]
        assert [lane["changed"] for lane in would.result["lanes"]] == [True, True]
        assert {pair["after_header"] for pair in would.result["diff"]} == {
            pair["after_header"] for pair in did.result["diff"]}


@pytest.mark.parametrize("server, domain", FROM)
@pytest.mark.parametrize("recipient", ["probe@gmail.com", "probe@freemail.test"])
def test_mail_leaves_from_its_pool_whatever_provider_it_goes_to(lanes, server, domain, recipient):
    made = lab.message(f"news@{domain}", recipient)
    with lab.submission(server) as session:
        session.send_message(made, f"b@e.{domain}")
    arrived = lab.received(recipient, lab.nonce(made))
    assert arrived is not None
    own = next(line for line in arrived.get_all("Received") if re.search(r"by mx\.(gmail\.com|freemail\.test)", line))
    assert FROM[server, domain] in own or f"{lab.HELO[FROM[server, domain]]}" in own, own
    assert (FROM[server, domain] in own) or "2001:db8:61" in own, own
    assert {lab.results(arrived)[method] for method in ("dkim", "spf")} == {"pass"}


@pytest.mark.parametrize("server", lab.SERVERS)
def test_what_a_lane_cannot_deliver_comes_back_signed(lanes, server):
    """Its notice goes to the sender, here at freemail.test; the milter refuses what is from no domain of ours."""
    nonce = lab.nonce(lab.message())
    recipient = f"nobody-{nonce}@gmail.com"
    text = f"From: cron@example.com\nTo: {recipient}\nSubject: loop {nonce}\n\nbounce me\n"
    lab.ssh(server, "sendmail", "-i", "-f", "probe@freemail.test", recipient, stdin=text.encode())
    arrived = lab.received("probe@freemail.test", nonce, timeout=90)
    assert arrived is not None and "MAILER-DAEMON@example.com" in str(arrived["From"])
    assert lab.results(arrived)["dkim"] == "pass" and "d=example.com" in str(arrived["DKIM-Signature"])


def arrival(recipient: str, made) -> float:
    """When a receiver took a message, in whole seconds since 1970."""
    arrived = lab.received(recipient, lab.nonce(made))
    assert arrived is not None, made["Subject"]
    own = next(line for line in arrived.get_all("Received") if re.search(r"by mx\.(orange\.fr|gmail\.com)", line))
    return time.mktime(time.strptime(own.rpartition(";")[2].strip()[5:25], "%d %b %Y %H:%M:%S"))


def test_a_rate_is_kept_while_other_mail_is_not_held(lanes):
    server, count = "mta1.example.com", 12
    slow = [lab.message("news@example.us", "probe@orange.fr") for _each in range(count)]
    quick = lab.message("news@example.us", "probe@gmail.com")
    with lab.submission(server) as session:
        for made in slow:
            session.send_message(made, "b@e.example.us")
        session.send_message(quick, "b@e.example.us")
    times = [arrival("probe@orange.fr", made) for made in slow]
    # Held behind the others, it would have come after the last of them.
    assert sum(arrival("probe@gmail.com", quick) < time for time in times) >= 3, times
    gaps = [later - sooner for sooner, later in itertools.pairwise(sorted(times))]
    # Received fields have whole seconds.
    assert len(gaps) - 1 <= sum(gaps) <= 1.3 * len(gaps) and max(gaps) <= 2, gaps


@pytest.mark.parametrize("server", lab.SERVERS)
def test_a_lane_lets_in_its_main_postfix_and_nobody_else(lanes, server):
    ask = (
        "import smtplib,ssl,sys\n"
        "s = smtplib.SMTP(sys.argv[1], 10025)\n"
        "s.starttls(context=ssl._create_unverified_context())\n"
        "s.mail('news@example.us'); print(s.rcpt('probe@gmail.com'))\n"
    )
    place = lab.ssh(server, "postconf", "-c", "/etc/postfix-google", "-M").split(":10025")[0].split()[-1]
    assert place.startswith("127.")
    assert "554" in lab.ssh(server, "python3", "-c", ask, place)
    assert lab.ssh(server, "stat", "-c", "%a %U", "/var/lib/mailfleet/lanes/identity.pem").split() == ["600", "root"]
