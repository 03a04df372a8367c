# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where mail to a domain goes, against a real name server. Each case names the rule that it is about."""

from __future__ import annotations

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import LOOKED_AT, Receiver, verify_mx

HOSTS = ("mta1.example.com", "mta2.example.com")
ZONES = {
    "example.com": {
        "mta1.example.com": {"A": ["198.51.100.10"], "AAAA": ["2001:db8:61::10"]},
        "mta2.example.com": {"A": ["198.51.100.20"]},
        "six.example.com": {"AAAA": ["2001:db8:61::6"]},
        "inside.example.com": {"A": ["10.1.2.3"], "AAAA": ["fd00::1"]},
        "both.example.com": {"A": ["10.1.2.3", "198.51.100.30"]},
        "alias.example.com": {"CNAME": ["mta1.example.com."]},
        "silent.example.com": {"A": ["198.51.100.40"]},
        "text.example.com": {"TXT": ["x"]},
        "whole.example.com": {"MX": [(10, "mta1.example.com."), (20, "MTA2.Example.com.")]},
        "half.example.com": {"MX": [(10, "mta1.example.com.")]},
        "more.example.com": {"MX": [(10, "mta1.example.com."), (10, "mta2.example.com."), (50, "six.example.com.")]},
        "elsewhere.example.com": {"MX": [(10, "six.example.com.")]},
        "null.example.com": {"MX": [(0, ".")]},
        "nullandmore.example.com": {"MX": [(0, "."), (10, "mta1.example.com.")]},
        "none.example.com": {"TXT": ["x"]},
        "implicit.example.com": {"A": ["198.51.100.50"]},
        "literal.example.com": {"MX": [(10, "198.51.100.10.")]},
        "private.example.com": {"MX": [(10, "inside.example.com.")]},
        "mixed.example.com": {"MX": [(10, "both.example.com.")]},
        "aliased.example.com": {"MX": [(10, "alias.example.com.")]},
        "gone.example.com": {"MX": [(10, "nobody.example.com.")]},
        "partly.example.com": {"MX": [(1, "nobody.example.com."), (2, "text.example.com."), (3, "six.example.com.")]},
        "quiet.example.com": {"MX": [(10, "silent.example.com.")]},
        "carrier.example.com": {"MX": [(10, "nat.example.com.")]},
        "nat.example.com": {"A": ["100.64.1.2"], "AAAA": ["::ffff:198.51.100.1"]},
        "home.example.com": {"A": ["127.0.0.1"]},
        "aliasandmore.example.com": {"MX": [(10, "alias.example.com."), (20, "nobody.example.com.")]},
        "null10.example.com": {"MX": [(10, ".")]},
        "many.example.com": {"MX": [(10, "mta1.example.com."), *((20, f"m{n}.example.com.") for n in range(2000))]},
    }
}
FAULTS = {"silent.example.com": "servfail", "dead.example.com": "timeout"}


@pytest.fixture(scope="module")
def lookup():
    with Nameserver(ZONES, FAULTS) as server, Lookup([server.server], timeout=0.6) as lookup:
        yield lookup


