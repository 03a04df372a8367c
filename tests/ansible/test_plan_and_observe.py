# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""plan.yml and observe.yml over a small fleet: what they show and write, leave alone, and refuse."""

from __future__ import annotations

import ast
import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nameserver import Nameserver

ROOT = Path(__file__).resolve().parents[2]
ONE, OTHER = "mta1.example.com", "mta2.example.com"
HOSTS = {
    ONE: {"sending_addresses": [{"address": "198.51.100.10", "helo": ONE},
                                {"address": "198.51.100.11", "helo": "mta1b.example.com"}]},
    OTHER: {"sending_addresses": [{"address": "198.51.100.20", "helo": OTHER},
                                  {"address": "198.51.100.21", "helo": "mta2b.example.com"}]},
}
VARIABLES = {
    "sending_domains": [{"name": "example.com"}, {"name": "example.us"}],
    "sending_providers": [
        "google",
        {"name": "orange", "connections": 1, "rate": "1/s"},
        {"name": "throttle", "domains": ["laposte.net"], "connections": 1, "delay": "1s"},
    ],
    "sending_recipient_domains": ["customer.example", "Gone.example", "silent.example", "b\u00fccher.example"],
    "sending_observe_logs": False,
    # Nobody is reached, neither by way of the network nor here.
    "ansible_ssh_common_args": "-o ProxyCommand=false",
}
POOLS = [{"name": "bulk", "senders": ["example.us"],
          "addresses": [{"address": "198.51.100.11", "weight": 3}, "198.51.100.21"]}]
GOOGLE = {"MX": ["1 ASPMX.l.google.com.", "5 alt1.aspmx.l.google.com."]}
ORANGE = {"MX": ["10 smtp-in.orange.fr."]}
ZONES = {
    "example": {"customer.example": GOOGLE, "silent.example": GOOGLE,
                "xn--bcher-kva.example": {"MX": ["10 smtp-in.orange.fr.", "10 mx.xn--bcher-kva.example."]}},
    "com": {"gmail.com": GOOGLE, "googlemail.com": GOOGLE},
    "fr": {"orange.fr": ORANGE, "wanadoo.fr": ORANGE},
    "net": {"laposte.net": {"MX": ["10 smtp.laposte.net."]}},
}
FAULTS = {"silent.example": "servfail"}


