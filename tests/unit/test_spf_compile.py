# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compiled SPF is check_host(), for every address: proved on generated trees, whatever DNS says."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from spf_world import tangled

from ansible_collections.mailfleet.sending.plugins.module_utils import spf_compile, spf_ranges
from ansible_collections.mailfleet.sending.plugins.module_utils.outcome import Kind, Mx, Outcome
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_check import check_host
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_compile import compile_domain

RECORDS = [f"n{number}.example" for number in range(6)]
HOSTS = [f"h{number}.example" for number in range(5)]
# Few addresses, so that terms overlap, and ends of networks among them.
IPV4 = ["192.0.2.0", "192.0.2.1", "192.0.2.127", "192.0.2.128", "192.0.2.255", "192.0.3.0", "198.51.100.7", "0.0.0.0"]
IPV6 = ["2001:db8::", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::", "2001:db8:ffff::7", "::"]
SENDER = "postmaster@n0.example"
TANGLED = {(name, "TXT"): [text] for name, text in tangled("n0.example").items()}


def dns(names):
    """Return an ask over {(name, type): values, a Kind}: what is not there does not exist."""

    def ask(name, rdtype):
        name = name.lower().removesuffix(".")
        found = names.get((name, rdtype), Kind.NO_NAME)
        if isinstance(found, Kind):
            return Outcome(f"{name}.", rdtype, found, server="192.0.2.53", cause="timeout")
        return Outcome(f"{name}.", rdtype, Kind.VALUES, tuple(found), server="192.0.2.53")

    return ask


def mostly(usual, *seldom):
    return st.integers(0, 9).flatmap(lambda dice: st.one_of(*seldom) if dice == 9 else usual)


VOID = st.sampled_from([Kind.NO_NAME, Kind.NO_DATA, Kind.SILENT])
TARGETS = st.sampled_from([*HOSTS, *RECORDS, "none.example", "%{d}", "h0.%{v}.example", "label"])
NETWORKS = st.builds("ip4:{}/{}".format, st.sampled_from(IPV4), st.sampled_from([0, 22, 24, 25, 31, 32])) | st.builds(
    "ip6:{}/{}".format, st.sampled_from(IPV6), st.sampled_from([0, 32, 47, 64, 112, 128]))
LENGTHS = st.sampled_from(["", "", "/24", "//64", "/25//112", "/0//0"])
MECHANISMS = st.one_of(
    NETWORKS,
    NETWORKS,
    st.builds("include:{}".format, st.sampled_from([*RECORDS, *RECORDS, "none.example", "%{o}", "n1.%{d}"])),
    st.builds("include:{}".format, st.sampled_from(RECORDS)),
    st.builds("a:{}{}".format, TARGETS, LENGTHS),
    st.builds("mx:{}{}".format, TARGETS, LENGTHS),
    st.builds("exists:{}".format, TARGETS),
    st.sampled_from(["a", "mx", "all", "a:h1.example", "ptr", "exists:%{i}.example", "a:%{h}", "ip4:192.0.2.300"]),
)
TERMS = st.builds("{}{}".format, st.sampled_from(["", "", "", "-", "~", "?"]), MECHANISMS)
STEADY = TERMS.filter(lambda term: not any(part in term for part in ("ptr", "%{i}", "%{h}")))
ENDS = st.sampled_from(["-all", "~all", "?all", "", "redirect=n5.example", "redirect=none.example", "redirect=%{o}"])


@st.composite
def worlds(draw, terms=TERMS):
    names = {}
    for name in RECORDS:
        text = " ".join(["v=spf1", *draw(st.lists(terms, max_size=6)), draw(ENDS)]).rstrip()
        names[name, "TXT"] = draw(mostly(st.just([text, "other"]), VOID, st.just([text, text]), st.just(["other"])))
        if draw(st.booleans()):
            names[name, "A"] = draw(mostly(st.lists(st.sampled_from(IPV4), min_size=1, max_size=3), VOID))
    for name in HOSTS:
        names[name, "A"] = draw(mostly(st.lists(st.sampled_from(IPV4), min_size=1, max_size=3), VOID))
        names[name, "AAAA"] = draw(mostly(st.lists(st.sampled_from(IPV6), min_size=1, max_size=3), VOID))
        exchanges = st.lists(st.sampled_from([".", "none.example.", *(f"{host}." for host in HOSTS)]),
                             min_size=1, max_size=12)
        names[name, "MX"] = draw(mostly(exchanges.map(lambda hosts: [Mx(10, host) for host in hosts]), VOID))
    return names


def agree(names, ranges4=None, ranges6=None):
    """Check that both ways agree at every edge of every slice and at every known address; return the compiled ones."""
    ask = dns(names)
    found = []
    for version, given_ranges, known in ((4, ranges4, IPV4), (6, ranges6, IPV6)):
        compiled = compile_domain("n0.example", SENDER, version, ask, given_ranges)
        space = spf_ranges.whole(version) if given_ranges is None else given_ranges
        parts = [(part.first, part.last) for part in compiled.slices]
        assert _merged(parts) == _merged(space)  # every address, and none twice
        edges = {edge for part in parts for edge in part} | {int(ipaddress.ip_address(address)) for address in known}
        for number in edges:
            if not any(first <= number <= last for first, last in space):
                continue
            address = ipaddress.ip_address(number) if version == 4 else ipaddress.IPv6Address(number)
            if version == 6 and address.ipv4_mapped:
                continue  # an address of IPv4
            check = check_host(str(address), "n0.example", SENDER, "helo.example", ask, explain=False)
            if compiled.of(number) is not None:
                assert compiled.of(number) == check
        found.append(compiled)
    return found


def _merged(ranges):
    result = []
    for first, last in sorted(ranges):
        assert first <= last and not (result and first <= result[-1][1])
        if result and result[-1][1] + 1 == first:
            result[-1] = result[-1][0], last
        else:
            result.append((first, last))
    return result


@given(worlds(STEADY))
@settings(max_examples=400)
def test_a_tree_without_macros_is_check_host(names):
    for compiled in agree(names):
        assert all(part.check for part in compiled.slices)
        for part in compiled.slices:
            event(f"{part.check.result.value}, {len(part.check.chain)} steps")


@given(worlds())
@settings(max_examples=200)
def test_a_tree_with_macros_is_check_host_wherever_it_was_compiled(names):
    agree(names)


@given(worlds(STEADY), st.sets(st.sampled_from(IPV4)), st.sets(st.sampled_from(IPV6)))
def test_some_addresses_end_as_they_do_among_all(names, ipv4, ipv6):
    ranges = [spf_ranges.of_numbers(int(ipaddress.ip_address(address)) for address in some) for some in (ipv4, ipv6)]
    agree(names, *ranges)


def compiled(names, version=4, ranges=None):
    return compile_domain("n0.example", SENDER, version, dns(names), ranges)


def result(found, address):
    check = found.of(int(ipaddress.ip_address(address)))
    return check and (check.result.value, check.terms, len(check.voids))


@pytest.mark.parametrize("behind, error", [
    ("include:n1.example", "temperror"),
    (" ".join(f"a:h{number}.example" for number in range(11)), "permerror"),
    ("a:none1.example a:none2.example a:none3.example", "permerror"),
    ("include:none.example", "permerror"),
    ("redirect=none.example", "permerror"),
])
def test_an_error_behind_a_match_is_met_by_those_alone_that_did_not_match(behind, error):
    names = {("n0.example", "TXT"): [f"v=spf1 ip4:192.0.2.0/25 {behind}"], ("n1.example", "TXT"): Kind.SILENT}
    names |= {(f"h{number}.example", "A"): ["192.0.2.200"] for number in range(10)}
    found = compiled(names)
    assert result(found, "192.0.2.127") == ("pass", 0, 0)
    assert result(found, "192.0.2.128")[0] == error


def test_those_that_left_an_include_early_have_spent_less():
    names = {
        ("n0.example", "TXT"): ["v=spf1 include:n1.example " + " ".join(["a:h0.example"] * 7) + " -all"],
        ("n1.example", "TXT"): ["v=spf1 -ip4:192.0.2.1 a:h0.example a:h0.example a:h0.example -all"],
        ("h0.example", "A"): ["198.51.100.7"],
    }
    found = compiled(names)
    assert result(found, "192.0.2.1") == ("fail", 8, 0)
    assert result(found, "192.0.2.2") == ("permerror", 11, 0)
    assert result(found, "198.51.100.7") == ("pass", 2, 0)


def test_the_first_exchange_that_matches_hides_the_silence_of_the_next():
    names = {
        ("n0.example", "TXT"): ["v=spf1 mx -all"],
        ("n0.example", "MX"): [Mx(10, "h0.example."), Mx(20, "h1.example.")],
        ("h0.example", "A"): ["192.0.2.1"],
        ("h1.example", "A"): Kind.SILENT,
    }
    assert result(compiled(names), "192.0.2.1") == ("pass", 1, 0)
    assert result(compiled(names), "192.0.2.2") == ("temperror", 1, 0)


def test_what_no_address_needs_is_never_asked():
    asked = []
    ask = dns({("n0.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 a:h0.example -all"]})

    def counting(name, rdtype):
        asked.append((name, rdtype))
        return ask(name, rdtype)

    number = int(ipaddress.ip_address("192.0.2.1"))
    compile_domain("n0.example", SENDER, 4, counting, [(number, number + 9)])
    assert asked == [("n0.example", "TXT")]
    compile_domain("n0.example", SENDER, 4, counting)
    assert asked[1:] == [("n0.example", "TXT"), ("h0.example", "A")]


@pytest.mark.parametrize("term", ["exists:%{i}.example", "ptr", "include:%{h}", "a:%{p}.example", "redirect=%{i}.a"])
def test_only_addresses_that_get_to_what_varies_are_left_to_check_host(term):
    found = compiled({("n0.example", "TXT"): [f"v=spf1 ip4:192.0.2.0/25 {term}"]})
    assert result(found, "192.0.2.1") == ("pass", 0, 0)
    assert result(found, "192.0.2.200") is None


def test_loops_and_thousands_of_networks_are_compiled_to_their_end():
    loops = " ".join(f"-ip4:10.0.{number}.0/31 include:n0.example" for number in range(5))
    assert result(compiled({("n0.example", "TXT"): [f"v=spf1 {loops}"]}), "192.0.2.1")[0] == "permerror"
    wide = " ".join(f"ip4:10.{number >> 8}.{number & 255}.0/31" for number in range(3000))
    found = compiled({("n0.example", "TXT"): [f"v=spf1 {wide} -all"]})
    assert result(found, "10.11.183.1") == ("pass", 0, 0) and result(found, "10.11.184.0") == ("fail", 0, 0)


def test_the_addresses_of_a_tree_that_is_too_tangled_are_left_to_check_host(monkeypatch):
    first = int(ipaddress.ip_address("192.0.2.0"))
    found = compiled(TANGLED, ranges=[(first, first + 127)])
    left = {number for number in range(64) if number.bit_count() >= 4}
    assert {number for number in range(128) if found.of(first + number) is None} == left
    assert result(found, "192.0.2.1") == ("permerror", 7, 3)  # whoever is done with before stays so
    monkeypatch.setattr(spf_compile, "MAXIMUM_WORK", 10 * spf_compile.MAXIMUM_WORK)
    assert result(compiled(TANGLED, ranges=[(first, first + 127)]), "192.0.2.15") == ("pass", 10, 2)


def test_an_address_that_was_not_compiled_is_an_error():
    found = compiled({("n0.example", "TXT"): ["v=spf1 -all"]}, ranges=[(5, 9)])
    with pytest.raises(KeyError):
        found.of(10)
