# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that networks make up: those of their shapes that are in use, and names that only look alike."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mailfleet.sending.plugins.module_utils.generic_names import is_generic

V4, V6 = "198.51.100.10", "2001:db8:61::10"
LONG = "2001-0db8-0061-0000-0000-0000-0000-0010"
NIBBLES = "20010db8006100000000000000000010"
BACKWARDS = ".".join(reversed(NIBBLES))
FULL = "2001:db8:61:a1b2:c3d4:e5f6:789a:bcde"

# what the name is like; the name; the address; whether a network made it up
NAMES = [
    # The address of IPv4, as networks write it.
    ("in its order", "198.51.100.10.vps.example.net", V4, True),
    ("in its order", "ip-198-51-100-10.example.net", V4, True),
    ("in its order, after letters", "ip198-51-100-10.range198-51.isp.example", V4, True),
    ("in its order, after letters", "lputeaux-657-1-2-3.w198-51-100-10.abo.example.fr", V4, True),
    ("backwards", "10.100.51.198.static.example.net", V4, True),
    ("backwards", "static.10.100.51.198.clients.hoster.example", V4, True),
    ("backwards", "10-100-51-198.rev.isp.example", V4, True),
    ("filled up with zeros", "dslb-198-051-100-010.198.051.pools.isp.example", V4, True),
    ("filled up, in a row", "softbank198051100010.isp.example", V4, True),
    ("filled up, backwards in a row", "n010100051198.isp.example", V4, True),
    ("with underscores", "host-198_51_100_10.isp.example", V4, True),
    ("with x between", "198x51x100x10.ap198.ftth.isp.example.jp", V4, True),
    ("with x between, after a letter", "h198x51x100x10.isp.example", V4, True),
    ("between mixed characters", "198-51.100_10.isp.example", V4, True),
    ("in hexadecimal", "pc633640a.dip0.isp.example", V4, True),
    ("in hexadecimal", "h-c633640a.example.net", V4, True),
    ("in hexadecimal, backwards", "x0a6433c6.isp.example", V4, True),
    ("in hexadecimal, octet by octet", "c6-33-64-0a.isp.example", V4, True),
    ("in hexadecimal, octet by octet backwards", "0a.64.33.c6.isp.example", V4, True),
    ("as one number", "3325256714.isp.example", V4, True),
    ("as one number, after letters", "vps3325256714.hoster.example", V4, True),
    # That of IPv6.
    ("in full", f"{LONG}.example.net", V6, True),
    ("in full, in a row", f"p{NIBBLES}.dip0.isp.example", V6, True),
    ("as RFC 5952 has it", "2001-db8-61--10.ipv6.isp.example", V6, True),
    ("as RFC 5952 has it", "2001-db8-61-a1b2-c3d4-e5f6-789a-bcde.isp.example", FULL, True),
    ("without the zeros before a group", "2001-db8-61-0-0-0-0-10.ip6.isp.example", V6, True),
    ("with points between", "2001.db8.61.0.0.0.0.10.isp.example", V6, True),
    ("with underscores", "2001_db8_61__10.isp.example", V6, True),
    ("nibbles backwards", f"{BACKWARDS}.ip6.isp.example", V6, True),
    ("nibbles backwards, in a row", f"{NIBBLES[::-1]}.isp.example", V6, True),
    ("nibbles in their order", f"{'.'.join(NIBBLES)}.isp.example", V6, True),
    ("its last half", "h0000-0000-0000-0010.isp.example", V6, True),
    ("its last half", "host-c3d4e5f6789abcde.isp.example", FULL, True),
    ("its last half", "c3d4-e5f6-789a-bcde.isp.example", FULL, True),
    # What kind of line it is.
    ("a label of its own", "a.dsl.example.net", V4, True),
    ("a label of its own", "user12.adsl.isp.example", V4, True),
    ("a label of its own", "h12.dynamic.isp.example", V6, True),
    ("a label of its own", "a1b2c3.ftth.isp.example", V4, True),
    ("a label of its own", "x.cable.isp.co.uk", V4, True),
    ("with a number", "dyn7.example.net", V4, True),
    ("with a number", "ppp-1234.isp.example", V4, True),
    ("with a number and a place", "dsl-frankfurt-12.isp.example", V4, True),
    ("in two words", "dial-up.isp.example", V4, True),
    ("beside another such word", "cable-modem.isp.example", V4, True),
    ("beside another such word", "adsl-pool.isp.example", V4, True),
    # Names that somebody chose.
    ("a host", "mta1.example.com", V4, False),
    ("a host", "mta1.example.com", V6, False),
    ("a host", "mail.example.com", "2001:db8::", False),
    ("a host that is numbered by its octet", "mta10.example.com", "10.0.0.1", False),
    ("a host that is numbered by its octets", "out-100-10.example.com", V4, False),
    ("a domain by itself", "cable.example", V4, False),
    ("a domain with such a name", "mta1.cable.example", V4, False),
    ("a domain with such a name", "mail.ppp-consulting.example", V4, False),
    ("a domain with such a name", "mta1.dynamic-media.example", V4, False),
    ("a domain with such a name", "mta1.broadband.co.uk", V4, False),
    ("a domain with such a name", "mta1.dsl24.com.br", V4, False),
    ("such a word in another", "dynamo.example.net", V4, False),
    ("such a word in another", "dialog.mail.example.net", V4, False),
    ("such a word beside a name", "dynamic-media.mail.example.net", V4, False),
    ("such a word beside a name", "mail-cable.example.net", V4, False),
    ("another address", "ip-198-51-100-11.example.net", V4, False),
    ("another address", "1198-51-100-10.example.net", V4, False),
    ("another address", "198-51-100-101.example.net", V4, False),
    ("another address", "2001-db8-61--11.example.net", V6, False),
    ("another address", "2001-db8-61--1010.example.net", V6, False),
    ("a longer number", "33252567140.example.net", V4, False),
    ("a longer number", "1c633640a5.example.net", V4, False),
    ("a small number", "mta7.example.net", "0.0.0.7", False),
]


