# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipient domains that are hosted at a provider obey its limits, as their MX point there, until DNS says other."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import time

import breaking
import lab_runs
import lab_world as lab
import pytest

OBSERVE, PLAN = (lab.ROOT / f"playbooks/{name}.yml" for name in ("observe", "plan"))
# The lab's orange has wanadoo.fr on the same host, which here is known from its MX alone.
PROVIDERS = [
    {"name": "google", "mx": ["gmail.com"]},
    {"name": "orange", "domains": ["orange.fr"], "connections": 1, "rate": "1/s"},
]
CUSTOMER = "customer.example.us"
SERVER = "mta1.example.com"


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The inventory with its runs: the first ones of observe.yml and site.yml, and a second one of site.yml."""

    copy: breaking.Copy
    observed: lab_runs.Run
    first: lab_runs.Run
    second: lab_runs.Run

    def observe(self, **variables: object) -> lab_runs.Run:
        return lab_runs.run(inventory=self.copy.path, playbook=OBSERVE, variables=variables).ok()

    def kept(self) -> dict:
        return json.loads((self.copy.state / "observations.json").read_text())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A fleet whose recipient domains are observed. Afterwards it is what it was."""
    lab.stand()
    copy = breaking.copy_of_the_inventory(tmp_path_factory.mktemp("by-mx"))
    copy.write(sending_providers=PROVIDERS, sending_recipient_domains=["wanadoo.fr", CUSTOMER])
    with lab_runs.changed((CUSTOMER, "MX", ["10 mx.orange.fr."])):
        observed = lab_runs.run(inventory=copy.path, playbook=OBSERVE).ok()
        first, second = (lab_runs.run(inventory=copy.path).ok() for _run in range(2))
        yield Fleet(copy, observed, first, second)
    lab_runs.run().ok()


def way(server: str, domain: str) -> str:
    """Where the main Postfix of a server sends mail of a domain."""
    return lab.ssh(server, "sh", "-c", f"postmap -q {domain} $(postconf -hx transport_maps)", check=False).strip()


def test_what_was_observed_is_told_and_kept(fleet):
    told = fleet.observed.output
    # Others may be in the log of what was sent before.
    found = re.search(r"^  orange +([0-9]+)  (.+)$", told, re.MULTILINE)
    known = {CUSTOMER, "orange.fr", "wanadoo.fr"}
    assert found and int(found[1]) >= len(known), told
    assert known <= set(found[2].split(", ")) or found[2].endswith(" more"), told
    assert all(fleet.kept()["domains"][domain]["mx"] == ["mx.orange.fr"] for domain in known)
    for server in lab.SERVERS:
        assert f"  {server}: " in told and f"  {server}: not read" not in told


def test_the_fleet_is_proved_and_a_second_run_changes_nothing(fleet):
    assert "\nPROVED: " in fleet.first.output and "\nPROVED: " in fleet.second.output
    assert fleet.second.changed == 0


@pytest.mark.parametrize("server", lab.SERVERS)
def test_hosted_domains_lead_where_those_of_the_provider_do(fleet, server):
    assert way(server, "orange.fr").startswith("lane:[127.")
    assert way(server, "wanadoo.fr") == way(server, CUSTOMER) == way(server, "orange.fr") != way(server, "gmail.com")


@pytest.fixture(scope="module")
def arrivals(fleet) -> list[float]:
    """When eight messages arrived that were sent at once to both domains, in seconds since 1970."""
    sent = [lab.message("news@example.com", f"probe@{domain}") for domain in ("orange.fr", "wanadoo.fr") * 4]
    with lab.submission(SERVER) as session:
        for made in sent:
            session.send_message(made, "b@e.example.com")
    times = []
    for made in sent:
        arrived = lab.received(made["To"], lab.nonce(made))
        assert arrived is not None, made["To"]
        own = next(line for line in arrived.get_all("Received") if "by mx.orange.fr" in line)
        times.append(time.mktime(time.strptime(own.rpartition(";")[2].strip()[5:25], "%d %b %Y %H:%M:%S")))
    return sorted(times)


def test_both_domains_share_the_rate(arrivals):
    gaps = [later - sooner for sooner, later in itertools.pairwise(arrivals)]
    # Received fields have whole seconds.
    assert len(gaps) - 1 <= sum(gaps) <= 1.3 * len(gaps) + 1 and max(gaps) <= 2, gaps


def test_the_log_is_read_by_day_and_provider_and_no_address_leaves_the_server(fleet, arrivals):
    fleet.observe()
    counts = fleet.kept()["messages"][SERVER]
    assert sum(day.get("orange", 0) for day in counts.values()) >= len(arrivals), counts
    assert "@" not in (fleet.copy.state / "observations.json").read_text()


def test_where_dns_does_not_say_a_domain_stays_and_a_run_changes_nothing(fleet):
    before = fleet.kept()
    silent = fleet.observe(sending_dns_resolvers=["127.0.0.1:9"], sending_observe_logs=False)
    assert "  127.0.0.1:9 did not say: " in silent.output and f"{CUSTOMER} (orange)" in silent.output
    assert "Moved" not in silent.output
    kept = fleet.kept()["domains"]
    assert {name: each["mx"] for name, each in kept.items()} == {
        name: each["mx"] for name, each in before["domains"].items()}
    checked = lab_runs.run("--check", inventory=fleet.copy.path).ok()
    assert not any(task.result.get("changed") for task in checked.of("postfix_config"))


def test_a_domain_that_moves_is_told_and_goes_another_way_with_the_next_run(fleet):
    with lab_runs.changed((CUSTOMER, "MX", ["10 mx.gmail.com."])):
        told = fleet.observe(sending_observe_logs=False).output
    assert f"  {CUSTOMER}: from orange to google, by MX mx.gmail.com instead of mx.orange.fr\n" in told
    plan = lab_runs.run(inventory=fleet.copy.path, playbook=PLAN).ok()
    # Others may be in the log of what was sent before.
    assert re.search(rf"^  by MX    [1-9] at gmail\.com: .*\b{re.escape(CUSTOMER)}\b", plan.output, re.MULTILINE)
    lab_runs.run("--limit", SERVER, inventory=fleet.copy.path)
    assert way(SERVER, CUSTOMER) == way(SERVER, "gmail.com") != way(SERVER, "orange.fr")
