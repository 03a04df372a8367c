# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reverse names against a real name server."""

from __future__ import annotations

import pytest
from nameserver import Nameserver

from ansible_collections.mailfleet.sending.plugins.module_utils.lookup import Lookup
from ansible_collections.mailfleet.sending.plugins.module_utils.verdict import Status
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import (
    LOOKED_AT,
    Address,
    verify_ptr,
)

NET = "100.51.198.in-addr.arpa"
ZONES = {
    "example.com": {
        "mta1.example.com": {"A": ["198.51.100.10", "198.51.100.18"], "AAAA": ["2001:db8:61::10"]},
        "other.example.com": {"A": ["198.51.100.11", "198.51.100.14", "198.51.100.18"]},
        "mta2.example.com": {"A": ["198.51.100.99"]},
        "noaddress.example.com": {"TXT": ["x"]},
        "silent.example.com": {"A": ["198.51.100.16"]},
        "mta22.example.com": {"A": ["198.51.100.22"]},
        "static-198-51-100-23.example.com": {"A": ["198.51.100.23"]},
        **{f"m{number}.example.com": {"A": ["198.51.100.24"]} for number in range(11)},
        **{f"t{number}.example.com": {"A": ["198.51.100.28"]} for number in range(10)},
        "own.example.com": {"A": ["198.51.100.27"]},
        "dotted.example.com": {"A": ["198.51.100.25", "198.51.100.26"]},
    },
    NET: {
        f"10.{NET}": {"PTR": ["MTA1.example.com."]},
        f"11.{NET}": {"PTR": ["other.example.com."]},
        f"12.{NET}": {"PTR": ["mta2.example.com."]},
        f"13.{NET}": {"PTR": ["noaddress.example.com.", "gone.example.com."]},
        f"14.{NET}": {"PTR": ["mta2.example.com.", "other.example.com."]},
        f"15.{NET}": {"PTR": [f"mta1.example.com.{NET}."]},
        f"16.{NET}": {"PTR": ["silent.example.com."]},
        f"17.{NET}": {"TXT": ["x"]},
        f"18.{NET}": {"PTR": ["mta1.example.com.", "other.example.com."]},
        f"20.{NET}": {"CNAME": [f"20.16-31.{NET}."]},
        f"20.16-31.{NET}": {"PTR": ["mta1.example.com."]},
        f"21.{NET}": {"CNAME": [f"21.16-31.{NET}."]},
        f"22.{NET}": {"CNAME": [f"22.16-31.{NET}."]},
        f"22.16-31.{NET}": {"PTR": ["mta22.example.com."]},
        f"23.{NET}": {"PTR": ["static-198-51-100-23.example.com."]},
        f"24.{NET}": {"PTR": [f"m{number}.example.com." for number in range(11)]},
        f"25.{NET}": {"PTR": ["dotted.example.com.", f"mta1.example.com.{NET}."]},
        f"27.{NET}": {"PTR": ["silent.example.com.", "own.example.com."]},
        f"28.{NET}": {"PTR": [f"t{number}.example.com." for number in range(10)]},
        f"26.{NET}": {"PTR": ["silent.example.com.", f"mta1.example.com.{NET}."]},
    },
    "1.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {
        "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR": ["mta1.example.com."]},
    },
}


@pytest.fixture(scope="module")
def lookup():
    with (
        Nameserver(ZONES, {"silent.example.com": "servfail", f"19.{NET}": "timeout"}) as server,
        Lookup([server.server], timeout=0.6) as lookup,
    ):
        yield lookup


MTA1, MTA2 = "mta1.example.com", "mta2.example.com"
IS_NO_NAME = "the address greets as mta1.example.com., which is not its name"
ELSEWHERE = "mta2.example.com. points to 198.51.100.99, not back"


def by_owner(number, name=f"{MTA1}."):
    """The mend of a name that the owner of the network sets."""
    return f"have the owner of the network set {number}.{NET}. PTR {name}"


