# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks that wait for DNS: what they name as lacking, what they ask again, and that they end once it is there."""

from __future__ import annotations

import pytest
from nameserver import NEGATIVE_TTL, Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils import verify_ptr
from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import of_fleet
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, verify_dmarc
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver, verify_receivers
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_run import verify_spf_run
from ansible_collections.mailfleet.sending.plugins.module_utils.waiting import PAUSES, Waiting

NET = "100.51.198.in-addr.arpa"
SPF = "v=spf1 ip4:198.51.100.10 -all"
ZONES = {
    "test": {"test": {"TXT": ["x"]}},
    "good.test": {
        "good.test": {"TXT": [SPF], "MX": ["10 mta.good.test."]},
        "mta.good.test": {"A": ["198.51.100.10"]},
        "_dmarc.good.test": {"TXT": ["v=DMARC1; p=none"]},
    },
    "late.test": {
        "late.test": {"A": ["198.51.100.9"]},
        "_mta-sts.late.test": {"TXT": ["v=STSv1; id=1;"]},
    },
    "agreed.test": {"agreed.test": {"A": ["198.51.100.8"]}},
    NET: {f"10.{NET}": {"PTR": ["mta.good.test."]}, f"11.{NET}": {"PTR": ["mta.late.test."]}},
}


class Run:
    """A check that waits, and what is published in its pauses, one change in each: zone, name, values."""

    def __init__(self, stack, *changes):
        self.server = stack[0]
        self.lookup = stack[1]
        self.pauses, changes = [], list(changes)

        def sleep(seconds):
            self.pauses.append(seconds)
            assert changes, self.names()
            zone, name, values = changes.pop(0)
            self.server.change(zone, name, **values)

        self.waiting = Waiting(60, sleep=sleep)

    def names(self):
        return [tried.waiting for tried in self.waiting.tries]

    def held(self):
        return [{held.name for held in tried.held} for tried in self.waiting.tries]

    def asked(self, name, rdtype):
        return self.server.asked[name, rdtype]


@pytest.fixture
def run():
    with Nameserver(ZONES) as server, Lookup([server.server], timeout=5) as lookup:
        yield lambda *changes: Run((server, lookup), *changes)


def statuses(verdicts):
    return [verdict.status for verdict in verdicts]


def test_ptr_waits_for_the_name_and_for_its_way_back(run):
    each = run(("late.test", "mta.late.test", {"A": ["198.51.100.11"]}),
               (NET, f"12.{NET}", {"PTR": ["mta.late.test."]}),
               ("late.test", "mta.late.test", {"A": ["198.51.100.11", "198.51.100.12"]}))
    addresses = [Address("198.51.100.10", "mta.good.test"), Address("198.51.100.11", "mta.late.test"),
                 Address("198.51.100.12", "mta.late.test")]
    found = each.waiting.each_good(
        each.lookup, addresses, lambda those: verify_ptr.verify_ptr(each.lookup, those), verify_ptr.lack)
    assert statuses(found.values()) == [Status.OK] * 3 and list(found) == addresses
    assert each.names() == [(f"11.{NET}.", f"12.{NET}."), (f"12.{NET}.",), (f"12.{NET}.",), ()]
    # Of the second the name is known, and where it leads is not.
    assert each.held() == [{f"12.{NET}.", "mta.late.test."}, {f"12.{NET}."}, set(), set()]
    assert [tried.asked for tried in each.waiting.tries] == [3, 2, 1, 1] and each.pauses == list(PAUSES[:3])
    assert each.asked(f"10.{NET}", "PTR") == 1 and each.asked(f"12.{NET}", "PTR") == 4