@pytest.mark.parametrize(
    "rule, name, hosts, status, cause, mend",
    [
        ("RFC 5321, 5.1: any host", "whole", (), "ok", "", ""),
        ("names compare without case", "whole", HOSTS, "ok", "", ""),
        ("IPv6 alone is an address", "elsewhere", (), "ok", "", ""),
        ("one public address will do", "mixed", (), "ok", "", ""),
        (
            "a host of the fleet is left out",
            "half",
            HOSTS,
            "warn",
            "no MX record names mta2.example.com.",
            "publish half.example.com. MX 10 mta2.example.com.",
        ),
        (
            "bounces go elsewhere too",
            "more",
            HOSTS,
            "fail",
            "mail goes to six.example.com. too, which is no host of the fleet",
            "remove more.example.com. MX to six.example.com.; publish more.example.com. MX 10 mta1.example.com. and "
            "more.example.com. MX 10 mta2.example.com.",
        ),
        (
            "bounces go elsewhere",
            "elsewhere",
            HOSTS[:1],
            "fail",
            "mail goes to six.example.com., and to no host of the fleet",
            "remove elsewhere.example.com. MX to six.example.com.; publish elsewhere.example.com. MX 10 "
            "mta1.example.com.",
        ),
        (
            "RFC 7505, 3 and 4.2",
            "null",
            HOSTS[:1],
            "fail",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove null.example.com. MX 0 .; publish null.example.com. MX 10 mta1.example.com.",
        ),
        (
            "RFC 7505, 3: alone",
            "nullandmore",
            (),
            "fail",
            "a null MX stands beside other MX records, which RFC 7505, 3 forbids",
            "remove nullandmore.example.com. MX 0 .; publish nullandmore.example.com. MX 10 with the name of the host "
            "that takes its mail",
        ),
        (
            "no MX, no address",
            "none",
            HOSTS[:1],
            "absent",
            "no data, and no address: receivers may refuse a sender that takes no mail",
            "publish none.example.com. MX 10 mta1.example.com.",
        ),
        (
            "no such name",
            "missing",
            (),
            "absent",
            "no such name, and no address: receivers may refuse a sender that takes no mail",
            "publish missing.example.com. MX 10 with the name of the host that takes its mail",
        ),
        (
            "RFC 5321, 5.1: implicit",
            "implicit",
            (),
            "warn",
            "no data: mail goes to the domain's own address, 198.51.100.50 (RFC 5321, 5.1)",
            "publish implicit.example.com. MX 10 with the name of the host that takes its mail",
        ),
        (
            "implicit, but not to the fleet",
            "implicit",
            HOSTS[:1],
            "fail",
            "no data: mail goes to the domain's own address, 198.51.100.50 (RFC 5321, 5.1)",
            "publish implicit.example.com. MX 10 mta1.example.com.",
        ),
        (
            "RFC 1035, 3.3.9: a name",
            "literal",
            (),
            "fail",
            "198.51.100.10. is an address, an MX names a host (RFC 1035, 3.3.9)",
            "publish literal.example.com. MX with the name of a host instead of 198.51.100.10.",
        ),
        (
            "RFC 1918, RFC 4193",
            "private",
            (),
            "fail",
            "inside.example.com. points to 10.1.2.3, fd00::1, which nobody outside reaches",
            "publish inside.example.com. A with its public address",
        ),
        (
            "RFC 6598, RFC 4291, 2.5.5.2",
            "carrier",
            (),
            "fail",
            "nat.example.com. points to 100.64.1.2, ::ffff:198.51.100.1, which nobody outside reaches",
            "publish nat.example.com. A with its public address",
        ),
        (
            "RFC 5321, 5.1: implicit, and nobody outside reaches it",
            "home",
            (),
            "fail",
            "no data: mail goes to the domain's own address, 127.0.0.1 (RFC 5321, 5.1), which nobody outside reaches",
            "publish home.example.com. MX 10 with the name of the host that takes its mail",
        ),
        (
            "RFC 7505, 3: any preference",
            "null10",
            HOSTS[:1],
            "fail",
            "a null MX says that the domain takes no mail (RFC 7505, 3): receivers may refuse mail from it (4.2)",
            "remove null10.example.com. MX 10 .; publish null10.example.com. MX 10 mta1.example.com.",
        ),
        (
            "RFC 2181, 10.3",
            "aliased",
            (),
            "warn",
            "alias.example.com. is an alias of mta1.example.com., which an MX must not name (RFC 2181, 10.3)",
            "publish aliased.example.com. MX with mta1.example.com. instead of alias.example.com.",
        ),
        (
            "an alias is reached",
            "aliasandmore",
            (),
            "warn",
            "alias.example.com. is an alias of mta1.example.com., which an MX must not name (RFC 2181, 10.3); "
            "nobody.example.com. has no address: no such name",
            "publish aliasandmore.example.com. MX with mta1.example.com. instead of alias.example.com.; "
            "publish nobody.example.com. A with its address",
        ),
        (
            "RFC 5321, 5.1: nowhere",
            "gone",
            (),
            "fail",
            "nobody.example.com. has no address: no such name",
            "publish nobody.example.com. A with its address",
        ),
        (
            "one of three is reached",
            "partly",
            (),
            "warn",
            "nobody.example.com. has no address: no such name; text.example.com. has no address: no data",
            "publish nobody.example.com. A with its address; publish text.example.com. A with its address",
        ),
    ],
)
def test_each_rule(lookup, rule, name, hosts, status, cause, mend):
    domain = f"{name}.example.com"
    [verdict] = verify_mx(lookup, [Receiver(domain, hosts)])
    assert (verdict.subjects, verdict.status) == ((f"{domain}.",), Status(status)), rule
    assert verdict.cause == cause
    assert verdict.mend == mend
    assert f"MX {domain}." in verdict.source


@pytest.mark.parametrize("name, cause", [("dead", "no answer within 0.6 s"), ("quiet", "SERVFAIL")])
def test_silence_is_unknown_and_names_the_server(lookup, name, cause):
    [verdict] = verify_mx(lookup, [Receiver(f"{name}.example.com", HOSTS[:1] if name == "dead" else ())])
    assert verdict.status is Status.UNKNOWN
    assert cause in verdict.cause
    assert str(lookup.resolvers[0]) in verdict.cause and str(lookup.resolvers[0]) in verdict.mend


def test_a_fleet_s_hosts_are_asked_for_once():
    with Nameserver(ZONES) as server, Lookup([server.server]) as lookup:
        verdicts = verify_mx(lookup, [Receiver("whole.example.com"), Receiver("half.example.com")] * 100)
        assert [verdict.status for verdict in verdicts] == [Status.OK, Status.OK]
        assert sum(server.asked.values()) == 2 + 2 * 2  # two MX, then A and AAAA of two hosts