# section and rule; address, HELO name; status, what was found, cause, mend
CASES = [
    ("RFC 1912, 2.1", "the name points back to the address", "198.51.100.10", MTA1, "ok", f"{MTA1}.", "", ""),
    ("RFC 1035, 2.3.3", "names are compared without case", "198.51.100.10", "MTA1.Example.COM.", "ok", f"{MTA1}.", "",
     ""),
    ("RFC 2181, 10.2", "an address may have several names", "198.51.100.18", MTA1, "ok",
     f"{MTA1}., other.example.com.", "", ""),
    ("RFC 3596, 2.5", "IPv6 by nibbles", "2001:DB8:61:0::10", MTA1, "ok", f"{MTA1}.", "", ""),
    ("RFC 8601, 3", "without a HELO name any name that points back will do", "198.51.100.11", "", "ok",
     "other.example.com.", "", ""),
    ("RFC 5321, 4.1.4", "nobody may refuse mail for another HELO name", "198.51.100.11", MTA1, "warn",
     "other.example.com.", IS_NO_NAME, f"{by_owner(11)}, or greet as other.example.com"),
    ("RFC 1912, 2.1", "the HELO name points elsewhere", "198.51.100.12", MTA2, "fail", f"{MTA2}.", ELSEWHERE,
     "publish mta2.example.com. A 198.51.100.12 beside 198.51.100.99"),
    ("RFC 1912, 2.1", "the only name, which is not the HELO name, points elsewhere", "198.51.100.12", MTA1, "fail",
     f"{MTA2}.", ELSEWHERE, by_owner(12)),
    ("RFC 1912, 2.1", "no name has an address", "198.51.100.13", "", "fail",
     "gone.example.com., noaddress.example.com.",
     "gone.example.com. has no A record: no such name; noaddress.example.com. has no A record: no data",
     "publish gone.example.com. A 198.51.100.13"),
    ("RFC 8601, 3", "one that looks for a name that points back finds another", "198.51.100.14", MTA2, "warn",
     f"{MTA2}., other.example.com.", ELSEWHERE, "publish mta2.example.com. A 198.51.100.14 beside 198.51.100.99"),
    ("RFC 1035, 5.1", "a name without its last dot is completed by the zone's", "198.51.100.15", MTA1, "fail",
     f"{MTA1}.{NET}.", f"{MTA1}.{NET}. ends in the reverse zone: the value in the zone lacks its last dot",
     by_owner(15)),
    ("RFC 1035, 5.1", "beside one with its last dot", "198.51.100.25", "dotted.example.com", "warn",
     f"dotted.example.com., {MTA1}.{NET}.",
     f"{MTA1}.{NET}. ends in the reverse zone: the value in the zone lacks its last dot",
     by_owner(25, "dotted.example.com.")),
    ("RFC 7208, 5.5", "ten names are looked at", "198.51.100.28", "t3.example.com", "ok",
     ", ".join(f"t{number}.example.com." for number in range(10)), "", ""),
    ("RFC 7208, 5.5", "no more than ten names are looked at", "198.51.100.24", "m3.example.com", "warn",
     ", ".join(sorted(f"m{number}.example.com." for number in range(11))),
     "it has 11 names, of which receivers look at no more than 10 (RFC 7208, 5.5)",
     f"leave one: {by_owner(24, 'm3.example.com.')}"),
    ("RFC 8601, 3", "what is not known of another name decides nothing", "198.51.100.27", MTA1, "warn",
     "own.example.com., silent.example.com.", IS_NO_NAME, f"{by_owner(27)}, or greet as own.example.com"),
    ("RFC 1912, 2.1", "every address has a name: no data", "198.51.100.17", MTA1, "absent", "no data",
     "the address has no PTR record: no data", by_owner(17)),
    ("RFC 1912, 2.1", "every address has a name: no such name", "198.51.100.200", "", "absent", "no such name",
     "the address has no PTR record: no such name", by_owner(200, "a name of yours")),
    ("RFC 2317, 4", "the name behind an alias", "198.51.100.22", "mta22.example.com", "ok", "mta22.example.com.", "",
     ""),
    ("RFC 2317, 4", "the name behind an alias points elsewhere", "198.51.100.20", MTA1, "fail", f"{MTA1}.",
     "mta1.example.com. points to 198.51.100.10, 198.51.100.18, not back",
     "publish mta1.example.com. A 198.51.100.20 beside 198.51.100.10, 198.51.100.18"),
    ("RFC 2317, 5", "the record behind an alias is the holder's own", "198.51.100.22", MTA1, "warn",
     "mta22.example.com.", IS_NO_NAME,
     f"publish 22.16-31.{NET}. PTR mta1.example.com. instead of mta22.example.com., or greet as mta22.example.com"),
    ("RFC 2317, 4", "nothing stands behind the alias", "198.51.100.21", MTA1, "absent", "no such name",
     f"its reverse name is an alias of 21.16-31.{NET}. (RFC 2317), which has no PTR record",
     f"publish 21.16-31.{NET}. PTR mta1.example.com."),
    ("no section", "a name that a network made up is mistrusted: see test_generic_names.py", "198.51.100.23",
     "static-198-51-100-23.example.com", "warn", "static-198-51-100-23.example.com.",
     "static-198-51-100-23.example.com. looks like the name of a customer's line, and receivers mistrust such names",
     "give the address a name of your domain, in PTR, in DNS and as HELO name"),
]


