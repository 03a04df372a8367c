# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks of a fleet by one lookup: what they say, what they ask, and what a silent name server costs them."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from nameserver import Nameserver
from silent import Silent

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "dns"))

import worlds

from ansible_collections.mailfleet.sending.plugins.module_utils import report
from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import Blocklist
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import WORKERS, Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup_silence import CUT_OFF, NOBODY_AFTER
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import of_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status, counted
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dkim import verify_dkim
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, verify_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_fleet import Wanted, verify_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_inbound import verify_inbound
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver, verify_mx
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address, verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run

LISTS = [Blocklist("ours", "list.example", ("ip4", "domain"), {"127.0.0.2": "sends spam"}, listed="test.example",
                   unlisted="example.com")]
LISTED = {"list.example": {f"{name}.list.example": {"A": ["127.0.0.2"]} for name in ("2.0.0.127", "test.example")}}


def report_of(found):
    """Return the faults as the report tells them, by their numbers."""
    made = report.Report({}, tuple(verdict for verdict in found.verdicts if not verdict.ok))
    return re.findall(r"^[0-9]+\. .*(?:\n .*)*", report.text(made), re.MULTILINE)


class Run:
    """A fleet whose zones are at two name servers, and a resolver that knows them too."""

    def __init__(self, stack, fleet, second=None, faults=None):
        self.fleet, self.stack = fleet, stack
        zones = fleet.zones({"ns1.fleet.example.": "127.0.0.2", "ns2.fleet.example.": "127.0.0.3"}) | LISTED
        self.resolver = stack.enter_context(Nameserver(zones, faults))
        self.authorities = [
            stack.enter_context(Nameserver(zones, fault, address=f"127.0.0.{at}", port=self.resolver.port))
            for at, fault in ((2, faults), (3, second or faults))]
        desired = fleet.desired
        self.wanted = Wanted(
            addresses=[Address(**item) for item in desired["addresses"]], domains=desired["mail_domains"],
            keys=[Key(**item) for item in desired["public_keys"]],
            policies=[Subject(**item) for item in desired["policies"]],
            receivers=[Receiver(**item) for item in desired["receivers"]], blocklists=LISTS)

    @property
    def servers(self):
        return [self.resolver, *self.authorities]

    def publish(self, zone, owner, text):
        """Put another TXT record at a name, beside what stands there of other types."""
        for server in self.servers:
            server.change(zone, owner, **server.zones_as_given[zone][owner] | {"TXT": [text]})

    def lookup(self, timeout=9.0):
        made = Lookup([self.resolver.server], timeout, authority_port=self.resolver.port)
        return self.stack.enter_context(made)

    def alone(self, timeout=9.0):
        """Return the verdicts of the checks in turn, each with a lookup of its own, as the modules do."""
        wanted, domains = self.wanted, [receiver.domain for receiver in self.wanted.receivers]
        hosts = [(item.address, item.helo) for item in wanted.addresses]
        helo = [name for _address, name in hosts]
        return [verdict for check in (
            lambda lookup: verify_ptr(lookup, wanted.addresses, "auto"),
            lambda lookup: verify_spf_run(lookup, of_fleet(wanted.domains, hosts)).verdicts,
            lambda lookup: verify_dkim(lookup, wanted.keys).verdicts,
            lambda lookup: verify_dmarc(lookup, wanted.policies, helo).verdicts,
            lambda lookup: verify_mx(lookup, wanted.receivers, "auto"),
            lambda lookup: verify_inbound(lookup, domains),
            lambda lookup: verify_blocklists(lookup, LISTS, [address for address, _name in hosts], domains),
        ) for verdict in check(self.lookup(timeout))]


@pytest.fixture
def run():
    """Return a function that serves a fleet of so many servers, addresses of each, and domains, and where they have
    their reports sent."""
    with ExitStack() as stack:
        def start(*size, reports="fleet.example", **options):
            fleet = worlds.Fleet(*size, resolver="127.0.0.1")
            for domain in fleet.variables["sending_domains"]:
                domain["dmarc"]["rua"] = [f"dmarc@{reports}"]
            return Run(stack, fleet, **options)

        yield start


def test_the_verdicts_are_those_of_the_single_checks_in_their_order(run):
    # What two domains and an address lack is found too.
    faults = {"brand000.example": "servfail", "e.brand001.example": "refused", "mta001-1.fleet.example": "servfail"}
    each = run(2, 3, 3, faults=faults)
    found = verify_fleet(each.lookup(), each.wanted)
    alone = each.alone()
    assert list(found.verdicts) == alone
    assert {verdict.status for verdict in alone} > {Status.OK, Status.UNKNOWN}
    # All are counted by their subjects but checks of SPF, of which there is one for each address and domain.
    assert {"ptr", "spf", "dkim", "dmarc", "mx", "mta-sts", "blocklist"} < {verdict.check for verdict in alone}
    of_spf = sum((verdict.check == "spf") * len(verdict.subjects) for verdict in alone)
    # As the documentation of fleet_verify has it.
    assert list(dict.fromkeys(verdict.check for verdict in alone)) == [
        "ptr", "spf", "spf record", "dkim", "dmarc", "alignment", "dmarc_reports", "mx", "mta-sts", "tlsrpt",
        "blocklist"]
    assert found.counts.total() - counted(alone).total() == 6 * (3 + 3 + 1) - of_spf