SERVERS = {"NS": ["ns1.example.net.", "ns2.example.net."]}
OF_SERVERS = {"example.net": {"example.net": SERVERS, "ns1.example.net": {"A": ["127.0.0.1"]},
                              "ns2.example.net": {"A": ["127.0.0.2"]}, "far.example.net": {"A": ["198.51.100.60"]}}}


@pytest.fixture
def two():
    """Return a function that verifies a domain by two name servers, of which the second has other addresses of its
    first host, or faults; and how these servers are named."""
    def zones(mx, addresses):
        hosts = {"mta1.example.com": {"TXT": ["x"], **addresses}, "mta2.example.com": {"A": ["198.51.100.20"]}}
        return OF_SERVERS | {"example.com": {"example.com": SERVERS, "e.example.com": {"MX": mx}, **hosts}}

    def verify(addresses, faults=None, by="yes", mx=((10, "mta1.example.com."),), hosts=HOSTS[:1]):
        with (
            Nameserver(zones(list(mx), {"A": ["198.51.100.10"]})) as first,
            Nameserver(zones(list(mx), addresses), faults, address="127.0.0.2", port=first.port) as second,
            Lookup([first.server], authority_port=first.port) as lookup,
        ):
            (verdict,) = verify_mx(lookup, [Receiver("e.example.com", hosts)], by)
        return verdict, *(f"ns{n}.example.net. (127.0.0.{n}:{first.port})" for n in (1, 2)), second

    return verify


SAME = {"A": ["198.51.100.10"]}


def test_every_server_of_a_host_of_the_fleet_is_asked_for_its_addresses(two):
    verdict, one, other, second = two(SAME)
    assert (verdict.status, verdict.cause) == (Status.OK, "")
    assert {question for question in second.asked if question[0] == "mta1.example.com"} == {
        ("mta1.example.com", "A"), ("mta1.example.com", "AAAA")}


@pytest.mark.parametrize("addresses, status, cause, mend", [
    ({}, Status.FAIL, "mta1.example.com. has no address: no data", "publish mta1.example.com. A with its address"),
    ({"A": ["10.1.1.1"]}, Status.FAIL, "mta1.example.com. points to 10.1.1.1, which nobody outside reaches",
     "publish mta1.example.com. A with its public address"),
    ({"A": ["198.51.100.99"]}, Status.WARN, "198.51.100.99", ""),
    (SAME | {"AAAA": ["2001:db8::1"]}, Status.WARN, "198.51.100.10, 2001:db8::1", ""),
])
def test_servers_of_a_host_of_the_fleet_that_differ_are_named(two, addresses, status, cause, mend):
    verdict, one, other, _second = two(addresses)
    assert verdict.status is status
    assert verdict.cause == f"the name servers differ: {one}: 198.51.100.10; {other}: {cause}"
    assert verdict.mend == (f"make {other} serve the same version of the zone as {one}, or {mend}" if mend
                            else "make all name servers serve the same version of the zone")
    assert f"A and AAAA mta1.example.com. asked of {one}, {other}" in verdict.source
    assert two(addresses, by="no")[0].status is Status.OK


def test_mail_arrives_at_another_host_meanwhile(two):
    verdict, _one, _other, _second = two({}, mx=[(10, "mta1.example.com."), (20, "mta2.example.com.")], hosts=HOSTS)
    assert verdict.status is Status.WARN and "mta1.example.com. has no address" in verdict.cause


@pytest.mark.parametrize("faults", [{"mta1.example.com": "refused"}, {"*": "refused"}])
def test_a_server_that_is_silent_is_unknown_and_told_once(two, faults):
    verdict, one, other, _second = two(SAME, faults)
    assert (verdict.status, verdict.mend) == (
        Status.UNKNOWN, f"make {other} answer, or take it out of the zone's NS records")
    assert verdict.cause == f"not every name server answers: {one}: answers; {other}: did not say: REFUSED"


def test_hosts_of_others_are_asked_of_the_resolvers(two):
    verdict, _one, _other, second = two(SAME, mx=[(10, "far.example.net.")], hosts=())
    assert verdict.status is Status.OK
    assert not any(name == "far.example.net" for name, _type in second.asked)


def test_a_domain_with_thousands_of_hosts_takes_few_questions():
    with Nameserver(ZONES) as server, Lookup([server.server]) as lookup:
        own, of_fleet = verify_mx(lookup, [Receiver("many.example.com"), Receiver("many.example.com", HOSTS[:1])])
        assert server.queries <= 2 + 2 * LOOKED_AT
    assert own.status is Status.WARN and of_fleet.status is Status.FAIL
    assert "it names 2,001 hosts, of which the first 20 were looked at" in own.cause
    assert own.found.startswith("10 mta1.example.com., 20 m0.example.com., ")
    assert all(len(text) < 6000 for verdict in (own, of_fleet) for text in (verdict.found, verdict.cause, verdict.mend))


def test_what_is_no_name_is_refused():
    with pytest.raises(ValueError, match="not a domain name"):
        Receiver("exa mple.com")
