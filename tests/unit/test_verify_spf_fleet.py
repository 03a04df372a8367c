# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SPF of many addresses and domains: groups, budgets of queries, what is not published yet, servers that differ."""

from __future__ import annotations

import csv
import ipaddress
import tracemalloc

import pytest
from nameserver import Nameserver
from spf_world import tangled

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import (
    NAMED,
    Case,
    Sender,
    Table,
    of_fleet,
    of_senders,
    together,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_matrix import COLUMNS, Matrix
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import View, read_what_if
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf import WAYS, verify_spf


@pytest.fixture
def dns():
    """Return a function that starts a server with these records, a text being TXT, and gives it and its lookup."""
    started = []

    def start(names, faults=None, **options):
        names = {name: {"TXT": [types]} if isinstance(types, str) else types for name, types in names.items()}
        server = Nameserver({"": names}, faults, **options).__enter__()
        lookup = Lookup([server.server], timeout=9).__enter__()
        started.extend([lookup, server])
        return server, lookup

    yield start
    for item in started:
        item.__exit__()


def addresses(count, helo=""):
    return [(f"198.51.{number // 250}.{number % 250}", helo) for number in range(count)]


def found(findings):
    return [(verdict.found, list(verdict.subjects)) for verdict in findings.verdicts]


def test_a_tree_is_fetched_once_for_the_whole_fleet_level_by_level(dns):
    names = {f"n{n}.example": f"v=spf1 include:n{n + 1}.example include:m{n}.example -all" for n in range(4)}
    names |= {f"m{n}.example": "v=spf1 a:h.example mx:h.example -all" for n in range(3)}
    names |= {"n4.example": "v=spf1 ip4:198.51.0.0/16 -all", "m3.example": "v=spf1 -all"}
    names["h.example"] = {"A": ["192.0.2.1"], "MX": [(10, "h.example.")]}
    server, lookup = dns(names)
    levels, each = [], lookup.each

    def noted(ask, questions):
        levels.append([name for name, rdtype in sorted(questions) if rdtype == "TXT"])
        return each(ask, questions)

    lookup.each = noted
    findings = verify_spf(View(lookup), of_fleet(["n0.example"], addresses(200)))
    # Five levels, not nine records in turn.
    assert [level for level in levels if level] == [
        ["n0.example"], *([f"m{n}.example", f"n{n + 1}.example"] for n in range(4))]
    assert findings.counts == {Status.OK: 200} and len(findings.verdicts) == 1
    # Nine records, one host and its MX: each once.
    assert server.queries == 11 and max(server.asked.values()) == 1


def test_domains_that_share_a_tree_cost_a_query_each(dns):
    names = {f"d{n}.example": "v=spf1 include:main.example ~all" for n in range(50)}
    server, lookup = dns({**names, "main.example": "v=spf1 ip4:198.51.0.0/16 -all"})
    findings = verify_spf(View(lookup), of_fleet(names, addresses(300)))
    assert findings.counts == {Status.OK: 15000} and len(findings.verdicts) == 50
    assert server.queries == 51


def test_helo_names_are_verified_with_their_own_addresses(dns):
    names = {f"mta{n}.example": {"TXT": ["v=spf1 a -all"], "A": [f"198.51.0.{n}"]} for n in range(1, 101)}
    names["mta7.example"]["A"] = ["198.51.0.200"]
    server, lookup = dns(names)
    findings = verify_spf(View(lookup), of_fleet([], [(f"198.51.0.{n}", f"mta{n}.example") for n in range(1, 101)]))
    assert findings.counts == {Status.OK: 99, Status.FAIL: 1}
    assert server.queries == 200  # the record and the address of each, none of IPv6
    (fault,) = (verdict for verdict in findings.verdicts if not verdict.ok)
    assert fault.subjects == ("198.51.0.7 HELO mta7.example",)
    assert fault.mend == 'publish mta7.example. TXT "v=spf1 ip4:198.51.0.7 a -all" instead of "v=spf1 a -all"'


@pytest.mark.parametrize("count, failing, subjects", [
    (3, [1], ["198.51.0.1 MAIL FROM d.example"]),
    (NAMED + 5, range(NAMED + 5), [f"all {NAMED + 5} addresses MAIL FROM d.example"]),
    (1200, range(1200), ["all 1,200 addresses MAIL FROM d.example"]),
    (100, range(10, 60), ["198.51.0.10 to 198.51.0.59 (50 addresses) MAIL FROM d.example"]),
    (100, [*range(30), 40], ["198.51.0.0 to 198.51.0.29 (30 addresses) MAIL FROM d.example",
                             "198.51.0.40 MAIL FROM d.example"]),
])
def test_subjects_are_named_one_by_one_or_as_ranges(dns, count, failing, subjects):
    wrong = " ".join(f"-ip4:{addresses(1200)[number][0]}" for number in failing)
    _server, lookup = dns({"d.example": f"v=spf1 {wrong} ip4:198.51.0.0/16 -all"})
    findings = verify_spf(View(lookup), of_fleet(["d.example"], addresses(count)))
    runs = [verdict.subjects for verdict in findings.verdicts if not verdict.ok]
    assert sum(findings.counts.values()) == count and findings.counts[Status.FAIL] == len(failing)
    if len(failing) > NAMED:
        assert [*map(list, runs)] == [subjects]


def test_the_list_of_subjects_never_grows_with_the_fleet():
    case = Case("d.example", "mailfrom", of_fleet(["d.example"], addresses(1000))[0].table)
    names = case.subjects([(number, number + 1) for number in range(0, 1000, 2)])
    assert len(names) == NAMED + 1 and names[-1] == f"and {500 - NAMED} more addresses MAIL FROM d.example"


@pytest.mark.parametrize("terms, verdicts", [(WAYS, WAYS), (WAYS + 1, 1), (300, 1)])
def test_many_chains_that_differ_in_the_last_term_only_are_one_verdict(dns, terms, verdicts):
    text = " ".join(f"ip4:{address}" for address, _helo in addresses(2 * terms)[::2])
    _server, lookup = dns({"d.example": "v=spf1 include:e.example -all", "e.example": f"v=spf1 {text} -all"})
    findings = verify_spf(View(lookup), of_fleet(["d.example"], addresses(2 * terms)[::2]))
    assert len(findings.verdicts) == verdicts and findings.counts == {Status.OK: terms}
    if verdicts == 1:
        assert findings.verdicts[0].found == (
            f"pass by d.example: include:e.example > e.example: ip4:198.51.0.0 and {terms - 1} more terms")


def test_macros_are_evaluated_for_each_address(dns):
    names = {"d.example": "v=spf1 ip4:198.51.0.0/26 exists:%{i}.l.example exists:%{h}.l.example -all",
             "198.51.0.70.l.example": {"A": ["127.0.0.2"]}, "mta.example.l.example": {"A": ["127.0.0.2"]}}
    server, lookup = dns(names)
    fleet = of_fleet(["d.example"], [*addresses(80), ("198.51.0.90", "mta.example")])[:1]
    findings = verify_spf(View(lookup), fleet)
    assert findings.counts == {Status.OK: 66, Status.FAIL: 15}
    # The record, 17 addresses beyond the network, the HELO name, and the domain where there is none.
    assert server.queries == 1 + 17 + 2


@pytest.mark.parametrize("local, status", [("postmaster", Status.OK), ("news", Status.FAIL)])
def test_mail_from_is_evaluated_as_postmaster(dns, local, status):
    """What the documentation of spf_verify says of macros: RFC 7208, 4.3, of a sender without a local part."""
    listed = {f"{local}.l.example": {"A": ["127.0.0.2"]}}
    _server, lookup = dns({"d.example": "v=spf1 exists:%{l}.l.example -all", **listed})
    (verdict,) = verify_spf(View(lookup), of_fleet(["d.example"], [("198.51.0.1", "")])).verdicts
    assert verdict.status is status


def test_every_check_is_what_check_host_finds_and_stands_in_the_matrix(dns, tmp_path):
    names = {
        "a.example": "v=spf1 ip4:198.51.0.0/28 -ip4:198.51.0.16/29 include:b.example ip6:2001:db8::/64 ?all",
        "b.example": "v=spf1 a:h.example mx:none.example exists:%{ir}.x.example redirect=c.example",
        "c.example": "v=spf1 include:broken.example",
        "h.example": {"A": ["198.51.0.40"], "AAAA": ["2001:db8:1::1"]},
        "41.0.51.198.x.example": {"A": ["127.0.0.1"]},
    }
    _server, lookup = dns(names, {"broken.example": "servfail"})
    fleet = [*addresses(60, "mta.example"), ("2001:db8::1", ""), ("2001:db8:1::1", ""), ("198.51.0.99", "")]
    cases = of_fleet(["a.example", "b.example"], fleet)
    view = View(lookup)
    with Matrix(tmp_path / "spf.csv") as matrix:
        findings = verify_spf(view, cases, matrix.write)
        assert not (tmp_path / "spf.csv").exists()
    with open(tmp_path / "spf.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 63 * 2 + 60 == sum(findings.counts.values())
    helos = {str(ipaddress.ip_address(address)): helo for address, helo in fleet}
    for row in rows:
        domain = row["domain"]
        check = check_host(row["address"], domain, f"postmaster@{domain}", helos[row["address"]] or domain, view.ask,
                           explain=False)
        assert (row["result"], row["chain"], row["terms"], row["voids"], row["cause"]) == (
            check.result.value, " > ".join(map(str, check.chain)), str(check.terms), str(len(check.voids)), check.cause)
    assert {row["status"] for row in rows} == {"ok", "fail", "unknown", "absent"}


def test_a_matrix_that_was_not_finished_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "spf.csv"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError), Matrix(path):
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "before" and [*tmp_path.iterdir()] == [path]


def test_what_is_not_published_yet_is_evaluated_as_if_it_were(dns):
    server, lookup = dns({"d.example": "v=spf1 -all", "e.example": "v=spf1 include:d.example -all"})
    fleet = of_fleet(["d.example", "e.example"], addresses(2))
    assert verify_spf(View(lookup), fleet).counts == {Status.FAIL: 4}
    what_if = read_what_if({"D.example.": "v=spf1 include:_spf1.d.example -all",
                            "_spf1.d.example": "v=spf1 ip4:198.51.0.0/31 -all"})
    assert verify_spf(View(lookup, what_if), fleet).counts == {Status.OK: 4}
    assert verify_spf(View(lookup, {"d.example": ""}), fleet[:1]).counts == {Status.ABSENT: 2}
    assert verify_spf(View(lookup), fleet).counts == {Status.FAIL: 4}


def test_what_if_names_all_that_is_wrong_with_it():
    with pytest.raises(ValueError, match=r"what_if of a\.example.*b\.\.example"):
        read_what_if({"a.example": ["v=spf1"], "b..example": "v=spf1 -all"})


class Authorities(Lookup):
    """A lookup that finds two authoritative servers for every name, without a delegation to find them by."""

    both: tuple = ()

    def ask_by(self, authoritative, name, rdtype):
        return [self.ask(name, rdtype, server) for server in self.both], ""


@pytest.fixture
def authorities():
    names = {"d.example": {"TXT": ["v=spf1 include:_s.d.example include:other.example -all"]},
             "_s.d.example": {"TXT": ["v=spf1 ip4:198.51.0.0/16 -all"]}, "other.example": {"TXT": ["v=spf1 -all"]}}
    with (
        Nameserver({"": names}) as one,
        Nameserver({"": names}) as two,
        Authorities([one.server], timeout=0.3) as lookup,
    ):
        lookup.both = (one.server, two.server)
        yield one, two, lookup


def by_authorities(lookup):
    return verify_spf(View(lookup, {}, "yes", ["d.example"]), of_fleet(["d.example"], addresses(1)))


def test_records_of_our_own_are_asked_of_every_authoritative_server(authorities):
    _one, two, lookup = authorities
    assert {verdict.status for verdict in by_authorities(lookup).verdicts} == {Status.OK}
    assert sorted(two.asked) == [("_s.d.example", "TXT"), ("d.example", "TXT")]


def test_name_servers_that_differ_are_told_and_nothing_is_to_be_published(authorities):
    one, two, lookup = authorities
    two.change("", "_s.d.example", TXT=["v=spf1 ip4:192.0.2.1 -all"])
    verdicts = by_authorities(lookup).verdicts
    (fault,) = (verdict for verdict in verdicts if not verdict.ok)
    assert (fault.status, fault.subjects) == (Status.FAIL, ("TXT _s.d.example.",))
    assert "v=spf1 ip4:192.0.2.1 -all" in fault.cause and str(two.server) in fault.cause
    one.change("", "_s.d.example", TXT=["v=spf1 -all"])
    lookup.forget()
    assert {verdict.mend for verdict in by_authorities(lookup).verdicts} == {
        "make all name servers serve the same version of the zone",
        'publish d.example. TXT "v=spf1 ip4:198.51.0.0 include:_s.d.example include:other.example -all" instead of '
        '"v=spf1 include:_s.d.example include:other.example -all"',
    }


def test_values_of_others_at_the_name_are_no_more_than_a_note(authorities):
    one, two, lookup = authorities
    text = "v=spf1 include:_s.d.example include:other.example -all"
    two.change("", "d.example", TXT=["google-site-verification=x", text])
    *checks, note = by_authorities(lookup).verdicts
    assert {verdict.status for verdict in (*checks, note)} == {Status.OK}
    assert note.subjects == ("TXT d.example.",) and note.found == (
        "the same SPF; note: the name servers differ in other values of d.example. TXT: "
        f"{one.server}: none; {two.server}: 'google-site-verification=x'")
    # One that has nothing but values of others has no SPF.
    two.change("", "d.example", TXT=["google-site-verification=x"])
    lookup.forget()
    (fault,) = (verdict for verdict in by_authorities(lookup).verdicts if not verdict.ok)
    assert fault.status is Status.FAIL and "the name servers differ" in fault.cause


def test_a_name_server_that_does_not_answer_is_unknown_and_named(authorities):
    _one, two, lookup = authorities
    two.faults["*"] = "refused"
    verdicts = by_authorities(lookup).verdicts
    assert [verdict.status for verdict in verdicts] == [Status.OK, Status.UNKNOWN]
    verdict = verdicts[1]
    assert verdict.subjects == ("TXT _s.d.example.", "TXT d.example.")
    assert f"{two.server}" in verdict.cause and "REFUSED" in verdict.cause and f"{two.server}" in verdict.mend


def test_servers_that_say_nothing_at_all_leave_the_checks_unknown(authorities):
    one, two, lookup = authorities
    one.faults["*"] = two.faults["*"] = "refused"
    (verdict,) = by_authorities(lookup).verdicts
    assert verdict.status is Status.UNKNOWN
    assert str(one.server) in verdict.cause and str(two.server) in verdict.cause


def test_single_checks_join_those_of_the_fleet():
    senders = [Sender("198.51.0.1", "d.example"), Sender("198.51.9.9", "d.example"), Sender("198.51.0.1", "e.example")]
    cases = together(of_fleet(["d.example"], addresses(2)), of_senders(senders))
    assert [(case.domain, len(case.table)) for case in cases] == [("d.example", 4), ("e.example", 1)]


class Sealed:
    """A lookup in memory that counts."""

    resolvers = ()

    def __init__(self, names):
        self.names, self.asked = names, 0

    def each(self, function, items):
        return [function(item) for item in items]

    def ask(self, name, rdtype):
        self.asked += 1
        text = self.names.get(name.removesuffix(".")) if rdtype == "TXT" else None
        kind = Kind.VALUES if text else Kind.NO_NAME
        return Outcome(f"{name}.", rdtype, kind, (text,) if text else (), server="192.0.2.53")


def test_a_fleet_of_addresses_and_domains_shares_one_table():
    cases = of_fleet([f"d{n}.example" for n in range(200)], addresses(1000))
    assert len(cases) == 200 and len({id(case.table) for case in cases}) == 1


def test_trees_that_never_end_cost_few_queries():
    names = {"d.example": "v=spf1 " + " ".join(f"include:a{n}.example" for n in range(5000))}
    names |= {f"a{n}.example": names["d.example"] for n in range(5000)}
    dns = Sealed(names)
    findings = verify_spf(View(dns), of_fleet(["d.example"], addresses(3)))
    assert findings.counts == {Status.FAIL: 3} and dns.asked < 100


def test_a_tree_that_is_too_tangled_to_be_compiled_is_evaluated_address_by_address():
    fleet = of_fleet(["n0.example"], [(f"192.0.2.{number}", "") for number in range(128)])
    findings = verify_spf(View(Sealed(tangled("n0.example"))), fleet)
    assert findings.counts == {Status.OK: 22, Status.FAIL: 106}
    ways = {verdict.found.partition(" by ")[0] for verdict in findings.verdicts if not verdict.ok}
    assert ways == {"permerror"}


def test_tables_keep_addresses_once_and_in_order():
    given = [("2001:db8::1", ""), ("198.51.0.9", ""), ("198.51.0.10", ""), ("198.51.0.9", "")]
    (case,) = of_fleet(["d.example"], given)
    assert [row.text for row in case.table.rows] == ["198.51.0.9", "198.51.0.10", "2001:db8::1"]
    assert case.table == Table.of(case.table.rows)


def test_memory_does_not_grow_with_the_product_of_addresses_and_domains():
    def peak(domains, count):
        names = {f"d{n}.example": "v=spf1 include:main.example ~all" for n in range(domains)}
        every_second = " ".join(f"ip4:{address}" for address, _helo in addresses(count)[::2])
        names["main.example"] = f"v=spf1 {every_second} include:all.example -all"
        names["all.example"] = "v=spf1 ip4:198.51.0.0/16 -all"
        tracemalloc.start()
        findings = verify_spf(View(Sealed(names)), of_fleet(list(names)[:-2], addresses(count)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert findings.counts == {Status.OK: domains * count} and len(findings.verdicts) == 2 * domains
        return most

    peak(1, 400)  # fills the cache of parsed records
    # What grows with either of the two falls out. In bytes; a verdict for each pair would take 500 and more.
    product = peak(60, 400) - peak(60, 100) - peak(10, 400) + peak(10, 100)
    assert product < 50 * 300 * 5