def test_mx_waits_for_hosts_and_for_inbound_policies_at_once(run):
    each = run(("late.test", "mta-sts.late.test", {"A": ["198.51.100.80"]}),
               ("late.test", "late.test", {"MX": ["10 mta.good.test."]}))
    receivers = [Receiver("good.test"), Receiver("late.test", ("mta.good.test",))]
    found = verify_receivers(each.lookup, receivers, waiting=each.waiting)
    assert [(verdict.check, verdict.subjects[0], verdict.status) for verdict in found] == [
        ("mx", "good.test.", "ok"), ("mx", "late.test.", "ok"), ("mta-sts", "good.test.", "ok"),
        ("tlsrpt", "good.test.", "ok"), ("mta-sts", "late.test.", "ok"), ("tlsrpt", "late.test.", "ok")]
    assert each.names() == [("late.test.", "_mta-sts.late.test."), ("late.test.",), ()]
    # That the host has no IPv6 address is no fault, and held as well.
    assert each.held()[0] == {"late.test.", "mta-sts.late.test.", "mta.good.test."}
    assert [tried.asked for tried in each.waiting.tries] == [4, 2, 1]
    assert each.asked("good.test", "MX") == 1 and each.asked("_smtp._tls.late.test", "TXT") == 2


def test_without_inbound_policies_none_is_asked_for(run):
    each = run()
    (verdict,) = verify_receivers(each.lookup, [Receiver("good.test")], inbound=False)
    assert verdict.check == "mx"
    assert each.asked("_mta-sts.good.test", "TXT") == 0


def test_dmarc_waits_for_the_policy_and_for_the_consent_of_others(run):
    policy = {"TXT": ["v=DMARC1; p=none; rua=mailto:a@agreed.test"]}
    consent = "late.test._report._dmarc.agreed.test"
    each = run(("late.test", "_dmarc.late.test", policy), ("agreed.test", consent, {"TXT": ["v=DMARC1"]}))
    subjects = [Subject("good.test"), Subject("late.test")]
    found = each.waiting.until_good(each.lookup, len(subjects), lambda: verify_dmarc(
        each.lookup, subjects, authoritative="no"), lambda found: found.lacking)
    assert {verdict.status for verdict in found.verdicts} == {Status.OK} and not found.lacking
    assert each.names() == [("_dmarc.late.test.",), (f"{consent}.",), ()]
    assert each.held() == [{"_dmarc.late.test."}, {f"{consent}."}, set()]
    assert [tried.asked for tried in each.waiting.tries] == [2, 2, 2]
    # What is returned is what is found without waiting.
    assert found == verify_dmarc(each.lookup, subjects, authoritative="no")


def test_dmarc_waits_for_alignment_by_the_record_of_the_domain(run):
    strict = "v=DMARC1; p=none; aspf=s; adkim=s"
    each = run(("late.test", "_dmarc.late.test", {"TXT": ["v=DMARC1; p=none"]}),
               ("agreed.test", "_dmarc.agreed.test", {"TXT": ["v=DMARC1; p=none"]}))
    each.server.change("agreed.test", "_dmarc.agreed.test", TXT=[strict])
    # No policy applies to the first, so that there is no alignment to judge.
    subjects = [Subject("late.test"), Subject("agreed.test", "e.agreed.test", ("m.agreed.test",))]
    found = each.waiting.until_good(each.lookup, len(subjects), lambda: verify_dmarc(
        each.lookup, subjects, authoritative="no"), lambda found: found.lacking)
    assert not [verdict for verdict in found.verdicts if verdict.status is Status.FAIL] and not found.lacking
    assert each.names() == [("_dmarc.late.test.", "_dmarc.agreed.test."), ("_dmarc.agreed.test.",), ()]


def test_spf_waits_for_records_and_for_what_they_include(run):
    each = run(("late.test", "late.test", {"TXT": ["v=spf1 include:spf.late.test -all"]}),
               ("late.test", "spf.late.test", {"TXT": ["v=spf1 -all"]}),
               ("late.test", "spf.late.test", {"TXT": [SPF]}))
    cases = of_fleet(["good.test", "late.test"], [("198.51.100.10", "mta.good.test")])[:2]
    found = each.waiting.until_good(each.lookup, 2, lambda: verify_spf_run(
        each.lookup, cases, "no"), lambda found: found.lacking)
    assert {verdict.status for verdict in found.verdicts} == {Status.OK} and not found.lacking
    assert each.names() == [("late.test.",)] * 3 + [()]
    # An include that leads to no record is an error (RFC 7208, 5.2).
    assert each.held() == [{"late.test."}, {"spf.late.test."}, set(), set()]
    assert found == verify_spf_run(each.lookup, cases, "no")