class World:
    """An inventory, which a test may change before it runs a playbook."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hosts, self.variables = folder, copy.deepcopy(HOSTS), copy.deepcopy(VARIABLES)
        self.state = folder / ".mailfleet/state"

    def play(self, playbook: str, *options: str, **variables: object) -> subprocess.CompletedProcess[str]:
        group = {"hosts": self.hosts, "vars": {**self.variables, **variables}}
        (self.folder / "hosts.json").write_text(json.dumps({"sending_servers": group}))
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "hosts.json"),
                   str(ROOT / "playbooks" / playbook), *options]
        done = subprocess.run(command, cwd=ROOT, text=True, check=False, timeout=180, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                                   "ANSIBLE_HOME": str(self.folder / "home"), "PYTHONPATH": ""})
        assert "Traceback" not in done.stdout, done.stdout
        return done

    def result(self, module: str, **options: object) -> dict:
        """What a module returns in a play on the fleet."""
        task = {f"mailfleet.sending.{module}": options, "run_once": True, "register": "made"}
        shown = {"ansible.builtin.copy": {"content": "{{ made | to_json }}", "dest": str(self.folder / "made")},
                 "run_once": True, "delegate_to": "localhost", "vars": {"ansible_python_interpreter": sys.executable}}
        tasks = [{"name": "Make it", **task}, {"name": "Hand it over", **shown}]
        (self.folder / "made.json").write_text(json.dumps(
            [{"name": "One module", "hosts": "sending_servers", "gather_facts": False, "tasks": tasks}]))
        done = self.play(str(self.folder / "made.json"))
        assert done.returncode == 0, done.stdout
        return json.loads((self.folder / "made").read_text())

    def lines(self) -> list[list[str]]:
        """The hosted domains in the transport table of a server, as the desired state has them."""
        made = self.result("desired_state", state=str(self.state))
        table = made["servers"][ONE]["layers"]["throttle"]["tables"]["transport"]
        return [line.split() for line in table.get("lines", "").splitlines()]

    def observe(self, server: Nameserver, *options: str, **variables: object) -> str:
        """The output of a run of observe.yml that must succeed."""
        done = self.play("observe.yml", *options, sending_dns_resolvers=[str(server.server)], **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def written(self) -> dict[str, str]:
        """The files of the state with their content."""
        return {path.name: path.read_text() for path in self.state.glob("*")}


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def server():
    with Nameserver(ZONES, FAULTS) as server:
        yield server


def test_observed_domains_are_written_shown_and_planned_with(world, server):
    said = world.observe(server, "--diff")
    assert "9 recipient domains observed on 20" in said
    assert "  google       3  customer.example, gmail.com, googlemail.com\n" in said
    assert "  orange       3  orange.fr, wanadoo.fr, xn--bcher-kva.example\n" in said
    assert "Take no mail\n  no such domain (1): gone.example\n" in said
    assert ("DNS did not say (1): these stay where they were\n"
            f"  {server.server} did not say: SERVFAIL: silent.example (no provider)\n") in said
    assert "+ customer.example aspmx.l.google.com\n" in said and "changed=1" in said
    kept = json.loads((world.state / "observations.json").read_text())
    assert kept["domains"]["customer.example"] == {"mx": ["aspmx.l.google.com"]}
    assert list(world.written()) == ["observations.json"]
    assert "Mail logs" not in said and "See that the server answers" not in said

    again = world.observe(server, "--diff")
    assert "changed=0" in again and "\n+ " not in again and kept == json.loads(world.written()["observations.json"])

    done = world.play("plan.yml", "--limit", OTHER, sending_pools=POOLS, sending_providers=[
        "google", {"name": "orange", "connections": 1, "rate": "1/s"}])
    assert done.returncode == 0 and "changed=0" in done.stdout
    for part in (
        "Provider google\n  domains  gmail.com, googlemail.com\n  by MX    1 at google.com, googlemail.com: cust",
        f"  on {ONE}, {OTHER}, each\n    share    2 addresses, each with 1 message a second\n",
        "Pool bulk: mail from example.us\n  198.51.100.11  mta1b.example.com  weight 3    100.0% of its mail on mta1",
        "records to publish, 0 to remove\n  + mta1.example.com. A 198.51.100.10\n",
    ):
        assert part in done.stdout, part
    plan = json.loads((world.state / "plan.json").read_text())
    assert plan["hosted"] == {"customer.example": "google", "xn--bcher-kva.example": "orange"} and plan["made"]
    assert set(world.written()) == {"observations.json", "plan.json"}


def test_the_desired_state_goes_by_what_was_observed(world, server):
    assert world.lines() == []
    world.observe(server)
    (google, one), (orange, other) = world.lines()
    assert (google, orange) == ("customer.example", "xn--bcher-kva.example")
    assert one.startswith("lane:[127.") and other.startswith("lane:[127.") and one != other


def test_modules_return_what_is_documented(world, server):
    options = {"state": str(world.state), "domains": ["customer.example"], "resolvers": [str(server.server)]}
    for module, made in (("recipients_observe", world.result("recipients_observe", **options)),
                         ("fleet_plan", world.result("fleet_plan", state=str(world.state)))):
        source = ast.parse((ROOT / f"plugins/modules/{module}.py").read_text())
        (told,) = (yaml.safe_load(ast.literal_eval(node.value)) for node in source.body
                   if isinstance(node, ast.Assign) and node.targets[0].id == "RETURN")
        assert set(made) - {"changed", "failed"} == set(told)
    assert made["hosted"] == {"google": 1} and made["path"] == ""


def test_in_check_mode_nothing_is_written_and_all_is_shown(world, server):
    said = world.observe(server, "--check", "--diff")
    assert "+ customer.example aspmx.l.google.com\n" in said and "changed=1" in said
    done = world.play("plan.yml", "--check")
    assert done.returncode == 0 and "Provider throttle\n  domains  laposte.net\n" in done.stdout
    assert "one delivery at a time to each destination domain" in done.stdout
    assert not world.state.exists()


def test_a_move_is_told_with_its_mx_and_silence_moves_nobody(world, server):
    world.state.mkdir(parents=True)
    before = {"date": "2026-11-01", "messages": {}, "warmup": {"x": 1}, "domains": {
        "customer.example": {"mx": ["smtp-in.orange.fr"]}, "silent.example": {"mx": ["smtp-in.orange.fr"]}}}
    (world.state / "observations.json").write_text(json.dumps(before))
    said = world.observe(server)
    assert ("Moved (1)\n  customer.example: from orange to google, "
            "by MX aspmx.l.google.com instead of smtp-in.orange.fr\n") in said
    assert "did not say: SERVFAIL: silent.example (orange)\n" in said
    kept = json.loads(world.written()["observations.json"])
    assert kept["domains"]["silent.example"]["mx"] == ["smtp-in.orange.fr"] and kept["warmup"] == {"x": 1}


def test_servers_that_do_not_answer_are_told_and_stop_nothing(world, server):
    said = world.observe(server, sending_observe_logs=True)
    for host in HOSTS:
        assert f"  {host}: not read: " in said
    assert "customer.example" in world.written()["observations.json"]


def test_the_logs_of_servers_that_answer_are_read(world, server):
    """Both servers are this machine, whose own log is as it may be."""
    said = world.observe(server, sending_observe_logs=True, ansible_connection="local",
                         ansible_python_interpreter=sys.executable)
    for host in HOSTS:
        assert f"  {host}: " in said and f"{host}: not read" not in said


def test_without_a_domain_to_observe_it_says_what_to_do(world, server):
    said = world.observe(server, sending_recipient_domains=[], sending_providers=[])
    assert "! there was no domain to observe: list some in sending_recipient_domains" in said


@pytest.mark.parametrize("playbook", ["plan.yml", "observe.yml", "site.yml"])
def test_damaged_observations_are_told_with_their_path(world, playbook):
    world.state.mkdir(parents=True)
    (world.state / "observations.json").write_text('{"date": "2026-11-28", "domains": {"a.example": {"mx": "x"}}}')
    done = world.play(playbook)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert f"{world.state}/observations.json: domains.a.example.mx: found 'x', expected a list of hosts;" in said
    assert "remove it and run observe.yml" in said


def test_a_plan_tells_every_mistake_with_its_path_and_takes_back_the_last_plan(world):
    assert world.play("plan.yml").returncode == 0
    assert json.loads(world.written()["plan.json"])["providers"]
    world.variables |= {
        "sending_recipient_domains": ["fine.example", "no domain"],
        "sending_providers": [
            {"name": "nobody", "connections": 1},
            {"name": "one", "domains": ["one.test"], "mx": ["mx.test"], "connections": 1},
            {"name": "other", "domains": ["one.test"], "mx": ["in.mx.test"], "connections": 1},
        ],
        "sending_pools": [
            {"name": "bulk", "senders": ["example.us"], "addresses": [{"address": "198.51.100.11", "weight": 0}]},
            {"name": "none", "senders": ["example.com"], "addresses": []},
        ],
    }
    done = world.play("plan.yml")
    assert done.returncode != 0
    for start in (
        "sending_recipient_domains[1]: found 'no domain', expected a domain name",
        "sending_providers[0].domains: found nothing, expected domains, or mx",
        "sending_providers[2].domains: found 'one.test', expected a domain that no other provider has",
        "sending_providers[2].mx: found 'in.mx.test', expected hosts of its own: one has mx.test",
        "sending_pools[0].addresses[0].weight: found 0, expected a whole number from 1 to 100",
        "sending_pools[0].addresses: found no address of mta2.example.com, expected an address of each server",
        "sending_pools[1].addresses: found [], expected a value; add addresses",
    ):
        assert start in done.stdout, (start, done.stdout)
    assert json.loads(world.written()["plan.json"])["providers"] == []


def test_what_no_lane_can_keep_is_told_with_its_path_too(world):
    done = world.play("plan.yml", sending_providers=[
        {"name": "many", "domains": ["many.test"], "connections": 2, "fleet": {"connections": 99}}])
    assert done.returncode != 0
    assert "sending_providers[0].fleet.connections: found 99, expected at most 4: 2 addresses with" in done.stdout


def test_a_plan_may_be_written_elsewhere_or_nowhere(world):
    path = world.folder / "elsewhere/plan.json"
    assert world.play("plan.yml", sending_plan_report=str(path)).returncode == 0
    assert json.loads(path.read_text())["providers"] and not world.state.exists()
    path.unlink()
    assert world.play("plan.yml", sending_plan_report="").returncode == 0
    assert not path.exists() and not world.state.exists()


@pytest.mark.parametrize("playbook", ["plan.yml", "observe.yml"])
def test_a_fleet_of_no_server_is_a_failure(world, playbook):
    world.hosts = {}
    done = world.play(playbook)
    assert done.returncode != 0 and "there is no server, and nothing was done" in " ".join(done.stdout.split())