def test_each_question_is_asked_once(run):
    each = run(5, 4, 10)
    found = verify_fleet(each.lookup(), each.wanted)
    assert {verdict.status for verdict in found.verdicts} == {Status.OK}
    assert [Counter(server.asked.values()).keys() for server in each.servers] == [{1}] * 3
    first, second = each.authorities
    # One server of the zone above is asked for whom it delegates each zone to.
    of_cuts = {question for question in first.asked if question[1] == "NS"}
    zones = each.resolver.zones_as_given.keys() - LISTED - {""}
    assert {name for name, _type in of_cuts} == zones and first.asked.keys() - of_cuts == second.asked.keys()
    # Of each address: names, and of its HELO name the address and SPF. Of each domain and bounce domain: SPF, MX; of a
    # domain: its key, policy and reports. Of each of five hosts that bounces come back to: the IPv6 address, or IPv4.
    assert second.queries == 20 * 3 + 10 * (2 + 2 + 3) + 5
    # Addresses, zones and policies of the HELO names, and the list; what stands around the domains, hosts of MX.
    assert each.resolver.queries <= 20 * 4 + 10 * 17 + 40


def test_all_that_is_wrong_with_one_record_is_one_fault_with_one_record_to_publish(run):
    each = run(2, 2, 2)
    owner, live = "e.brand000.example", "v=spf1 ip4:198.18.0.1 ip6:2001:db8::/127 ptr ip6:2001:db8::1 ?all"
    each.publish("brand000.example", owner, live)
    policy = "v=DMARC1; p=none; aspf=s; ri=60"
    each.publish("brand001.example", "_dmarc.brand001.example", policy)
    faults = report_of(verify_fleet(each.lookup(), each.wanted))
    # An auxiliary bounce domain includes it: the address passes by none of the two.
    assert len(faults) == 2
    assert re.findall(r"^(?:1\.|   also) (.*)", faults[0], re.MULTILINE) == [
        "spf fail: 198.18.0.2 MAIL FROM e.brand000.example", "spf fail: 198.18.0.2 MAIL FROM e.brand001.example",
        "spf record warn: e.brand000.example", "spf record warn: e.brand000.example"]
    new = live.replace("v=spf1", "v=spf1 ip4:198.18.0.2").replace("ptr ", "").replace("?all", "~all")
    assert " ".join(faults[0].split()).count(f'publish {owner}. TXT "{new}" instead of "{live}"') == 1
    assert re.findall(r"^(?:2\.|   also) (.*)", faults[1], re.MULTILINE) == [
        "dmarc fail: brand001.example", "alignment warn: brand001.example"]
    new = "v=DMARC1; p=reject; rua=mailto:dmarc@fleet.example"
    mend = f'publish _dmarc.brand001.example. TXT "{new}" instead of "{policy}"'
    assert " ".join(faults[1].split()).count(mend) == 1 == faults[1].count("publish ")


def test_nothing_is_asked_about_nothing(run):
    each = run(1, 1, 1)
    assert verify_fleet(each.lookup(), Wanted()).verdicts == ()
    assert sum(server.queries for server in each.servers) == 0


@pytest.mark.parametrize("reports, timeouts", [("brand000.example", 1), ("fleet.example", 2)])
def test_a_silent_name_server_is_waited_for_by_the_run_and_not_by_each_check(run, reports, timeouts):
    # Where reports go to another organization, it is asked for its consent once the policy is read, unless it is dead.
    each = run(2, 2, 1, reports=reports, second={"*": "timeout"})
    began = time.monotonic()
    found = verify_fleet(each.lookup(timeout=4), each.wanted)
    assert time.monotonic() - began < (timeouts + 1) * 4  # five checks ask it
    silent = [verdict for verdict in found.verdicts if not verdict.ok]
    checks = {"ptr", "spf", "dkim", "dmarc", "mx"} | ({"dmarc_reports"} if timeouts == 2 else set())
    assert {verdict.check for verdict in silent} == checks
    assert {verdict.status for verdict in silent} == {Status.UNKNOWN}
    (cause,) = {verdict.cause for verdict in silent if verdict.check != "dmarc_reports"}
    assert cause.endswith(f"ns2.fleet.example. (127.0.0.3:{each.resolver.port}): did not say: no answer within 4 s")


def test_a_firewall_costs_a_fleet_one_timeout_and_is_told_once(run, monkeypatch):
    each = run(4, 4, 30)
    zones, addresses = each.resolver.zones_as_given, []
    for number, zone in enumerate(zones.keys() - LISTED):
        hosts = {f"ns{at}.z{number}.fleet.example": {"A": [f"127.3.{number}.{at}"]} for at in (1, 2)}
        zones[zone][zone]["NS"] = [f"{host}." for host in hosts]
        zones["fleet.example"] |= hosts
        addresses += [host["A"][0] for host in hosts.values()]
    resolver, silent = (each.stack.enter_context(made) for made in (Nameserver(zones), Silent(addresses)))
    silent.hasten(monkeypatch)
    with Lookup([resolver.server], authority_port=silent.port) as lookup:
        found = verify_fleet(lookup, each.wanted)
    # Those under way, which may all be to a few servers, and as many more until several were met. Else each of the two
    # servers of 30 domains would have to leave several questions unanswered before it counts as dead.
    assert silent.questions() <= 2 * (WORKERS + 1)
    (told,) = [verdict for verdict in found.verdicts if CUT_OFF in verdict.cause]
    assert (told.check, told.status, told.subjects) == ("name servers", Status.WARN, ("all authoritative servers",))
    # All else is what the resolver says, but for what had ended before it was known, when few had been met.
    others = [verdict for verdict in found.verdicts if verdict.status is not Status.OK and verdict is not told]
    assert {verdict.status for verdict in others} <= {Status.WARN}
    assert not [verdict for verdict in others if verdict.check == "name servers"]
    assert all("no authoritative server could be asked" in verdict.cause for verdict in others)
    named = {address for verdict in others for address in re.findall(r"127\.3\.\d+\.\d", verdict.cause)}
    assert len(named) < NOBODY_AFTER