@pytest.mark.parametrize("authoritative", ["yes", "auto"])
def test_spf_waits_for_a_name_server_that_is_behind(authoritative):
    def zones(text):
        return {"x.test": {"x.test": {"TXT": [text], "NS": ["ns1.x.test.", "ns2.x.test."]},
                           "ns1.x.test": {"A": ["127.0.0.1"]}, "ns2.x.test": {"A": ["127.0.0.2"]}}}

    with (
        Nameserver(zones(SPF)) as first,
        Nameserver(zones(SPF.replace("-", "~")), address="127.0.0.2", port=first.port) as second,
        Lookup([first.server], timeout=5, authority_port=first.port) as lookup,
    ):
        right = zones(SPF)["x.test"]["x.test"]
        waiting = Waiting(60, sleep=lambda _seconds: second.change("x.test", "x.test", **right))
        cases = of_fleet(["x.test"], [("198.51.100.10", "")])
        found = waiting.until_good(lookup, 1, lambda: verify_spf_run(lookup, cases, authoritative),
                                   lambda found: found.lacking)
    assert {verdict.status for verdict in found.verdicts} == {Status.OK}
    assert [tried.waiting for tried in waiting.tries] == [("x.test.",), ()]


def test_the_time_ends_what_never_comes(run):
    each = run()
    patience = Waiting(60)
    patience.sleep = lambda _seconds: setattr(patience, "seconds", 0)
    cases = of_fleet(["late.test"], [("198.51.100.10", "")])
    found = patience.until_good(each.lookup, 1, lambda: verify_spf_run(each.lookup, cases, "no"),
                                lambda found: found.lacking)
    assert statuses(found.verdicts) == [Status.ABSENT, Status.ABSENT]
    assert [tried.pause for tried in patience.tries] == [1, None]
    (held,) = patience.tries[-1].held
    assert (held.name, held.rdtype, held.seconds) == ("late.test.", "TXT", NEGATIVE_TTL)
    assert str(patience.tries[-1]).endswith("; the time is up")


def test_spf_waits_for_what_passes_now_and_breaks_others(run):
    each = run(("late.test", "spf.late.test", {"TXT": ["v=spf1 -all"]}))
    each.server.change("late.test", "late.test", TXT=[SPF.replace("-all", "include:spf.late.test -all")])
    cases = of_fleet(["late.test"], [("198.51.100.10", "")])
    found = each.waiting.until_good(each.lookup, 1, lambda: verify_spf_run(each.lookup, cases, "no"),
                                    lambda found: found.lacking)
    assert {verdict.status for verdict in found.verdicts} == {Status.OK}
    assert each.names() == [("late.test.",), ()]


def test_a_name_that_nobody_can_publish_is_held_by_nobody(run):
    domain = ".".join(["x" * 61] * 4)  # with _dmarc before it, it is longer than a name may be (RFC 1035, 2.3.4)
    waiting = Waiting(0)
    found = waiting.until_good(run().lookup, 1, lambda: verify_dmarc(run().lookup, [Subject(domain)]),
                               lambda found: found.lacking)
    assert statuses(found.verdicts) == [Status.UNKNOWN]  # nobody here answers for the names above it
    assert [(tried.waiting, tried.held) for tried in waiting.tries] == [((f"_dmarc.{domain}.",), ())]


def test_what_only_a_mend_would_ask_for_is_not_lacking(run):
    each = run()
    each.server.change("late.test", "late.test",
                       TXT=["v=spf1 ip4:198.51.100.9 -all", "v=spf1 include:spf.late.test -all"])
    cases = of_fleet(["late.test"], [("198.51.100.10", "")])
    found = verify_spf_run(each.lookup, cases, "no")
    assert each.asked("spf.late.test", "TXT") and found.lacking == ([("late.test.", "TXT")],)