@pytest.mark.parametrize("like, name, address, generic", NAMES)
def test_names_in_use(like, name, address, generic):
    assert is_generic(f"{name}.", address) is generic, like


V4S = st.integers(1 << 24, (1 << 32) - 1).map(lambda number: str(ipaddress.ip_address(number)))  # 0/8 is nobody's
V6S = st.ip_addresses(v=6, network="2000::/3").map(str)
LETTERS = "ghijklmnoqrstuvwyz"  # none that is a digit, or stands between them; no word for a line is of these alone
# What networks put before an address in a name, and behind it.
BEFORE = st.sampled_from(["", "h", "ip", "ip-", "host-", "n.", "static.", "r-1.p-"])
BEHIND = st.sampled_from([".isp.example.", ".rev.isp.example.", "-s.isp.example.", ".pool.isp.example.jp."])


def rows_of_v4(address: str) -> list[str]:
    octets = [*map(int, address.split("."))]
    rows = [between.join(f"{octet:{width}}" for octet in row) for row in (octets, octets[::-1])
            for width in ("", "03") for between in ".-_x"]
    rows += ["".join(f"{octet:{width}}" for octet in row) for row in (octets, octets[::-1]) for width in ("03", "02x")]
    rows += [between.join(f"{octet:02x}" for octet in row) for row in (octets, octets[::-1]) for between in ".-_"]
    return [*rows, str(int(ipaddress.ip_address(address)))]


def rows_of_v6(address: str) -> list[str]:
    ip = ipaddress.ip_address(address)
    groups = ip.exploded.split(":")
    nibbles = "".join(groups)
    short = [f"{int(group, 16):x}" for group in groups]
    rows = [between.join(row) for row in (groups, short) for between in ".-_x"]
    return [*rows, ip.compressed.replace(":", "-"), nibbles, ".".join(nibbles), ".".join(nibbles[::-1]), nibbles[::-1]]


@given(st.one_of(V4S.map(lambda ip: (ip, rows_of_v4(ip))), V6S.map(lambda ip: (ip, rows_of_v6(ip)))),
       BEFORE, BEHIND, st.data())
def test_an_address_is_found_however_it_is_written(made, before, behind, data):
    address, rows = made
    assert is_generic(f"{before}{data.draw(st.sampled_from(rows))}{behind}", address)


@given(st.lists(st.text(LETTERS, min_size=1, max_size=20), min_size=1, max_size=6),
       st.integers(0, 99), st.one_of(V4S, V6S))
def test_a_host_with_a_number_is_nobody_s_line(labels, number, address):
    assert not is_generic(".".join([f"mta{number}", *labels, "example", "net", ""]), address)


@given(V4S, V4S, st.sampled_from(".-_x"), BEFORE, st.sampled_from(["", "03"]))
def test_the_address_of_another_is_not_one_s_own(one, other, between, before, width):
    octets = [*map(int, other.split("."))]
    name = f"{before}{between.join(f'{octet:{width}}' for octet in octets)}.isp.example."
    own = [*map(int, one.split("."))]
    # In hexadecimal, what is written in decimals may mean another.
    hexadecimal = [f"{octet:02x}" for octet in own]
    meant = [row for row in (hexadecimal, hexadecimal[::-1]) if all(digits.isdigit() for digits in row)]
    assert is_generic(name, one) is (octets in [own, own[::-1], *([*map(int, row)] for row in meant)])


@given(st.text(max_size=260), st.ip_addresses().map(str))
def test_any_text_is_generic_or_not(text, address):
    assert is_generic(f"{text.lower()}.", address) in (True, False)


@given(st.lists(st.sampled_from(["dyn", "dsl", "cable", "1", "12345678901234567890", "-", "--", "x", "_", "pool"]),
                max_size=40), st.ip_addresses().map(str))
def test_names_of_such_parts_are_read_without_an_error(parts, address):
    assert is_generic(f"{''.join(parts)}.{'.'.join(parts)}.", address) in (True, False)