@pytest.mark.parametrize("section, rule, address, helo, status, found, cause, mend", CASES)
def test_verdict(lookup, section, rule, address, helo, status, found, cause, mend):
    (verdict,) = verify_ptr(lookup, [Address(address, helo)])
    assert (verdict.status, verdict.found, verdict.cause, verdict.mend) == (Status(status), found, cause, mend), (
        section, rule)
    assert verdict.source.startswith(f"PTR {Address(address).pointer}")


@pytest.mark.parametrize("address, cause", [
    ("198.51.100.16", "SERVFAIL"), ("198.51.100.26", "SERVFAIL"), ("198.51.100.19", "no answer within 0.6 s"),
])
def test_what_dns_did_not_say_is_unknown_and_names_the_server(lookup, address, cause):
    (verdict,) = verify_ptr(lookup, [Address(address, "silent.example.com")])
    server = str(lookup.resolvers[0])
    assert (verdict.status, verdict.cause) == (Status.UNKNOWN, f"{server} did not say: {cause}")
    assert verdict.mend == f"make {server} answer, then check again"


@pytest.mark.parametrize("address, helo", [("198.51.100.256", ""), ("", ""), ("198.51.100.0/24", ""), ("::1", "a..b")])
def test_what_cannot_be_an_address(address, helo):
    with pytest.raises(ValueError):
        Address(address, helo)


@pytest.mark.parametrize("address, helo, status", [
    ("198.51.100.11", "mta1.example.com", "fail"),
    ("198.51.100.14", "mta2.example.com", "fail"),
    ("198.51.100.10", "mta1.example.com", "ok"),
])
def test_the_inventory_may_demand_the_helo_name(lookup, address, helo, status):
    (verdict,) = verify_ptr(lookup, [Address(address, helo)], helo_must_match=True)
    assert verdict.status is Status(status)


@pytest.fixture
def two():
    """Return a function that verifies an address by two name servers, of which the second has another PTR name, other
    addresses of the HELO name, or faults; and how these servers are named."""
    def zones(pointer, addresses):
        servers = {"NS": ["ns1.example.com.", "ns2.example.com."]}
        hosts = {"ns1": ["127.0.0.1"], "ns2": ["127.0.0.2"], "mta1": addresses}
        return {NET: {NET: servers, f"10.{NET}": {"PTR": [pointer]}}, "example.com": {
            "example.com": servers} | {f"{host}.example.com": {"A": at, "TXT": ["x"]} for host, at in hosts.items()}}

    def verify(pointer="mta1.example.com.", addresses=("198.51.100.10",), faults=None, by="yes"):
        with (
            Nameserver(zones("mta1.example.com.", ["198.51.100.10"])) as first,
            Nameserver(zones(pointer, list(addresses)), faults, address="127.0.0.2", port=first.port),
            Lookup([first.server], authority_port=first.port) as lookup,
        ):
            (verdict,) = verify_ptr(lookup, [Address("198.51.100.10", "mta1.example.com")], by)
        return verdict, *(f"ns{n}.example.com. (127.0.0.{n}:{first.port})" for n in (1, 2))

    return verify


def test_name_servers_that_differ_are_named(two):
    assert two("old.example.com.", by="no")[0].status is Status.OK
    verdict, one, other = two("old.example.com.")
    assert verdict.status is Status.FAIL
    assert verdict.cause == (f"the name servers differ: {one}: mta1.example.com.; "
                             f"{other}: old.example.com. has no A record: no such name")


def test_every_server_of_the_helo_name_is_asked_for_its_address(two):
    verdict, one, other = two()
    assert (verdict.status, verdict.cause) == (Status.OK, "")
    assert verdict.source == f"PTR 10.{NET}. asked of {one}, {other}; A mta1.example.com. asked of {one}, {other}"


@pytest.mark.parametrize("addresses, cause", [
    (["198.51.100.99"], "mta1.example.com. points to 198.51.100.99, not back"),
    ([], "mta1.example.com. has no A record: no data"),
])
def test_servers_of_the_helo_name_that_differ_are_named(two, addresses, cause):
    assert two(addresses=addresses, by="no")[0].status is Status.OK
    verdict, one, other = two(addresses=addresses)
    assert verdict.status is Status.FAIL
    assert verdict.cause == f"the name servers differ: {one}: mta1.example.com. points back; {other}: {cause}"
    assert verdict.mend == (f"make {other} serve the same version of the zone as {one}, or publish mta1.example.com. A "
                            f"198.51.100.10{' beside 198.51.100.99' if addresses else ''}")
    assert (verdict.found, verdict.source.count("asked of")) == ("mta1.example.com.", 2)


def test_both_names_may_be_wrong_at_one_server(two):
    verdict, one, other = two("old.example.com.", ["198.51.100.99"])
    assert verdict.status is Status.FAIL
    assert verdict.cause == (
        f"the name servers differ: {one}: mta1.example.com.; {other}: old.example.com. has no A record: no such name; "
        f"the name servers differ: {one}: mta1.example.com. points back; "
        f"{other}: mta1.example.com. points to 198.51.100.99, not back")


def test_other_addresses_of_the_helo_name_are_a_note(two):
    verdict, one, other = two(addresses=["198.51.100.10", "198.51.100.99"])
    assert (verdict.status, verdict.cause) == (Status.OK, "")
    assert verdict.found == ("mta1.example.com.; note: the name servers differ in other values of mta1.example.com. A: "
                             f"{one}: none; {other}: '198.51.100.99'")


@pytest.mark.parametrize("faults", [{("mta1.example.com", "A"): "refused"}, {"*": "refused"}])
def test_a_server_that_is_silent_leaves_it_unknown_and_is_told_once(two, faults):
    verdict, one, other = two(faults=faults)
    assert (verdict.status, verdict.cause) == (
        Status.UNKNOWN, f"not every name server answers: {one}: answers; {other}: did not say: REFUSED")
    assert verdict.mend == f"make {other} answer, or take it out of the zone's NS records"


def test_an_address_with_thousands_of_names_takes_few_questions():
    names = [f"m{number}.example.com." for number in range(2000)]
    zones = {"example.com": {"z.example.com": {"A": ["198.51.100.10"]}}, NET: {
        f"10.{NET}": {"PTR": [*names, "z.example.com."]}, f"11.{NET}": {"PTR": names}}}
    with Nameserver(zones) as server, Lookup([server.server], timeout=5) as lookup:
        greeted, other = verify_ptr(lookup, [Address("198.51.100.10", "z.example.com"), Address("198.51.100.11")])
        assert greeted.status is Status.WARN and "it has 2001 names" in greeted.cause
        assert other.status is Status.FAIL and other.found.endswith(", m1014.example.com. and 1,980 more")
        assert server.queries <= 2 * 2 + LOOKED_AT + 1


def test_queries_are_kept_to_two_for_an_address():
    names = {f"m{n}.example.com": {"A": [f"198.51.100.{n}"]} for n in range(200)}
    reverse = {f"{n}.{NET}": {"PTR": [f"m{n}.example.com."]} for n in range(200)}
    with Nameserver({"example.com": names, NET: reverse}) as server, Lookup([server.server], timeout=5) as lookup:
        verdicts = verify_ptr(lookup, [Address(f"198.51.100.{n}", f"m{n}.example.com") for n in range(200)] * 2)
        assert [verdict.status for verdict in verdicts] == [Status.OK] * 200
        assert server.queries == 400
